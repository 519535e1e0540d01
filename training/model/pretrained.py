"""Model folders on disk and the Hub: SMP's own format plus the settings that SMP does not store."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from saros_hf.errors import HubError, MissingFileError, UnreadableFileError
from saros_hf.hub.client import fetch_model, is_repo_id

CONFIG, WEIGHTS = "config.json", "model.safetensors"
_PACKAGE = "saros-hf"
_MEMBER = re.compile(r"fold_\d+")
_CONFIG_KEY = "_saros"
"""SMP's loader ignores config entries that start with an underscore."""


def write_pretrained(network: Any, folder: Path, config: dict[str, Any]) -> None:  # noqa: ANN401
    """Write safetensors and config.json that ``smp.from_pretrained(folder)`` reads as well.

    An unlimited spacing range ends with ``null``, since JSON has no infinity.
    """
    network.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # SMP's card states neither data nor licence
    low, high = config["input"]["spacing_range_mm"]
    config["input"]["spacing_range_mm"] = low, None if math.isinf(high) else high
    ours = config | {"version": version(_PACKAGE)}
    path = folder / CONFIG
    # Without encoder_weights SMP would not download the weights that training started from.
    whole = json.loads(path.read_text()) | {"encoder_weights": None, _CONFIG_KEY: ours}
    text = json.dumps(dict(sorted(whole.items())), indent=2, allow_nan=False)
    path.write_text(text + "\n")


def model_folder(name: str | Path) -> Path:
    """Return a model folder on disk, or download it from the Hub.

    Args:
        name: Folder, or if there is no such folder ``user/name`` or ``user/name@revision`` on the
            Hub.

    Raises:
        MissingFileError: There is no such folder, and the name is none of the Hub's.
        HubError: The model cannot be downloaded.
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
        found = f"no such folder, and on the Hub {error.found}"
        remedy = f"If a folder is meant, check the path. {error.remedy}"
        raise HubError(name, found, expected, remedy) from error


def read_config(folder: Path) -> dict[str, Any]:
    """Return the config that :func:`write_pretrained` wrote.

    Raises:
        UnreadableFileError: There is none, or one of another version.
    """
    config: dict[str, Any] = {}
    with explain_unreadable(folder / CONFIG, config):
        config.update(json.loads((folder / CONFIG).read_text())[_CONFIG_KEY])
        low, high = config["input"]["spacing_range_mm"]
        high = math.inf if high is None else high
        slice_mm = config["input"]["slice_spacing_mm"]
        if not (0 <= low <= high and high > 0 and 0 < slice_mm < math.inf):
            raise ValueError("a spacing that is not positive")
        config["input"]["spacing_range_mm"] = (low, high)
        for name in config["members"]:
            if not _MEMBER.fullmatch(name):
                raise ValueError(f"{name} is no name of a fold")
    return config


@contextmanager
def explain_unreadable(path: Path, config: Mapping[str, Any]) -> Iterator[None]:
    """Turn an error in the block into one that names the version that wrote the model.

    Raises:
        UnreadableFileError: The block raised an error that a broken model folder can cause.
    """
    try:
        yield
    except Exception as error:  # a stranger's config may hold anything
        author = f", written by {_PACKAGE} {config['version']}" if "version" in config else ""
        raise UnreadableFileError(
            path,
            f"no model that can be read ({type(error).__name__}: {error}){author}",
            f"{CONFIG} and {WEIGHTS} of {_PACKAGE} {version(_PACKAGE)}",
            "Give a folder that training or the demo wrote, e.g. demo/model, or install the "
            "version that wrote it.",
        ) from error
