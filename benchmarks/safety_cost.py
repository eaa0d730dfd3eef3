"""What does the safety checker add to the time of an image?

`python -m benchmarks.safety_cost` paints with pico at its usual steps, alone and on one thread, and
looks at each image; `--write` puts the table into RESULTS.md. Seconds are of the processor.
"""

import argparse
import time
from collections.abc import Iterator
from itertools import chain
from statistics import median

import torch

from benchmarks.results import machine, tell
from benchmarks.serving import PROMPTS
from imagemill.catalog import Catalog
from imagemill.conditions import SafetyCheck
from imagemill.engine.encoding import encode
from imagemill.engine.ipc import SafetyOptions
from imagemill.engine.runner import ActiveGeneration
from imagemill.engine.safety import Safety
from imagemill.generation import Draft, Generation
from imagemill.pipelines.families import EMBEDDED
from imagemill.pipelines.inputs import NOTHING, Picture
from imagemill.pipelines.loading import Loaded, load
from imagemill.pipelines.painter import paint

SIZES = ((256, 256), (512, 512), (1024, 768), (1024, 1024))  # px


def seconds(loaded: Loaded, generation: Generation, safety: Safety) -> tuple[float, float]:
    """Of an image without a check, from its prompt to its file, and of the check."""
    began = time.process_time()
    image = paint(loaded, generation, 0, NOTHING, lambda _: None)
    file = _active(loaded, generation, image)
    encode(file, 0.0)
    painted = time.process_time()
    safety.flags(image, SafetyCheck(wanted=True))
    return painted - began, time.process_time() - painted


def _active(loaded: Loaded, generation: Generation, image: Picture) -> ActiveGeneration:
    return ActiveGeneration("", generation, loaded, NOTHING, False, 0.0, pictures={0: image})


def rows(repeats: int) -> Iterator[str]:
    torch.set_num_threads(1)
    loaded, safety = load(EMBEDDED, "cpu"), Safety(SafetyOptions())
    endpoint = Catalog({}, stand_ins=True).find("imagemill/pico")
    yield "| size | steps | an image | the check | of the image's time |"
    yield "|---|---|---|---|---|"
    with torch.inference_mode():
        for width, height in SIZES:
            taken = list[tuple[float, float]]()
            for seed in range(repeats + 1):
                draft = Draft(
                    PROMPTS[seed % 4], width=width, height=height, seed=seed, format="jpeg"
                )
                generation = endpoint.generation(draft)
                taken.append(seconds(loaded, generation, safety))
            image, check = (median(each) for each in zip(*taken[1:], strict=True))
            share = median(check / image for image, check in taken[1:])
            cells = f"{generation.steps} | {image:.3f} s | {check:.3f} s | {share:.1%}"
            yield f"| {width}x{height} | {cells} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    head = [
        "## The safety checker",
        "",
        "Written by `python -m benchmarks.safety_cost --write`: open_nsfw on one thread, after",
        "each image of pico, which is painted alone in the same run; medians, in seconds of the",
        "processor. The server looks in the thread that encodes, beside the next step.",
        "",
        machine(),
        "",
    ]
    tell("safety_cost", chain(head, rows(options.repeats)), options.write)


if __name__ == "__main__":
    main()
