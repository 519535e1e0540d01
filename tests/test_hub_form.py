"""The dataset on the Hub: the same rows without our package, through a real client."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from case_folders import write_folder
from hub_client import run_client
from hub_server import Hub

NAMES = ("volumes", "slices", "masks")

PUSH = """
import sys, saros_hf
folder, cache = sys.argv[1:3]
for name in sys.argv[3:]:
    rows = saros_hf.load_dataset(name, data_dir=folder, cache_dir=cache)
    rows.push_to_hub("user/saros", config_name=name, set_default=name == "volumes")
"""

# Both processes print the same summary of rows: what the files hold, wherever they come from.
SUMMARY = """
import hashlib, json
import numpy as np

def told(value):
    if hasattr(value, "dataobj"):
        array = np.asanyarray(value.dataobj)
        return ["nifti", str(array.dtype), list(array.shape), hashlib.md5(array.tobytes()).hexdigest()]
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value

def summary(splits):
    return {
        name: [{key: told(value) for key, value in row.items()} for row in rows]
        for name, rows in splits.items()
    }
"""

HERE = (
    SUMMARY
    + """
import sys, saros_hf
splits = saros_hf.load_dataset(sys.argv[1], data_dir=sys.argv[2], cache_dir=sys.argv[3])
print(json.dumps([summary(splits), splits["train"].features.to_dict()]))
"""
)

THERE = (
    SUMMARY
    + """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("saros_hf", "training"):
            raise ImportError("blocked: " + name)

sys.meta_path.insert(0, Blocked())
import datasets
name, streaming, revision = sys.argv[1], sys.argv[2] == "True", sys.argv[3]
splits = datasets.load_dataset("user/saros", name, streaming=streaming, revision=revision)
assert not [one for one in sys.modules if one.startswith("saros_hf")]
print(json.dumps([summary(splits), splits["train"].features.to_dict()]))
"""
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_folder(tmp_path_factory.mktemp("hub") / "data", ("fold-2", "fold-1", "test"))
    (folder / "case_001" / "body-parts.nii.gz").unlink()
    return folder


@pytest.fixture(scope="module")
def hub(folder: Path) -> Iterator[Hub]:
    """A Hub that the dataset has been pushed to, all three configurations."""
    with Hub() as hub:
        run_client(hub, folder.parent / "a", PUSH, str(folder), str(folder.parent / "c"), *NAMES)
        yield hub


@pytest.mark.parametrize("name", NAMES)
def test_same_rows_without_our_package(hub: Hub, folder: Path, name: str, tmp_path: Path) -> None:
    here = run_client(hub, folder.parent / "a", HERE, name, str(folder), str(folder.parent / "c"))
    rows, features = json.loads(here)
    assert set(rows) == {"train", "validation", "test"}
    assert rows["train"][0]["case_id"] == "case_000"
    for streaming in ("False", "True"):
        there = json.loads(run_client(hub, tmp_path, THERE, name, streaming, "main"))
        assert there == [rows, features]


def test_rows_on_the_hub_hold_files_and_no_paths_of_this_machine(hub: Hub, folder: Path) -> None:
    parquet = {
        path: body
        for path, body in hub.files("datasets/user/saros").items()
        if path.endswith(".parquet")
    }
    assert {path.partition("/")[0] for path in parquet} == set(NAMES)
    for body in parquet.values():
        assert str(folder).encode() not in body


def test_a_tag_keeps_the_rows_it_was_put_on(hub: Hub, tmp_path: Path) -> None:
    tag = """
from huggingface_hub import HfApi
HfApi().create_tag("user/saros", tag="v1", repo_type="dataset")
HfApi().delete_file("masks/train-00000-of-00001.parquet", "user/saros", repo_type="dataset")
"""
    before = dict(hub.repositories["datasets/user/saros"].refs)
    run_client(hub, tmp_path / "t", tag)
    tagged, _ = json.loads(run_client(hub, tmp_path / "u", THERE, "masks", "False", "v1"))
    assert [row["case_id"] for row in tagged["train"]] == ["case_000"]
    hub.repositories["datasets/user/saros"].refs.update(before)


def test_the_card_names_configurations_and_splits(hub: Hub, tmp_path: Path) -> None:
    """Our card in place of the one that push_to_hub writes: the data files are found by it."""
    card = Path(__file__).parents[1] / "dataset_card.md"
    upload = """
import sys
from huggingface_hub import HfApi
HfApi().upload_file(
    path_or_fileobj=sys.argv[1], path_in_repo="README.md", repo_id="user/saros", repo_type="dataset"
)
import datasets
print(datasets.get_dataset_config_names("user/saros"))
rows = datasets.load_dataset("user/saros")
print(sorted(rows), rows["test"].column_names[-1], rows["test"].num_rows)
row = datasets.load_dataset("user/saros", "slices", split="train").with_format("numpy")[0]
print(row["image"].shape, row["image"][0, 3, 2])
"""
    printed = run_client(hub, tmp_path, upload, str(card)).splitlines()
    assert printed == [
        "['volumes', 'slices', 'masks', 'volumes-nc', 'slices-nc']",
        "['test', 'train', 'validation'] part_labels 1",
        # Slice 1 in RAS+: 100 (7 - 3) + 10 (5 - 2) + 1 HU.
        "(1, 8, 6) 431",
    ]
