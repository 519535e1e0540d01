"""Measure the time to open SAROS from its cache and to read rows of annotated slices.

Every ratio compares two ways that are measured in turns, on the same data, with a warm page cache.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="saros-benchmark-")

import datasets
import nibabel as nib
import numpy as np
from datasets import packaged_modules

import saros_hf
from saros_hf import SliceViews
from saros_hf.cases.table import TABLE_NAME, write_case_table
from saros_hf.folds import FOLDS
from saros_hf.load.builder import Saros
from saros_hf.nifti import write_volume
from saros_hf.phantom.table import phantom_cohort
from saros_hf.phantom.write_cohort import simulate
from saros_hf.volume import Volume

datasets.disable_progress_bars()


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cases", type=int, default=900, help="number of cases in the folder that is opened"
    )
    parser.add_argument(
        "--scans", type=int, default=6, help="number of 512x512 CTs whose rows are read"
    )
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare_opening(Path(folder), options.cases, options.repeats)
        compare_rows(Path(folder), options.scans, options.repeats)


def compare_opening(root: Path, cases: int, repeats: int) -> None:
    """Time the builder and cached loads of a folder of many small cases."""
    folder = root / "many"
    mask = Volume(np.zeros((8, 8, 4), np.uint8), np.diag([-2.0, -2, 5, 1]))
    image = replace(mask, array=mask.array.astype(np.int16))
    cohort = [
        replace(one, fold=FOLDS[n % 6]) for n, one in enumerate(phantom_cohort(cases, seed=0))
    ]
    for one in cohort:
        write_volume(folder / one.case_id / "image.nii.gz", image)
        for task in ("body-regions", "body-parts"):
            write_volume(folder / one.case_id / f"{task}.nii.gz", mask)
    write_case_table(folder / TABLE_NAME, cohort)
    # Registered as any packaged module, so that `datasets` lists every file first.
    packaged_modules._PACKAGED_DATASETS_MODULES["naive"] = ("saros_hf.load.builder", "naive")
    ways: dict[str, Callable[[], object]] = {
        "naive load by name": lambda: datasets.load_dataset("naive", data_dir=str(folder)),
        "load by name": lambda: datasets.load_dataset("saros", data_dir=str(folder)),
        "saros_hf.load_dataset": lambda: saros_hf.load_dataset(data_dir=folder),
        "builder alone": lambda: Saros(data_dir=str(folder), dataset_name="saros"),
    }
    print(f"{cases} cases, from cache, median (range) of {repeats}")
    report(time_in_turns(ways, repeats), 1, "s", against="naive load by name")


def compare_rows(root: Path, scans: int, repeats: int) -> None:
    """Time random rows of 512x512 slices, and print their size on disk."""
    folder = root / "scans"
    simulate(folder, cases=scans, seed=0, size=512)
    splits = saros_hf.load_dataset("slices", data_dir=folder)
    rows = datasets.concatenate_datasets(list(splits.values()))
    # Concatenated splits keep their own files, while a user's split is one file.
    rows.save_to_disk(root / "rows")
    rows = datasets.load_from_disk(root / "rows")
    order = np.random.default_rng(0).permutation(len(rows))
    columns = ["image", "body_regions", "body_parts"]
    plain = rows.with_format("numpy")
    narrow = rows.with_format("numpy", dtype=None, columns=columns)
    torch_rows = rows.with_format("torch", dtype=None, columns=columns)
    views = SliceViews(rows)
    mapped = memory_map(root / "raw", views)

    def copies(row: int) -> list[np.ndarray]:
        view = views[row]
        return [np.array(a) for a in (view.image, view.body_regions, view.body_parts)]

    def each(read: Callable[[int], object]) -> Callable[[], object]:
        return lambda: [read(int(row)) for row in order]

    ways = {
        "memory map, copied": each(lambda row: [np.array(array[row]) for array in mapped]),
        "SliceViews, copied": each(copies),
        "SliceViews, as views": each(lambda row: views[row]),
        "with_format numpy, 3 columns": each(lambda row: narrow[row]),
        "with_format torch, 3 columns": each(lambda row: torch_rows[row]),
        "with_format numpy, all": each(lambda row: plain[row]),
        "streaming, numpy": lambda: stream(folder),
    }
    print(f"\n{len(rows)} annotated slices of 512x512, random order, median (range) of {repeats}")
    times = time_in_turns(ways, repeats)
    sample = order[: max(len(order) // 20, 1)]
    scale = len(order) / len(sample)
    slow = {"nibabel per access": lambda: [nibabel_row(folder, views, int(r)) for r in sample]}
    times |= {name: [one * scale for one in all_] for name, all_ in time_in_turns(slow, 2).items()}
    report(times, len(rows), "rows/s", against="memory map, copied")
    size = sum(path.stat().st_size for path in (root / "rows").glob("*.arrow"))
    source = sum(path.stat().st_size for path in folder.glob("case_*/*.nii.gz"))
    print(f"  {size / len(rows) / 1e6:.2f} MB of Arrow per annotated slice", end="; ")
    print(f"the .nii.gz files hold {source / len(rows) / 1e6:.2f} MB per annotated slice")


def memory_map(root: Path, views: SliceViews) -> list[np.ndarray]:
    """Write images and both label maps as raw files and return memory maps of them."""
    root.mkdir()
    maps = []
    for name, dtype in (("image", np.int16), ("body_regions", np.uint8), ("body_parts", np.uint8)):
        shape = (len(views), 512, 512)
        array = np.memmap(root / name, dtype, "w+", shape=shape)
        for row in range(len(views)):
            array[row] = getattr(views[row], name).reshape(512, 512)
        array.flush()
        maps.append(np.memmap(root / name, dtype, "r", shape=shape))
    return maps


def nibabel_row(folder: Path, views: SliceViews, row: int) -> list[np.ndarray]:
    """Read a slice of each file with nibabel, which decompresses everything before it."""
    view = views[row]
    names = ("image", "body-regions", "body-parts")
    paths = [folder / view.case_id / f"{name}.nii.gz" for name in names]
    return [
        np.asarray(nib.load(path).dataobj[..., view.slice_index])  # type: ignore[attr-defined]
        for path in paths
        if path.is_file()
    ]


def stream(folder: Path) -> int:
    """Read every row of a stream from the folder."""
    splits = saros_hf.load_dataset("slices", data_dir=folder, streaming=True)
    return sum(1 for rows in splits.values() for _ in rows.with_format("numpy"))


def time_in_turns(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Return the seconds of every way, after one warm-up round."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def report(times: dict[str, list[float]], count: int, unit: str, *, against: str) -> None:
    """Print seconds or rows per second, and the ratio of each way to the reference."""
    reference = statistics.median(times[against])
    for name, seconds in times.items():
        values = sorted(count / one if unit != "s" else one for one in seconds)
        ratio = reference / statistics.median(seconds)
        middle = statistics.median(values)
        spread = f"({values[0]:.4g}-{values[-1]:.4g})"
        print(f"  {name:30}{middle:10.4g} {unit} {spread:22} {ratio:8.3g} x {against}")


if __name__ == "__main__":
    main()
