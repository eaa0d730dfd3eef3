"""Paints one generation in this very thread: for sheets of training, and for tests."""

import time
from collections.abc import Callable, Mapping

import torch

from imagemill.engine.encoding import encode
from imagemill.engine.events import NO_INPUTS, Event, Failed, Progress
from imagemill.engine.exact_batching import compute_with
from imagemill.engine.matting import INSTALLED
from imagemill.engine.processors import Load
from imagemill.engine.runner import ROW_BUDGET, ActiveGeneration, Runner
from imagemill.engine.stand_ins import adapt, device, lanes_for, prepare
from imagemill.generation import GeneratedImages, Generation, Input
from imagemill.pipelines.inputs import read


def paint(
    generation: Generation,
    source: str,
    on_progress: Callable[[int, int], None],
    threads: int | None = None,
    inputs: Mapping[str, Input] = NO_INPUTS,
) -> GeneratedImages:
    """Paints with the model at `source`; `on_progress(done, steps)` hears of every step.

    threads: of the arithmetic at most, None for one a processor. inputs: what the generation's
    references stand for. Raises a Fault where the model is not there or cannot do what is asked.
    """
    compute_with(1)  # lanes take more where that is of use
    decoded = INSTALLED.applied(generation, read(generation, inputs))
    finished: list[ActiveGeneration] = []

    def tell(_id: str, event: Event) -> None:
        match event:
            case Progress(done, steps):
                on_progress(done, steps)
            case Failed(fault):
                raise fault

    budget, lanes = ROW_BUDGET[device()], lanes_for(threads)
    runner = Runner(budget, tell, finished.append, time.monotonic, lanes, Load().free)
    loaded = prepare(source)
    if decoded.weights:
        loaded = adapt(loaded, decoded.weights)
    with torch.inference_mode():
        runner.start("", generation, loaded, decoded)
        while runner.step():
            pass
    return encode(finished[0], time.monotonic())
