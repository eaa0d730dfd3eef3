"""A runner without a process: paints what tests ask of it, and remembers what it said."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from imagemill.engine.encoding import encode
from imagemill.engine.events import NO_INPUTS, Event, Failed, Progress
from imagemill.engine.runner import ROW_BUDGET, ActiveGeneration, Runner
from imagemill.engine.stand_ins import prepare
from imagemill.errors import Kind
from imagemill.generation import Generation, Input
from imagemill.pipelines.families import EMBEDDED
from imagemill.pipelines.inputs import Picture, read
from imagemill.pipelines.loading import Loaded
from tests.checkpoints import Checkpoint

Models = Callable[[str], Loaded]  # a family's model

ASKED = Generation("a red cat", "imagemill/pico", 256, 256, 8, 4.0, seed=1)


@contextmanager
def inference_on_one_thread() -> Iterator[None]:
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module", autouse=True)
def inference() -> Iterator[None]:
    """For every test of a module that imports it."""
    with inference_on_one_thread():
        yield


@pytest.fixture(scope="module")
def pico() -> Loaded:
    return prepare(EMBEDDED)


@pytest.fixture(scope="module")
def model(checkpoint: Checkpoint) -> Models:
    """The tiny model of a family, prepared once."""
    return cache(lambda family: prepare(str(checkpoint(family))))


@dataclass
class Studio:
    """inputs: for all generations. previews: whether they are wanted. lanes: as many
    processors are free.
    """

    budget: int = ROW_BUDGET["cpu"]
    inputs: Mapping[str, Input] = field(default_factory=dict)
    previews: bool = False
    lanes: int = 1
    said: dict[str, list[Event]] = field(default_factory=dict)
    finished: dict[str, ActiveGeneration] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.runner = Runner(
            self.budget, self._hear, self._keep, lambda: 0.0, self.lanes, lambda: self.lanes
        )

    def _hear(self, id: str, event: Event) -> None:
        self.said.setdefault(id, []).append(event)

    def _keep(self, active: ActiveGeneration) -> None:
        self.finished[active.id] = active

    def start(self, loaded: Loaded, **generations: Generation) -> None:
        for id, generation in generations.items():
            decoded = read(generation, self.inputs)
            self.runner.start(id, generation, loaded, decoded, self.previews)

    def run(self) -> None:
        while self.runner.step():
            pass

    def steps(self, id: str) -> int:
        return sum(isinstance(event, Progress) for event in self.said.get(id, []))

    def fault(self, id: str) -> Kind:
        last = self.said[id][-1]
        assert isinstance(last, Failed)
        return last.fault.kind

    def field(self, id: str) -> str | None:
        last = self.said[id][-1]
        assert isinstance(last, Failed)
        return last.fault.field

    def picture(self, id: str) -> Picture:
        return self.finished[id].pictures[0]

    def files(self, id: str) -> tuple[bytes, ...]:
        return encode(self.finished[id], now=1.0).pictures


def painted(
    loaded: Loaded, generation: Generation, inputs: Mapping[str, Input] = NO_INPUTS
) -> ActiveGeneration:
    """One generation in a studio of its own."""
    studio = Studio(inputs=inputs)
    studio.start(loaded, it=generation)
    studio.run()
    return studio.finished["it"]


def alone(
    loaded: Loaded, generation: Generation, inputs: Mapping[str, Input] = NO_INPUTS
) -> tuple[bytes, ...]:
    return encode(painted(loaded, generation, inputs), now=1.0).pictures


def png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()
