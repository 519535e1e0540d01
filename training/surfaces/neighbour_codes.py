"""Length or area of the surface element of each neighbour code.

The neighbour code of a voxel corner has a bit for each of the 2x2 (2x2x2) voxels around it that
belongs to the label. Its surface element is that of marching squares (marching cubes, Lorensen and
Cline, SIGGRAPH 1987), as in Nikolov et al., arXiv:1809.04430, Methods: it passes half-way between
neighbours of which only one belongs to the label, and cuts off each connected group of the rarer
kind, label or not. If an outline is not flat, it is split into the fan of triangles with the
largest area on a cube. The tests compare all codes with the tables of DeepMind's surface-distance.
"""

from functools import lru_cache
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_Corner: TypeAlias = tuple[int, ...]

_MOST_PIECES = 4


def code_weights(axes: int) -> tuple[int, ...]:
    """Return the weight of each voxel around a corner in the code, last axis fastest.

    >>> code_weights(2)
    (8, 4, 2, 1)
    """
    return tuple(2**n for n in reversed(range(2**axes)))


def code_sizes(spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the length in mm (16,) or the area in mm2 (256,) of each code's surface element.

    >>> code_sizes((3.0, 4.0))[[0b0000, 0b0001, 0b0011, 0b0101, 0b0110]].tolist()
    [0.0, 2.5, 4.0, 3.0, 5.0]
    """
    steps = np.array(spacing_mm)
    # An area vector scales with the two axes that it is perpendicular to.
    scale = steps if len(steps) == 2 else steps.prod() / steps
    sizes: NDArray[np.float64] = np.linalg.norm(_pieces(len(steps)) * scale, axis=-1).sum(axis=-1)
    return sizes


@lru_cache
def _pieces(axes: int) -> NDArray[np.float64]:
    """Return segments or area vectors at unit spacing, zero-padded: (codes, 4, axes)."""
    corners = list(product((0, 1), repeat=axes))
    found = np.zeros((2 ** len(corners), _MOST_PIECES, axes))
    for code, pieces in enumerate(found):
        members = {c for c, w in zip(corners, code_weights(axes), strict=True) if code & w}
        rarer = min(members, set(corners) - members, key=len)
        if rarer:
            vectors = np.concatenate([_cut_off(group) for group in _groups(rarer)])
            pieces[: len(vectors)] = vectors
    return found


def _groups(corners: set[_Corner]) -> list[frozenset[_Corner]]:
    """Return the groups of corners that are connected by edges."""
    left, groups = set(corners), []
    while left:
        group = {left.pop()}
        while more := {one for one in left if any(_is_edge(one, other) for other in group)}:
            group |= more
            left -= more
        groups.append(frozenset(group))
    return groups


@lru_cache
def _cut_off(group: frozenset[_Corner]) -> NDArray[np.float64]:
    """Return the segment or area vectors that separate a group from all other corners."""
    others = set(product((0, 1), repeat=len(min(group)))) - group
    edges = [(one, other) for one in group for other in others if _is_edge(one, other)]
    left = [np.add(*edge) / 2 for edge in edges]
    if len(left) == 2:
        return np.array([left[1] - left[0]])
    outline = [left.pop()]
    while left:
        place = next(n for n, point in enumerate(left) if _on_one_face(point, outline[-1]))
        outline.append(left.pop(place))
    fans = [_fan(np.roll(outline, n, axis=0)) for n in range(len(outline))]
    return max(fans, key=lambda fan: float(np.linalg.norm(fan, axis=1).sum()))


def _fan(outline: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area vectors of the triangles that share the first point of an outline."""
    spokes = outline[1:] - outline[0]
    vectors: NDArray[np.float64] = np.cross(spokes[:-1], spokes[1:]) / 2
    return vectors


def _is_edge(one: _Corner, other: _Corner) -> bool:
    return sum(a != b for a, b in zip(one, other, strict=True)) == 1


def _on_one_face(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return bool(((one == other) & (one != 0.5)).any())
