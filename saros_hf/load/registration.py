"""The name ``saros`` in ``datasets.load_dataset``."""

import functools
from types import ModuleType
from typing import Any

import wrapt

SCHEMA_VERSION = "1.2.1"
"""Raise it whenever rows change: it is part of every cache folder's name."""

CACHE_HASH = f"saros-{SCHEMA_VERSION}"
"""What ``datasets`` takes for the digest of a loading script."""
_MODULE = "saros_hf.load.builder"


def register_with_datasets() -> None:
    """Make ``datasets.load_dataset("saros", ...)`` work as soon as ``datasets`` is imported.

    ``datasets`` takes a second to import, which commands that do not need it should not wait for.
    """
    wrapt.register_post_import_hook(_register, "datasets")


def _register(datasets: ModuleType) -> None:
    """Enter the name ``saros``.

    ``datasets`` has no entry point for builders, but looks a name up in its table of packaged
    modules first. An existing entry is left alone.

    For a packaged module ``datasets`` lists every file below ``data_dir``, or below the current
    folder, at every load. That takes seconds for 900 cases, and this builder names its cache after
    the folder's content itself, so the listing is skipped for ``saros``.
    """
    table = datasets.packaged_modules._PACKAGED_DATASETS_MODULES
    table.setdefault("saros", (_MODULE, CACHE_HASH))
    factory = getattr(datasets.load, "PackagedDatasetModuleFactory", None)
    if factory is None or table["saros"][0] != _MODULE:
        return
    get_module = factory.get_module

    @functools.wraps(get_module)
    def without_listing(self: Any) -> Any:  # noqa: ANN401 - a private class of datasets
        if self.name != "saros" or self.data_files is not None:
            return get_module(self)
        files = datasets.data_files.DataFilesDict()
        found = {"data_files": files, "dataset_name": "saros"}
        return datasets.load.DatasetModule(_MODULE, CACHE_HASH, found)

    factory.get_module = without_listing
