"""A network on disk: SMP's own format, and beside it what SMP does not store."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
from safetensors import SafetensorError
from torch import nn

from saros_hf.errors import UnreadableFileError

_CONFIG_KEY = "_saros"
"""SMP's loader passes over config entries that start with an underscore."""


def write_pretrained(network: Any, folder: Path, config: dict[str, Any]) -> None:  # noqa: ANN401
    """Write safetensors and config.json that ``smp.from_pretrained(folder)`` reads as well."""
    network.save_pretrained(folder)
    path = folder / "config.json"
    whole = json.loads(path.read_text()) | {_CONFIG_KEY: config}
    path.write_text(json.dumps(whole, indent=2) + "\n")


def read_pretrained(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network and the config that :func:`write_pretrained` wrote.

    Raises:
        UnreadableFileError: The folder does not hold such a network.
    """
    path = folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text())[_CONFIG_KEY]
        with redirect_stdout(io.StringIO()):  # the Hub's loader prints where it reads from
            network: nn.Module = smp.from_pretrained(folder)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UnreadableFileError(
            path,
            found=f"no model of this package ({type(error).__name__}: {error})",
            expected="a folder with config.json and model.safetensors",
            remedy="Give the folder that training or the demo wrote, e.g. demo/model.",
        ) from error
    return network, config
