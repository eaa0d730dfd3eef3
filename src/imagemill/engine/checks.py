"""Whether a model works: it is loaded, and paints one step, alone and twice at once."""

import queue
import time
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch

from imagemill.engine.encoding import encode
from imagemill.engine.events import Event, Failed
from imagemill.engine.exact import compute_with
from imagemill.engine.hub import prepare
from imagemill.engine.runner import Computed, Painting, Runner
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
    modules = _modules(loaded)
    largest = max(modules, key=_bytes)
    return Report(
        family=type(loaded.pipe).__name__,
        precision=str(next(largest.parameters()).dtype).removeprefix("torch."),
        device=str(next(largest.parameters()).device),
        bytes=sum(_bytes(each) for each in modules),
        tasks=tuple(loaded.pipes),
        batches=batches,
        loading=there - began,
        painting=time.monotonic() - there,
    )


def _paint_two(loaded: Loaded, steps: int) -> bool:
    """Whether they shared a forward."""
    ended: queue.SimpleQueue[Computed] = queue.SimpleQueue()
    finished: list[Painting] = []
    runner = Runner(BUDGET, _tell, finished.append, time.monotonic, computed=ended.put)
    for seed in range(2):
        runner.start(str(seed), _generation(seed, steps), loaded)
    heaviest, shared = 0, False
    runner.begin()
    while runner.running:
        computed = ended.get()
        size = _bytes(computed.forward.calls[0].module)
        together = len(computed.forward.calls) > 1
        shared = together if size > heaviest else shared or (size == heaviest and together)
        heaviest = max(heaviest, size)
        runner.end(computed)
        runner.begin()
    for painting in finished:
        encode(painting, time.monotonic())
    return shared


def _generation(seed: int, steps: int) -> Generation:
    return Generation(
        prompt="a red cat", model="check/model", width=SIDE, height=SIDE, steps=steps,
        guidance_scale=1.0, seed=seed, format="png",
    )  # fmt: skip


def _tell(_id: str, event: Event) -> None:
    if isinstance(event, Failed):
        raise event.fault


def _modules(loaded: Loaded) -> list[torch.nn.Module]:
    each: list[Any] = [getattr(part, "real", part) for part in loaded.pipe.components.values()]
    return [module for module in each if isinstance(module, torch.nn.Module)]


def _bytes(module: torch.nn.Module) -> int:
    return sum(_taken(each) for each in chain(module.parameters(), module.buffers()))


def _taken(tensor: Any) -> int:
    """Of what is quantized, the tensors that it is made of."""
    if not hasattr(tensor, "__tensor_flatten__"):
        return int(tensor.numel() * tensor.element_size())
    names, _ = tensor.__tensor_flatten__()
    return sum(_taken(getattr(tensor, name)) for name in names)
