"""Files of a prediction: label maps, and pictures beside them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from saros_hf.cases.files import CaseFiles
from saros_hf.errors import UsageError
from saros_hf.files import write_atomically
from saros_hf.labels import Task
from saros_hf.nifti import read_image, write_volume
from saros_hf.progress import OnProgress
from saros_hf.volume import Volume

from ..module import SarosSegmenter
from ..pictures import axial_planes, middle_coronal, overlay_png
from .inputs import SUFFIX, PredictionInput, beside
from .origin import Origin, is_untouched, origin_of


def predict_cases(
    segmenter: SarosSegmenter,
    cases: Sequence[CaseFiles],
    folder: Path,
    *,
    progress: OnProgress | None = None,
) -> None:
    """Write the label map of every case into ``folder``, on the grid of its image.

    ``progress`` is called with (cases done, cases in all).
    """
    for done, files in enumerate(cases, start=1):
        item = PredictionInput(files.image, folder / f"{files.case.case_id}{SUFFIX}")
        write_maps(segmenter.predict_maps(read_image(files.image)), item)
        if progress is not None:
            progress(done, len(cases))


def write_maps(
    maps: Mapping[Task, Volume],
    item: PredictionInput,
    *,
    origin: Origin = Origin(),  # noqa: B008 - frozen
    overwrite: bool = False,
) -> list[Path]:
    """Write each task's label map of a CT and return the paths.

    Args:
        maps: Label maps by task.
        item: The CT, with the paths of its label maps.
        origin: What made them, noted in their headers.
        overwrite: Replace whatever is there, not only untouched predictions.

    Raises:
        UsageError: There is another file, or a prediction that was changed since.
    """
    paths = item.label_maps(tuple(maps))
    for path in paths.values():
        if path.is_file() and not overwrite:
            refuse_foreign(path)
            if not is_untouched(path):
                raise _kept(path, "a label map that was changed after its prediction")
    for task, path in paths.items():
        write_volume(path, maps[task], description=f"{task} {origin.note(maps[task])}")
    return list(paths.values())


def refuse_foreign(path: Path) -> Origin:
    """Return what made the label map at a path.

    Raises:
        UsageError: This package did not.
    """
    origin = origin_of(path)
    if origin is None:
        raise _kept(path, "a file that no prediction made")
    return origin


def _kept(path: Path, found: str) -> UsageError:
    remedy = "Give another place for the label maps, or replace what is there: --overwrite."
    return UsageError(path, found, "a prediction, or nothing", remedy)


def write_pictures(ct: Volume, maps: Mapping[Task, Volume], item: PredictionInput) -> list[Path]:
    """Write a picture beside each label map of a CT and return the paths."""
    planes = [*axial_planes(ct, (0.8, 0.5, 0.2)), middle_coronal(ct)]
    written = []
    for task, path in item.label_maps(tuple(maps)).items():
        png = overlay_png(ct, {"prediction": maps[task]}, planes, task=task)
        written.append(beside(path, ".png"))
        with write_atomically(written[-1]) as aside:
            aside.write_bytes(png)
    return written
