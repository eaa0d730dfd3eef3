"""Whether a model works: it is loaded, and paints one step, alone and twice at once."""

import logging
import queue
import time
from dataclasses import dataclass
from textwrap import shorten

import torch

from imagemill.engine.encoding import encode
from imagemill.engine.events import Event, Failed
from imagemill.engine.exact_batching import compute_with
from imagemill.engine.runner import ActiveGeneration, Computed, Runner
from imagemill.engine.sharing import bytes_of, parts
from imagemill.engine.stand_ins import prepare
from imagemill.generation import Generation
from imagemill.pipelines.loading import Loaded

SIDE = 256  # px
BUDGET = 2**20  # two of them always fit


@dataclass(frozen=True)
class Report:
    """family: the pipeline's class. bytes: of weights in memory. batches: whether two requests
    shared a forward of what is heaviest. loading, painting: seconds."""

    family: str
    precision: str
    device: str
    bytes: int
    tasks: tuple[str, ...]
    batches: bool
    loading: float
    painting: float


class Causes(logging.Handler):
    """Of what is logged, the errors behind it, a line each."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            self.lines.append(f"{type(error).__name__}: {shorten(str(error), 300)}")


def check(address: str, steps: int = 1) -> Report:
    """steps: of each picture; with 0 the model is only loaded.

    Raises a Fault where it cannot be loaded, or paints nothing.
    """
    compute_with(1)
    began = time.monotonic()
    loaded = prepare(address)
    there = time.monotonic()
    with torch.inference_mode():
        batches = bool(steps) and _paint_two(loaded, steps)
    modules = parts(loaded).values()
    largest = max(modules, key=bytes_of)
    return Report(
        family=type(loaded.pipe).__name__,
        precision=str(next(largest.parameters()).dtype).removeprefix("torch."),
        device=str(next(largest.parameters()).device),
        bytes=sum(bytes_of(each) for each in modules),
        tasks=tuple(loaded.pipes),
        batches=batches,
        loading=there - began,
        painting=time.monotonic() - there,
    )


def _paint_two(loaded: Loaded, steps: int) -> bool:
    """Whether they shared a forward."""
    ended: queue.SimpleQueue[Computed] = queue.SimpleQueue()
    finished: list[ActiveGeneration] = []
    runner = Runner(BUDGET, _tell, finished.append, time.monotonic, computed=ended.put)
    for seed in range(2):
        runner.start(str(seed), _generation(seed, steps), loaded)
    heaviest, shared = 0, False
    runner.begin()
    while runner.running:
        computed = ended.get()
        size = bytes_of(computed.forward.calls[0].module)
        together = len(computed.forward.calls) > 1
        shared = together if size > heaviest else shared or (size == heaviest and together)
        heaviest = max(heaviest, size)
        runner.end(computed)
        runner.begin()
    for active in finished:
        encode(active, time.monotonic())
    return shared


def _generation(seed: int, steps: int) -> Generation:
    return Generation(
        prompt="a red cat", model="check/model", width=SIDE, height=SIDE, steps=steps,
        guidance_scale=1.0, seed=seed, format="png",
    )  # fmt: skip


def _tell(_id: str, event: Event) -> None:
    if isinstance(event, Failed):
        raise event.fault
