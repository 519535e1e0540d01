"""A patch sampler, and a subject with three annotated slices."""

import numpy as np
import torch
import torchio as tio
from helpers.case_folders import sparse_mask

from training.samplers import AnnotatedPatchSampler

SHAPE = (12, 10, 20)
ANNOTATED = [3, 8, 14]


def subject(mask: np.ndarray | None = None) -> tio.Subject:
    mask = sparse_mask(SHAPE, ANNOTATED) if mask is None else mask
    image = np.indices(mask.shape)[2].astype(np.float32)
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    return tio.Subject(
        image=tio.ScalarImage(tensor=torch.from_numpy(image)[None], affine=affine),
        mask=tio.LabelMap(tensor=torch.from_numpy(mask)[None], affine=affine),
    )


def sampler(size: tuple[int, int, int], seed: int = 0, **options: object) -> AnnotatedPatchSampler:
    return AnnotatedPatchSampler(size, seed=seed, **options)


def places(one: AnnotatedPatchSampler, count: int = 10) -> list[list[int]]:
    return [patch[tio.LOCATION].tolist() for patch in one(subject(), count)]
