import base64
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from helpers.model_folders import scores

from saros_hf.volume import Volume
from training.evaluate.report import Epoch, Report, case_picture, read_epochs, write_report
from training.evaluate.summary import text_rows
from training.pictures import Plane, _slice_image, axial_planes, middle_coronal, overlay_png

AFFINE = np.diag([-2.0, -2.0, 5.0, 1.0])


def volumes() -> tuple[Volume, Volume]:
    image = np.full((20, 16, 12), -1000, np.int16)
    image[4:16, 4:12] = 40
    truth = np.full(image.shape, 255, np.uint8)
    truth[..., 2::5] = np.where(image[..., 2::5] > 0, 2, 0)
    return Volume(image, AFFINE), Volume(truth, AFFINE)


def test_rows_hold_the_means_over_cases_with_a_score() -> None:
    rows = {row.name: row for row in text_rows(scores(), "body-regions")}
    assert set(rows) == {"Muscle", "Brain", "Average"}
    muscle = rows["Muscle"]
    # 0.8 and 0.6: mean 0.7, and no resample of the two leaves [0.6, 0.8]; halves for NSD.
    assert (muscle.dice, muscle.nsd) == ("0.700 (0.600-0.800)", "0.350 (0.300-0.400)")
    assert (muscle.cases, muscle.paper_dice) == (2, "0.971")
    assert (rows["Brain"].dice, rows["Brain"].in_truth) == ("0.900 (-)", 1)
    assert rows["Average"].dice.startswith("0.800 (")


def test_slices_follow_the_radiological_convention() -> None:
    image, _ = volumes()
    marked = image.array.copy()
    marked[0, 0, 0] = 999  # LPS: rightmost, most anterior, lowest
    ras = Volume(marked, AFFINE).to_ras().array
    assert _slice_image(ras, Plane(2, 0))[0, 0] == 999  # right on the left, anterior on top
    assert _slice_image(ras, Plane(1, 15))[-1, 0] == 999  # coronal: lowest at the bottom
    assert _slice_image(ras, Plane(0, 19))[-1, 0] == 999  # sagittal: nose on the left
    # Copying the whole CT for each of the 40 slices of a picture took 12 s.
    assert np.shares_memory(_slice_image(ras, Plane(1, 15)), marked)


def test_planes_are_chosen_within_the_body() -> None:
    image, _ = volumes()
    assert axial_planes(image, (0.0, 0.5, 1.0)) == [Plane(2, 0), Plane(2, 6), Plane(2, 11)]
    assert middle_coronal(image) == Plane(1, 7)


@pytest.mark.parametrize("orientation", ["LPS", "LAI"])
def test_overlay_is_a_png_for_any_orientation(orientation: str) -> None:
    image, truth = (volume.oriented(orientation) for volume in volumes())
    png = overlay_png(image, {"truth": truth}, [Plane(2, 2)], task="body-regions")
    assert png.startswith(b"\x89PNG")


def test_values_that_are_not_labels_are_not_drawn() -> None:
    image, truth = volumes()
    odd = truth.array.astype(np.int16)
    odd[..., 0], odd[..., 1] = 200, -1
    pictures = [
        overlay_png(image, {"truth": one}, [Plane(1, 7)], task="body-regions")
        for one in (truth, Volume(odd, truth.affine))
    ]
    assert pictures[0] == pictures[1]


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.images: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href"):
                (self.images if tag == "img" else self.links).append(value or "")


def test_page_needs_no_other_file_and_is_marked_synthetic(tmp_path: Path) -> None:
    image, truth = volumes()
    report = Report(
        title="A test",
        task="body-regions",
        scores=scores(),
        epochs=[Epoch(0, 2.0, 0.1), Epoch(1, 1.0, math.nan)],
        pictures=[case_picture("case_000 <b>", image, truth, truth, task="body-regions")],
        settings={"seed": "0"},
        synthetic=True,
    )
    write_report(tmp_path / "report.html", report)
    text = (tmp_path / "report.html").read_text()
    page = _Page()
    page.feed(text)
    assert page.links == []
    assert len(page.images) == 4
    for source in page.images:
        prefix, encoded = source.split(",")
        assert prefix == "data:image/png;base64"
        assert base64.b64decode(encoded).startswith(b"\x89PNG")
    assert "Synthetic data" in text
    assert "case_000 &lt;b&gt;" in text
    # Case means over the labels present: (0.8 + 0.9) / 2 and 0.6, their mean 0.725.
    assert re.search(r"<b>0\.725</b>", text)


def test_epochs_are_read_from_the_csv_log(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,train_loss,val_dice\n0,9,,0.25\n0,9,1.5,\n1,19,,0.5\n")
    first, second = read_epochs(path)
    assert first == Epoch(0, 1.5, 0.25)
    assert (second.number, second.val_dice) == (1, 0.5)
    assert math.isnan(second.train_loss)
