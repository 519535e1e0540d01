"""Annotated slices as views on the dataset's Arrow file, with an index of their labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray

from saros_hf.errors import MissingFileError, UsageError
from saros_hf.folds import SplitName
from saros_hf.labels import Task, num_classes
from saros_hf.load.views import ColumnViews, small_columns

_PREFIX: dict[Task, str] = {"body-regions": "region", "body-parts": "part"}

_COLUMNS = [
    *("case_id", "collection", "license", "spacing_mm", "position_mm", "position_fraction"),
    *(f"{prefix}_{name}" for prefix in _PREFIX.values() for name in ("labels", "boxes")),
]


@dataclass(frozen=True, eq=False)
class LabelIndex:
    """Slices that hold a label, with its bounding boxes.

    Attributes:
        rows: (N,) rows of the store.
        boxes: (N, 4) bounding box (i, j, i end, j end) of the label in each slice.
    """

    rows: NDArray[np.intp]
    boxes: NDArray[np.int32]


@dataclass(frozen=True)
class Source:
    """Origin of a CT and the licence of its pixels."""

    case_id: str
    collection: str
    license: str


class SliceStore:
    """Fast random access to the rows of a ``slices`` dataset.

    ``datasets`` maps its Arrow file into memory: opening reads only the index, and worker
    processes share the pages.

    Args:
        dataset: Split of ``load_dataset("saros", "slices")``, compressed or not, or a selection
            of its rows.
        tasks: Label maps to read; a slice counts as annotated if it has at least one of them.
    """

    def __init__(self, dataset: datasets.Dataset, tasks: Sequence[Task]) -> None:
        self.tasks = tuple(tasks)
        table = small_columns(dataset, _COLUMNS)
        self._case_ids = table.column("case_id").to_numpy()
        self._sources = table.select(["case_id", "collection", "license"])
        self._heights_mm = table.column("position_mm").to_numpy()
        fractions = table.column("position_fraction").to_numpy()
        self.positions = np.stack([self._heights_mm, fractions], axis=1).astype(np.float32)
        """(N, 2) height above the lowest slice of the scan, in mm and as a fraction of the scan."""
        self._spacings = np.array(table.column("spacing_mm").to_pylist()).reshape(-1, 3)
        self.index = {task: _label_index(table, task) for task in self.tasks}
        """:class:`LabelIndex` of every label id, by task."""
        rows = [label.rows for labels in self.index.values() for label in labels]
        self.annotated: NDArray[np.intp] = np.unique(np.concatenate(rows))
        """Annotated rows in ascending order."""
        self._is_annotated = np.zeros(len(dataset), bool)
        self._is_annotated[self.annotated] = True
        self._images = ColumnViews(dataset, "image")
        self._masks = {task: ColumnViews(dataset, task.replace("-", "_")) for task in self.tasks}

    def __len__(self) -> int:
        """Return the number of annotated slices."""
        return len(self.annotated)

    def holds(self, task: Task) -> bool:
        """Return whether any slice has a label map of a task."""
        return any(label.rows.size for label in self.index[task])

    def is_annotated(self, row: int) -> bool:
        """Return whether a row has at least one of the label maps."""
        return bool(self._is_annotated[row])

    def image(self, row: int) -> NDArray[np.int16]:
        """Return Hounsfield units (C, I, J); the slice is the middle channel."""
        return self._images[row]

    def mask(self, task: Task, row: int) -> NDArray[np.uint8]:
        """Return labels (I, J), all 255 without a label map of the task."""
        return self._masks[task][row]

    def spacing_mm(self, row: int) -> tuple[float, float, float]:
        """Return the voxel spacing along i, j and k."""
        si, sj, sk = self._spacings[row].tolist()
        return si, sj, sk

    def in_plane_spacing_mm(self) -> tuple[float, float]:
        """Return the smallest and largest in-plane spacing of the annotated slices."""
        spacings = self._spacings[self.annotated, :2]
        return float(spacings.min()), float(spacings.max())

    def slice_spacing_mm(self) -> float:
        """Return the median distance between neighbouring slices."""
        return float(np.median(self._spacings[self.annotated, 2]))

    def sources(self) -> list[Source]:
        """Return the origin of each annotated case."""
        rows = self._sources.take(self.annotated).to_pylist()
        return [Source(**row) for row in {row["case_id"]: row for row in rows}.values()]

    def cases(self) -> dict[str, NDArray[np.intp]]:
        """Return the annotated rows of each case, from foot to head."""
        rows = self.annotated[np.argsort(self._heights_mm[self.annotated], kind="stable")]
        case_ids = self._case_ids[rows]
        return {case_id: rows[case_ids == case_id] for case_id in dict.fromkeys(case_ids.tolist())}

    def neighbours(self, row: int, offsets: range) -> list[int | None]:
        """Return the row at each offset in slices above ``row``, ``None`` beyond the scan.

        Raises:
            UsageError: The dataset leaves out unannotated slices.
        """
        order, place = self._stack
        found: list[int | None] = []
        for at in (int(place[row]) + offset for offset in offsets):
            inside = 0 <= at < len(order) and self._case_ids[order[at]] == self._case_ids[row]
            found.append(int(order[at]) if inside else None)
        return found

    @cached_property
    def _stack(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The rows sorted by case and height, and the rank of every row in that order."""
        order = np.lexsort((self._heights_mm, self._case_ids))
        steps = np.diff(self._heights_mm[order])
        same_case = self._case_ids[order][1:] == self._case_ids[order][:-1]
        expected = self._spacings[order][1:, 2]
        if not np.allclose(steps[same_case], expected[same_case], rtol=0.01):
            found = "three dimensions, and slices left out between the annotated ones"
            remedy = 'Load them: load_dataset("saros", "slices", unannotated=True).'
            raise UsageError("patch_size", found, "every slice of each case", remedy)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return order, place


def split_store(
    dataset: datasets.DatasetDict, split: SplitName, tasks: Sequence[Task], data_dir: Path
) -> SliceStore:
    """Return the slices of a split.

    Training needs annotation for every task; scores leave out tasks without any.

    Raises:
        MissingFileError: The split has no annotated case, or training lacks a task.
    """
    store = SliceStore(dataset[split], tasks) if split in dataset else None
    found = [task for task in tasks if store is not None and store.holds(task)]
    if store is not None and len(found) >= (len(tasks) if split == "train" else 1):
        return store
    missing = next(task for task in tasks if task not in found)
    problem = f"no {missing} annotation in the {split} split"
    remedy = "Add cases of its folds, or choose another --data.fold."
    raise MissingFileError(data_dir, problem, f"at least one annotated case in {split}", remedy)


def _label_index(table: Any, task: Task) -> tuple[LabelIndex, ...]:  # noqa: ANN401 - Arrow
    labels, boxes = (
        table.column(f"{_PREFIX[task]}_{name}").combine_chunks() for name in ("labels", "boxes")
    )
    label_of = labels.flatten().to_numpy()
    row_of = np.repeat(np.arange(len(labels)), labels.value_lengths().to_numpy())
    box_of = boxes.flatten().flatten().to_numpy().reshape(-1, 4).astype(np.int32)
    return tuple(
        LabelIndex(rows=row_of[label_of == label], boxes=box_of[label_of == label])
        for label in range(num_classes(task))
    )
