"""The folder that is published: what is in it, what is not, and how it comes to be again."""

import gzip
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import pyarrow.parquet as pq
import pytest
from helpers.mask_zip import write_members
from helpers.public_series import write_mixed_folder
from huggingface_hub import DatasetCard

from saros_hf.archive.obtain_files import MASKS
from saros_hf.cases.case import PHANTOM_DESCRIPTION
from saros_hf.cases.source import SOURCE_NAME
from saros_hf.cases.table import TABLE_NAME, read_case_table, write_case_table
from saros_hf.errors import RightsError, SarosError, UnknownLabelError, UsageError
from saros_hf.files import sha256
from saros_hf.nifti import read_image, read_mask, write_volume
from saros_hf.phantom.write_cohort import MARKER_NAME
from saros_hf.publish.dataset_folder import DatasetFolder, write_dataset_folder
from saros_hf.publish.rights import Part
from saros_hf.publish.shards import refuse_foreign_rows

EVERYTHING: tuple[Part, ...] = ("masks", "cc-by", "cc-by-nc")
SHARD = "train-00000-of-00001.parquet"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_mixed_folder(tmp_path / "data")


def publish(folder: Path, parts: tuple[Part, ...] = EVERYTHING) -> DatasetFolder:
    return write_dataset_folder(folder.parent / "out", folder, parts, repo_id="user/saros")


def cases_in(ready: DatasetFolder, config: str) -> list[str]:
    shards = sorted((ready.folder / config).glob("*.parquet"))
    return sorted({one for s in shards for one in pq.read_table(s)["case_id"].to_pylist()})


def on_disk(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def written(ready: DatasetFolder) -> dict[str, int]:
    shards = [name for name in ready.files if name.endswith(".parquet")]
    return {name: (ready.folder / name).stat().st_mtime_ns for name in shards}


def test_every_licence_has_its_place(folder: Path) -> None:
    ready = publish(folder)
    everything = [f"case_00{n}" for n in range(5)]
    assert ready.configs == ("volumes", "slices", "masks", "volumes-nc", "slices-nc")
    assert cases_in(ready, "masks") == everything
    assert cases_in(ready, "volumes") == cases_in(ready, "slices") == everything[:3]
    assert cases_in(ready, "volumes-nc") == cases_in(ready, "slices-nc") == ["case_003"]
    assert ready.withheld == {"case_004": "HNSCC: NIH controlled access"}
    assert on_disk(ready.folder) == set(ready.files)


def test_parts_that_are_not_asked_for_leave_the_folder(folder: Path) -> None:
    before = written(publish(folder))
    less = publish(folder, ("masks", "cc-by"))
    assert less.configs == ("volumes", "slices", "masks")
    assert on_disk(less.folder) == set(less.files)
    assert "-nc" not in (less.folder / "README.md").read_text()
    assert written(publish(folder)) == before


def test_nothing_of_a_case_that_is_not_of_saros_is_published(folder: Path) -> None:
    rows = list(read_case_table(folder / TABLE_NAME))
    rows[1] = replace(rows[1], collection="My-Hospital", patient_id="Doe^John")
    write_case_table(folder / TABLE_NAME, rows)
    lines = (folder / TABLE_NAME).read_text().splitlines()
    more = [f"{line},{'local_mrn' if n == 0 else f'MRN-{n}'}" for n, line in enumerate(lines)]
    (folder / TABLE_NAME).write_text("\n".join(more) + "\n")
    ready = publish(folder)
    assert ready.left_out == {"case_001": "My-Hospital: no collection of SAROS"}
    for config in ready.configs:
        assert "case_001" not in cases_in(ready, config)
    others = [one for one in rows if one.case_id != "case_001"]
    assert list(read_case_table(ready.folder / TABLE_NAME)) == others
    for name in (TABLE_NAME, "README.md"):
        text = (ready.folder / name).read_text()
        assert not [one for one in ("My-Hospital", "Doe", "mrn", "MRN") if one in text]


def test_cts_that_are_not_here_hold_up_no_others(folder: Path) -> None:
    """Those under controlled access after the official ZIP was unpacked, or not fetched yet."""
    for name in ("case_001", "case_004"):
        (folder / name / "image.nii.gz").unlink()
    ready = publish(folder, ("masks", "cc-by"))
    assert cases_in(ready, "volumes") == cases_in(ready, "slices") == ["case_000", "case_002"]
    assert cases_in(ready, "masks") == [f"case_00{n}" for n in range(5)]
    assert ready.withheld == {
        "case_001": "not in the folder: saros download fetches it",
        "case_004": "HNSCC: NIH controlled access",
    }


def test_label_maps_alone_need_neither_index_nor_cts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "idc_index_data", None)
    for image in folder.glob("case_*/image.nii.gz"):
        image.write_bytes(b"no CT")
    ready = publish(folder, ("masks",))
    assert ready.configs == ("masks",)
    assert not ready.withheld
    with pytest.raises(UsageError, match="no package idc-index-data"):
        publish(folder, ("masks", "cc-by"))


def test_the_zip_of_label_maps_tells_whose_cts_they_are(folder: Path) -> None:
    """In a folder of the authors' script: without either witness no CT leaves it."""
    for case in folder.glob("case_*"):
        (case / SOURCE_NAME).unlink()
    with pytest.raises(
        SarosError, match=r"as cc-by \(.*case_000: nothing tells which series it is"
    ):
        publish(folder, ("cc-by",))
    regions = {case.name: case / "body-regions.nii.gz" for case in folder.glob("case_*")}
    members = [(f"SAROS/{name}/{path.name}", path.read_bytes()) for name, path in regions.items()]
    write_members(folder / MASKS.name, *members)
    anew = regions["case_001"]
    write_volume(anew, read_mask(anew, "body-regions"), description="a file with other bytes")
    assert cases_in(publish(folder, ("cc-by",)), "volumes") == ["case_000", "case_001", "case_002"]


def test_a_folder_without_public_cts_says_why(folder: Path) -> None:
    rows = [one for one in read_case_table(folder / TABLE_NAME) if one.case_id == "case_004"]
    write_case_table(folder / TABLE_NAME, rows)
    with pytest.raises(SarosError, match=r"no CT that may be published as cc-by \(case_004: HNSCC"):
        publish(folder, ("cc-by",))
    write_case_table(folder / TABLE_NAME, [replace(rows[0], collection="Mine")])
    with pytest.raises(SarosError, match=r"no label map .* \(case_004: Mine: no collection"):
        publish(folder, ("masks",))


def test_a_ct_as_label_map_is_told_by_name(folder: Path) -> None:
    shutil.copy(folder / "case_004" / "image.nii.gz", folder / "case_004" / "body-regions.nii.gz")
    with pytest.raises(UnknownLabelError, match="case_004"):
        publish(folder)


def test_shards_are_built_anew_only_if_their_cases_changed(folder: Path) -> None:
    first = written(publish(folder))
    assert written(publish(folder)) == first
    (folder / "case_003" / "body-parts.nii.gz").unlink()
    third = written(publish(folder))
    assert all(third[name] != first[name] for name in first)


def test_a_folder_that_was_tampered_with_is_made_whole(folder: Path) -> None:
    ready = publish(folder)
    whole = {name: sha256(ready.folder / name) for name in ready.files}
    (ready.folder / "volumes" / SHARD).unlink()
    for shard in (ready.folder / "masks").iterdir():
        shard.unlink()
    shutil.copy(
        ready.folder / "volumes-nc" / SHARD,
        ready.folder / "slices" / "train-00007-of-00008.parquet",
    )
    (ready.folder / "volumes-nc" / SHARD).write_bytes(b"PAR1")
    killed = ready.folder / ".writing-abc"
    killed.mkdir()
    (killed / "README.md").write_text("# Half a card")
    again = publish(folder)
    assert on_disk(again.folder) == set(ready.files)
    assert {name: sha256(again.folder / name) for name in again.files} == whole


@pytest.mark.parametrize("place", ["case_004.nii.gz", "volumes/case_004.nii.gz"])
def test_a_file_that_was_put_there_is_not_published(folder: Path, place: str) -> None:
    ready = publish(folder, ("masks", "cc-by"))
    shutil.copy(folder / "case_004" / "image.nii.gz", ready.folder / place)
    with pytest.raises(UsageError, match="did not write"):
        publish(folder)


def test_the_last_look_finds_what_should_not_be_there(folder: Path) -> None:
    out = publish(folder, ("masks", "cc-by")).folder
    uids = {one.case_id: one.series_instance_uid for one in read_case_table(folder / TABLE_NAME)}
    refuse_foreign_rows(out, "volumes", uids)
    with pytest.raises(RightsError, match=rf"volumes/{SHARD}: found case_000, series"):
        refuse_foreign_rows(out, "volumes", uids | {"case_000": "1.2.3"})
    shutil.copy(out / "volumes" / SHARD, out / "masks" / SHARD)
    with pytest.raises(RightsError, match=rf"masks/{SHARD}: found CTs"):
        refuse_foreign_rows(out, "masks", uids)


@pytest.mark.parametrize("description", ["", PHANTOM_DESCRIPTION])
def test_a_phantom_is_known_by_its_voxels(phantoms: Path, tmp_path: Path, description: str) -> None:
    """Whatever its header says; case folders that are not there do not matter."""
    data = tmp_path / "phantoms"
    data.mkdir()
    for name in ("case_000", "case_001"):
        shutil.copytree(phantoms / name, data / name)
    for name in (TABLE_NAME, MARKER_NAME):
        shutil.copy(phantoms / name, data)
    kept = [one.case_id for one in read_case_table(data / TABLE_NAME)[2:]]
    image = read_image(data / "case_001" / "image.nii.gz")
    image.array[0, 0, 0] = 2719
    write_volume(data / "case_001" / "image.nii.gz", image, description=description)
    ready = write_dataset_folder(
        tmp_path / "out", data, ("masks", "cc-by"), repo_id="user/phantoms"
    )
    assert sorted(ready.withheld) == ["case_001", *kept]
    assert "not the phantom" in ready.withheld["case_001"]
    told = DatasetCard.load(ready.folder / "README.md").data
    assert told.annotations_creators == ["machine-generated"]
    assert (told.license, told.source_datasets) == ("cc-by-4.0", ["original"])
    rows = [
        row
        for path in (ready.folder / "volumes").iterdir()
        for row in pq.read_table(path).to_pylist()
    ]
    (row,) = rows
    assert row["case_id"] == "case_000"
    header = nibabel.Nifti1Image.from_bytes(gzip.decompress(row["image"]["bytes"])).header
    assert bytes(header["descrip"]).rstrip(b"\0").decode() == PHANTOM_DESCRIPTION
    assert "license: cc-by-4.0\n" in (ready.folder / "README.md").read_text()
