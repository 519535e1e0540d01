"""Annotated patches per second of the train loader, other packages and a bare memory map.

Needs nnunetv2 and monai besides this package. Every stream runs in its own process, one after
another, on the same phantom cases, with a warm page cache, in rounds. Each peer runs without helper
processes and with two; quote the better setting.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("nnUNet_results", "/nowhere")

SIZES = {"256x256": (256, 256), "512x512": (512, 512), "128x128x32": (128, 128, 32)}
MEMORY_GROUP = Path("/sys/fs/cgroup/memory/saros-sampling")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=6.0, help="duration of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--times", type=int, nargs="*", default=[10, 100], help="factors of the number of slices"
    )
    parser.add_argument("--folder", type=Path, help="folder for the data (default: temporary)")
    parser.add_argument("--stream", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stream:
        name, size, folder = options.stream
        print(json.dumps(measure(name, SIZES[size], Path(folder), options.seconds)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        prepare(folder, options.cases)
        compare_streams(folder, options.seconds, options.rounds)
        compare_sizes(folder, options.times, options.seconds, options.rounds)


def prepare(folder: Path, cases: int) -> None:
    """Write the phantom cases and the files that each stream reads."""
    if (folder / "ready").exists():
        return
    import datasets
    from sampling_peers import write_nnunet, write_raw

    datasets.disable_progress_bars()

    import saros_hf
    from saros_hf.cases.files import find_cases
    from saros_hf.phantom.write_cohort import simulate

    simulate(folder / "cases", cases=cases, seed=3, size=512)
    found = find_cases(folder / "cases")
    for suffix, unannotated in (("", False), ("3d", True)):
        write_raw(folder / f"raw{suffix}", found, every=unannotated)
        for kind, compress in (("plain", False), ("packed", True)):
            splits = saros_hf.load_dataset(
                "slices",
                data_dir=folder / "cases",
                unannotated=unannotated,
                compress=compress,
                cache_dir=str(folder / "cache"),
            )
            datasets.concatenate_datasets(list(splits.values())).save_to_disk(
                folder / f"{kind}{suffix}"
            )
    write_nnunet(folder / "nnunet2d", found, (256, 256))
    write_nnunet(folder / "nnunet3d", found, (128, 128, 32))
    (folder / "ready").touch()


def compare_streams(folder: Path, seconds: float, rounds: int) -> None:
    """Print annotated patches per second of every stream, and ratios within each round."""
    from sampling_peers import CONTENDERS, better_settings

    print(f"{os.cpu_count()} cores; median (range) of {rounds} rounds of {seconds:.0f} s, batch 8")
    for size in SIZES:
        # Augmentation is slow enough to be measured with the small patch alone.
        names = [n for n in CONTENDERS if size == "256x256" or "augmented" not in n]
        results: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for _ in range(rounds):
            for name in names:
                results[name].append(run(name, size, folder, seconds))
        print(f"\n{size}: annotated patches/s, of all, ours normalised or int16 against it, MiB")
        rates = {name: [one["rate"] for one in measured] for name, measured in results.items()}
        better = better_settings(rates)
        for name, measured in results.items():
            report(name, measured, results, mark="*" if name in better else " ")
        print("  * a peer's better setting")


def report(
    name: str,
    measured: list[dict[str, float]],
    results: dict[str, list[dict[str, float]]],
    *,
    mark: str,
) -> None:
    """Print one line; int16 is compared with the bare memory map, float32 with the peers."""
    ours = results["ours, int16" if name == "bare memory map" else "ours, normalised float32"]
    ratios = [a["rate"] / b["rate"] for a, b in zip(ours, measured, strict=True)]
    rate = spread([one["rate"] for one in measured])
    share = statistics.median(one["annotated"] for one in measured)
    private = max(one["private_mib"] for one in measured)
    resident = max(one["resident_mib"] for one in measured)
    print(
        f"{mark} {name:28}{rate:28} {share:5.0%}  ours / it {spread(ratios, 3):22}"
        f" private {private:6.0f}, resident {resident:6.0f}",
        flush=True,
    )


def compare_sizes(folder: Path, times: list[int], seconds: float, rounds: int) -> None:
    """Print our rate with many times the slices, within memory and at three times its size."""
    print("\n256x256, more slices: patches/s, against as many slices as above, MiB above imports")
    for many in [1, *times]:
        place = multiplied(folder, many)
        opened = []
        for name in ("ours, int16", "ours, packed, int16"):
            measured = [run(name, "256x256", place, seconds) for _ in range(rounds)]
            opened = [one["opened_s"] for one in measured]
            print(
                f"  {many:4} x {name:22}{spread([one['rate'] for one in measured]):28}"
                f" opened in {statistics.median(opened):.3f} s,"
                f" private {max(one['private_mib'] for one in measured):.0f}",
                flush=True,
            )
    raw = sum(file.stat().st_size for file in place.glob("plain/*.arrow"))
    packed = sum(file.stat().st_size for file in place.glob("packed/*.arrow"))
    if raw < 3 * 2**30:
        return  # the process itself needs a third of a GiB
    print(f"\nmemory limited to a third of {raw / 2**30:.1f} GiB; packed {packed / 2**30:.1f} GiB")
    for name in ("ours, int16", "ours, packed, int16"):
        with memory_limit(raw // 3) as limited:
            if not limited:
                print("  skipped: needs root and memory control groups (version 1)")
                return
            measured = [run(name, "256x256", place, 5 * seconds, limited=True) for _ in range(3)]
            print(f"  {name:28}{spread([one['rate'] for one in measured])}", flush=True)


def multiplied(folder: Path, many: int) -> Path:
    """Return a folder with the rows of ``folder`` repeated ``many`` times on disk."""
    import datasets

    datasets.disable_progress_bars()
    if many == 1:
        return folder
    place = folder / f"times{many}"
    for kind in ("plain", "packed"):
        if not (place / kind).exists():
            rows = datasets.load_from_disk(folder / kind)
            datasets.concatenate_datasets([rows] * many).save_to_disk(place / kind)
    return place


@contextmanager
def memory_limit(size: int) -> Iterator[bool]:
    """Limit processes that join to ``size`` bytes, page cache included, from a cold start."""
    try:
        MEMORY_GROUP.mkdir(exist_ok=True)
        (MEMORY_GROUP / "memory.limit_in_bytes").write_text(str(size))
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("1")
    except OSError:
        yield False
        return
    yield True
    MEMORY_GROUP.rmdir()


def run(
    name: str, size: str, folder: Path, seconds: float, *, limited: bool = False
) -> dict[str, float]:
    """Return the measurements of a stream in its own process."""
    command = [sys.executable, __file__, "--seconds", str(seconds)]
    command += ["--stream", name, size, str(folder)]
    if limited:
        join = f'echo $$ > {MEMORY_GROUP}/cgroup.procs && exec "$@"'
        command = ["sh", "-c", join, "sh", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name}, {size}:\n{done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(name: str, size: tuple[int, ...], folder: Path, seconds: float) -> dict[str, float]:
    """Return rate and memory of one stream in this process, after a warm-up."""
    import torch
    from memory_watch import MemoryWatch
    from sampling_peers import BATCH, CONTENDERS, unannotated_in

    torch.set_num_threads(2)
    make, options = CONTENDERS[name]
    _import_all(name)
    watch = MemoryWatch()
    started = time.perf_counter()
    stream = make(folder, size, **options)
    unannotated = unannotated_in(name)
    _annotated(next(stream), unannotated)
    opened = time.perf_counter() - started
    warm = time.perf_counter() + seconds / 3
    while time.perf_counter() < warm:
        next(stream)
    batches, hit = 0, 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds or not batches:
        batch = next(stream)
        batches += 1
    elapsed = time.perf_counter() - started
    checked = max(min(batches, 20), 5)
    for _ in range(checked):
        hit += _annotated(next(stream), unannotated)
    share = hit / (BATCH * checked)
    del batch
    return {
        "rate": share * BATCH * batches / elapsed,
        "annotated": share,
        "opened_s": opened,
        **watch.stop(),
    }


def _import_all(name: str) -> None:
    """Import the packages of a stream, so that their memory is not counted as the stream's."""
    import training.data.patch_batches
    import training.data.slice_store
    import training.transforms  # noqa: F401

    if "nnU-Net" in name:
        import nnunetv2.training.dataloading.data_loader  # noqa: F401
    if "MONAI" in name:
        import monai.data
        import monai.transforms  # noqa: F401


def _annotated(batch: tuple[Any, Any], unannotated: int) -> int:
    """Return the number of patches of a batch that hold annotation."""
    mask = batch[1].flatten(1)
    return int(((mask != unannotated) & (mask >= 0)).any(1).sum())


def spread(values: list[float], digits: int = 4) -> str:
    """Return the median and the range, rounded."""
    middle = statistics.median(values)
    return f"{middle:.{digits}g} ({min(values):.{digits}g}-{max(values):.{digits}g})"


if __name__ == "__main__":
    main()
