"""One parked call of a module, described so that equal ones can be batched, run and handed back in
rows.
"""

import inspect
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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

from imagemill.engine.batch_axes import Rows, facts_of
from imagemill.engine.content import value
from imagemill.engine.deriving import guess
from imagemill.pipelines.first_block import Stages
from imagemill.pipelines.lora.layers import Added

Column = torch.Tensor | list[Any]  # one argument, or a part of one, row after row


@dataclass(frozen=True)
class ModuleCall:
    """`rowed` are what has a batch axis, `rest` everything else, equal within a group.

    bound: the arguments as they came. derived: whether the facts are. form: what calls of the
    module have in common for which the same facts hold. shapes: of what may be of any shape in a
    group. added: what LoRAs add to its rows, which may differ within one.
    """

    module: torch.nn.Module
    method: str
    facts: Rows
    rows: int
    cells: int  # of one row: what it costs, in tokens
    heavy: bool  # too much for one thread
    rowed: list[Column]
    bind: Callable[[Sequence[Column]], dict[str, Any]] = field(repr=False)
    rest: Mapping[str, Any]
    group: Hashable
    bound: Mapping[str, Any]
    derived: bool = False
    form: Hashable = None
    shapes: frozenset[Hashable] = frozenset()
    added: Added | None = None
    addends: int = 0

    @property
    def kind(self) -> str | None:
        """What of its LoRAs the kernels may depend on; None where there are none."""
        return None if self.added is None else self.added.kind

    @property
    def alone(self) -> bool:
        return self.facts.alone

    def run(self, rowed: Sequence[Column]) -> Any:
        # In containers of their own: some modules take things out of those that they are given.
        return self._run(tree_map(lambda x: x, self.bind(rowed) | dict(self.rest)))

    def plain(self) -> Any:
        return self._run(dict(self.bound))

    def _run(self, arguments: dict[str, Any]) -> Any:
        # `forward` by way of the module itself, for the hooks of adapters and offloading.
        run = self.module if self.method == "forward" else getattr(self.module, self.method)
        if run is self.module and self.added is not None and _compiled(self.module):
            run = self.module._call_impl  # what was compiled hears of no hook that came later
        return run(**arguments)


HEAVY = 2**39  # operations of one call, some ten seconds of one thread
ALONE = Rows(alone=True, least=1)
_SIZES: WeakKeyDictionary[torch.nn.Module, int] = WeakKeyDictionary()  # parameters
# What has been found out about calls of modules without facts, by method and form.
_DERIVED: WeakKeyDictionary[torch.nn.Module, dict[tuple[str, Hashable], Rows]] = WeakKeyDictionary()


@cache
def know_distributions() -> None:
    """Lets the rows of what a VAE encodes be split: pytrees take a strange class for one leaf."""
    register_pytree_node(
        DiagonalGaussianDistribution,
        lambda each: ([each.parameters], each.deterministic),
        lambda leaves, deterministic: DiagonalGaussianDistribution(*leaves, deterministic),
    )


def describe(
    module: torch.nn.Module,
    method: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    added: Added | None = None,
) -> ModuleCall:
    """added: what LoRAs add to its rows."""
    call = _described(module, method, args, kwargs, None if added is None else added.kind)
    if added is None:
        return call
    group = (call.group, "not compiled") if _compiled(module) else call.group
    return replace(call, added=added, group=group)


def _compiled(module: torch.nn.Module) -> bool:
    return getattr(module, "_compiled_call_impl", None) is not None


def _described(
    module: torch.nn.Module,
    method: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    kind: str | None,
) -> ModuleCall:
    names = parameters(module, method)
    bound = dict(zip(names, args, strict=False)) | dict(kwargs)
    if method == "generate":  # draws, and writes as much as it likes
        return _lone(module, method, bound, ALONE)
    facts = facts_of(module, method)
    if facts is not None:
        return described(module, method, bound, facts)
    guessed = guess(bound, names)
    if guessed is None:
        return _lone(module, method, bound, ALONE)
    form = guessed.form, kind
    known = _DERIVED.get(module, {}).get((method, form))
    return described(module, method, bound, known or guessed.facts, form)


def judged(call: ModuleCall) -> Rows | None:
    """What was found out about calls like this one, whose facts are derived."""
    return _DERIVED.get(call.module, {}).get((call.method, call.form))


def judge(call: ModuleCall, facts: Rows) -> None:
    _DERIVED.setdefault(call.module, {})[call.method, call.form] = facts


def described(
    module: torch.nn.Module,
    method: str,
    bound: Mapping[str, Any],
    facts: Rows,
    form: Hashable = None,
) -> ModuleCall:
    """form: of a call whose facts are derived."""
    filled = {name: x for name, x in bound.items() if x is not None}
    inside = {name: x for name, x in filled.items() if name in facts.rowed}
    addends = _addends(filled, facts)
    listed = {name: list(x) for name, x in filled.items() if name in facts.listed}
    if facts.alone or any(_filled(filled.get(name)) for name in facts.solo):
        return _lone(module, method, bound, ALONE, form)
    rows = _count(inside, listed)
    if rows is None:
        return _lone(module, method, bound, ALONE, form)
    dropped = {*inside, *listed, *facts.unused, *facts.addends, facts.timestep}
    rest = {name: x for name, x in bound.items() if name not in dropped} | dict(facts.fixed)
    if facts.timestep in filled:
        device = next(x for x in tree_flatten([inside, listed])[0] if torch.is_tensor(x)).device
        inside[facts.timestep] = _per_row(bound[facts.timestep], rows, device)
    tensors, bind, key = _columns(inside, listed)
    columns = [*tensors, *listed.values()]
    summands, bind_summands, summed = _columns(addends, {})
    cells = max(1, math.ceil(_places(module, method, filled, facts) * facts.weight))
    return ModuleCall(
        module,
        method,
        facts,
        rows,
        cells,
        _heavy(module, facts.least * cells),
        [*columns, *summands],
        lambda all_: bind(all_[: len(columns)]) | bind_summands(all_[len(columns) :]),
        rest,
        (id(module), method, key, _masks(inside, facts), _alike(listed), value(rest)),
        bound,
        form is not None,
        form,
        _shapes(listed, rows) | ({summed} if summands else frozenset()),
        addends=len(summands),
    )


def _addends(filled: Mapping[str, Any], facts: Rows) -> dict[str, Any]:
    """Empty where there is nothing to add."""
    addends = {name: x for name, x in filled.items() if name in facts.addends}
    return addends if any(map(torch.is_tensor, tree_flatten(addends)[0])) else {}


def addable(calls: Sequence[ModuleCall]) -> bool:
    """Whether what the calls of a group have to add is alike, or nothing."""
    return len({call.shapes for call in calls if call.addends}) < 2


def levelled(calls: Sequence[ModuleCall]) -> Sequence[ModuleCall]:
    """The calls, with zeros for what others have to add: no sum changes by them."""
    fullest = max(calls, key=lambda call: call.addends)
    return [
        call if call.addends == fullest.addends else _with_zeros(call, fullest) for call in calls
    ]


def _with_zeros(call: ModuleCall, model: ModuleCall) -> ModuleCall:
    added = (x for x in model.rowed[-model.addends :] if torch.is_tensor(x))
    zeros = [x.new_zeros(call.rows, *x.shape[1:]) for x in added]
    return replace(call, rowed=[*call.rowed, *zeros], bind=model.bind, addends=model.addends)


def pad(columns: Sequence[Column], rows: int) -> list[Column]:
    """Repeats the last row until there are `rows`."""
    return [_padded(column, rows - len(column)) for column in columns]


def _padded(column: Column, missing: int) -> Column:
    if missing == 0:
        return column
    if isinstance(column, list):
        return column + column[-1:] * missing
    return torch.cat([column, column[-1:].expand(missing, *column.shape[1:])])


def merge(calls: Sequence[ModuleCall]) -> list[Column]:
    if len(calls) == 1:
        return calls[0].rowed
    return [_joined(column) for column in zip(*(call.rowed for call in calls), strict=True)]


def _joined(columns: Sequence[Column]) -> Column:
    if isinstance(columns[0], list):
        return [each for column in columns for each in column]
    return torch.cat([column for column in columns if torch.is_tensor(column)])


def split(output: Any, sizes: Sequence[int], total: int, facts: Rows) -> list[Any]:
    """Each call's part of the output of a batch of `total` rows; padded rows fall away."""
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [_part(output, a, n, total, facts) for a, n in zip(starts, sizes, strict=True)]


def _part(output: Any, start: int, rows: int, total: int, facts: Rows) -> Any:
    def list_of_rows(x: Any) -> bool:
        tensors = isinstance(x, list | tuple) and all(torch.is_tensor(each) for each in x)
        return bool(facts.listed and tensors and len(x) == total)

    def part(x: Any) -> Any:
        if torch.is_tensor(x):
            rowed = x.dim() > facts.axis and x.shape[facts.axis] == total
            return x.narrow(facts.axis, start, rows) if rowed else x
        return x[start : start + rows] if list_of_rows(x) else x

    return tree_map(part, output, is_leaf=list_of_rows)


def _lone(
    module: torch.nn.Module,
    method: str,
    bound: Mapping[str, Any],
    facts: Rows,
    form: Hashable = None,
) -> ModuleCall:
    """A call that shares with none; what it costs is guessed from its largest tensor."""
    tensors = (leaf for leaf in tree_flatten(dict(bound))[0] if torch.is_tensor(leaf))
    sizes = ((leaf.shape[0], _positions(leaf)) for leaf in tensors if leaf.dim())
    rows, cells = max(sizes, default=(1, 1), key=math.prod)
    heavy = _heavy(module, rows * cells)
    derived = form is not None
    return ModuleCall(
        module, method, facts, rows, cells, heavy, [], lambda _: {}, bound, object(), bound,
        derived, form,
    )  # fmt: skip


def _count(inside: Mapping[str, Any], listed: Mapping[str, list[Any]]) -> int | None:
    leading = (leaf.shape[0] for leaf in tree_flatten(inside)[0] if torch.is_tensor(leaf))
    return next(leading, next((len(each) for each in listed.values()), None))


def _columns(
    inside: Mapping[str, Any], listed: Mapping[str, list[Any]]
) -> tuple[list[Column], Callable[[Sequence[Column]], dict[str, Any]], Hashable]:
    """The tensors in `inside`; what puts others, and lists, into their places; and a key."""
    leaves, spec = tree_flatten(dict(inside))
    places = [i for i, leaf in enumerate(leaves) if torch.is_tensor(leaf)]
    others = [None if torch.is_tensor(leaf) else leaf for leaf in leaves]

    def bind(columns: Sequence[Column]) -> dict[str, Any]:
        filled: list[Any] = list(others)
        for place, column in zip(places, columns, strict=False):
            filled[place] = column
        bound: dict[str, Any] = tree_unflatten(filled, spec)
        return bound | dict(zip(listed, columns[len(places) :], strict=True))

    shapes = tuple((tuple(leaves[i].shape[1:]), leaves[i].dtype) for i in places)
    return [leaves[i] for i in places], bind, (str(spec), shapes, value(others), tuple(listed))


def _masks(inside: Mapping[str, Any], facts: Rows) -> Hashable:
    """Whether masks leave anything out, for many modules compute otherwise where none does; and
    how long what they leave is, where that decides what is computed.
    """
    masks = {name: x for name, x in inside.items() if "mask" in name and _whole_numbers(x)}
    full = tuple(bool(mask.all()) for mask in masks.values())
    lengths = ((name, masks[name].flatten(1).sum(1)) for name in masks if name in facts.lengths)
    return full, tuple((name, frozenset(each.tolist())) for name, each in lengths)


def _whole_numbers(x: Any) -> bool:
    return torch.is_tensor(x) and not x.is_floating_point()


def _alike(listed: Mapping[str, list[Any]]) -> Hashable:
    """What must be equal of the elements of lists: all but the values and shapes of tensors."""
    blank: dict[str, Any] = {
        name: [tree_map(lambda x: x.dtype if torch.is_tensor(x) else x, x) for x in each]
        for name, each in listed.items()
    }
    return tuple(frozenset(value(element) for element in each) for each in blank.values())


def _shapes(listed: Mapping[str, list[Any]], rows: int) -> frozenset[Hashable]:
    """Of each row, what it has in lists; texts by the 32 tokens to which modules fill them up."""

    def shape(x: Any) -> Hashable:
        if not torch.is_tensor(x):
            return None
        return (-(-x.shape[0] // 32), x.shape[1]) if x.dim() == 2 else tuple(x.shape)

    columns = [[shape(x) for x in each] for each in listed.values()]
    return frozenset(tuple(column[i] for column in columns) for i in range(rows) if columns)


def _filled(x: Any) -> bool:
    return x is not None and (not isinstance(x, list | tuple | dict) or len(x) > 0)


def _heavy(module: torch.nn.Module, cost: int) -> bool:
    """By the shapes alone, so that it is the same on every machine and in any company."""
    if module not in _SIZES:
        _SIZES[module] = sum(each.numel() for each in module.parameters())
    return 2 * _SIZES[module] * cost > HEAVY


def parameters(module: torch.nn.Module, method: str) -> tuple[str, ...]:
    if isinstance(module, Stages):  # its parts take what the whole takes
        return parameters(module.real, "forward")
    return _parameters(getattr(type(module), method))


@cache
def _parameters(method: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(method).parameters)[1:]


def _per_row(timestep: Any, rows: int, device: torch.device) -> torch.Tensor:
    flat = torch.as_tensor(timestep, device=device).to(torch.float32).reshape(-1)
    return flat.expand(rows) if flat.shape[0] == 1 else flat


def _places(module: torch.nn.Module, method: str, filled: Mapping[str, Any], facts: Rows) -> float:
    """Tokens of one row of the first argument that has rows, which is what is computed on."""
    names = [name for name in parameters(module, method) if name in filled]
    main = next((n for n in names if n in facts.rowed or n in facts.listed), None)
    leaves = [x for x in tree_flatten(filled.get(main))[0] if torch.is_tensor(x)] if main else []
    if main in facts.listed:
        leaves = [x[None] for x in leaves]
    places = ((_positions(x), x.dim() > 3) for x in leaves)
    return max((n / (_patch(module) if cut else 1) for n, cut in places), default=1)


def _positions(leaf: torch.Tensor) -> int:
    """Of one row: (n, c, h, w) has h * w, (n, tokens, c) its tokens."""
    return math.prod(leaf.shape[2:]) if leaf.dim() > 3 else leaf.shape[1] if leaf.dim() == 3 else 1


def _patch(module: torch.nn.Module) -> int:
    """Positions of latents, or pixels, that the module makes one token of."""
    config = getattr(module, "config", None)
    side = getattr(config, "patch_size", None) or getattr(config, "all_patch_size", None) or 1
    if isinstance(side, int):
        return side**2
    return math.prod(side) if len(side) > 1 else int(side[0]) ** 2
