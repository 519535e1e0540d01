"""``saros predict --model``: options, and the run over one CT or thousands."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from saros_hf.console import say
from saros_hf.progress import OnProgress, progress_bar


def add_predict_options(predict: argparse.ArgumentParser) -> None:
    """Add the options of a prediction with a saved model."""
    add = predict.add_argument
    add(
        "--model",
        action="append",
        required=True,
        metavar="MODEL",
        help="saved model, run with fold_1 to fold_5, or user/name on the Hub; several are averaged",
    )
    add(
        "source",
        metavar="CT",
        type=Path,
        help="NIfTI, DICOM folder or ZIP; a folder of cases or of these; list (.txt, .csv)",
    )
    add("out", metavar="OUT", type=Path, help="label map to write (.nii.gz); of many CTs a folder")
    for option, what in (
        ("--mirror", "average with the mirror image; 2 to 3 times the time"),
        ("--clean", "drop parts that are too small or out of place"),
    ):
        choice = argparse.BooleanOptionalAction
        add(option, action=choice, help=f"{what} (default: as the model says)")
    add("--tile", type=int, default=1024, help="longest side of a slice in one pass (default 1024)")
    add("--batch-size", type=int, default=16, help="slices at once (default 16)")
    add("--overwrite", action="store_true", help="predict again what is there already")
    add("--no-pictures", action="store_true", help="write label maps alone")
    add("--accelerator", default="auto", help="as of Lightning's trainer (default auto)")
    add("--devices", default="auto", help="how many, or which; each takes its share of the CTs")
    add("--num-nodes", type=int, default=1, help="machines, under torchrun or SLURM (default 1)")
    add("--precision", help="as of Lightning's trainer (default bf16-mixed where it is fast)")
    what = "processes that read the next of many CTs (default 1)"
    add("--workers", type=int, default=1, choices=range(257), metavar="N", help=what)
    predict.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from ..model.test_time_averaging import PredictOptions
    from .devices import Devices, run_predictor
    from .ensemble import read_ensemble
    from .inputs import find_jobs
    from .predictor import Predictor

    passes = PredictOptions(tile=options.tile, batch_size=options.batch_size)
    jobs = find_jobs(options.source, options.out)
    alone = jobs[0].alone
    ensemble = read_ensemble(options.model)
    model = ensemble.options
    mirror = model.mirror if options.mirror is None else options.mirror
    clean = model.clean if options.clean is None else options.clean
    devices = "1" if alone else options.devices
    where = Devices(options.accelerator, devices, options.num_nodes, options.precision)
    with _slices_of_one(shown=alone) as progress:
        predictor = Predictor(
            ensemble,
            jobs,
            replace(passes, mirror=mirror, clean=clean),
            keep=not (alone or options.overwrite),
            pictures=not options.no_pictures,
            num_workers=0 if alone else options.workers,
            progress=progress,
        )
        trainer = run_predictor(predictor, where, bar=not alone)
    return _tell(predictor, trainer, options.out) if trainer.is_global_zero else 0


@contextmanager
def _slices_of_one(*, shown: bool) -> Iterator[OnProgress | None]:
    if shown:
        with progress_bar("slices") as report:
            yield report
    else:
        yield None


def _tell(predictor: Any, trainer: Any, out: Path) -> int:  # noqa: ANN401 - imported when run
    """Say what was written where; return the exit code."""
    tally = predictor.tally
    if predictor.jobs[0].alone:
        for path in predictor.written:
            say(str(path))
    else:
        say(
            f"{out}: {tally.written} CTs predicted on {trainer.world_size} device(s), "
            f"{tally.kept} were there already, {tally.failed} failed",
        )
        if tally.failed:
            say("What was wrong stands in *.error.txt beside where they would be.")
    return 1 if tally.failed else 0
