"""Tissue map as DICOM SEG and measurements as DICOM SR (TID 1500), by highdicom."""

from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..archive.local_files import open_source
from ..dicom import find_series
from ..dicom.series import ordered
from ..errors import DicomError, UsageError
from ..files import write_atomically
from ..labels import IGNORE_INDEX
from ..nifti import SUFFIXES
from .result import Composition
from .sources import CaseInput
from .tissues import TISSUES, Tissue

if TYPE_CHECKING:
    import highdicom as hd
    from pydicom.dataset import Dataset
    from pydicom.sr.coding import Code

__all__ = ["refuse_dicom_output", "source_slices", "write_dicom"]

SEG_NAME = "tissues.dcm"
SR_NAME = "measurements.dcm"

_MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_TISSUE = ("85756007", "SCT", "Tissue")
_ADIPOSE = ("55603005", "SCT", "Adipose tissue")
_CODES = {
    "muscle": ("127954009", "SCT", "Skeletal muscle"),
    "bone": ("272673000", "SCT", "Bone"),
    "subcutaneous_adipose": ("67769002", "SCT", "Subcutaneous fat"),
    "visceral_adipose": ("725273006", "SCT", "Adipose tissue of abdomen"),
}
_REGIONS = {
    "intermuscular_adipose": ("127954009", "SCT", "Skeletal muscle"),
    "paracardial_adipose": ("72410000", "SCT", "Mediastinum"),
    "epicardial_adipose": ("76848001", "SCT", "Pericardium"),
}
"""Where an adipose tissue without a code of its own is found."""


def refuse_dicom_output(inputs: Sequence[CaseInput]) -> None:
    """Raise unless SEG and SR can be written for all CTs.

    Raises:
        UsageError: highdicom is not installed, or a CT is NIfTI.
    """
    if find_spec("highdicom") is None:
        remedy = 'Install: pip install "saros-hf[dicom]"'
        raise UsageError("--dicom", "no package highdicom", "it", remedy)
    for one in inputs:
        if one.ct.name.endswith(SUFFIXES):
            remedy = "Leave out --dicom, or give the DICOM series: NIfTI names no study."
            raise UsageError("--dicom", f"the NIfTI file {one.ct}", "CTs in DICOM", remedy)


def source_slices(ct: Path) -> list["Dataset"]:
    """Return the headers of a DICOM series, slice k of its volume at place k."""
    from pydicom import dcmread

    with open_source(ct) as files:
        (series,) = find_series(files.paths).series
        slices = ordered(series).slices
        headers: list[Dataset] = [dcmread(one.path, stop_before_pixels=True) for one in slices]
    _complete(headers, slice_mm=series.spacing_mm[2])
    return headers


def _complete(headers: Sequence["Dataset"], *, slice_mm: float) -> None:
    """Fill in what an anonymiser has removed and highdicom asks for.

    Raises:
        DicomError: A slice has no UIDs to refer to.
    """
    from pydicom.uid import CTImageStorage, generate_uid

    filled = {
        "SOPClassUID": CTImageStorage,
        "SliceThickness": slice_mm,
        "FrameOfReferenceUID": generate_uid(),
    }
    for header in headers:
        for keyword, value in filled.items():
            if not header.get(keyword):
                setattr(header, keyword, value)
        for keyword in _MAY_BE_EMPTY:
            if keyword not in header:
                setattr(header, keyword, None)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            if not header.get(keyword):
                raise DicomError(
                    str(header.filename),
                    f"no {keyword}",
                    "one, to which SEG and SR refer",
                    "Leave out --dicom, or export the series with its UIDs.",
                )


def write_dicom(folder: Path, sources: Sequence["Dataset"], composition: Composition) -> None:
    """Write ``tissues.dcm`` and ``measurements.dcm`` into the study of a CT.

    Args:
        folder: Folder to write to.
        sources: Headers of the slices in the order of the volume.
        composition: Measurement of that volume.
    """
    segmentation, numbers = _segmentation(sources, composition)
    for name, dataset in (
        (SEG_NAME, segmentation),
        (SR_NAME, _report(sources, composition, segmentation, numbers)),
    ):
        with write_atomically(folder / name) as aside:
            dataset.save_as(aside)


def _segmentation(
    sources: Sequence["Dataset"], composition: Composition
) -> tuple["hd.seg.Segmentation", dict[str, int]]:
    """Return a SEG with a segment for each tissue present, and the segment numbers."""
    import highdicom as hd

    # Volumes are indexed (column, row, slice).
    labels = composition.tissue_map.array.transpose(2, 1, 0)
    present = set(np.unique(labels).tolist()) - {0, IGNORE_INDEX}
    tissues = [one for one in TISSUES if one.map_label in present]
    segments = np.zeros(256, np.uint8)
    segments[[one.map_label for one in tissues]] = np.arange(1, len(tissues) + 1)
    segmentation = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=segments[labels],
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_description(n, one) for n, one in enumerate(tissues, start=1)],
        series_description="Body composition, tissues",
        **_identity(1),
    )
    return segmentation, {one.name: n for n, one in enumerate(tissues, start=1)}


def _description(number: int, tissue: Tissue) -> "hd.seg.SegmentDescription":
    import highdicom as hd
    from pydicom.sr.codedict import codes

    region = _REGIONS.get(tissue.name)
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=tissue.title,
        segmented_property_category=_code(_TISSUE),
        segmented_property_type=_code(_CODES.get(tissue.name, _ADIPOSE)),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name="saros-hf composition", family=codes.DCM.ArtificialIntelligence, version=_version()
        ),
        tracking_uid=hd.UID(),
        tracking_id=tissue.name,
        anatomic_regions=None if region is None else [_code(region)],
    )


def _report(
    sources: Sequence["Dataset"],
    composition: Composition,
    segmentation: "hd.seg.Segmentation",
    numbers: dict[str, int],
) -> "hd.sr.Comprehensive3DSR":
    """Return volumes and mean HU of every segment, and areas at every level."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    observer = hd.sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=hd.UID(), name="saros-hf"
        ),
    )
    measured = [
        hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(hd.UID(), name),
            referenced_segment=hd.sr.ReferencedSegment.from_segmentation(segmentation, number),
            finding_type=_code(_CODES.get(name, _ADIPOSE)),
            measurements=_volume_measurements(composition, name),
        )
        for name, number in numbers.items()
    ]
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.cid100.CTUnspecifiedBodyRegion,
        imaging_measurements=[*measured, *_level_measurements(composition)],
        title=codes.DCM.ImagingMeasurementReport,
    )
    return hd.sr.Comprehensive3DSR(
        evidence=[*sources, segmentation],
        content=report,
        is_complete=True,
        series_description="Body composition, measurements",
        **_identity(2),
    )


def _volume_measurements(composition: Composition, name: str) -> list["hd.sr.Measurement"]:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    row = composition.volume(name)
    hu = _code(("[hnsf'U]", "UCUM", "Hounsfield unit"))
    return [
        hd.sr.Measurement(codes.SCT.Volume, row.volume_ml, _code(("mL", "UCUM", "mL"))),
        hd.sr.Measurement(
            _code(("112031", "DCM", "Attenuation Coefficient")),
            row.hu.mean_hu,
            hu,
            derivation=codes.SCT.Mean,
        ),
    ]


def _level_measurements(
    composition: Composition,
) -> list["hd.sr.MeasurementsAndQualitativeEvaluations"]:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    measurement = partial(
        hd.sr.Measurement, codes.SCT.Area, unit=_code(("cm2", "UCUM", "square centimetre"))
    )
    return [
        hd.sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(
                hd.UID(), f"{name} at {row.level}, {row.way}, {row.extent}"
            ),
            finding_type=_code(_CODES[name]),
            measurements=[measurement(value=row.tissues[name].area_cm2)],
        )
        for row in composition.levels
        for name in _CODES
        if row.tissues[name].area_cm2 >= 0  # not NaN
    ]


def _identity(series_number: int) -> dict[str, Any]:
    """Return what identifies a new instance and the software that made it."""
    import highdicom as hd

    return {
        "series_instance_uid": hd.UID(),
        "series_number": 9000 + series_number,
        "sop_instance_uid": hd.UID(),
        "instance_number": 1,
        "manufacturer": "saros-hf",
        **(
            {
                "manufacturer_model_name": "saros-hf composition",
                "software_versions": _version(),
                "device_serial_number": "0",
            }
            if series_number == 1
            else {}
        ),
    }


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("saros-hf")
    except PackageNotFoundError:
        return "unknown"


def _code(triple: tuple[str, str, str]) -> "Code":
    from pydicom.sr.coding import Code

    value, scheme, meaning = triple
    return Code(value, scheme, meaning)
