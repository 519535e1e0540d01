"""Bootstrap confidence intervals of means over cases."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A mean over cases and its 95% interval.

    The mean is NaN if no case has a value; the interval is NaN if fewer than two have one.
    """

    mean: float
    low: float
    high: float


def bootstrap(values: NDArray[np.float64], *, seed: int = 0) -> tuple[list[Interval], Interval]:
    """Return the interval of each label's mean, and of the mean over labels.

    Cases are drawn with replacement, all labels of a case together; the percentile method of
    Efron and Tibshirani, "An Introduction to the Bootstrap", chapter 13.

    Args:
        values: Shape (cases, labels), NaN where a case has no value.
        seed: Seed for all random draws.
    """
    cases = len(values)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(cases, np.full(cases, 1 / cases), RESAMPLES).astype(np.float64)
    weights = np.concatenate([np.ones((1, cases)), drawn])
    valued = ~np.isnan(values)
    sums, counts = weights @ np.nan_to_num(values), weights @ valued
    with np.errstate(invalid="ignore"):
        means = sums / counts
        # A resample may contain no case of a rare label.
        macro = np.nansum(means, axis=1) / (~np.isnan(means)).sum(axis=1)
    valued_cases = valued.sum(axis=0).tolist()
    labels = [_interval(column, n) for column, n in zip(means.T, valued_cases, strict=True)]
    return labels, _interval(macro, int(valued.any(axis=1).sum()))


def _interval(means: NDArray[np.float64], cases: int) -> Interval:
    """Return the interval from the sample's mean, first, and the means of its resamples."""
    resampled = means[1:][~np.isnan(means[1:])]
    if cases < 2:
        return Interval(float(means[0]), np.nan, np.nan)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Interval(float(means[0]), float(low), float(high))
