import builtins
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from saros_hf.errors import UsageError
from saros_hf.load.codec import pack, unpack

SHAPES = hnp.array_shapes(min_dims=2, max_dims=3, max_side=40)


@given(st.sampled_from([np.int16, np.uint8]).flatmap(lambda dtype: hnp.arrays(dtype, SHAPES)))
def test_what_is_packed_comes_back(array: np.ndarray) -> None:
    back = unpack(pack(array))
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


def test_a_slice_with_its_borders_shrinks() -> None:
    mask = np.zeros((512, 512), np.uint8)
    mask[100:400, 100:400] = 3
    assert len(pack(mask)) < mask.nbytes / 50
    image = np.random.default_rng(0).normal(130, 20, (1, 512, 512)).astype(np.int16)
    # Noise of 20 HU holds 6.4 bits a voxel: those of the upper byte are free.
    assert len(pack(image)) < 0.55 * image.nbytes


def test_arrays_in_any_memory_order_come_back() -> None:
    array = np.arange(24, dtype=np.int16).reshape(4, 6)
    assert np.array_equal(unpack(pack(array.T)), array.T)


def test_without_blosc2_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if name == "blosc2":
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UsageError, match=r"compress: found no package blosc2.*saros-hf\[train\]"):
        pack(np.zeros((2, 2), np.uint8))
