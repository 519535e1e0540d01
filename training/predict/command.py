"""``saros predict --model``: options, and the run over one CT or thousands."""

import argparse
import warnings
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from saros_hf.console import say
from saros_hf.progress import progress_bar


def add_predict_options(predict: argparse.ArgumentParser) -> None:
    """Add the options of a prediction with a saved model."""
    add = predict.add_argument
    add(
        "--model",
        action="append",
        required=True,
        metavar="MODEL",
        help="model folder, run with fold_1 to fold_5, or user/name on the Hub; several are averaged",
    )
    add(
        "source",
        metavar="CT",
        type=Path,
        help="NIfTI, DICOM folder or ZIP; a folder of cases or of these; list (.txt, .csv)",
    )
    add("out", metavar="OUT", type=Path, help="label map to write (.nii.gz); for many CTs a folder")
    choice = argparse.BooleanOptionalAction
    what = "average with the mirror image; 2 to 3 times the time (default: set in the model)"
    add("--mirror", action=choice, help=what)
    what = "remove pieces that are too small or misplaced (default: set in the model)"
    add("--clean", action=choice, help=what)
    what = "longest side of a slice in one pass, in pixels (default 1024)"
    add("--tile", type=int, default=1024, help=what)
    add("--batch-size", type=int, default=16, help="slices in one pass (default 16)")
    add("--overwrite", action="store_true", help="replace what is there, whatever made it")
    add("--no-pictures", action="store_true", help="write label maps only")
    add("--accelerator", default="auto", help="accelerator of Lightning's trainer (default auto)")
    what = "number of devices, or a list; each predicts a part of the CTs (default auto)"
    add("--devices", default="auto", help=what)
    add("--num-nodes", type=int, default=1, help="machines, under torchrun or SLURM (default 1)")
    what = "precision of Lightning's trainer (default bf16-mixed where it is fast)"
    add("--precision", help=what)
    what = "processes that read the next CTs meanwhile (default 1)"
    add("--workers", type=int, default=1, choices=range(257), metavar="N", help=what)
    predict.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from ..model.test_time_averaging import PredictOptions
    from .devices import make_trainer
    from .ensemble import read_ensemble
    from .inputs import find_inputs
    from .predictor import Predictor, predict_all

    passes = PredictOptions(tile=options.tile, batch_size=options.batch_size)
    inputs = find_inputs(options.source, options.out)
    alone = inputs[0].alone
    ensemble = read_ensemble(options.model)
    default = ensemble.options
    mirror = default.mirror if options.mirror is None else options.mirror
    clean = default.clean if options.clean is None else options.clean
    bar = progress_bar("slices") if alone else nullcontext()
    with bar as progress, TemporaryDirectory(prefix="saros-") as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Total length of `DataLoader`")  # nothing may remain
        predictor = Predictor(
            ensemble,
            inputs,
            replace(passes, mirror=mirror, clean=clean),
            keep=not options.overwrite,
            pictures=not options.no_pictures,
            num_workers=0 if alone else options.workers,
            progress=progress,
        )
        trainer = make_trainer(
            Path(folder),
            accelerator=options.accelerator,
            devices="1" if alone else options.devices,
            num_nodes=options.num_nodes,
            precision=options.precision,
            bar=not alone,
        )
        predict_all(trainer, predictor)
    return _summarise(predictor, trainer, options.out) if trainer.is_global_zero else 0


def _summarise(predictor: Any, trainer: Any, out: Path) -> int:  # noqa: ANN401 - imported late
    """Print the files of one CT, or the numbers of many; return the exit code."""
    if predictor.inputs[0].alone:
        for path in predictor.written:
            say(str(path))
        if predictor.kept:
            say(f"{out} was there already")
        return 0
    say(
        f"{out}: {predictor.predicted} CTs predicted on {trainer.world_size} device(s), "
        f"{predictor.kept} were there already, {predictor.failed} failed"
    )
    if predictor.failed:
        say("Their errors are in *.error.txt beside the places of their label maps.")
    return 1 if predictor.failed else 0
