"""Trained networks from disk that predict together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from saros_hf.errors import MissingFileError, UsageError
from saros_hf.labels import Task
from saros_hf.progress import OnProgress
from saros_hf.volume import Volume

from .averaging import PredictOptions
from .module import SarosSegmenter
from .slicewise import predict_maps
from .spec import InputSpec


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Networks of the same kind, such as one per fold.

    Attributes:
        networks: In eval mode.
        spec: What they expect of their input.
    """

    networks: nn.ModuleList
    spec: InputSpec

    def predict_maps(
        self,
        image: Volume,
        options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
        *,
        progress: OnProgress | None = None,
    ) -> dict[Task, Volume]:
        """Return each task's label map, see :func:`training.slicewise.predict_maps`."""
        return predict_maps(list(self.networks), image, self.spec, options, progress=progress)


def read_ensemble(folders: Sequence[Path]) -> Ensemble:
    """Return the networks of model folders, or of runs that hold ``fold_K/model``.

    Raises:
        MissingFileError: A folder holds no model.
        UnreadableFileError: A model cannot be read.
        UsageError: The models expect different input.
    """
    places = [place for folder in folders for place in _model_folders(folder)]
    segmenters = [SarosSegmenter.from_pretrained(place) for place in places]
    first, ranges = segmenters[0].spec, [one.spec.spacing_range_mm for one in segmenters]
    seen = min(low for low, _ in ranges), max(high for _, high in ranges)
    for place, segmenter in zip(places, segmenters, strict=True):
        if replace(segmenter.spec, spacing_range_mm=first.spacing_range_mm) != first:
            raise UsageError(
                place,
                found=f"a model for {segmenter.spec}",
                expected=f"the input of {places[0]}: {first}",
                remedy="Average models that were trained with the same task and options.",
            )
    networks = nn.ModuleList([segmenter.network for segmenter in segmenters])
    return Ensemble(networks.eval(), replace(first, spacing_range_mm=seen))


def _model_folders(folder: Path) -> list[Path]:
    if (folder / "config.json").is_file():
        return [folder]
    folds = sorted(path.parent for path in folder.glob("fold_*/model/config.json"))
    if not folds:
        raise MissingFileError(
            folder,
            found="no model",
            expected="config.json and model.safetensors, or fold_1/model and so on",
            remedy="Give the folder that training or the demo wrote, e.g. demo/model.",
        )
    return folds
