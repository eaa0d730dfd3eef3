"""What a call of a module without facts shows of its arguments: which of them may carry rows.

The first argument tells how many rows there are: it is a tensor whose axis 0 is the batch, or a
list with an element per row. Others are taken to carry rows where they look alike. That is a guess,
to be confirmed by experiment (`engine.trials`) before anything rests on it.
"""

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any

import torch
from torch.utils._pytree import tree_flatten

from imagemill.engine.batch_axes import Rows

TIMES = frozenset({"timestep", "timesteps", "t", "sigma"})
_PLAIN = torch.Tensor | Number | str | bytes | torch.dtype | torch.device | None


@dataclass(frozen=True)
class Guess:
    facts: Rows
    form: Hashable


def guess(
    bound: Mapping[str, Any],
    names: Sequence[str],
    leave: Collection[str] = (),
    times: bool = True,
) -> Guess | None:
    """leave: arguments that carry no rows, whatever they look like. times: whether a number that is
    called a time becomes one for each row. None where nothing can be told, or where an argument is
    of a kind that a call may change.
    """
    ordered = [name for name in (*names, *bound) if name in bound]
    leaves = tree_flatten(dict(bound))[0]
    if not ordered or not all(isinstance(leaf, _PLAIN) for leaf in leaves):
        return None
    first = bound[ordered[0]]
    rows = _rows(first)
    if rows is None:
        return None
    fitting = [name for name in bound if name not in leave]
    facts = Rows(
        rowed=frozenset(name for name in fitting if _rowed(bound[name], rows)),
        listed=frozenset(name for name in fitting if _listed(bound[name], rows)),
        timestep=_time(bound, rows) if times else None,
        serial=True,
    )
    return Guess(facts, _form(bound, rows))


def guesses(bound: Mapping[str, Any], names: Sequence[str]) -> Iterator[Rows]:
    """All that may be tried, the most promising first."""
    options: list[tuple[tuple[str, ...], bool]] = [((), True), ((), False)]
    best = guess(bound, names)
    ordered = [name for name in (*names, *bound) if name in bound]
    if best is not None:
        carrying = [n for n in ordered[1:] if n in best.facts.rowed | best.facts.listed]
        options += [((name,), times) for name in dict.fromkeys(carrying) for times in (True, False)]
    seen: set[Rows] = set()
    for leave, times in options:
        made = guess(bound, names, leave, times)
        if made is not None and made.facts not in seen:
            seen.add(made.facts)
            yield made.facts


def _rows(first: Any) -> int | None:
    if torch.is_tensor(first):
        return first.shape[0] if first.dim() > 1 else None
    if isinstance(first, list) and first and all(torch.is_tensor(each) for each in first):
        return len(first)
    return None


def _rowed(x: Any, rows: int) -> bool:
    """Whether all tensors in it have as many rows, and there are some."""
    tensors = [leaf for leaf in tree_flatten(x)[0] if torch.is_tensor(leaf)]
    return bool(tensors) and all(each.dim() > 0 and each.shape[0] == rows for each in tensors)


def _listed(x: Any, rows: int) -> bool:
    return isinstance(x, list) and len(x) == rows and not _rowed(x, rows)


def _time(bound: Mapping[str, Any], rows: int) -> str | None:
    return next((name for name, x in bound.items() if name in TIMES and _one(x, rows)), None)


def _one(x: Any, rows: int) -> bool:
    if torch.is_tensor(x):
        return x.numel() == 1 and (x.dim() == 0 or rows > 1)
    return isinstance(x, int | float) and not isinstance(x, bool)


def _form(bound: Mapping[str, Any], rows: int) -> Hashable:
    return tuple((name, _kind(x, rows)) for name, x in sorted(bound.items()))


def _kind(x: Any, rows: int) -> Hashable:
    if torch.is_tensor(x):
        return x.dtype, x.dim(), x.dim() > 0 and x.shape[0] == rows
    if isinstance(x, dict):
        return tuple((str(name), _kind(each, rows)) for name, each in sorted(x.items()))
    if isinstance(x, list | tuple):
        same = frozenset(_kind(each, rows) for each in x)
        return type(x).__name__, len(x) == rows, same
    return type(x).__name__ if isinstance(x, int | float) and not isinstance(x, bool) else x
