"""The pages: complete in one file, with every number that the tables have, on one page of A4."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from helpers.bodies import cylinder
from PIL import Image

from saros_hf.composition import measure
from saros_hf.composition.cohort_report import find_outliers, write_cohort_report
from saros_hf.composition.pictures import axial_png, projection_png
from saros_hf.composition.report import write_case_report
from saros_hf.volume import Volume

BODY = cylinder(size=61, slices=6, affine=np.diag([-3.0, -3.0, 4.0, 1.0]))


class Links(HTMLParser):
    """Collects everything that a page loads or links to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, _: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [v or "" for k, v in attrs if k in ("src", "href")]


def test_case_page_needs_no_other_file_and_shows_the_numbers(tmp_path: Path) -> None:
    found = measure(BODY.ct, BODY.regions, parts=BODY.parts, height_cm=170, levels=["slice:3"])
    path = tmp_path / "report.html"
    write_case_report(path, "<b>case", BODY.ct, found, {"saros-hf": "1.2.3"})
    text = path.read_text(encoding="utf-8")
    links = Links()
    links.feed(text)
    assert all(link.startswith("data:image/png;base64,") for link in links.found)
    assert "&lt;b&gt;case" in text  # names are escaped
    assert f"<td>{found.volume('muscle').volume_ml:,.0f}</td>" in text
    (row,) = (r for r in found.levels if (r.extent, r.way) == ("torso", "slice"))
    assert f"<td>{row.muscle_index_cm2_per_m2:.1f}</td>" in text
    assert "muscle, -29 to 150 HU" in text
    assert "saros-hf: 1.2.3" in text
    assert not re.search(r"\bnan\b", text)


def test_page_of_sparse_truth_without_levels(tmp_path: Path) -> None:
    array = np.full_like(BODY.regions.array, 255)
    array[..., [1, 4]] = BODY.regions.array[..., [1, 4]]
    found = measure(BODY.ct, Volume(array, BODY.ct.affine))
    write_case_report(tmp_path / "report.html", "case", BODY.ct, found, {})
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "2 of 6 slices measured" in text
    assert "No level was given" in text


def test_right_of_the_patient_is_on_the_left() -> None:
    ct = np.full((20, 20, 2), -1000, np.int16)
    tissues = np.zeros(ct.shape, np.uint8)
    tissues[:5] = 1  # small i is the patient's right in LPS
    lps = np.diag([-2.0, -2.0, 4.0, 1.0])
    picture = np.asarray(
        Image.open(io.BytesIO(axial_png(Volume(ct, lps), Volume(tissues, lps), 0)))
    )
    assert picture[:, : picture.shape[1] // 5].sum() > picture[:, picture.shape[1] // 2 :].sum()


def test_projection_is_upright_and_in_proportion() -> None:
    tissues = np.zeros((10, 10, 4), np.uint8)
    tissues[..., 3] = 2
    ras = np.diag([2.0, 2.0, 10.0, 1.0])  # 20 mm across, 40 mm high
    picture = np.asarray(Image.open(io.BytesIO(projection_png(Volume(tissues, ras), axis=1))))
    height, width, _ = picture.shape
    assert height == 2 * width
    assert picture[: height // 5].mean() > 100
    assert picture[height // 2 :].mean() == 0


def test_cohort_page_names_failures_and_the_farthest_outlier_first(tmp_path: Path) -> None:
    rows = [{"case": f"c{n}", "status": "done", "muscle_mean_hu": 30.0 + n % 3} for n in range(9)]
    rows += [{"case": "far", "status": "flagged", "reason": "cut", "muscle_mean_hu": 90.0}]
    rows += [{"case": "farther", "status": "done", "muscle_mean_hu": -70.0}]
    rows += [{"case": "a b", "status": "failed", "reason": "no HU"}]
    assert [one.case for one in find_outliers(rows)] == ["farther", "far"]
    # Median 31, median distance 1: 0.6745 * 101.
    assert find_outliers(rows)[0].z == pytest.approx(-68.1, abs=0.05)
    write_cohort_report(tmp_path / "report.html", rows)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "11 measured, 1 of them with warnings; 1 failed" in text
    assert "<b>a b</b> no HU" in text
    assert 'href="far/report.html"' in text
