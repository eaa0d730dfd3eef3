"""Finds out whether calls of a module of which nothing is known may share a forward.

At the first call of its kind the module is run as the pipeline asked for it, and then again with
the guessed rows repeated: where the guess is right, more rows change nothing but rounding. What
keeps something between calls, draws numbers or writes into its arguments is found out by that, put
back as it was after the first run, and runs alone from then on. So does what fits no guess. All
that the verdict rests on is the call itself, so that it is the same after every start.

What passes may run together, but is not trusted: `engine.exact` compares every bucket bit for bit
before it is answered from.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map

from imagemill.engine.batch_axes import Rows
from imagemill.engine.content import value
from imagemill.engine.deriving import guesses
from imagemill.engine.memory import out_of_memory
from imagemill.engine.module_call import ALONE, ModuleCall, described, pad, parameters, split
from imagemill.pipelines.lora.layers import adding

# How far apart two roundings of one computation lie at most, as a part of its result's length.
NEAR = {torch.float64: 1e-3, torch.float32: 1e-2}
NEAR_BY_HALVES = 0.1
_SMALL = 2**22  # values of a tensor that are remembered
_HELD = {"_parameters", "_modules"}


@dataclass(frozen=True)
class Judgement:
    """facts: by which calls of this kind are described. output: of the call that was tried."""

    facts: Rows
    output: Any


def judge_call(call: ModuleCall, rows: int) -> Judgement:
    """rows: that a lone call is padded to."""
    arguments = _copied(dict(call.bound))
    with adding([(call.added, call.rows)], None):
        output = call.plain()
    if not same(arguments, dict(call.bound)):
        return Judgement(ALONE, output)
    after = Memory.of(call.module)  # what is made at the first use is there now
    for facts in guesses(call.bound, parameters(call.module, call.method)):
        trial = replace(
            described(call.module, call.method, call.bound, facts, call.form), added=call.added
        )
        answer = None if trial.alone else _tried(trial, output, rows)
        if not after.holds(call.module):
            after.restore()
            break
        if answer is not None:
            return Judgement(facts, answer[0])
    return Judgement(ALONE, output)


def _tried(trial: ModuleCall, output: Any, rows: int) -> tuple[Any] | None:
    """What lone calls are answered with under these facts, if they are right."""
    more = max(rows, trial.rows + 1)
    try:
        with adding([(trial.added, trial.rows)], trial.rows):
            if not same(output, trial.run(_copied(trial.rowed))):
                return None
        with adding([(trial.added, trial.rows)], more):
            padded = trial.run(pad(trial.rowed, more))
        part = split(padded, [trial.rows], more, trial.facts)[0]
    except Exception as error:
        if out_of_memory(error):
            raise
        return None
    if not near(output, part):
        return None
    return (part if trial.rows < rows else output,)


def same(a: Any, b: Any) -> bool:
    """To the bit."""
    x, y = tree_flatten(a)[0], tree_flatten(b)[0]
    return len(x) == len(y) and all(map(_equal, x, y))


def near(a: Any, b: Any) -> bool:
    x, y = tree_flatten(a)[0], tree_flatten(b)[0]
    return len(x) == len(y) and all(map(_near, x, y))


def _near(a: Any, b: Any) -> bool:
    if not (torch.is_tensor(a) and torch.is_tensor(b) and a.is_floating_point()):
        return _equal(a, b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    apart = (a.double() - b.double()).norm().item()
    return bool(apart <= NEAR.get(a.dtype, NEAR_BY_HALVES) * a.double().norm().item())


def _equal(a: Any, b: Any) -> bool:
    if torch.is_tensor(a) and torch.is_tensor(b):
        return a.dtype == b.dtype and torch.equal(a, b)
    return bool(a is b or (type(a) is type(b) and not torch.is_tensor(a) and a == b))


def _copied(x: Any) -> Any:
    return tree_map(lambda leaf: leaf.clone() if torch.is_tensor(leaf) else leaf, x)


@dataclass
class Memory:
    """What a module and its parts hold beside their weights."""

    parts: list[tuple[torch.nn.Module, dict[str, Any]]]

    @classmethod
    def of(cls, module: torch.nn.Module) -> "Memory":
        return cls([(part, _kept(vars(part))) for part in module.modules()])

    def holds(self, module: torch.nn.Module) -> bool:
        return self._values() == Memory.of(module)._values()

    def restore(self) -> None:
        for part, kept in self.parts:
            for name in set(vars(part)) - set(kept) - _HELD:
                del vars(part)[name]
            vars(part).update(_kept(kept))

    def _values(self) -> list[Any]:
        return [(id(part), list(_valued(kept))) for part, kept in self.parts]


def _kept(held: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _contents(x) for name, x in held.items() if name not in _HELD}


def _contents(x: Any) -> Any:
    if torch.is_tensor(x):
        return x.clone() if x.numel() <= _SMALL and not x.is_meta else x
    if type(x) in (list, tuple):
        return type(x)(_contents(each) for each in x)
    return {name: _contents(each) for name, each in x.items()} if type(x) is dict else x


def _valued(kept: Mapping[str, Any]) -> Iterator[Any]:
    for name, x in sorted(kept.items()):
        small = not torch.is_tensor(x) or (x.numel() <= _SMALL and not x.is_meta)
        yield name, value(x) if small else id(x)
