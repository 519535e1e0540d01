import numpy as np
import pytest
from helpers.bodies import cylinder

from saros_hf.composition import measure
from saros_hf.composition.levels import VERTEBRAE, find_levels
from saros_hf.errors import UsageError
from saros_hf.volume import Volume

BODY = cylinder(slices=20)


def spine(**slices: tuple[int, int]) -> Volume:
    """Return a label map with vertebrae from a first to a last slice."""
    array = np.zeros(BODY.ct.shape, np.uint8)
    for name, (first, last) in slices.items():
        array[60, 60, first : last + 1] = VERTEBRAE[name]
    return Volume(array, BODY.ct.affine)


def ways(name: str, vertebrae: Volume | None = None) -> dict[str, tuple[int, ...]]:
    levels = find_levels([name], BODY.ct, vertebrae)
    return {one.way: one.slices for one in levels if one.name == levels[0].name}


def test_labels_are_those_of_totalsegmentator() -> None:
    # https://github.com/wasserth/TotalSegmentator, task "total".
    assert [VERTEBRAE[name] for name in ("C1", "C7", "T1", "T12", "L1", "L3", "L5", "S1")] == [
        50,
        44,
        43,
        32,
        31,
        29,
        27,
        26,
    ]


def test_vertebra_has_three_ways() -> None:
    found = ways("L3", spine(L3=(5, 10)))
    assert found == {
        "middle_slice": (7,),
        "mean_of_three": (6, 7, 8),
        "whole_level": (5, 6, 7, 8, 9, 10),
    }


def test_slice_and_height_are_the_same_place() -> None:
    # Slices are 4 mm apart from -200 mm.
    assert ways("slice:3") == ways("mm:-188") == ways("mm:-186.1")
    assert ways("slice:3") == {"slice": (3,), "mean_of_three": (2, 3, 4)}


def test_every_vertebra_of_a_mask_is_measured_and_the_cut_one_flagged() -> None:
    found = measure(BODY.ct, BODY.regions, vertebrae=spine(L5=(0, 3), L4=(4, 9), L3=(10, 15)))
    assert {row.level for row in found.levels} == {"L5", "L4", "L3"}
    cut = {row.level for row in found.levels if row.incomplete}
    assert cut == {"L5"}
    assert sum("L5" in flag.text for flag in found.flags) == 3
    whole = next(row for row in found.levels if (row.level, row.way) == ("L3", "whole_level"))
    assert (whole.first_slice, whole.last_slice) == (10, 15)
    assert whole.thickness_mm == pytest.approx(24)
    assert whole.height_mm == pytest.approx(-200 + 4 * 12.5)


def test_flipped_vertebrae_are_the_same_slices() -> None:
    mask = spine(L3=(5, 10)).oriented("RAI")
    found = measure(BODY.ct, BODY.regions, vertebrae=mask)
    assert {row.first_slice for row in found.levels if row.way == "middle_slice"} == {7}


def test_slice_without_annotation_is_empty_and_names_its_neighbours() -> None:
    array = np.full(BODY.ct.shape, 255, np.uint8)
    array[..., 4::5] = BODY.regions.array[..., 4::5]
    regions = Volume(array, BODY.ct.affine)
    found = measure(BODY.ct, regions, vertebrae=spine(L3=(5, 11)), height_cm=170)
    middle, _, whole = found.levels
    assert middle.note == "0 of 1 slices annotated; the nearest annotated slices are 4 and 9"
    assert np.isnan([middle.tissues["muscle"].area_cm2, middle.muscle_index_cm2_per_m2]).all()
    assert whole.note == "1 of 7 slices annotated"
    assert whole.tissues["muscle"].area_cm2 > 0


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ("L2", "found L3 in the vertebra mask, expected L2 in it. Leave this level out"),
        ("slice:20", r"slice 0 to 19, -200 to -124 mm"),
        ("mm:-120", "Give a level inside the scan"),
        ("navel", "expected L3, slice:57 or mm:-804.5"),
        ("slice:x", "expected L3, slice:57 or mm:-804.5"),
    ],
)
def test_level_that_is_not_there(at: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_levels([at], BODY.ct, spine(L3=(5, 10)))


def test_mask_with_other_numbers_names_them() -> None:
    other = Volume(np.where(spine(L3=(5, 10)).array > 0, 20, 0).astype(np.uint8), BODY.ct.affine)
    with pytest.raises(UsageError, match=r"found 20 in the label map.*--vertebra-labels"):
        find_levels([], BODY.ct, other)
