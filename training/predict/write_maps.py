"""One CT in, label maps out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from saros_hf.cases.files import CaseFiles
from saros_hf.files import write_atomically
from saros_hf.labels import Task
from saros_hf.nifti import read_image, write_volume
from saros_hf.progress import OnProgress
from saros_hf.volume import Volume

from ..model.test_time_averaging import PredictOptions
from ..module import SarosSegmenter
from ..pictures import axial_planes, middle_coronal, overlay_png
from .ensemble import Ensemble
from .inputs import SUFFIX, PredictionInput, beside


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
        job = PredictionInput(files.image, folder / f"{files.case.case_id}{SUFFIX}")
        write_maps(segmenter.predict_maps(read_image(files.image)), job)
        if progress is not None:
            progress(done, len(cases))


def predict_one(
    ensemble: Ensemble,
    ct: Volume,
    job: PredictionInput,
    options: PredictOptions,
    *,
    picture: bool = True,
    progress: OnProgress | None = None,
) -> list[Path]:
    """Write the label maps of a CT, and a picture beside each; return what was written.

    Label maps come last: where they are there, so is the rest. ``progress`` is called with
    (slices done, slices in all).
    """
    maps = ensemble.predict_maps(ct, options, progress=progress)
    pictures = _draw(ct, maps, job) if picture else []
    return write_maps(maps, job) + pictures


def write_maps(maps: Mapping[Task, Volume], job: PredictionInput) -> list[Path]:
    """Write each task's label map; return their paths."""
    places = job.label_maps(tuple(maps))
    for task, path in places.items():
        write_volume(path, maps[task], description=f"{task} predicted by saros-hf")
    return list(places.values())


def _draw(ct: Volume, maps: Mapping[Task, Volume], job: PredictionInput) -> list[Path]:
    """Write a picture beside where each label map goes; return their paths."""
    planes = [*axial_planes(ct, (0.8, 0.5, 0.2)), middle_coronal(ct)]
    drawn = []
    for task, path in job.label_maps(tuple(maps)).items():
        png = overlay_png(ct, {"prediction": maps[task]}, planes, task=task)
        drawn.append(beside(path, ".png"))
        with write_atomically(drawn[-1]) as aside:
            aside.write_bytes(png)
    return drawn
