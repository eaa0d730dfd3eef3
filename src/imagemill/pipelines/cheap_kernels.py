"""The same computations at less cost, for a processor.

In bfloat16, what is put in is as near to the same network in float32: the root mean square of what
bfloat16 puts off is 0.012 with either. Measured on pico, 32 rows at once: GELU by tanh was a
seventh of a forward, and the norms of queries and keys saved a thirtieth.

In float32, linear layers of few vectors, as those on pooled ones and times, take another kernel
for each number of them, with other last bits, and no batch would give the bits of a lone call. Two
rows at a time they have the same kernel always, as batches are even. Measured with AVX2, where rows
of one vector differ, and AVX-512, where those of up to seven do: with that alone batches of any
size agree, and a row of eight takes 13 ms where one of two takes 16.

In bfloat16 with AMX, linear layers of 512 inputs and more sum them in parts that depend on the
number of rows: one value in ten thousand has another last bit, so that many a forward agrees before
one does not. Those take two rows at a time, too, whatever a row is.
"""

import math
from collections.abc import Callable

import torch
from diffusers import DiffusionPipeline
from diffusers.models.activations import GELU
from diffusers.models.normalization import RMSNorm

FEW = 8  # vectors of a row, from which on float32 has one kernel for any number of rows
LONG = 512  # inputs of a linear layer from which on AMX sums them in parts
MOST_ROWS = 32  # of a batch; what is longer are vectors of several rows


def spare(pipe: DiffusionPipeline) -> None:
    """Puts cheaper modules into those of `pipe`."""
    if pipe.device.type != "cpu":
        return
    cheaper = PAIRED
    if pipe.dtype == torch.bfloat16:
        cheaper = CHEAPER | (PAIRED_LONG if torch.cpu.get_capabilities().get("amx_bf16") else {})
    modules = (each for each in pipe.components.values() if isinstance(each, torch.nn.Module))
    for part in [part for module in modules for part in module.modules()]:
        for name, child in part.named_children():
            if type(child) in cheaper:
                setattr(part, name, cheaper[type(child)](child))


def _gelu(gelu: GELU) -> GELU:
    """GELU itself instead of its approximation by tanh, which is within 5e-4 of it."""
    gelu.approximate = "none"
    return gelu


def _rms_norm(norm: RMSNorm) -> torch.nn.Module:
    """torch's own, of the same weight."""
    own = torch.nn.RMSNorm(norm.dim, norm.eps, elementwise_affine=norm.weight is not None)
    own.weight = norm.weight
    return norm if norm.bias is not None else own


class PairedLinear(torch.nn.Linear):
    """Takes rows of fewer vectors than `few` two at a time, (n, ..., c); all else as it comes."""

    few: float

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        rows, *vectors = input.shape[:-1] or (0,)
        if not 2 < rows <= MOST_ROWS or math.prod(vectors) >= self.few:
            return super().forward(input)
        return torch.cat([super(PairedLinear, self).forward(pair) for pair in input.split(2)])


def paired(linear: torch.nn.Linear, few: float = FEW) -> torch.nn.Module:
    linear.__class__, linear.few = PairedLinear, few  # type: ignore[assignment]
    return linear


def _paired_if_long(linear: torch.nn.Linear) -> torch.nn.Module:
    return paired(linear, math.inf) if linear.in_features >= LONG else linear


Cheaper = dict[type[torch.nn.Module], Callable[..., torch.nn.Module]]
PAIRED: Cheaper = {torch.nn.Linear: paired}
PAIRED_LONG: Cheaper = {torch.nn.Linear: _paired_if_long}
CHEAPER: Cheaper = {
    GELU: _gelu,
    RMSNorm: _rms_norm,
}
