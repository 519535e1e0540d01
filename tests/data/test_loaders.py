import pytest

from training.data.loaders import EpochSampler


@pytest.mark.parametrize("skip", [0, 1, 4])
def test_a_sampler_leaves_out_what_is_done(skip: int) -> None:
    sampler = EpochSampler(4, world_size=2, rank=1)
    whole = list(sampler)
    sampler.skip = skip
    assert list(sampler) == whole[skip:]
    assert len(sampler) == 4
