"""SMP networks by the names and options of the command line."""

import inspect
from collections.abc import Mapping
from typing import Any

import segmentation_models_pytorch as smp
import torch
from torch import nn

from saros_hf.errors import UsageError

_NO_OPTIONS = {"activation", "aux_params"}
"""Arguments of SMP with which a network returns other than logits."""
_SET_HERE = {"classes", "encoder_name", "encoder_weights", "in_channels", "kwargs"}


def make_network(
    architecture: str,
    encoder_name: str,
    encoder_weights: str | None,
    options: Mapping[str, Any],
    *,
    channels: tuple[int, int],
) -> nn.Module:
    """Return an SMP network that maps images of any size to logits of that size.

    Args:
        architecture: Name of an SMP architecture.
        encoder_name: Name of an SMP or timm encoder.
        encoder_weights: Name of pretrained weights to download, ``None`` for random ones.
        options: Further arguments of the architecture.
        channels: Number of channels of the images and of the logits.

    Raises:
        UsageError: There is no such network, it has no such option, or it takes images of one
            size only.
    """
    named = f"{architecture} with {encoder_name}"
    if ":" in encoder_name:  # timm would fetch it, weights or not
        raise UsageError("--model.encoder_name", encoder_name, "the name of an encoder, no address")
    try:
        network: nn.Module = smp.create_model(
            architecture,
            encoder_name=encoder_name,
            encoder_weights=encoder_weights,
            in_channels=channels[0],
            classes=channels[1],
            **options,
        )
    except Exception as error:
        found = f"{named}, which SMP cannot make ({type(error).__name__}: {error!s:.200})"
        raise UsageError("--model", found, "names and options that SMP knows") from error
    known = inspect.signature(type(network)).parameters.keys() - _NO_OPTIONS - _SET_HERE
    # SMP ignores what it does not know, unless it is meant for an encoder of timm.
    passed_on = encoder_name.startswith(("tu-", "timm-"))
    unknown = options.keys() - known if not passed_on else options.keys() & _NO_OPTIONS
    if unknown:
        expected = f"options of {architecture}: {', '.join(sorted(known))}"
        raise UsageError("--model.options", ", ".join(sorted(unknown)), expected)
    _refuse_fixed_size(named, network, channels)
    return network.train()


def _refuse_fixed_size(named: str, network: nn.Module, channels: tuple[int, int]) -> None:
    """Raise unless an image that is no square gives logits of the same size."""
    height, width = 64, 96
    try:
        with torch.no_grad():
            shape = tuple(network.eval()(torch.zeros(1, channels[0], height, width)).shape)
    except (AssertionError, RuntimeError, ValueError) as error:
        problem = str(error)
    else:
        if shape == (1, channels[1], height, width):
            return
        problem = f"logits of shape {shape}"
    found = f"{named}, which fails on an image of {height} x {width} ({problem:.200})"
    raise UsageError("--model", found, "a network for images of any size")
