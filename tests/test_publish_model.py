"""``saros publish-model`` against the stand-in: the network comes back bit for bit."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from hub_client import run_client, run_saros
from hub_repository import Repository
from hub_server import Hub
from model_folders import evaluated, network, record, write_checkpoint

from saros_hf.errors import MissingFileError, RightsError, UnreadableFileError, UsageError
from saros_hf.files import files_in
from saros_hf.nifti import read_image, read_mask, write_volume
from saros_hf.volume import Volume
from training.cli import main
from training.ensemble import read_ensemble
from training.evaluation_folder import Evaluated, write_evaluated
from training.module import SarosSegmenter
from training.publish import read_networks, refuse_controlled, write_model_folder
from training.slicewise import predict_maps

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
        hub.repositories[REPO].commit({**hub.files(REPO), "fold_2/notes.txt": b"mine"})
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
    own = {"README.md", "config.json", "model.safetensors"}
    assert set(files) == {".gitattributes", "fold_2/notes.txt", *own}
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


JOINT = """
import sys
from pathlib import Path
import numpy
from huggingface_hub import ModelCard
from saros_hf.errors import SarosError
from saros_hf.hub import Destination
from saros_hf.nifti import read_image
from training.ensemble import read_ensemble
from training.module import SarosSegmenter
from training.publish import push_model, read_networks, write_model_folder

run, ct, out = map(Path, sys.argv[1:])
networks = read_networks(run)
files = write_model_folder(out / "model", networks, [], repo_id="user/model")
print(push_model(out / "model", files, Destination("user/model", "model")))
ModelCard.load("user/model").validate()
maps = read_ensemble(["user/model"]).predict_maps(read_image(ct))
alone = SarosSegmenter.from_pretrained("user/model").predict_maps(read_image(ct))
numpy.savez(out / "maps.npz", **{task: one.array for task, one in maps.items()})
numpy.savez(out / "alone.npz", **{task: one.array for task, one in alone.items()})
try:
    push_model(out / "model", files, Destination("user/regions", "model"))
except SarosError as error:
    print(error)
"""


def test_a_joint_ensemble_there_and_back(ct: Path, tmp_path: Path) -> None:
    options = {"task": "joint", "context": 1, "position": True, "window": (-300, 500)}
    networks = [network(fold, fold=fold, **options) for fold in (1, 2)]
    for number, one in enumerate(networks, start=1):
        one.options = replace(one.options, mirror=True)
        one.save_pretrained(tmp_path / "run" / f"fold_{number}" / "model")
    with Hub() as hub:
        hub.repositories["models/user/regions"] = Repository()
        card = b"---\nlicense: mit\ntags: [saros-hf, body-regions]\n---\n"
        hub.repositories["models/user/regions"].commit({"README.md": card})
        told = run_client(hub, tmp_path / "home", JOINT, tmp_path / "run", ct, tmp_path)
        assert told.splitlines()[0] == f"{hub.url}/user/model"
        assert "found a model for body-regions, expected one for body-regions and body-p" in told
        assert set(hub.files("models/user/regions")) == {"README.md"}
        assert "POST /api/validate-yaml" in hub.requests
    first = networks[0]
    parts = [one.network for one in networks]
    for name, chosen in (("maps", parts), ("alone", parts[:1])):
        expected = predict_maps(chosen, read_image(ct), first.spec, first.options)
        found = np.load(tmp_path / f"{name}.npz")
        assert set(found) == set(expected) == {"body-regions", "body-parts"}
        for task, labels in expected.items():
            assert np.array_equal(found[task], labels.array)


def test_what_lies_in_the_folder_may_be_published_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``publish-model hub/user/model user/model`` writes where it reads."""
    folder = tmp_path / "hub" / "user" / "model"
    write_model_folder(folder, [network(1), network(2, fold=2)], [], repo_id="user/model")
    before = {name: (folder / name).read_bytes() for name in files_in(folder)}
    write_evaluated(tmp_path / "seen", evaluated(split="train"))
    monkeypatch.chdir(tmp_path)
    command = ["publish-model", "hub/user/model", "user/model", "--dry-run"]
    with pytest.raises(SystemExit):
        main([*command, "--evaluation", "seen"])
    assert {name: (folder / name).read_bytes() for name in files_in(folder)} == before
    main([*command, "--mirror"])
    after = {name: (folder / name).read_bytes() for name in files_in(folder)}
    assert after.keys() == before.keys()
    for name in ("model.safetensors", "fold_2/model.safetensors"):
        assert after[name] == before[name]
    assert json.loads(after["config.json"])["_saros"]["prediction"]["mirror"]


def test_weights_to_start_from_are_not_downloaded_again(tmp_path: Path) -> None:
    one = network()
    one.hparams["encoder_weights"] = one.network.config["encoder_weights"] = "imagenet"
    one.save_pretrained(tmp_path / "model")
    smp.from_pretrained(tmp_path / "model")  # the Hub cannot be reached from here
    SarosSegmenter.from_pretrained(tmp_path / "model")
    write_checkpoint(tmp_path / "best.ckpt", one)
    assert read_networks(tmp_path / "best.ckpt")[0].record == one.record


def test_one_of_each(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"found 2 networks of fold_3, expected one of each fold"):
        write_model_folder(
            tmp_path, [network(1), network(2, fold=3), network(3, fold=3)], [], repo_id="user/model"
        )
    with pytest.raises(UsageError, match=r"found 2 evaluations of body-regions"):
        write_model_folder(tmp_path, [network()], [evaluated(), evaluated()], repo_id="user/model")
    assert not list(tmp_path.iterdir())


def test_a_config_is_json_and_says_what_cannot_be_read(tmp_path: Path) -> None:
    one = network()
    one.spacing_range_mm.copy_(torch.tensor([0.0, torch.inf]))
    one.record = replace(record(), validation={"average": math.nan, "muscle": 0.5})
    one.save_pretrained(tmp_path)
    path = tmp_path / "config.json"

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    good = json.loads(path.read_text(), parse_constant=refuse)
    assert good["_saros"]["input"]["spacing_range_mm"] == [0.0, None]
    assert good["_saros"]["training"]["validation"] == {"muscle": 0.5}
    assert SarosSegmenter.from_pretrained(tmp_path).spec == one.spec
    for entry, value, told in (
        ("members", None, "TypeError"),
        ("members", ["../fold_2"], r"\.\./fold_2 is no name of a fold"),
        ("hyperparameters", {"new_option": 1}, "new_option"),
        ("prediction", {"new_option": 1}, "new_option"),
        ("training", {}, "TypeError"),
        ("input", {}, "spacing_range_mm"),
    ):
        ours = good["_saros"] | {entry: value, "version": "9.9"}
        path.write_text(json.dumps(good | {"_saros": ours}))
        found = rf"config\.json: found no model that can be read \(.*{told}.*by saros-hf 9\.9"
        with pytest.raises(UnreadableFileError, match=rf"{found}, expected .* of saros-hf \d"):
            read_ensemble([tmp_path])


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
    with pytest.raises(RightsError, match="licence is not known"):
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
    assert "user/nothing: found no such folder, and on the Hub no such repository" in ran.stderr
    assert "If a folder is meant, check the path." in ran.stderr
    assert "Traceback" not in ran.stderr
