"""A ControlNet within a part of the steps, at a scale of the call's own, without the pipelines'
knowledge.
"""

import copy
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch.utils._pytree import tree_map

from imagemill.pipelines import noise
from imagemill.pipelines.controls import DRAWING

OTHER = 2**63  # makes another seed of one
NOTHING = (None, None)  # in the place of what would be added: the most that a pipeline unpacks


class Controlling:
    """Stands before the ControlNet of `own`, a pipeline of one call's own.

    Pipelines ask the ControlNet in every step, at a scale of 0 where it is not to act; here it is
    not computed then, and the denoiser is called as without one. What it says is scaled after it
    was computed, so that calls of any scale can share a forward.
    """

    def __init__(self, own: DiffusionPipeline) -> None:
        self.module = own.controlnet
        scaling = copy.copy(self.module)  # shares its weights
        object.__setattr__(scaling, "forward", self.forward)
        object.__setattr__(own, "controlnet", scaling)

    def forward(
        self, *args: Any, conditioning_scale: float, guess_mode: bool = False, **kwargs: Any
    ) -> Any:
        if guess_mode:  # whose pipelines take the answer apart
            kwargs["guess_mode"] = True
        elif conditioning_scale == 0:
            return NOTHING
        output = self.module(*args, conditioning_scale=1.0, **kwargs)
        return tree_map(lambda x: _scaled(x, conditioning_scale), output)


def _scaled(x: Any, scale: float) -> Any:
    return x * scale if torch.is_tensor(x) and scale != 1 else x


class SeededVae:
    """A VAE whose samples are drawn from one seed, where its pipeline passes no generator."""

    def __init__(self, vae: Any, seed: int) -> None:
        self._vae, self._seed = vae, seed

    def encode(self, *args: Any, **kwargs: Any) -> Any:
        encoded = self._vae.encode(*args, **kwargs)
        return type(encoded)(latent_dist=_Seeded(encoded.latent_dist, self._seed))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vae, name)


class _Seeded:
    def __init__(self, distribution: DiagonalGaussianDistribution, seed: int) -> None:
        self._distribution, self._seed = distribution, seed

    def sample(self) -> torch.Tensor:
        # Not the call's own generator: the noise shall be that of a call without a control.
        sample: torch.Tensor = self._distribution.sample(noise.generator(self._seed ^ OTHER))
        return sample


def control(own: DiffusionPipeline, seed: int) -> None:
    """Lets a pipeline of one call's own paint under its ControlNet; `seed` is the call's."""
    Controlling(own)
    if type(own).__name__ in DRAWING:
        object.__setattr__(own, "vae", SeededVae(own.vae, seed))
