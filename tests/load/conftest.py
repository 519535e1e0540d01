"""Small folders of cases and a function that loads them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.case_folders import write_folder

import saros_hf


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three cases of 8 x 6 x 7 voxels in LPS, slices 1 and 5 annotated: one for each split."""
    return write_folder(tmp_path / "data")


@pytest.fixture
def load() -> Callable[..., Any]:
    """``saros_hf.load_dataset`` with the folder first and a cache beside the folder."""

    def load(folder: Path, name: str = "volumes", **options: object) -> Any:  # noqa: ANN401
        cache = str(folder.parent / "cache")
        return saros_hf.load_dataset(name, data_dir=folder, **{"cache_dir": cache, **options})

    return load
