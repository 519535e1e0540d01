from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from saros_hf.cases.pairing import TOP_DOWN_SERIES, pair, shared_affine
from saros_hf.errors import GridMismatchError
from saros_hf.volume import Volume

SHAPE = (3, 4, 6)
(TOP_DOWN_UID,) = TOP_DOWN_SERIES
# Head first: slice 0 lies at z = 100, the last one at 75.
LPI = np.array([[-2.0, 0, 0, 10], [0, -2, 0, 20], [0, 0, -5, 100], [0, 0, 0, 1]])
LPS = np.array([[-2.0, 0, 0, 10], [0, -2, 0, 20], [0, 0, 5, 75], [0, 0, 0, 1]])


def volume(affine: NDArray[np.float64]) -> Volume:
    return Volume(np.zeros(SHAPE, np.int16), affine)


def with_origin(affine: NDArray[np.float64], z: float) -> NDArray[np.float64]:
    moved = affine.copy()
    moved[2, 3] = z
    return moved


def test_equal_grids_share_the_affine_of_the_label_map() -> None:
    nearly = with_origin(LPS, 75.000001)
    assert shared_affine(volume(LPS), volume(nearly)) is nearly


def test_different_grids_share_no_affine() -> None:
    assert shared_affine(volume(LPS), volume(with_origin(LPS, 80))) is None
    short = Volume(np.zeros((3, 4, 5), np.uint8), LPS)
    assert shared_affine(volume(LPS), short) is None
    assert shared_affine(volume(LPI), volume(LPS)) is None


def test_rows_and_columns_may_run_in_other_directions() -> None:
    ras = volume(LPS).to_ras()
    assert shared_affine(ras, volume(LPS)) is LPS
    assert shared_affine(volume(LPS), ras) is ras.affine
    moved = with_origin(ras.affine, 80)
    assert shared_affine(volume(moved), volume(LPS)) is None


def test_label_map_with_wrong_sign_along_k_gets_the_affine_of_the_ct() -> None:
    ct = volume(LPI)
    wrong = with_origin(LPS, 100)
    assert shared_affine(ct, volume(wrong)) is ct.affine
    # The same label map does not pair with the CT stacked from its feet.
    assert shared_affine(volume(LPS), volume(wrong)) is None


def test_top_down_label_map_pairs_only_with_a_top_down_ct() -> None:
    ct = volume(LPI)
    assert shared_affine(ct, volume(LPS), top_down=True) is ct.affine
    assert shared_affine(ct, volume(with_origin(LPS, 100)), top_down=True) is ct.affine
    assert shared_affine(volume(LPS), volume(LPS), top_down=True) is None
    assert shared_affine(ct, volume(with_origin(LPS, 90)), top_down=True) is None


def test_mismatch_names_the_label_map_and_both_grids() -> None:
    path = Path("case_001/body-regions.nii.gz")
    assert pair(volume(LPS), volume(LPS), path, series_uid="1.2") is not None
    with pytest.raises(GridMismatchError, match=r"^case_001/body-regions\.nii\.gz: found shape .*"):
        pair(volume(LPI), volume(LPS), path, series_uid="1.2")
    ct = volume(LPI)
    assert pair(ct, volume(LPS), path, series_uid=TOP_DOWN_UID) is ct.affine
    # A label map that was rewritten with the CT's affine pairs too.
    np.testing.assert_array_equal(pair(ct, volume(LPI), path, series_uid=TOP_DOWN_UID), LPI)
