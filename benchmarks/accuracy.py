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

# Gone since numpy 2, and asked for by DeepMind's package.
np.Inf = np.inf  # type: ignore[attr-defined]  # noqa: NPY201

TASK = "body-regions"
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
    add("--minutes", type=float, nargs="+", default=[4, 12], help="budgets of both")
    add("--ours-minutes", type=float, nargs="*", default=[0.8, 2.4], help="more budgets of ours")
    add("--seeds", type=int, nargs="+", default=[0, 1])
    add("--test-slices", type=int, default=8, help="annotated slices scored of each test case")
    add("--recipe", type=Path, default=Path(__file__).with_name("accuracy_ours.json"))
    add("--run", nargs=3, metavar=("SYSTEM", "MINUTES", "SEED"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        system, minutes, seed = options.run
        run(options, system, float(minutes), int(seed))
        return
    if options.data is None:
        options.data = options.out / "phantoms"
        phantoms(options.data, options.cases)
    plan = [("ours", minutes) for minutes in (*options.ours_minutes, *options.minutes)]
    plan += [(system, minutes) for system in PEERS for minutes in options.minutes]
    for seed in options.seeds:
        for system, minutes in plan:
            if not result_path(options.out, system, minutes, seed).is_file():
                again = [sys.executable, __file__, "--data", str(options.data)]
                again += ["--out", str(options.out), "--test-slices", str(options.test_slices)]
                subprocess.run([*again, "--run", system, str(minutes), str(seed)], check=True)
    show(options.out)


def phantoms(folder: Path, cases: int) -> None:
    """Make the cases of which both learn and on which both are tested."""
    from saros_hf.progress import progress_bar
    from saros_hf.simulate import simulate

    with progress_bar("phantoms") as report:
        simulate(folder, cases=cases, seed=2024, size=512, progress=report)


def result_path(out: Path, system: str, minutes: float, seed: int) -> Path:
    """Return where the scores of a run are kept."""
    return out / "results" / f"{system}_{minutes:g}_{seed}.json"


def run(options: argparse.Namespace, system: str, minutes: float, seed: int) -> None:
    """Train one system, score it and keep the result."""
    from saros_hf.case_files import find_cases
    from saros_hf.folds import split_of
    from saros_hf.nifti import read_image, read_mask
    from saros_hf.volume import annotated_slices

    split: dict[str, list[Any]] = {"train": [], "validation": [], "test": []}
    for files in find_cases(options.data):
        split[split_of(files.case.fold)].append(files)
    if system == "ours":
        predict, told = train_ours(options, minutes, seed)
    else:
        predict, told = train_nnunet(options, split, minutes, PEERS[system])
    scores, began = [], time.perf_counter()
    for files in split["test"]:
        mask = read_mask(files.mask(TASK), TASK).to_ras()
        every = annotated_slices(mask.array)
        steps = np.linspace(0, len(every) - 1, min(options.test_slices, len(every)))
        chosen = [int(every[round(step)]) for step in steps]
        predicted = predict(read_image(files.image).to_ras(), chosen)
        scores.append(score(predicted, mask.array[..., chosen], mask.spacing_mm))
    told |= {"prediction_seconds": time.perf_counter() - began, "cases": len(scores)}
    path = result_path(options.out, system, minutes, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {"system": system, "minutes": minutes, "seed": seed, "told": told}
    dice, nsd = (np.array(one).tolist() for one in zip(*scores, strict=True))
    path.write_text(json.dumps(result | {"dice": dice, "nsd": nsd}))
    print(
        system, minutes, seed, [round(one, 4) for one in macro(result | {"dice": dice, "nsd": nsd})]
    )


def train_ours(
    options: argparse.Namespace, minutes: float, seed: int
) -> tuple[Any, dict[str, Any]]:
    """Return what predicts slices, trained as the recipe says."""
    import torch
    from lightning import Trainer, seed_everything

    from training.averaging import PredictOptions
    from training.datamodule import SarosDataModule
    from training.hardware import best_precision
    from training.module import SarosSegmenter
    from training.slicewise import predict_maps

    recipe = json.loads(options.recipe.read_text())
    seed_everything(seed, verbose=False)
    data = SarosDataModule(
        options.data,
        task=TASK,
        cache_dir=options.out / "cache",
        patches_per_epoch=10**6,
        seed=seed,
        **recipe["data"],
    )
    segmenter = SarosSegmenter(task=TASK, context=data.context, **recipe["model"])
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
        return maps[TASK].array[..., slices]

    parameters = sum(one.numel() for one in segmenter.network.parameters())
    told = {"steps": trainer.global_step, "seconds": spent, "parameters": parameters}
    return predict, told | recipe


def train_nnunet(
    options: argparse.Namespace, split: dict[str, list[Any]], minutes: float, plans: str
) -> tuple[Any, dict[str, Any]]:
    """Return what predicts slices; nnU-Net draws without a seed."""
    import accuracy_nnunet as peer

    folder = (options.out / "nnunet").absolute()
    peer.prepare(folder, split["train"], split["validation"])
    predictor, told = peer.train(folder, minutes * 60, plans)
    return lambda image, slices: peer.predict(predictor, image, slices), told


def score(
    predicted: NDArray[np.uint8], truth: NDArray[np.uint8], spacing_mm: tuple[float, ...]
) -> tuple[list[float], list[float]]:
    """Return Dice and NSD of each label by DeepMind's package; NaN where it is in neither."""
    import surface_distance as deepmind

    dices, nsds = [], []
    for label in range(1, 14):
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


def show(out: Path) -> None:
    """Print a row per system and budget, then every label of the longest."""
    results = [json.loads(path.read_text()) for path in sorted((out / "results").glob("*.json"))]
    print(
        "\n| system | minutes | seeds | Dice | NSD 3 mm, slice | steps |\n|---|---:|---:|---|---|---:|"
    )
    keys = sorted({(one["system"], one["minutes"]) for one in results})
    for system, minutes in keys:
        runs = [one for one in results if (one["system"], one["minutes"]) == (system, minutes)]
        both = [spread([macro(one)[n] for one in runs]) for n in (0, 1)]
        steps = statistics.median(one["told"]["steps"] for one in runs)
        print(f"| {system} | {minutes:g} | {len(runs)} | {both[0]} | {both[1]} | {steps:g} |")
    from saros_hf.labels import display_name, labels

    columns = []
    for system in ("ours", "nnU-Net for 1 GB"):
        longest = max((minutes for name, minutes in keys if name == system), default=0)
        runs = [one for one in results if (one["system"], one["minutes"]) == (system, longest)]
        for name in ("dice", "nsd"):
            means = [np.nanmean(np.array(one[name]), axis=0) for one in runs]
            columns.append(np.mean(means, axis=0))
    print("\n| label | ours Dice | NSD | nnU-Net Dice | NSD |\n|---|---:|---:|---:|---:|")
    for row, label in enumerate(labels(TASK)[1:]):
        print(f"| {display_name(label)} | " + " | ".join(f"{c[row]:.3f}" for c in columns) + " |")


def spread(values: list[float]) -> str:
    """Return mean and range."""
    mean = statistics.mean(values)
    return f"{mean:.3f} ({min(values):.3f}-{max(values):.3f})"


if __name__ == "__main__":
    main()
