"""Where stock pipelines meet the engine: stand-ins that park a trajectory at every call of a heavy
module.

A trajectory is a greenlet in which a pipeline's own `__call__` runs. Its parent, the runner,
switches into it with the output of a call and gets the next call, a `ModuleCall`, or in the end the
picture.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from diffusers import DiffusionPipeline
from greenlet import getcurrent

from imagemill.engine.calls import describe, know_distributions
from imagemill.engine.heap import keep_freed_memory
from imagemill.engine.modules import PARKED
from imagemill.engine.processors import usable
from imagemill.pipelines.adapters import Adapters
from imagemill.pipelines.loading import Loaded, load
from imagemill.pipelines.lora.layers import Added
from imagemill.pipelines.sources import Weights

_ADAPTERS: WeakKeyDictionary[Loaded, Adapters] = WeakKeyDictionary()  # by the plain model


class StandIn(torch.nn.Module):
    """Stands where the real module stood; all but the parked methods are the real one's."""

    def __init__(
        self, real: torch.nn.Module, methods: tuple[str, ...], added: Added | None = None
    ) -> None:
        """added: what LoRAs add to the rows of every call."""
        super().__init__()
        object.__setattr__(self, "real", real)  # past torch, which would register it as a child
        object.__setattr__(self, "methods", methods)
        object.__setattr__(self, "added", added)
        for method in methods:
            object.__setattr__(self, method, partial(_park, real, added, method))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def prepare(source: str) -> Loaded:
    """The model at `source`, which from then on paints only inside a trajectory."""
    keep_freed_memory()
    know_distributions()
    return _standing_in(load(source, device()))


def adapt(loaded: Loaded, weights: Sequence[Weights]) -> Loaded:
    """A prepared model with LoRAs, which shares modules and forwards with the plain one."""
    adapters = _ADAPTERS.get(loaded)
    if adapters is None:
        adapters = _ADAPTERS[loaded] = Adapters(_real(loaded.pipe))
    added = adapters.added(weights)
    pipes = {task: _adapted(pipe, added) for task, pipe in loaded.pipes.items()}
    return replace(loaded, pipes=pipes)


def _real(pipe: DiffusionPipeline) -> DiffusionPipeline:
    own = copy.copy(pipe)
    for name in PARKED:
        if isinstance(stand_in := getattr(own, name, None), StandIn):
            object.__setattr__(own, name, stand_in.real)
    return own


def _adapted(pipe: DiffusionPipeline, added: Mapping[str, Added]) -> DiffusionPipeline:
    own = copy.copy(pipe)
    for name, each in added.items():
        if isinstance(stand_in := getattr(own, name, None), StandIn):
            object.__setattr__(own, name, StandIn(stand_in.real, stand_in.methods, each))
    return own


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def lanes_for(threads: int | None) -> int:
    """How many forwards run side by side: on a processor as many as threads may compute."""
    return usable(threads) if device() == "cpu" else 1


def _standing_in(loaded: Loaded) -> Loaded:
    for pipe in loaded.pipes.values():
        _stand_in(pipe)
    return loaded


def _stand_in(pipe: DiffusionPipeline) -> None:
    for name, methods in PARKED.items():
        real = getattr(pipe, name, None)
        if isinstance(real, torch.nn.Module):
            # Past diffusers' own bookkeeping.
            object.__setattr__(pipe, name, StandIn(real, methods))


def _park(
    module: torch.nn.Module, added: Added | None, method: str, *args: Any, **kwargs: Any
) -> Any:
    call = describe(module, method, args, kwargs)
    return getcurrent().parent.switch(call if added is None else replace(call, added=added))
