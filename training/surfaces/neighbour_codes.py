"""How long a contour, or how large a surface, each neighbour code stands for.

Nikolov et al., "Deep learning to achieve clinically applicable segmentation of head and neck
anatomy for radiotherapy", arXiv:1809.04430, Methods: the 2x2 (2x2x2) voxels around a corner are
looked at as a neighbour code, a bit for each that belongs to the label, and the surface among them
is that of marching squares (marching cubes, Lorensen and Cline, SIGGRAPH 1987). It passes half-way
between neighbours of which one belongs to the label, and cuts off on their own the groups of
whichever kind is rarer. Where that leaves an outline that is not flat, it is split into triangles
from the point from which they are largest on a cube, as in DeepMind's table.
"""

from functools import lru_cache
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_Corner: TypeAlias = tuple[int, ...]

_MOST_PIECES = 4


def code_weights(axes: int) -> tuple[int, ...]:
    """Return what each voxel around a corner adds to the code, the last axis fastest.

    >>> code_weights(2)
    (8, 4, 2, 1)
    """
    return tuple(2**n for n in reversed(range(2**axes)))


def code_sizes(spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the length in mm or the area in mm2 of each code, (16,) or (256,).

    >>> code_sizes((3.0, 4.0))[[0b0000, 0b0001, 0b0011, 0b0101, 0b0110]].tolist()
    [0.0, 2.5, 4.0, 3.0, 5.0]
    """
    steps = np.array(spacing_mm)
    # An area vector grows with the two axes that it is perpendicular to.
    scale = steps if len(steps) == 2 else steps.prod() / steps
    sizes: NDArray[np.float64] = np.linalg.norm(_pieces(len(steps)) * scale, axis=-1).sum(axis=-1)
    return sizes


@lru_cache
def _pieces(axes: int) -> NDArray[np.float64]:
    """Return segments or area vectors at unit spacing, zero-filled: (codes, 4, axes)."""
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
    """Return the corners in groups that hang together along edges."""
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
    """Return what divides a group from all other corners, segments or area vectors."""
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
    """Return the area vectors of the triangles from the first point to all others."""
    spokes = outline[1:] - outline[0]
    vectors: NDArray[np.float64] = np.cross(spokes[:-1], spokes[1:]) / 2
    return vectors


def _is_edge(one: _Corner, other: _Corner) -> bool:
    return sum(a != b for a, b in zip(one, other, strict=True)) == 1


def _on_one_face(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return bool(((one == other) & (one != 0.5)).any())
