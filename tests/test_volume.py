import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saros_hf.volume import Volume, annotated_slices


def lps(shape: tuple[int, int, int] = (4, 3, 2)) -> Volume:
    affine = np.diag([-2.0, -2.0, 5.0, 1.0])
    affine[:3, 3] = 10, 20, 30
    return Volume(np.arange(np.prod(shape), dtype=np.int16).reshape(shape), affine)


def test_spacing_and_orientation_come_from_the_affine() -> None:
    assert lps().spacing_mm == (2.0, 2.0, 5.0)
    assert lps().orientation == "LPS"


def test_to_ras_flips_voxels_and_moves_the_origin() -> None:
    ras = lps().to_ras()
    assert ras.orientation == "RAS"
    # LPS voxel (0, 0, 0) at (10, 20, 30) is RAS voxel (3, 2, 0); the RAS origin is LPS (3, 2, 0).
    assert ras.array[3, 2, 0] == lps().array[0, 0, 0]
    assert ras.affine[:3, 3].tolist() == [4.0, 16.0, 30.0]
    assert not ras.array.flags.owndata


@given(
    st.permutations(["RL", "AP", "SI"]).flatmap(
        lambda pairs: st.tuples(*(st.sampled_from(pair) for pair in pairs))
    )
)
def test_reorienting_moves_no_voxel_in_the_patient(code: tuple[str, str, str]) -> None:
    volume = lps()
    turned = volume.oriented("".join(code))
    index = np.argwhere(turned.array == 17)[0]
    original = np.argwhere(volume.array == 17)[0]
    place = turned.affine[:3, :3] @ index + turned.affine[:3, 3]
    assert place == pytest.approx(volume.affine[:3, :3] @ original + volume.affine[:3, 3])
    back = turned.oriented("LPS")
    assert back.same_grid(volume)
    assert np.array_equal(back.array, volume.array)


def test_same_grid_compares_the_far_corner() -> None:
    a = lps((100, 100, 100))
    stretched = a.affine.copy()
    stretched[0, 0] += 0.001  # 0.099 mm at the last voxel
    assert not a.same_grid(Volume(a.array, stretched))
    assert a.same_grid(Volume(a.array, stretched), tolerance_mm=0.1)
    assert not a.same_grid(lps())


def test_slice_is_annotated_if_no_voxel_is_255() -> None:
    mask = np.full((2, 2, 5), 255, np.uint8)
    mask[..., 1] = 0  # only background, annotated
    mask[..., 4] = 3
    mask[0, 0, 3] = 3  # partly labelled, not annotated
    assert annotated_slices(mask).tolist() == [1, 4]
