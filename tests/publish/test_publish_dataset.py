"""``saros publish-dataset`` against the stand-in for the Hub."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.hub_client import hub_environment, run_client, run_saros
from helpers.hub_rules import card_errors
from helpers.hub_server import Hub
from helpers.public_series import write_mixed_folder
from huggingface_hub import DatasetCard

import saros_hf
from training.cli import main

pytestmark = pytest.mark.slow

REPO = "datasets/user/saros"
NAMES = ("volumes", "slices", "masks", "volumes-nc", "slices-nc")

# Both sides make the same summary of rows: the content of the files, wherever they come from.
SUMMARY = """
import hashlib, json
import numpy as np

def plain(value):
    if hasattr(value, "dataobj"):
        array = np.asanyarray(value.dataobj)
        digest = hashlib.md5(array.tobytes()).hexdigest()
        return ["nifti", str(array.dtype), list(array.shape), digest, value.affine.tolist()]
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value

def summary(splits):
    rows = {
        name: [{key: plain(value) for key, value in row.items()} for row in rows]
        for name, rows in splits.items()
    }
    return json.loads(json.dumps([rows, splits["train"].features.to_dict()]))
"""

ON_THE_HUB = (
    SUMMARY
    + """
import sys
import datasets
from huggingface_hub import DatasetCard

DatasetCard.load("user/saros").validate()
found = {}
for name in sys.argv[1:]:
    for streaming in (False, True):
        splits = datasets.load_dataset("user/saros", name, streaming=streaming, revision="v1")
        rows = summary(splits)
        assert found.setdefault(name, rows) == rows
assert not [one for one in sys.modules if one.startswith("saros_hf")]
print(json.dumps(found))
"""
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_mixed_folder(tmp_path_factory.mktemp("hub") / "data")
    (folder / "case_001" / "body-parts.nii.gz").unlink()
    return folder


@pytest.fixture(scope="module")
def hub(folder: Path) -> Iterator[Hub]:
    """A Hub with all parts published and tagged ``v1``."""
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


def test_hub_has_the_rows_of_the_folder(hub: Hub, folder: Path, tmp_path: Path) -> None:
    """Read by plain datasets without this package, streamed or not."""
    scope: dict[str, Any] = {}
    exec(SUMMARY, scope)  # noqa: S102 - the other process runs it too
    on_the_hub = json.loads(run_client(hub, tmp_path, ON_THE_HUB, *NAMES))
    cases = {"cc-by": ["case_000", "case_001", "case_002"], "nc": ["case_003"], "masks": None}
    for name in NAMES:
        part = "nc" if name.endswith("-nc") else "masks" if name == "masks" else "cc-by"
        splits = saros_hf.load_dataset(
            name.removesuffix("-nc"),
            data_dir=str(folder),
            cache_dir=str(tmp_path / "cache"),
            cases=cases[part],
        )
        expected = scope["summary"](splits)
        assert set(expected[0]) == ({"train"} if part == "nc" else {"train", "validation", "test"})
        assert on_the_hub[name] == expected


def test_hub_has_only_the_files_of_the_folder(hub: Hub, folder: Path) -> None:
    out = folder.parent / "out"
    files = {
        str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()
    }
    on_hub = {path: body for path, body in hub.files(REPO).items() if path != ".gitattributes"}
    assert on_hub == files
    for path, body in on_hub.items():
        assert str(folder).encode() not in body, path
        assert b"hf_test" not in body, path


def test_second_upload_changes_nothing(hub: Hub, folder: Path) -> None:
    commits = list(hub.repositories[REPO].commits)
    before = len(hub.requests)
    assert publish(hub, folder).returncode == 0
    assert list(hub.repositories[REPO].commits) == commits
    assert not [one for one in hub.requests[before:] if one.startswith("PUT")]


def test_card_of_the_published_rows(hub: Hub) -> None:
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
        "| none | CTs under NIH controlled access: only their label maps are here | 1 |"
        in card.text
    )
    # Slices 1 and 5 of each case: 3 CC BY cases, 2 annotated slices each.
    assert "| `slices` | an annotated axial slice of a CT | 3 | 6 |" in card.text
    assert "| `masks` | train | 3 | 3 | 6 |" in card.text
    # Label 1 is in every label map; of five cases one has no body parts.
    assert "| 1 | Subcutaneous Tissue | 5 | Torso | 4 |" in card.text
    assert not re.search(r"\n{4,}", card.text)


def test_publishing_fewer_parts_is_refused(hub: Hub, folder: Path) -> None:
    other = "--out", str(folder.parent / "less")
    ran = publish(hub, folder, "--config", "masks", *other)
    assert ran.returncode == 1
    assert "found the configurations slices, slices-nc, volumes, volumes-nc" in ran.stderr
    assert "Publish all of them: --config cc-by masks cc-by-nc" in ran.stderr
    assert not (folder.parent / "less").exists()
    assert "volumes/train-00000-of-00001.parquet" in hub.files(REPO)


def test_interrupted_upload_resumes(folder: Path) -> None:
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


def test_dry_run_uploads_nothing(folder: Path) -> None:
    ran = publish(None, folder, "--dry-run", "--config", "masks", "--out", str(folder.parent / "d"))
    assert ran.returncode == 0, ran.stderr
    assert "Nothing was uploaded" in ran.stdout
    assert (folder.parent / "d" / "README.md").is_file()


@pytest.mark.parametrize("repo", ["saros", "user/saros/more", "../saros", "{tmp}/saros"])
def test_malformed_name_is_refused(folder: Path, tmp_path: Path, repo: str) -> None:
    repo = repo.format(tmp=tmp_path)
    with pytest.raises(SystemExit, match="1"), contextlib.chdir(tmp_path):
        main(["publish-dataset", str(folder), repo, "--config", "masks", "--dry-run"])
    assert not list(tmp_path.parent.glob("saros"))
    assert not list(tmp_path.iterdir())
