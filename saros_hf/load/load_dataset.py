"""Load SAROS by name through ``datasets``, or directly."""

from pathlib import Path
from typing import Any

import datasets

from ..errors import UsageError
from .builder import Saros, own_errors
from .config import ConfigName
from .registration import CACHE_HASH

__all__ = ["load_dataset"]


def load_dataset(
    name: ConfigName = "volumes",
    *,
    data_dir: str | Path | None = None,
    split: str | None = None,
    streaming: bool = False,
    num_proc: int | None = None,
    **options: Any,  # noqa: ANN401 - fields of SarosConfig
) -> Any:  # noqa: ANN401 - one of four types, as from datasets.load_dataset
    """Load SAROS as ``datasets.load_dataset("saros", name, ...)`` does, without a registered name.

    Args:
        name: ``volumes``, ``slices`` or ``masks``, see :class:`saros_hf.load.config.SarosConfig`.
        data_dir: Folder of ``case_XXX`` folders with the Segmentation Info CSV; the environment
            variable ``SAROS_DATA_DIR`` if it is ``None``.
        split: ``train``, ``validation``, ``test``, or a part such as ``train[:10%]``; ``None``
            loads all splits.
        streaming: Read lazily instead of building a cache; without a folder, from the archive.
        num_proc: Number of processes that build the cache.
        **options: ``fold``, ``splits``, ``cases``, ``collections``, ``licenses``,
            ``anatomic_region``, ``context``, ``unannotated``, ``compress``, ``embed``,
            ``source``, ``cache_dir``, ...

    Returns:
        A ``Dataset`` for one split, else a ``DatasetDict``; iterable ones if ``streaming``.

    Raises:
        SarosError: A file or option is wrong; the message names it.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from saros_hf.phantom.write_cohort import simulate
        >>> with tempfile.TemporaryDirectory() as name:
        ...     table = simulate(Path(name), cases=1, seed=0, size=64, jobs=1)
        ...     rows = load_dataset("slices", data_dir=name, split="train", streaming=True)
        ...     row = next(iter(rows.with_format("numpy")))
        >>> row["case_id"], row["image"].shape
        ('case_000', (1, 64, 64))
    """
    if streaming and num_proc is not None:
        raise UsageError(
            "num_proc",
            f"{num_proc} with streaming=True",
            "one of the two",
            "Give DataLoader(num_workers=...) instead: every case is a shard of its own.",
        )
    with own_errors(Path(options.get("cache_dir") or datasets.config.HF_DATASETS_CACHE)):
        builder = Saros(
            config_name=name,
            data_dir=None if data_dir is None else str(data_dir),
            dataset_name="saros",
            hash=CACHE_HASH,
            **options,
        )
        if streaming:
            return builder.as_streaming_dataset(split=split)
        builder.download_and_prepare(num_proc=num_proc)
        return builder.as_dataset(split=split)
