"""The folder that is published, and everything that must not get into it."""

import gzip
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest
from public_series import SECRET_HU, mixed_cases, public_series, write_mixed_folder

from saros_hf.case_table import TABLE_NAME, read_case_table, write_case_table
from saros_hf.cases import Case
from saros_hf.errors import RightsError, SarosError, UnknownLabelError, UsageError
from saros_hf.publish import DatasetFolder, write_dataset_folder
from saros_hf.rights import Part


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_mixed_folder(tmp_path / "data")


def publish(
    folder: Path, parts: tuple[Part, ...] = ("masks", "cc-by", "cc-by-nc")
) -> DatasetFolder:
    return write_dataset_folder(folder.parent / "out", folder, parts, repo_id="user/saros")


def cases_in(ready: DatasetFolder, config: str) -> list[str]:
    shards = sorted((ready.folder / config).glob("*.parquet"))
    return sorted({one for s in shards for one in pq.read_table(s)["case_id"].to_pylist()})


def holds_secret(out: Path) -> bool:
    """Return whether any shard holds a voxel of the CT under controlled access."""
    for shard in out.rglob("*.parquet"):
        for row in pq.read_table(shard).to_pylist():
            image = row.get("image")
            if isinstance(image, dict):
                file = nibabel.Nifti1Image.from_bytes(gzip.decompress(image["bytes"]))
                if (np.asanyarray(file.dataobj) == SECRET_HU).any():
                    return True
            elif image is not None and (np.asarray(image) == SECRET_HU).any():
                return True
    return False


def test_every_licence_has_its_place(folder: Path) -> None:
    ready = publish(folder)
    everything = [f"case_00{n}" for n in range(5)]
    assert ready.configs == ("volumes", "slices", "masks", "volumes-nc", "slices-nc")
    assert cases_in(ready, "masks") == everything
    assert cases_in(ready, "volumes") == cases_in(ready, "slices") == everything[:3]
    assert cases_in(ready, "volumes-nc") == cases_in(ready, "slices-nc") == ["case_003"]
    assert ready.withheld == {"case_004": "HNSCC: NIH controlled access"}
    assert not holds_secret(ready.folder)
    on_disk = {str(p.relative_to(ready.folder)) for p in ready.folder.rglob("*") if p.is_file()}
    assert {one for one in on_disk if not one.startswith(".saros")} == set(ready.files)


def test_by_default_no_non_commercial_ct(folder: Path) -> None:
    ready = publish(folder, ("masks", "cc-by"))
    assert ready.configs == ("volumes", "slices", "masks")
    assert "-nc" not in (ready.folder / "README.md").read_text()


def table_edited(folder: Path, change: Callable[[Case], Case]) -> None:
    rows = [
        change(one) if one.case_id == "case_004" else one
        for one in read_case_table(folder / TABLE_NAME)
    ]
    write_case_table(folder / TABLE_NAME, rows)


def as_cc_by(folder: Path) -> None:
    table_edited(folder, lambda one: replace(one, collection="C4KC-KiTS"))


def as_synthetic(folder: Path) -> None:
    table_edited(folder, lambda one: replace(one, collection="SYNTHETIC-PHANTOM"))


def as_another_spelling(folder: Path) -> None:
    table_edited(folder, lambda one: replace(one, collection="hnscc"))


def under_the_series_of_another_case(folder: Path) -> None:
    uid = mixed_cases()[0].series_instance_uid
    table_edited(folder, lambda one: replace(one, collection="C4KC-KiTS", series_instance_uid=uid))


def under_a_non_commercial_series(folder: Path) -> None:
    uid = public_series("nsclc_radiomics")[1]
    table_edited(folder, lambda one: replace(one, collection="C4KC-KiTS", series_instance_uid=uid))


def in_the_folder_of_another_case(folder: Path) -> None:
    for file in (folder / "case_004").iterdir():
        shutil.copy(file, folder / "case_000" / file.name)


def in_there_and_compressed_anew(folder: Path) -> None:
    in_the_folder_of_another_case(folder)
    packed = gzip.compress(
        gzip.decompress((folder / "case_004" / "image.nii.gz").read_bytes()), compresslevel=1
    )
    (folder / "case_000" / "image.nii.gz").write_bytes(packed)


def by_a_link(folder: Path) -> None:
    shutil.rmtree(folder / "case_000")
    (folder / "case_000").symlink_to(folder / "case_004")


def on_the_label_maps_of_another_case(folder: Path) -> None:
    """The grid of the label maps gives it away."""
    shutil.move(folder / "case_004" / "image.nii.gz", folder / "case_000" / "image.nii.gz")


def as_a_label_map(folder: Path) -> None:
    shutil.copy(folder / "case_004" / "image.nii.gz", folder / "case_004" / "body-regions.nii.gz")


ATTACKS = (
    as_cc_by,
    as_synthetic,
    as_another_spelling,
    under_the_series_of_another_case,
    under_a_non_commercial_series,
    in_the_folder_of_another_case,
    in_there_and_compressed_anew,
    by_a_link,
    on_the_label_maps_of_another_case,
    as_a_label_map,
)


STOPPED = ATTACKS[5:]
"""Those that are no question of the table: the command stops and names the case."""


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_no_ct_under_controlled_access_gets_through(
    folder: Path, attack: Callable[[Path], None]
) -> None:
    attack(folder)
    if attack in STOPPED:
        with pytest.raises(SarosError, match=r"case_00[04]"):
            publish(folder)
    else:
        assert "case_004" in publish(folder).withheld
    assert not holds_secret(folder.parent / "out")


def test_the_witness_of_these_attacks_sees(folder: Path) -> None:
    """With the one check that stops it switched off, a smuggled CT is found."""
    images = folder / "case_004" / "image.nii.gz", folder / "case_000" / "image.nii.gz"
    voxels = nibabel.Nifti1Image.from_filename(images[1])
    secret = np.full(voxels.shape, SECRET_HU, np.int16)
    nibabel.Nifti1Image(secret, voxels.affine).to_filename(images[1])
    assert holds_secret(publish(folder).folder)


def test_a_shard_that_was_put_there_is_not_published(folder: Path) -> None:
    ready = publish(folder)
    shard = ready.folder / "volumes-nc" / "train-00000-of-00001.parquet"
    shutil.copy(shard, ready.folder / "volumes" / "train-00007-of-00008.parquet")
    with pytest.raises(RightsError, match=r"train-00007-of-00008.parquet: found case_003, series"):
        publish(folder)


def test_pixels_among_the_label_maps_are_not_published(folder: Path) -> None:
    ready = publish(folder)
    shard = ready.folder / "volumes" / "train-00000-of-00001.parquet"
    shutil.copy(shard, ready.folder / "masks" / "train-00000-of-00001.parquet")
    with pytest.raises(RightsError, match=r"masks/train-00000-of-00001.parquet: found CTs"):
        publish(folder)


@pytest.mark.parametrize("place", ["case_004.nii.gz", "volumes/case_004.nii.gz"])
def test_a_file_that_was_put_there_is_not_published(folder: Path, place: str) -> None:
    ready = publish(folder)
    shutil.copy(folder / "case_004" / "image.nii.gz", ready.folder / place)
    with pytest.raises(UsageError, match="did not write"):
        publish(folder)


def test_a_ct_as_label_map_is_told_by_name(folder: Path) -> None:
    as_a_label_map(folder)
    with pytest.raises(UnknownLabelError, match="case_004"):
        publish(folder)


def test_shards_are_built_anew_only_if_their_cases_changed(folder: Path) -> None:
    def written(ready: DatasetFolder) -> dict[str, int]:
        return {name: (ready.folder / name).stat().st_mtime_ns for name in ready.files}

    first = written(publish(folder))
    second = written(publish(folder))
    shards = [name for name in first if name.endswith(".parquet")]
    assert all(first[name] == second[name] for name in shards)
    mask = folder / "case_003" / "body-parts.nii.gz"
    mask.unlink()
    third = written(publish(folder))
    changed = {name.partition("/")[0] for name in shards if third[name] != second[name]}
    assert changed == {"volumes", "slices", "masks", "volumes-nc", "slices-nc"}


def test_a_folder_without_public_cts_says_why(folder: Path) -> None:
    table_edited(folder, lambda one: one)
    rows = [one for one in read_case_table(folder / TABLE_NAME) if one.case_id == "case_004"]
    write_case_table(folder / TABLE_NAME, rows)
    with pytest.raises(SarosError, match=r"no CT that may be published as cc-by \(case_004: HNSCC"):
        publish(folder, ("cc-by",))
    assert publish(folder, ("masks",)).configs == ("masks",)
