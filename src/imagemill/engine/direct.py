"""Paints one generation in this process: for the command line, where no server is wanted."""

import os
import time
from collections.abc import Callable

import torch

from imagemill.engine.encoding import encode
from imagemill.engine.events import Event, Failed, Progress
from imagemill.engine.hub import device, prepare
from imagemill.engine.runner import ROW_BUDGET, Painting, Runner
from imagemill.generation import Generation, Painted


def paint(
    generation: Generation,
    source: str,
    on_progress: Callable[[int, int], None],
    threads: int | None = None,
) -> Painted:
    """Paints with the model at `source`; `on_progress(done, steps)` hears of every step.

    threads: of the arithmetic, None for one a core. Raises a Fault where the model is not there or
    cannot do what is asked.
    """
    torch.set_num_threads(threads or os.cpu_count() or 1)
    finished: list[Painting] = []

    def tell(_id: str, event: Event) -> None:
        match event:
            case Progress(done, steps):
                on_progress(done, steps)
            case Failed(fault):
                raise fault

    runner = Runner(ROW_BUDGET[device()], tell, finished.append, time.monotonic)
    with torch.inference_mode():
        runner.start("", generation, prepare(source))
        while runner.step():
            pass
    return encode(finished[0], time.monotonic())
