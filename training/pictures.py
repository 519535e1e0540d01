"""Pictures of CTs with label maps as overlays."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from saros_hf.labels import Task, colours, display_name, labels
from saros_hf.volume import Volume

from .transforms import Window

__all__ = [
    "DISPLAY_WINDOW",
    "Plane",
    "axial_planes",
    "middle_coronal",
    "overlay_png",
    "to_png",
]

DISPLAY_WINDOW: Window = (-160.0, 240.0)
"""Soft tissue HU window, the default of many CT workstations."""


@dataclass(frozen=True)
class Plane:
    """A slice of a volume in RAS+ orientation.

    Attributes:
        axis: 0 sagittal, 1 coronal, 2 axial.
        index: Voxel index along ``axis``.
    """

    axis: int
    index: int


def axial_planes(volume: Volume, fractions: Sequence[float]) -> list[Plane]:
    """Return axial slices at fractions of the height, 0 for the lowest slice and 1 for the highest."""
    last = volume.to_ras().shape[2] - 1
    return [Plane(2, round(fraction * last)) for fraction in fractions]


def middle_coronal(volume: Volume) -> Plane:
    """Return the coronal slice halfway between the front and the back of the body."""
    ras = volume.to_ras()
    inside = np.flatnonzero((ras.array > DISPLAY_WINDOW[0]).mean(axis=(0, 2)) > 0.02)
    middle = int(inside.mean()) if inside.size else ras.shape[1] // 2
    return Plane(1, middle)


def overlay_png(
    image: Volume, maps: Mapping[str, Volume], planes: Sequence[Plane], *, task: Task
) -> bytes:
    """Return a PNG with a row per plane: the CT, then the CT with each label map as an overlay.

    The orientation is the radiological convention: the patient's right is on the left.

    Args:
        image: CT in Hounsfield units.
        maps: Label maps on the grid of ``image``, by column title.
        planes: Slices to show, one per row.
        task: Label set, for colours and names.
    """
    columns = 1 + len(maps)
    ras = image.to_ras()
    ras_maps = {title: volume.to_ras().array for title, volume in maps.items()}
    size_mm = [n * mm for n, mm in zip(ras.shape, ras.spacing_mm, strict=True)]
    heights = [_aspect(plane, size_mm) for plane in planes]
    width = 3.0
    figure = Figure(figsize=(width * columns, width * sum(heights) + 0.9), layout="constrained")
    axes = figure.subplots(len(planes), columns, squeeze=False, height_ratios=heights)
    shown: set[int] = set()
    for row, plane in zip(axes, planes, strict=True):
        _show_ct(row[0], ras, plane)
        for axis, labels_array in zip(row[1:], ras_maps.values(), strict=True):
            _show_ct(axis, ras, plane)
            shown |= _show_labels(axis, labels_array, ras, plane, task)
    for axis, title in zip(axes[0], ["CT", *maps], strict=True):
        axis.set_title(title, fontsize=10)
    _add_legend(figure, shown, task)
    return to_png(figure)


def to_png(figure: Figure, *, dpi: int = 90) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def _slice_image(array: NDArray[Any], plane: Plane) -> NDArray[Any]:
    """Return a slice as an image, rows from top to bottom and columns from left to right."""
    where: list[slice | int] = [slice(None)] * 3
    where[plane.axis] = plane.index
    # The patient's right is on the left; in sagittal slices the nose points to the left.
    image: NDArray[Any] = array[tuple(where)].T[::-1, ::-1]
    return image


def _aspect(plane: Plane, lengths: Sequence[float]) -> float:
    """Return height over width of a slice, or of its pixels, from the length along each axis."""
    width, height = (length for axis, length in enumerate(lengths) if axis != plane.axis)
    return height / width


def _show_ct(axis: Axes, ras: Volume, plane: Plane) -> None:
    low, high = DISPLAY_WINDOW
    axis.imshow(
        _slice_image(ras.array, plane),
        cmap="gray",
        vmin=low,
        vmax=high,
        aspect=_aspect(plane, ras.spacing_mm),
    )
    axis.set_axis_off()


def _show_labels(
    axis: Axes, array: NDArray[Any], ras: Volume, plane: Plane, task: Task
) -> set[int]:
    image = _slice_image(array, plane)
    # Hide background, 255, and other values that are not labels.
    hidden = (image <= 0) | (image >= len(colours(task)))
    palette = ListedColormap(list(colours(task)))
    axis.imshow(
        np.ma.masked_array(image, hidden),
        cmap=palette,
        vmin=0,
        vmax=len(colours(task)) - 1,
        alpha=0.6,
        interpolation="nearest",
        aspect=_aspect(plane, ras.spacing_mm),
    )
    return {int(label) for label in np.unique(image[~hidden])}


def _add_legend(figure: Figure, shown: set[int], task: Task) -> None:
    known = [label for label in labels(task) if label in shown]
    handles = [
        figure.axes[0].scatter([], [], marker="s", s=60, color=colours(task)[label])
        for label in known
    ]
    names = [display_name(label) for label in known]
    if known:
        figure.legend(
            handles, names, loc="outside lower center", ncols=4, fontsize=8, frameon=False
        )
