"""``saros composition --model``: predict the label maps first, then measure as without a model."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from saros_hf.console import Subparsers
from saros_hf.errors import UsageError
from saros_hf.files import sha256

if TYPE_CHECKING:
    from ..model.test_time_averaging import PredictOptions
    from ..predict.ensemble import Ensemble

LABELS_FOLDER = "labels"
"""Folder in the results with the predicted label maps, to be corrected and measured again."""
MEMBERS_FOLDER = "members"
"""Folder with the results of each network and mirror pass alone."""


def add_model_to_composition(commands: Subparsers) -> None:
    """Add ``--model`` and the options of prediction to ``saros composition``."""
    composition = commands.choices["composition"]
    add = composition.add_argument
    what = "predict the label maps: model folder, run of several folds, or user/name on the Hub"
    add("--model", action="append", metavar="MODEL", help=what)
    choice = argparse.BooleanOptionalAction
    add("--mirror", action=choice, help="average with the mirror image (default: set in the model)")
    what = "number of devices, or a list; each predicts a part of the CTs (default auto)"
    add("--devices", default="auto", help=what)
    add("--accelerator", default="auto", help="accelerator of Lightning's trainer (default auto)")
    what = "measure with each network and mirror pass alone too, and write the spread of the values"
    add("--spread", action="store_true", help=what)
    measure = composition.get_default("run")
    composition.set_defaults(run=partial(_run, measure))


def _run(measure: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Predict if there is a model, then measure; return the exit code."""
    if not options.model:
        if options.spread:
            raise UsageError("--spread", "no model", "--model, whose networks are compared")
        return measure(options)
    if options.regions is not None:
        raise UsageError("--regions", "a label map and a model", "one of them")
    from ..predict.ensemble import read_ensemble

    ensemble = read_ensemble(options.model)
    if "body-regions" not in ensemble.spec.tasks:
        found = f"a model for {', '.join(ensemble.spec.tasks)}"
        raise UsageError("--model", found, "a model for the body regions")
    options.digests = _digests(options.model)
    mirror = ensemble.options.mirror if options.mirror is None else options.mirror
    passes = replace(ensemble.options, mirror=mirror)
    code = _predict_and_measure(measure, options, ensemble, passes)
    if options.spread:
        code = max(code, _measure_members(measure, options, ensemble))
    return code


def _measure_members(
    measure: Callable[[argparse.Namespace], int], options: argparse.Namespace, ensemble: "Ensemble"
) -> int:
    """Measure with every network and mirror pass alone and write the spread."""
    from .spread import members_of, write_spread

    code, folders = 0, []
    for name, member, passes in members_of(ensemble):
        folders.append(options.out / MEMBERS_FOLDER / name)
        alone = argparse.Namespace(**vars(options) | {"out": folders[-1]})
        code = max(code, _predict_and_measure(measure, alone, member, passes))
    write_spread(folders, options.out)
    return code


def _predict_and_measure(
    measure: Callable[[argparse.Namespace], int],
    options: argparse.Namespace,
    ensemble: "Ensemble",
    passes: "PredictOptions",
) -> int:
    """Write the label maps of the CTs that have none yet, and measure them on the first device."""
    from saros_hf.composition.sources import find_cts

    from ..predict.devices import make_trainer
    from ..predict.inputs import PredictionInput
    from ..predict.predictor import Predictor, predict_all

    labels = options.out / LABELS_FOLDER
    cts = find_cts(options.source, options.out)
    inputs = [PredictionInput(ct, labels / f"{name}.nii.gz") for name, ct in cts.items()]
    with TemporaryDirectory(prefix="saros-") as folder:
        predictor = Predictor(ensemble, inputs, passes, pictures=False)
        trainer = make_trainer(
            Path(folder),
            accelerator=options.accelerator,
            devices="1" if len(inputs) == 1 else options.devices,
        )
        predict_all(trainer, predictor)
    if not trainer.is_global_zero:
        return 0
    return measure(argparse.Namespace(**vars(options) | {"regions": labels}))


def _digests(names: Sequence[str]) -> dict[str, str]:
    """Return the SHA-256 of the weights of every network, by its path in the model."""
    from ..model.pretrained import WEIGHTS, model_folder

    found = {}
    for name in names:
        folder = model_folder(name)
        for path in sorted(folder.rglob(WEIGHTS)):
            found[f"{name}/{path.relative_to(folder).as_posix()}"] = sha256(path)
    return found
