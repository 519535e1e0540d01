"""A network on disk: SMP's own format, and beside it what SMP does not store."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
from safetensors import SafetensorError
from torch import nn

from saros_hf.errors import MissingFileError, UnreadableFileError
from saros_hf.hub import fetch_model, is_repo_id

CONFIG, WEIGHTS = "config.json", "model.safetensors"
_CONFIG_KEY = "_saros"
"""SMP's loader passes over config entries that start with an underscore."""


def write_pretrained(network: Any, folder: Path, config: dict[str, Any]) -> None:  # noqa: ANN401
    """Write safetensors and config.json that ``smp.from_pretrained(folder)`` reads as well."""
    network.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # SMP's own card knows neither data nor licence
    path = folder / CONFIG
    whole = json.loads(path.read_text()) | {_CONFIG_KEY: config}
    path.write_text(json.dumps(dict(sorted(whole.items())), indent=2) + "\n")


def model_folder(name: str | Path) -> Path:
    """Return the folder of a model on disk, or of one that is fetched from the Hub.

    Args:
        name: Folder; if there is none, ``user/name`` or ``user/name@revision`` on the Hub.

    Raises:
        MissingFileError: It is neither.
        HubError: The Hub does not hand it out.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder
    if is_repo_id(str(name).partition("@")[0]):
        return fetch_model(str(name), patterns=[f"*{CONFIG}", f"*{WEIGHTS}"])
    raise MissingFileError(
        folder,
        found="no such folder",
        expected="a folder that training wrote, or user/name on the Hub",
        remedy="Check the path.",
    )


def members_of(folder: Path) -> list[Path]:
    """Return the folders of all networks of a model; of one that is no ensemble itself alone.

    Raises:
        UnreadableFileError: The folder holds no model of this package.
    """
    return [folder, *(folder / name for name in _config(folder)["members"])]


def read_pretrained(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network and the config that :func:`write_pretrained` wrote.

    Raises:
        UnreadableFileError: The folder does not hold such a network.
    """
    config = _config(folder)
    try:
        with redirect_stdout(io.StringIO()):  # the Hub's loader prints where it reads from
            network: nn.Module = smp.from_pretrained(folder)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise _no_model(folder / WEIGHTS, error) from error
    return network, config


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        config: dict[str, Any] = json.loads(path.read_text())[_CONFIG_KEY]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _no_model(path, error) from error
    return config


def _no_model(path: Path, error: Exception) -> UnreadableFileError:
    return UnreadableFileError(
        path,
        found=f"no model of this package ({type(error).__name__}: {error})",
        expected=f"a folder with {CONFIG} and {WEIGHTS}",
        remedy="Give the folder that training or the demo wrote, e.g. demo/model.",
    )
