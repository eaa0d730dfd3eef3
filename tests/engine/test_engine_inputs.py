"""The engine's process with all that it can be given: pictures, masks, LoRAs, previews."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import numpy as np
import psutil
import pytest
from diffusers import DiffusionPipeline

from imagemill.engine.events import NO_INPUTS, Begun, Event, Failed, Finished, Preview, Progress
from imagemill.engine.inline import paint
from imagemill.engine.ipc import Options
from imagemill.engine.process import EngineProcess
from imagemill.errors import Kind
from imagemill.generation import Generation, Input, Lora
from imagemill.pipelines.families import EMBEDDED
from imagemill.pipelines.loading import load
from tests.checkpoints import lora
from tests.lora_files import kept
from tests.studio import png

pytestmark = pytest.mark.anyio
ASKED = Generation("a red cat", "imagemill/pico", 128, 128, 4, 4.0, seed=1)
PIXELS = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
MASK = np.kron([[255, 0], [0, 0]], np.ones((64, 64))).astype(np.uint8)
GIVEN = {"image": png(PIXELS), "mask": png(MASK)}
INSIDE = replace(ASKED, image="image", mask="mask")


@asynccontextmanager
async def running() -> AsyncIterator[EngineProcess]:
    engine = EngineProcess(Options(threads=1, preload=("pico",)))
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


async def heard(
    engine: EngineProcess,
    id: str,
    asked: Generation,
    inputs: Mapping[str, Input] = NO_INPUTS,
    previews: bool = False,
) -> list[Event]:
    stream = engine.submit(id, asked, EMBEDDED, inputs, previews)
    async with aclosing(stream) as events:  # type: ignore[type-var]
        return [event async for event in events]


def files(events: list[Event]) -> tuple[bytes, ...]:
    assert isinstance(events[-1], Finished), events[-1]
    return events[-1].painted.pictures


def here(asked: Generation, inputs: Mapping[str, Input]) -> tuple[bytes, ...]:
    return paint(asked, EMBEDDED, lambda done, steps: None, threads=1, inputs=inputs).pictures


@pytest.fixture(scope="module")
def plain() -> DiffusionPipeline:
    return load(EMBEDDED, "cpu").pipe


async def test_everything_passes_through_the_process(plain: DiffusionPipeline) -> None:
    loras = {f"lora{seed}": kept(lora(plain, seed)) for seed in range(4)}
    adapted = [
        replace(ASKED, loras=(Lora(f"lora{seed}", 1.0), Lora("lora0", 0.5))) for seed in range(1, 4)
    ]
    async with running() as engine:
        inside, unchanged, *others = await asyncio.gather(
            heard(engine, "inside", INSIDE, GIVEN, previews=True),
            heard(engine, "plain", ASKED),
            *(heard(engine, f"adapted{i}", each, loras) for i, each in enumerate(adapted)),
        )
    assert files(inside) == here(INSIDE, GIVEN)
    assert any(isinstance(event, Preview) for event in inside)
    assert files(unchanged) == here(ASKED, {})
    assert files(others[1]) == here(adapted[1], loras)
    assert len({files(unchanged), *map(files, others)}) == 4


async def test_inputs_are_handed_on_again_after_a_death() -> None:
    long = replace(INSIDE, steps=120)
    async with running() as engine:
        stream = engine.submit("long", long, EMBEDDED, GIVEN, True)
        assert isinstance(await anext(stream), Begun)
        assert isinstance(await anext(stream), Progress)
        children = psutil.Process().children(recursive=True)
        worker = max(children, key=lambda child: child.memory_info().rss)
        os.kill(worker.pid, signal.SIGKILL)
        rest = [event async for event in stream]
    assert files(rest)
    assert any(isinstance(event, Preview) for event in rest)


async def test_what_cannot_be_read_fails_alone_and_says_what() -> None:
    bad: dict[str, tuple[Generation, Mapping[str, Input]]] = {
        "image": (INSIDE, GIVEN | {"image": b"no picture"}),
        "mask": (INSIDE, GIVEN | {"mask": b""}),
        "loras": (replace(ASKED, loras=(Lora("x"),)), {"x": kept(b"no tensors")}),
    }
    async with running() as engine:
        *failed, good = await asyncio.gather(
            *(heard(engine, field, asked, given) for field, (asked, given) in bad.items()),
            heard(engine, "good", ASKED),
        )
    for field, events in zip(bad, failed, strict=True):
        begun, only = events
        assert begun == Begun()
        assert isinstance(only, Failed)
        assert (only.fault.kind, only.fault.field) == (Kind.UNREADABLE, field)
    assert files(good)


async def test_who_waits_for_loras_can_be_cancelled(plain: DiffusionPipeline) -> None:
    asked = replace(ASKED, loras=(Lora("x"),), steps=150)
    async with running() as engine:
        waiting = asyncio.create_task(heard(engine, "waiting", asked, {"x": kept(lora(plain))}))
        await heard(engine, "first", replace(ASKED, steps=1))
        engine.cancel("waiting")
        last = (await waiting)[-1]
        assert isinstance(last, Failed)
        assert last.fault.kind is Kind.CANCELLED
        assert files(await heard(engine, "next", ASKED))
