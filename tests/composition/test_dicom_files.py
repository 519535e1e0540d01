"""SEG and SR are read back by highdicom: every voxel lands on its voxel, every number is there."""

from pathlib import Path

import numpy as np
import pytest
from helpers.bodies import random_body
from helpers.dicom_files import write_slice
from pydicom import dcmread

from saros_hf.composition import Composition, measure
from saros_hf.ct import read_ct
from saros_hf.nifti import write_volume
from saros_hf.volume import Volume
from training.cli import main

hd = pytest.importorskip("highdicom")

from saros_hf.composition.dicom_files import (
    SEG_NAME,
    SR_NAME,
    source_slices,
    write_dicom,
)

OBLIQUE = [0.96, 0.28, 0.0, -0.28, 0.96, 0.0]
TIPPED = [1.0, 0.0, 0.0, 0.0, 0.96, 0.28]  # the planes lean, and are stacked along their normal
SERIES = {
    "supine": ([1, 0, 0, 0, 1, 0], 1),
    "head last in the files": ([1, 0, 0, 0, 1, 0], -1),
    "prone": ([-1, 0, 0, 0, -1, 0], 1),
    "feet first": ([-1, 0, 0, 0, 1, 0], 1),
    "mirrored rows": ([1, 0, 0, 0, -1, 0], -1),
    "oblique": (OBLIQUE, 1),
    "tipped": (TIPPED, -1),
}
STUDY = {
    "PatientName": "",
    "PatientBirthDate": "",
    "PatientSex": "",
    "StudyDate": "20260101",
    "StudyTime": "120000",
    "AccessionNumber": "",
    "StudyID": "1",
    "ReferringPhysicianName": "",
    "FrameOfReferenceUID": "1.2.826.0.1.3680043.10.3",
    "PixelSpacing": [3, 2],
}


def measured_series(folder: Path, orientation: list[float], step: int) -> Composition:
    """Write a series of random slices, and measure it with random label maps."""
    body = random_body(5, (9, 7, 6))
    normal = np.cross(orientation[:3], orientation[3:])
    for n in range(6):
        position = np.array([10.0, -20.0, 30.0]) + normal * 5 * step * n
        plane = np.ascontiguousarray(body.ct.array[..., n].T)
        write_slice(
            folder / f"{n}.dcm",
            plane,
            position.tolist(),
            ImageOrientationPatient=orientation,
            InstanceNumber=n + 1,
            **STUDY,
        )
    ct = read_ct(folder)
    regions = Volume(body.regions.array, ct.affine)
    return measure(ct, regions, levels=["slice:2"], height_cm=170)


@pytest.mark.parametrize("name", SERIES)
def test_every_voxel_of_the_seg_lands_on_its_voxel(tmp_path: Path, name: str) -> None:
    found = measured_series(tmp_path / "ct", *SERIES[name])
    sources = source_slices(tmp_path / "ct")
    write_dicom(tmp_path, sources, found)
    seg = hd.seg.segread(tmp_path / SEG_NAME)
    labels = {seg.get_segment_description(n).tracking_id: n for n in seg.segment_numbers}
    # By the patient's coordinates, independently of the order of slices and of our affine.
    volume = seg.get_volume(combine_segments=True)
    points = np.argwhere(found.tissue_map.array == 2)
    lps = points @ found.tissue_map.affine[:3, :3].T + found.tissue_map.affine[:3, 3]
    lps *= [-1, -1, 1]
    index = np.rint(volume.map_reference_to_indices(lps)).astype(int)
    assert (volume.array[tuple(index.T)] == labels["bone"]).all()
    assert np.count_nonzero(volume.array == labels["bone"]) == len(points)
    # And by the instances that the frames refer to.
    uids = [one.SOPInstanceUID for one in sources]
    frames = seg.get_pixels_by_source_instance(
        uids,
        combine_segments=True,
        ignore_spatial_locations=True,
        assert_missing_frames_are_empty=True,
    )
    np.testing.assert_array_equal(
        frames == labels["muscle"], found.tissue_map.array.transpose(2, 1, 0) == 1
    )


def test_sr_holds_the_volumes_and_the_areas(tmp_path: Path) -> None:
    found = measured_series(tmp_path / "ct", *SERIES["supine"])
    write_dicom(tmp_path, source_slices(tmp_path / "ct"), found)
    report = hd.sr.srread(tmp_path / SR_NAME)
    groups = report.content.get_volumetric_roi_measurement_groups()
    values = {
        group.tracking_identifier: [m.value for m in group.get_measurements()] for group in groups
    }
    muscle = found.volume("muscle")
    assert values["muscle"] == pytest.approx([muscle.volume_ml, muscle.hu.mean_hu])
    assert set(values) == {
        "muscle",
        "bone",
        "subcutaneous_adipose",
        "visceral_adipose",
        "intermuscular_adipose",
        "paracardial_adipose",
        "epicardial_adipose",
    }
    areas = {
        group.tracking_identifier: group.get_measurements()[0].value
        for group in report.content.get_image_measurement_groups()
    }
    (row,) = (one for one in found.levels if one.way == "slice")
    assert areas["muscle at slice 2, slice, whole"] == pytest.approx(row.tissues["muscle"].area_cm2)


def test_series_without_what_an_anonymiser_removes(tmp_path: Path) -> None:
    found = measured_series(tmp_path / "ct", *SERIES["supine"])
    for path in (tmp_path / "ct").iterdir():
        slice_ = dcmread(path)
        slice_.SOPClassUID = ""
        for keyword in ("PatientName", "StudyID", "FrameOfReferenceUID"):
            delattr(slice_, keyword)
        slice_.save_as(path)
    write_dicom(tmp_path, source_slices(tmp_path / "ct"), found)
    assert hd.seg.segread(tmp_path / SEG_NAME).number_of_segments == 7


def test_command_writes_both_files_and_refuses_nifti(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured_series(tmp_path / "ct", *SERIES["prone"])
    ct = read_ct(tmp_path / "ct")
    body = random_body(5, (9, 7, 6))
    write_volume(tmp_path / "labels.nii.gz", Volume(body.regions.array, ct.affine))
    command = ["composition", "--regions", str(tmp_path / "labels.nii.gz"), "--dicom"]
    command += ["--out", str(tmp_path / "out"), "--jobs", "1"]
    main([*command, str(tmp_path / "ct")])
    assert hd.seg.segread(tmp_path / "out" / "ct" / SEG_NAME).number_of_segments == 7
    assert hd.sr.srread(tmp_path / "out" / "ct" / SR_NAME).StudyInstanceUID
    write_volume(tmp_path / "ct.nii.gz", ct)
    with pytest.raises(SystemExit):
        main([*command, str(tmp_path / "ct.nii.gz")])
    assert "expected CTs in DICOM" in capsys.readouterr().err
