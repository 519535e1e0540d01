"""Trained networks whose probabilities are averaged, such as one per fold."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from torch import nn

from saros_hf.errors import MissingFileError, UnreadableFileError, UsageError
from saros_hf.labels import Task
from saros_hf.progress import OnProgress
from saros_hf.volume import Volume

from ..hu_window import refuse_bad_window
from ..model.input_spec import InputSpec
from ..model.predict_volume import predict_maps
from ..model.pretrained import CONFIG, WEIGHTS, model_folder, read_config
from ..model.test_time_averaging import PredictOptions
from ..module import SarosSegmenter


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Networks for the same label maps and input.

    Attributes:
        networks: Networks in eval mode.
        spec: Input that they were trained on.
        options: Default options for prediction.
    """

    networks: nn.ModuleList
    spec: InputSpec
    options: PredictOptions

    def predict_maps(
        self,
        image: Volume,
        options: PredictOptions | None = None,
        *,
        progress: OnProgress | None = None,
    ) -> dict[Task, Volume]:
        """Return each task's label map, see :func:`training.model.predict_volume.predict_maps`."""
        chosen = options or self.options
        return predict_maps(list(self.networks), image, self.spec, chosen, progress=progress)


def read_ensemble(names: Sequence[str | Path]) -> Ensemble:
    """Return the networks of one or several models as an ensemble.

    Args:
        names: Model folders, runs that hold ``fold_K/model``, or models on the Hub, ``user/name``.

    Raises:
        MissingFileError: A folder holds no model.
        UnreadableFileError: A model cannot be read, or has weights of NaN.
        UsageError: The models expect different input.
        HubError: A model cannot be downloaded.
    """
    segmenters = read_members(names)
    specs = [segmenter.spec for segmenter in segmenters]
    lows, highs = zip(*(spec.spacing_range_mm for spec in specs), strict=True)
    common = replace(
        specs[0],
        spacing_range_mm=(min(lows), max(highs)),
        slice_spacing_mm=median(spec.slice_spacing_mm for spec in specs),
    )
    networks = nn.ModuleList([segmenter.network for segmenter in segmenters])
    return Ensemble(networks.eval(), common, segmenters[0].options)


def read_members(names: Sequence[str | Path]) -> list[SarosSegmenter]:
    """Return every network of one or several models, see :func:`read_ensemble`."""
    folders = [folder for name in names for folder in _member_folders(name)]
    segmenters = [SarosSegmenter.from_pretrained(folder) for folder in folders]
    first = segmenters[0].spec
    for folder, segmenter in zip(folders, segmenters, strict=True):
        refuse_useless(folder, segmenter)
        # Folds differ in spacing.
        spec = replace(
            segmenter.spec,
            spacing_range_mm=first.spacing_range_mm,
            slice_spacing_mm=first.slice_spacing_mm,
        )
        if spec != first:
            found, expected = f"a model for {spec}", f"the input of {folders[0]}: {first}"
            remedy = "Average models that were trained with the same task and options."
            raise UsageError(folder, found, expected, remedy)
    return segmenters


def refuse_useless(path: Path, segmenter: SarosSegmenter) -> None:
    """Raise if a network can predict nothing, which argmax would show as background.

    Raises:
        UnreadableFileError: A weight is NaN or infinite.
        UsageError: The HU window is empty.
    """
    weights = segmenter.network.state_dict().values()
    if not all(values.isfinite().all() for values in weights):
        found, remedy = "weights of NaN or infinity", "Train again, or take an earlier checkpoint."
        raise UnreadableFileError(path, found, "numbers", remedy)
    refuse_bad_window(segmenter.window)


def _member_folders(name: str | Path) -> list[Path]:
    folder = model_folder(name)
    if (folder / CONFIG).is_file():
        return [folder, *(folder / member for member in read_config(folder)["members"])]
    folds = sorted(path.parent for path in folder.glob(f"fold_*/model/{CONFIG}"))
    if not folds:
        expected = f"{CONFIG} and {WEIGHTS}, or fold_1/model and so on"
        remedy = "Give the folder that training or the demo wrote, e.g. demo/model."
        raise MissingFileError(folder, "no model", expected, remedy)
    return folds
