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
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch.utils._pytree import tree_flatten

from imagemill.engine.calls import ModuleCall, merge, pad, split
from imagemill.pipelines.lora.layers import adding

BUCKETS = (1, 2, 4, 6, 8, 12, 16, 24, 32)
ENOUGH = 2**15  # values that prove a bucket
TRIED = 3  # buckets that must have been refuted until calls of a kind are not put together
SMOOTHING = 0.5  # share of the last forward in what one takes
WORTH = 0.95  # of the seconds of one thread that several may take, to be of use
TRIED_AGAIN = 50  # forwards of one thread after which several are tried again that were of no use
WASTE = 0.2  # of a bucket that may be padding; else the calls are split over smaller ones


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
        if self.values is None or not all(map(_same, together, separate)):
            self.values = None
            return
        for i, output in enumerate(separate):
            if not any(_same(output, other) for other in separate[:i]):
                self.values += sum(x.numel() for x in _leaves(output) if torch.is_tensor(x))


@dataclass
class Exact:
    """Runs groups of calls, from several threads at a time; `proofs` remembers which buckets have
    been proved or refuted, with how many threads.

    It forgets a module that is gone: the next one may be given its id. most: threads of the
    reference of heavy calls.
    """

    most: int = 1
    enough: int = ENOUGH
    clock: Callable[[], float] = time.perf_counter
    proofs: WeakKeyDictionary[torch.nn.Module, dict[Hashable, Proof]] = field(
        default_factory=WeakKeyDictionary
    )
    _proving: threading.Lock = field(default_factory=threading.Lock)
    _unlisted: threading.Lock = field(default_factory=threading.Lock)

    def run(self, calls: Sequence[ModuleCall], threads: int = 1) -> list[Any]:
        """The output of each call, all of one group. threads: of the arithmetic."""
        first = calls[0]
        if first.facts is None:
            with self._unlisted:  # nothing says that it may run twice at a time
                compute_with(self._threads(first))
                return [_alone(call) for call in calls]
        if len(calls) == 1 and threads == self._threads(first):
            return [self._reference(first)]
        rows = sum(call.rows for call in calls)
        bucket = _bucket(rows, first.facts.least)
        proofs = [self._proof(call, bucket, threads) for call in calls]
        refuted = any(proof.values is None for proof in proofs)
        if bucket is None or bucket - rows > bucket * WASTE or refuted:
            if len(calls) == 1:
                return [self._reference(first)]
            return [output for part in _parts(calls, rows) for output in self.run(part, threads)]
        together = self._timed(calls, bucket, threads)
        if all((proof.values or 0) >= self.enough for proof in proofs):
            return together
        separate = [self._reference(call) for call in calls]
        with self._proving:
            for kind in {call.kind for call in calls}:
                own = [i for i, call in enumerate(calls) if call.kind == kind]
                proofs[own[0]].add([together[i] for i in own], [separate[i] for i in own])
        return separate

    def shares(self, call: ModuleCall) -> bool:
        """Whether it is worth while to run such calls together."""
        sizes = [size for size in BUCKETS if size >= 2 * call.rows][:TRIED]
        known, threads = self.proofs.get(call.module, {}), self._threads(call)
        # Only looked up: it is asked of every parked call, before every forward.
        proofs = [known.get((call.group, call.kind, size, threads)) for size in sizes]
        refuted = sum(proof is not None and proof.values is None for proof in proofs)
        return call.facts is not None and refuted < len(sizes)

    def pays(self, call: ModuleCall, threads: int) -> bool:
        """Whether a lone call has been quicker with so many threads than with those of its
        reference, as far as is known: where others compete for the processors, or where the threads
        sleep between operations, it is slower, and may be so by far.
        """
        bucket = None if call.facts is None else _bucket(call.rows, call.facts.least)
        if bucket is None:
            return False
        usual = self._proof(call, bucket, self._threads(call))
        several = self._proof(call, bucket, threads)
        if usual.seconds is None or several.values is None:
            return False
        if several.seconds is None or several.seconds < WORTH * usual.seconds:
            return True
        several.passed += 1
        return several.passed > TRIED_AGAIN

    def _proof(self, call: ModuleCall, bucket: int | None, threads: int) -> Proof:
        with self._proving:
            known = self.proofs.setdefault(call.module, {})
            return known.setdefault((call.group, call.kind, bucket, threads), Proof())

    def _threads(self, call: ModuleCall) -> int:
        return self.most if call.heavy else 1

    def _reference(self, call: ModuleCall) -> Any:
        assert call.facts is not None
        size = _bucket(call.rows, call.facts.least) or call.rows
        return self._timed([call], size, self._threads(call))[0]

    def _timed(self, calls: Sequence[ModuleCall], bucket: int, threads: int) -> list[Any]:
        began = self.clock()
        outputs = _batched(calls, bucket, threads)
        self._proof(calls[0], bucket, threads).took(self.clock() - began)
        return outputs


def _batched(calls: Sequence[ModuleCall], bucket: int, threads: int) -> list[Any]:
    compute_with(threads)
    with adding([(call.added, call.rows) for call in calls], bucket):
        return split(calls[0].run(pad(merge(calls), bucket)), [call.rows for call in calls])


def _alone(call: ModuleCall) -> Any:
    """Of a class whose rows nobody knows."""
    with adding([(call.added, call.rows)], None):
        return call.run(call.rowed)


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


def _same(a: Any, b: Any) -> bool:
    return all(
        torch.equal(x, y) if torch.is_tensor(x) else x == y
        for x, y in zip(_leaves(a), _leaves(b), strict=True)
    )
