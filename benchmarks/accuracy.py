"""Dice and NSD of ours and of nnU-Net's 2-D configuration after the same wall time.

Same training cases, machine and test slices, scored by DeepMind's package: Dice, and NSD slice by
slice, of each label as a mean over the cases that hold it in truth or prediction. Needs nnunetv2
besides this package. Finished runs are kept: start it again to go on.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saros_hf.labels import Task, display_name, labels, num_classes

# Gone since numpy 2, and asked for by DeepMind's package.
np.Inf = np.inf  # type: ignore[attr-defined]  # noqa: NPY201

PEERS = {"nnU-Net for 1 GB": "nnUNetPlans_1GB", "nnU-Net": "nnUNetPlans"}
"""Its plan for a small GPU, whose steps are short, and its planner's default."""
TOLERANCE_MM = 3.0


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, help="folder in SAROS's format (default: phantoms made for this)")
    add("--out", type=Path, default=Path("accuracy"), help="where data and results are kept")
    add("--cases", type=int, default=36, help="phantoms of 512x512")
    add("--task", choices=("body-regions", "body-parts"), default="body-regions")
    add("--minutes", type=float, nargs="+", default=[2, 6], help="budgets of both")
    add("--ours-minutes", type=float, nargs="*", default=[0.4, 1.2], help="more budgets of ours")
    add("--seeds", type=int, nargs="+", default=[0, 1])
    add("--test-slices", type=int, default=8, help="annotated slices scored of each test case")
    add("--recipes", type=Path, nargs="+", default=[Path(__file__).with_name("ours.json")])
    add("--without-peers", action="store_true", help="ours alone, to compare recipes")
    add("--run", nargs=3, metavar=("SYSTEM", "MINUTES", "SEED"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        system, minutes, seed = options.run
        run(options, system, float(minutes), int(seed))
        return
    if options.data is None:
        options.data = options.out / "phantoms"
        phantoms(options.data, options.cases)
    ours = [str(recipe) for recipe in options.recipes]
    plan = [(one, minutes) for one in ours for minutes in (*options.ours_minutes, *options.minutes)]
    if not options.without_peers:
        plan += [(system, minutes) for system in PEERS for minutes in options.minutes]
    again = [sys.executable, __file__, "--data", str(options.data), "--out", str(options.out)]
    again += ["--task", options.task, "--test-slices", str(options.test_slices)]
    for seed in options.seeds:
        for system, minutes in plan:
            if not result_path(options, system, minutes, seed).is_file():
                subprocess.run([*again, "--run", system, str(minutes), str(seed)], check=True)
    show(options)


def phantoms(folder: Path, cases: int) -> None:
    """Make the cases of which both learn and on which both are tested."""
    from saros_hf.phantom.write_cohort import simulate
    from saros_hf.progress import progress_bar

    with progress_bar("phantoms") as report:
        simulate(folder, cases=cases, seed=2024, size=512, progress=report)


def result_path(options: argparse.Namespace, system: str, minutes: float, seed: int) -> Path:
    """Return where the scores of a run are kept."""
    return options.out / options.task / f"{Path(system).stem}_{minutes:g}_{seed}.json"


def run(options: argparse.Namespace, system: str, minutes: float, seed: int) -> None:
    """Train one system, score it and keep the result."""
    from saros_hf.cases.files import find_cases
    from saros_hf.folds import split_of
    from saros_hf.nifti import read_image, read_mask
    from saros_hf.volume import annotated_slices

    split: dict[str, list[Any]] = {"train": [], "validation": [], "test": []}
    for files in find_cases(options.data):
        split[split_of(files.case.fold)].append(files)
    if system in PEERS:
        predict, told = train_nnunet(options, split, minutes, PEERS[system])
    else:
        predict, told = train_ours(options, Path(system), minutes, seed)
    scores, began = [], time.perf_counter()
    for files in split["test"]:
        mask = read_mask(files.mask(options.task), options.task).to_ras()
        every = annotated_slices(mask.array)
        steps = np.linspace(0, len(every) - 1, min(options.test_slices, len(every)))
        chosen = [int(every[round(step)]) for step in steps]
        predicted = predict(read_image(files.image).to_ras(), chosen)
        scores.append(score(predicted, mask.array[..., chosen], mask.spacing_mm, options.task))
    told |= {"prediction_seconds": time.perf_counter() - began, "cases": len(scores)}
    path = result_path(options, system, minutes, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {"system": Path(system).stem, "minutes": minutes, "seed": seed, "told": told}
    dice, nsd = (np.array(one).tolist() for one in zip(*scores, strict=True))
    path.write_text(json.dumps(result | {"dice": dice, "nsd": nsd}))
    print(
        system, minutes, seed, [round(one, 4) for one in macro(result | {"dice": dice, "nsd": nsd})]
    )


def train_ours(
    options: argparse.Namespace, path: Path, minutes: float, seed: int
) -> tuple[Any, dict[str, Any]]:
    """Return what predicts slices, trained as a recipe says."""
    import torch
    from lightning import Trainer, seed_everything

    from training.datamodule import SarosDataModule
    from training.model.predict_volume import predict_maps
    from training.model.test_time_averaging import PredictOptions
    from training.module import SarosSegmenter
    from training.predict.devices import best_precision

    recipe = json.loads(path.read_text())
    seed_everything(seed, verbose=False)
    data = SarosDataModule(
        options.data,
        task=options.task,
        cache_dir=options.out / "cache",
        patches_per_epoch=10**6,
        seed=seed,
        **recipe["data"],
    )
    segmenter = SarosSegmenter(task=options.task, context=data.context, **recipe["model"])
    trainer = Trainer(
        max_epochs=-1,
        max_time={"seconds": minutes * 60},
        precision=best_precision(),
        devices=1,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        limit_val_batches=0,
    )
    data.prepare_data()  # nnU-Net's preprocessing is not timed either
    began = time.perf_counter()
    trainer.fit(segmenter, datamodule=data)
    spent = time.perf_counter() - began
    segmenter.eval()

    def predict(image: Any, slices: list[int]) -> NDArray[np.uint8]:
        prediction = PredictOptions(mirror=recipe["mirror"])
        with torch.autocast("cpu", torch.bfloat16, enabled=best_precision() == "bf16-mixed"):
            maps = predict_maps(
                [segmenter.network], image, segmenter.spec, prediction, slices=slices
            )
        return maps[options.task].array[..., slices]

    parameters = sum(one.numel() for one in segmenter.network.parameters())
    told = {"steps": trainer.global_step, "seconds": spent, "parameters": parameters}
    return predict, told | recipe


def train_nnunet(
    options: argparse.Namespace, split: dict[str, list[Any]], minutes: float, plans: str
) -> tuple[Any, dict[str, Any]]:
    """Return what predicts slices; nnU-Net draws without a seed."""
    import accuracy_nnunet as peer

    folder = (options.out / "nnunet").absolute()
    peer.prepare(folder, options.task, split["train"], split["validation"])
    predictor, told = peer.train(folder, options.task, minutes * 60, plans)
    return lambda image, slices: peer.predict(predictor, image, slices), told


def score(
    predicted: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    spacing_mm: tuple[float, ...],
    task: Task,
) -> tuple[list[float], list[float]]:
    """Return Dice and NSD of each label by DeepMind's package; NaN where it is in neither."""
    import surface_distance as deepmind

    dices, nsds = [], []
    for label in range(1, num_classes(task)):
        ours, theirs = predicted == label, truth == label
        if not ours.any() and not theirs.any():
            dices.append(np.nan)
            nsds.append(np.nan)
            continue
        dices.append(float(deepmind.compute_dice_coefficient(theirs, ours)))
        near = whole = 0.0
        for k in range(truth.shape[2]):
            if ours[..., k].any() or theirs[..., k].any():
                found = deepmind.compute_surface_distances(
                    theirs[..., k], ours[..., k], spacing_mm[:2]
                )
                for side in ("gt_to_pred", "pred_to_gt"):
                    lengths = found[f"surfel_areas_{side.split('_')[0]}"]
                    near += lengths[found[f"distances_{side}"] <= TOLERANCE_MM].sum()
                    whole += lengths.sum()
        nsds.append(float(near / whole))
    return dices, nsds


def macro(result: dict[str, Any]) -> tuple[float, float]:
    """Return Dice and NSD as a mean over the labels' means over cases."""
    values = [np.nanmean(np.nanmean(np.array(result[name]), axis=0)) for name in ("dice", "nsd")]
    return float(values[0]), float(values[1])


def show(options: argparse.Namespace) -> None:
    """Print a row per system and budget, then every label of the longest."""
    folder = options.out / options.task
    results = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    runs: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for one in results:
        runs.setdefault((one["system"], one["minutes"]), []).append(one)
    print("\n| system | minutes | seeds | Dice | NSD 3 mm, slice | steps |")
    print("|---|---:|---:|---|---|---:|")
    for (system, minutes), found in sorted(runs.items()):
        both = [spread([macro(one)[n] for one in found]) for n in (0, 1)]
        steps = statistics.median(one["told"]["steps"] for one in found)
        print(f"| {system} | {minutes:g} | {len(found)} | {both[0]} | {both[1]} | {steps:g} |")
    longest = dict(sorted(runs))
    print(f"\n| label | {' | '.join(f'{s}, {m:g} min: Dice | NSD' for s, m in longest.items())} |")
    print("|---|" + "---:|" * (2 * len(longest)))
    columns = []
    for key in longest.items():
        for name in ("dice", "nsd"):
            means = [np.nanmean(np.array(one[name]), axis=0) for one in runs[key]]
            columns.append(np.mean(means, axis=0))
    for row, label in enumerate(labels(options.task)[1:]):
        print(f"| {display_name(label)} | " + " | ".join(f"{c[row]:.3f}" for c in columns) + " |")


def spread(values: list[float]) -> str:
    """Return mean and range."""
    mean = statistics.mean(values)
    return f"{mean:.3f} ({min(values):.3f}-{max(values):.3f})"


if __name__ == "__main__":
    main()
