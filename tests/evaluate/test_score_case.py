import math
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from saros_hf.errors import (
    GridMismatchError,
    MissingFileError,
    TableError,
    UnknownLabelError,
    UsageError,
)
from saros_hf.labels import TASKS, label_names
from saros_hf.volume import Volume
from training.evaluate.paper_scores import TABLE_4, TABLE_4_AVERAGE
from training.evaluate.score_case import Score, case_mean, read_metrics, score_case, write_metrics

AFFINE = np.diag([1.0, 1.0, 5.0, 1.0])
DIAGONAL = math.sqrt(0.5)


def volume(array: NDArray[np.uint8]) -> Volume:
    return Volume(array, AFFINE)


def torso_and_head() -> tuple[Volume, Volume]:
    """Prediction and truth with two annotated slices of four.

    The torso is shifted by 5 px, the head is only in the truth, an arm only predicted, and the legs
    only predicted in the slices without annotation.
    """
    truth, pred = np.zeros((2, 12, 16, 4), np.uint8)
    truth[2:6, 2:6, 0], pred[2:6, 7:11, 0] = 1, 1
    truth[8:10, 2:6, 2], pred[8:10, 8:9, 2] = 2, 5
    truth[..., 1::2], pred[..., 1::2] = 255, 3
    return volume(pred), volume(truth)


def by_key(scores: list[Score]) -> dict[tuple[str, str, str], float]:
    return {(s.label, s.metric, s.protocol): s.value for s in scores}


def test_scores_of_one_case_by_hand() -> None:
    scores = by_key(score_case("case_000", *torso_and_head(), "body-parts"))
    # The contour lengths are worked out in test_functional.py.
    torso = (7 + 2 * DIAGONAL) / (12 + 4 * DIAGONAL)
    assert scores["torso", "nsd", "slice"] == pytest.approx(torso, abs=1e-12)
    assert scores["torso", "dice", "annotated"] == 0
    assert scores["head", "dice", "annotated"] == scores["head", "nsd", "slice"] == 0
    assert scores["arm_right", "dice", "annotated"] == scores["arm_right", "nsd", "slice"] == 0
    assert math.isnan(scores["leg_right", "dice", "annotated"])
    assert math.isnan(scores["leg_right", "nsd", "slice"])
    # A voxel is 1 x 1 x 5 mm = 0.005 mL.
    assert scores["torso", "truth_ml", "annotated"] == pytest.approx(16 * 0.005)
    assert scores["head", "truth_ml", "annotated"] == pytest.approx(8 * 0.005)
    assert scores["head", "predicted_ml", "annotated"] == 0
    assert scores["arm_right", "truth_ml", "annotated"] == 0
    assert scores["arm_right", "predicted_ml", "annotated"] == pytest.approx(2 * 0.005)
    assert scores["leg_right", "predicted_ml", "annotated"] == 0


def test_every_foreground_label_has_one_row_per_metric() -> None:
    pred, truth = torso_and_head()
    protocols = ("slice", "volume", "published")
    scores = score_case("case_000", pred, truth, "body-regions", protocols=protocols)
    assert {s.case_id for s in scores} == {"case_000"}
    assert "background" not in {s.label for s in scores}
    assert len(scores) == len(by_key(scores)) == 13 * (3 + 3 + 1 + 2)
    assert [s.label for s in scores[:13]] == label_names("body-regions")[1:]


def test_prediction_in_another_orientation_scores_the_same() -> None:
    pred, truth = torso_and_head()
    turned = pred.oriented("LPI")
    assert not np.array_equal(turned.array, pred.array)
    expected = score_case("a", pred, truth, "body-parts")
    assert repr(score_case("a", turned, truth, "body-parts")) == repr(expected)


@pytest.mark.parametrize(
    ("depth", "affine"),
    [
        (3, AFFINE),
        (4, np.diag([1.0, 1.1, 5.0, 1.0])),
        (4, nibabel.affines.from_matvec(AFFINE[:3, :3], [0, 0, 1])),
    ],
)
def test_prediction_on_another_grid_is_refused(depth: int, affine: NDArray[np.float64]) -> None:
    other = Volume(np.zeros((12, 16, depth), np.uint8), affine)
    with pytest.raises(GridMismatchError, match=r"case_7, prediction: found .* nearest neighbour"):
        score_case("case_7", other, torso_and_head()[1], "body-parts")


def test_errors_name_the_case() -> None:
    pred, truth = torso_and_head()
    with pytest.raises(UnknownLabelError, match=r"^case_7, prediction: .* to 9 .*expected 0 to 6"):
        score_case("case_7", volume(np.full_like(pred.array, 9)), truth, "body-parts")
    with pytest.raises(UsageError, match=r"^case_7, target: found no annotated voxel"):
        score_case("case_7", pred, volume(np.full_like(truth.array, 255)), "body-parts")


def test_table_replaces_an_old_one_and_leaves_nan_empty(tmp_path: Path) -> None:
    path = tmp_path / "new" / "metrics.csv"
    write_metrics(path, [Score("case_0", "head", "nsd", "slice", 0.1 + 0.2)])
    values = {"head": 0.5, "torso": math.nan}
    write_metrics(
        path, [Score("case_0", label, "dice", "annotated", x) for label, x in values.items()]
    )
    assert path.read_bytes() == (
        b"case,label,metric,protocol,value\n"
        b"case_0,head,dice,annotated,0.5\n"
        b"case_0,torso,dice,annotated,\n"
    )
    assert [p.name for p in path.parent.iterdir()] == ["metrics.csv"]


def test_table_reads_back_bit_for_bit(tmp_path: Path) -> None:
    pred, truth = torso_and_head()
    scores = score_case('a,"b"', pred, truth, "body-parts", protocols=("slice", "published"))
    write_metrics(tmp_path / "metrics.csv", scores)
    # As text, because NaN does not equal itself.
    assert repr(read_metrics(tmp_path / "metrics.csv")) == repr(scores)


def test_failed_write_leaves_the_old_table(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    score = Score("a", "head", "dice", "annotated", 1.0)
    write_metrics(path, [score])
    with pytest.raises(ZeroDivisionError):
        write_metrics(path, (1 / 0 for _ in range(1)))  # type: ignore[arg-type]
    assert read_metrics(path) == [score]


HEADER = "case,label,metric,protocol,value\n"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "metrics.csv: found ''"),
        ("case,label,value\n", "metrics.csv: found 'case,label,value'"),
        (HEADER + "a,head,dice,annotated,1\na,head,dice,annotated\n", "line 3"),
        (HEADER + "a,head,dice,annotated,high\n", "line 2"),
        (HEADER + "a,head,iou,annotated,1\n", "line 2"),
        (HEADER + "a,head,dice,sliced,1\n", "line 2"),
        (HEADER + "a,head,dice,annotated,7.5\n", "line 2"),
        (HEADER + "a,head,nsd,slice,inf\n", "line 2"),
        (HEADER + "a,head,assd_mm,slice,-1\n", "line 2"),
        (HEADER + "J\xf6rg,head,dice,annotated,1\n", "found no CSV text"),
        (HEADER + "a" * 200_000 + ",head,dice,annotated,1\n", "found no CSV text"),
    ],
)
def test_missing_or_damaged_table_is_refused(tmp_path: Path, text: str, where: str) -> None:
    path = tmp_path / "metrics.csv"
    with pytest.raises(MissingFileError, match="saros evaluate"):
        read_metrics(path)
    path.write_text(text, encoding="latin-1")
    with pytest.raises(TableError, match=where):
        read_metrics(path)


def dice(case: str, label: str, value: float, truth_ml: float) -> list[Score]:
    return [
        Score(case, label, "dice", "annotated", value),
        Score(case, label, "truth_ml", "annotated", truth_ml),
    ]


THREE_CASES = [
    *dice("a", "torso", 0.9, 100.0),
    *dice("a", "head", 0.5, 20.0),
    *dice("b", "torso", 0.7, 80.0),
    *dice("b", "head", 0.0, 0.0),  # only predicted
    *dice("c", "torso", math.nan, 0.0),
    *dice("c", "head", math.nan, 0.0),
]


def test_case_mean_averages_the_labels_in_truth() -> None:
    """(0.9 + 0.5) / 2 for a; 0.7 for b, which has no head; c has nothing to score."""
    assert case_mean(THREE_CASES, "dice") == pytest.approx((0.7 + 0.7) / 2)
    assert math.isnan(case_mean(THREE_CASES[-4:], "dice"))


def test_case_mean_uses_the_chosen_surface_protocol() -> None:
    pred, truth = torso_and_head()
    scores = score_case("a", pred, truth, "body-parts", protocols=("slice", "volume"))
    expected = by_key(scores)
    for protocol in ("slice", "volume"):
        torso, head = expected["torso", "nsd", protocol], expected["head", "nsd", protocol]
        assert case_mean(scores, "nsd", protocol=protocol) == pytest.approx((torso + head) / 2)
    with pytest.raises(UsageError, match=r"found 0 nsd \(published\)"):
        case_mean(scores, "nsd", protocol="published")
    with pytest.raises(UsageError, match="0 truth_ml"):
        case_mean([s for s in scores if s.metric != "truth_ml"], "dice")


@pytest.mark.parametrize("task", TASKS)
def test_table_4_has_all_labels_and_the_printed_average(task: str) -> None:
    rows, average = TABLE_4[task], TABLE_4_AVERAGE[task]
    assert [row.label for row in rows] == label_names(task)[1:]
    assert round(sum(row.dice for row in rows) / len(rows), 3) == average.dice
    assert round(sum(row.nsd for row in rows) / len(rows), 3) == average.nsd
