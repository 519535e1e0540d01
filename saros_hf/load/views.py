"""Annotated slices as numpy views on the Arrow file of a ``datasets`` cache, without copies."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .codec import unpack
from .slice_picture import slice_png


@dataclass(frozen=True, eq=False)
class SliceView:
    """One axial slice in RAS+; its arrays are read-only views on the cache file.

    Attributes:
        case_id: ``case_XXX``.
        slice_index: Index k of the slice in the case's NIfTI files.
        image: int16 Hounsfield units (C, I, J); the middle channel is the slice, the others are
            its neighbours.
        body_regions: uint8 labels (I, J), 255 where the slice is not annotated.
        body_parts: uint8 labels (I, J), all 255 if the case has no body parts map.
        spacing_mm: Voxel spacing along i, j and k.
    """

    case_id: str
    slice_index: int
    image: NDArray[np.int16]
    body_regions: NDArray[np.uint8]
    body_parts: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]

    def _repr_png_(self) -> bytes:
        """Return the picture that a notebook shows: the CT, then the CT under each label map."""
        middle = self.image[len(self.image) // 2]
        return slice_png(
            middle,
            {"body-regions": self.body_regions, "body-parts": self.body_parts},
            spacing_mm=self.spacing_mm[:2],
        )


class SliceViews:
    """Sequence of :class:`SliceView`, one for each row of a ``slices`` dataset.

    ``datasets`` maps its Arrow file into memory, so views take no memory per slice and worker
    processes share the pages. ``dataset[i]`` copies each array instead, by default to int64.

    Args:
        dataset: A split of ``load_dataset("saros", "slices")`` or a selection of its rows.

    Example:
        ::

            views = SliceViews(saros_hf.load_dataset("slices", data_dir="DIR", split="train"))
            views[0].image  # int16 (1, I, J)
    """

    def __init__(self, dataset: datasets.Dataset) -> None:
        table = small_columns(dataset, ["case_id", "slice_index", "spacing_mm"])
        self._rows: list[dict[str, Any]] = table.to_pylist()
        names = ("image", "body_regions", "body_parts")
        self._arrays = {name: ColumnViews(dataset, name) for name in names}

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> SliceView:
        row = range(len(self))[row]  # from the end if negative, IndexError beyond it
        values = self._rows[row] | {name: views[row] for name, views in self._arrays.items()}
        values["spacing_mm"] = tuple(values["spacing_mm"])
        return SliceView(**values)


class ColumnViews:
    """Rows of an array column as numpy views on Arrow's value buffer; compressed ones are unpacked.

    Args:
        dataset: A ``slices`` dataset or a selection of its rows, whose order is kept.
        column: An array column: of fixed size, of nested lists, or compressed.
    """

    def __init__(self, dataset: datasets.Dataset, column: str) -> None:
        self._source = dataset, column
        places = _places(dataset)
        self._places = None if places is None else places.to_numpy()
        chunks = [chunk for chunk in dataset.data.column(column).chunks if len(chunk)]
        self._readers = [_reader(chunk) for chunk in chunks]
        self._ends = np.cumsum([len(chunk) for chunk in chunks]).tolist()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the name of the file, not its contents."""
        return ColumnViews, self._source

    def __getitem__(self, row: int) -> NDArray[Any]:
        if self._places is not None:
            row = int(self._places[row])
        number = bisect_right(self._ends, row)
        return self._readers[number](row - (self._ends[number - 1] if number else 0))


def small_columns(dataset: datasets.Dataset, names: Sequence[str]) -> pa.Table:
    """Return some columns in the order of the dataset's rows.

    Unlike ``flatten_indices`` this does not rewrite the other columns, pixels included.
    """
    places = _places(dataset)
    table = dataset.data.table.select(names)
    return table if places is None else table.take(places)


def _places(dataset: datasets.Dataset) -> pa.Array | None:
    """Return the index in the file of each row of a selection, ``None`` for a whole dataset."""
    if dataset._indices is None:
        return None
    return dataset._indices.column(0).combine_chunks()


def _reader(chunk: pa.Array) -> Callable[[int], NDArray[Any]]:
    """Return a function that returns row n of a chunk."""
    if pa.types.is_binary(chunk.type):
        return lambda row: unpack(memoryview(chunk[row].as_buffer()))
    if isinstance(chunk, pa.ExtensionArray):
        values = chunk.storage
        while pa.types.is_list(values.type):
            values = values.flatten()
        array: NDArray[Any] = values.to_numpy(zero_copy_only=True)
        return array.reshape(len(chunk), *chunk.type.shape).__getitem__
    return lambda row: _nested_row(chunk.slice(row, 1))


def _nested_row(lists: pa.Array) -> NDArray[Any]:
    """Return one row of nested lists of equal length as an array, without copying its values."""
    shape = []
    values = lists
    while pa.types.is_list(values.type):
        members = values.flatten()
        shape.append(len(members) // len(values))
        values = members
    array: NDArray[Any] = values.to_numpy(zero_copy_only=True)
    return array.reshape(shape)
