"""Engines that start at once and paint one colour: within the server, or as processes that die as
a test has them die."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.idle import ReadyEngine
from imagemill.engine.events import NO_INPUTS, Begun, Event, Failed, Finished, Progress
from imagemill.engine.ipc import Options
from imagemill.generation import Generation, Input
from tests.engines import paint
from tests.stub_engines import Stub

STEP_SECONDS = 0.02


class PlainEngine(ReadyEngine):
    """Paints within the server's own process, each step in STEP_SECONDS, and keeps nothing."""

    async def submit(
        self,
        id: str,
        generation: Generation,
        source: str,
        inputs: Mapping[str, Input] = NO_INPUTS,
        previews: bool = False,
    ) -> AsyncIterator[Event]:
        yield Begun()
        for step in range(1, generation.steps + 1):
            await asyncio.sleep(STEP_SECONDS)
            yield Progress(step, generation.steps)
        # In a thread, since a real engine compresses its pictures in another process.
        yield Finished(await asyncio.to_thread(paint, generation))


class Painter(Stub):
    """Paints what it is asked for, but for those whose prompts say otherwise."""

    def end(self, id: str, event: Finished | Failed) -> None:
        if isinstance(event, Finished):
            event = Finished(paint(self.work[id][0].generation))
        super().end(id, event)


def painter(deaths: Path, gate: Path, connection: Connection, options: Options) -> None:
    """A process that dies as it starts while `deaths` holds a number, which it takes one from; and
    paints no step while there is no `gate`."""
    left = int(deaths.read_text("ascii")) if deaths.exists() else 0
    if left:
        deaths.write_text(str(left - 1), "ascii")
        os._exit(5)
    Painter(connection, options, gate).run()
