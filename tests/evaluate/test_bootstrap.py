import numpy as np
import pytest

from training.evaluate.bootstrap import bootstrap


def test_mean_leaves_out_cases_without_a_value() -> None:
    labels, macro = bootstrap(np.array([[0.2, np.nan], [0.4, np.nan], [0.6, 1.0]]))
    assert labels[0].mean == pytest.approx(0.4)
    assert labels[1].mean == 1.0
    assert macro.mean == pytest.approx(0.7)


def test_single_case_has_no_interval() -> None:
    (one, other), macro = bootstrap(np.array([[0.2, np.nan], [0.4, 0.9]]))
    assert (one.low, one.high) == (0.2, 0.4)
    assert np.isnan([other.low, other.high]).all()
    assert macro.low < macro.mean < macro.high
    (alone,), whole = bootstrap(np.array([[0.9], [np.nan]]))
    assert alone.mean == whole.mean == 0.9
    assert np.isnan([alone.low, alone.high, whole.low, whole.high]).all()


@pytest.mark.slow
def test_intervals_have_the_nominal_coverage() -> None:
    """Of 300 samples of 60 cases, 95% of the intervals should contain the true mean: 285 +- 4."""
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(300):
        labels, _ = bootstrap(rng.beta(8, 2, (60, 1)), seed=seed)
        covered += labels[0].low <= 0.8 <= labels[0].high
    assert 265 <= covered <= 297


def test_width_equals_that_of_the_normal_interval() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.1, (400, 1))
    (one,), _ = bootstrap(values)
    expected = 2 * 1.96 * values.std(ddof=1) / 20
    assert one.high - one.low == pytest.approx(expected, rel=0.1)


def test_no_values_give_nan() -> None:
    labels, macro = bootstrap(np.full((4, 2), np.nan))
    assert np.isnan([labels[0].mean, labels[0].low, macro.mean, macro.high]).all()


def test_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).random((20, 3))
    assert bootstrap(values) == bootstrap(values)
