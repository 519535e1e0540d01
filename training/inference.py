"""Which CTs to predict and where their label maps go, and one CT in, label maps out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from saros_hf.case_files import IMAGE_NAME, CaseFiles
from saros_hf.errors import MissingFileError, UsageError
from saros_hf.files import write_atomically
from saros_hf.labels import Task
from saros_hf.nifti import read_image, write_volume
from saros_hf.progress import OnProgress
from saros_hf.volume import Volume

from .averaging import PredictOptions
from .ensemble import Ensemble
from .module import SarosSegmenter
from .pictures import axial_planes, middle_coronal, overlay_png

SUFFIX = ".nii.gz"
_LISTS = (".txt", ".csv")


@dataclass(frozen=True)
class Job:
    """One CT to predict.

    Attributes:
        source: NIfTI file, DICOM folder or ZIP.
        target: Label map to write; of several tasks a folder of that name without suffix.
    """

    source: Path
    target: Path

    def label_maps(self, tasks: Sequence[Task]) -> dict[Task, Path]:
        """Return where the label map of each task goes."""
        if len(tasks) == 1:
            return {tasks[0]: self.target}
        folder = self.target.with_name(self.target.name.removesuffix(SUFFIX))
        return {task: folder / f"{task}{SUFFIX}" for task in tasks}


def find_jobs(source: Path, out: Path) -> list[Job]:
    """Return the CTs that ``source`` names, in order.

    Args:
        source: One CT; a folder of cases or of NIfTI files; or a .txt or .csv file with the path
            of a CT in each line (of a table, in its first column), relative to that file.
        out: For one CT the label map to write, else the folder to write to.

    Raises:
        MissingFileError: A list names nothing.
        UsageError: ``out`` does not end in .nii.gz though ``source`` is one CT, or two CTs
            would be written to the same file.
    """
    images = _images(source)
    if images:
        jobs = [Job(image, out / f"{_name(image)}{SUFFIX}") for image in images]
        _refuse_doubles(jobs)
        return jobs
    if not out.name.endswith(SUFFIX):
        raise UsageError(
            out,
            found="no .nii.gz name for the label map of one CT",
            expected="a file such as labels.nii.gz",
            remedy="Name the file to write.",
        )
    return [Job(source, out)]


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
        job = Job(files.image, folder / f"{files.case.case_id}{SUFFIX}")
        write_maps(segmenter.predict_maps(read_image(files.image)), job)
        if progress is not None:
            progress(done, len(cases))


def predict_one(
    ensemble: Ensemble,
    ct: Volume,
    job: Job,
    options: PredictOptions,
    *,
    picture: bool = True,
    progress: OnProgress | None = None,
) -> list[Path]:
    """Write the label maps of a CT, and a picture beside each; return what was written.

    ``progress`` is called with (slices done, slices in all).
    """
    maps = ensemble.predict_maps(ct, options, progress=progress)
    written = write_maps(maps, job)
    if picture:
        planes = [*axial_planes(ct, (0.8, 0.5, 0.2)), middle_coronal(ct)]
        for task, path in job.label_maps(tuple(maps)).items():
            png = overlay_png(ct, {"prediction": maps[task]}, planes, task=task)
            beside = path.with_name(path.name.removesuffix(SUFFIX) + ".png")
            with write_atomically(beside) as aside:
                aside.write_bytes(png)
            written.append(beside)
    return written


def write_maps(maps: Mapping[Task, Volume], job: Job) -> list[Path]:
    """Write each task's label map; return their paths."""
    places = job.label_maps(tuple(maps))
    for task, path in places.items():
        write_volume(path, maps[task], description=f"{task} predicted by saros-hf")
    return list(places.values())


def _images(source: Path) -> list[Path]:
    """Return the CTs of a folder or list, none if ``source`` is one CT itself."""
    if source.suffix in _LISTS:
        return _listed(source)
    return sorted(source.glob(f"case_*/{IMAGE_NAME}")) or sorted(source.glob("*.nii.gz"))


def _listed(path: Path) -> list[Path]:
    if not path.is_file():
        raise MissingFileError(
            path, found="no such file", expected="a list of CTs", remedy="Check the path."
        )
    cells = [line.split(",")[0].strip().strip('"') for line in path.read_text().splitlines()]
    places = [path.parent / cell for cell in cells if cell and not cell.startswith("#")]
    # The head of a table is no file; a CT that is missing is told of when its turn comes.
    if path.suffix == ".csv" and places and not places[0].exists():
        places = places[1:]
    if not places:
        raise MissingFileError(
            path,
            found="no path in it",
            expected="the path of a CT in each line",
            remedy="List the CTs.",
        )
    return places


def _name(image: Path) -> str:
    """Return a CT's name: of ``case_000/image.nii.gz`` that of its folder."""
    if image.name == IMAGE_NAME:
        return image.parent.name
    return image.name.removesuffix(".gz").removesuffix(".nii").removesuffix(".zip")


def _refuse_doubles(jobs: Sequence[Job]) -> None:
    target, count = Counter(job.target for job in jobs).most_common(1)[0]
    if count > 1:
        sources = ", ".join(str(job.source) for job in jobs if job.target == target)
        raise UsageError(
            target,
            found=f"{count} CTs to be written there: {sources}",
            expected="one",
            remedy="Give them different names, or predict them into different folders.",
        )
