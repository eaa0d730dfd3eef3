"""Parts that two models have in common, as FLUX dev and schnell their T5, lie in memory once.

Parts are the same where all their weights are, to the bit, whatever files they came from. They are
compared when they have been loaded: a few seconds for gigabytes, at the speed of memory.
"""

import logging
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

import torch

from imagemill.engine.footprints import Footprint
from imagemill.model_spec import ModelSpec
from imagemill.pipelines.loading import Loaded

log = logging.getLogger(__name__)


def share(loaded: Loaded, held: Iterable[Loaded]) -> Loaded:
    """`loaded`, which is not prepared yet, with what is there already in the place of its own."""
    others = [each for each in held if _moves_nothing(each)] if _moves_nothing(loaded) else []
    there = [module for each in others for module in parts(each).values()]
    for name, module in parts(loaded).items():
        twin = next((each for each in there if _same(each, module)), None)
        if twin is not None:
            log.info("%s of a model lies in memory already", name)
            for pipe in loaded.pipes.values():
                if getattr(pipe, name, None) is module:
                    object.__setattr__(pipe, name, twin)
    return loaded


def parts(loaded: Loaded) -> dict[str, torch.nn.Module]:
    """The modules themselves, also of a prepared model."""
    pipes = (loaded.pipe, *loaded.controls.values())
    named = [item for pipe in pipes for item in pipe.components.items()]
    if loaded.ip_adapter is not None:
        named += loaded.ip_adapter.parts.items()
    return {
        name: getattr(each, "real", each)
        for name, each in named
        if isinstance(each, torch.nn.Module)
    }


def measured(loaded: Loaded) -> Footprint:
    """What a model takes, where that was not known before."""
    spec = ModelSpec.at(loaded.source)
    sizes: Mapping[Hashable, int] = {id(part): bytes_of(part) for part in parts(loaded).values()}
    device = "cpu" if spec.offload != "none" else str(loaded.pipe.device)
    return Footprint(device, sizes, spec.keep)


def bytes_of(module: torch.nn.Module) -> int:
    """Of its weights."""
    return sum(_taken(each) for _, each in _tensors(module))


def _taken(tensor: Any) -> int:
    """Of what is quantized, the tensors that it is made of."""
    if not hasattr(tensor, "__tensor_flatten__"):
        return int(tensor.numel() * tensor.element_size())
    names, _ = tensor.__tensor_flatten__()
    return sum(_taken(getattr(tensor, name)) for name in names)


def _moves_nothing(loaded: Loaded) -> bool:
    """Whether its parts stay where, and what, they are: others may be hooked or compiled."""
    spec = ModelSpec.at(loaded.source)
    return spec.offload == "none" and spec.quantize == "none" and not spec.compile


def _same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    if type(a) is not type(b) or _kinds(a) != _kinds(b) or _config(a) != _config(b):
        return False
    x, y = dict(_tensors(a)), dict(_tensors(b))
    alike = [(each.shape, each.dtype, each.device) for each in x.values()]
    return (
        list(x) == list(y)
        and alike == [(each.shape, each.dtype, each.device) for each in y.values()]
        and all(torch.equal(x[name], y[name]) for name in x)
    )


def _kinds(module: torch.nn.Module) -> list[type]:
    return [type(part) for part in module.modules()]


def _config(module: torch.nn.Module) -> Any:
    """Without where it was loaded from."""
    config: Any = getattr(module, "config", None) or {}
    content = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    return {name: x for name, x in content.items() if not name.startswith("_")}


def _tensors(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()
