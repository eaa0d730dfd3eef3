"""What an IP-Adapter adds to a denoiser's attention: computed beside it, for the rows that want it.

The numbers are those of diffusers' own attention processors for IP-Adapters, whose weights these
are. The processors themselves would take the place of the model's, for all who share it; here rows
without an IP-Adapter get the very bytes of the plain model, as with LoRAs (`lora.layers`).
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from diffusers.image_processor import IPAdapterMaskProcessor
from torch.nn import functional as F

from imagemill.pipelines.ip_adapters import Attention
from imagemill.pipelines.lora.layers import Segment, aligned, segments, span

Read = tuple[torch.Tensor, ...]  # the outputs that an attention's part of a Segment gave


@dataclass(frozen=True, eq=False)
class ImageTerm:
    """What image tokens add to one attention.

    weights: diffusers' processor, whose keys and values of the tokens these are. tokens: (n, t, c).
    time: what the time step is told by, (n, c), where the weights read it. mask: (1, h, w), 0 to 1.
    """

    weights: Any
    tokens: torch.Tensor
    scale: float
    time: torch.Tensor | None = None
    mask: torch.Tensor | None = None


@dataclass
class _Active(threading.local):
    """read: what attentions gave in the forward that the thread computes, by attention and part."""

    read: defaultdict[torch.nn.Module, dict[str, torch.Tensor]] | None = None

    @property
    def parts(self) -> defaultdict[torch.nn.Module, dict[str, torch.Tensor]]:
        if self.read is None:
            self.read = defaultdict(dict)
        return self.read


_ACTIVE = _Active()
_HOOKED = "_imagemill_joins"  # set on an attention that looks for what an IP-Adapter adds
_HOOKING = threading.Lock()


def hook(attention: torch.nn.Module, block: torch.nn.Module, places: Attention) -> None:
    """From now on the attention looks for what is to be added; forwards may run meanwhile."""
    with _HOOKING:
        if hasattr(attention, _HOOKED):
            return
        for name in places.read:
            attention.get_submodule(name).register_forward_hook(partial(_keep, attention, name))
        if places.joins:
            part = attention.get_submodule(places.joins)
            part.register_forward_pre_hook(partial(_before, attention))
        else:
            block.register_forward_hook(partial(_after, attention))
        setattr(attention, _HOOKED, True)


def _concerned(attention: torch.nn.Module) -> list[Segment]:
    return [each for each in segments() if attention in each.added.images]


def _keep(attention: torch.nn.Module, name: str, _: Any, __: Any, output: torch.Tensor) -> None:
    if _concerned(attention):
        _ACTIVE.parts[attention][name] = output


def _before(attention: torch.nn.Module, _: Any, args: tuple[torch.Tensor, ...]) -> None:
    _join(attention, args[0])


def _after(attention: torch.nn.Module, _: Any, __: Any, output: tuple[torch.Tensor, ...]) -> None:
    _join(attention, output[1])  # text and image


def _join(attention: torch.nn.Module, x: torch.Tensor) -> None:
    """Adds to the image's tokens `x`, (rows, s, c), which nobody else holds."""
    concerned = _concerned(attention)
    read = _ACTIVE.parts.pop(attention, {})
    for segment in concerned:
        rows = span(attention, segment, x, x)
        term = segment.added.images[attention]
        own = tuple(aligned(each[rows]) for each in read.values())
        x[rows] += _ADDITIONS[type(term.weights).__name__](attention, term, own)


def _heads(attention: Any, x: torch.Tensor) -> torch.Tensor:
    """(n, s, c) to (n, heads, s, c / heads)."""
    return x.view(len(x), -1, attention.heads, x.shape[-1] // attention.heads).transpose(1, 2)


def _attended(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """(n, heads, s, c / heads) to (n, s, c)."""
    out = F.scaled_dot_product_attention(query, key, value, dropout_p=0.0, is_causal=False)
    return out.transpose(1, 2).reshape(len(out), out.shape[2], -1).to(query.dtype)


def _crossing(attention: Any, term: ImageTerm, read: Read) -> torch.Tensor:
    """As IPAdapterAttnProcessor2_0: the image is attended to beside the text."""
    weights, query = term.weights, read[0]
    key, value = weights.to_k_ip[0](term.tokens), weights.to_v_ip[0](term.tokens)
    out = _attended(*(_heads(attention, each) for each in (query, key, value)))
    if term.mask is not None:
        shape = len(out), out.shape[1], out.shape[2]
        out = out * IPAdapterMaskProcessor.downsample(term.mask, *shape).to(out)
    return term.scale * out


def _joint(attention: Any, term: ImageTerm, read: Read) -> torch.Tensor:
    """As SD3IPAdapterJointAttnProcessor2_0: the picture attends to itself and the image."""
    weights = term.weights
    tokens = weights.norm_ip(term.tokens, temb=term.time)
    key, value = (
        _heads(attention, each) for each in (weights.to_k_ip(tokens), weights.to_v_ip(tokens))
    )
    own_query, own_key, own_value = (_heads(attention, each) for each in read)
    keys = torch.cat([weights.norm_k(own_key), weights.norm_ip_k(key)], dim=2)
    values = torch.cat([own_value, value], dim=2)
    return _attended(weights.norm_q(own_query), keys, values) * term.scale


def _after_block(attention: Any, term: ImageTerm, read: Read) -> torch.Tensor:
    """As FluxIPAdapterAttnProcessor: the queries have their norm, and no places yet."""
    weights, query = term.weights, read[0].transpose(1, 2)
    key, value = weights.to_k_ip[0](term.tokens), weights.to_v_ip[0](term.tokens)
    return term.scale * _attended(query, _heads(attention, key), _heads(attention, value))


# By class of diffusers' processor.
_ADDITIONS: Mapping[str, Callable[[Any, ImageTerm, Read], torch.Tensor]] = {
    "IPAdapterAttnProcessor2_0": _crossing,
    "SD3IPAdapterJointAttnProcessor2_0": _joint,
    "FluxIPAdapterAttnProcessor": _after_block,
}
