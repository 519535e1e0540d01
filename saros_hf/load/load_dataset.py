"""The two doors to the dataset: by name through `datasets`, and directly."""

import functools
from pathlib import Path
from typing import Any

from datasets import load as datasets_load
from datasets import packaged_modules
from datasets.data_files import DataFilesDict

from ..errors import UsageError, saros_cause
from .builder import Saros
from .config import SCHEMA_VERSION, ConfigName

_HASH = f"saros-{SCHEMA_VERSION}"
_MODULE = "saros_hf.load.builder"


def register() -> None:
    """Teach ``datasets.load_dataset`` the name ``saros``.

    `datasets` has no entry point for builders; its table of packaged modules is what it looks at
    first. An existing entry is left alone.

    For a packaged module it would list every file below ``data_dir``, or below the current folder
    if there is none, at every load: seconds for 900 cases, and what it finds is not what decides
    here whether a cache is fresh. So for this one name the listing is left out.
    """
    table = packaged_modules._PACKAGED_DATASETS_MODULES
    table.setdefault("saros", (_MODULE, _HASH))
    factory = getattr(datasets_load, "PackagedDatasetModuleFactory", None)
    if factory is None or table["saros"][0] != _MODULE or hasattr(factory.get_module, "saros"):
        return
    get_module = factory.get_module

    @functools.wraps(get_module)
    def without_listing(self: Any) -> Any:  # noqa: ANN401 - a private class of datasets
        if self.name != "saros" or self.data_files is not None:
            return get_module(self)
        found = {"data_files": DataFilesDict(), "dataset_name": "saros"}
        return datasets_load.DatasetModule(_MODULE, _HASH, found)

    without_listing.saros = True  # type: ignore[attr-defined]
    factory.get_module = without_listing


def load_dataset(
    name: ConfigName = "volumes",
    *,
    data_dir: str | Path | None = None,
    split: str | None = None,
    streaming: bool = False,
    num_proc: int | None = None,
    **options: Any,  # noqa: ANN401 - fields of SarosConfig
) -> Any:  # noqa: ANN401 - as datasets.load_dataset returns, one of four types
    """Load SAROS as ``datasets.load_dataset("saros", name, ...)`` does, without global state.

    Args:
        name: ``volumes``, ``slices`` or ``masks``, see :class:`saros_hf.load.config.SarosConfig`.
        data_dir: Folder of ``case_XXX`` folders with the Segmentation Info CSV; ``None`` for
            that in the environment variable ``SAROS_DATA_DIR``.
        split: ``train``, ``validation``, ``test``, also ``train[:10%]``; all if ``None``.
        streaming: Read lazily instead of building a cache; without a folder, from the archive.
        num_proc: Processes that build the cache.
        **options: ``fold``, ``splits``, ``cases``, ``collections``, ``licenses``,
            ``anatomic_region``, ``context``, ``embed``, ``source``, ``cache_dir``, ...

    Returns:
        A ``Dataset``, or a ``DatasetDict`` without ``split``; their iterable twins if streaming.

    Raises:
        SarosError: Something in the folder is wrong; the message names the case and file.
    """
    if streaming and num_proc is not None:
        raise UsageError(
            "num_proc",
            f"{num_proc} with streaming=True",
            "one of the two",
            "Give DataLoader(num_workers=...) instead: every case is a shard of its own.",
        )
    try:
        builder = Saros(
            config_name=name,
            data_dir=None if data_dir is None else str(data_dir),
            dataset_name="saros",
            hash=_HASH,
            **options,
        )
        if streaming:
            return builder.as_streaming_dataset(split=split)
        builder.download_and_prepare(num_proc=num_proc)
        return builder.as_dataset(split=split)
    except Exception as error:
        cause = saros_cause(error)
        if cause is None or cause is error:
            raise
        # `datasets` wraps what a builder raises; the user needs the line inside.
        raise cause from error
