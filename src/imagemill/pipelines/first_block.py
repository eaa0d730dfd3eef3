"""First-block cache: steps whose first block changed little take the rest from an earlier step.

A denoiser's first block, a small part of it, tells how much a step differs from the last one that
was computed whole (as ParaAttention and diffusers' `FirstBlockCacheConfig` have it). Where that is
little, what the other blocks added then is added again. diffusers decides for a whole batch at a
time; here every image decides for itself, from its own rows alone, so that its bytes never depend
on who is beside it: a denoiser's call is made of calls of three methods of `Stages`, each of which
may share a forward with those of other images.
"""

import copy
import inspect
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import torch
from diffusers import DiffusionPipeline

from imagemill.generation import Acceleration

METHODS = ("first", "rest", "skip")  # of `Stages`
# By acceleration, such a part of what the first block changed before may its change differ, on
# average over all values, for the rest to be taken again. Measured with pico at 20 steps: 43 and
# 39 dB from the exact images, 1.3 and 1.5 times faster (`benchmarks/acceleration.py`).
THRESHOLDS: Mapping[Acceleration, float] = {"regular": 0.12, "high": 0.2}
HIDDEN, TEXT = "hidden_states", "encoder_hidden_states"

# By class of denoiser (diffusers 0.42.1), the lists of its blocks in order. Each block takes image
# and text by the names above, and gives text and image.
BLOCKS: Mapping[str, tuple[str, ...]] = {
    "SD3Transformer2DModel": ("transformer_blocks",),
    "SketchTransformer": ("transformer_blocks",),
    "FluxTransformer2DModel": ("transformer_blocks", "single_transformer_blocks"),
}
# Arguments that act between the blocks, which a cached rest would miss.
BETWEEN = frozenset(
    {
        "block_controlnet_hidden_states",
        "controlnet_block_samples",
        "controlnet_single_block_samples",
        "image_prompt",  # which `ip_prompting` adds
        "skip_layers",
    }
)


class _First(Exception):  # no error: it ends a forward after its first block
    def __init__(self, states: tuple[torch.Tensor, ...]) -> None:
        super().__init__()
        self.states = states


@dataclass
class _Active(threading.local):
    """What the forward that the thread computes is for: one of METHODS, or empty for all of it.

    states: text and image after the first block. last: the image after the last block.
    """

    method: str = ""
    states: tuple[torch.Tensor, ...] = ()
    last: torch.Tensor | None = None


_ACTIVE = _Active()
_GATING = threading.Lock()


class Stages(torch.nn.Module):
    """A denoiser in parts; `first`, `rest` and `skip` take its own arguments, by name.

    first: text and image after the first block (n, tokens, c), and what it changed of the image.
    rest: the denoiser's output, and what the other blocks added to the image. skip: the output for
    an image after the last block. The latter two take text and image as `states`.
    """

    real: Any
    config: Any

    def __init__(self, real: torch.nn.Module) -> None:
        super().__init__()
        object.__setattr__(self, "real", real)  # past torch, which would register it as a child
        self.config = real.config
        blocks = [each for name in BLOCKS[type(real).__name__] for each in getattr(real, name)]
        self.count = len(blocks)
        with _GATING:
            for place, block in enumerate(blocks):
                _gate(block, place == 0, place == len(blocks) - 1)

    def parameters(self, recurse: bool = True) -> Iterator[torch.nn.Parameter]:
        parameters: Iterator[torch.nn.Parameter] = self.real.parameters(recurse)
        return parameters

    def first(self, **arguments: Any) -> tuple[torch.Tensor, ...]:
        with _for("first"):
            try:
                self.real(**arguments)
            except _First as end:
                return end.states
        raise AssertionError("the first block was never reached")

    def rest(self, states: tuple[torch.Tensor, ...], **arguments: Any) -> tuple[Any, torch.Tensor]:
        with _for("rest", states):
            output = self.real(**arguments)
            assert _ACTIVE.last is not None
            return output, _ACTIVE.last - states[1]

    def skip(self, states: tuple[torch.Tensor, ...], **arguments: Any) -> Any:
        with _for("skip", states):
            return self.real(**arguments)


@contextmanager
def _for(method: str, states: tuple[torch.Tensor, ...] = ()) -> Iterator[None]:
    _ACTIVE.method, _ACTIVE.states, _ACTIVE.last = method, states, None
    try:
        yield
    finally:
        _ACTIVE.method, _ACTIVE.states, _ACTIVE.last = "", (), None


def _gate(block: torch.nn.Module, is_first: bool, is_last: bool) -> None:
    """From now on the block does what the thread's forward is for."""
    if isinstance(vars(block).get("forward"), partial):
        return
    names = tuple(inspect.signature(block.forward).parameters)
    block.forward = partial(_forward, block.forward, names, is_first, is_last)


def _forward(
    own: Callable[..., Any],
    names: tuple[str, ...],
    is_first: bool,
    is_last: bool,
    *args: Any,
    **kwargs: Any,
) -> Any:
    method = _ACTIVE.method
    if not method or (method == "rest" and not is_first and not is_last):
        return own(*args, **kwargs)
    arguments = dict(zip(names, args, strict=False)) | kwargs
    if method == "first":
        text, image = own(*args, **kwargs)
        raise _First((text, image, image - arguments[HIDDEN]))
    if is_first:
        return _ACTIVE.states
    if method == "skip":
        return arguments[TEXT], arguments[HIDDEN]
    text, _ACTIVE.last = own(*args, **kwargs)
    return text, _ACTIVE.last


@dataclass
class _Kept:
    """Of the last whole step: what the first block changed, and what the rest added."""

    change: torch.Tensor
    added: torch.Tensor


@dataclass
class FirstBlockCache:
    """Calls the denoiser for one image, whose steps come one after the other.

    module, stages: the denoiser, whole and in parts. threshold: see THRESHOLDS. skipped: calls
    whose rest was not computed.
    """

    module: Any
    stages: Any
    threshold: float
    skipped: int = 0
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _context: str = ""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        names = _names(getattr(self.module, "real", self.module).__class__)
        arguments = dict(zip(names, args, strict=False)) | kwargs
        if any(arguments.get(name) is not None for name in BETWEEN):
            return self.module(*args, **kwargs)
        text, image, change = self.stages.first(**arguments)
        kept = self._kept.get(self._context)
        if kept is not None and _apart(change, kept.change) < self.threshold:
            self.skipped += 1
            return self.stages.skip(states=(text, image + kept.added), **arguments)
        output, added = self.stages.rest(states=(text, image), **arguments)
        self._kept[self._context] = _Kept(change, added)
        return output

    @contextmanager
    def cache_context(self, name: str, *_: Any, **__: Any) -> Iterator[None]:
        """Calls with and without the prompt, where a pipeline makes them apart."""
        before, self._context = self._context, name
        try:
            yield
        finally:
            self._context = before


def caches(denoiser: object) -> bool:
    """Whether the rest of its steps can be taken from earlier ones; False for None."""
    return denoiser.__class__.__name__ in BLOCKS


def accelerate(pipe: DiffusionPipeline, acceleration: Acceleration, tolerance: float = 1.0) -> None:
    """Lets the one call that is to be made of a pipeline save steps, where it can.

    tolerance: times THRESHOLDS.
    """
    module = getattr(pipe, "transformer", None)
    if acceleration == "none" or module is None or not caches(module):
        return
    saving = copy.copy(module)  # shares its weights
    cached = FirstBlockCache(module, stages_of(module), tolerance * THRESHOLDS[acceleration])
    for name in ("forward", "cache_context"):
        object.__setattr__(saving, name, getattr(cached, name))
    object.__setattr__(pipe, "transformer", saving)


def stages_of(module: torch.nn.Module) -> Any:
    """The same for all who share the module."""
    stages = getattr(module, "stages", None)
    if stages is None:
        stages = Stages(module)
        object.__setattr__(module, "stages", stages)
    return stages


def _apart(change: torch.Tensor, before: torch.Tensor) -> float:
    if change.shape != before.shape:
        return float("inf")
    return ((change - before).abs().mean() / before.abs().mean()).item()


@cache
def _names(kind: Hashable) -> tuple[str, ...]:
    """The arguments of a denoiser's class, in order."""
    return tuple(inspect.signature(kind.forward).parameters)[1:]  # type: ignore[attr-defined]
