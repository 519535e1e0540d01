import hashlib
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from saros_hf.cases.licenses import PHANTOM_COLLECTION
from saros_hf.folds import FOLDS
from saros_hf.labels import IGNORE_INDEX, BodyPart, BodyRegion
from saros_hf.phantom.patient import patient_of
from saros_hf.phantom.scan import PhantomScan, choose_slices, phantom_scan
from saros_hf.phantom.table import phantom_cohort
from saros_hf.volume import annotated_slices

SEED, SIZE, CASES = 0, 80, 12
COHORT = phantom_cohort(CASES, seed=SEED)
FAT = (-160, -60)


@cache
def scan(number: int) -> PhantomScan:
    return phantom_scan(COHORT[number], seed=SEED, size=SIZE)


def scans() -> list[PhantomScan]:
    return [scan(number) for number in range(CASES)]


def first(region: str) -> int:
    return next(n for n, case in enumerate(COHORT) if case.anatomic_region == region)


# The table


@settings(max_examples=60, deadline=None)
@given(cases=st.integers(1, 150), seed=st.integers(0, 2**32))
def test_cohorts_of_any_size_are_balanced_and_keep_patients_in_one_fold(
    cases: int, seed: int
) -> None:
    table = phantom_cohort(cases, seed=seed)
    assert [case.case_id for case in table] == [f"case_{n:03}" for n in range(cases)]
    sizes = [sum(case.fold == fold for case in table) for fold in FOLDS]
    assert max(sizes) - min(sizes) <= 1
    regions = [sum(c.anatomic_region == r for c in table) for r in ("abdomen", "thorax")]
    assert all(cases // 3 <= count <= cases // 3 + 1 for count in regions)
    assert abs(2 * sum(case.sex == "female" for case in table) - cases) <= 2
    assert {case.collection for case in table} == {PHANTOM_COLLECTION}
    assert {case.license for case in table} == {"synthetic"}
    patients: dict[str, set[tuple[str, str, bool]]] = {}
    for case in table:
        facts = case.fold, case.sex, case.has_breast_implant
        patients.setdefault(case.patient_id, set()).add(facts)
    assert all(len(facts) == 1 for facts in patients.values())
    pairs = len(table) - len(patients)
    assert pairs == (max(1, cases // 20) if cases >= 12 else 0)


def test_folds_of_a_cohort() -> None:
    assert {case.fold for case in phantom_cohort(3, seed=0)} == {"fold-2", "fold-1", "test"}
    table = phantom_cohort(36, seed=3)
    for fold in FOLDS:
        own = [case for case in table if case.fold == fold]
        assert len(own) == 6
        assert {case.anatomic_region for case in own} == {"abdomen", "thorax", "wholebody"}
        assert {case.sex for case in own} == {"female", "male"}


@pytest.mark.parametrize(("cases", "lai"), [(6, 1), (48, 4), (96, 7)])
def test_about_one_in_sixteen_is_lai(cases: int, lai: int) -> None:
    table = phantom_cohort(cases, seed=0)
    assert sum(case.orientation == "LAI" for case in table) == pytest.approx(lai, abs=1)
    assert {case.orientation for case in table} == {"LPS", "LAI"}


def test_implants_go_to_women_with_the_chest_in_view_and_to_different_folds() -> None:
    table = phantom_cohort(96, seed=0)
    implants = [case for case in table if case.has_breast_implant]
    assert {case.sex for case in implants} == {"female"}
    assert "abdomen" not in {case.anatomic_region for case in implants}
    assert len({case.fold for case in implants}) == len(implants) >= 5


def test_uids_are_unique_and_legal() -> None:
    table = [*phantom_cohort(40, seed=0), *phantom_cohort(40, seed=1)]
    uids = [uid for case in table for uid in (case.study_instance_uid, case.series_instance_uid)]
    assert len(set(uids)) == 160
    assert all(re.fullmatch(r"2\.25\.[1-9]\d{0,38}", uid) for uid in uids)


# Reproducibility


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (0, "da004433a106d7c26b75dc8aee88c3ac7648888824ab791cf886f33403cee085"),
        (7, "9fa386a2f2c4eb14162fc186c767a75cef3b2ae80dc29acf74dffe2fc0ffc3dc"),
    ],
)
def test_voxels_of_a_seed_never_change(seed: int, expected: str) -> None:
    """Digests were recorded on x86-64 with the versions of constraints.txt."""
    digest = hashlib.sha256()
    for case in phantom_cohort(3, seed=seed):
        found = phantom_scan(case, seed=seed, size=64)
        for volume in (
            found.image,
            found.body_regions,
            found.dense_body_regions,
            found.dense_body_parts,
        ):
            digest.update(volume.array.tobytes())
            digest.update(volume.affine.tobytes())
    assert digest.hexdigest() == expected


def test_only_scans_of_one_patient_share_a_build() -> None:
    table = phantom_cohort(60, seed=0)
    builds = {(p.height_mm, p.frame, p.fat_mm) for p in (patient_of(c, seed=0) for c in table)}
    assert len(builds) == len({case.patient_id for case in table})
    fat = [build[2] for build in builds]
    assert min(fat) < 12
    assert max(fat) > 35


def test_two_scans_of_a_patient_are_different_images() -> None:
    case = COHORT[4]
    other = replace(case, case_id="case_099")
    image = phantom_scan(other, seed=SEED, size=64).image
    assert not np.array_equal(image.affine, phantom_scan(case, seed=SEED, size=64).image.affine)


# Format


@pytest.mark.parametrize("number", range(CASES))
def test_grid_and_types(number: int) -> None:
    case, found = COHORT[number], scan(number)
    assert found.image.array.dtype == np.int16
    assert found.body_regions.array.dtype == np.uint8
    assert found.image.orientation == case.orientation
    assert found.image.shape[:2] == (SIZE, SIZE)
    i, j, k = found.image.spacing_mm
    assert i == pytest.approx(j)
    assert k == pytest.approx(5.0)
    assert 355 <= i * SIZE <= 501
    assert found.image.same_grid(found.body_regions)
    assert found.image.same_grid(found.dense_body_parts)


@pytest.mark.parametrize("number", range(CASES))
def test_annotated_slices_are_complete_and_the_rest_is_255(number: int) -> None:
    found = scan(number)
    regions = found.body_regions.array
    annotated = annotated_slices(regions)
    rest = np.delete(regions, annotated, axis=2)
    assert (rest == IGNORE_INDEX).all()
    assert np.array_equal(regions[..., annotated], found.dense_body_regions.array[..., annotated])
    if found.body_parts is not None:
        parts = found.body_parts.array
        assert np.array_equal(annotated_slices(parts), annotated)
        assert np.array_equal(parts > 0, regions > 0)


def test_annotation_gaps_are_mostly_five_slices() -> None:
    gaps = np.concatenate([np.diff(annotated_slices(s.body_regions.array)) for s in scans()])
    assert np.median(gaps) == 5
    assert 0.7 < (gaps == 5).mean() < 0.97
    irregular = [(np.diff(annotated_slices(s.body_regions.array)) != 5).any() for s in scans()]
    assert sum(irregular) >= CASES / 2


def test_slices_with_metal_are_not_annotated() -> None:
    chosen = choose_slices(100, range(40, 60), np.random.default_rng(0))
    assert not np.isin(chosen, range(40, 60)).any()
    assert np.isin(chosen, range(40)).sum() == pytest.approx(8, abs=2)


def test_some_cases_lack_body_parts() -> None:
    assert [number for number in range(CASES) if scan(number).body_parts is None] == [7]


# Anatomy


def test_every_label_occurs_in_annotated_slices() -> None:
    regions = {int(v) for s in scans() for v in np.unique(s.body_regions.array)}
    parts = {int(v) for s in scans() if s.body_parts for v in np.unique(s.body_parts.array)}
    assert regions == {*map(int, BodyRegion), IGNORE_INDEX}
    assert parts == {*map(int, BodyPart), IGNORE_INDEX}


def test_implants_match_the_case_table() -> None:
    for number, case in enumerate(COHORT):
        voxels = (scan(number).dense_body_regions.array == BodyRegion.BREAST_IMPLANT).any()
        assert voxels == case.has_breast_implant


def ring(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the in-plane neighbours of a mask (i, j, k)."""
    plane = ndimage.generate_binary_structure(2, 2)[:, :, None]
    return np.asarray(ndimage.binary_dilation(mask, plane) & ~mask)


@pytest.mark.parametrize("region", ["abdomen", "thorax", "wholebody"])
def test_spinal_cord_lies_in_the_column_on_every_slice(region: str) -> None:
    dense = scan(first(region)).dense_body_regions.array
    cord = dense == BodyRegion.SPINAL_CORD
    beside = ring(cord) & (dense == BodyRegion.BONES)
    assert cord.any()
    assert beside.any(axis=(0, 1))[cord.any(axis=(0, 1))].all()
    _, pieces = ndimage.label(cord, np.ones((3, 3, 3)))
    assert pieces == 1


def test_brain_is_enclosed_by_bone() -> None:
    dense = scan(first("wholebody")).dense_body_regions.array
    brain = dense == BodyRegion.BRAIN
    around = dense[ring(brain)]
    assert np.isin(around, [BodyRegion.BONES, BodyRegion.SPINAL_CORD]).mean() > 0.98


@pytest.mark.parametrize("number", range(CASES))
def test_deep_regions_never_touch_the_skin(number: int) -> None:
    dense = scan(number).dense_body_regions.array
    outside = [BodyRegion.BACKGROUND, BodyRegion.SUBCUTANEOUS_TISSUE]
    for deep in (BodyRegion.PERICARDIUM, BodyRegion.MEDIASTINUM, BodyRegion.ABDOMINAL_CAVITY):
        assert np.isin(dense[ring(dense == deep)], outside).mean() < 0.01


def test_heart_lies_left_of_the_spine() -> None:
    ras = scan(first("thorax")).dense_body_regions.to_ras().array
    heart, spine = (
        np.argwhere(ras == label)[:, 0].mean()
        for label in (BodyRegion.PERICARDIUM, BodyRegion.SPINAL_CORD)
    )
    assert heart < spine  # i grows to the right


@pytest.mark.parametrize("orientation", ["LPS", "LAI"])
def test_sides_are_the_patients(orientation: str) -> None:
    case = replace(COHORT[first("wholebody")], orientation=orientation)
    parts = phantom_scan(case, seed=SEED, size=64).dense_body_parts
    assert parts.orientation == orientation
    ras = parts.to_ras().array

    def place(part: BodyPart) -> NDArray[np.float64]:
        return np.asarray(np.argwhere(ras == part).mean(axis=0))

    right, left = place(BodyPart.LEG_RIGHT), place(BodyPart.LEG_LEFT)
    assert right[0] > left[0]
    assert place(BodyPart.ARM_RIGHT)[0] > place(BodyPart.TORSO)[0] > place(BodyPart.ARM_LEFT)[0]
    assert place(BodyPart.HEAD)[2] > place(BodyPart.TORSO)[2] > right[2]


def test_brain_is_head_and_cavities_are_torso() -> None:
    found = scan(first("wholebody"))
    regions, parts = found.dense_body_regions.array, found.dense_body_parts.array
    assert set(np.unique(parts[regions == BodyRegion.BRAIN])) == {BodyPart.HEAD}
    for cavity in (BodyRegion.ABDOMINAL_CAVITY, BodyRegion.PERICARDIUM):
        assert set(np.unique(parts[regions == cavity])) == {BodyPart.TORSO}


# Hounsfield units


@pytest.mark.parametrize(
    ("label", "low", "high"),
    [
        (BodyRegion.SUBCUTANEOUS_TISSUE, -130, -60),
        (BodyRegion.MUSCLE, 20, 80),
        (BodyRegion.THORACIC_CAVITY, -950, -600),
        (BodyRegion.BONES, 90, 700),
        (BodyRegion.BRAIN, 15, 50),
        (BodyRegion.SPINAL_CORD, 0, 150),
        (BodyRegion.PAROTID_GLANDS, -60, 60),
        (BodyRegion.THYROID_GLANDS, 50, 220),
        (BodyRegion.SUBMANDIBULAR_GLANDS, 0, 110),
        (BodyRegion.PERICARDIUM, -60, 200),
    ],
)
def test_median_hu(label: BodyRegion, low: float, high: float) -> None:
    seen = 0
    for found in scans():
        mask = found.dense_body_regions.array == label
        inside = found.image.array[mask & ~ring(~mask)]  # off the edge, where volumes mix
        if inside.size > 30:
            seen += 1
            assert low < np.median(inside) < high
    assert seen


def test_fat_looks_alike_in_every_region() -> None:
    labels = [BodyRegion[name] for name in
              ("SUBCUTANEOUS_TISSUE", "ABDOMINAL_CAVITY", "MEDIASTINUM", "MUSCLE")]  # fmt: skip
    for found in scans():
        hu, regions = found.image.array, found.dense_body_regions.array
        fat = (hu > FAT[0]) & (hu < FAT[1])
        medians = [np.median(hu[fat & (regions == label)]) for label in labels]
        assert max(medians) - min(medians) < 35
        assert abs(medians[0] - medians[1]) < 15


def test_thresholds_cannot_separate_cavity_and_muscle() -> None:
    """The middle half of soft tissue in the abdomen overlaps muscle in most scans."""
    overlaps = 0
    for found in scans():
        hu, regions = found.image.array, found.dense_body_regions.array
        soft = hu > -20
        low, high = np.percentile(hu[soft & (regions == BodyRegion.ABDOMINAL_CAVITY)], [25, 75])
        overlaps += bool(low < np.median(hu[soft & (regions == BodyRegion.MUSCLE)]) < high)
    assert overlaps > CASES / 2


def test_table_is_background_behind_the_patient() -> None:
    for found in scans():
        hu = found.image.oriented("LPS").array
        regions = found.dense_body_regions.oriented("LPS").array
        dense = (hu > -500) & (regions == BodyRegion.BACKGROUND)
        dense &= ~np.asarray(ndimage.binary_dilation(regions > 0, iterations=2))
        assert dense.sum() > hu.shape[2] * 10
        assert np.argwhere(dense)[:, 1].mean() > np.argwhere(regions > 0)[:, 1].mean()
