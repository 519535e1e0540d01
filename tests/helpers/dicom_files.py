"""Write small DICOM series with made-up voxels, and read them back."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from saros_hf.dicom import Stacking, find_series, read_series
from saros_hf.volume import Volume

SERIES_UID = "1.2.826.0.1.3680043.10.1"
OTHER_UID = "1.2.826.0.1.3680043.10.9"


def write_slice(
    path: Path, stored: NDArray[np.int16], position: Sequence[float], **elements: object
) -> None:
    """Write one slice; ``elements`` are DICOM keywords, ``None`` removes one."""
    data = Dataset()
    data.SOPClassUID = CTImageStorage
    data.SOPInstanceUID = generate_uid()
    data.Modality = "CT"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.SeriesInstanceUID = SERIES_UID
    data.StudyInstanceUID = "1.2.826.0.1.3680043.10.2"
    data.PatientID = "P-1"
    data.Manufacturer = "MADE UP"
    data.PixelSpacing = [1, 1]
    data.ImagePositionPatient = list(position)
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.Rows, data.Columns = stored.shape[-2:]
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    data.PixelRepresentation = int(stored.dtype == np.int16)
    data.RescaleIntercept, data.RescaleSlope = 0, 1
    data.PixelData = stored.tobytes()
    for keyword, value in elements.items():
        if value is None:
            delattr(data, keyword)
        else:
            setattr(data, keyword, value)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID or CTImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


def write_series(
    folder: Path, volume: NDArray[np.int16], spacing_mm: float = 5.0, **elements: object
) -> list[Path]:
    """Write ``volume`` (k, rows, columns) from z = -20 mm upwards, one file per slice."""
    paths = [folder / f"{k:03d}.dcm" for k in range(len(volume))]
    for k, path in enumerate(paths):
        write_slice(path, volume[k], (-30.0, -40.0, -20.0 + k * spacing_mm), **elements)
    return paths


def flat_slices(*values: int) -> NDArray[np.int16]:
    """Return slices of 3 rows and 4 columns, each of one value."""
    return np.array(values, np.int16)[:, None, None] * np.ones((3, 4), np.int16)


def good_series(folder: Path, uid: str = SERIES_UID) -> list[Path]:
    """Write 5 slices at 2 mm with 1, 2, 4, 7 and 9 HU."""
    return write_series(folder, flat_slices(1, 2, 4, 7, 9), spacing_mm=2, SeriesInstanceUID=uid)


def zipped(folder: Path) -> Path:
    """Return a .zip with the content of ``folder`` beside it."""
    return Path(shutil.make_archive(str(folder), "zip", folder))


def read_all(
    folder: Path, spacing_mm: float | None = None, stacking: Stacking = "along-normal"
) -> Volume:
    """Read the one series in a folder."""
    (series,) = find_series(sorted(folder.rglob("*"))).series
    return read_series(series, spacing_mm=spacing_mm, stacking=stacking)


def authors_array(folder: Path) -> NDArray[np.int16]:
    """Return a series on the authors' 5 mm grid by SimpleITK alone, indexed (i, j, k)."""
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    slices = round(image.GetDepth() * image.GetSpacing()[2] / 5)
    grid = sitk.Image(image.GetWidth(), image.GetHeight(), slices, image.GetPixelID())
    grid.SetSpacing((*image.GetSpacing()[:2], 5.0))
    grid.SetOrigin(image.GetOrigin())
    grid.SetDirection(image.GetDirection())
    return sitk.GetArrayFromImage(sitk.Resample(image, grid)).T
