"""The engine alone: what it paints a second without a server before it; `benchmarks.serving` asks.

As many requests as there are clients are under way at a time, of the same steps and sizes.
"""

import argparse
import time
from itertools import count

import torch

from benchmarks.serving import CLIENTS, PROMPTS, STEPS
from imagemill.engine import stand_ins
from imagemill.engine.encoding import encode
from imagemill.engine.exact_batching import compute_with
from imagemill.engine.processors import Load
from imagemill.engine.runner import ROW_BUDGET, ActiveGeneration, Runner
from imagemill.generation import Generation


def rate(side: int, pictures: int) -> float:
    """Pictures a second."""
    compute_with(1)
    model, numbers, painted = stand_ins.prepare("pico"), count(), list[ActiveGeneration]()
    lanes = stand_ins.lanes_for(None)
    runner = Runner(
        ROW_BUDGET[stand_ins.device()],
        lambda _id, _event: None,
        painted.append,
        time.monotonic,
        lanes,
        Load().free,
    )
    began = 0.0
    with torch.inference_mode():
        while len(painted) < CLIENTS + pictures:
            if len(painted) >= CLIENTS and not began:  # the first prove batches
                began, before = time.perf_counter(), len(painted)
            while len(runner.active) < CLIENTS:
                number = next(numbers)
                generation = Generation(
                    PROMPTS[number % len(PROMPTS)],
                    "imagemill/pico",
                    side,
                    side,
                    STEPS[number % len(STEPS)],
                    4.0,
                    number,
                    format="jpeg",
                )
                runner.start(str(number), generation, model)
            ended = len(painted)
            runner.step()
            for active in painted[ended:]:
                encode(active, time.monotonic())
    return (len(painted) - before) / (time.perf_counter() - began)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=256, help="px")
    parser.add_argument("--pictures", type=int, default=96)
    options = parser.parse_args()
    print(rate(options.side, options.pictures))
