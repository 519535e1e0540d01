"""Options of ``saros fit`` and of the trainer for runs of seconds."""

from typing import Any

TINY = [
    "--data.patch_size=[32,32]",
    "--data.patches_per_epoch=4",
    "--data.batch_size=2",
    "--data.num_workers=0",
    "--trainer.accelerator=cpu",
    "--trainer.devices=1",
    "--trainer.strategy=auto",
    "--model.compile_network=false",
    "--trainer.precision=32-true",
    "--trainer.max_epochs=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]

JOINT = ["--config=joint", "--config=small"]

QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
"""Options of a trainer that prints and logs nothing."""

UNSAVED = QUIET | {"enable_checkpointing": False}
