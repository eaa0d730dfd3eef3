"""Batched forwards that give every row the bytes it would have alone.

Kernels choose their order of summation by shape and by the number of threads, so the rows beside a
row can change its last bits. Forwards therefore run in a few fixed numbers of rows (buckets), and a
bucket is used with some threads only when it has been shown, on this machine and for this module
and shape, and for LoRAs of these shapes, to give the same bits as the reference: every call in its
least bucket, on one thread, or on all of them where one would take too long. The proof is made at
the first uses; where it fails, they are the last. Rounding depends on the order of summation, not
on the data, but it takes many values until another order changes one: measured, a network of a few
thousand values agreed once and differed the next time. So there is a number of values that must
have agreed; pictures of a common size have them at once.

Measured on x86-64: in bfloat16 with AVX-512 all even numbers of rows of a transformer agree to the
bit and 1 does not; in float32 with AVX2 likewise, once its layers on pooled vectors take two rows
at a time (`pipelines.sparing`).
"""

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch.utils._pytree import tree_flatten

from imagemill.engine.module_call import (
    ModuleCall,
    addable,
    describe,
    judge,
    judged,
    levelled,
    merge,
    pad,
    split,
)
from imagemill.engine.trials import judge_call, same
from imagemill.pipelines.lora.layers import adding

BUCKETS = (1, 2, 4, 6, 8, 12, 16, 24, 32)
ENOUGH = 2**15  # values that prove a bucket
TRIED = 3  # buckets that must have been refuted until calls of a kind are not put together
SMOOTHING = 0.5  # share of the last forward in what one takes
WORTH = 0.95  # of the seconds of one thread that several may take, to be of use
TRIED_AGAIN = 50  # forwards of one thread after which several are tried again that were of no use
WASTE = 0.2  # of a bucket that may be padding; else the calls are split over smaller ones
DEBT = 8  # proofs of mixtures of shapes, beyond the uses that they had, until no more are made


@dataclass
class Proof:
    """Of a bucket: `values` have agreed; None, one has not. seconds: of one forward, recently; None
    before the first. passed: forwards in its stead since its own last one.
    """

    values: int | None = 0
    seconds: float | None = None
    passed: int = 0

    def took(self, seconds: float) -> None:
        before = seconds if self.seconds is None else self.seconds
        self.seconds, self.passed = before + SMOOTHING * (seconds - before), 0

    def add(self, together: list[Any], separate: list[Any]) -> None:
        """The outputs of the same calls; equal ones, as of one prompt, count once."""
        if self.values is None or not all(map(same, together, separate)):
            self.values = None
            return
        for i, output in enumerate(separate):
            if not any(same(output, other) for other in separate[:i]):
                self.values += sum(x.numel() for x in _leaves(output) if torch.is_tensor(x))


@dataclass
class Known:
    """Of one module. turn: taken by calls that must not run beside others of it.

    refuted: buckets, by group and threads. debt: proofs made of mixtures of shapes, less their
    uses.
    """

    proofs: dict[Hashable, Proof] = field(default_factory=dict)
    refuted: dict[Hashable, set[int]] = field(default_factory=dict)
    debt: int = 0
    turn: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class Exact:
    """Runs groups of calls, from several threads at a time; `known` remembers which buckets have
    been proved or refuted, with how many threads.

    It forgets a module that is gone: the next one may be given its id. most: threads of the
    reference of heavy calls.

    What calls of a module without facts have in common is a guess. So a proof holds only for calls
    that differ in the same arguments as those that made it.
    """

    most: int = 1
    enough: int = ENOUGH
    clock: Callable[[], float] = time.perf_counter
    known: WeakKeyDictionary[torch.nn.Module, Known] = field(default_factory=WeakKeyDictionary)
    _proving: threading.Lock = field(default_factory=threading.Lock)
    _knowing: threading.Lock = field(default_factory=threading.Lock)

    def run(self, calls: Sequence[ModuleCall], threads: int = 1) -> list[Any]:
        """The output of each call, all of one group. threads: of the arithmetic."""
        first = calls[0]
        if first.derived and (len(calls) == 1 or judged(first) != first.facts):
            return [self._derived(call, threads) for call in calls]
        return self._together(calls, threads)

    def shares(self, call: ModuleCall) -> bool:
        """Whether it is worth while to run such calls together."""
        if call.alone or (call.derived and judged(call) != call.facts):
            return False
        sizes = [size for size in BUCKETS if size >= 2 * call.rows][:TRIED]
        # Only looked up: it is asked of every parked call, before every forward.
        known = self.known.get(call.module)
        key = call.group, call.kind, self._threads(call)
        refuted = known.refuted.get(key, ()) if known else ()
        return not set(sizes) <= set(refuted)

    def _derived(self, call: ModuleCall, threads: int) -> Any:
        """The first of its kind is tried; one that came before the verdict is described anew."""
        facts = judged(call)
        if facts is None:
            with self._of(call).turn:
                compute_with(self._threads(call))
                facts = judged(call)
                if facts is None:
                    least = _bucket(call.rows, call.facts.least) or call.rows
                    verdict = judge_call(call, least)
                    judge(call, verdict.facts)
                    return verdict.output
        if facts != call.facts:
            call = describe(call.module, call.method, (), call.bound, call.added)
        return self._together([call], threads)[0]

    def _together(self, calls: Sequence[ModuleCall], threads: int) -> list[Any]:
        first = calls[0]
        if first.alone:
            return [self._alone(call) for call in calls]
        if len(calls) == 1 and threads == self._threads(first):
            return [self._reference(first)]
        rows = sum(call.rows for call in calls)
        bucket = _bucket(rows, first.facts.least)
        proofs = self._proofs(calls, bucket, threads)
        if _mixed(calls) and not (addable(calls) and self._worth_mixing(first, proofs)):
            return self._by_shape(calls, threads)
        refuted = any(proof.values is None for proof in proofs)
        if bucket is None or bucket - rows > bucket * WASTE or refuted:
            if len(calls) == 1:
                return [self._reference(first)]
            parts = _parts(calls, rows)
            return [output for part in parts for output in self._together(part, threads)]
        return self._proved(calls, bucket, threads, proofs)

    def _proved(
        self, calls: Sequence[ModuleCall], bucket: int, threads: int, proofs: Sequence[Proof]
    ) -> list[Any]:
        first, mixed = calls[0], _mixed(calls)
        together = self._timed(calls, bucket, threads)
        proved = all((proof.values or 0) >= self.enough for proof in proofs)
        self._of(first).debt += mixed * (-1 if proved else 1)
        if proved:
            return together
        separate = [self._reference(call) for call in calls]
        with self._proving:
            for kind in {call.kind for call in calls}:
                own = [i for i, call in enumerate(calls) if call.kind == kind]
                proof = proofs[own[0]]
                proof.add([together[i] for i in own], [separate[i] for i in own])
                if proof.values is None and not mixed:
                    refuted = self._of(first).refuted
                    refuted.setdefault((first.group, kind, threads), set()).add(bucket)
        return separate

    def pays(self, call: ModuleCall, threads: int) -> bool:
        """Whether a lone call has been quicker with so many threads than with those of its
        reference, as far as is known: where others compete for the processors, or where the threads
        sleep between operations, it is slower, and may be so by far.
        """
        bucket = None if call.alone else _bucket(call.rows, call.facts.least)
        if bucket is None:
            return False
        (usual,) = self._proofs([call], bucket, self._threads(call))
        (several,) = self._proofs([call], bucket, threads)
        if usual.seconds is None or several.values is None:
            return False
        if several.seconds is None or several.seconds < WORTH * usual.seconds:
            return True
        several.passed += 1
        return several.passed > TRIED_AGAIN

    def _worth_mixing(self, call: ModuleCall, proofs: Sequence[Proof]) -> bool:
        if any(proof.values is None for proof in proofs):
            return False
        proved = all((proof.values or 0) >= self.enough for proof in proofs)
        return proved or self._of(call).debt < DEBT

    def _by_shape(self, calls: Sequence[ModuleCall], threads: int) -> list[Any]:
        """The calls of each shape together, answered in their order."""
        places = dict[frozenset[Hashable], list[int]]()
        for i, call in enumerate(calls):
            places.setdefault(call.shapes, []).append(i)
        outputs: dict[int, Any] = {}
        for alike in places.values():
            answers = self._together([calls[i] for i in alike], threads)
            outputs |= dict(zip(alike, answers, strict=True))
        return [outputs[i] for i in range(len(calls))]

    def _of(self, call: ModuleCall) -> Known:
        with self._knowing:
            return self.known.setdefault(call.module, Known())

    def _proofs(self, calls: Sequence[ModuleCall], bucket: int | None, threads: int) -> list[Proof]:
        """For each call, that of its kind."""
        first, shapes = calls[0], frozenset(call.shapes for call in calls)
        varied, known = _varied(calls) if first.derived else (), self._of(first).proofs
        with self._proving:
            return [
                known.setdefault((first.group, call.kind, shapes, varied, bucket, threads), Proof())
                for call in calls
            ]

    def _threads(self, call: ModuleCall) -> int:
        return self.most if call.heavy else 1

    def _alone(self, call: ModuleCall) -> Any:
        with self._of(call).turn:  # nothing says that it may run twice at a time
            compute_with(self._threads(call))
            with adding([(call.added, call.rows)], None):
                return call.plain()

    def _reference(self, call: ModuleCall) -> Any:
        size = _bucket(call.rows, call.facts.least) or call.rows
        return self._timed([call], size, self._threads(call))[0]

    def _timed(self, calls: Sequence[ModuleCall], bucket: int, threads: int) -> list[Any]:
        with self._of(calls[0]).turn if calls[0].facts.serial else nullcontext():
            began = self.clock()
            outputs = _batched(calls, bucket, threads)
            self._proofs(calls, bucket, threads)[0].took(self.clock() - began)
        return outputs


def _batched(calls: Sequence[ModuleCall], bucket: int, threads: int) -> list[Any]:
    compute_with(threads)
    calls = levelled(calls)
    with adding([(call.added, call.rows) for call in calls], bucket):
        output = calls[0].run(pad(merge(calls), bucket))
    return split(output, [call.rows for call in calls], bucket, calls[0].facts)


def _varied(calls: Sequence[ModuleCall]) -> tuple[bool, ...]:
    """Which of what has rows is not the same in all calls."""
    columns = zip(*(call.rowed for call in calls), strict=True)
    return tuple(not all(same(column[0], x) for x in column[1:]) for column in columns)


def _mixed(calls: Sequence[ModuleCall]) -> bool:
    return any(call.shapes != calls[0].shapes for call in calls)


def compute_with(threads: int) -> None:
    """The calling thread alone. It asks before it sets: a thread's first computation takes the
    number that any thread set last, over its own.
    """
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def _bucket(rows: int, least: int) -> int | None:
    return next((size for size in BUCKETS if size >= max(rows, least)), None)


def _parts(
    calls: Sequence[ModuleCall], rows: int
) -> tuple[Sequence[ModuleCall], Sequence[ModuleCall]]:
    """As many of the first calls as fill the next smaller bucket, and the rest."""
    full = max(size for size in BUCKETS if size < rows or size == 1)
    taken = accumulate(call.rows for call in calls)
    middle = min(max(1, sum(total <= full for total in taken)), len(calls) - 1)
    return calls[:middle], calls[middle:]


def _leaves(output: Any) -> list[Any]:
    return tree_flatten(output)[0]
