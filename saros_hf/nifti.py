"""Read and write NIfTI files."""

import io
import math
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import nibabel as nib
import numpy as np
from isal import igzip, igzip_lib
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from .errors import MissingFileError, UnknownLabelError, UnreadableFileError
from .files import write_atomically
from .labels import IGNORE_INDEX, Task, num_classes
from .volume import PLAUSIBLE_SPACING_MM, Volume, distinct_values

SUFFIXES = (".nii.gz", ".nii")
"""Endings of the names of NIfTI files."""

_AIR_HU = -1024
_WHOLE_WITHIN = 1e-3
"""Labels scaled by a factor of float32 are not exactly whole numbers."""
_MAX_SHEAR = np.sin(np.radians(0.1))
_MM_OF_UNIT = {1: 1e3, 3: 1e-3}
"""Millimetres in the header's units of length other than millimetres: metres and micrometres."""
_DEFLATE_RATIO = 1032
"""Largest ratio of content to compressed size."""
_CHUNK_BYTES = 1 << 22

_GZIP_LEVEL = 3
"""ISA-L has levels 0 to 3; ``benchmarks/acquire.py`` measures time and size of each."""


@dataclass(frozen=True)
class _Header:
    """A NIfTI header that describes one volume.

    Attributes:
        shape: Number of voxels along i, j and k.
        affine: Matrix (4, 4) to RAS+ millimetres.
        dtype: Type of the stored voxels.
        offset: First byte of the voxels.
        scaling: Slope and intercept, ``None`` if stored values are the values.
        description: Text of the ``descrip`` field.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    dtype: np.dtype[Any]
    offset: int
    scaling: tuple[float, float] | None
    description: str

    @property
    def end(self) -> int:
        """The byte after the last voxel."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize


def read_grid(path: Path) -> Volume:
    """Return shape and affine of a NIfTI file; the array is a placeholder of zeros.

    Raises:
        MissingFileError: There is no such file.
        UnreadableFileError: It is not a NIfTI file, is not 3-D, or has no usable affine.
    """
    header = _read_header(path)
    return Volume(np.broadcast_to(np.int16(0), header.shape), header.affine)


def read_description(path: Path) -> str:
    """Return the text of the header's ``descrip`` field.

    Raises:
        MissingFileError: There is no such file.
        UnreadableFileError: It cannot be read, see :func:`read_grid`.
    """
    return _read_header(path).description


def refuse_cut_short(path: Path) -> None:
    """Raise if a NIfTI file ends before its last voxel.

    The last four bytes of a .gz file state the size of its content, so most files need not be
    decompressed. If they disagree (some tools append empty blocks) the whole file is read.

    Raises:
        UnreadableFileError: The file is cut short.
    """
    header = _read_header(path)
    with path.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        stated = int.from_bytes(file.read(4), "little")
    if path.suffix != ".gz" or stated != header.end % 2**32:
        _read_voxels(path, header)


def read_image(path: Path) -> Volume:
    """Return a CT as int16 Hounsfield units, in the orientation it is stored in.

    Other types are rounded and clipped to int16; NaN becomes air, -1024 HU.

    Raises:
        MissingFileError: There is no such file.
        UnreadableFileError: It is not a NIfTI file, is cut short, is not 3-D, has no usable
            affine, or has infinite voxels.
    """
    header = _read_header(path)
    stored = _read_voxels(path, header)
    if stored.dtype == np.int16 and header.scaling is None:
        return Volume(stored, header.affine)
    hounsfield = np.empty(header.shape, np.int16, order="F")
    for k in range(header.shape[2]):  # slice by slice, to save memory
        plane = _scaled(stored[..., k], header)
        if np.isinf(plane).any():
            remedy = "Export the CT again; voxels outside the scan are -1024 HU or NaN."
            raise UnreadableFileError(path, "infinite voxels", "Hounsfield units", remedy)
        plane = np.nan_to_num(np.rint(plane), nan=_AIR_HU)
        hounsfield[..., k] = np.clip(plane, -32768, 32767)
    return Volume(hounsfield, header.affine)


def read_mask(path: Path, task: Task) -> Volume:
    """Return a label map as uint8, in the orientation it is stored in.

    Raises:
        MissingFileError: There is no such file.
        UnreadableFileError: It cannot be read, see :func:`read_image`.
        UnknownLabelError: It holds a value that is neither a label of ``task`` nor 255.
    """
    volume = read_labels(path)
    legal = [*range(num_classes(task)), IGNORE_INDEX]
    unknown = np.setdiff1d(distinct_values(volume.array), legal)
    if unknown.size:
        raise UnknownLabelError(
            path,
            f"label {', '.join(str(value) for value in unknown[:5])}",
            f"the {task} labels 0 to {num_classes(task) - 1}, or {IGNORE_INDEX}",
            "Check that this is the label map of the right task.",
        )
    return Volume(volume.array.astype(np.uint8, copy=False), volume.affine)


def read_labels(path: Path) -> Volume:
    """Return a predicted label map in the orientation it is stored in.

    Values are not checked: predictions may hold anything where nothing is annotated.

    Raises:
        MissingFileError: There is no such file.
        UnreadableFileError: It is not a NIfTI file, is cut short, or is not 3-D.
        UnknownLabelError: It holds fractions.
    """
    header = _read_header(path)
    array = _scaled(_read_voxels(path, header), header)
    if array.dtype.kind not in "iu":
        whole = np.rint(array)
        # NaN and infinity differ from themselves, and no label is beyond int32.
        with np.errstate(invalid="ignore"):
            is_whole = np.abs(array - whole).max() <= _WHOLE_WITHIN and np.abs(whole).max() < 2**31
        if not is_whole:
            raise UnknownLabelError(
                path,
                f"voxels of type {array.dtype} that are not integers",
                "a label map",
                "Convert probabilities to the label with the highest one.",
            )
        array = whole.astype(np.int32)
    return Volume(array, header.affine)


def write_volume(path: Path, volume: Volume, *, description: str = "") -> None:
    """Write ``volume`` in its own dtype and orientation; the file appears complete or not at all.

    Args:
        path: Path that ends in ``.nii.gz`` or ``.nii``.
        volume: Grid and voxels, in millimetres.
        description: Text of at most 79 characters for the header's ``descrip`` field.
    """
    packed = path.suffix == ".gz"
    with write_atomically(path) as aside:
        if packed:
            aside.write_bytes(packed_nifti(volume, description=description))
        else:
            _image_of(volume, description).to_filename(aside)


def packed_nifti(volume: Volume, *, description: str = "") -> bytes:
    """Return the bytes of a ``.nii.gz`` file with grid and voxels and nothing else.

    Args:
        volume: Grid and voxels, in millimetres.
        description: Text of at most 79 characters for the header's ``descrip`` field.
    """
    file = io.BytesIO()
    # Without file name and time in the gzip header, equal volumes give equal bytes.
    with igzip.IGzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
        _image_of(volume, description).to_stream(packed)
    return file.getvalue()


def _image_of(volume: Volume, description: str) -> nib.Nifti1Image:
    image = nib.Nifti1Image(volume.array, volume.affine)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = description.encode("ascii")[:79]
    image.header.set_slope_inter(1, 0)
    return image


def _open(path: Path) -> AbstractContextManager[IO[bytes]]:
    opened: IO[bytes] = igzip.open(path) if path.suffix == ".gz" else path.open("rb")
    return opened


def _read_header(path: Path) -> _Header:
    if not path.is_file():
        remedy = "Check the path, or make the case again with: saros convert DICOM_DIR DIR"
        raise MissingFileError(path, "no such file", "a NIfTI file", remedy)
    try:
        with _open(path) as file:
            block = file.read(nib.Nifti2Header.sizeof_hdr)
        sizes = {int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big")}
        second = nib.Nifti2Header.sizeof_hdr in sizes
        kind: Any = nib.Nifti2Header if second else nib.Nifti1Header
        return _described(path, kind(block[: kind.sizeof_hdr]))
    except _DAMAGE as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error


def _described(path: Path, fields: nib.Nifti1Header) -> _Header:
    """Return what a header says of its volume, or raise if that cannot be."""
    if fields["magic"].item() != fields.single_magic:
        raise _unreadable(path, "the header of another format")
    offset = float(fields["vox_offset"])
    if not fields.single_vox_offset <= offset < 2**62:  # NaN is neither
        raise _unreadable(path, f"voxels at byte {offset:g}, inside the header or nowhere")
    dimensions = int(fields["dim"][0])
    shape = tuple(int(count) for count in fields["dim"][1 : dimensions + 1])
    if dimensions < 3 or min(shape) < 1 or math.prod(shape[3:]) != 1:
        found, expected = f"{dimensions} dimensions {shape}", "3 dimensions"
    elif int(fields["sform_code"]) == 0 and int(fields["qform_code"]) == 0:
        found, expected = "no orientation (sform_code and qform_code are 0)", "a sform or qform"
    else:
        affine = _affine_mm(fields)
        found, expected = _affine_problem(affine)
    if found:
        remedy = "Give one volume per file, with its affine."
        raise UnreadableFileError(path, found, expected, remedy)
    slope, intercept = fields.get_slope_inter()
    return _Header(
        shape=(shape[0], shape[1], shape[2]),
        affine=affine,
        dtype=fields.get_data_dtype(),
        offset=int(offset),
        scaling=None if slope is None or (slope, intercept) == (1, 0) else (slope, intercept),
        description=bytes(fields["descrip"]).rstrip(b"\0").decode("latin-1"),
    )


def _affine_mm(fields: nib.Nifti1Header) -> NDArray[np.float64]:
    affine: NDArray[np.float64] = fields.get_best_affine()
    return np.diag([*[_MM_OF_UNIT.get(int(fields["xyzt_units"]) & 7, 1.0)] * 3, 1]) @ affine


def _affine_problem(affine: NDArray[np.float64]) -> tuple[str, str]:
    """Return what is wrong with an affine and what is expected, empty if nothing is."""
    if not np.isfinite(affine).all():
        return "an affine with NaN or infinity", "spacing and orientation"
    if np.isnan(nib.orientations.io_orientation(affine)).any():
        return "a singular affine", "spacing and orientation"
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    low, high = PLAUSIBLE_SPACING_MM
    if not ((spacing >= low) & (spacing <= high)).all():
        steps = ", ".join(f"{step:.3g}" for step in spacing)
        return f"voxels of {steps} mm", f"{low:g} to {high:g} mm"
    cosines = (affine[:3, :3] / spacing).T @ (affine[:3, :3] / spacing)
    if np.abs(cosines - np.eye(3)).max() > _MAX_SHEAR:
        return "a sheared affine, as of a tilted gantry", "axes at right angles, by resampling"
    return "", ""


def _read_voxels(path: Path, header: _Header) -> NDArray[Any]:
    """Return stored voxels after reading a file to its last byte, checksum included."""
    ratio = _DEFLATE_RATIO if path.suffix == ".gz" else 1
    if header.end > path.stat().st_size * ratio:
        raise _unreadable(path, f"{header.end} bytes by its header")
    content = bytearray()
    try:
        with _open(path) as file:
            while chunk := file.read(_CHUNK_BYTES):
                content += chunk[: max(0, header.end - len(content))]
    except _DAMAGE as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error
    if len(content) < header.end:
        raise _unreadable(path, f"{len(content)} bytes of {header.end}")
    array = np.frombuffer(content, header.dtype, math.prod(header.shape), header.offset)
    if array.dtype.kind not in "iuf":
        expected = "integers or floating-point numbers"
        raise UnreadableFileError(path, f"voxels of type {array.dtype}", expected)
    return array.reshape(header.shape, order="F")


def _scaled(stored: NDArray[Any], header: _Header) -> NDArray[Any]:
    if header.scaling is None:
        return stored
    slope, intercept = header.scaling
    return stored * slope + intercept


_DAMAGE: tuple[type[Exception], ...] = (
    EOFError,
    HeaderDataError,
    OSError,
    OverflowError,
    ValueError,
    WrapStructError,
    cast(type[Exception], igzip_lib.IsalError),  # its stub says an instance
)
"""What damaged headers and compressed data raise."""


def _unreadable(path: Path, reason: str) -> UnreadableFileError:
    return UnreadableFileError(
        path,
        f"a file that is cut short or not NIfTI ({reason})",
        "a complete NIfTI file",
        "Delete it and fetch or convert the case again.",
    )
