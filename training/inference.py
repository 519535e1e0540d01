"""Whole CTs in, label maps out, one file each, with a picture beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from saros_hf.case_files import IMAGE_NAME, CaseFiles
from saros_hf.ct import read_ct
from saros_hf.errors import UsageError
from saros_hf.files import write_atomically
from saros_hf.labels import Task
from saros_hf.nifti import read_image, write_volume
from saros_hf.progress import OnProgress
from saros_hf.volume import Volume

from .module import SarosSegmenter
from .pictures import axial_planes, middle_coronal, overlay_png

_SUFFIX = ".nii.gz"


def prediction_path(folder: Path, case_id: str, task: Task | None = None) -> Path:
    """Return where the prediction of a case lies.

    ``folder/case_XXX.nii.gz``, or ``folder/case_XXX/TASK.nii.gz`` of one task among several.
    """
    return folder / (f"{case_id}{_SUFFIX}" if task is None else f"{case_id}/{task}{_SUFFIX}")


def predict_cases(
    segmenter: SarosSegmenter,
    cases: Sequence[CaseFiles],
    folder: Path,
    *,
    progress: OnProgress | None = None,
) -> None:
    """Write the label map of every case, on the grid of its image.

    Args:
        segmenter: A trained network.
        cases: Cases whose ``image.nii.gz`` to read.
        folder: Where ``case_XXX.nii.gz`` files go; made if missing.
        progress: Called with (cases done, cases in all).
    """
    for done, files in enumerate(cases, start=1):
        maps = segmenter.predict_maps(read_image(files.image))
        _write_maps(maps, prediction_path(folder, files.case.case_id))
        if progress is not None:
            progress(done, len(cases))


def predict_paths(
    segmenter: SarosSegmenter, source: Path, out: Path, *, progress: OnProgress | None = None
) -> list[Path]:
    """Predict a CT, or every ``case_XXX/image.nii.gz`` of a folder, and picture the result.

    Args:
        segmenter: A trained network.
        source: NIfTI file, DICOM folder or ZIP, or a folder of case folders.
        out: For one CT the label map to write, for a folder of cases the folder to write to.
        progress: Called with (slices done, slices in all) of each CT.

    Returns:
        The label maps and pictures written.

    Raises:
        UsageError: ``out`` does not end in .nii.gz though ``source`` is one CT.
        SarosError: A CT is missing or cannot be read.
    """
    images = sorted(source.glob(f"case_*/{IMAGE_NAME}"))
    if images:
        targets = {image: prediction_path(out, image.parent.name) for image in images}
    elif out.name.endswith(_SUFFIX):
        targets = {source: out}
    else:
        raise UsageError(
            out,
            found="no .nii.gz name for the label map of one CT",
            expected="a file such as labels.nii.gz",
            remedy="Name the file to write.",
        )
    written = []
    for image, target in targets.items():
        written += _predict_one(segmenter, read_ct(image), target, progress)
    return written


def _predict_one(
    segmenter: SarosSegmenter, ct: Volume, target: Path, progress: OnProgress | None
) -> list[Path]:
    maps = segmenter.predict_maps(ct, progress=progress)
    written = _write_maps(maps, target)
    planes = [*axial_planes(ct, (0.8, 0.5, 0.2)), middle_coronal(ct)]
    for (task, labels), path in zip(maps.items(), tuple(written), strict=True):
        picture = path.with_name(path.name.removesuffix(_SUFFIX) + ".png")
        png = overlay_png(ct, {"prediction": labels}, planes, task=task)
        with write_atomically(picture) as aside:
            aside.write_bytes(png)
        written.append(picture)
    return written


def _write_maps(maps: Mapping[Task, Volume], target: Path) -> list[Path]:
    """Write one map to ``target``, several into a folder of that name without suffix."""
    folder = target.with_name(target.name.removesuffix(_SUFFIX))
    written = []
    for task, labels in maps.items():
        path = target if len(maps) == 1 else folder / f"{task}{_SUFFIX}"
        write_volume(path, labels, description=f"{task} predicted by saros-hf")
        written.append(path)
    return written
