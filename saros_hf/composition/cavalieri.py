"""Volumes from the areas of some slices: Cavalieri's sum of area x gap, and its error.

Slices lie at integers k of a scan of ``count`` slices; areas and volumes share one unit, so that a
volume is in slices. With every slice measured the volume is the plain sum and its error 0.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

__all__ = ["gaps", "interval_95", "volumes"]

_FEWEST_FOR_ERROR = 3
_FEWEST_FOR_ROUGHNESS = 6


def gaps(measured: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """Return the number of slices that each measured slice stands for; they add up to ``count``.

    A slice stands for the half gap on each of its sides, the first and last one up to the scan edge.

    Example:
        >>> gaps(np.array([1, 6, 9]), 12)
        array([4., 4., 4.])
    """
    middles = (measured[1:] + measured[:-1]) / 2
    return np.diff([-0.5, *middles, count - 0.5])


def volumes(
    areas: NDArray[np.float64], measured: NDArray[np.intp], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return volumes and their standard errors, in slices.

    The error is that of linear interpolation. How far a measured area is from the line between its
    neighbours is known; the residual is taken to grow as a power of the gap, and the power is
    found by leaving out every other slice (0 for noise, 1 for a random walk, 2 for a smooth body).

    Args:
        areas: Areas (n, structures) of the measured slices.
        measured: Indices (n,) of the measured slices, rising.
        count: Number of slices of the scan.

    Returns:
        Volumes (structures,) and standard errors (structures,); the errors are NaN if fewer than
        three of several slices are measured.
    """
    sums = gaps(measured, count) @ areas
    if len(measured) == count:
        return sums, np.zeros_like(sums)
    if len(measured) < _FEWEST_FOR_ERROR:
        return sums, np.full_like(sums, np.nan)
    return sums, np.sqrt(_between(areas, measured) + _beyond(areas, measured, count))


def interval_95(
    volume: NDArray[np.float64], error: NDArray[np.float64], slices: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the limits of the 95 % interval by Student's t; a volume is at least 0."""
    half = error * (float(stdtrit(slices - 2, 0.975)) if slices > 2 else np.nan)
    half = np.where(error == 0, 0.0, half)
    return np.maximum(volume - half, 0), volume + half


def _between(areas: NDArray[np.float64], measured: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the variance of the volumes between the first and the last measured slice."""
    squares, distances = _residuals(areas, measured, 1)
    power = np.ones(areas.shape[1])
    if len(measured) >= _FEWEST_FOR_ROUGHNESS:
        far_squares, far_distances = _residuals(areas, measured, 2)
        near, far = squares.mean(axis=0), far_squares.mean(axis=0)
        known = (near > 0) & (far > 0)
        growth = np.log(far[known] / near[known])
        power[known] = np.clip(growth / np.log(far_distances.mean() / distances.mean()), 0, 2)
    scale = (squares / distances[:, None] ** power).mean(axis=0)
    gap = np.diff(measured).astype(np.float64)[:, None]
    # A random walk (power 1) has the variance gap (gap^2 - 1) / 12 of its steps; errors of noise
    # (power 0) do not cancel within a gap, which doubles it.
    per_gap = (2 - np.minimum(power, 1)) / 3 * (gap**2 - 1) * (gap / 2) ** power
    return np.asarray(scale * per_gap.sum(axis=0))


def _residuals(
    areas: NDArray[np.float64], measured: NDArray[np.intp], step: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return squared residuals from the line between the slices ``step`` before and after.

    The second array is the harmonic mean of the distances to these two.
    """
    before, here, after = areas[: -2 * step], areas[step:-step], areas[2 * step :]
    left = (measured[step:-step] - measured[: -2 * step]).astype(np.float64)
    right = (measured[2 * step :] - measured[step:-step]).astype(np.float64)
    weight = (left / (left + right))[:, None]
    residual = here - (before * (1 - weight) + after * weight)
    return residual**2, 2 * left * right / (left + right)


def _beyond(
    areas: NDArray[np.float64], measured: NDArray[np.intp], count: int
) -> NDArray[np.float64]:
    """Return the variance of the volumes beyond the first and last measured slice.

    The area there is taken to be that of the nearest slice, from which it walks randomly away.
    """
    ends = np.array([measured[0], count - 1 - measured[-1]], np.float64)
    steps = (np.diff(areas, axis=0) ** 2 / np.diff(measured)[:, None]).mean(axis=0)
    return np.asarray(steps * (ends * (ends + 1) * (2 * ends + 1) / 6).sum())
