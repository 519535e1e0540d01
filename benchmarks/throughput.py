"""Training images and predicted slices per second, ours and nnU-Net's 2-D configuration.

One image is 512x512. Ours trains with benchmarks/ours.json but on whole slices, through Lightning,
nnU-Net with its own plan; both on the same phantoms, on a GPU if there is one. Run accuracy.py first: it
leaves phantoms and nnU-Net's preprocessed data in its --out. Needs nnunetv2 besides this package.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import accuracy_nnunet as peer
import numpy as np
import torch
from lightning import Callback, Trainer
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from saros_hf.cases.files import find_cases
from saros_hf.nifti import read_image
from saros_hf.volume import Volume
from training.datamodule import SarosDataModule
from training.model.predict_volume import predict_maps
from training.model.test_time_averaging import PredictOptions
from training.module import SarosSegmenter
from training.predict.devices import best_precision

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
BF16 = torch.autocast(DEVICE.type, torch.bfloat16, enabled=best_precision() == "bf16-mixed")
WARM_UP = 2
WHOLE_BODY = 400


class Resident(SarosDataModule):
    """Repeats the first batch of the loader."""

    def train_dataloader(self) -> Any:
        """Return the first batch many times, already on the device."""
        batch = next(iter(super().train_dataloader())).to(DEVICE)
        return DataLoader([batch] * 10_000, batch_size=None, collate_fn=lambda one: one)


class StepTimes(Callback):
    """Measures the duration of each step and the fraction spent waiting for its batch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.waits: list[float] = []
        self._ended = 0.0

    def on_train_batch_start(self, *_: object) -> None:
        """Record the wait for the batch, its transfer and its augmentation."""
        synchronise()
        self._ready = time.perf_counter()

    def on_train_batch_end(self, *_: object) -> None:
        """Record the whole step."""
        synchronise()
        now = time.perf_counter()
        if self._ended:
            self.seconds.append(now - self._ended)
            self.waits.append((self._ready - self._ended) / self.seconds[-1])
        self._ended = now


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("accuracy"), help="--out of accuracy.py")
    parser.add_argument("--steps", type=int, default=6, help="timed steps of each kind")
    parser.add_argument("--batch-size", type=int, default=4, help="batch size of our training")
    parser.add_argument(
        "--workers", type=int, default=0, help="workers of our loader; 2 with a GPU"
    )
    options = parser.parse_args()
    recipe = json.loads(Path(__file__).with_name("ours.json").read_text())
    segmenter = train_ours(options, recipe)
    image = whole_body(options.out / "phantoms")
    predict_ours(segmenter.to(DEVICE).eval(), image)
    nnunet(options, image)


def train_ours(options: argparse.Namespace, recipe: dict[str, Any]) -> SarosSegmenter:
    """Time steps with the loader, and steps on one batch that is already on the device."""
    settings = recipe["data"] | {
        "patch_size": (512, 512),
        "batch_size": options.batch_size,
        "num_workers": options.workers,
        "patches_per_epoch": 10**6,
        "cache_dir": options.out / "cache",
    }
    times = {}
    for kind in (SarosDataModule, Resident):
        data = kind(options.out / "phantoms", **settings)
        segmenter = SarosSegmenter(context=data.context, **recipe["model"])
        steps = StepTimes()
        trainer = Trainer(
            max_steps=options.steps + WARM_UP,
            precision=best_precision(),
            devices=1,
            gradient_clip_val=1.0,
            logger=False,
            callbacks=[steps],
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            limit_val_batches=0,
        )
        trainer.fit(segmenter, datamodule=data)
        times[kind] = steps.seconds[WARM_UP - 1 :]
        if kind is SarosDataModule:
            waits = steps.waits[WARM_UP - 1 :]
    size = sum(one.numel() for one in segmenter.network.parameters()) / 1e6
    rates = [options.batch_size / one for one in times[SarosDataModule]]
    print(
        f"train ours ({size:.0f} M parameters, batch {options.batch_size}): {spread(rates)} images/s"
    )
    print(f"  share of a step before it has its batch, augmented: {spread(waits)}")
    loader, resident = (statistics.median(times[kind]) for kind in (SarosDataModule, Resident))
    print(
        f"  step with the loader / with a resident batch, both augmented: {loader / resident:.3f}"
    )
    print(
        f"  share of the speed of a bare bfloat16 product: {utilisation(segmenter, loader, options):.2f}"
    )
    return segmenter


def utilisation(segmenter: SarosSegmenter, seconds: float, options: argparse.Namespace) -> float:
    """Return the operations per second of a step, relative to a large bfloat16 matrix product."""
    segmenter = segmenter.to(DEVICE).train()
    shape = (options.batch_size, segmenter.spec.channels, 512, 512)
    images = torch.zeros(shape, device=DEVICE)
    with FlopCounterMode(display=False) as counter:
        segmenter.network(images).sum().backward()
    size = 8192 if DEVICE.type == "cuda" else 2048
    one = torch.randn(size, size, device=DEVICE, dtype=torch.bfloat16)

    def product() -> float:
        began = time.perf_counter()
        for _ in range(4):
            one @ one
        synchronise()
        return (time.perf_counter() - began) / 4

    bare = 2 * size**3 / min(repeated(product, 5))
    return counter.get_total_flops() / seconds / bare


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
        print(f"predict ours, mirror {mirror}: {spread(rates)} slices/s, {min(times):.0f} s")


def nnunet(options: argparse.Namespace, image: Volume) -> None:
    """Time nnU-Net's steps and its prediction, mirrored four ways as it does by default."""
    seconds = 30.0 if DEVICE.type == "cuda" else 150.0
    folder = (options.out / "nnunet").absolute()
    predictor, run = peer.train(folder, "body-regions", seconds, "nnUNetPlans")
    images = run["batch_size"] * np.prod(run["patch_size"]) / 512**2
    rate = run["steps"] * images / run["seconds"]
    size = run["parameters"] / 1e6
    print(f"train nnU-Net ({size:.0f} M, batch {run['batch_size']}): {rate:.2f} images/s")
    print(f"  share of a step before it has its batch: {run['waiting']:.2f}")
    slices = list(range(8))
    for mirrored in (False, True):
        predictor.use_mirroring = mirrored

        def once() -> float:
            began = time.perf_counter()
            peer.predict(predictor, image, slices)
            return time.perf_counter() - began

        rates = [len(slices) / one for one in repeated(once, 2)]
        whole = WHOLE_BODY / max(rates)
        print(
            f"predict nnU-Net, mirror {mirrored}: {spread(rates)} slices/s, "
            f"{whole:.0f} s for {WHOLE_BODY} by extrapolation from {len(slices)}"
        )


def whole_body(folder: Path) -> Volume:
    """Return a phantom repeated to 512x512x400."""
    first = find_cases(folder)[0]
    image = read_image(first.image).to_ras()
    times = -(-WHOLE_BODY // image.shape[2])
    array = np.tile(image.array, (1, 1, times))[..., :WHOLE_BODY]
    return Volume(np.ascontiguousarray(array), image.affine)


def repeated(once: Callable[[], float], times: int) -> list[float]:
    """Return the times of several calls after one warm-up call."""
    once()
    return [once() for _ in range(times)]


def spread(values: Sequence[float]) -> str:
    """Return median and range."""
    return f"{statistics.median(values):.3g} ({min(values):.3g}-{max(values):.3g})"


def synchronise() -> None:
    """Wait for the GPU."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    print(
        f"{DEVICE}, {torch.get_num_threads()} threads of {os.cpu_count()} cores, {best_precision()}"
    )
    main()
