import builtins
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from saros_hf.errors import UsageError
from saros_hf.load.codec import pack, unpack

SHAPES = hnp.array_shapes(min_dims=2, max_dims=3, max_side=40)


@settings(deadline=None)  # the first call imports blosc2
@given(st.sampled_from([np.int16, np.uint8]).flatmap(lambda dtype: hnp.arrays(dtype, SHAPES)))
def test_unpack_inverts_pack_in_any_memory_order(array: np.ndarray) -> None:
    for original in (array, array.T):
        back = unpack(pack(original))
        assert back.dtype == array.dtype
        assert np.array_equal(back, original)


def test_packed_slices_are_small() -> None:
    mask = np.zeros((512, 512), np.uint8)
    mask[100:400, 100:400] = 3
    assert len(pack(mask)) < mask.nbytes / 50
    image = np.random.default_rng(0).normal(130, 20, (1, 512, 512)).astype(np.int16)
    # Noise of 20 HU has 6.4 bits per voxel, so the upper bytes cost next to nothing.
    assert len(pack(image)) < 0.55 * image.nbytes


def test_missing_blosc2_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_blosc2(name: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if name == "blosc2":
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_blosc2)
    with pytest.raises(UsageError, match=r"compress: found no package blosc2.*saros-hf\[train\]"):
        pack(np.zeros((2, 2), np.uint8))
