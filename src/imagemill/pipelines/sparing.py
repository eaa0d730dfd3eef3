"""The same computations at less cost, for a processor that computes in bfloat16.

What is put in is as near to the same network in float32: the root mean square of what bfloat16 puts
off is 0.012 with either. Measured on pico, 32 rows at once: GELU by tanh was a seventh of a
forward, and the norms of queries and keys saved a thirtieth.
"""

from collections.abc import Callable

import torch
from diffusers import DiffusionPipeline
from diffusers.models.activations import GELU
from diffusers.models.normalization import RMSNorm


def spare(pipe: DiffusionPipeline) -> None:
    """Puts cheaper modules into those of `pipe`."""
    if pipe.device.type != "cpu" or pipe.dtype != torch.bfloat16:
        return
    modules = (each for each in pipe.components.values() if isinstance(each, torch.nn.Module))
    for part in [part for module in modules for part in module.modules()]:
        for name, child in part.named_children():
            if type(child) in CHEAPER:
                setattr(part, name, CHEAPER[type(child)](child))


def _gelu(gelu: GELU) -> GELU:
    """GELU itself instead of its approximation by tanh, which is within 5e-4 of it."""
    gelu.approximate = "none"
    return gelu


def _rms_norm(norm: RMSNorm) -> torch.nn.Module:
    """torch's own, of the same weight."""
    own = torch.nn.RMSNorm(norm.dim, norm.eps, elementwise_affine=norm.weight is not None)
    own.weight = norm.weight
    return norm if norm.bias is not None else own


CHEAPER: dict[type[torch.nn.Module], Callable[..., torch.nn.Module]] = {
    GELU: _gelu,
    RMSNorm: _rms_norm,
}
