"""Body composition: speed beside a plain numpy loop, and volumes of sparse beside dense truth.

.venv/bin/python benchmarks/composition.py
.venv/bin/python benchmarks/composition.py --real ../shared/data/abdomen-tissue
"""

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saros_hf.composition import TISSUES, Composition, measure
from saros_hf.labels import BodyPart, BodyRegion
from saros_hf.nifti import read_image, read_mask
from saros_hf.phantom import phantom_cohort, phantom_scan
from saros_hf.phantom.scan import choose_slices
from saros_hf.volume import Volume

SLICES = 400


def main() -> None:
    """Run what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=60, help="phantoms of the comparison")
    parser.add_argument("--draws", type=int, default=3, help="draws of annotated slices of each")
    parser.add_argument("--repeats", type=int, default=5, help="runs of the speed test")
    parser.add_argument("--real", type=Path, help="folder with image and both proxy label maps")
    parser.add_argument("--only", choices=("speed", "sparse"), help="leave the other out")
    options = parser.parse_args()
    if options.real is not None:
        compare_real(options.real)
        return
    if options.only != "sparse":
        speed(options.repeats)
    if options.only != "speed":
        compare_phantoms(options.cases, options.draws)


def speed(repeats: int) -> None:
    """Print processor seconds of one core for a whole body of 512x512x400, ours and a loop's."""
    case = next(c for c in phantom_cohort(3, seed=0) if c.anatomic_region == "wholebody")
    scan = phantom_scan(case, seed=0, size=512)
    ct, regions, parts = (
        repeated(one) for one in (scan.image, scan.dense_body_regions, scan.dense_body_parts)
    )
    ours = [seconds(lambda: measure(ct, regions, parts=parts)) for _ in range(repeats)]
    added = added_mib(lambda: measure(ct, regions, parts=parts))
    loop = [seconds(lambda: plain_loop(ct, regions, parts)) for _ in range(min(repeats, 2))]
    share = np.count_nonzero(regions.array) / regions.array.size
    print(f"{ct.shape}, {share:.0%} of it body; processor seconds on one core, median (range)")
    for name, times in (("ours", ours), ("plain numpy loop over labels", loop)):
        print(f"  {name:30}{statistics.median(times):7.2f} ({min(times):.2f}-{max(times):.2f})")
    print(f"  loop / ours {statistics.median(loop) / statistics.median(ours):.1f}")
    print(f"  ours adds {added:.0f} MiB at its peak")


def repeated(volume: Volume) -> Volume:
    """Return a volume with its slices repeated to 400, in the memory order of a NIfTI file."""
    chosen = np.linspace(0, volume.shape[2] - 1, SLICES).round().astype(int)
    return Volume(np.asfortranarray(volume.array[..., chosen]), volume.affine)


def seconds(function: Any) -> float:
    """Return the processor time of a call, which other processes do not change."""
    started = time.process_time()
    function()
    return time.process_time() - started


def added_mib(function: Any) -> float:
    """Return the largest memory that a call allocates."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def plain_loop(ct: Volume, regions: Volume, parts: Volume) -> list[NDArray[Any]]:
    """Measure what ours measures, one mask after the other: no statistics but mean and SD."""
    found = []
    extents = [np.ones(ct.shape, bool), parts.array == BodyPart.TORSO]
    tissue_map = np.zeros(ct.shape, np.uint8)
    for tissue in TISSUES:
        mask = np.zeros(ct.shape, bool)
        for one in tissue.ranges:
            mask |= (
                (regions.array == one.region) & (ct.array >= one.low_hu) & (ct.array < one.end_hu)
            )
        tissue_map[mask] = tissue.map_label or tissue_map[mask]
        for extent in extents:
            inside = mask & extent
            found.append(inside.sum(axis=(0, 1)))
            hu = ct.array[inside]
            found.append(np.array([hu.mean(), hu.std()]) if hu.size else np.zeros(2))
    for region in tuple(BodyRegion)[1:]:
        hu = ct.array[regions.array == region]
        found.append(np.array([hu.size, hu.mean() if hu.size else 0]))
    return found


def compare_phantoms(cases: int, draws: int) -> None:
    """Print agreement of sparse with dense truth on phantoms, every draw of slices a sample."""
    rng = np.random.default_rng(0)
    pairs: list[tuple[Composition, Composition]] = []
    for case in phantom_cohort(cases, seed=11):
        scan = phantom_scan(case, seed=11, size=128)
        dense = measure(scan.image, scan.dense_body_regions)
        for draw in range(draws):
            sparse = scan.body_regions if not draw else drawn(scan.dense_body_regions, rng)
            pairs.append((dense, measure(scan.image, sparse)))
    print(f"\n{cases} phantoms, {draws} draws of annotated slices each")
    print_agreement(pairs, [tissue.name for tissue in TISSUES])


def drawn(dense: Volume, rng: np.random.Generator) -> Volume:
    """Return dense truth with about every fifth slice annotated."""
    array = np.full_like(dense.array, 255)
    chosen = choose_slices(dense.shape[2], [], rng)
    array[..., chosen] = dense.array[..., chosen]
    return Volume(array, dense.affine)


def print_agreement(
    pairs: Sequence[tuple[Composition, Composition]], tissues: Sequence[str]
) -> None:
    """Print Bland and Altman's bias and limits, the largest error, and the coverage."""
    print("  tissue                       n   bias %   limits %          largest %   covered")
    for tissue in tissues:
        errors, covered = [], []
        for dense, sparse in pairs:
            true, found = dense.volume(tissue), sparse.volume(tissue)
            shown = sum(row.tissues[tissue].area_cm2 > 0 for row in sparse.slices)
            if true.missing or found.missing or shown < 10 or not true.volume_ml:
                continue
            errors.append(100 * (found.volume_ml / true.volume_ml - 1))
            covered.append(found.low_95_ml <= true.volume_ml <= found.high_95_ml)
        if not errors:
            continue
        bias, spread = float(np.mean(errors)), 1.96 * float(np.std(errors))
        print(
            f"  {tissue:26}{len(errors):4}{bias:9.2f}   {bias - spread:6.2f} to {bias + spread:5.2f}"
            f"{max(map(abs, errors)):12.2f}{np.mean(covered):10.1%}"
        )


def compare_real(folder: Path) -> None:
    """Print volumes of the sparse proxy beside those of the dense one."""
    ct = read_image(folder / "image.nii.gz")
    names = ("body-regions-proxy-dense", "body-regions-proxy")
    dense, sparse = (
        measure(ct, read_mask(folder / f"{name}.nii.gz", "body-regions")) for name in names
    )
    print(f"{folder.name}: {sparse.slices_measured} of {sparse.slices_in_scan} slices annotated")
    print("  tissue                     dense mL   sparse mL   95 % interval      error %")
    for tissue in TISSUES:
        true, found = dense.volume(tissue.name), sparse.volume(tissue.name)
        if not true.missing:
            print(
                f"  {tissue.name:26}{true.volume_ml:9.1f}{found.volume_ml:12.1f}"
                f"   {found.low_95_ml:7.1f} to {found.high_95_ml:7.1f}"
                f"{100 * (found.volume_ml / true.volume_ml - 1):10.2f}"
            )


if __name__ == "__main__":
    main()
