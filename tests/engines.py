"""An engine of plain colour, in memory: obeys the protocol, step by step, as a test lets it."""

import asyncio
import io
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from PIL import Image

from imagemill.engine.events import Event, Failed, Finished, Progress, State
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation, Painted

TURNS = 10  # of the event loop that a step takes; a real one takes many more


@dataclass
class PlainEngine:
    """Paints one colour, decided by prompt and seed.

    gate: passed before every step. hold_at: the step after which the gate falls shut, once.
    """

    state: State = State.READY
    ignored: tuple[str, ...] = ()
    hold_at: int | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    submitted: list[Generation] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    steps: Counter[str] = field(default_factory=Counter)  # by prompt
    cancelled: list[str] = field(default_factory=list)  # ids
    closed: bool = False
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def __post_init__(self) -> None:
        self.gate.set()

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        self.closed = True

    async def submit(self, id: str, generation: Generation, source: str) -> AsyncIterator[Event]:
        self.submitted.append(generation)
        self.sources.append(source)
        await self._tell()
        for step in range(1, generation.steps + 1):
            await self.gate.wait()
            if self.state is State.DEAD:
                yield Failed(Fault(Kind.FAILED, "the engine stopped while painting; try again"))
                return
            await self._count(generation.prompt, step)
            yield Progress(step, generation.steps)
        yield Finished(paint(generation, self.ignored))

    def cancel(self, id: str) -> None:
        self.cancelled.append(id)

    async def reached(self, prompt: str, steps: int) -> None:
        """Returns once `steps` of the picture of `prompt` have been made."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.steps[prompt] >= steps)

    async def asked(self, times: int) -> None:
        """Returns once `times` generations have been submitted."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.submitted) >= times)

    async def _count(self, prompt: str, step: int) -> None:
        self.steps[prompt] += 1
        if step == self.hold_at:
            self.hold_at = None
            self.gate.clear()
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
        for _ in range(TURNS):
            await asyncio.sleep(0)


def paint(generation: Generation, ignored: tuple[str, ...] = ()) -> Painted:
    colour = f"#{abs(hash((generation.prompt, generation.seed))) % 2**24:06x}"
    picture = io.BytesIO()
    Image.new("RGB", (generation.width, generation.height), colour).save(picture, generation.format)
    return Painted((picture.getvalue(),), 0.25, "pico", ignored)
