"""The folder that ``saros publish-model`` writes, and the models that it refuses."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from helpers.model_folders import evaluated, network, record, write_checkpoint

from saros_hf.errors import MissingFileError, RightsError, UnreadableFileError, UsageError
from saros_hf.files import files_in
from saros_hf.volume import Volume
from training.cli import main
from training.evaluate.result_folder import EvaluationResult, write_evaluated
from training.publish.model_folder import read_networks, refuse_controlled, write_model_folder


def test_folder_can_be_published_from_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_two_networks_of_a_fold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"found 2 networks of fold_3, expected one of each fold"):
        write_model_folder(
            tmp_path, [network(1), network(2, fold=3), network(3, fold=3)], [], repo_id="user/model"
        )
    with pytest.raises(UsageError, match=r"found 2 evaluations of body-regions"):
        write_model_folder(tmp_path, [network()], [evaluated(), evaluated()], repo_id="user/model")
    assert not list(tmp_path.iterdir())


def test_dry_run_without_evaluation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network().save_pretrained(tmp_path / "model")
    command = ["publish-model", str(tmp_path / "model"), "user/model", "--dry-run"]
    main([*command, "--out", str(tmp_path / "out")])
    shown = capsys.readouterr().out
    assert "The card has no scores: add --evaluation DIR" in shown
    assert "Nothing was uploaded" in shown
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_scores_of_training_cases_are_refused(tmp_path: Path) -> None:
    def write(*evaluations: EvaluationResult, folds: tuple[int, ...] = (1,)) -> None:
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


def test_weights_from_controlled_access_are_refused(tmp_path: Path) -> None:
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


def test_foreign_file_is_refused(tmp_path: Path) -> None:
    write_model_folder(tmp_path / "out", [network()], [], repo_id="user/model")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"notes.txt: found a file that this command did not"):
        write_model_folder(tmp_path / "out", [network()], [], repo_id="user/model")
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "change",
    [
        {
            "training": {
                "fold": 1,
                "collections": {},
                "licenses": {},
                "validation": {"average": 7.5},
            }
        },
        {"training": {"fold": 9, "collections": {}, "licenses": {}}},
        {"training": {"fold": 1, "collections": {"a": "b"}, "licenses": {}}},
        {"training": {"fold": 1, "collections": {}, "licenses": {}, "validation": "x"}},
        {"training": []},
        {"members": ["../../x"]},
        {"prediction": {"tile": 1}},
        {"hyperparameters": {"encoder_name": 3}},
        {"input": {"spacing_range_mm": [0, 0], "slice_spacing_mm": 5}},
        {"input": {"spacing_range_mm": [1, 2], "slice_spacing_mm": math.inf}},
    ],
)
def test_damaged_config_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    network().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["_saros"] |= change
    for text in (json.dumps(config), '{"_saros":' + "[" * 200_000):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(UnreadableFileError, match="no model that can be read"):
            read_networks(tmp_path)


def test_network_of_nan_is_refused(tmp_path: Path) -> None:
    one = network()
    ct = Volume(np.zeros((32, 32, 2), np.int16), np.diag([1.5, 1.5, 5.0, 1.0]))
    next(one.network.parameters()).data.fill_(math.nan)
    with pytest.raises(UsageError, match="found scores of NaN"):
        one.predict_maps(ct)
    one.save_pretrained(tmp_path / "model")
    write_checkpoint(tmp_path / "best.ckpt", one)
    for source in (tmp_path / "model", tmp_path / "best.ckpt"):
        with pytest.raises(UnreadableFileError, match="found weights of NaN"):
            read_networks(source)


def test_missing_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="expected a checkpoint"):
        read_networks(tmp_path / "best.ckpt")
    (tmp_path / "other.ckpt").write_bytes(b"no zip")
    with pytest.raises(UnreadableFileError, match="no checkpoint of this package"):
        read_networks(tmp_path / "other.ckpt")
    with pytest.raises(MissingFileError, match="found no model"):
        read_networks(tmp_path)
