import numpy as np
import pytest

from saros_hf.composition.cavalieri import gaps, interval_95, volumes


def test_gaps_add_up_to_the_scan() -> None:
    # Slices 2, 3 and 8 of 12: 0 to 2.5, 2.5 to 5.5, 5.5 to 11 in slice numbers.
    assert gaps(np.array([2, 3, 8]), 12).tolist() == [3.0, 3.0, 6.0]


def test_volume_of_every_slice_is_the_sum_without_error() -> None:
    areas = np.random.default_rng(0).random((20, 3))
    found, error = volumes(areas, np.arange(20), 20)
    np.testing.assert_allclose(found, areas.sum(axis=0))
    assert error.tolist() == [0, 0, 0]
    low, high = interval_95(found, error, 20)
    np.testing.assert_array_equal(low, high)


def test_cone_between_the_first_and_last_slice_is_exact() -> None:
    areas = np.arange(41.0)[:, None]  # linear, so that interpolation has no error
    measured = np.arange(0, 41, 5)
    found, error = volumes(areas[measured], measured, 41)
    assert found == pytest.approx(areas.sum())
    assert error == pytest.approx(0, abs=1e-9)


def test_two_of_many_slices_give_a_volume_without_error() -> None:
    found, error = volumes(np.array([[2.0], [4.0]]), np.array([1, 6]), 8)
    assert found == pytest.approx(2 * 4 + 4 * 4)
    assert np.isnan(error).all()
    assert np.isnan(interval_95(found, error, 2)).all()


@pytest.mark.parametrize(
    ("roughness", "most"), [("noise", 0.99), ("random walk", 0.99), ("smooth", 1.0)]
)
def test_interval_covers_noise_walks_and_smooth_bodies(roughness: str, most: float) -> None:
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(400):
        steps = rng.normal(0, 1, 120)
        if roughness == "smooth":
            z = np.arange(120)
            wave = rng.uniform(40, 90)
            area = 100 + 20 * np.sin(z / wave * 2 * np.pi + rng.uniform(0, 6)) + 0.2 * steps
        else:
            area = 100 + (steps if roughness == "noise" else steps.cumsum())
        measured = np.arange(rng.integers(0, 5), 120, 5)
        found, error = volumes(area[measured, None], measured, 120)
        low, high = interval_95(found, error, len(measured))
        covered.append(low[0] <= area.sum() <= high[0])
    assert 0.9 <= np.mean(covered) <= most
