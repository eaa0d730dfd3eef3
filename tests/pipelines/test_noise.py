"""Seeds of 64 bits."""

import numpy as np
import pytest
import torch

from imagemill.generation import MAX_SEED
from imagemill.pipelines.noise import generator


def drawn(seed: int) -> bytes:
    return torch.randn(64, generator=generator(seed)).numpy().tobytes()


@pytest.mark.parametrize("seed", [0, 7, 2**31, 2**32 - 1])
def test_a_seed_of_32_bits_draws_what_it_draws_in_torch(seed: int) -> None:
    plain = torch.Generator("cpu").manual_seed(seed)
    assert drawn(seed) == torch.randn(64, generator=plain).numpy().tobytes()


def test_every_bit_of_a_seed_counts() -> None:
    """7 and 7 + 2**32 painted the same: torch takes the lower half of a seed."""
    seeds = [7 ^ 1 << bit for bit in range(64)]
    assert len({drawn(seed) for seed in [7, *seeds, 2**32, MAX_SEED, MAX_SEED - 1]}) == 68


def test_a_long_seed_draws_the_same_each_time_and_is_told_whole() -> None:
    assert drawn(MAX_SEED) == drawn(MAX_SEED)
    assert generator(MAX_SEED).initial_seed() == MAX_SEED


def test_a_long_seed_fills_the_twister_as_its_makers_fill_it() -> None:
    """By a second way to the same numbers: should torch keep its words elsewhere, this tells."""
    twister = np.random.RandomState(np.array([7, 1], np.uint32))
    pairs = twister.randint(0, 2**32, (8, 2), np.uint32)  # torch makes 64 bits of two
    ours = torch.randint(0, 2**31, (8,), generator=generator(7 + 2**32))
    assert ours.tolist() == [int(low) % 2**31 for _, low in pairs]


def test_noise_is_even_and_of_the_usual_spread() -> None:
    noise = torch.randn(10_000, generator=generator(2**63 + 5))
    assert abs(noise.mean()) < 0.05
    assert abs(noise.std() - 1) < 0.05
