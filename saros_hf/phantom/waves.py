"""Smooth random fields that are functions of the place, so that two scans can share them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Waves:
    """A sum of plane waves: mean 0, variance 1, close to a Gaussian random field.

    Attributes:
        vector: Shape (n, 3), radians per millimetre along x, y and z.
        phase: Shape (n,).
    """

    vector: Floats
    phase: Floats

    @classmethod
    def draw(
        cls, rng: np.random.Generator, *, in_plane_mm: float, axial_mm: float, count: int = 14
    ) -> "Waves":
        """Draw a field whose values stay alike over the given distances."""
        scale = np.array([in_plane_mm, in_plane_mm, axial_mm])
        vector = rng.standard_normal((count, 3)) / scale
        phase = rng.uniform(0, 2 * np.pi, count)
        return cls(vector.astype(np.float32), phase.astype(np.float32))

    def at(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Return the field on planes ``z`` (p,) of one in-plane grid ``x``, ``y`` (h, w).

        cos(a + b) = cos a cos b - sin a sin b makes it one matrix product.
        """
        kx, ky, kz = self.vector.T
        in_plane = kx[:, None] * x.ravel() + ky[:, None] * y.ravel() + self.phase[:, None]
        axial = z[:, None] * kz
        left = np.concatenate([np.cos(axial), -np.sin(axial)], axis=1)
        right = np.concatenate([np.cos(in_plane), np.sin(in_plane)])
        left *= np.float32(np.sqrt(2 / len(self.phase)))
        field: Floats = (left @ right).reshape(len(z), *x.shape)
        return field
