"""Read a CT on its original grid from NIfTI, or from a folder or .zip with one DICOM series."""

from collections.abc import Mapping
from pathlib import Path

from .archive.local_files import LocalFiles, open_source
from .dicom import DicomContents, find_series, read_series
from .errors import DicomError, MissingFileError, UsageError
from .nifti import SUFFIXES, read_image
from .volume import Volume

__all__ = ["broken_file", "read_ct", "read_ct_with_tags", "refuse_without_ct"]


def read_ct(path: Path) -> Volume:
    """Return a CT as int16 Hounsfield units (I, J, K) on its original grid.

    Args:
        path: A ``.nii.gz`` or ``.nii`` file, or a folder or .zip with one CT series.

    Raises:
        MissingFileError: There is no such path, or no CT in it.
        UnreadableFileError: The file is cut short or unsafe to extract.
        DicomError: There is more than one series, or it is not an evenly spaced axial volume.
        UsageError: The file is neither NIfTI nor .zip.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from saros_hf.nifti import write_volume
        >>> ct = Volume(np.zeros((4, 3, 2), np.int16), np.diag([-2.0, -2.0, 5.0, 1.0]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_volume(Path(folder) / "ct.nii.gz", ct)
        ...     read_ct(Path(folder) / "ct.nii.gz").describe_grid()
        'shape (4, 3, 2), spacing (2, 2, 5) mm, LPS, origin (0, 0, 0)'
    """
    return read_ct_with_tags(path)[0]


def read_ct_with_tags(path: Path) -> tuple[Volume, Mapping[str, str]]:
    """Return a CT as :func:`read_ct` does, and the tags of its first slice; none for NIfTI."""
    if path.name.endswith(SUFFIXES):
        return read_image(path), {}
    if path.is_file() and path.suffix.lower() != ".zip":
        raise UsageError(
            path,
            f"a {path.suffix or 'nameless'} file",
            ".nii.gz, .nii, or a folder or .zip of DICOM files",
            "For a DICOM series give the folder that holds its slices.",
        )
    with open_source(path) as files:
        contents = find_series(files.paths)
        refuse_without_ct(files, contents)
        if contents.broken:
            raise broken_file(files, contents.broken[0])
        if len(contents.series) > 1:
            uids = [f"{one.uid} ({len(one.slices)} slices)" for one in contents.series]
            more = ", ..." if len(uids) > 5 else ""
            raise DicomError(
                path,
                f"{len(uids)} CT series: {', '.join(uids[:5])}{more}",
                "exactly one",
                "Give the folder of one series, or convert all of them: saros convert",
            )
        series = contents.series[0]
        return read_series(series), series.slices[0].tags


def refuse_without_ct(files: LocalFiles, contents: DicomContents) -> None:
    """Raise unless some file is, or may have been, a slice of a CT.

    Raises:
        MissingFileError: Names what was found instead.
    """
    if contents.series or contents.broken:
        return
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(contents.left_out.items()))
    raise MissingFileError(
        files.source,
        f"no CT series among {len(files.paths)} files ({kinds or 'empty'})",
        "the DICOM files of at least one CT series",
        "Check the path; archives inside a folder must be unpacked first.",
    )


def broken_file(files: LocalFiles, path: Path) -> DicomError:
    """Return the error for a damaged file that does not say which series it belongs to."""
    return DicomError(
        files.name_of(path),
        "a DICOM file that is cut short or damaged before its SeriesInstanceUID",
        "a whole file",
        "Fetch it again, or delete it if it is not a slice of a CT.",
    )
