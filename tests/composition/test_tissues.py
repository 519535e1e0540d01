"""Tissue rules: every HU of every region, against the rules of BOA restated by hand."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from saros_hf.composition import TISSUES, tissue_map
from saros_hf.composition.compartments import COMPARTMENTS, members
from saros_hf.composition.tissues import hounsfield
from saros_hf.labels import BodyRegion
from saros_hf.volume import Volume

# BOA's table: tissue id, lowest and highest HU inclusive, id of the region.
BOA = [
    (1, -29, 150, 2),
    (2, -1000, 3000, 5),
    (3, -190, -30, 1),
    (4, -190, -30, 3),
    (5, -190, -30, 2),
    (6, -190, -30, 9),
    (7, -190, -30, 7),
]


def boa_tissues(ct: np.ndarray, regions: np.ndarray, *, median: bool = False) -> np.ndarray:
    if median:
        ct = ndimage.median_filter(ct, size=(3, 3, 1))
    tissues = np.zeros(regions.shape, np.uint8)
    for label, low, high, region in BOA:
        tissues[(regions == region) & (ct >= low) & (ct <= high)] = label
    tissues[regions == 255] = 255  # the one difference: BOA has no "not annotated"
    return tissues


@pytest.mark.parametrize("median", [False, True])
def test_tissue_map_is_that_of_boa_voxel_by_voxel(median: bool) -> None:
    rng = np.random.default_rng(0)
    every_hu = np.arange(-3100, 3200, dtype=np.int16)
    ct = rng.permuted(np.tile(every_hu, (14, 1)), axis=1)[:, None, :].repeat(3, axis=1)
    regions = np.broadcast_to(np.arange(14, dtype=np.uint8)[:, None, None], ct.shape).copy()
    regions[..., ::7] = 255
    found = tissue_map(Volume(ct, np.eye(4)), Volume(regions, np.eye(4)), median_filter=median)
    np.testing.assert_array_equal(found.array, boa_tissues(ct, regions, median=median))


def test_no_fractional_hu_falls_between_two_tissues() -> None:
    hu = np.linspace(-191, 152, 10_001)[:, None, None]
    muscle = np.full(hu.shape, BodyRegion.MUSCLE, np.uint8)
    found = tissue_map(Volume(hu, np.eye(4)), Volume(muscle, np.eye(4))).array
    assert (found[(hu > -190.4) & (hu < 150.4)] > 0).all()
    assert found[hu < -190.6].tolist() == [0] * int((hu < -190.6).sum())


def test_hounsfield_rounds_clips_and_takes_nan_for_air() -> None:
    found = hounsfield(np.array([-29.6, -29.4, np.nan, 1e6, -np.inf]))
    assert found.tolist() == [-30, -29, -1024, 32767, -32768]


def test_compartments_cover_every_hu_of_every_region_once() -> None:
    for region in tuple(BodyRegion)[1:]:
        ranges = [(one.low_hu, one.end_hu) for one in COMPARTMENTS if one.region == region]
        assert ranges[0][0] == -32768
        assert ranges[-1][1] == 32768
        assert all(end == low for (_, end), (low, _) in pairwise(ranges))


def test_composed_tissues_are_the_union_of_their_parts() -> None:
    of = {tissue.name: set(members(tissue)) for tissue in TISSUES}
    adipose = [f"{one}_adipose" for one in ("subcutaneous", "visceral", "intermuscular")]
    adipose += ["paracardial_adipose", "epicardial_adipose"]
    assert of["total_adipose"] == set().union(*(of[name] for name in adipose))
    low, normal = of["low_attenuation_muscle"], of["normal_attenuation_muscle"]
    assert of["muscle"] == low | normal
    assert not low & normal
