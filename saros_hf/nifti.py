"""Read and write NIfTI files."""

import io
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
from isal import igzip
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from .errors import MissingFileError, UnknownLabelError, UnreadableFileError
from .files import write_atomically
from .labels import IGNORE_INDEX, Task, num_classes
from .volume import Volume, distinct_values

_AIR_HU = -1024

_GZIP_LEVEL = 3
"""ISA-L has levels 0 to 3; ``benchmarks/acquire.py`` measures time and size of each."""


def read_grid(path: Path) -> Volume:
    """Return shape and affine of a NIfTI file; the array is a placeholder of zeros.

    Raises:
        MissingFileError: There is no such file.
        UnreadableFileError: It is not a NIfTI file, is not 3-D, or has no usable affine.
    """
    image = _load(path)
    return Volume(np.broadcast_to(np.int16(0), image.shape[:3]), image.affine)


def read_description(path: Path) -> str:
    """Return the ``descrip`` field of a NIfTI header, empty for other formats.

    Raises:
        MissingFileError: There is no such file.
        UnreadableFileError: It is not a NIfTI file.
    """
    header: Any = _load(path).header
    return bytes(header["descrip"]).rstrip(b"\0").decode("latin-1") if "descrip" in header else ""


def refuse_cut_short(path: Path) -> None:
    """Raise if a NIfTI file ends before its last voxel.

    The last four bytes of a .gz file state the size of its content, so most files need not be
    decompressed. If they disagree (some tools append empty blocks) the whole file is read.

    Raises:
        UnreadableFileError: The file is cut short.
    """
    image = _load(path)
    voxel_bytes = math.prod(image.shape) * image.header.get_data_dtype().itemsize
    expected = int(cast(Any, image.dataobj).offset) + voxel_bytes
    with path.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        stated = int.from_bytes(file.read(4), "little")
    if path.suffix != ".gz" or stated != expected % 2**32:
        _voxels(path)


def read_image(path: Path) -> Volume:
    """Return a CT as int16 Hounsfield units, in the orientation it is stored in.

    Other types are rounded and clipped to int16; NaN becomes air, -1024 HU.

    Raises:
        MissingFileError: There is no such file.
        UnreadableFileError: It is not a NIfTI file, is cut short, is not 3-D, or has no usable
            affine.
    """
    return _voxels(path, _hounsfield)


def read_mask(path: Path, task: Task) -> Volume:
    """Return a label map as uint8, in the orientation it is stored in.

    Raises:
        MissingFileError: There is no such file.
        UnreadableFileError: It cannot be read, see :func:`read_image`.
        UnknownLabelError: It holds a value that is neither a label of ``task`` nor 255.
    """
    volume = _voxels(path)
    legal = [*range(num_classes(task)), IGNORE_INDEX]
    unknown = np.setdiff1d(distinct_values(volume.array), legal)
    if unknown.size:
        raise UnknownLabelError(
            path,
            f"label {', '.join(f'{value:g}' for value in unknown[:5])}",
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
    volume = _voxels(path)
    array = volume.array
    if array.dtype.kind in "iu":
        return volume
    with np.errstate(invalid="ignore"):
        whole = array.astype(np.int32) if array.dtype.kind == "f" else np.zeros(0, np.int32)
    if not np.array_equal(whole, array):
        raise UnknownLabelError(
            path,
            f"voxels of type {array.dtype} that are not integers",
            "a label map",
            "Convert probabilities to the label with the highest one.",
        )
    return Volume(whole, volume.affine)


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


def _load(path: Path) -> SpatialImage:
    if not path.is_file():
        remedy = "Check the path, or make the case again with: saros convert DICOM_DIR DIR"
        raise MissingFileError(path, "no such file", "a NIfTI file", remedy)
    try:
        image = cast(SpatialImage, nib.load(path))
    except Exception as error:  # flipped bits raise almost anything in nibabel
        raise _unreadable(path, error) from error
    _refuse_without_volume(path, image)
    return image


def _refuse_without_volume(path: Path, image: SpatialImage) -> None:
    """Raise unless an image is 3-D with an affine that gives every axis a direction."""
    shape, affine = image.shape, image.affine
    if len(shape) < 3 or 0 in shape or math.prod(shape[3:]) != 1:
        found, expected = f"{len(shape)} dimensions {shape}", "3 dimensions"
    elif not np.isfinite(affine).all():
        found, expected = "an affine with NaN or infinity", "spacing and orientation"
    elif np.isnan(nib.orientations.io_orientation(affine)).any():
        found, expected = "a singular affine", "spacing and orientation"
    else:
        return
    raise UnreadableFileError(path, found, expected, "Give one volume per file, with its affine.")


def _array(image: SpatialImage) -> NDArray[Any]:
    return np.asanyarray(image.dataobj).reshape(image.shape[:3], order="A")


def _hounsfield(image: SpatialImage) -> NDArray[np.int16]:
    """Return voxels as int16; scaled ones are converted slice by slice to save memory."""
    if image.dataobj[:1, :1, :1].dtype == np.int16:
        return _array(image)
    hounsfield = np.empty(image.shape[:3], np.int16, order="F")
    for k in range(image.shape[2]):
        plane = np.rint(image.dataobj[:, :, k].reshape(image.shape[:2]))
        plane = np.nan_to_num(plane, copy=False, nan=_AIR_HU)
        hounsfield[..., k] = np.clip(plane, -32768, 32767)
    return hounsfield


def _voxels(path: Path, convert: Callable[[SpatialImage], NDArray[Any]] = _array) -> Volume:
    """Return the voxels of a file after reading it to its last byte, checksum included."""
    kind = cast(Any, type(_load(path)))
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = igzip.decompress(content)
        image = kind.from_bytes(content)
        return Volume(convert(image), image.affine)
    except Exception as error:  # see _load
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UnreadableFileError:
    return UnreadableFileError(
        path,
        f"a file that is cut short or not NIfTI ({type(error).__name__}: {error})",
        "a complete NIfTI file",
        "Delete it and fetch or convert the case again.",
    )
