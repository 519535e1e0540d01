"""Model folders: readable by SMP, and clear errors for broken ones."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
from helpers.hub_client import run_saros
from helpers.hub_server import Hub
from helpers.model_folders import network, record, write_checkpoint

from saros_hf.errors import MissingFileError, UnreadableFileError
from training.module import SarosSegmenter
from training.predict.ensemble import read_ensemble
from training.publish.model_folder import read_networks


@pytest.mark.slow
def test_pretrained_encoder_weights_are_not_downloaded_again(tmp_path: Path) -> None:
    one = network()
    one.hparams["encoder_weights"] = one.network.config["encoder_weights"] = "imagenet"
    one.save_pretrained(tmp_path / "model")
    smp.from_pretrained(tmp_path / "model")  # the Hub cannot be reached from here
    SarosSegmenter.from_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    strangers = json.loads(path.read_text()) | {"encoder_weights": "imagenet"}
    strangers["_saros"]["hyperparameters"]["encoder_weights"] = "imagenet"
    path.write_text(json.dumps(strangers))
    SarosSegmenter.from_pretrained(tmp_path / "model")
    write_checkpoint(tmp_path / "best.ckpt", one)
    assert read_networks(tmp_path / "best.ckpt")[0].record == one.record


@pytest.mark.slow
def test_config_is_strict_json_and_unusable_entries_are_explained(tmp_path: Path) -> None:
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
    for entry, value, problem in (
        ("members", None, "TypeError"),
        ("members", ["../fold_2"], r"\.\./fold_2 is no name of a fold"),
        ("hyperparameters", {"new_option": 1}, "new_option"),
        ("prediction", {"new_option": 1}, "new_option"),
        ("training", {}, "TypeError"),
        ("input", {}, "spacing_range_mm"),
    ):
        ours = good["_saros"] | {entry: value, "version": "9.9"}
        path.write_text(json.dumps(good | {"_saros": ours}))
        found = rf"config\.json: found no model that can be read \(.*{problem}.*by saros-hf 9\.9"
        with pytest.raises(UnreadableFileError, match=rf"{found}, expected .* of saros-hf \d"):
            read_ensemble([tmp_path])


@pytest.mark.slow
def test_missing_model_is_explained(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="or user/name on the Hub"):
        SarosSegmenter.from_pretrained(tmp_path / "nothing")
    ct = tmp_path / "ct.nii.gz"
    ct.touch()
    with Hub() as hub:
        ran = run_saros(hub, tmp_path, "predict", "--model", "user/nothing", ct, "o.nii.gz")
    assert ran.returncode == 1
    assert "user/nothing: found no such folder, and on the Hub no such repository" in ran.stderr
    assert "If a folder is meant, check the path." in ran.stderr
    assert "Traceback" not in ran.stderr
