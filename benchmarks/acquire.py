"""Compare our conversion of a DICOM series to NIfTI with the authors' method, on one core.

Prints cases per minute, their ratio, whether the voxels are equal, and time and size of gzip levels.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
from isal import isal_zlib
from numpy.typing import NDArray

from saros_hf.dicom import find_series, read_series
from saros_hf.nifti import write_volume
from saros_hf.phantom.scan import phantom_scan
from saros_hf.phantom.table import phantom_cohort

# The DICOM writer of the tests, which are not a package.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from helpers.dicom_files import write_slice

SPACINGS_MM = (0.7, 1.25, 2.5)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    print(f"{options.slices} slices of 512x512, one core, {options.repeats} runs, median (range)")
    for spacing_mm in SPACINGS_MM:
        with tempfile.TemporaryDirectory() as folder:
            _compare(Path(folder), options.slices, spacing_mm, options.repeats)


def _compare(folder: Path, slices: int, spacing_mm: float, repeats: int) -> None:
    _write_series(folder / "dicom", slices, spacing_mm)
    methods: dict[str, Callable[[Path, Path], None]] = {"authors": _authors, "saros": _ours}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    # A first round, not measured, fills the page cache; then the methods alternate.
    for repeat in range(repeats + 1):
        for name, method in methods.items():
            start = time.perf_counter()
            method(folder / "dicom", folder / f"{name}.nii.gz")
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    arrays = {name: _voxels(folder / f"{name}.nii.gz") for name in methods}
    print(f"\n{spacing_mm:g} mm slices -> {arrays['saros'].shape[2]} of 5 mm")
    for name in methods:
        size = (folder / f"{name}.nii.gz").stat().st_size
        rates = sorted(60 / one for one in seconds[name])
        print(
            f"  {name:8}{60 / statistics.median(seconds[name]):6.1f} cases/min "
            f"({rates[0]:.1f}-{rates[-1]:.1f}), {size / 1e6:.1f} MB"
        )
    ratios = sorted(a / b for a, b in zip(seconds["authors"], seconds["saros"], strict=True))
    print(f"  ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})", end="")
    print(f", same voxels: {np.array_equal(arrays['authors'], arrays['saros'])}")
    if spacing_mm == SPACINGS_MM[1]:
        _compare_levels(arrays["saros"], repeats)


def _compare_levels(array: NDArray[np.int16], repeats: int) -> None:
    raw = array.tobytes(order="F")
    print(f"  gzip of the {len(raw) / 1e6:.0f} MB image alone:")
    for library, compress, levels in (
        ("ISA-L", isal_zlib.compress, (0, 1, 2, 3)),
        ("zlib", zlib.compress, (1, 4, 6)),
    ):
        for level in levels:
            times, packed = [], b""
            for _ in range(max(repeats // 2, 1)):
                start = time.perf_counter()
                packed = compress(raw, level)
                times.append(time.perf_counter() - start)
            print(
                f"    {library:6}{level}: {statistics.median(times):5.2f} s, "
                f"{len(packed) / 1e6:.1f} MB"
            )


def _authors(dicom: Path, out: Path) -> None:
    """Convert a series as the authors' download script does."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(dicom)))
    image = reader.Execute()
    columns, rows, slices = image.GetSize()
    x_mm, y_mm, z_mm = image.GetSpacing()
    image = sitk.Resample(
        image,
        (columns, rows, round(slices * z_mm / 5)),
        sitk.Transform(),
        sitk.sitkLinear,
        image.GetOrigin(),
        (x_mm, y_mm, 5.0),
        image.GetDirection(),
    )
    sitk.WriteImage(image, str(out), True)


def _ours(dicom: Path, out: Path) -> None:
    (series,) = find_series(sorted(dicom.iterdir())).series
    write_volume(out, read_series(series, spacing_mm=5))


def _voxels(path: Path) -> NDArray[np.int16]:
    return np.asanyarray(nib.load(path).dataobj)  # type: ignore[attr-defined]


def _write_series(folder: Path, slices: int, spacing_mm: float) -> None:
    """Write a phantom with noise in every slice, as most time goes into compression."""
    for k, slice_ in enumerate(_thin_slices(slices)):
        write_slice(
            folder / f"{k:04d}.dcm",
            slice_,
            (-200.0, -180.5, -300.3 + k * spacing_mm),
            PixelSpacing=[0.78125, 0.78125],
        )


def _thin_slices(count: int) -> Iterator[NDArray[np.int16]]:
    (case,) = phantom_cohort(1, seed=0)
    array = phantom_scan(case, seed=0, size=512).image.array
    rng = np.random.default_rng(0)
    for place in np.linspace(0, array.shape[2] - 1, count):
        below = min(int(place), array.shape[2] - 2)
        weight = place - below
        mean = array[..., below] * (1 - weight) + array[..., below + 1] * weight
        noisy = mean + rng.normal(0, 10, mean.shape)
        yield np.ascontiguousarray(noisy.T.astype(np.int16))


if __name__ == "__main__":
    main()
