"""Trained networks from disk that predict together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from torch import nn

from saros_hf.errors import MissingFileError, UsageError
from saros_hf.labels import Task
from saros_hf.progress import OnProgress
from saros_hf.volume import Volume

from ..model.input_spec import InputSpec
from ..model.predict_volume import predict_maps
from ..model.pretrained import CONFIG, WEIGHTS, members_of, model_folder
from ..model.test_time_averaging import PredictOptions
from ..module import SarosSegmenter


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Networks of the same kind, such as one per fold.

    Attributes:
        networks: In eval mode.
        spec: What they expect of their input.
        options: How they predict unless told otherwise.
    """

    networks: nn.ModuleList
    spec: InputSpec
    options: PredictOptions = PredictOptions()  # noqa: RUF009 - frozen

    def predict_maps(
        self,
        image: Volume,
        options: PredictOptions | None = None,
        *,
        progress: OnProgress | None = None,
    ) -> dict[Task, Volume]:
        """Return each task's label map, see :func:`training.model.predict_volume.predict_maps`."""
        chosen = self.options if options is None else options
        return predict_maps(list(self.networks), image, self.spec, chosen, progress=progress)


def read_ensemble(names: Sequence[str | Path]) -> Ensemble:
    """Return the networks of models that predict together.

    Args:
        names: Model folders, runs that hold ``fold_K/model``, or models on the Hub, ``user/name``.

    Raises:
        MissingFileError: A folder holds no model.
        UnreadableFileError: A model cannot be read.
        UsageError: The models expect different input.
        HubError: The Hub does not hand one out.
    """
    segmenters = read_members(names)
    networks = nn.ModuleList([segmenter.network for segmenter in segmenters])
    specs = [segmenter.spec for segmenter in segmenters]
    lows, highs = zip(*(spec.spacing_range_mm for spec in specs), strict=True)
    common = replace(
        specs[0],
        spacing_range_mm=(min(lows), max(highs)),
        slice_spacing_mm=median(spec.slice_spacing_mm for spec in specs),
    )
    return Ensemble(networks.eval(), common, segmenters[0].options)


def read_members(names: Sequence[str | Path]) -> list[SarosSegmenter]:
    """Return every network of some models, see :func:`read_ensemble`."""
    places = [place for name in names for place in _model_folders(name)]
    segmenters = [SarosSegmenter.from_pretrained(place) for place in places]
    first = segmenters[0].spec
    for place, segmenter in zip(places, segmenters, strict=True):
        if _apart_from_spacing(segmenter.spec) != _apart_from_spacing(first):
            raise UsageError(
                place,
                f"a model for {segmenter.spec}",
                f"the input of {places[0]}: {first}",
                "Average models that were trained with the same task and options.",
            )
    return segmenters


def _apart_from_spacing(spec: InputSpec) -> InputSpec:
    """Return what must be the same of networks that predict together; folds differ in spacing."""
    return replace(spec, spacing_range_mm=(0.0, 0.0), slice_spacing_mm=0.0)


def _model_folders(name: str | Path) -> list[Path]:
    folder = model_folder(name)
    if (folder / CONFIG).is_file():
        return members_of(folder)
    folds = sorted(path.parent for path in folder.glob(f"fold_*/model/{CONFIG}"))
    if not folds:
        raise MissingFileError(
            folder,
            "no model",
            f"{CONFIG} and {WEIGHTS}, or fold_1/model and so on",
            "Give the folder that training or the demo wrote, e.g. demo/model.",
        )
    return folds
