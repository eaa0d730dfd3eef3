"""Where stock pipelines meet the engine: stand-ins that park a trajectory at every call of a heavy
module.

A trajectory is a greenlet in which a pipeline's own `__call__` runs. Its parent, the runner,
switches into it with the output of a call and gets the next call, a `ModuleCall`, or in the end the
picture.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from diffusers import DiffusionPipeline
from greenlet import getcurrent

from imagemill.engine.allocator import keep_freed_memory
from imagemill.engine.batch_axes import parked
from imagemill.engine.module_call import describe, know_distributions
from imagemill.engine.processors import usable
from imagemill.engine.sharing import share
from imagemill.errors import Fault
from imagemill.model_spec import ModelSpec, control_of
from imagemill.pipelines.adapters import Adapters
from imagemill.pipelines.families import Task
from imagemill.pipelines.first_block import METHODS, stages_of
from imagemill.pipelines.inputs import Weights
from imagemill.pipelines.loading import Loaded, load, steered
from imagemill.pipelines.lora.fixed import fixed_loras
from imagemill.pipelines.lora.layers import Added
from imagemill.pipelines.weights.headers import broken

_ADAPTERS: WeakKeyDictionary[Loaded, Adapters] = WeakKeyDictionary()  # by the plain model


class StandIn(torch.nn.Module):
    """Stands where the real module stood; all but the parked methods are the real one's, and so is
    the class, which pipelines ask for.
    """

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

    @property
    def stages(self) -> "StandIn":
        """The module in parts, of which each parks by itself."""
        return StandIn(stages_of(self.real), METHODS, self.added)

    @property
    def __class__(self) -> type:
        return type(self.real)

    @__class__.setter
    def __class__(self, kind: type) -> None:
        raise TypeError("a stand-in's class is that of the module it stands for")


def prepare(source: str, held: Iterable[Loaded] = ()) -> Loaded:
    """The model at `source`, which from then on paints only inside a trajectory. held: models whose
    parts it shares where it has the same; of the same model with another ControlNet, or with none,
    nothing is read again.
    """
    there = list(held)
    own, control = ModelSpec.at(source).address, control_of(source)
    plain = next((each for each in there if ModelSpec.at(each.source).address == own), None)
    if plain is None:
        plain = _prepared(own, there)
    return _without_control(plain, own) if control is None else _steered(plain, source, control)


def _prepared(source: str, held: Iterable[Loaded]) -> Loaded:
    keep_freed_memory()
    know_distributions()
    plain = _standing_in(share(load(source, device()), held))
    adapters = Adapters(_real(plain.pipe), fixed_loras(ModelSpec.at(source)))
    loaded = _with(plain, _always_on(adapters)) if adapters.fixed else plain
    _ADAPTERS[loaded] = adapters
    return loaded


def _without_control(loaded: Loaded, source: str) -> Loaded:
    if not loaded.controls:
        return loaded
    plain = replace(loaded, source=source, controls={})
    _ADAPTERS[plain] = _ADAPTERS[loaded]
    return plain


def _steered(plain: Loaded, source: str, control: str) -> Loaded:
    adapters = _ADAPTERS[plain]
    loaded = steered(plain, source, _real(plain.pipe), control, device())
    for pipe in loaded.controls.values():
        stand_in(pipe)
    if adapters.fixed:
        added = _always_on(adapters)
        loaded = replace(loaded, controls=_all_adapted(loaded.controls, added))
    _ADAPTERS[loaded] = adapters
    return loaded


def _always_on(adapters: Adapters) -> Mapping[str, Added]:
    try:
        return adapters.added(())
    except Fault as fault:
        raise broken(f"of the model's own LoRAs: {fault.message}") from fault


def adapt(loaded: Loaded, weights: Sequence[Weights]) -> Loaded:
    """A prepared model with LoRAs, which shares modules and forwards with the plain one."""
    return _with(loaded, _ADAPTERS[loaded].added(weights))


def _with(loaded: Loaded, added: Mapping[str, Added]) -> Loaded:
    pipes, controls = (_all_adapted(each, added) for each in (loaded.pipes, loaded.controls))
    return replace(loaded, pipes=pipes, controls=controls)


def _all_adapted(
    pipes: Mapping[Task, DiffusionPipeline], added: Mapping[str, Added]
) -> dict[Task, DiffusionPipeline]:
    return {task: _adapted(pipe, added) for task, pipe in pipes.items()}


def _real(pipe: DiffusionPipeline) -> DiffusionPipeline:
    own = copy.copy(pipe)
    for name, each in pipe.components.items():
        if isinstance(each, StandIn):
            object.__setattr__(own, name, each.real)
    return own


def _adapted(pipe: DiffusionPipeline, added: Mapping[str, Added]) -> DiffusionPipeline:
    own = copy.copy(pipe)
    for name, each in added.items():
        if isinstance(plain := getattr(own, name, None), StandIn):
            object.__setattr__(own, name, StandIn(plain.real, plain.methods, each))
    return own


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def lanes_for(threads: int | None) -> int:
    """How many forwards run side by side: on a processor as many as threads may compute."""
    return usable(threads) if device() == "cpu" else 1


def _standing_in(loaded: Loaded) -> Loaded:
    for pipe in loaded.pipes.values():
        stand_in(pipe)
    if loaded.editor is None:
        return loaded
    return replace(loaded, editor=StandIn(loaded.editor, ("forward",)))


def stand_in(pipe: DiffusionPipeline) -> None:
    """Every module parks, whatever its name; schedulers, tokenizers and image processors stay per
    request.
    """
    for name, real in pipe.components.items():
        if isinstance(real, torch.nn.Module) and not isinstance(real, StandIn):
            # Past diffusers' own bookkeeping.
            object.__setattr__(pipe, name, StandIn(real, parked(real)))


def _park(
    module: torch.nn.Module, added: Added | None, method: str, *args: Any, **kwargs: Any
) -> Any:
    return getcurrent().parent.switch(describe(module, method, args, kwargs, added))
