"""Options of Lightning on the command line: they work, or end with one line."""

from pathlib import Path

import pytest
import torch
from helpers.training_options import TINY

from training.cli import main
from training.module import SarosSegmenter

SHORT = [*TINY, "--trainer.limit_val_batches=1", "--trainer.num_sanity_val_steps=0"]

STOPPING = "{class_path: EarlyStopping, init_args: {monitor: val_dice, mode: up}}"


def fails(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 1) -> str:
    """Run a command that must fail, and return its only line."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == code
    lines = [one for one in capsys.readouterr().err.splitlines() if one.startswith("saros: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--trainer.strategy=ddp_spawn", "found ddp_spawn, expected ddp"),
        ("--trainer.strategy=foo", "invalid strategy name"),
        ("--trainer.devices=0", "devices"),
        ("--trainer.barebones=true", "barebones"),
        ("--trainer.limit_train_batches=0", "nothing would be trained"),
        ("--trainer.accumulate_grad_batches=0", "nothing would be trained"),
        ("--trainer.max_steps=0", "nothing would be trained"),
        (f"--trainer.callbacks={STOPPING}", "`mode` can be min, max, got up"),
        ("--model.learning_rate=-1", "found -1.0, expected above 0"),
        ("--model.slices_per_pass=0", "found 0, expected 1 or more"),
        ("--model.encoder_name=resnet19", "Unet with resnet19"),
        ("--ckpt_path=best", "best.ckpt: found no such file"),
        ("--ckpt_path=http://127.0.0.1:9/a.ckpt", "http://127.0.0.1:9/a.ckpt: found no such file"),
    ],
)
def test_unusable_option_ends_with_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str, message: str
) -> None:
    place = [f"--data.data_dir={tmp_path}", f"--out={tmp_path / 'run'}"]
    assert message in fails(capsys, "fit", *place, *TINY, option)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trainer.limit_train_batches=0.01"], "0.01 of the `train_dataloader`"),
        (["--trainer.val_check_interval=1000"], "`val_check_interval` (1000)"),
        (["--config=small", "--trainer.logger=false", "--data.patch_size=[32,32]"], "no logger"),
        (["--trainer.overfit_batches=1"], "overfit_batches: found 1, expected 0"),
    ],
)
def test_option_that_fails_late_ends_with_one_line(
    capsys: pytest.CaptureFixture[str],
    phantoms: Path,
    cache: Path,
    tmp_path: Path,
    options: list[str],
    message: str,
) -> None:
    place = [f"--data.data_dir={phantoms}", f"--data.cache_dir={cache}", f"--out={tmp_path}"]
    assert message in fails(capsys, "fit", *options[:1], *SHORT, *options[1:], *place)


def test_dry_run_writes_no_checkpoint(phantoms: Path, cache: Path, tmp_path: Path) -> None:
    place = [f"--data.data_dir={phantoms}", f"--data.cache_dir={cache}", f"--out={tmp_path}"]
    dry = ["--trainer.enable_checkpointing=false", "--trainer.logger=false"]
    main(["fit", *SHORT, *place, *dry])
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["config.yaml"]


@pytest.mark.slow
def test_run_is_replaced_on_request_and_its_best_epoch_is_scored(
    capsys: pytest.CaptureFixture[str], phantoms: Path, cache: Path, tmp_path: Path
) -> None:
    place = [f"--data.data_dir={phantoms}", f"--data.cache_dir={cache}", f"--out={tmp_path}"]
    fit = ["fit", *SHORT, *place]
    main([*fit, "--trainer.limit_val_batches=0"])
    folder = tmp_path / "fold_1"
    SarosSegmenter.from_pretrained(folder / "model")
    found = "found last.ckpt, model of an earlier run, expected none. Go on with --ckpt_path last"
    assert found in fails(capsys, *fit)
    main([*fit, "--overwrite"])
    best = folder / "best.ckpt"
    checkpoint = torch.load(best, weights_only=True)
    checkpoint["hyper_parameters"]["encoder_weights"] = "imagenet"  # cannot be downloaded here
    torch.save(checkpoint, best)
    capsys.readouterr()
    main(["validate", *SHORT, *place])
    out, err = capsys.readouterr()
    assert f"saros: --ckpt_path is {best}" in err.splitlines()
    assert "val_dice/muscle" in out
    stop = "--trainer.callbacks=helpers.interruptions.CtrlC"
    line = fails(capsys, "validate", *SHORT, *place, f"--ckpt_path={best}", stop, code=130)
    assert line == "saros: interrupted. Run the same command again: it starts anew."
