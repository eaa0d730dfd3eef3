"""Does the picture show what the prompt says? Asked of combinations that were never trained on.

    python -m training.evaluate --pipeline runs/pico/pipeline --shuffled

What is asked, and how it is seen, is in `judges`; of scenes with several things, the objects and
colours of those count whose combination is unseen. With --freely it is asked as people ask: with
fillers, synonyms and the words in other orders. With --shuffled each picture is also judged by the
next prompt, which must come out near chance, or the judges would be worth nothing.
"""

import argparse
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import StableDiffusion3Pipeline

from imagemill.pico.vocabulary import vocabulary
from imagemill.pipelines.families import EMBEDDED
from imagemill.pipelines.loading import load
from training import captions, scenes
from training.grounds import CELL
from training.judges import QUESTIONS, Grid, Tally
from training.scenes import Picture, Scene

BATCH = 32


@dataclass(frozen=True)
class Case:
    scene: Scene
    seed: int
    prompt: str


def cases(
    count: int,
    seed: int,
    objects: list[str],
    shape: tuple[int, int] = (8, 8),
    freely: bool = False,
) -> list[Case]:
    rng, wording = random.Random(seed), random.Random(seed)
    asked = [scenes.sample(rng, objects, shape, wanted=True) for _ in range(count)]
    said = [captions.free(scene, wording) if freely else captions.plain(scene) for scene in asked]
    return [
        Case(scene, 1000 * seed + i, prompt)
        for i, (scene, prompt) in enumerate(zip(asked, said, strict=True))
    ]


def paint(
    pipeline: StableDiffusion3Pipeline, asked: Sequence[Case], steps: int, guidance_scale: float
) -> Iterator[Picture]:
    """One picture per case, in order; all of one shape."""
    for start in range(0, len(asked), BATCH):
        part = asked[start : start + BATCH]
        width, height = (n * CELL for n in part[0].scene.shape)
        images: Grid = pipeline(
            prompt=[case.prompt for case in part],
            generator=[torch.Generator().manual_seed(case.seed) for case in part],
            width=width,
            height=height,
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            output_type="np",
        ).images
        yield from (images * 255).round().astype(np.uint8)


def interval(right: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    if count == 0:
        return 0.0, 1.0
    z, share = 1.96, right / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count**2)) / (1 + z * z / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def table(tally: Tally, other: Tally | None, chance: float) -> str:
    """Markdown; other: of the shuffled prompts."""
    titles = ["", "right", "95 % interval", "of", *(["shuffled prompts"] if other else [])]
    rows = [titles, ["---"] * len(titles)]
    for question in QUESTIONS:
        answers = tally.answers[question]
        low, high = interval(sum(answers), len(answers))
        about = f" (chance {chance:.1%})" if question == "object" else ""
        row = [question + about, f"{tally.share(question):.1%}", f"{low:.1%} to {high:.1%}"]
        rows.append([*row, str(len(answers)), *([f"{other.share(question):.1%}"] if other else [])])
    return _markdown(rows)


def breakdown(tally: Tally) -> str:
    """Markdown: the shares of each kind of scene."""
    rows = [["", *QUESTIONS, "of"], ["---"] * (len(QUESTIONS) + 2)]
    for kind, part in sorted(tally.kinds.items(), key=lambda row: -len(row[1].answers["ground"])):
        shares = [
            f"{part.share(question):.1%}" if part.answers[question] else ""
            for question in QUESTIONS
        ]
        rows.append([kind, *shares, str(len(part.answers["ground"]))])
    return _markdown(rows)


def _markdown(rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def score(pictures: Sequence[Picture], asked: Sequence[Case], objects: tuple[str, ...]) -> Tally:
    tally = Tally()
    for picture, case in zip(pictures, asked, strict=True):
        tally.judge(picture, case.scene, objects, scenes.unseen)
    return tally


def shuffled(asked: Sequence[Case]) -> list[Case]:
    """For each the next."""
    return [*asked[1:], *asked[:1]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", default=EMBEDDED, help="its folder")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance-scale", type=float, default=4)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--every", type=int, default=1, help="judge only every nth of these")
    parser.add_argument("--shape", default="8x8", help="cells of 32 px, wide x high")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--freely", action="store_true", help="ask as people ask")
    parser.add_argument("--shuffled", action="store_true", help="judge also by the next prompt")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    width, height = (int(n) for n in args.shape.split("x"))
    objects = vocabulary().words["objects"]
    asked = cases(args.count, args.seed, objects, (width, height), args.freely)[:: args.every]
    began = time.monotonic()
    pipe = load(args.pipeline, "cpu").pipe
    pictures = list(paint(pipe, asked, args.steps, args.guidance_scale))
    own = score(pictures, asked, tuple(objects))
    other = score(pictures, shuffled(asked), tuple(objects)) if args.shuffled else None
    print(table(own, other, 1 / len(objects)))
    print(f"\n{breakdown(own)}")
    worst = [f"{name} {right}/{count}" for name, right, count in own.worst()[:12] if right < count]
    print(f"\nLeast recognised: {', '.join(worst) or 'none'}.")
    how = f"{args.steps} steps, guidance {args.guidance_scale}"
    print(f"{len(asked)} pictures, {how}: {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
