"""Which parked calls run next: a policy over plain integers. No tensors, no clocks, no threads.

A trajectory (one picture on its way) parks at a call of a heavy module. Calls of one group can
share a forward; the plan is one group's most urgent calls, up to a budget. Urgency is work left,
less what the call has waited, so short work overtakes long work. Work left counts only up to a
patience, so a call has waited long enough at the latest when others have had that much: even under
an endless stream of short work, long work keeps a share. What costs next to nothing, as encoding a
prompt does, is as urgent as if it were all that is left: others lose nothing by it, and its
trajectory joins their batches soon.

Forwards run side by side, in lanes, and none waits for another: a plan takes no more than its
lane's share of all that is to be computed, so that the next lane that becomes free finds the rest.
A call that is too heavy for one processor takes all of them, and waits until no other runs.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

PATIENCE = 8  # full forwards of others that a call waits for at most
TRIFLE = 1024  # such a part of the budget is next to nothing


@dataclass(frozen=True)
class ParkedCall:
    """One parked call.

    id: of the trajectory. group: calls of one group may share a forward. cost: of this call, in
    tokens times rows. left: cost of all calls that the trajectory still has to make. since: the
    scheduler's clock when it parked. heavy: it takes all processors. rows: of this call. most: rows
    of its group that fit into memory at a time; None for any number. early: its trajectory joins
    others after it, so that it goes before their steps.
    """

    id: int
    group: Hashable
    cost: int
    left: int
    since: int
    heavy: bool = False
    rows: int = 1
    most: int | None = None
    early: bool = False


@dataclass
class Scheduler:
    """`budget` bounds the cost of one forward; a single call above it still runs, alone.

    lanes: forwards that may run side by side, of one thread each.
    """

    budget: int
    lanes: int = 1
    clock: int = 0  # cost of all forwards run so far: time as the waiting feel it

    def plan(self, parked: Sequence[ParkedCall], running: int = 0) -> tuple[int, ...]:
        """The ids to run now, of one group, most urgent first; empty where none is to be begun.

        running: the cost of the forwards under way in other lanes.
        """
        order = sorted(parked, key=self._urgency)
        if not order or (order[0].heavy and running):
            return ()
        group = [call for call in order if call.group == order[0].group]
        limit, chosen, first = self._limit(parked, running, group[0]), [group[0]], group[0]
        cost, rows = first.cost, first.rows
        for call in group[1:]:
            fits = first.most is None or rows + call.rows <= first.most
            if fits and cost + call.cost <= limit:
                chosen.append(call)
                cost, rows = cost + call.cost, rows + call.rows
        return tuple(call.id for call in chosen)

    def _limit(self, parked: Sequence[ParkedCall], running: int, first: ParkedCall) -> int:
        if first.heavy:
            return self.budget
        share = (running + sum(call.cost for call in parked)) / self.lanes
        return min(self.budget, math.ceil(share))

    def threads(self, running: int, trajectories: int, free: int) -> int:
        """Of the next forward's arithmetic: all, or a power of 2, and more than 1 only where lanes
        would stay empty.

        running: threads that compute in other lanes. trajectories: all that have a call to run,
        this one included. free: processors that other processes leave.
        """
        most = min(self.lanes // max(1, trajectories), self.lanes - running, free)
        return most if most == self.lanes else 1 << max(1, most).bit_length() - 1

    def count(self, cost: int) -> None:
        """After a forward of `cost` has run."""
        self.clock += cost

    def _urgency(self, call: ParkedCall) -> tuple[int, int]:
        trifling = call.cost * TRIFLE <= self.budget
        left = call.cost if trifling else min(call.left, PATIENCE * self.budget)
        return (0 if call.early else left) - (self.clock - call.since), call.id
