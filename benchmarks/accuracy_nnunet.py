"""The peer of accuracy.py: nnU-Net v2's 2-D configuration, trained for a given time.

Its data are the annotated slices of each case, stacked, as the paper's authors trained it. Planner,
network, loss, augmentation, sampling and SGD with polynomial decay are its own. Changed in its favour:
the decay reaches zero when the time is up, no time goes into validation or checkpoints, the clock
starts when its data loaders are warm, and on a CPU with bfloat16 it may use it.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from saros_hf.case_files import CaseFiles
from saros_hf.labels import label_names
from saros_hf.nifti import read_image, read_mask, write_volume
from saros_hf.volume import Volume, annotated_slices

DATASET = "Dataset501_SAROS"


def set_folders(folder: Path) -> None:
    """Tell nnU-Net where to keep its files; before its first import."""
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(folder / name)
    os.environ.setdefault("nnUNet_n_proc_DA", "2")


def prepare(folder: Path, train: list[CaseFiles], validation: list[CaseFiles]) -> None:
    """Write the stacks of annotated slices, plan and preprocess."""
    set_folders(folder)
    raw = folder / "raw" / DATASET
    if (folder / "preprocessed" / DATASET / "splits_final.json").is_file():
        return
    for files in (*train, *validation):
        image = read_image(files.image).to_ras()
        mask = read_mask(files.mask("body-regions"), "body-regions").to_ras()
        chosen = annotated_slices(mask.array)
        case_id = files.case.case_id
        for place, array in (
            (raw / "imagesTr" / f"{case_id}_0000.nii.gz", image.array[..., chosen]),
            (raw / "labelsTr" / f"{case_id}.nii.gz", mask.array[..., chosen]),
        ):
            stack = Volume(np.ascontiguousarray(array), np.diag([*image.spacing_mm, 1.0]))
            write_volume(place, stack, description="annotated slices")
    described = {
        "channel_names": {"0": "CT"},
        "labels": {name: number for number, name in enumerate(label_names("body-regions"))},
        "numTraining": len(train) + len(validation),
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(described))

    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess,
    )

    extract_fingerprints([501], num_processes=2, check_dataset_integrity=False)
    for name, gigabytes in (("nnUNetPlans", None), ("nnUNetPlans_1GB", 1)):
        plan_experiments([501], gpu_memory_target_in_gb=gigabytes, overwrite_plans_name=name)
        preprocess([501], name, configurations=("2d",), num_processes=(2,))
    split = {
        name: [f.case.case_id for f in cases]
        for name, cases in (("train", train), ("val", validation))
    }
    (folder / "preprocessed" / DATASET / "splits_final.json").write_text(json.dumps([split]))


def train(folder: Path, seconds: float, plans_name: str) -> tuple[Any, dict[str, Any]]:
    """Return a trained predictor and what it took."""
    set_folders(folder)
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    class ForSomeTime(nnUNetTrainer):
        def run_training(self) -> None:
            self.on_train_start()
            next(self.dataloader_train)
            self.network.train()
            self.steps, began = 0, time.perf_counter()
            while (spent := time.perf_counter() - began) < seconds:
                for group in self.optimizer.param_groups:
                    group["lr"] = self.initial_lr * (1 - spent / seconds) ** 0.9
                batch = next(self.dataloader_train)
                with torch.autocast("cpu", torch.bfloat16, enabled=fast_bf16(self.device)):
                    self.train_step(batch)
                self.steps += 1
            self.spent = time.perf_counter() - began

    preprocessed = folder / "preprocessed" / DATASET
    plans = json.loads((preprocessed / f"{plans_name}.json").read_text())
    plans["continue_training"] = False
    dataset = json.loads((preprocessed / "dataset.json").read_text())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trainer = ForSomeTime(plans, "2d", 0, dataset, device)
    trainer.initialize()
    trainer.run_training()
    trainer.set_deep_supervision_enabled(False)
    predictor = nnUNetPredictor(device=device, allow_tqdm=False)
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [trainer.network.state_dict()],
        dataset,
        "nnUNetTrainer",
        trainer.inference_allowed_mirroring_axes,
    )
    settings = trainer.configuration_manager.configuration
    told = {
        "steps": trainer.steps,
        "seconds": trainer.spent,
        "batch_size": settings["batch_size"],
        "patch_size": list(settings["patch_size"]),
        "parameters": sum(one.numel() for one in trainer.network.parameters()),
    }
    return predictor, told


def predict(predictor: Any, image: Volume, slices: list[int]) -> NDArray[np.uint8]:
    """Return labels (I, J, N) of slices of a CT in RAS+, mirrored copies averaged, its default."""
    stack = np.transpose(image.array[..., slices], (2, 1, 0)).astype(np.float32)[None]
    with torch.autocast("cpu", torch.bfloat16, enabled=fast_bf16(predictor.device)):
        labels = predictor.predict_single_npy_array(
            stack, {"spacing": list(image.spacing_mm[::-1])}
        )
    return np.transpose(labels, (2, 1, 0)).astype(np.uint8)


def fast_bf16(device: torch.device) -> bool:
    """Return whether bfloat16 is quicker on this CPU; on a GPU nnU-Net has its own float16."""
    from training.hardware import best_precision

    return device.type == "cpu" and best_precision() == "bf16-mixed"
