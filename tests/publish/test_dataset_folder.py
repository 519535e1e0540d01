"""Contents of the published dataset folder."""

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
from saros_hf.errors import SarosError, UsageError
from saros_hf.files import sha256
from saros_hf.nifti import read_image, read_mask, write_volume
from saros_hf.phantom.write_cohort import simulate
from saros_hf.publish.dataset_folder import DatasetFolder, write_dataset_folder
from saros_hf.publish.rights import Part

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


def digests(ready: DatasetFolder) -> dict[str, str]:
    return {name: sha256(ready.folder / name) for name in ready.files}


def test_full_disk_is_refused_before_anything_is_written(folder: Path, small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(1 << 20))
    with pytest.raises(OSError, match=r"No space left on device \(.* MB to write, 0\.0 MB free"):
        write_dataset_folder(small_disk / "out", folder, EVERYTHING, repo_id="user/saros")


def test_each_licence_has_its_configurations(folder: Path) -> None:
    ready = publish(folder)
    everything = [f"case_00{n}" for n in range(5)]
    assert ready.configs == ("volumes", "slices", "masks", "volumes-nc", "slices-nc")
    assert cases_in(ready, "masks") == everything
    assert cases_in(ready, "volumes") == cases_in(ready, "slices") == everything[:3]
    assert cases_in(ready, "volumes-nc") == cases_in(ready, "slices-nc") == ["case_003"]
    assert ready.withheld == {"case_004": "HNSCC: NIH controlled access"}
    assert on_disk(ready.folder) == set(ready.files)


def test_unwanted_parts_leave_the_folder(folder: Path) -> None:
    before = digests(publish(folder))
    less = publish(folder, ("masks", "cc-by"))
    assert less.configs == ("volumes", "slices", "masks")
    assert on_disk(less.folder) == set(less.files)
    assert "-nc" not in (less.folder / "README.md").read_text()
    assert digests(publish(folder)) == before


def test_case_of_another_collection_is_left_out(folder: Path) -> None:
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


def test_missing_cts_are_withheld(folder: Path) -> None:
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


def test_zip_of_label_maps_replaces_source_json(folder: Path) -> None:
    """A folder of the authors' script has no source.json."""
    for case in folder.glob("case_*"):
        (case / SOURCE_NAME).unlink()
    with pytest.raises(SarosError, match=r"as cc-by \(.*case_000: no source.json and no"):
        publish(folder, ("cc-by",))
    regions = {case.name: case / "body-regions.nii.gz" for case in folder.glob("case_*")}
    members = [(f"SAROS/{name}/{path.name}", path.read_bytes()) for name, path in regions.items()]
    write_members(folder / MASKS.name, *members)
    anew = regions["case_001"]
    write_volume(anew, read_mask(anew, "body-regions"), description="a file with other bytes")
    assert cases_in(publish(folder, ("cc-by",)), "volumes") == ["case_000", "case_001", "case_002"]


def test_folder_without_public_cts_is_refused(folder: Path) -> None:
    rows = [one for one in read_case_table(folder / TABLE_NAME) if one.case_id == "case_004"]
    write_case_table(folder / TABLE_NAME, rows)
    with pytest.raises(SarosError, match=r"no CT that may be published as cc-by \(case_004: HNSCC"):
        publish(folder, ("cc-by",))
    write_case_table(folder / TABLE_NAME, [replace(rows[0], collection="Mine")])
    with pytest.raises(SarosError, match=r"no label map .* \(case_004: Mine: no collection"):
        publish(folder, ("masks",))


def test_rebuilt_folder_has_the_same_bytes(folder: Path) -> None:
    ready = publish(folder)
    whole = digests(ready)
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
    assert digests(again) == whole


def test_foreign_file_is_refused(folder: Path) -> None:
    out = publish(folder, ("masks", "cc-by")).folder
    for place in ("case_004.nii.gz", "volumes/case_004.nii.gz"):
        shutil.copy(folder / "case_004" / "image.nii.gz", out / place)
        with pytest.raises(UsageError, match="did not write"):
            publish(folder)
        (out / place).unlink()


def test_phantom_is_known_by_its_header(tmp_path: Path) -> None:
    """Another CT in its place is withheld; missing case folders do not matter."""
    data = tmp_path / "phantoms"
    simulate(data, cases=3, seed=0, size=64, jobs=1)
    shutil.rmtree(data / "case_002")
    image = data / "case_001" / "image.nii.gz"
    write_volume(image, read_image(image))
    parts: tuple[Part, ...] = ("masks", "cc-by")
    ready = write_dataset_folder(tmp_path / "out", data, parts, repo_id="user/phantoms")
    assert sorted(ready.withheld) == ["case_001", "case_002"]
    assert ready.withheld["case_001"] == "its NIfTI header names no phantom"
    metadata = DatasetCard.load(ready.folder / "README.md").data
    assert metadata.annotations_creators == ["machine-generated"]
    assert (metadata.license, metadata.source_datasets) == ("cc-by-4.0", ["original"])
    (shard,) = (ready.folder / "volumes").iterdir()
    (row,) = pq.read_table(shard).to_pylist()
    assert row["case_id"] == "case_000"
    header = nibabel.Nifti1Image.from_bytes(gzip.decompress(row["image"]["bytes"])).header
    assert bytes(header["descrip"]).rstrip(b"\0").decode() == PHANTOM_DESCRIPTION
    assert "license: cc-by-4.0\n" in (ready.folder / "README.md").read_text()
