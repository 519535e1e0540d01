"""The demo: data, training, prediction, scores, report and model, on synthetic cases."""

import logging
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.loggers import CSVLogger

from saros_hf.cases.files import find_cases
from saros_hf.console import say, show
from saros_hf.folds import split_of
from saros_hf.labels import Task
from saros_hf.phantom.write_cohort import simulate
from saros_hf.progress import progress_bar

from .datamodule import SarosDataModule
from .evaluate.pairs import Evaluation, pairs
from .evaluate.report import read_epochs
from .evaluate.result_folder import TrainingRun, write_evaluation
from .evaluate.run import score_pair
from .evaluate.summary import screen_table, text_rows
from .module import SarosSegmenter
from .predict.devices import best_precision
from .predict.write_maps import predict_cases
from .publish.model_folder import write_model_folder

__all__ = ["REPO_ID", "TASK", "DemoSettings", "run_demo"]

TASK: Task = "body-regions"
REPO_ID = "user/saros-demo"
"""Placeholder for the model's name on the Hub, shown on its card."""
STEPS_PER_EPOCH = 100


@dataclass(frozen=True)
class DemoSettings:
    """Size of the demo.

    Attributes:
        seed: Seed of the phantoms, the initial weights and the patches.
        cases: Number of synthetic CTs, over the six groups.
        size: Voxels of each CT along i and j.
        steps: Training steps; the default takes a few minutes on 2 cores.
        batch_size: Patches per step.
        patch_size: Voxels of a patch along i and j.
    """

    seed: int = 0
    cases: int = 36
    size: int = 160
    steps: int = 300
    batch_size: int = 12
    patch_size: int = 128


def run_demo(folder: Path, settings: DemoSettings) -> None:
    """Write synthetic data, train, predict and score; leave everything in ``folder``.

    Raises:
        UsageError: ``folder`` holds the cases of a demo with other settings.
    """
    _silence_lightning()
    seed_everything(settings.seed, verbose=False)
    data = folder / "data"
    with progress_bar("phantom cases") as report:
        simulate(
            data, cases=settings.cases, seed=settings.seed, size=settings.size, progress=report
        )
    segmenter, log = _train(folder, data, settings)
    test = [files for files in find_cases(data) if split_of(files.case.fold) == "test"]
    evaluation = Evaluation(data, folder / "predictions", TASK)
    with progress_bar("predictions") as report:
        predict_cases(segmenter, test, evaluation.predictions, progress=report)
    chosen, scores = pairs(evaluation), []
    with progress_bar("scores") as report:
        for done, pair in enumerate(chosen, start=1):
            scores += score_pair(evaluation, pair)
            report(done, len(chosen))
    training = TrainingRun(read_epochs(log / "metrics.csv"), asdict(settings))
    with progress_bar("pictures") as report:
        result = write_evaluation(
            folder, evaluation, chosen, scores, training=training, progress=report
        )
    write_model_folder(folder / "model", [segmenter], [result], repo_id=REPO_ID)
    title = "Test split (synthetic phantoms)"
    show(screen_table(text_rows(scores, TASK), title=title, beside_paper=False))
    say(f"Report: {folder / 'report.html'}   Model: {folder / 'model'}")


def _train(folder: Path, data: Path, settings: DemoSettings) -> tuple[SarosSegmenter, Path]:
    """Return the trained network and the folder of its log."""
    datamodule = SarosDataModule(
        data,
        task=TASK,
        patch_size=(settings.patch_size, settings.patch_size),
        patches_per_epoch=settings.batch_size * min(STEPS_PER_EPOCH, settings.steps),
        batch_size=settings.batch_size,
        cache_dir=folder / "cache",
        seed=settings.seed,
    )
    # Half the width of SMP's default decoder: more steps in the same time.
    segmenter = SarosSegmenter(task=TASK, options={"decoder_channels": (128, 64, 32, 16, 16)})
    logger = CSVLogger(folder, name="", version="training")
    trainer = Trainer(
        max_steps=settings.steps,
        precision=best_precision(),
        devices=1,
        gradient_clip_val=1.0,
        logger=logger,
        callbacks=[RichProgressBar()],
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=20,
    )
    trainer.fit(segmenter, datamodule=datamodule)
    return segmenter.cpu(), Path(logger.log_dir)


def _silence_lightning() -> None:
    """Hide log lines and warnings that would break up the progress bars."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for module in ("lightning", "torch", "torchio"):
        warnings.filterwarnings("ignore", module=rf"{module}\b")
