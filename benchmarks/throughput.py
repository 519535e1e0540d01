"""Training images and predicted slices a second, ours and nnU-Net's 2-D configuration.

One image is 512x512. Ours trains as the recipe of accuracy.py says but on whole slices, nnU-Net as its
plan says; both on the same phantoms, on a GPU if there is one. Run accuracy.py first: it leaves phantoms
and nnU-Net's preprocessed data in its --out. Needs nnunetv2 besides this package.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import accuracy_nnunet as peer
import numpy as np
import torch

from saros_hf.case_files import find_cases
from saros_hf.nifti import read_image
from saros_hf.volume import Volume
from training.averaging import PredictOptions
from training.datamodule import SarosDataModule
from training.hardware import best_precision
from training.module import SarosSegmenter
from training.slicewise import predict_maps

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
BF16 = torch.autocast(DEVICE.type, torch.bfloat16, enabled=best_precision() == "bf16-mixed")
WHOLE_BODY = 400


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("accuracy"), help="--out of accuracy.py")
    parser.add_argument("--steps", type=int, default=6, help="timed steps of each kind")
    parser.add_argument("--batch-size", type=int, default=4, help="of ours, in training")
    options = parser.parse_args()
    recipe = json.loads(Path(__file__).with_name("accuracy_ours.json").read_text())
    segmenter, loader = ours(options, recipe)
    train_ours(segmenter, loader, options.steps)
    image = whole_body(options.out / "phantoms")
    predict_ours(segmenter.eval(), image)
    nnunet(options, image)


def ours(options: argparse.Namespace, recipe: dict[str, Any]) -> tuple[SarosSegmenter, Any]:
    """Return our network and its stream of whole slices."""
    settings = recipe["data"] | {"patch_size": (512, 512), "batch_size": options.batch_size}
    data = SarosDataModule(
        options.out / "phantoms",
        patches_per_epoch=10**6,
        cache_dir=options.out / "cache",
        **settings,
    )
    data.setup("fit")
    segmenter = SarosSegmenter(context=data.context, **recipe["model"]).to(DEVICE)

    def stream() -> Any:
        for batch in data.train_dataloader():
            yield data.on_after_batch_transfer(batch.to(DEVICE), 0)

    return segmenter, stream()


def train_ours(segmenter: SarosSegmenter, batches: Any, steps: int) -> None:
    """Time steps of training, and in them the wait for data."""
    optimizer = torch.optim.AdamW(segmenter.parameters(), 1e-3)
    waits, times, count = [], [], 0
    for step in range(steps + 2):
        began = time.perf_counter()
        batch = next(batches)
        synchronise()
        ready = time.perf_counter()
        with BF16:
            images = batch.image.contiguous(memory_format=torch.channels_last)
            loss = segmenter.loss(segmenter(images, batch.position), batch.masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        synchronise()
        if step >= 2:  # the first are warm-up
            times.append(time.perf_counter() - began)
            waits.append((ready - began) / times[-1])
        count = len(batch.image)
    size = sum(one.numel() for one in segmenter.network.parameters()) / 1e6
    told = told_rate([count / one for one in times])
    print(f"train ours ({size:.0f} M parameters, batch {count}): {told} images/s")
    print(f"  share of a step spent on data: {statistics.median(waits):.2f}")


def predict_ours(segmenter: SarosSegmenter, image: Volume) -> None:
    """Time whole-body predictions from volume to label map."""
    for mirror in (False, True):
        times = []
        for _ in range(2):
            began = time.perf_counter()
            with BF16:
                predict_maps(
                    [segmenter.network], image, segmenter.spec, PredictOptions(mirror=mirror)
                )
            times.append(time.perf_counter() - began)
        rates = [WHOLE_BODY / one for one in times]
        print(f"predict ours, mirror {mirror}: {told_rate(rates)} slices/s, {min(times):.0f} s")


def nnunet(options: argparse.Namespace, image: Volume) -> None:
    """Time nnU-Net's steps and its prediction, mirrored four ways as it does by default."""
    seconds = 30.0 if DEVICE.type == "cuda" else 150.0
    predictor, told = peer.train((options.out / "nnunet").absolute(), seconds, "nnUNetPlans")
    images = told["batch_size"] * np.prod(told["patch_size"]) / 512**2
    rate = told["steps"] * images / told["seconds"]
    size = told["parameters"] / 1e6
    print(f"train nnU-Net ({size:.0f} M, batch {told['batch_size']}): {rate:.2f} images/s")
    few = list(range(8))
    for mirrored in (False, True):
        predictor.use_mirroring = mirrored

        def once() -> float:
            began = time.perf_counter()
            peer.predict(predictor, image, few)
            return time.perf_counter() - began

        rates = [len(few) / one for one in repeated(once, 2)]
        whole = WHOLE_BODY / max(rates)
        print(
            f"predict nnU-Net, mirror {mirrored}: {told_rate(rates)} slices/s, "
            f"{whole:.0f} s for {WHOLE_BODY} by extrapolation from {len(few)}"
        )


def whole_body(folder: Path) -> Volume:
    """Return a phantom repeated to 512x512x400."""
    first = find_cases(folder)[0]
    image = read_image(first.image).to_ras()
    times = -(-WHOLE_BODY // image.shape[2])
    array = np.tile(image.array, (1, 1, times))[..., :WHOLE_BODY]
    return Volume(np.ascontiguousarray(array), image.affine)


def repeated(once: Callable[[], float], times: int) -> list[float]:
    """Return the time of several calls, one more ahead of them."""
    once()
    return [once() for _ in range(times)]


def told_rate(rates: list[float]) -> str:
    """Return median and range."""
    return f"{statistics.median(rates):.3g} ({min(rates):.3g}-{max(rates):.3g})"


def synchronise() -> None:
    """Wait for the GPU."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    print(
        f"{DEVICE}, {torch.get_num_threads()} threads of {os.cpu_count()} cores, {best_precision()}"
    )
    main()
