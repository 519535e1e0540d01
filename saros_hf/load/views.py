"""Annotated slices as views on the Arrow file that `datasets` keeps, without a copy."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .codec import unpack
from .slice_picture import overlay_png


@dataclass(frozen=True, eq=False)
class SliceView:
    """One annotated axial slice in RAS+; its arrays are read-only views on the cache file.

    Attributes:
        image: int16 Hounsfield units (C, I, J), the slice in the middle of its neighbours.
        body_regions: uint8 labels (I, J).
        body_parts: uint8 labels (I, J), all 255 where the case has no map of them.
        spacing_mm: Along i, j and k.
    """

    case_id: str
    slice_index: int
    image: NDArray[np.int16]
    body_regions: NDArray[np.uint8]
    body_parts: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]

    def _repr_png_(self) -> bytes:
        """Show CT and both label maps side by side in a notebook."""
        middle = self.image[len(self.image) // 2]
        return overlay_png(
            middle,
            {"body-regions": self.body_regions, "body-parts": self.body_parts},
            spacing_mm=self.spacing_mm[:2],
        )


class SliceViews:
    """The rows of a ``slices`` dataset at the speed of memory.

    ``datasets`` maps its Arrow file into memory, so that opening costs no memory per slice and
    worker processes share the pages. ``dataset[i]`` makes new arrays instead, of int64 unless
    told otherwise.

    Args:
        dataset: A split of ``load_dataset("saros", "slices")``, also a selection of its rows.
    """

    def __init__(self, dataset: datasets.Dataset) -> None:
        table = small_columns(dataset, ["case_id", "slice_index", "spacing_mm"])
        self._case_ids: list[str] = table["case_id"].to_pylist()
        self._slice_indices: list[int] = table["slice_index"].to_pylist()
        self._spacings: list[tuple[float, float, float]] = [
            (i, j, k) for i, j, k in table["spacing_mm"].to_pylist()
        ]
        self._images = ColumnViews(dataset, "image")
        self._regions = ColumnViews(dataset, "body_regions")
        self._parts = ColumnViews(dataset, "body_parts")

    def __len__(self) -> int:
        return len(self._case_ids)

    def __getitem__(self, row: int) -> SliceView:
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        row %= len(self)
        return SliceView(
            case_id=self._case_ids[row],
            slice_index=self._slice_indices[row],
            image=self._images[row],
            body_regions=self._regions[row],
            body_parts=self._parts[row],
            spacing_mm=self._spacings[row],
        )


class ColumnViews:
    """Rows of an array column as numpy views on Arrow's value buffer; packed ones are unpacked.

    Args:
        dataset: Its rows are taken in their own order, also if it is a selection.
        column: An array column of ``slices``: of fixed size, of nested lists, or packed.
    """

    def __init__(self, dataset: datasets.Dataset, column: str) -> None:
        self._source = dataset, column
        places = _places(dataset)
        self._places = None if places is None else places.to_numpy()
        chunks = [chunk for chunk in dataset.data.column(column).chunks if len(chunk)]
        self._readers = [_reader(chunk) for chunk in chunks]
        self._ends = np.cumsum([len(chunk) for chunk in chunks]).tolist()

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process as the name of the file, not as its contents."""
        return ColumnViews, self._source

    def __getitem__(self, row: int) -> NDArray[Any]:
        if self._places is not None:
            row = int(self._places[row])
        number = bisect_right(self._ends, row)
        return self._readers[number](row - (self._ends[number - 1] if number else 0))


def small_columns(dataset: datasets.Dataset, names: Sequence[str]) -> pa.Table:
    """Return columns in the dataset's own order, whatever that of the file; copied if it differs.

    ``flatten_indices`` would write all columns anew, pixels included.
    """
    places = _places(dataset)
    table = dataset.data.table.select(names)
    return table if places is None else table.take(places)


def _places(dataset: datasets.Dataset) -> pa.Array | None:
    """Return where each row of a selection lies in the file, ``None`` if all lie in order."""
    if dataset._indices is None:
        return None
    return dataset._indices.column(0).combine_chunks()


def _reader(chunk: pa.Array) -> Callable[[int], NDArray[Any]]:
    """Return what gives row n of a chunk."""
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
