"""``saros publish-model`` against the stand-in: the network comes back bit for bit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_client import run_client, run_saros
from hub_server import Hub
from model_folders import evaluated, network, record

from saros_hf.errors import MissingFileError, RightsError, UnreadableFileError, UsageError
from saros_hf.nifti import read_image, read_mask, write_volume
from saros_hf.volume import Volume
from training.cli import main
from training.ensemble import read_ensemble
from training.evaluation_folder import Evaluated
from training.module import SarosSegmenter
from training.publish import read_networks, refuse_controlled, write_model_folder

REPO = "models/user/model"

SMP_ALONE = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("saros_hf", "training"):
            raise ImportError("blocked: " + name)

sys.meta_path.insert(0, Blocked())
import numpy, segmentation_models_pytorch as smp, torch
network = smp.from_pretrained("user/model").eval()
with torch.inference_mode():
    numpy.save(sys.argv[1], network(torch.from_numpy(numpy.load(sys.argv[2]))).numpy())
"""


@pytest.fixture
def ct(phantoms: Path, tmp_path: Path) -> Path:
    """A dozen slices of a phantom."""
    whole = read_image(phantoms / "case_000" / "image.nii.gz")
    path = tmp_path / "ct.nii.gz"
    write_volume(path, Volume(whole.array[..., 20:32], whole.affine))
    return path


@pytest.fixture
def run_of_three(tmp_path: Path) -> Path:
    """A run of three folds, as ``saros cross-validate`` leaves it."""
    for fold in (1, 2, 3):
        network(fold, fold=fold, position=True).save_pretrained(
            tmp_path / "run" / f"fold_{fold}" / "model"
        )
    return tmp_path / "run"


def test_there_and_back_bit_for_bit(ct: Path, tmp_path: Path) -> None:
    original = network(3)
    original.options = replace(original.options, mirror=True)
    original.save_pretrained(tmp_path / "model")
    home = tmp_path / "home"
    arguments = ("publish-model", tmp_path / "model", "user/model", "--out", tmp_path / "out")
    with Hub() as hub:
        ran = run_saros(hub, home, *arguments, "--tag", "v1")
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.endswith(f"{hub.url}/user/model\n")
        commits = list(hub.repositories[REPO].commits)
        assert run_saros(hub, home, *arguments).returncode == 0
        assert list(hub.repositories[REPO].commits) == commits

        labels = tmp_path / "labels.nii.gz"
        predict = ("predict", "--model", "user/model@v1", ct, labels, "--no-pictures")
        ran = run_saros(hub, home, *predict, "--precision", "32-true")
        assert ran.returncode == 0, ran.stderr
        expected = original.predict_volume(read_image(ct)).array
        assert np.array_equal(read_mask(labels, "body-regions").array, expected)

        images = np.random.default_rng(0).normal(size=(2, 1, 64, 64)).astype(np.float32)
        np.save(tmp_path / "images.npy", images)
        run_client(hub, home, SMP_ALONE, str(tmp_path / "logits.npy"), str(tmp_path / "images.npy"))
        original.network.to(memory_format=torch.contiguous_format)  # as SMP makes it
        with torch.inference_mode():
            logits = original.network(torch.from_numpy(images)).numpy()
        assert np.array_equal(np.load(tmp_path / "logits.npy"), logits)
        files = hub.files(REPO)
    assert set(files) == {".gitattributes", "README.md", "config.json", "model.safetensors"}
    for body in files.values():
        assert b"hf_test" not in body
        assert str(tmp_path).encode() not in body
    config = json.loads(files["config.json"])["_saros"]
    assert config["input"]["orientation"] == "RAS"
    assert config["prediction"] == {"mirror": True, "clean": False}


def test_folds_are_one_repository(run_of_three: Path, ct: Path, tmp_path: Path) -> None:
    networks = read_networks(run_of_three, clean=True)
    files = write_model_folder(tmp_path / "out", networks, [], repo_id="user/model")
    assert set(files) == {
        *("README.md", "config.json", "model.safetensors"),
        *(f"fold_{n}/{name}" for n in (2, 3) for name in ("config.json", "model.safetensors")),
    }
    whole = read_ensemble([tmp_path / "out"])
    assert len(whole.networks) == 3
    assert whole.options.clean
    image = read_image(ct)
    expected = read_ensemble([run_of_three]).predict_maps(image, whole.options)
    found = whole.predict_maps(image)
    assert np.array_equal(found["body-regions"].array, expected["body-regions"].array)
    first = SarosSegmenter.from_pretrained(tmp_path / "out")
    assert first.record is not None
    assert first.record.fold == 1
    card = (tmp_path / "out" / "README.md").read_text()
    assert 'read_ensemble(["user/model"])' in card
    # Published again from what was published, and as a single network afterwards.
    again = read_networks(tmp_path / "out")
    assert len(again) == 3
    fewer = write_model_folder(tmp_path / "out", again[:1], [], repo_id="user/model")
    assert set(fewer) == {"README.md", "config.json", "model.safetensors"}


def test_dry_run_with_evaluation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network().save_pretrained(tmp_path / "model")
    main(
        [
            *("publish-model", str(tmp_path / "model"), "user/model", "--dry-run"),
            *("--out", str(tmp_path / "out")),
        ]
    )
    shown = capsys.readouterr().out
    assert "The card has no scores: add --evaluation DIR" in shown
    assert "Nothing was uploaded" in shown
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_scores_of_training_cases_are_refused(tmp_path: Path) -> None:
    def write(*evaluations: Evaluated, folds: tuple[int, ...] = (1,)) -> None:
        networks = [network(fold, fold) for fold in folds]
        write_model_folder(tmp_path / "out", networks, evaluations, repo_id="user/model")

    write(evaluated(split="test"), folds=(1, 2))
    write(evaluated(split="validation", fold=1))
    for seen, folds in (
        (evaluated(split="train"), (1,)),
        (evaluated(split="all"), (1,)),
        (evaluated(split="validation", fold=2), (1,)),
        (evaluated(split="validation", fold=1), (1, 2)),
    ):
        with pytest.raises(UsageError, match="expected cases that no network was trained on"):
            write(seen, folds=folds)
    with pytest.raises(UsageError, match="found scores of body-parts"):
        write(evaluated("body-parts"))


def test_weights_from_controlled_access_stay_by_default(tmp_path: Path) -> None:
    restricted = network()
    restricted.record = record(1, **{"CC_BY_3.0": 3, "NIH_controlled_access": 1})
    restricted.save_pretrained(tmp_path / "model")
    networks = read_networks(tmp_path / "model")
    with pytest.raises(RightsError, match=r"NIH controlled access.*--i-may-publish"):
        refuse_controlled(networks, allowed=False)
    refuse_controlled(networks, allowed=True)
    networks[0].record = None
    with pytest.raises(RightsError, match="no record"):
        refuse_controlled(networks, allowed=False)


def test_other_files_are_not_published(tmp_path: Path) -> None:
    write_model_folder(tmp_path / "out", [network()], [], repo_id="user/model")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"notes.txt: found a file that this command did not"):
        write_model_folder(tmp_path / "out", [network()], [], repo_id="user/model")
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_what_is_no_network(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="expected a checkpoint"):
        read_networks(tmp_path / "best.ckpt")
    (tmp_path / "other.ckpt").write_bytes(b"no zip")
    with pytest.raises(UnreadableFileError, match="no checkpoint of this package"):
        read_networks(tmp_path / "other.ckpt")
    with pytest.raises(MissingFileError, match="found no model"):
        read_networks(tmp_path)


def test_a_model_that_is_nowhere(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="or user/name on the Hub"):
        SarosSegmenter.from_pretrained(tmp_path / "nothing")
    with Hub() as hub:
        ran = run_saros(
            hub, tmp_path, "predict", "--model", "user/nothing", "ct.nii.gz", "o.nii.gz"
        )
    assert ran.returncode == 1
    assert "user/nothing: found no such repository" in ran.stderr
    assert "Traceback" not in ran.stderr
