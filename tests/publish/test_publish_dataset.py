"""``saros publish-dataset`` against the stand-in: there and back, without our package on the way back."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.hub_client import hub_environment, run_client, run_saros
from helpers.hub_rules import card_errors
from helpers.hub_server import Hub
from helpers.public_series import write_mixed_folder
from huggingface_hub import DatasetCard

from training.cli import main

REPO = "datasets/user/saros"
NAMES = ("volumes", "slices", "masks", "volumes-nc", "slices-nc")

# Both processes print the same summary of rows: what the files hold, wherever they come from.
SUMMARY = """
import hashlib, json
import numpy as np

def told(value):
    if hasattr(value, "dataobj"):
        array = np.asanyarray(value.dataobj)
        digest = hashlib.md5(array.tobytes()).hexdigest()
        return ["nifti", str(array.dtype), list(array.shape), digest, value.affine.tolist()]
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
told_of = {}
for config in sys.argv[3:]:
    name, cases = config.removesuffix("-nc"), ["case_000", "case_001", "case_002"]
    if config.endswith("-nc"):
        cases = ["case_003"]
    elif name == "masks":
        cases = None
    splits = saros_hf.load_dataset(name, data_dir=sys.argv[1], cache_dir=sys.argv[2], cases=cases)
    told_of[config] = [summary(splits), splits["train"].features.to_dict()]
print(json.dumps(told_of))
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
from huggingface_hub import DatasetCard

DatasetCard.load("user/saros").validate()
told_of = {}
for name in sys.argv[1:]:
    for streaming in (False, True):
        splits = datasets.load_dataset("user/saros", name, streaming=streaming, revision="v1")
        there = [summary(splits), splits["train"].features.to_dict()]
        assert told_of.setdefault(name, there) == there
assert not [one for one in sys.modules if one.startswith("saros_hf")]
print(json.dumps(told_of))
"""
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_mixed_folder(tmp_path_factory.mktemp("hub") / "data")
    (folder / "case_001" / "body-parts.nii.gz").unlink()
    return folder


@pytest.fixture(scope="module")
def hub(folder: Path) -> Iterator[Hub]:
    """A Hub that every part has been published to, as ``v1``."""
    with Hub() as hub:
        ran = publish(hub, folder, "--tag", "v1")
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.endswith(f"{hub.url}/datasets/user/saros\n")
        assert "Not published: 1 x CT (HNSCC: NIH controlled access)" in ran.stdout
        yield hub


def publish(hub: Hub | None, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    parts = () if "--config" in options else ("--config", "masks", "cc-by", "cc-by-nc")
    out = ("--out", folder.parent / "out")
    return run_saros(
        hub, folder.parent / "home", "publish-dataset", folder, "user/saros", *out, *parts, *options
    )


def test_same_rows_without_our_package_streamed_or_not(
    hub: Hub, folder: Path, tmp_path: Path
) -> None:
    places = str(folder), str(folder.parent / "c")
    here = json.loads(run_client(hub, folder.parent / "a", HERE, *places, *NAMES))
    there = json.loads(run_client(hub, tmp_path, THERE, *NAMES))
    for name in NAMES:
        rows, _ = here[name]
        parts = {"train"} if name.endswith("-nc") else {"train", "validation", "test"}
        assert set(rows) == parts
        assert there[name] == here[name]


def test_only_what_the_folder_holds_is_on_the_hub(hub: Hub, folder: Path) -> None:
    out = folder.parent / "out"
    files = {
        str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()
    }
    on_hub = {path: body for path, body in hub.files(REPO).items() if path != ".gitattributes"}
    assert on_hub == files
    for path, body in on_hub.items():
        assert str(folder).encode() not in body, path
        assert b"hf_test" not in body, path


def test_the_second_upload_changes_nothing(hub: Hub, folder: Path) -> None:
    commits = list(hub.repositories[REPO].commits)
    before = len(hub.requests)
    assert publish(hub, folder).returncode == 0
    assert list(hub.repositories[REPO].commits) == commits
    assert not [one for one in hub.requests[before:] if one.startswith("PUT")]


def test_the_card_is_whole_and_its_metadata_legal(hub: Hub) -> None:
    text = hub.files(REPO)["README.md"].decode()
    assert card_errors(text, "dataset") == []
    card = DatasetCard(text)
    data = card.data.to_dict()
    assert [one["config_name"] for one in data["configs"]] == list(NAMES)
    assert [one["config_name"] for one in data["configs"] if one.get("default")] == ["volumes"]
    splits = {one["config_name"]: one["splits"] for one in data["dataset_info"]}
    assert [(one["name"], one["num_examples"]) for one in splits["masks"]] == [
        ("train", 3),
        ("validation", 1),
        ("test", 1),
    ]
    assert data["size_categories"] == ["n<1K"]
    assert "CC BY-NC 3.0" in data["extra_gated_prompt"]
    assert hub.repositories[REPO].gated == "auto"
    assert "{{" not in card.text
    assert "{%" not in card.text
    # 2 of C4KC-KiTS, 1 of CPTAC-PDA, by their DOIs; of HNSCC the label maps alone.
    assert "| C4KC-KiTS | 2 | 2 | CC BY 3.0 | [10.7937/TCIA.2019.IX49E8NX]" in card.text
    assert "| CPTAC-PDA | 1 | 1 | CC BY 4.0 | [10.7937/K9/TCIA.2018.SC20FO18]" in card.text
    assert "| HNSCC | 1 | 0 | NIH controlled access | [10.7937/K9/TCIA.2020.A8SH" in card.text
    assert (
        "| none | CTs under NIH controlled access, of which only the label maps are here | 1 |"
        in card.text
    )
    # Slices 1 and 5 of each case: 3 CC BY cases, 2 annotated slices each.
    assert "| `slices` | an annotated axial slice of a CT | 3 | 6 |" in card.text
    assert "| `masks` | train | 3 | 3 | 6 |" in card.text
    # Label 1 is in every label map; of five cases one has no body parts.
    assert "| 1 | Subcutaneous Tissue | 5 | Torso | 4 |" in card.text
    assert not re.search(r"\n{4,}", card.text)


def test_nothing_is_lost_on_the_hub_by_publishing_less(hub: Hub, folder: Path) -> None:
    other = "--out", str(folder.parent / "less")
    ran = publish(hub, folder, "--config", "masks", *other)
    assert ran.returncode == 1
    assert "found the configurations slices, slices-nc, volumes, volumes-nc" in ran.stderr
    assert "Publish all of them: --config cc-by masks cc-by-nc" in ran.stderr
    assert not (folder.parent / "less").exists()
    assert "volumes/train-00000-of-00001.parquet" in hub.files(REPO)


def test_an_interrupted_upload_goes_on(folder: Path) -> None:
    with Hub() as hub:
        command = [sys.executable, "-m", "training", "publish-dataset", str(folder), "user/saros"]
        command += ["--out", str(folder.parent / "out"), "--config", "masks", "cc-by", "cc-by-nc"]
        client = subprocess.Popen(command, env=hub_environment(hub, folder.parent / "home"))
        seen = []

        def kill_at_the_third() -> None:
            seen.append(1)
            if len(seen) == 3:
                os.kill(client.pid, signal.SIGKILL)
                client.wait()

        hub.on_put = kill_at_the_third
        assert client.wait() == -signal.SIGKILL
        arrived = set(hub.objects)
        assert arrived
        hub.on_put = lambda: None
        before = len(hub.requests)
        ran = publish(hub, folder)
        assert ran.returncode == 0, ran.stderr
        sent = {one.rpartition("/")[2] for one in hub.requests[before:] if one.startswith("PUT")}
        assert sent
        assert not sent & arrived
        assert "volumes/test-00000-of-00001.parquet" in hub.files(REPO)


def test_dry_run_asks_nobody(folder: Path) -> None:
    ran = publish(None, folder, "--dry-run", "--config", "masks", "--out", str(folder.parent / "d"))
    assert ran.returncode == 0, ran.stderr
    assert "Nothing was uploaded" in ran.stdout
    assert (folder.parent / "d" / "README.md").is_file()


@pytest.mark.parametrize("repo", ["saros", "user/saros/more", "../saros", "{tmp}/saros"])
def test_a_dry_run_takes_no_other_name_either(folder: Path, tmp_path: Path, repo: str) -> None:
    repo = repo.format(tmp=tmp_path)
    with pytest.raises(SystemExit, match="1"), contextlib.chdir(tmp_path):
        main(["publish-dataset", str(folder), repo, "--config", "masks", "--dry-run"])
    assert not list(tmp_path.parent.glob("saros"))
    assert not list(tmp_path.iterdir())
