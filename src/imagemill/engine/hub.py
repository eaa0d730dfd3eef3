"""Where stock pipelines meet the engine: stand-ins that park a trajectory at every call of a heavy
module.

A trajectory is a greenlet in which a pipeline's own `__call__` runs. Its parent, the runner,
switches into it with the output of a call and gets the next call, a `ModuleCall`, or in the end the
picture.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from diffusers import DiffusionPipeline
from greenlet import getcurrent

from imagemill.engine.calls import describe, know_distributions
from imagemill.engine.heap import keep_freed_memory
from imagemill.engine.modules import PARKED
from imagemill.engine.processors import usable
from imagemill.pipelines.adapters import fused
from imagemill.pipelines.loading import Loaded, load
from imagemill.pipelines.sources import Weights


class StandIn(torch.nn.Module):
    """Stands where the real module stood; all but the parked methods are the real one's."""

    def __init__(self, real: torch.nn.Module, methods: tuple[str, ...]) -> None:
        super().__init__()
        object.__setattr__(self, "real", real)  # past torch, which would register it as a child
        for method in methods:
            object.__setattr__(self, method, partial(_park, real, method))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def prepare(source: str) -> Loaded:
    """The model at `source`, which from then on paints only inside a trajectory."""
    keep_freed_memory()
    know_distributions()
    return _standing_in(load(source, device()))


def adapt(loaded: Loaded, weights: Sequence[Weights]) -> Loaded:
    """A prepared model with LoRAs; modules that they leave alone are shared, and their batches."""
    pipe = copy.copy(loaded.pipe)
    for name in PARKED:
        module = getattr(pipe, name, None)
        if isinstance(module, StandIn):
            object.__setattr__(pipe, name, module.real)
    return _standing_in(fused(replace(loaded, pipes={"paint": pipe}), weights))


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


def _park(module: torch.nn.Module, method: str, *args: Any, **kwargs: Any) -> Any:
    return getcurrent().parent.switch(describe(module, method, args, kwargs))
