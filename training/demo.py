"""The main job end to end on synthetic cases: data, training, scores, report, model."""

import logging
import time
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.loggers import CSVLogger

from saros_hf.cases.files import CaseFiles, find_cases
from saros_hf.console import say, show
from saros_hf.folds import split_of
from saros_hf.labels import Task
from saros_hf.nifti import read_image, read_mask
from saros_hf.phantom.write_cohort import simulate
from saros_hf.progress import progress_bar

from .datamodule import SarosDataModule
from .evaluate.example_case import Example, median_case
from .evaluate.report import Picture, Report, case_picture, read_epochs, write_report
from .evaluate.result_folder import EvaluationResult, write_evaluated
from .evaluate.score_case import score_case
from .evaluate.score_table import screen_table, text_rows
from .evaluate.scores import Score
from .evaluate.summary import dice_and_nsd
from .module import SarosSegmenter
from .predict.devices import best_precision
from .predict.inputs import SUFFIX
from .predict.write_maps import predict_cases
from .publish.model_folder import write_model_folder
from .surfaces.protocol_names import SurfaceProtocol

TASK: Task = "body-regions"
PROTOCOLS: tuple[SurfaceProtocol, ...] = ("slice", "published")
REPO_ID = "user/saros-demo"
"""Stands in the card for where the model may be published."""
MOST_STEPS = 700
"""Where the validation Dice of a run of 800 levelled off: 0.805, 0.808, 0.816 at 600, 700, 800."""
STEPS_PER_EPOCH = 100


@dataclass(frozen=True)
class DemoSettings:
    """What the demo makes and how long it trains.

    Attributes:
        seed: Of the phantoms, the initial weights and the patches.
        cases: Synthetic CTs over the six groups.
        size: Voxels across each.
        steps: Training steps; ``None`` takes what fits in ``minutes``, at most ``MOST_STEPS``.
        batch_size: Patches of one step.
        patch_size: Voxels of a patch along i and j.
        minutes: Longest training if ``steps`` is ``None``.
    """

    seed: int = 0
    cases: int = 36
    size: int = 160
    steps: int | None = None
    batch_size: int = 12
    patch_size: int = 128
    minutes: float = 6.5


def run_demo(folder: Path, settings: DemoSettings) -> None:
    """Run the whole job and leave data, metrics, predictions, report and model in ``folder``.

    Raises:
        UsageError: ``folder`` holds the cases of a demo with other settings.
    """
    _quiet()
    seed_everything(settings.seed, verbose=False)
    data = _phantoms(folder, settings)
    if settings.steps is None:
        settings = replace(settings, steps=_affordable_steps(settings))
    segmenter, log = _train(folder, data, settings)
    test = [files for files in find_cases(data) if split_of(files.case.fold) == "test"]
    with progress_bar("predictions") as report:
        predict_cases(segmenter, test, folder / "predictions", progress=report)
    scores = _score(folder, test)
    pictures = _pictures(folder, test)
    example = _example(test, scores, pictures)
    evaluated = EvaluationResult(TASK, "test", 1, synthetic=True, scores=scores, example=example)
    write_evaluated(folder, evaluated)
    write_model_folder(folder / "model", [segmenter], [evaluated], repo_id=REPO_ID)
    _write_report(folder, list(pictures.values()), scores, log, settings)
    title = "Test split (synthetic phantoms)"
    show(screen_table(text_rows(scores, TASK), title=title, beside_paper=False))
    say(f"Report: {folder / 'report.html'}   Model: {folder / 'model'}")


def _phantoms(folder: Path, settings: DemoSettings) -> Path:
    data = folder / "data"
    with progress_bar("phantom cases") as report:
        simulate(
            data,
            cases=settings.cases,
            seed=settings.seed,
            size=settings.size,
            progress=report,
        )
    return data


def _new_segmenter() -> SarosSegmenter:
    # Half of SMP's default decoder, which leaves time for more steps.
    return SarosSegmenter(task=TASK, options={"decoder_channels": (128, 64, 32, 16, 16)})


def _affordable_steps(settings: DemoSettings) -> int:
    """Return how many steps this machine trains in the time given, from a few of random data."""
    if torch.cuda.is_available():
        return MOST_STEPS
    segmenter = _new_segmenter()
    size = settings.patch_size
    image = torch.rand(settings.batch_size, 1, size, size)
    mask = torch.randint(0, 14, (settings.batch_size, size, size))
    times = []
    for _ in range(4):
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=best_precision() != "32-true"):
            loss = segmenter.loss(segmenter(image), {TASK: mask})
        loss.backward()
        times.append(time.perf_counter() - started)
    # Cutting and augmenting patches, validation and the optimizer take as long again by half.
    affordable = int(settings.minutes * 60 / (1.5 * min(times)))
    return min(MOST_STEPS, max(affordable, 1))


def _train(folder: Path, data: Path, settings: DemoSettings) -> tuple[SarosSegmenter, Path]:
    """Return the trained network and the folder of its log."""
    steps = settings.steps or MOST_STEPS
    datamodule = SarosDataModule(
        data,
        task=TASK,
        patch_size=(settings.patch_size, settings.patch_size),
        patches_per_epoch=settings.batch_size * min(STEPS_PER_EPOCH, steps),
        batch_size=settings.batch_size,
        cache_dir=folder / "cache",
        seed=settings.seed,
    )
    segmenter = _new_segmenter()
    logger = CSVLogger(folder, name="", version="training")
    trainer = Trainer(
        max_steps=steps,
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


def _score(folder: Path, cases: list[CaseFiles]) -> list[Score]:
    scores = []
    with progress_bar("scores") as report:
        for done, files in enumerate(cases, start=1):
            case_id = files.case.case_id
            prediction = read_mask(folder / "predictions" / f"{case_id}{SUFFIX}", TASK)
            truth = read_mask(files.mask(TASK), TASK)
            scores += score_case(case_id, prediction, truth, TASK, protocols=PROTOCOLS)
            report(done, len(cases))
    return scores


def _pictures(folder: Path, cases: list[CaseFiles]) -> dict[str, Picture]:
    """Return CT, truth and prediction of each case."""
    pictures: dict[str, Picture] = {}
    with progress_bar("pictures") as progress:
        for done, files in enumerate(cases, start=1):
            pictures[files.case.case_id] = _picture(folder, files)
            progress(done, len(cases))
    return pictures


def _example(
    cases: list[CaseFiles], scores: list[Score], pictures: dict[str, Picture]
) -> Example | None:
    """Return the median case, for the model card."""
    by_id = {files.case.case_id: files.case for files in cases}
    means = dice_and_nsd(scores)
    middle = median_case(means, by_id, list(pictures))
    if middle is None:
        return None
    return Example.of(by_id[middle], means[middle][0], pictures[middle].png)


def _write_report(
    folder: Path, pictures: list[Picture], scores: list[Score], log: Path, settings: DemoSettings
) -> None:
    report = Report(
        title="SAROS body regions: demo",
        task=TASK,
        scores=scores,
        epochs=read_epochs(log / "metrics.csv"),
        pictures=pictures,
        settings={name: str(value) for name, value in asdict(settings).items()},
        synthetic=True,
    )
    write_report(folder / "report.html", report)


def _picture(folder: Path, files: CaseFiles) -> Picture:
    case_id = files.case.case_id
    return case_picture(
        f"{case_id}, {files.case.anatomic_region}, {files.case.sex} (synthetic)",
        read_image(files.image),
        read_mask(files.mask(TASK), TASK),
        read_mask(folder / "predictions" / f"{case_id}{SUFFIX}", TASK),
        task=TASK,
    )


def _quiet() -> None:
    """Leave the screen to the demo's own bars and table."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for module in ("lightning", "torch", "torchio"):
        warnings.filterwarnings("ignore", module=rf"{module}\b")
