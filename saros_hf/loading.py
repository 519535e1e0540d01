"""The two doors to the dataset: by name through `datasets`, and directly."""

from pathlib import Path
from typing import Any

from datasets import packaged_modules

from .builder import SCHEMA_VERSION, ConfigName, Saros
from .errors import saros_cause

_HASH = f"saros-{SCHEMA_VERSION}"


def register() -> None:
    """Teach ``datasets.load_dataset`` the name ``saros``.

    `datasets` has no entry point for builders; its table of packaged modules is what it looks at
    first. An existing entry is left alone.
    """
    packaged_modules._PACKAGED_DATASETS_MODULES.setdefault("saros", ("saros_hf.builder", _HASH))


def load_dataset(
    name: ConfigName = "volumes",
    *,
    data_dir: str | Path,
    split: str | None = None,
    streaming: bool = False,
    num_proc: int | None = None,
    **options: Any,  # noqa: ANN401 - fields of SarosConfig
) -> Any:  # noqa: ANN401 - as datasets.load_dataset returns, one of four types
    """Load SAROS as ``datasets.load_dataset("saros", name, ...)`` does, without global state.

    Args:
        name: ``volumes`` or ``slices``, see :class:`saros_hf.builder.SarosConfig`.
        data_dir: Folder of ``case_XXX`` folders with the Segmentation Info CSV.
        split: ``train``, ``validation``, ``test``; all of them if ``None``.
        streaming: Read lazily instead of building a cache.
        num_proc: Processes that build the cache.
        **options: ``fold``, ``splits``, ``context``, ``cache_dir``.

    Returns:
        A ``Dataset``, or a ``DatasetDict`` without ``split``; their iterable twins if streaming.

    Raises:
        SarosError: Something in the folder is wrong; the message names the case and file.
    """
    try:
        builder = Saros(
            config_name=name,
            data_dir=str(data_dir),
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
