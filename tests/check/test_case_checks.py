from dataclasses import replace

import numpy as np
import pytest
from helpers.case_folders import LPS, case, sparse_mask

from saros_hf.cases.pairing import TOP_DOWN_SERIES
from saros_hf.check.case_checks import CtSummary, Finding, check_case
from saros_hf.volume import Volume

SHAPE = (8, 6, 7)


def mask(annotated: list[int] | None = None) -> Volume:
    return Volume(sparse_mask(SHAPE, annotated or [1, 5]), LPS.copy())


def ct(low: int = -1000, high: int = 400, affine: np.ndarray = LPS) -> CtSummary:
    return CtSummary(Volume(np.broadcast_to(np.int16(0), SHAPE), affine), low, high)


(TOP_DOWN_UID,) = TOP_DOWN_SERIES


def only(
    *,
    image: CtSummary | None = None,
    regions: Volume | None = None,
    parts: Volume | None = None,
    series_uid: str = "1.2.3",
) -> Finding:
    """Return the only finding of a case whose table row says LPS."""
    row = replace(case("case_000"), series_instance_uid=series_uid)
    (finding,) = check_case(row, ct=image, regions=regions, parts=parts)
    assert finding.where == "case_000"
    return finding


def test_correct_case_has_no_findings() -> None:
    assert check_case(case("case_000"), ct=ct(), regions=mask(), parts=mask()) == ()
    assert check_case(case("case_000"), ct=ct(), regions=mask(), parts=None) == ()
    assert check_case(case("case_000"), ct=None, regions=None, parts=None) == ()


def test_grids_differ_beyond_a_hundredth_of_a_millimetre() -> None:
    moved = mask()
    moved.affine[0, 3] = 0.009
    assert check_case(case("case_000"), ct=ct(), regions=mask(), parts=moved) == ()
    moved.affine[0, 3] = 0.011
    finding = only(image=ct(), regions=mask(), parts=moved)
    assert (finding.check, finding.severity) == ("grid", "error")
    assert finding.message.startswith("body-parts has shape (8, 6, 7), spacing (2, 2, 5) mm, LPS")


def test_another_shape_is_another_grid() -> None:
    short = Volume(mask().array[..., :6], LPS)
    assert only(regions=mask(), parts=short).check == "grid"


@pytest.mark.parametrize("broken", [np.full((4, 4), np.nan), np.zeros((4, 4))])
def test_singular_affine_is_an_error(broken: np.ndarray) -> None:
    finding = only(image=ct(affine=broken), regions=mask())
    assert finding.check == "grid"
    assert finding.message == "the affine of image is not invertible"


def test_other_slice_spacing_is_an_error() -> None:
    three = np.diag([-2.0, -2.0, 3.0, 1.0])
    finding = only(image=ct(affine=three))
    assert finding.check == "slice-spacing"
    assert finding.message == "image has slices 3 mm apart, expected 5 mm"


def test_orientation_that_differs_from_the_case_table_is_an_error() -> None:
    lpi = Volume(mask().array, LPS @ np.diag([1.0, 1, -1, 1]))
    finding = only(regions=lpi)
    assert (finding.check, finding.severity) == ("orientation", "error")
    assert finding.message == "body-regions is LPI, the case table says LPS"


def test_orientation_of_case_647_is_a_note() -> None:
    lpi = Volume(mask().array, LPS @ np.diag([1.0, 1, -1, 1]))
    finding = only(regions=lpi, series_uid=TOP_DOWN_UID)
    assert (finding.check, finding.severity) == ("orientation", "note")
    ras = Volume(mask().array, np.diag([2.0, 2, 5, 1]))
    assert only(regions=ras, series_uid=TOP_DOWN_UID).severity == "error"


def test_partly_annotated_slices_are_an_error() -> None:
    regions = mask()
    regions.array[0, 0, 3] = 2
    regions.array[7, 5, 6] = 0
    finding = only(regions=regions)
    assert finding.check == "partial-slice"
    assert finding.message == "body-regions has slices that are partly 255: k = 3, 6"


def test_hole_makes_an_annotated_slice_partial() -> None:
    regions, parts = mask(), mask()
    regions.array[0, 0, 1] = 255
    found = check_case(case("case_000"), ct=None, regions=regions, parts=parts)
    assert [finding.check for finding in found] == ["partial-slice", "annotated-slices"]


def test_mask_without_annotation_is_an_error() -> None:
    nothing = Volume(sparse_mask(SHAPE, []), LPS)
    finding = only(regions=nothing)
    assert finding.check == "not-annotated"
    assert finding.message == "body-regions has no annotated slice"


def test_maps_annotated_on_different_slices_are_an_error() -> None:
    finding = only(regions=mask([1, 3, 5]), parts=mask([1, 5, 6]))
    assert finding.check == "annotated-slices"
    assert finding.message == (
        "body-regions are annotated on 3 slices, body-parts on 3; only in one of them: k = 3, 6"
    )


def test_differing_foreground_is_counted_in_voxels_and_slices() -> None:
    regions, parts = mask([1, 3, 5]), mask([1, 3, 5])
    regions.array[0, 0, 1] = 13  # another label, but body in both
    regions.array[0, :2, 3] = 0  # two voxels that are body in one alone
    parts.array[7, 0, 5] = 6  # one more the other way round
    finding = only(regions=regions, parts=parts)
    assert finding.check == "foreground"
    assert finding.message == (
        "the foreground of body-regions and body-parts differs in 3 voxels on 2 slices: k = 3, 5"
    )


def test_long_slice_lists_are_shortened() -> None:
    shape = (2, 2, 30)
    volume = Volume(sparse_mask(shape, [0]), LPS)
    volume.array[0, 0, 5:25] = 1
    finding = only(regions=volume)
    assert finding.message.endswith("k = 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, ... (20 in all)")


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (-3000, 400, "-3000 to 400 HU, outside -1024 to 30710"),
        (-1024, 32767, "-1024 to 32767 HU, outside -1024 to 30710"),
        (7, 7, "every voxel has 7 HU"),
    ],
)
def test_unusual_hounsfield_units_are_a_note(low: int, high: int, message: str) -> None:
    finding = only(image=ct(low, high))
    assert (finding.check, finding.severity, finding.message) == ("hu-range", "note", message)
