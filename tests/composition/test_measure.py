import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from helpers.bodies import RINGS, Body, cylinder, random_body, ring_cm2
from hypothesis import given, settings
from hypothesis import strategies as st

from saros_hf.composition import TISSUES, Composition, measure
from saros_hf.errors import GridMismatchError, UnknownLabelError, UsageError
from saros_hf.labels import BodyPart, BodyRegion
from saros_hf.volume import Volume


def rings(*names: str) -> float:
    """Return the area of all rings of some tissues."""
    return sum(ring_cm2(inner, outer) for _, inner, outer, _, name in RINGS if name in names)


MOVED_1_MM = np.zeros((4, 4))
MOVED_1_MM[2, 3] = 1
MUSCLE = ("low_attenuation_muscle", "normal_attenuation_muscle")
ADIPOSE = tuple(name for *_, name in RINGS if name.endswith("adipose"))


def test_every_area_and_volume_is_within_1_percent_of_the_formula() -> None:
    body = cylinder(size=401, slices=7, affine=np.diag([-0.45, -0.45, 4.0, 1.0]))
    found = measure(body.ct, body.regions)
    true_cm2 = {name: rings(name) for *_, name in RINGS if name}
    true_cm2 |= {"muscle": rings(*MUSCLE), "total_adipose": rings(*ADIPOSE)}
    assert set(true_cm2) == {tissue.name for tissue in TISSUES}
    for name, area in true_cm2.items():
        assert found.volume(name).volume_ml == pytest.approx(area * 2.8, rel=0.01)
        for row in found.slices:
            assert row.tissues[name].area_cm2 == pytest.approx(area, rel=0.01)
    for region, inner, outer, *_ in RINGS:
        if region != BodyRegion.MUSCLE:
            volume = found.volume(region.name.lower(), kind="region").volume_ml
            assert volume == pytest.approx(ring_cm2(inner, outer) * 2.8, rel=0.01)
    assert found.volume("muscle").hu.mean_hu == pytest.approx(
        (rings(MUSCLE[0]) * 10 + rings(MUSCLE[1]) * 60) / rings(*MUSCLE), abs=0.2
    )


def test_tilted_gantry_keeps_areas_and_shortens_no_volume() -> None:
    straight = cylinder(slices=4)
    tilted = straight.ct.affine.copy()
    tilted[1, 2] = 2.0  # each slice is shifted sideways; the distance of the planes is still 4 mm
    ct, regions = (Volume(one.array, tilted) for one in (straight.ct, straight.regions))
    expected = measure(straight.ct, straight.regions).volume("muscle").volume_ml
    assert measure(ct, regions).volume("muscle").volume_ml == pytest.approx(expected)


def plain_loop(body: Body) -> dict[tuple[str, str], tuple[float, float]]:
    """Return volume and mean HU of every tissue in the whole scan and the torso, voxel by voxel."""
    voxel_ml = abs(np.linalg.det(body.ct.affine[:3, :3])) / 1000
    values: dict[tuple[str, str], list[int]] = {}
    for index in np.ndindex(*body.ct.shape):
        hu, region = int(body.ct.array[index]), int(body.regions.array[index])
        for tissue in TISSUES:
            for one in tissue.ranges:
                if region == one.region and one.low_hu <= hu <= one.end_hu - 1:
                    values.setdefault((tissue.name, "whole"), []).append(hu)
                    if body.parts.array[index] == BodyPart.TORSO:
                        values.setdefault((tissue.name, "torso"), []).append(hu)
    return {key: (len(found) * voxel_ml, float(np.mean(found))) for key, found in values.items()}


def test_volumes_and_hu_are_those_of_a_plain_loop() -> None:
    body = random_body(3)
    found = measure(body.ct, body.regions, parts=body.parts)
    for (tissue, extent), (volume_ml, mean_hu) in plain_loop(body).items():
        row = found.volume(tissue, extent)
        assert row.volume_ml == pytest.approx(volume_ml)
        assert row.hu.mean_hu == pytest.approx(mean_hu)
    muscle = body.ct.array[body.regions.array == BodyRegion.MUSCLE]
    hu = found.volume("muscle", kind="region").hu
    assert hu.sd_hu == pytest.approx(muscle.std())
    assert (hu.min_hu, hu.max_hu) == (muscle.min(), muscle.max())
    quartiles = np.quantile(muscle, (0.25, 0.5, 0.75), method="inverted_cdf")
    assert (hu.first_quartile_hu, hu.median_hu, hu.third_quartile_hu) == tuple(quartiles)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_sums_of_parts_are_the_whole(seed: int) -> None:
    body = random_body(seed)
    found = measure(body.ct, body.regions, parts=body.parts)

    def volume(structure: str, extent: str) -> float:
        value = found.volume(structure, extent).volume_ml
        return 0.0 if math.isnan(value) else value

    limbs = ("leg_right", "leg_left", "arm_right", "arm_left")
    for tissue in ("muscle", "total_adipose", "bone"):
        whole = volume(tissue, "whole")
        without_limbs = volume(tissue, "torso") + volume(tissue, "head")
        assert volume(tissue, "without_limbs") == pytest.approx(without_limbs)
        assert whole == pytest.approx(without_limbs + sum(volume(tissue, one) for one in limbs))
    by_slice = [row for row in found.slices if row.extent == "whole"]
    for tissue in TISSUES:
        areas = [row.tissues[tissue.name].area_cm2 for row in by_slice]
        assert sum(areas) * 0.5 == pytest.approx(volume(tissue.name, "whole"))
    labelled = sum(
        row.volume_ml
        for row in found.volumes
        if row.kind == "region" and row.extent == "whole" and not row.missing
    )
    assert labelled == pytest.approx(np.count_nonzero(body.regions.array) * 30 / 1000)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000), code=st.sampled_from(["RAS", "LPI", "LAI", "RPS"]))
def test_flips_of_the_ct_or_of_a_mask_change_no_volume(seed: int, code: str) -> None:
    body = random_body(seed)
    expected = measure(body.ct, body.regions, parts=body.parts)
    flipped = measure(body.ct.oriented(code), body.regions, parts=body.parts.oriented(code))
    for row, other in zip(expected.volumes, flipped.volumes, strict=True):
        assert other.volume_ml == pytest.approx(row.volume_ml, nan_ok=True)
        assert other.incomplete == row.incomplete
    back = flipped.tissue_map.oriented(body.ct.orientation).array
    np.testing.assert_array_equal(back, expected.tissue_map.array)


def sparse(volume: Volume, annotated: list[int]) -> Volume:
    array = np.full_like(volume.array, 255)
    array[..., annotated] = volume.array[..., annotated]
    return Volume(array, volume.affine)


def test_sparse_truth_is_estimated_with_its_gaps() -> None:
    body = cylinder(slices=12)
    exact = measure(body.ct, body.regions).volume("muscle")
    found = measure(body.ct, sparse(body.regions, [1, 6, 9]))
    muscle = found.volume("muscle")
    assert muscle.volume_ml == pytest.approx(exact.volume_ml)  # every slice is alike
    assert muscle.low_95_ml <= exact.volume_ml <= muscle.high_95_ml
    assert [row.slice for row in found.slices] == [1, 6, 9]
    assert {flag.name for flag in found.flags} >= {"sparse", "few-slices"}
    assert (found.tissue_map.array[..., 0] == 255).all()


def test_missing_regions_are_empty_and_absent_tissue_is_0() -> None:
    body = cylinder()
    regions = np.where(body.regions.array == BodyRegion.PERICARDIUM, 0, body.regions.array)
    hu = np.where(body.ct.array == -80, 30, body.ct.array)  # no fat in the mediastinum
    found = measure(Volume(hu, body.ct.affine), Volume(regions, body.ct.affine))
    assert math.isnan(found.volume("epicardial_adipose").volume_ml)
    assert found.volume("epicardial_adipose").missing
    assert found.volume("paracardial_adipose").volume_ml == 0
    assert math.isnan(found.slices[0].tissues["epicardial_adipose"].area_cm2)
    (flag,) = (one for one in found.flags if one.name == "missing")
    assert "epicardial adipose" in flag.text
    assert "paracardial" not in flag.text


def test_what_the_scan_edge_cuts_has_its_value_and_a_flag() -> None:
    body = cylinder()
    regions = body.regions.array.copy()
    heart = regions == BodyRegion.PERICARDIUM
    heart[..., 2:8] = False
    regions[heart] = BodyRegion.MEDIASTINUM  # the pericardium now ends inside the scan
    found = measure(body.ct, Volume(regions, body.ct.affine))
    assert found.volume("epicardial_adipose").incomplete == ""
    assert found.volume("muscle").incomplete == "scan edge"
    assert found.volume("muscle").volume_ml > 0


@pytest.mark.parametrize("padding", [-3024, None])
def test_skin_at_the_edge_of_the_field_of_view_is_flagged(padding: int | None) -> None:
    body = cylinder(size=101)  # a radius of 76 mm in the image cuts the body of 80 mm
    ct, regions = body.ct.array.copy(), body.regions.array.copy()
    if padding is not None:
        i, j = np.indices((101, 101))
        outside = np.hypot(i - 50, j - 50) > 50
        ct[outside], regions[outside] = padding, 0
    found = measure(Volume(ct, body.ct.affine), Volume(regions, body.ct.affine))
    assert found.volume("subcutaneous_adipose").incomplete == "scan edge, field of view"
    assert found.volume("bone").incomplete == "scan edge"
    shares = {row.truncated_share for row in found.slices}
    assert min(shares) > (0.9 if padding is not None else 0.2)
    (flag,) = (one for one in found.flags if one.name == "field-of-view")
    assert flag.severity == "warning"
    assert "slices 0-9" in flag.text


def test_one_voxel_is_the_outermost_layer_of_the_regions() -> None:
    regions = np.zeros((9, 9, 2), np.uint8)
    regions[1:8, 1:8] = BodyRegion.MUSCLE  # 49 pixels, 24 of them at the border
    ct = np.where(regions > 0, 50, -1000).astype(np.int16)
    affine = np.diag([10.0, 10.0, 10.0, 1.0])
    found = measure(Volume(ct, affine), Volume(regions, affine))
    assert found.slices[0].tissues["muscle"].area_cm2 == 49
    assert found.slices[0].tissues["muscle"].one_voxel_cm2 == 24
    assert found.volume("muscle").one_voxel_ml == 48


def test_muscle_index_needs_a_height() -> None:
    body = cylinder()
    (row,) = measured_at(body, "slice:4", height_cm=160.0)
    assert row.muscle_index_cm2_per_m2 == pytest.approx(row.tissues["muscle"].area_cm2 / 1.6**2)
    (row,) = measured_at(body, "slice:4", height_cm=None)
    assert math.isnan(row.muscle_index_cm2_per_m2)


def measured_at(body: Body, level: str, height_cm: float | None):  # noqa: ANN201
    found = measure(body.ct, body.regions, levels=[level], height_cm=height_cm)
    return [row for row in found.levels if row.way == "slice"]


def test_torso_without_arms_is_smaller_and_flagged() -> None:
    body = cylinder()
    found = measure(body.ct, body.regions, parts=body.parts, levels=["slice:4"])
    area = {
        row.extent: row.tissues["muscle"].area_cm2 for row in found.levels if row.way == "slice"
    }
    assert area["torso"] < area["whole"]
    assert any(flag.name == "arms" and "use torso" in flag.text for flag in found.flags)
    assert math.isnan(found.volume("muscle", "head").volume_ml)  # no head in view


def test_ratio_of_volumes() -> None:
    body = cylinder()
    found = measure(body.ct, body.regions)
    ratio = {row.ratio: row.value for row in found.ratios}
    assert ratio["muscle_to_bone"] == pytest.approx(rings(*MUSCLE) / rings("bone"), rel=0.05)


def bad(change: str) -> Composition:
    body = cylinder(slices=3)
    ct, regions, parts = body.ct, body.regions, body.parts

    def regions_of(array: np.ndarray, affine: np.ndarray = ct.affine) -> Composition:
        return measure(ct, Volume(array, affine))

    labels = regions.array
    calls: dict[str, Callable[[], Composition]] = {
        "grid": lambda: regions_of(labels[..., :2]),
        "moved": lambda: regions_of(labels, ct.affine + MOVED_1_MM),
        "label": lambda: regions_of(np.where(labels == 2, 14, labels)),
        "part": lambda: measure(ct, regions, parts=regions),
        "same": lambda: measure(ct, parts, parts=parts),
        "parts as regions": lambda: measure(ct, parts),
        "empty": lambda: regions_of(labels * 0),
        "unannotated": lambda: regions_of(labels * 0 + 255),
        "no HU": lambda: measure(Volume(ct.array + 1024, ct.affine), regions),
        "metres": lambda: measure(ct, regions, height_cm=1.75),
        "no mask": lambda: measure(ct, regions, levels=["L3"]),
        "outside": lambda: measure(ct, regions, levels=["slice:3"]),
    }
    return calls[change]()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("grid", GridMismatchError, r"body-regions: found shape \(121, 121, 2\).*Resample"),
        ("moved", GridMismatchError, "expected the grid of the CT"),
        ("label", UnknownLabelError, "found label 14, expected labels 0 to 13"),
        ("part", UnknownLabelError, "body-parts: found label"),
        ("same", UsageError, "found the map of the body regions"),
        ("parts as regions", UsageError, "looks like a label map of body parts"),
        ("empty", UsageError, "found no label but background"),
        ("unannotated", UsageError, "found no slice without 255"),
        ("no HU", UsageError, "CT: found no value below 24.*rescale intercept"),
        ("metres", UsageError, "found 1.75 cm, expected 40 to 260 cm. Write 175."),
        ("no mask", UsageError, "level L3: found no vertebra mask"),
        ("outside", UsageError, "slice 0 to 2, -200 to -192 mm"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(
    change: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        bad(change)
    assert "\n" not in str(raised.value)


def test_a_mask_of_another_ct_is_noticed_by_its_fat() -> None:
    body = cylinder()
    muscle = replace(
        body, ct=Volume(np.where(body.ct.array == -100, 40, body.ct.array), body.ct.affine)
    )
    (flag,) = (f for f in measure(muscle.ct, muscle.regions).flags if f.name == "attenuation")
    assert "only 0%" in flag.text
