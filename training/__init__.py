"""Train, score and publish segmentation networks on SAROS.

The public names are imported on first use, so that the command line starts without torch.

>>> import training
>>> dice = training.SparseDice(num_classes=14)
"""

from importlib import import_module
from typing import Any

_MODULE_OF = {
    "AnnotatedPatchSampler": "samplers",
    "NormalizedSurfaceDice": "metrics",
    "SarosDataModule": "datamodule",
    "SarosSegmenter": "module",
    "SparseDice": "metrics",
    "dice_per_class": "functional",
    "surface_dice_per_class": "functional",
}

__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name in _MODULE_OF:
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
