import io
from pathlib import Path

import datasets
import numpy as np
import pytest
from helpers.case_folders import write_folder
from PIL import Image

import saros_hf
from saros_hf import SliceViews


@pytest.fixture
def rows(tmp_path: Path) -> datasets.Dataset:
    folder = write_folder(tmp_path / "data", ("fold-2", "fold-3"))
    return saros_hf.load_dataset("slices", data_dir=folder, split="train", cache_dir=str(tmp_path))


def test_views_equal_the_rows_without_copies(rows: datasets.Dataset) -> None:
    views = SliceViews(rows)
    assert len(views) == 4
    for view, row in zip(views, rows.with_format("numpy"), strict=True):
        assert (view.case_id, view.slice_index) == (row["case_id"], row["slice_index"])
        for name in ("image", "body_regions", "body_parts"):
            array = getattr(view, name)
            np.testing.assert_array_equal(array, row[name])
            assert not array.flags.writeable
            assert not array.flags.owndata
        assert view.image.dtype == np.int16
        assert view.spacing_mm == (2, 2, 5)
    assert np.shares_memory(views[1].image, SliceViews(rows)[1].image)


def test_views_of_a_selection_and_negative_indices(rows: datasets.Dataset) -> None:
    views = SliceViews(rows.select([3, 0]))
    assert [(view.case_id, view.slice_index) for view in views] == [
        ("case_001", 5),
        ("case_000", 1),
    ]
    assert not views[0].image.flags.owndata
    assert views[-1].case_id == "case_000"
    with pytest.raises(IndexError):
        views[2]


def test_notebook_picture_has_the_radiological_orientation(rows: datasets.Dataset) -> None:
    view = SliceViews(rows)[0]
    picture = np.asarray(Image.open(io.BytesIO(view._repr_png_())))
    # Three panels of 8 columns (i) and 6 rows (j): the CT and each of the two label maps.
    assert picture.shape == (6, 24, 3)
    # File voxel (0, 0, 1), the patient's right front, has 1 HU: (1 + 160) / 400 of white.
    assert picture[0, 0].tolist() == [103, 103, 103]
    # Label 1 lies where the file's i < 4, on the patient's right, which is seen on the left.
    coloured = (picture[:, :8] != picture[:, 8:16]).any(axis=-1)
    assert coloured[:, :4].all()
    assert not coloured[:, 4:].any()
    # Half of the CT's grey and half of the label's colour, #e6c229.
    assert picture[0, 8].tolist() == [round((102.6375 + c) / 2) for c in (0xE6, 0xC2, 0x29)]
