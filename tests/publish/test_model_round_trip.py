"""Models uploaded to the stand-in for the Hub and downloaded again."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.hub_client import connected, run_client, run_saros
from helpers.hub_repository import Repository
from helpers.hub_server import Hub
from helpers.model_folders import network
from huggingface_hub import ModelCard

from saros_hf.errors import UsageError
from saros_hf.hub.client import Destination
from saros_hf.nifti import read_image, read_mask, write_volume
from saros_hf.volume import Volume
from training.model.predict_volume import predict_maps
from training.module import SarosSegmenter
from training.predict.ensemble import read_ensemble
from training.publish.model_folder import push_model, read_networks, write_model_folder

pytestmark = pytest.mark.slow

REPO = "models/user/model"

SMP_ALONE = """
import sys
import numpy, segmentation_models_pytorch as smp, torch
network = smp.from_pretrained("user/model").eval()
with torch.inference_mode():
    numpy.save(sys.argv[1], network(torch.from_numpy(numpy.load(sys.argv[2]))).numpy())
"""


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    path = tmp_path / "ct.nii.gz"
    noise = np.random.default_rng(0).normal(0, 300, size=(64, 64, 3)).astype(np.int16)
    write_volume(path, Volume(noise, np.diag([-0.8, -0.8, 5.0, 1.0])))
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
        hub.repositories[REPO].commit({**hub.files(REPO), "fold_2/notes.txt": b"mine"})
        commits = list(hub.repositories[REPO].commits)
        assert run_saros(hub, home, *arguments).returncode == 0
        assert list(hub.repositories[REPO].commits) == commits
        assert hub.requests.count("GET /api/whoami-v2") == 2  # the Hub rations it

        labels = tmp_path / "labels.nii.gz"
        predict = ("predict", "--model", "user/model@v1", ct, labels, "--no-pictures")
        ran = run_saros(hub, home, *predict, "--precision", "32-true")
        assert ran.returncode == 0, ran.stderr
        expected = original.predict_volume(read_image(ct)).array
        assert np.array_equal(read_mask(labels, "body-regions").array, expected)

        images = np.random.default_rng(0).normal(size=(2, 1, 64, 64)).astype(np.float32)
        np.save(tmp_path / "images.npy", images)
        run_client(hub, home, SMP_ALONE, tmp_path / "logits.npy", tmp_path / "images.npy")
        original.network.to(memory_format=torch.contiguous_format)  # as SMP makes it
        with torch.inference_mode():
            logits = original.network(torch.from_numpy(images)).numpy()
        assert np.array_equal(np.load(tmp_path / "logits.npy"), logits)
        files = hub.files(REPO)
    own = {"README.md", "config.json", "model.safetensors"}
    assert set(files) == {".gitattributes", "fold_2/notes.txt", *own}
    for body in files.values():
        assert b"hf_test" not in body
        assert str(tmp_path).encode() not in body
    config = json.loads(files["config.json"])["_saros"]
    assert config["input"]["orientation"] == "RAS"
    assert config["prediction"] == {"mirror": True, "clean": False}


def test_folds_are_one_repository(run_of_three: Path, tmp_path: Path) -> None:
    networks = read_networks(run_of_three, clean=True)
    files = write_model_folder(tmp_path / "out", networks, [], repo_id="user/model")
    assert set(files) == {
        *("README.md", "config.json", "model.safetensors"),
        *(f"fold_{n}/{name}" for n in (2, 3) for name in ("config.json", "model.safetensors")),
    }
    whole = read_ensemble([tmp_path / "out"])
    assert len(whole.networks) == 3
    assert whole.options.clean
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


def test_joint_ensemble_there_and_back(ct: Path, tmp_path: Path) -> None:
    options = {"task": "joint", "context": 1, "position": True, "window": (-300, 500)}
    networks = [network(fold, fold=fold, **options) for fold in (1, 2)]
    for number, one in enumerate(networks, start=1):
        one.save_pretrained(tmp_path / "run" / f"fold_{number}" / "model")
    folder, image = tmp_path / "model", read_image(ct)
    files = write_model_folder(folder, read_networks(tmp_path / "run"), [], repo_id="user/model")
    with Hub() as hub, connected(hub, tmp_path / "home"):
        url = push_model(folder, files, Destination("user/model", "model"))
        assert url == f"{hub.url}/user/model"
        ModelCard.load("user/model").validate()
        maps = read_ensemble(["user/model"]).predict_maps(image)
        first_maps = SarosSegmenter.from_pretrained("user/model").predict_maps(image)
        hub.repositories["models/user/regions"] = Repository()
        card = b"---\nlicense: mit\ntags: [saros-hf, body-regions]\n---\n"
        hub.repositories["models/user/regions"].commit({"README.md": card})
        found = "found a model for body-regions, expected one for body-regions and body-p"
        with pytest.raises(UsageError, match=found):
            push_model(folder, files, Destination("user/regions", "model"))
        assert set(hub.files("models/user/regions")) == {"README.md"}
        assert "POST /api/validate-yaml" in hub.requests
    parts = [one.network for one in networks]
    for predicted, chosen in ((maps, parts), (first_maps, parts[:1])):
        expected = predict_maps(chosen, image, networks[0].spec, networks[0].options)
        assert set(predicted) == set(expected) == {"body-regions", "body-parts"}
        for task, labels in expected.items():
            assert np.array_equal(predicted[task].array, labels.array)
