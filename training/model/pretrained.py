"""A network on disk: SMP's own format, and beside it what SMP does not store."""

import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
from safetensors import SafetensorError
from torch import nn

from saros_hf.errors import HubError, MissingFileError, UnreadableFileError
from saros_hf.hub.client import fetch_model, is_repo_id

CONFIG, WEIGHTS = "config.json", "model.safetensors"
_PACKAGE = "saros-hf"
_MEMBER = re.compile(r"fold_\d+")
_CONFIG_KEY = "_saros"
"""SMP's loader passes over config entries that start with an underscore."""


def write_pretrained(network: Any, folder: Path, config: dict[str, Any]) -> None:  # noqa: ANN401
    """Write safetensors and config.json that ``smp.from_pretrained(folder)`` reads as well.

    Numbers without bound become ``null``, for which JSON has no word.
    """
    network.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # SMP's own card knows neither data nor licence
    path = folder / CONFIG
    ours = config | {"version": version(_PACKAGE)}
    # The weights are here: whoever loads them need not download those that training began with.
    whole = json.loads(path.read_text()) | {"encoder_weights": None, _CONFIG_KEY: ours}
    text = json.dumps(_bounded(dict(sorted(whole.items()))), indent=2, allow_nan=False)
    path.write_text(text + "\n")


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
    expected = "a folder that training wrote, or user/name on the Hub"
    if not is_repo_id(str(name).partition("@")[0]):
        raise MissingFileError(folder, "no such folder", expected)
    try:
        return fetch_model(str(name), patterns=[f"*{CONFIG}", f"*{WEIGHTS}"])
    except HubError as error:
        raise HubError(
            name,
            f"no such folder, and on the Hub {error.found}",
            expected,
            f"If a folder is meant, check the path. {error.remedy}",
        ) from error


def members_of(folder: Path) -> list[Path]:
    """Return the folders of all networks of a model; of one that is no ensemble itself alone.

    Raises:
        UnreadableFileError: The folder holds no model of this package.
    """
    return [folder, *(folder / name for name in read_config(folder)["members"])]


def read_pretrained(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network and the config that :func:`write_pretrained` wrote.

    Raises:
        UnreadableFileError: The folder does not hold such a network.
    """
    config = read_config(folder)
    try:
        with redirect_stdout(io.StringIO()):  # the Hub's loader prints where it reads from
            network: nn.Module = smp.from_pretrained(folder)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise _no_model(folder / WEIGHTS, error, config) from error
    return network, config


def read_config(folder: Path) -> dict[str, Any]:
    """Return the config that :func:`write_pretrained` wrote.

    Raises:
        UnreadableFileError: There is none, or one of another version.
    """
    path = folder / CONFIG
    config: dict[str, Any] = {}
    try:
        config = json.loads(path.read_text())[_CONFIG_KEY]
        low, high = config["input"]["spacing_range_mm"]
        config["input"]["spacing_range_mm"] = (low, math.inf if high is None else high)
        strange = [name for name in config["members"] if not _MEMBER.fullmatch(name)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _no_model(path, error, config) from error
    if strange:
        raise _no_model(path, ValueError(f"{strange[0]} is no name of a fold"), config)
    return config


@contextmanager
def refuse_other_versions(folder: Path, config: Mapping[str, Any]) -> Iterator[None]:
    """Say which version wrote a config whose entries this one cannot use.

    Raises:
        UnreadableFileError: What is done inside does not take them.
    """
    try:
        yield
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise _no_model(folder / CONFIG, error, config) from error


def _no_model(path: Path, error: Exception, config: object) -> UnreadableFileError:
    wrote = config.get("version") if isinstance(config, Mapping) else None
    return UnreadableFileError(
        path,
        f"no model that can be read ({type(error).__name__}: {error})"
        + (f", written by {_PACKAGE} {wrote}" if wrote else ""),
        f"{CONFIG} and {WEIGHTS} of {_PACKAGE} {version(_PACKAGE)}",
        "Give the folder that training or the demo wrote, e.g. demo/model, or install the "
        "version that wrote it.",
    )


def _bounded(value: Any) -> Any:  # noqa: ANN401 - whatever JSON may hold
    """Return a value in which ``None`` stands for infinite numbers and those that are none."""
    if isinstance(value, Mapping):
        return {name: _bounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_bounded(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
