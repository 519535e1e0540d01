"""The peer of accuracy.py: nnU-Net v2's 2-D configuration, trained for a given time.

Its data are the annotated slices of each case, stacked, as the paper's authors trained it. Planner,
network, loss, augmentation, sampling and SGD with polynomial decay are its own. Changed in its favour:
the decay reaches zero when the time is up, no time goes into validation or checkpoints, the clock
starts when its data loaders are warm and, on a GPU, its network is compiled, and on a CPU with bfloat16
it may use it.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from saros_hf.cases.files import CaseFiles
from saros_hf.labels import Task, label_names
from saros_hf.nifti import read_image, read_mask, write_volume
from saros_hf.volume import Volume, annotated_slices

DATASETS: dict[Task, int] = {"body-regions": 501, "body-parts": 502}


def dataset(task: Task) -> str:
    """Return nnU-Net's name of the data of a task."""
    return f"Dataset{DATASETS[task]}_SAROS"


def set_folders(folder: Path) -> None:
    """Tell nnU-Net where to keep its files; before its first import."""
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(folder / name)
    os.environ.setdefault("nnUNet_n_proc_DA", "2")


def prepare(folder: Path, task: Task, train: list[CaseFiles], validation: list[CaseFiles]) -> None:
    """Write the stacks of annotated slices, plan and preprocess."""
    set_folders(folder)
    raw, number = folder / "raw" / dataset(task), DATASETS[task]
    if (folder / "preprocessed" / dataset(task) / "splits_final.json").is_file():
        return
    for files in (*train, *validation):
        image = read_image(files.image).to_ras()
        mask = read_mask(files.mask(task), task).to_ras()
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
        "labels": {name: number for number, name in enumerate(label_names(task))},
        "numTraining": len(train) + len(validation),
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(described))

    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess,
    )

    extract_fingerprints([number], num_processes=2, check_dataset_integrity=False)
    for name, gigabytes in (("nnUNetPlans", None), ("nnUNetPlans_1GB", 1)):
        plan_experiments([number], gpu_memory_target_in_gb=gigabytes, overwrite_plans_name=name)
        preprocess([number], name, configurations=("2d",), num_processes=(2,))
    split = {
        name: [f.case.case_id for f in cases]
        for name, cases in (("train", train), ("val", validation))
    }
    (folder / "preprocessed" / dataset(task) / "splits_final.json").write_text(json.dumps([split]))


def train(folder: Path, task: Task, seconds: float, plans_name: str) -> tuple[Any, dict[str, Any]]:
    """Return a trained predictor and what it took."""
    set_folders(folder)
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    class ForSomeTime(nnUNetTrainer):
        def run_training(self) -> None:
            self.on_train_start()
            self.network.train()
            # Compiles, where nnU-Net does; at a rate of 0 nothing is learned from it.
            self.optimizer.param_groups[0]["lr"] = 0.0
            with bf16_on_a_cpu(self.device):
                self.train_step(next(self.dataloader_train))
            self.optimizer.state.clear()
            self.steps, self.waited, began = 0, 0.0, time.perf_counter()
            while (spent := time.perf_counter() - began) < seconds:
                for group in self.optimizer.param_groups:
                    group["lr"] = self.initial_lr * (1 - spent / seconds) ** 0.9
                asked = time.perf_counter()
                batch = next(self.dataloader_train)
                self.waited += time.perf_counter() - asked
                with bf16_on_a_cpu(self.device):
                    self.train_step(batch)
                self.steps += 1
            self.spent = time.perf_counter() - began

    preprocessed = folder / "preprocessed" / dataset(task)
    plans = json.loads((preprocessed / f"{plans_name}.json").read_text())
    plans["continue_training"] = False
    described = json.loads((preprocessed / "dataset.json").read_text())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trainer = ForSomeTime(plans, "2d", 0, described, device)
    trainer.initialize()
    trainer.run_training()
    trainer.set_deep_supervision_enabled(False)
    predictor = nnUNetPredictor(device=device, allow_tqdm=False)
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [trainer.network.state_dict()],
        described,
        "nnUNetTrainer",
        trainer.inference_allowed_mirroring_axes,
    )
    settings = trainer.configuration_manager.configuration
    told = {
        "steps": trainer.steps,
        "seconds": trainer.spent,
        "waiting": trainer.waited / trainer.spent,
        "batch_size": settings["batch_size"],
        "patch_size": list(settings["patch_size"]),
        "parameters": sum(one.numel() for one in trainer.network.parameters()),
    }
    return predictor, told


def predict(predictor: Any, image: Volume, slices: list[int]) -> NDArray[np.uint8]:
    """Return labels (I, J, N) of slices of a CT in RAS+, mirrored copies averaged, its default."""
    stack = np.transpose(image.array[..., slices], (2, 1, 0)).astype(np.float32)[None]
    with bf16_on_a_cpu(predictor.device):
        labels = predictor.predict_single_npy_array(
            stack, {"spacing": list(image.spacing_mm[::-1])}
        )
    return np.transpose(labels, (2, 1, 0)).astype(np.uint8)


def bf16_on_a_cpu(device: torch.device) -> torch.autocast:
    """Return a context of bfloat16 where a CPU is quicker with it; on a GPU nnU-Net has its own."""
    from training.predict.devices import best_precision

    is_faster = device.type == "cpu" and best_precision() == "bf16-mixed"
    return torch.autocast("cpu", torch.bfloat16, enabled=is_faster)
