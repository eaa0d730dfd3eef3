"""An engine of plain colour, in memory: obeys the protocol, step by step, as a test lets it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from imagemill.engine.events import (
    NO_INPUTS,
    Begun,
    Event,
    Failed,
    Finished,
    HeldBack,
    Preview,
    Progress,
    State,
)
from imagemill.errors import Fault, Kind
from imagemill.generation import Format, GeneratedImages, Generation, Input
from imagemill.images.encode import encode
from imagemill.images.provenance import provenance
from imagemill.scheduler_names import UNHEEDED

SCHEDULER = "FlowMatchEulerDiscreteScheduler"  # of pico, where the caller names none
TURNS = 10  # of the event loop that a step takes; a real one takes many more


@dataclass
class PlainEngine:
    """Paints one colour, decided by prompt and seed.

    gate: passed before every step. hold_at: the step after which the gate falls shut, once.
    flags: the images of each generation that its safety checker flags, where one is wanted.
    suspects: prompts of what is held back at the gate, as if the engine had died with it.
    """

    state: State = State.READY
    trouble: str = ""
    resting: float = 0.0
    refused: Mapping[str, Fault] = field(default_factory=dict)  # by source
    loads: float = 0.0  # seconds that a model takes to be there
    ignored: tuple[str, ...] = ()
    flags: frozenset[int] = frozenset()
    hold_at: int | None = None
    suspects: frozenset[str] = frozenset()
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    submitted: list[Generation] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    inputs: list[Mapping[str, bytes]] = field(default_factory=list)
    previewed: list[bool] = field(default_factory=list)
    steps: Counter[str] = field(default_factory=Counter)  # by prompt
    cancelled: list[str] = field(default_factory=list)  # ids
    warmed: list[str] = field(default_factory=list)  # sources
    closed: bool = False
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def __post_init__(self) -> None:
        self.gate.set()

    async def start(self) -> None:
        pass

    async def close(self, seconds: float = 0.0) -> None:
        self.closed = True

    async def submit(
        self,
        id: str,
        generation: Generation,
        source: str,
        inputs: Mapping[str, Input] = NO_INPUTS,
        previews: bool = False,
    ) -> AsyncIterator[Event]:
        self.submitted.append(generation)
        self.sources.append(source)
        self.inputs.append({name: _content(each) for name, each in inputs.items()})
        self.previewed.append(previews)
        await self._tell()
        yield Begun()
        if generation.prompt in self.suspects:
            yield HeldBack()
            await self.gate.wait()
            yield Begun()
        for step in range(1, generation.steps + 1):
            await self.gate.wait()
            if self.state is State.DEAD:
                yield Failed(Fault(Kind.FAILED, "the engine stopped while painting; try again"))
                return
            await self._count(generation.prompt, step)
            yield Progress(step, generation.steps)
            if previews and step < generation.steps:
                yield Preview(step, generation.steps, 0, preview(generation))
        yield Finished(self._flagged(generation, paint(generation, self.ignored)))

    def _flagged(self, generation: Generation, painted: GeneratedImages) -> GeneratedImages:
        if not generation.safety.wanted:
            return painted
        flagged = tuple(index in self.flags for index in range(generation.num_images))
        return replace(painted, flagged=flagged)

    def cancel(self, id: str) -> None:
        self.cancelled.append(id)

    def refusal(self, source: str) -> Fault | None:
        return self.refused.get(source)

    def warm(self, source: str) -> float:
        self.warmed.append(source)
        return self.loads

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


def paint(generation: Generation, ignored: tuple[str, ...] = ()) -> GeneratedImages:
    if generation.spacing is not None and UNHEEDED.format(generation.spacing) in ignored:
        generation = replace(generation, spacing=None)  # files say what was painted with
    each = [replace(generation, seed=generation.seed_of(i)) for i in range(generation.num_images)]
    return GeneratedImages(tuple(_file(one, one.format) for one in each), 0.25, "pico", ignored)


def preview(generation: Generation) -> bytes:
    return _file(generation, "jpeg")


def _file(generation: Generation, format: Format) -> bytes:
    colour = f"#{abs(hash((generation.prompt, generation.seed))) % 2**24:06x}"
    width, height = generation.width, generation.height
    if format == "svg":
        return _SVG.format(width=width, height=height, colour=colour).encode()
    picture = np.asarray(Image.new("RGB", (width, height), colour))
    return encode(picture, format, provenance(generation, generation.seed, "pico", SCHEDULER))


_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
    'viewBox="0 0 {width} {height}"><rect width="100%" height="100%" fill="{colour}"/></svg>'
)


def _content(given: Input) -> bytes:
    return given if isinstance(given, bytes) else given.path.read_bytes()
