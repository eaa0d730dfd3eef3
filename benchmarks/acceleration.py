"""What does `acceleration` save, and how far from the exact images are those that it makes?

`python -m benchmarks.acceleration` paints a few prompts with pico, alone and on one thread, exactly
and accelerated; `--write` puts the table into RESULTS.md. Seconds are of the processor.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from statistics import mean

import numpy as np
import torch

from benchmarks.results import machine, tell
from benchmarks.serving import PROMPTS
from imagemill.generation import ACCELERATIONS, Acceleration, Generation
from imagemill.pipelines.families import EMBEDDED
from imagemill.pipelines.inputs import NOTHING, Picture
from imagemill.pipelines.loading import Loaded, load
from imagemill.pipelines.painter import paint

STEPS = (8, 20, 40)
SIDE = 256  # px


def painted(loaded: Loaded, generation: Generation) -> tuple[Picture, float]:
    """The image, and the seconds that it took."""
    began = time.process_time()
    image = paint(loaded, generation, 0, NOTHING, lambda _: None)
    return image, time.process_time() - began


def decibels(image: Picture, exact: Picture) -> float:
    """The ratio of peak signal to noise; infinite where they are equal."""
    error = ((image.astype(float) - exact) ** 2).mean()
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def measured(loaded: Loaded, acceleration: Acceleration, steps: int) -> tuple[list[float], float]:
    """Decibels of each prompt, and how many times faster all were."""
    ratios, seconds = list[float](), [0.0, 0.0]
    for seed, prompt in enumerate(PROMPTS):
        exact = Generation(prompt, "imagemill/pico", SIDE, SIDE, steps, 4.0, seed)
        images = [painted(loaded, exact)]
        images.append(painted(loaded, replace(exact, acceleration=acceleration)))
        ratios.append(decibels(images[1][0], images[0][0]))
        seconds = [total + took for total, (_, took) in zip(seconds, images, strict=True)]
    return ratios, seconds[0] / seconds[1]


def rows() -> Iterator[str]:
    torch.set_num_threads(1)
    loaded = load(EMBEDDED, "cpu")
    yield "| acceleration | steps | PSNR, mean | PSNR, least | times faster |"
    yield "|---|---|---|---|---|"
    with torch.inference_mode():
        painted(loaded, Generation(PROMPTS[0], "imagemill/pico", SIDE, SIDE, 4, 4.0, 0))
        for acceleration in ACCELERATIONS[1:]:
            for steps in STEPS:
                ratios, faster = measured(loaded, acceleration, steps)
                least, average = min(ratios), mean(ratios)
                cells = f"{average:.1f} dB | {least:.1f} dB | {faster:.2f}"
                yield f"| `{acceleration}` | {steps} | {cells} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    keep = parser.parse_args().write
    head = [
        "## Acceleration",
        "",
        "Written by `python -m benchmarks.acceleration --write`: the first-block cache on pico,",
        f"{len(PROMPTS)} prompts, {SIDE} px, one thread, against the exact images.",
        "",
        machine(),
        "",
    ]
    tell("acceleration", chain(head, rows()), keep)


if __name__ == "__main__":
    main()
