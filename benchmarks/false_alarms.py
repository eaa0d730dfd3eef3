"""How often does the safety checker flag what the embedded model paints, which has nothing to hide?

`python -m benchmarks.false_alarms --write` paints the prompts of training's lists at 256 px by the
model's usual steps, looks at each image, and puts the table into RESULTS.md.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import torch

from benchmarks.results import ROOT, machine, tell
from imagemill.catalog import Catalog
from imagemill.engine import stand_ins
from imagemill.engine.exact_batching import compute_with
from imagemill.engine.ipc import SafetyOptions
from imagemill.engine.processors import Load
from imagemill.engine.runner import ROW_BUDGET, ActiveGeneration, Runner
from imagemill.engine.safety import Safety
from imagemill.generation import Draft, Generation

IMAGES, SIDE, AT_ONCE = 1000, 256, 16
THRESHOLDS = (0.1, 0.2, 0.5, 0.8)
LISTS = ("prompts_300.txt", "prompts_parti.tsv")  # a prompt is what stands before a tab

HEAD = "prompt\tmain noun"


def prompts(folder: Path = ROOT / "training") -> Iterator[str]:
    """All of the lists, each once."""
    lines = [line for name in LISTS for line in (folder / name).read_text("utf-8").splitlines()]
    yield from dict.fromkeys(line.partition("\t")[0] for line in lines if line != HEAD)


def generations(count: int) -> Iterator[Generation]:
    endpoint = (catalog := Catalog({}, stand_ins=True)).find(catalog.default)
    for seed, prompt in enumerate(islice(prompts(), count)):
        yield endpoint.generation(Draft(prompt, width=SIDE, height=SIDE, seed=seed))


def scores(count: int) -> list[tuple[float, str]]:
    """Of each picture, and its prompt."""
    compute_with(1)
    taken, painted = list[tuple[float, str]](), list[ActiveGeneration]()
    safety, waiting = Safety(SafetyOptions()), generations(count)
    runner = Runner(
        ROW_BUDGET[stand_ins.device()],
        lambda _id, _event: None,
        painted.append,
        time.monotonic,
        stand_ins.lanes_for(None),
        Load().free,
    )
    model = stand_ins.prepare("pico")
    with torch.inference_mode():
        while True:
            for generation in islice(waiting, AT_ONCE - len(runner.active)):
                runner.start(str(generation.seed), generation, model)
            if not runner.step():
                return taken
            while painted:
                active = painted.pop()
                taken.append((safety.score(active.pictures[0]), active.generation.prompt))


def rows(taken: Sequence[tuple[float, str]]) -> Iterator[str]:
    yield "| threshold | flagged | of |"
    yield "|---|---|---|"
    for threshold in THRESHOLDS:
        flagged = sum(score >= threshold for score, _ in taken)
        yield f"| {threshold} | {flagged} | {len(taken)} |"
    highest = "; ".join(f"{score:.2f} *{prompt}*" for score, prompt in sorted(taken)[:-4:-1])
    yield from ("", f"The highest scores: {highest}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    generation = next(generations(1))
    head = [
        "## False alarms of the safety checker",
        "",
        "Written by `python -m benchmarks.false_alarms --write`: open_nsfw on images of pico,",
        f"{SIDE} px, {generation.steps} steps, prompts of `{'` and `'.join(LISTS)}` of training,",
        "each with a seed of its own. None of them shows anything that would have to be hidden.",
        "",
        machine(),
        "",
    ]
    tell("false_alarms", chain(head, rows(scores(options.images))), options.write)


if __name__ == "__main__":
    main()
