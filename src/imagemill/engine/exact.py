"""Batched forwards that give every row the bytes it would have alone.

Kernels choose their order of summation by shape, so the rows beside a row can change its last bits.
Forwards therefore run in a few fixed numbers of rows (buckets), and a bucket is used only when it
has been shown, on this machine and for this module and shape, to give the same bits as the least
bucket, in which every call runs when it is alone. The proof is made at the first uses of a bucket;
where it fails, the bucket is never used again. Rounding depends on the order of summation, not on
the data, but it takes many values until another order changes one: measured, a network of a few
thousand values agreed once and differed the next time. So there is a number of values that must
have agreed; pictures of a common size have them at once.

Measured on an x86-64 CPU with AVX-512: in bfloat16 all even numbers of rows of a transformer agree
to the bit and 1 does not; in float32 already 4 rows differ from 2, so there calls run one by one.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch.utils._pytree import tree_flatten

from imagemill.engine.calls import ModuleCall, merge, pad, split

BUCKETS = (1, 2, 4, 6, 8, 12, 16, 24, 32)
ENOUGH = 2**15  # values that prove a bucket
WASTE = 0.2  # of a bucket that may be padding; else the calls are split over smaller ones


@dataclass
class Proof:
    """Of a bucket: `values` have agreed; None, one has not."""

    values: int | None = 0

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
    """Runs groups of calls; `proofs` remembers which buckets have been proved or refuted.

    It forgets a module that is gone: the next one may be given its id.
    """

    enough: int = ENOUGH
    proofs: WeakKeyDictionary[torch.nn.Module, dict[Hashable, Proof]] = field(
        default_factory=WeakKeyDictionary
    )

    def run(self, calls: Sequence[ModuleCall]) -> list[Any]:
        """The output of each call, all of one group."""
        first = calls[0]
        if first.facts is None:
            return [call.run(call.rowed) for call in calls]
        if len(calls) == 1:
            return [self._alone(first)]
        rows = sum(call.rows for call in calls)
        bucket = _bucket(rows, first.facts.least)
        proof = self.proofs.setdefault(first.module, {}).setdefault((first.group, bucket), Proof())
        if bucket is None or bucket - rows > bucket * WASTE or proof.values is None:
            return [output for part in _parts(calls, rows) for output in self.run(part)]
        together = _batched(calls, bucket)
        if proof.values >= self.enough:
            return together
        separate = [self._alone(call) for call in calls]
        proof.add(together, separate)
        return separate

    def _alone(self, call: ModuleCall) -> Any:
        assert call.facts is not None
        return _batched([call], _bucket(call.rows, call.facts.least) or call.rows)[0]


def _batched(calls: Sequence[ModuleCall], bucket: int) -> list[Any]:
    return split(calls[0].run(pad(merge(calls), bucket)), [call.rows for call in calls])


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
