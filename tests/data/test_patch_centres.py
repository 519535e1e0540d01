import datasets
import numpy as np
import pytest
from scipy import stats

from saros_hf.labels import TASKS
from saros_hf.load.rows import CASE_FEATURES, slice_features
from training.data.patch_centres import CentreDraw
from training.data.slice_store import SliceStore

SIZE = 24


def plane(*pieces: tuple[slice, slice, int]) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    for i, j, label in pieces:
        mask[i, j] = label
    return mask


# Label 1: a ring that fills a fifth of its box, and a block; label 5: one voxel in one slice.
RING = plane((slice(2, 22), slice(2, 22), 1), (slice(4, 20), slice(3, 21), 2))
BLOCK = plane((slice(0, 3), slice(0, 4), 1), (slice(9, 10), slice(11, 12), 5))
PARTS = plane((slice(0, 12), slice(0, 24), 1))


@pytest.fixture(scope="module")
def slices() -> datasets.Dataset:
    def index(prefix: str, mask: np.ndarray) -> dict[str, object]:
        labels = [int(label) for label in np.unique(mask) if label != 255]
        voxels = [np.nonzero(mask == label) for label in labels]
        boxes = [[i.min(), j.min(), i.max() + 1, j.max() + 1] for i, j in voxels]
        return {f"{prefix}_labels": labels, f"{prefix}_boxes": boxes}

    def row(n: int, regions: np.ndarray, parts: np.ndarray) -> dict[str, object]:
        return dict.fromkeys(CASE_FEATURES) | {
            "case_id": "case_000",
            "spacing_mm": [1.0, 1.0, 5.0],
            "position_mm": 25.0 * n,
            "image": np.zeros((1, SIZE, SIZE), np.int16),
            "body_regions": regions,
            "body_parts": parts,
            **index("region", regions),
            **index("part", parts),
        }

    unannotated = np.full((SIZE, SIZE), 255, np.uint8)
    rows = [row(0, RING, unannotated), row(1, BLOCK, PARTS)]
    features = datasets.Features(CASE_FEATURES | slice_features((SIZE, SIZE)))
    columns = {name: [one.get(name) for one in rows] for name in features}
    return datasets.Dataset.from_dict(columns, features=features)


@pytest.fixture(scope="module")
def store(slices: datasets.Dataset) -> SliceStore:
    return SliceStore(slices, TASKS)


def centres(store: SliceStore, count: int, **options: object) -> list[tuple[int, int, int]]:
    draw = CentreDraw(store, **options)
    rng = np.random.default_rng(7)
    return [centre for _ in range(count // 100) for centre in draw.draw(rng, 100)]


def test_tasks_and_labels_are_drawn_evenly(store: SliceStore) -> None:
    weights = {"body-regions": [1.0] * 14, "body-parts": [1e-12] * 7}
    chances = np.diff([0, *CentreDraw(store, weights)._edges, 1])
    # One half for regions 0, 1, 2 and 5, the other for parts 0 and 1.
    assert chances == pytest.approx([1 / 8] * 4 + [1 / 4] * 2)


def test_all_voxels_of_a_label_are_equally_likely(store: SliceStore) -> None:
    """Chi-square test of the class and of the position within it."""
    weights = {"body-regions": [0, 1] + [0] * 12, "body-parts": [0, 1] + [0] * 5}
    drawn = centres(store, 40_000, label_weights=weights)
    regions = [c for c in drawn if c[0] == 0 or BLOCK[c[1], c[2]] == 1]
    expected = np.zeros((2, SIZE, SIZE))
    # Each task has half of the draws; region 1 is on two slices.
    expected[0][RING == 1] += 1 / 4 / (RING == 1).sum()
    expected[1][BLOCK == 1] += 1 / 4 / (BLOCK == 1).sum()
    expected[1][PARTS == 1] += 1 / 2 / (PARTS == 1).sum()
    counts = np.zeros_like(expected)
    np.add.at(counts, tuple(np.array(drawn).T), 1)
    possible = expected > 0
    assert counts[~possible].sum() == 0
    assert len(regions) > 0
    test = stats.chisquare(counts[possible], expected[possible] * len(drawn))
    assert test.pvalue > 1e-4


def test_rare_labels_are_drawn_as_often_as_common_ones(slices: datasets.Dataset) -> None:
    drawn = centres(SliceStore(slices, ["body-regions"]), 8000)
    masks = {0: RING, 1: BLOCK}
    counts = np.bincount([masks[row][i, j] for row, i, j in drawn], minlength=6)
    assert stats.chisquare(counts[[0, 1, 2, 5]]).pvalue > 1e-4
