"""Several engines as one: a process for each device, of which each sees that device alone.

A generation goes to one of them (`placing`) and is painted there. Where that engine dies, the
others paint on; where it cannot be started again at once, what it was given moves to another.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import count

from imagemill.engine.devices import pinned
from imagemill.engine.events import (
    CLOSING_SECONDS,
    NO_INPUTS,
    Event,
    Failed,
    Finished,
    State,
)
from imagemill.engine.placing import Candidate, best
from imagemill.engine.process import EngineProcess, cost
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation, Input

log = logging.getLogger(__name__)
LOOK = 1.0  # seconds between looks whether another engine has to take a generation over
MEGAPIXEL = 2**20
# All of them together are in the first of these states that one of them is in: what needs no
# certain device is painted as soon as one of them is ready.
STATES = (State.READY, State.STARTING, State.DEGRADED, State.DEAD)


@dataclass
class Placed:
    """A generation at its engine. source: as that knows it. work: in steps of a megapixel."""

    id: str
    source: str
    work: float
    devices: Sequence[str]  # on which it may be
    device: str = ""
    cancelled: bool = False


class Engines:
    """Implements `engine.events.Engine`; used from one event loop. engines: by device."""

    def __init__(self, engines: Mapping[str, EngineProcess], look: float = LOOK) -> None:
        self.engines, self.look = dict(engines), look
        self._placed, self._numbers = dict[int, Placed](), count()

    @property
    def state(self) -> State:
        return min((each.state for each in self.engines.values()), key=STATES.index)

    @property
    def trouble(self) -> str:
        troubles = {device: each.trouble for device, each in self.engines.items()}
        return "; ".join(f"{device}: {trouble}" for device, trouble in troubles.items() if trouble)

    @property
    def resting(self) -> float:
        """Until the first of them is started again."""
        return min(each.resting for each in self.engines.values())

    async def start(self) -> None:
        for each in self.engines.values():
            await each.start()

    async def submit(
        self,
        id: str,
        generation: Generation,
        source: str,
        inputs: Mapping[str, Input] = NO_INPUTS,
        previews: bool = False,
    ) -> AsyncIterator[Event]:
        try:
            devices, own = pinned(source, tuple(self.engines))
        except Fault as fault:
            yield Failed(fault)
            return
        number, placed = next(self._numbers), Placed(id, own, _work(generation), devices)
        try:
            while not placed.cancelled:
                placed.device = self._best(own, devices)
                self._placed[number] = placed
                engine = self.engines[placed.device]
                submitted = engine.submit(id, generation, own, inputs, previews)
                async with aclosing(submitted) as events:  # type: ignore[type-var]
                    while event := await self._next(events, placed):
                        if isinstance(event, Finished | Failed):
                            del self._placed[number]
                            yield event
                            return
                        yield event
                log.warning("%s is taken from %s, which does not start", id, placed.device)
            yield Failed(Fault(Kind.CANCELLED, "the work was cancelled"))
        finally:
            self._placed.pop(number, None)

    def cancel(self, id: str) -> None:
        for placed in self._placed.values():
            placed.cancelled = placed.cancelled or placed.id == id
        for each in self.engines.values():
            each.cancel(id)

    def refusal(self, source: str) -> Fault | None:
        """Where none of the devices that it may be on has room for it, that of the first."""
        try:
            devices, own = pinned(source, tuple(self.engines))
        except Fault as fault:
            return fault
        refusals = [self.engines[device].refusal(own) for device in devices]
        return refusals[0] if all(refusals) else None

    def warm(self, source: str) -> float:
        try:
            devices, own = pinned(source, tuple(self.engines))
        except Fault:  # which is told to who wants it painted
            return 0.0
        if any(own in self.engines[device].models.held for device in devices):
            return 0.0
        engine = self.engines[self._best(own, devices)]
        return engine.resting + engine.warm(own)

    async def close(self, seconds: float = CLOSING_SECONDS) -> None:
        await asyncio.gather(*(each.close(seconds) for each in self.engines.values()))

    def _best(self, source: str, devices: Sequence[str]) -> str:
        return best({device: self._candidate(device, source) for device in devices})

    def _candidate(self, device: str, source: str) -> Candidate:
        engine = self.engines[device]
        placed = [each for each in self._placed.values() if each.device == device]
        return Candidate(
            engine.state is State.READY,
            engine.resting,
            engine.models.has(source) or any(each.source == source for each in placed),
            source in engine.models.refused,
            sum(each.work for each in placed),
            len(engine.models.held),
        )

    async def _next(self, events: AsyncIterator[Event], placed: Placed) -> Event | None:
        """None: another engine has to take it over."""
        if len(placed.devices) == 1:
            return await anext(events)
        coming = asyncio.ensure_future(anext(events))
        try:
            while not coming.done() and not self._stranded(placed):
                await asyncio.wait([coming], timeout=self.look)
            return coming.result() if coming.done() else None
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)

    def _stranded(self, placed: Placed) -> bool:
        """Its engine died again and again while it started, which is not what a generation does
        (`suspects` sees to those), and another is there."""
        others = (self.engines[each] for each in placed.devices if each != placed.device)
        return self.engines[placed.device].resting > 0 and any(
            each.state is State.READY and placed.source not in each.models.refused
            for each in others
        )


def _work(generation: Generation) -> float:
    return cost(generation) / MEGAPIXEL
