"""Annotated slices as zero-copy views on the dataset's own Arrow file."""

from dataclasses import dataclass

import datasets
import numpy as np
from numpy.typing import NDArray

from saros_hf.labels import Task, num_classes
from saros_hf.views import ColumnViews


@dataclass(frozen=True, eq=False)
class AnnotatedSlice:
    """One annotated axial slice in RAS+.

    Attributes:
        image: int16 Hounsfield units (C, I, J), the slice in the middle of its neighbours.
        mask: uint8 labels (I, J), all 255 where the case has no map of the task.
        spacing_mm: Along i, j and k.
    """

    case_id: str
    slice_index: int
    image: NDArray[np.int16]
    mask: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]


class SliceStore:
    """The rows of a ``slices`` dataset that are annotated for ``task``.

    ``datasets`` memory-maps its Arrow file, so opening costs no memory per slice and worker
    processes share the pages. The index of labels is the only thing read up front.

    Args:
        dataset: A split of ``load_dataset("saros", "slices")``.
        task: Which of the two label maps :attr:`AnnotatedSlice.mask` is.
    """

    def __init__(self, dataset: datasets.Dataset, task: Task) -> None:
        column = "region_labels" if task == "body-regions" else "part_labels"
        table = dataset.with_format("arrow").select_columns(
            [column, "case_id", "slice_index", "spacing_mm"]
        )[:]
        labels: list[list[int]] = table[column].to_pylist()
        self._rows = np.array([row for row, found in enumerate(labels) if found], dtype=np.intp)
        self._case_ids: list[str] = table["case_id"].to_pylist()
        self._slice_indices: list[int] = table["slice_index"].to_pylist()
        self._spacings: list[list[float]] = table["spacing_mm"].to_pylist()
        self.slices_with: tuple[NDArray[np.intp], ...] = tuple(
            np.array(
                [index for index, row in enumerate(self._rows) if label in labels[row]],
                dtype=np.intp,
            )
            for label in range(num_classes(task))
        )
        """For each label id, the indices of the slices that hold it."""
        self._images = ColumnViews(dataset, "image")
        self._masks = ColumnViews(dataset, task.replace("-", "_"))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> AnnotatedSlice:
        row = int(self._rows[index])
        si, sj, sk = self._spacings[row]
        return AnnotatedSlice(
            case_id=self._case_ids[row],
            slice_index=self._slice_indices[row],
            image=self._images[row],
            mask=self._masks[row],
            spacing_mm=(si, sj, sk),
        )

    def in_plane_spacing_mm(self) -> tuple[float, float]:
        """Return the smallest and largest in-plane spacing among the slices."""
        spacings = np.array([self._spacings[row][:2] for row in self._rows])
        return float(spacings.min()), float(spacings.max())

    def cases(self) -> dict[str, list[int]]:
        """Return the indices of each case's slices, from foot to head."""
        members: dict[str, list[int]] = {}
        for index, row in enumerate(self._rows):
            members.setdefault(self._case_ids[row], []).append(index)
        return members
