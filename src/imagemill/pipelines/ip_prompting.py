"""An IP-Adapter in one call of a pipeline, without the pipelines' knowledge of who shares it."""

import copy
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from accelerate import init_empty_weights
from diffusers import DiffusionPipeline
from diffusers.models.attention_processor import SD3IPAdapterJointAttnProcessor2_0
from numpy.typing import NDArray

from imagemill.pico.reference import acting
from imagemill.pipelines.families import DENOISERS
from imagemill.pipelines.inputs import Picture
from imagemill.pipelines.ip_attention import ImageTerm
from imagemill.pipelines.lora.layers import Added
from imagemill.pipelines.weights.ip_adapters import LoadedAdapter

IMAGE_PROMPT = "image_prompt"  # what a stand-in for a denoiser takes beside the module's arguments


@dataclass(frozen=True)
class AdapterCall:
    """What one call asks of an IP-Adapter. image: (height, width, 3). mask: where it acts, of the
    call's canvas; None for everywhere.
    """

    adapter: LoadedAdapter
    image: Picture
    scale: float
    mask: NDArray[np.bool_] | None = None


class ImagePrompting:
    """Stands before the denoiser of `own`, a pipeline of one call's own.

    Pipelines encode the image and hand the denoiser what comes of it. Here it is taken out again,
    so that the denoiser is asked as for a plain picture, and goes beside as `image_prompt`: what
    computes the forward adds it to the rows of this call alone.
    """

    def __init__(self, own: DiffusionPipeline, prompt: AdapterCall) -> None:
        self.prompt, self.adapter = prompt, prompt.adapter
        name = next(each for each in DENOISERS if getattr(own, each, None) is not None)
        self.module = getattr(own, name)
        self.mask = None if prompt.mask is None else _tensor(prompt.mask, own._execution_device)
        self.known: tuple[Any, Any] = (None, None)  # what the image was last encoded to, its tokens
        prompting = copy.copy(self.module)  # shares its weights
        answers = {
            "forward": self.forward,
            "encoder_hid_proj": SimpleNamespace(
                image_projection_layers=[self.adapter.projection], num_ip_adapters=1
            ),
            "attn_processors": {"": _active()},
        }
        for attribute, value in answers.items():
            object.__setattr__(prompting, attribute, value)
        object.__setattr__(own, name, prompting)
        object.__setattr__(own, "image_encoder", self.adapter.encoder)
        if getattr(own, "feature_extractor", None) is None:  # as diffusers has it
            object.__setattr__(own, "feature_extractor", self.adapter.extractor)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        family = self.adapter.family
        others = dict(kwargs.get(family.argument) or {})
        encoded = others.pop(family.key)
        if self.adapter.projection is None:  # the denoiser itself reads it
            others[family.key] = acting(encoded, self.prompt.scale, self.mask)
            return self.module(*args, **kwargs | {family.argument: others})
        kwargs[family.argument] = others or family.rest
        return self.module(*args, **kwargs, **{IMAGE_PROMPT: self._beside(encoded, kwargs)})

    def _beside(self, encoded: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        tokens, time = self._tokens(encoded, kwargs.get("timestep"))
        return {
            "adapter": self.adapter,
            "scale": self.prompt.scale,
            "tokens": tokens,  # (n, t, c)
            "time": time,  # (n, c)
            "mask": self.mask,
        }

    def _tokens(self, encoded: Any, timestep: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        project = self.adapter.projection
        assert project is not None
        if torch.is_tensor(encoded):  # Stable Diffusion 3, whose tokens know the time
            tokens, time = project(encoded, timestep)
            return tokens, time
        if self.known[0] is not encoded:  # the same in all steps
            self.known = encoded, project(encoded[0].flatten(0, 1))
        return self.known[1], None


def _tensor(mask: NDArray[np.bool_], device: torch.device) -> torch.Tensor:
    """(1, h, w), 0 and 1."""
    return torch.from_numpy(mask).float()[None].to(device)


@cache
def _active() -> Any:
    """By which pipelines know that there is an IP-Adapter whose scale is above 0."""
    with init_empty_weights():
        return SD3IPAdapterJointAttnProcessor2_0(8, 8, 8, 8)


def with_image(added: Added | None, beside: dict[str, Any] | None) -> Added | None:
    """What is added for the rows of a call: what LoRAs add, and the image that goes beside it."""
    if beside is None:
        return added
    adapter: LoadedAdapter = beside["adapter"]
    images = {
        joins: ImageTerm(weights, *(beside[name] for name in ("tokens", "scale", "time", "mask")))
        for joins, weights in adapter.attention.items()
    }
    shape = tuple(beside["tokens"].shape), beside["mask"] is not None
    terms, kind = ({}, "") if added is None else (added.terms, added.kind)
    owners = (adapter, *(() if added is None else added.owners))
    return Added(terms, f"{kind} {adapter.kind} {shape}", owners, images)
