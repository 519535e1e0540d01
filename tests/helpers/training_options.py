"""Options of ``saros fit`` for runs of seconds."""

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
