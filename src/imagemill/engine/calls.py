"""One parked call of a module, described so that equal ones can be batched, run and handed back in
rows.
"""

import hashlib
import inspect
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch.utils._pytree import (
    register_pytree_node,
    tree_flatten,
    tree_map,
    tree_unflatten,
)

from imagemill.engine.modules import FACTS, Rows
from imagemill.pipelines.lora.layers import Added


@dataclass(frozen=True)
class ModuleCall:
    """`rowed` are the flattened tensors with a batch axis, `rest` everything else, equal within a
    group. added: what LoRAs add to its rows, which may differ within one.
    """

    module: torch.nn.Module
    method: str
    facts: Rows | None
    rows: int
    cells: int  # of one row: what it costs, in places of the largest tensor
    heavy: bool  # too much for one thread
    rowed: list[torch.Tensor]
    rowed_spec: Any
    rest: dict[str, Any]
    group: Hashable
    added: Added | None = None

    @property
    def kind(self) -> str | None:
        """What of its LoRAs the kernels may depend on; None where there are none."""
        return None if self.added is None else self.added.kind

    def run(self, rowed: Sequence[torch.Tensor]) -> Any:
        arguments = tree_unflatten(list(rowed), self.rowed_spec) | self.rest
        # `forward` by way of the module itself, for the hooks of adapters and offloading.
        run = self.module if self.method == "forward" else getattr(self.module, self.method)
        return run(**arguments)


HEAVY = 2**39  # operations of one call, some ten seconds of one thread
_SIZES: WeakKeyDictionary[torch.nn.Module, int] = WeakKeyDictionary()  # parameters
_NONE = tree_flatten({})[1]


@cache
def know_distributions() -> None:
    """Lets the rows of what a VAE encodes be split: pytrees take a strange class for one leaf."""
    register_pytree_node(
        DiagonalGaussianDistribution,
        lambda each: ([each.parameters], each.deterministic),
        lambda leaves, deterministic: DiagonalGaussianDistribution(*leaves, deterministic),
    )


def describe(
    module: torch.nn.Module, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> ModuleCall:
    bound = dict(zip(_parameters(getattr(type(module), method)), args, strict=False)) | kwargs
    facts = FACTS.get((type(module).__name__, method))
    if facts is None:
        tensors = (leaf for leaf in tree_flatten(bound)[0] if torch.is_tensor(leaf) and leaf.dim())
        sizes = ((leaf.shape[0], _places(leaf)) for leaf in tensors)
        rows, cells = max(sizes, default=(1, 1), key=math.prod)
        heavy = _heavy(module, rows * cells)
        return ModuleCall(module, method, None, rows, cells, heavy, [], _NONE, bound, object())
    inside = {
        name: value for name, value in bound.items() if name in facts.rowed and value is not None
    }
    rest = {
        name: value
        for name, value in bound.items()
        if name not in inside and name != facts.timestep and name not in facts.unused
    }
    leading = next(iter(tree_flatten(inside)[0]))
    rows = leading.shape[0]
    if facts.timestep:
        inside[facts.timestep] = _per_row(bound[facts.timestep], rows, leading.device)
    leaves, spec = tree_flatten(inside)
    shapes = tuple((tuple(leaf.shape[1:]), leaf.dtype) for leaf in leaves)
    key = (id(module), method, str(spec), shapes, _value(rest))
    cells = max(1, max(_places(leaf) for leaf in leaves) // facts.places)
    heavy = _heavy(module, facts.least * cells)
    return ModuleCall(module, method, facts, rows, cells, heavy, leaves, spec, rest, key)


def pad(tensors: Sequence[torch.Tensor], rows: int) -> list[torch.Tensor]:
    """Repeats the last row until there are `rows`."""
    return [
        t if t.shape[0] == rows else torch.cat([t, t[-1:].expand(rows - t.shape[0], *t.shape[1:])])
        for t in tensors
    ]


def merge(calls: Sequence[ModuleCall]) -> list[torch.Tensor]:
    if len(calls) == 1:
        return calls[0].rowed
    return [torch.cat(column) for column in zip(*(call.rowed for call in calls), strict=True)]


def split(output: Any, sizes: Sequence[int]) -> list[Any]:
    """Each call's part of a batched output; padded rows at the end fall away."""
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [
        tree_map(lambda x, a=start, n=size: x[a : a + n] if torch.is_tensor(x) else x, output)
        for start, size in zip(starts, sizes, strict=True)
    ]


def _heavy(module: torch.nn.Module, cost: int) -> bool:
    """By the shapes alone, so that it is the same on every machine and in any company."""
    if module not in _SIZES:
        _SIZES[module] = sum(each.numel() for each in module.parameters())
    return 2 * _SIZES[module] * cost > HEAVY


@cache
def _parameters(method: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(method).parameters)[1:]


def _per_row(timestep: Any, rows: int, device: torch.device) -> torch.Tensor:
    flat = torch.as_tensor(timestep, device=device).to(torch.float32).reshape(-1)
    return flat.expand(rows) if flat.shape[0] == 1 else flat


def _places(leaf: torch.Tensor) -> int:
    """Positions of one row: (n, c, h, w) has h * w, (n, tokens, c) its tokens."""
    return math.prod(leaf.shape[2:]) if leaf.dim() > 3 else leaf.shape[1] if leaf.dim() == 3 else 1


def _value(x: Any) -> Hashable:
    """A key equal for equal values; tensors by content."""
    if torch.is_tensor(x):
        content = x.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        return tuple(x.shape), x.dtype, hashlib.blake2b(content).digest()
    if isinstance(x, dict):
        return tuple((name, _value(value)) for name, value in sorted(x.items()))
    if isinstance(x, list | tuple):
        return tuple(_value(value) for value in x)
    return x if isinstance(x, Hashable) else id(x)
