"""Cheaper modules paint what the stock ones paint."""

import math
from copy import deepcopy
from platform import machine
from typing import Any

import pytest
import torch
from diffusers import StableDiffusion3Pipeline
from diffusers.models.activations import GELU
from diffusers.models.normalization import RMSNorm

from imagemill.pico import folder, parts
from imagemill.pico.denoiser import LOOK_DIM
from imagemill.pico.looks import ROWS
from imagemill.pipelines.cheap_kernels import FEW, paired, spare

__all__ = ["parts"]  # the pipeline's own classes


def stock(dtype: torch.dtype) -> StableDiffusion3Pipeline:
    return StableDiffusion3Pipeline.from_pretrained(folder(), dtype=dtype)


def asked(dtype: torch.dtype) -> dict[str, Any]:
    """Of the transformer."""
    made = torch.Generator().manual_seed(0)
    shapes = {
        "hidden_states": (4, 49, 16, 16),
        "encoder_hidden_states": (4, 5 + ROWS, LOOK_DIM),
        "pooled_projections": (4, 64),
    }
    drawn = {name: torch.randn(shape, generator=made) for name, shape in shapes.items()}
    drawn["encoder_hidden_states"][:, -ROWS:] = 0  # no looks
    given: dict[str, Any] = {name: value.to(dtype) for name, value in drawn.items()}
    return given | {"timestep": torch.rand(4, generator=made) * 1000, "return_dict": False}


@torch.inference_mode()
def answer(pipe: StableDiffusion3Pipeline) -> torch.Tensor:
    output: torch.Tensor = pipe.transformer(**asked(pipe.transformer.dtype))[0]
    return output.float()


def test_what_is_put_in_is_as_near_to_float32_as_what_was_there() -> None:
    exact, pipe = answer(stock(torch.float32)), stock(torch.bfloat16)
    before = (answer(pipe) - exact).square().mean().sqrt()
    names = set(pipe.transformer.state_dict())
    spare(pipe)
    after = (answer(pipe) - exact).square().mean().sqrt()
    assert 0 < after < 1.1 * before
    assert set(pipe.transformer.state_dict()) == names
    left = list(pipe.transformer.modules())
    assert not any(isinstance(part, RMSNorm) for part in left)
    assert {part.approximate for part in left if isinstance(part, GELU)} == {"none"}


@torch.inference_mode()
def test_float32_keeps_its_bits_and_gives_four_rows_those_of_twice_two() -> None:
    pipe, given = stock(torch.float32), asked(torch.float32)
    halves = [
        {
            name: value[at : at + 2] if torch.is_tensor(value) else value
            for name, value in given.items()
        }
        for at in (0, 2)
    ]
    before = torch.cat([pipe.transformer(**half)[0] for half in halves])
    spare(pipe)
    assert torch.equal(torch.cat([pipe.transformer(**half)[0] for half in halves]), before)
    assert torch.equal(answer(pipe), before) or machine() != "x86_64"  # where it was measured


@torch.inference_mode()
@pytest.mark.parametrize("shape", [(4, 64), (4, 1, 64)])  # (n, 1, c): a UNet's middle, 64 px
def test_rows_of_one_vector_have_the_bits_of_pairs(shape: tuple[int, ...]) -> None:
    pipe, vectors = stock(torch.float32), torch.randn(shape)
    layer = torch.nn.Sequential(torch.nn.Linear(64, 64))
    pipe.transformer.context_embedder = layer
    spare(pipe)
    assert torch.equal(layer(vectors), torch.cat([layer(vectors[:2]), layer(vectors[2:])]))


@pytest.mark.parametrize("shape", [(1, 8), (5, 8), (3, 7, 8), (8,)])
def test_layers_in_pairs_give_every_row(shape: tuple[int, ...]) -> None:
    linear, given = torch.nn.Linear(8, 4), torch.randn(shape)
    before = linear(given)
    pipe = stock(torch.float32)
    pipe.transformer.context_embedder = torch.nn.Sequential(linear)
    spare(pipe)
    assert type(linear) is not torch.nn.Linear
    assert torch.allclose(linear(given), before, atol=1e-5)


@pytest.mark.parametrize(("weighted", "bias"), [(False, False), (True, False), (True, True)])
def test_a_norm_of_any_kind_gives_what_it_gave(weighted: bool, bias: bool) -> None:
    pipe = stock(torch.bfloat16)
    norm = RMSNorm(192, 1e-6, elementwise_affine=weighted, bias=bias)
    for weight in norm.parameters():
        torch.nn.init.normal_(weight)
    pipe.transformer.context_embedder = torch.nn.Sequential(norm.to(torch.bfloat16))
    row = torch.randn(3, 192, dtype=torch.bfloat16)
    before = pipe.transformer.context_embedder(row)
    spare(pipe)
    after = pipe.transformer.context_embedder(row)
    assert torch.allclose(after, before, rtol=2**-6, atol=2**-6)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("dtype", "few"), [(torch.bfloat16, math.inf), (torch.float32, FEW)], ids=["bf16", "float32"]
)
@pytest.mark.parametrize("shape", [(8, 16, 768), (6, 2, 3, 768), (5, 768), (32, 7, 768)])
def test_long_layers_give_each_row_the_bits_that_it_has_in_a_pair(
    dtype: torch.dtype, few: float, shape: tuple[int, ...]
) -> None:
    """With AMX more rows than two would change a value in ten thousand; this is 30,000 and more."""
    plain = torch.nn.Linear(768, 768, dtype=dtype)
    linear = paired(deepcopy(plain), few)
    for seed in range(8):
        rows = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
        pairs = [plain(pair) for pair in rows.split(2)]
        assert torch.equal(linear(rows), torch.cat(pairs)) or machine() != "x86_64"
