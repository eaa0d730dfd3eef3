"""How many rows of a kind of call fit into memory at a time, learnt from where it ran out.

No tensors. Memory is lost and found again, as other programs come and go, so a limit is tried from
time to time: after so many forwards of as many rows as it allows a little more is allowed, and each
time that memory runs out again it takes twice as many. Calls of other kinds are not concerned.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field

PATIENCE = 32  # forwards at the limit until more is tried
MOST_PATIENCE = 2**12
RAISE = 4  # a limit is raised by such a part of it
KINDS = 1024  # that are remembered, the most recent


@dataclass
class RowLimit:
    rows: int
    patience: int = PATIENCE
    passed: int = 0  # forwards of as many rows


@dataclass
class RowLimits:
    """By kind of call; what has none has never met the end of memory."""

    kinds: dict[Hashable, RowLimit] = field(default_factory=dict)

    def rows(self, kind: Hashable) -> int | None:
        """That may share a forward; None for any number."""
        limit = self.kinds.get(kind)
        return None if limit is None else limit.rows

    def ran_out(self, kind: Hashable, rows: int) -> None:
        """Memory did not suffice for so many rows at a time."""
        before = self.kinds.pop(kind, None)
        patience = PATIENCE if before is None else min(MOST_PATIENCE, 2 * before.patience)
        least = rows // 2 if before is None else min(before.rows, rows // 2)
        self.kinds[kind] = RowLimit(max(1, least), patience)
        while len(self.kinds) > KINDS:
            del self.kinds[next(iter(self.kinds))]

    def ran(self, kind: Hashable, rows: int, each: int = 1) -> None:
        """Memory sufficed for so many, of calls of `each`."""
        limit = self.kinds.get(kind)
        if limit is None or rows + each <= limit.rows:
            return
        limit.passed += 1
        if limit.passed >= limit.patience:
            limit.passed, limit.rows = 0, limit.rows + max(each, limit.rows // RAISE)
