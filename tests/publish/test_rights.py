"""The guard that keeps CTs under controlled access from being published by mistake."""

import gzip
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
from helpers.case_folders import case
from helpers.mask_zip import write_members
from helpers.public_series import (
    CONTROLLED,
    SECRET_HU,
    mixed_cases,
    public_series,
    write_mixed_folder,
)
from hypothesis import given
from hypothesis import strategies as st

from saros_hf.archive.obtain_files import MASKS
from saros_hf.cases.case import Case
from saros_hf.cases.licenses import License
from saros_hf.cases.source import SOURCE_NAME
from saros_hf.cases.table import TABLE_NAME, read_case_table, write_case_table
from saros_hf.check.paper_tables import TABLE_1
from saros_hf.errors import GridMismatchError, RightsError, SarosError, UnknownLabelError
from saros_hf.nifti import read_image, write_volume
from saros_hf.phantom.table import phantom_cohort
from saros_hf.publish.dataset_folder import DatasetFolder, write_dataset_folder
from saros_hf.publish.rights import objections

PUBLIC: dict[str, License] = {
    "1.2.3.1": "CC BY 3.0",
    "1.2.3.2": "CC BY 4.0",
    "1.2.3.3": "CC BY-NC 3.0",
}
IMAGE, REGIONS = "image.nii.gz", "body-regions.nii.gz"
SECRET_TEXT = b"Doe^John"
SECRET_VOXELS = 20 * struct.pack("<h", SECRET_HU)


def row(number: int, collection: str, uid: str | None = None) -> Case:
    one = replace(case(f"case_{number:03d}"), collection=collection)
    return one if uid is None else replace(one, series_instance_uid=uid)


def test_table_and_index_must_agree() -> None:
    cases = [
        row(0, "C4KC-KiTS"),
        row(1, "CPTAC-PDA"),
        row(2, "NSCLC-Radiomics"),
        row(3, "HNSCC"),
        row(4, "LIDC-IDRI"),
        row(5, "LIDC-IDRI", "1.2.3.3000"),
        row(6, "My-Hospital"),
    ]
    public: dict[str, License] = PUBLIC | {"1.2.3.3000": "CC BY-NC 3.0"}
    assert objections(cases, public) == {
        "case_003": "HNSCC: NIH controlled access",
        "case_004": "series 1.2.3.5 is not public",
        "case_005": "CC BY 3.0 by its collection, CC BY-NC 3.0 by the archive",
        "case_006": "My-Hospital: unknown",
    }


def test_two_rows_of_one_series_are_both_withheld() -> None:
    cases = [row(0, "C4KC-KiTS"), row(7, "C4KC-KiTS", "1.2.3.1")]
    assert set(objections(cases, PUBLIC)) == {"case_000", "case_007"}


def test_phantoms_have_uids_of_their_own() -> None:
    cohort = phantom_cohort(3, seed=7)
    assert not objections(cohort, {})
    cases = [*cohort, row(8, "HNSCC"), row(9, "SYNTHETIC-PHANTOM")]
    assert objections(cases, {}) == {
        "case_008": "HNSCC: NIH controlled access",
        "case_009": "series 1.2.3.10 is no phantom",
    }


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*TABLE_1, "SYNTHETIC-PHANTOM", "Other"]),
            st.sampled_from([*PUBLIC, "1.2.3.4", "2.25.1"]),
        ),
        max_size=6,
    )
)
def test_publishable_cts_have_the_licence_of_the_index(rows: list[tuple[str, str]]) -> None:
    cases = [row(n, collection, uid) for n, (collection, uid) in enumerate(rows)]
    found = objections(cases, PUBLIC)
    for one in cases:
        if one.case_id not in found:
            uid = one.series_instance_uid
            assert one.license == PUBLIC.get(uid, "synthetic")
            assert (one.license == "synthetic") == (uid == "2.25.1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_mixed_folder(tmp_path / "data")


def publish(folder: Path) -> DatasetFolder:
    parts = ("masks", "cc-by")
    return write_dataset_folder(folder.parent / "out", folder, parts, repo_id="user/saros")


def is_secret(value: Any) -> bool:  # noqa: ANN401 - any cell of a row
    """Return whether a cell holds the CT or the name: voxels, NIfTI bytes or anything else."""
    if isinstance(value, dict):
        return any(is_secret(one) for one in value.values())
    if isinstance(value, bytes):
        content = gzip.decompress(value) if value[:2] == b"\x1f\x8b" else value
        return SECRET_VOXELS in content or SECRET_TEXT in content
    if isinstance(value, str):
        return SECRET_TEXT.decode() in value
    return isinstance(value, list) and bool((np.asarray(value, dtype=object) == SECRET_HU).any())


def holds_secret(out: Path) -> bool:
    files = [path for path in out.rglob("*") if path.is_file()]
    shards = [path for path in files if path.suffix == ".parquet"]
    rows = (one for path in shards for one in pq.read_table(path).to_pylist())
    return any(is_secret(cell) for one in rows for cell in one.values()) or any(
        is_secret(path.read_bytes()) for path in files if path not in shards
    )


def edit_row(folder: Path, **changes: str) -> None:
    rows = read_case_table(folder / TABLE_NAME)
    edited = [replace(one, **changes) if one.case_id == "case_004" else one for one in rows]
    write_case_table(folder / TABLE_NAME, edited)


def collection_reads_cc_by(folder: Path) -> None:
    edit_row(folder, collection="C4KC-KiTS")


def collection_in_lower_case(folder: Path) -> None:
    edit_row(folder, collection="hnscc")


def collection_reads_phantom(folder: Path) -> None:
    edit_row(folder, collection="SYNTHETIC-PHANTOM")


def row_reads_phantom(folder: Path) -> None:
    edit_row(folder, collection="SYNTHETIC-PHANTOM", series_instance_uid="2.25.1")


def row_names_the_series_of_another_case(folder: Path) -> None:
    uid = mixed_cases()[0].series_instance_uid
    edit_row(folder, collection="C4KC-KiTS", series_instance_uid=uid)


def row_names_a_public_series(folder: Path) -> None:
    edit_row(folder, collection="C4KC-KiTS", series_instance_uid=public_series("c4kc_kits")[2])


def row_names_a_non_commercial_series(folder: Path) -> None:
    uid = public_series("nsclc_radiomics")[1]
    edit_row(folder, collection="C4KC-KiTS", series_instance_uid=uid)


def case_folder_renamed(folder: Path) -> None:
    shutil.rmtree(folder / "case_000")
    (folder / "case_004").rename(folder / "case_000")


def case_folder_renamed_without_record(folder: Path) -> None:
    """As the authors' script leaves a case folder."""
    (folder / "case_004" / SOURCE_NAME).unlink()
    case_folder_renamed(folder)


def case_folder_renamed_beside_the_zip(folder: Path) -> None:
    write_zip(folder)
    case_folder_renamed_without_record(folder)


def case_folder_linked(folder: Path) -> None:
    shutil.rmtree(folder / "case_000")
    (folder / "case_000").symlink_to(folder / "case_004")


def files_copied_beside_the_zip(folder: Path) -> None:
    write_zip(folder)
    for file in (folder / "case_004").glob("*.nii.gz"):
        shutil.copy(file, folder / "case_000" / file.name)


def ct_beside_the_label_maps_of_another_case(folder: Path) -> None:
    shutil.move(folder / "case_004" / IMAGE, folder / "case_000" / IMAGE)


def ct_as_label_map(folder: Path) -> None:
    shutil.copy(folder / "case_004" / IMAGE, folder / "case_004" / REGIONS)


def ct_behind_a_label_map(folder: Path) -> None:
    """As a second gzip member, which NIfTI readers do not look at."""
    regions = folder / "case_004" / REGIONS
    regions.write_bytes(regions.read_bytes() + (folder / "case_004" / IMAGE).read_bytes())


def ct_in_the_header_of_a_label_map(folder: Path) -> None:
    path = folder / "case_004" / REGIONS
    stored = nibabel.Nifti1Image.from_filename(path)
    header = stored.header.copy()
    header["db_name"] = header["descrip"] = SECRET_TEXT
    for content in (SECRET_TEXT, gzip.decompress((folder / "case_004" / IMAGE).read_bytes())):
        header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", content))
    nibabel.Nifti1Image(np.asanyarray(stored.dataobj), stored.affine, header).to_filename(path)


def ct_in_a_shard_of_an_earlier_call(folder: Path) -> None:
    shard = publish(folder).folder / "masks" / "train-00000-of-00001.parquet"
    table = pq.read_table(shard)
    secret = {"bytes": (folder / "case_004" / IMAGE).read_bytes(), "path": None}
    rows = [one | {"body_regions": secret} for one in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), shard)
    assert holds_secret(shard.parent)


def write_zip(folder: Path) -> None:
    cases = sorted(folder.glob("case_*"))
    members = [(f"SAROS/{one.name}/{REGIONS}", (one / REGIONS).read_bytes()) for one in cases]
    write_members(folder / MASKS.name, *members)


MISTAKES: dict[Callable[[Path], None], type[SarosError] | str] = {
    collection_reads_cc_by: "case_004",
    collection_in_lower_case: "case_004",
    collection_reads_phantom: "case_004",
    row_reads_phantom: RightsError,
    row_names_the_series_of_another_case: "case_004",
    row_names_a_public_series: RightsError,
    row_names_a_non_commercial_series: "case_004",
    case_folder_renamed: RightsError,
    case_folder_renamed_without_record: "case_000",
    case_folder_renamed_beside_the_zip: RightsError,
    case_folder_linked: RightsError,
    files_copied_beside_the_zip: RightsError,
    ct_beside_the_label_maps_of_another_case: GridMismatchError,
    ct_as_label_map: UnknownLabelError,
    ct_behind_a_label_map: "case_004",
    ct_in_the_header_of_a_label_map: "case_004",
    ct_in_a_shard_of_an_earlier_call: "case_004",
}
"""The error that stops the command, or the case whose CT it withholds."""


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_no_ct_under_controlled_access_is_published(
    folder: Path, mistake: Callable[[Path], None]
) -> None:
    mistake(folder)
    outcome = MISTAKES[mistake]
    if isinstance(outcome, str):
        ready = publish(folder)
        assert outcome in {**ready.withheld, **ready.left_out}
    else:
        with pytest.raises(outcome, match=r"case_00[04]"):
            publish(folder)
    assert not holds_secret(folder.parent / "out")


def test_a_published_secret_would_be_found(folder: Path) -> None:
    image = folder / "case_000" / IMAGE
    voxels = read_image(image)
    write_volume(image, replace(voxels, array=np.full(voxels.shape, SECRET_HU, np.int16)))
    assert holds_secret(publish(folder).folder)
    for mistake in (ct_behind_a_label_map, ct_in_the_header_of_a_label_map):
        mistake(folder)
        assert holds_secret(folder / "case_004")
    assert all(CONTROLLED not in public_series(name) for name in ("c4kc_kits", "cptac_pda"))
