"""Time Dice and NSD of a case, compared with DeepMind's surface-distance, MONAI and torchmetrics.

Needs monai in addition to this package and its extra dev. All score the same 512x512 case.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Removed in numpy 2, but used by DeepMind's package.
np.Inf = np.inf  # type: ignore[attr-defined]  # noqa: NPY201

LABELS = range(1, 14)
TOLERANCE_MM = 3.0
WAYS = ("ours", "DeepMind", "MONAI")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--repeats", type=int, default=5, help="repeats of ours; the others run twice"
    )
    parser.add_argument("--split", type=int, default=150, help="cases of the timed saros evaluate")
    parser.add_argument("--size", type=int, default=512, help="pixels across")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads to time"
    )
    parser.add_argument("--way", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(*options.way)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(folder, options.size)
        for kind, protocol in (("sparse", "volume"), ("sparse", "slice"), ("dense", "volume")):
            for threads in options.threads:
                compare(folder, kind, protocol, options.repeats, threads)
        print(f"\none label of one slice, torchmetrics 1.9 utilities: {torchmetrics(folder)}")
        whole_split(folder, options.split)


def prepare(folder: Path, size: int) -> None:
    """Write phantom cases, and one of them with its prediction as arrays, sparse and dense."""
    from saros_hf.cases.files import find_cases
    from saros_hf.nifti import read_mask
    from saros_hf.phantom.write_cohort import simulate

    simulate(folder / "cases", cases=6, seed=3, size=size)
    every = [
        read_mask(c.mask("body-regions"), "body-regions") for c in find_cases(folder / "cases")
    ]
    volume = max(every, key=lambda one: one.shape[2])
    truth = volume.array
    annotated = np.flatnonzero((truth != 255).all((0, 1)))
    nearest = np.abs(np.arange(truth.shape[2])[:, None] - annotated).argmin(1)
    dense = np.asfortranarray(truth[..., annotated[nearest]])
    np.savez(folder / "sparse.npz", truth=np.asfortranarray(truth), pred=moved(dense))
    np.savez(folder / "dense.npz", truth=dense, pred=moved(dense))
    np.save(folder / "spacing.npy", volume.spacing_mm)
    print(f"case of {truth.shape}, {len(annotated)} slices annotated, spacing {volume.spacing_mm}")


def moved(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return labels with a smooth displacement of about 3 voxels, as predicted by a mediocre network."""
    rng = np.random.default_rng(0)
    fields = [ndimage.gaussian_filter(rng.normal(0, 1, labels.shape[:2]), 20) for _ in range(2)]
    i, j = (n + 4 * f / f.std() for n, f in zip(np.indices(labels.shape[:2]), fields, strict=True))
    slices = [
        ndimage.map_coordinates(labels[..., k], [i, j], order=0) for k in range(labels.shape[2])
    ]
    # The memory order in which nibabel reads a file.
    return np.asfortranarray(np.stack(slices, -1))


def compare(folder: Path, kind: str, protocol: str, repeats: int, threads: int) -> None:
    """Print seconds, ratios, the largest difference and memory of every implementation."""
    results = {}
    for way in WAYS:
        if way == "MONAI" and (protocol == "slice" or kind == "dense"):
            continue  # an hour, and in 3-D the same definition as DeepMind's
        times = repeats if way == "ours" else 1 if kind == "dense" else 2
        results[way] = run(folder, kind, protocol, way, times, threads)
    print(
        f"\n{kind}, protocol {protocol}, {threads} thread(s): seconds (range), DeepMind / it, "
        "max |difference|, peak MiB"
    )
    reference = results["DeepMind"]
    for way, found in results.items():
        seconds = found["seconds"]
        ratios = sorted(other / one for one in seconds for other in reference["seconds"])
        difference = np.nanmax(np.abs(np.array(found["scores"]) - np.array(reference["scores"])))
        print(
            f"  {way:18}{statistics.median(seconds):8.3f} ({min(seconds):.3f}-{max(seconds):.3f})"
            f"  {statistics.median(ratios):7.1f} ({ratios[0]:.1f}-{ratios[-1]:.1f})"
            f"  {difference:.1e}  {found['mib']:.0f}  first call {found['first']:.2f} s",
            flush=True,
        )


def run(
    folder: Path, kind: str, protocol: str, way: str, times: int, threads: int
) -> dict[str, object]:
    """Measure an implementation in separate processes."""
    found = []
    # Read by numpy's and torch's thread pools as they start.
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    for _ in range(times):
        command = [sys.executable, __file__, "--way", str(folder), kind, protocol, way]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            sys.exit(f"{way}: {done.stderr[-2000:]}")
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return {
        "seconds": [one["seconds"] for one in found],
        "first": statistics.median(one["first"] for one in found),
        "scores": found[0]["scores"],
        "mib": max(one["mib"] for one in found),
    }


def measure(folder: str, kind: str, protocol: str, way: str) -> dict[str, object]:
    """Return seconds (for ours, of the second call), the NSD of each label, and peak memory."""
    arrays = np.load(Path(folder) / f"{kind}.npz")
    spacing = tuple(np.load(Path(folder) / "spacing.npy").tolist())
    score = {"DeepMind": deepmind, "MONAI": monai}.get(way, ours)
    import_first(way)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    truth, pred = arrays["truth"], arrays["pred"]
    started = time.perf_counter()
    scores = score(pred, truth, spacing, protocol)
    first = seconds = time.perf_counter() - started
    if score is ours:
        started = time.perf_counter()
        scores = score(pred, truth, spacing, protocol)
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "first": first, "scores": scores, "mib": (peak - before) / 1024}


def import_first(way: str) -> None:
    """Import an implementation; compiling or tracing, if any, counts as scoring."""
    if way == "MONAI":
        import monai.metrics  # noqa: F401
    elif way == "DeepMind":
        import surface_distance  # noqa: F401
    else:
        import training.functional  # noqa: F401


def ours(
    pred: NDArray[np.uint8], truth: NDArray[np.uint8], spacing: tuple[float, ...], protocol: str
) -> list[float]:
    """Score all labels at once, with Dice."""
    from training.functional import dice_per_class, surface_dice_per_class

    dice_per_class(pred, truth)
    scores = surface_dice_per_class(
        pred, truth, spacing_mm=spacing, protocol=protocol, include_background=False
    )
    return scores[1:].tolist()


def deepmind(
    pred: NDArray[np.uint8], truth: NDArray[np.uint8], spacing: tuple[float, ...], protocol: str
) -> list[float]:
    """Score label by label as in the authors' evaluation; slice by slice for ``slice``."""
    import surface_distance

    known = truth != 255
    pred, truth = np.where(known, pred, 0), np.where(known, truth, 0)
    scores = []
    for label in LABELS:
        one, other = truth == label, pred == label
        surface_distance.compute_dice_coefficient(one, other)
        if protocol == "volume":
            found = surface_distance.compute_surface_distances(one, other, spacing)
            scores.append(
                float(surface_distance.compute_surface_dice_at_tolerance(found, TOLERANCE_MM))
            )
            continue
        within = whole = 0.0
        for k in np.flatnonzero(one.any((0, 1)) | other.any((0, 1))):
            found = surface_distance.compute_surface_distances(
                one[..., k], other[..., k], spacing[:2]
            )
            for way, size in (("gt_to_pred", "gt"), ("pred_to_gt", "pred")):
                sizes = found[f"surfel_areas_{size}"]
                within += sizes[found[f"distances_{way}"] <= TOLERANCE_MM].sum()
                whole += sizes.sum()
        scores.append(within / whole if whole else float("nan"))
    return scores


def monai(
    pred: NDArray[np.uint8], truth: NDArray[np.uint8], spacing: tuple[float, ...], protocol: str
) -> list[float]:
    """Score all labels with compute_surface_dice and subvoxels, on one-hot volumes."""
    import torch
    from monai.metrics import compute_surface_dice

    assert protocol == "volume"
    known = truth != 255
    hot = [
        torch.from_numpy(np.stack([np.where(known, one, 0) == label for label in (0, *LABELS)]))[
            None
        ]
        for one in (pred, truth)
    ]
    scores = compute_surface_dice(
        *hot, [TOLERANCE_MM] * len(LABELS), spacing=spacing, use_subvoxels=True
    )
    return scores[0].tolist()


def torchmetrics(folder: Path) -> str:
    """Return the time for one label of one slice; whole cases have hundreds of these."""
    code = (
        "import numpy, resource, sys, time, torch\n"
        "from torchmetrics.functional.segmentation.utils import mask_edges, surface_distance\n"
        "resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))\n"
        "one = torch.from_numpy(numpy.load(sys.argv[1]))\n"
        "other, started = torch.roll(one, 2, 0), time.perf_counter()\n"
        "edges = mask_edges(one, other, spacing=(1, 1))\n"
        "surface_distance(edges[0], edges[1], spacing=[1, 1])\n"
        "print(f'{time.perf_counter() - started:.1f} s')"
    )
    truth = np.load(folder / "sparse.npz")["truth"]
    k = int(np.flatnonzero((truth != 255).all((0, 1)))[3])
    np.save(folder / "label.npy", truth[..., k] == 2)
    command = [sys.executable, "-c", code, str(folder / "label.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "more than 16 GiB of memory, stopped"


def whole_split(folder: Path, count: int) -> None:
    """Time ``saros evaluate`` with pictures on the phantoms, each under several ids."""
    from saros_hf.cases.files import find_cases
    from saros_hf.cases.table import TABLE_NAME, write_case_table
    from saros_hf.nifti import read_mask, write_volume
    from saros_hf.progress import usable_processors
    from saros_hf.volume import Volume

    found = find_cases(folder / "cases")
    made = []
    for files in found:
        mask = read_mask(files.mask("body-regions"), "body-regions")
        dense = moved(np.where(mask.array == 255, 2, mask.array).astype(np.uint8))
        made.append(folder / "made" / f"{files.case.case_id}.nii.gz")
        write_volume(made[-1], Volume(dense, mask.affine))
    cases = []
    (folder / "predictions").mkdir()
    for n in range(count):
        source = found[n % len(found)]
        cases.append(replace(source.case, case_id=f"case_{n:03d}", fold="test"))
        place = folder / "split" / cases[-1].case_id
        place.mkdir(parents=True)
        for path in (source.mask("body-regions"), source.image):
            (place / path.name).symlink_to(path)
        (folder / "predictions" / f"case_{n:03d}.nii.gz").symlink_to(made[n % len(found)])
    write_case_table(folder / "split" / TABLE_NAME, cases)
    command = [sys.executable, "-m", "training", "evaluate", str(folder / "split")]
    command += [str(folder / "predictions"), "--out", str(folder / "scores")]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.perf_counter() - started
    print(
        f"saros evaluate, {count} cases, {usable_processors()} cores, protocols slice and "
        f"published, report with pictures: {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
