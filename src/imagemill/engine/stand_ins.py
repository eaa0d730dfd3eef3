"""Where stock pipelines meet the engine: stand-ins that park a trajectory at every call of a heavy
module.

A trajectory is a greenlet in which a pipeline's own `__call__` runs. Its parent, the runner,
switches into it with the output of a call and gets the next call, a `ModuleCall`, or in the end the
picture.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from imagemill.model_spec import (
    AdapterPlace,
    ModelSpec,
    control_of,
    controlled,
    ip_adapter_of,
)
from imagemill.pipelines.adapters import Adapters
from imagemill.pipelines.families import Task
from imagemill.pipelines.first_block import METHODS, stages_of
from imagemill.pipelines.inputs import Weights
from imagemill.pipelines.ip_prompting import IMAGE_PROMPT, with_image
from imagemill.pipelines.loading import Loaded, load, steered
from imagemill.pipelines.lora.fixed import fixed_loras
from imagemill.pipelines.lora.layers import Added
from imagemill.pipelines.weights.headers import broken
from imagemill.pipelines.weights.ip_adapters import load_ip_adapter

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

    def parameters(self, recurse: bool = True) -> Iterator[torch.nn.Parameter]:
        parameters: Iterator[torch.nn.Parameter] = self.real.parameters(recurse)
        return parameters

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
    parts it shares where it has the same; of the same model with others beside it, or with none,
    nothing is read again.
    """
    there = list(held)
    own, control, adapter = ModelSpec.at(source).address, control_of(source), ip_adapter_of(source)
    alike = [each for each in there if ModelSpec.at(each.source).address == own]
    loaded = _bare(alike[0] if alike else _prepared(own, there), own)
    if control is not None:
        with_it = (each for each in alike if control_of(each.source) == control)
        loaded = _steered(loaded, controlled(own, control), control, next(with_it, None))
    if adapter is not None:
        loaded = _image_prompted(loaded, source, adapter)
    return loaded


def _prepared(source: str, held: Iterable[Loaded]) -> Loaded:
    keep_freed_memory()
    know_distributions()
    plain = _standing_in(share(load(source, device()), held))
    adapters = Adapters(_real(plain.pipe), fixed_loras(ModelSpec.at(source)))
    loaded = _with(plain, _always_on(adapters)) if adapters.fixed else plain
    _ADAPTERS[loaded] = adapters
    return loaded


def _bare(loaded: Loaded, source: str) -> Loaded:
    """Without what lies beside it."""
    if not loaded.controls and loaded.ip_adapter is None:
        return loaded
    plain = replace(loaded, source=source, controls={}, ip_adapter=None)
    _ADAPTERS[plain] = _ADAPTERS[loaded]
    return plain


def _steered(plain: Loaded, source: str, control: str, held: Loaded | None) -> Loaded:
    """held: one that has the same ControlNet."""
    adapters = _ADAPTERS[plain]
    if held is not None:
        loaded = replace(plain, source=source, controls=held.controls)
    else:
        loaded = steered(plain, source, _real(plain.pipe), control, device())
        for pipe in loaded.controls.values():
            stand_in(pipe)
        if adapters.fixed:
            added = _always_on(adapters)
            loaded = replace(loaded, controls=_all_adapted(loaded.controls, added))
    _ADAPTERS[loaded] = adapters
    return loaded


def _image_prompted(plain: Loaded, source: str, place: AdapterPlace) -> Loaded:
    adapter = load_ip_adapter(place, _real(plain.pipe), ModelSpec.at(source), device())
    own = replace(
        adapter,
        encoder=_standing_for(adapter.encoder),
        projection=adapter.projection and _standing_for(adapter.projection),
    )
    loaded = replace(plain, source=source, ip_adapter=own)
    _ADAPTERS[loaded] = _ADAPTERS[plain]
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
            object.__setattr__(pipe, name, _standing_for(real))


def _standing_for(real: torch.nn.Module) -> StandIn:
    return StandIn(real, parked(real))


def _park(
    module: torch.nn.Module, added: Added | None, method: str, *args: Any, **kwargs: Any
) -> Any:
    added = with_image(added, kwargs.pop(IMAGE_PROMPT, None))
    return getcurrent().parent.switch(describe(module, method, args, kwargs, added))
