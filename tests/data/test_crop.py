import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.data.crop import copy_crop

AXES = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 8), st.integers(-12, 12)), min_size=1, max_size=3
)


@given(AXES)
def test_crop_equals_the_crop_of_the_padded_array(axes: list[tuple[int, int, int]]) -> None:
    lengths, sizes, first = zip(*axes, strict=True)
    source = np.random.default_rng(0).integers(0, 100, (2, *lengths))
    target = np.empty((2, *sizes), source.dtype)
    copy_crop(source, target, first, -7)
    padded = np.pad(source, [(0, 0)] + [(20, 20)] * len(axes), constant_values=-7)
    box = tuple(slice(20 + f, 20 + f + s) for f, s in zip(first, sizes, strict=True))
    assert np.array_equal(target, padded[(slice(None), *box)])
