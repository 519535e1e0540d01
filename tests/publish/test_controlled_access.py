"""CTs under controlled access, and every way that came to mind to get one published."""

import gzip
import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.mask_zip import write_members
from helpers.public_series import (
    CONTROLLED,
    SECRET_HU,
    mixed_cases,
    public_series,
    write_mixed_folder,
)

from saros_hf.archive.obtain_files import MASKS
from saros_hf.cases.case import PHANTOM_DESCRIPTION, Case
from saros_hf.cases.source import SOURCE_NAME
from saros_hf.cases.table import TABLE_NAME, read_case_table, write_case_table
from saros_hf.errors import SarosError
from saros_hf.nifti import read_image, write_volume
from saros_hf.phantom.write_cohort import MARKER_NAME
from saros_hf.publish.dataset_folder import DatasetFolder, write_dataset_folder
from saros_hf.publish.rights import Part

SECRET_TEXT = b"Doe^John"
SECRET_VOXELS = 20 * struct.pack("<h", SECRET_HU)

REGIONS = "body-regions.nii.gz"
SHARD = "train-00000-of-00001.parquet"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_mixed_folder(tmp_path / "data")


def publish(folder: Path, *parts: Part) -> DatasetFolder:
    parts = parts or ("masks", "cc-by")
    return write_dataset_folder(folder.parent / "out", folder, parts, repo_id="user/saros")


def tells_secret(value: Any) -> bool:  # noqa: ANN401 - any cell of a row
    """Return whether a cell holds the CT or the name: voxels, NIfTI bytes or anything else."""
    if isinstance(value, dict):
        return any(tells_secret(one) for one in value.values())
    if isinstance(value, bytes):
        content = gzip.decompress(value) if value[:2] == b"\x1f\x8b" else value
        return SECRET_VOXELS in content or SECRET_TEXT in content
    if isinstance(value, str):
        return SECRET_TEXT.decode() in value
    return isinstance(value, list) and bool((np.asarray(value, dtype=object) == SECRET_HU).any())


def holds_secret(out: Path) -> bool:
    files = [path for path in out.rglob("*") if path.is_file()]
    rows = (
        row for one in files if one.suffix == ".parquet" for row in pq.read_table(one).to_pylist()
    )
    return any(tells_secret(cell) for row in rows for cell in row.values()) or any(
        tells_secret(path.read_bytes()) for path in files if path.suffix != ".parquet"
    )


def table_edited(folder: Path, change: Callable[[Case], Case]) -> None:
    rows = [
        change(one) if one.case_id == "case_004" else one
        for one in read_case_table(folder / TABLE_NAME)
    ]
    write_case_table(folder / TABLE_NAME, rows)


def as_cc_by(folder: Path) -> None:
    table_edited(folder, lambda one: replace(one, collection="C4KC-KiTS"))


def as_another_spelling(folder: Path) -> None:
    table_edited(folder, lambda one: replace(one, collection="hnscc"))


def as_synthetic(folder: Path) -> None:
    table_edited(
        folder,
        lambda one: replace(one, collection="SYNTHETIC-PHANTOM", series_instance_uid="2.25.1"),
    )


def as_synthetic_with_a_marker(folder: Path) -> None:
    marker = {"description": PHANTOM_DESCRIPTION, "cases": 5, "seed": 0, "size": 64}
    (folder / MARKER_NAME).write_text(json.dumps(marker))
    as_synthetic(folder)


def under_the_series_of_another_case(folder: Path) -> None:
    uid = mixed_cases()[0].series_instance_uid
    table_edited(folder, lambda one: replace(one, collection="C4KC-KiTS", series_instance_uid=uid))


def under_a_non_commercial_series(folder: Path) -> None:
    uid = public_series("nsclc_radiomics")[1]
    table_edited(folder, lambda one: replace(one, collection="C4KC-KiTS", series_instance_uid=uid))


def in_place_of_another_case(folder: Path) -> None:
    """As the authors' script leaves cases: nothing in a folder tells whose CT it is."""
    (folder / "case_004" / SOURCE_NAME).unlink()
    _in_place_of_case_000(folder)


def in_place_of_another_case_with_its_record(folder: Path) -> None:
    _in_place_of_case_000(folder)


def in_place_of_another_case_beside_the_zip(folder: Path) -> None:
    members = [
        (f"SAROS/{one.name}/{REGIONS}", (one / REGIONS).read_bytes())
        for one in sorted(folder.glob("case_*"))
    ]
    write_members(folder / MASKS.name, *members)
    in_place_of_another_case(folder)


def _in_place_of_case_000(folder: Path) -> None:
    shutil.rmtree(folder / "case_000")
    (folder / "case_004").rename(folder / "case_000")


def in_the_folder_of_another_case(folder: Path) -> None:
    for file in (folder / "case_004").glob("*.nii.gz"):
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
    shutil.copy(folder / "case_004" / "image.nii.gz", folder / "case_004" / REGIONS)


def behind_a_label_map(folder: Path) -> None:
    """As a second gzip member, which NIfTI readers do not look at."""
    regions, image = folder / "case_004" / REGIONS, folder / "case_004" / "image.nii.gz"
    regions.write_bytes(regions.read_bytes() + image.read_bytes())


def in_the_header_of_a_label_map(folder: Path) -> None:
    path = folder / "case_004" / REGIONS
    stored = nibabel.Nifti1Image.from_filename(path)
    header = stored.header.copy()
    header["db_name"] = header["descrip"] = SECRET_TEXT
    secret = (folder / "case_004" / "image.nii.gz").read_bytes()
    for content in (SECRET_TEXT, gzip.decompress(secret)):
        header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", content))
    nibabel.Nifti1Image(np.asanyarray(stored.dataobj), stored.affine, header).to_filename(path)


def in_a_shard_that_was_built(folder: Path) -> None:
    publish(folder, "masks")
    forge(folder)


def forge(folder: Path, what: str = "image.nii.gz") -> None:
    """Put a file of case_004 into every row of a shard of label maps."""
    shard = folder.parent / "out" / "masks" / SHARD
    table = pq.read_table(shard)
    secret = {"bytes": (folder / "case_004" / what).read_bytes(), "path": None}
    rows = [row | {"body_regions": secret} for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), shard)


WITHHELD = {
    as_cc_by: "case_004",
    as_another_spelling: "case_004",
    as_synthetic: "case_004",
    as_synthetic_with_a_marker: "case_004",
    under_the_series_of_another_case: "case_004",
    under_a_non_commercial_series: "case_004",
    in_place_of_another_case: "case_000",
}
"""The case that is not published, and everything else is."""

STOPPED = (
    in_place_of_another_case_with_its_record,
    in_place_of_another_case_beside_the_zip,
    in_the_folder_of_another_case,
    in_there_and_compressed_anew,
    by_a_link,
    on_the_label_maps_of_another_case,
    as_a_label_map,
)
"""The command says which case it is and publishes nothing."""

CLEANED = (behind_a_label_map, in_the_header_of_a_label_map, in_a_shard_that_was_built)
"""What is published is without it."""

ATTACKS = (*WITHHELD, *STOPPED, *CLEANED)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_no_ct_under_controlled_access_gets_through(
    folder: Path, attack: Callable[[Path], None]
) -> None:
    attack(folder)
    if attack in STOPPED:
        with pytest.raises(SarosError, match=r"case_00[04]"):
            publish(folder)
    else:
        ready = publish(folder)
        withheld = {**ready.withheld, **ready.left_out}
        assert WITHHELD.get(attack, "case_004") in withheld
    assert not holds_secret(folder.parent / "out")


def test_the_witness_of_these_attacks_sees(folder: Path) -> None:
    """What the checks keep out is found where it gets in."""
    out = publish(folder, "masks").folder
    assert not holds_secret(out)
    for attack in (behind_a_label_map, in_the_header_of_a_label_map):
        attack(folder)
        forge(folder, REGIONS)
        assert holds_secret(out)
        publish(folder, "masks")
        assert not holds_secret(out)
    image = folder / "case_000" / "image.nii.gz"
    voxels = read_image(image)
    write_volume(image, replace(voxels, array=np.full(voxels.shape, SECRET_HU, np.int16)))
    assert holds_secret(publish(folder).folder)


def test_the_series_under_controlled_access_is_no_public_one() -> None:
    assert all(CONTROLLED not in public_series(name) for name in ("c4kc_kits", "cptac_pda"))
