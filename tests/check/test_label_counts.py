import numpy as np
import pytest

from saros_hf.check.label_counts import LabelCounts, Presence, count_labels, label_table
from saros_hf.labels import BodyPart, BodyRegion


def by_hand() -> np.ndarray:
    """Five slices of 2 x 2: three annotated, one ignored, one partly ignored."""
    mask = np.full((2, 2, 5), 255, np.uint8)
    mask[..., 0] = [[0, 0], [1, 6]]
    mask[..., 2] = [[5, 255], [5, 5]]
    mask[..., 3] = 6
    mask[..., 4] = [[0, 1], [1, 1]]
    return mask


@pytest.mark.parametrize("order", ["C", "F"])
def test_labels_are_counted_once_per_annotated_slice(order: str) -> None:
    counts = count_labels(np.asarray(by_hand(), order=order), "body-parts")
    assert counts == LabelCounts("body-parts", (2, 2, 0, 0, 0, 0, 2))
    assert len(count_labels(by_hand(), "body-regions").slices) == 14


def test_mask_without_annotation_has_zero_counts() -> None:
    ignored = np.full((3, 3, 4), 255, np.uint8)
    assert count_labels(ignored, "body-parts").slices == (0,) * 7


def test_unknown_label_is_refused() -> None:
    mask = by_hand()
    mask[0, 0, 0] = 9
    assert count_labels(mask, "body-regions").slices[9] == 1
    with pytest.raises(ValueError, match="shape"):
        count_labels(mask, "body-parts")


def test_label_table_sums_the_cases_of_each_fold() -> None:
    table = label_table(
        [
            ("fold-1", LabelCounts("body-parts", (3, 3, 0, 0, 0, 0, 2))),
            ("fold-1", LabelCounts("body-parts", (4, 4, 1, 0, 0, 0, 0))),
            ("test", LabelCounts("body-parts", (5, 5, 0, 0, 0, 0, 5))),
            ("test", LabelCounts("body-regions", (6, *[0] * 13))),
        ]
    )
    assert table.cells["body-parts", BodyPart.BACKGROUND, "fold-1"] == Presence(2, 7)
    assert table.cells["body-parts", BodyPart.ARM_LEFT, "fold-1"] == Presence(1, 2)
    assert table.cells["body-parts", BodyPart.HEAD, "test"] == Presence(0, 0)
    assert table.cells["body-regions", BodyRegion.BACKGROUND, "test"] == Presence(1, 6)
    assert table.overall("body-parts", BodyPart.ARM_LEFT) == Presence(2, 7)
    assert table.cases["body-parts", "fold-1"] == 2
    assert table.all_cases("body-parts") == 3
    assert table.all_cases("body-regions") == 1


def test_shared_label_ids_of_both_maps_are_kept_apart() -> None:
    table = label_table([("fold-1", LabelCounts("body-parts", (1, 1, 1, 1, 1, 1, 1)))])
    assert BodyPart.HEAD == BodyRegion.MUSCLE
    assert table.cells["body-parts", BodyPart.HEAD, "fold-1"] == Presence(1, 1)
    assert table.cells["body-regions", BodyRegion.MUSCLE, "fold-1"] == Presence(0, 0)
