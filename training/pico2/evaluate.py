"""Does the picture show what the prompt says? Asked of scenes that were never trained on.

    python -m training.pico2.evaluate --pipeline runs/pico2/pipeline --count 100

Scenes with a pair of concepts that training never sees together are said in English, read and
painted by the pipeline, and judged by the drawings (`judges`). With --teacher the teacher draws
them instead, which tells how much the judges themselves see. --freely says them with fillers.
--shuffled judges each picture by the next scene, which must fail.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from diffusers import StableDiffusion3Pipeline

from imagemill.pico.concepts import traits
from imagemill.pico.layout import layout, place_of
from imagemill.pico.reading import read
from imagemill.pico.scene import STYLES, Placement, Scene
from training.evaluate import interval
from training.pico2 import ship  # noqa: F401 as diffusers loads no part of a module that is not imported
from training.pico2.canvas import Picture
from training.pico2.captions import caption
from training.pico2.judges import Judge, Places, Tally, visible
from training.pico2.sample import Concepts, held_out, once
from training.pico2.teacher import draw, shipped

MOST = 3  # things that are told apart by number
KINDS = ("alone", "two", "three and more")
GREY_STYLES = ("outline", "pencil", "black and white")


@dataclass(frozen=True)
class Case:
    scene: Scene
    prompt: str
    seed: int

    @property
    def placements(self) -> list[Placement]:
        return layout(read(self.prompt).scene, traits(), None)


def cases(count: int, seed: int, freely: bool) -> list[Case]:
    """One thing, or several of which two were held out; a third not in the style 3d."""
    rng, concepts, out = random.Random(seed), Concepts.shipped(), list[Case]()
    while len(out) < count:
        scene = replace(once(rng, concepts), title="")
        names = {each.concept for each in scene.things}
        wanted = 1 + len(out) % MOST  # as many of one thing as of two and of three
        if min(len(names), MOST) != wanted or (wanted > 1 and not held_out(scene)):
            continue
        style = "3d" if rng.random() < 0.67 else rng.choice(STYLES[1:])
        things = tuple(replace(each, letters="") for each in scene.things)
        scene = replace(scene, things=things, style=style, place=place_of(scene))
        out.append(Case(scene, caption(scene, rng if freely else None), 1000 * seed + len(out)))
    return out


def paint(
    pipeline: StableDiffusion3Pipeline, asked: Sequence[Case], size: tuple[int, int], steps: int,
    guidance_scale: float,
) -> Iterator[Picture]:  # fmt: skip
    for case in asked:
        image = pipeline(
            case.prompt, width=size[0], height=size[1], num_inference_steps=steps,
            guidance_scale=guidance_scale, generator=torch.Generator().manual_seed(case.seed),
        ).images[0]  # fmt: skip
        yield np.asarray(image)


def judge(
    tally: Tally, judge: Judge, places: Places, picture: Picture, case: Case, asked: Scene
) -> None:
    """What `asked` wants, in a picture that was painted for a case."""
    placements, size = case.placements, picture.shape[1::-1]
    seen = {i: judge.seen(picture, placements[i])[0] for i in visible(placements, size)}
    known = {placements[i].concept for i in seen}
    wanted = [each for each in asked.things if each.concept in known or asked is not case.scene]
    right = [each.concept in seen.values() for each in wanted]
    if right:
        tally.add(KINDS[min(len(asked.things), MOST) - 1], all(right))
    for thing in asked.things:
        if thing.count > 1:
            found = sum(name == thing.concept for name in seen.values())
            tally.add("count", found == thing.count)
        if thing.colour and asked.style not in GREY_STYLES:
            for i in seen:
                if placements[i].concept == thing.concept:
                    tally.add("colour", judge.colour(picture, placements[i]) == thing.colour)
    if asked.style not in GREY_STYLES and not asked.closeup:
        tally.add("place", places.seen(picture, placements) == place_of(asked))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pipeline", default="runs/pico2/pipeline")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--guidance-scale", type=float, default=2.0)
    parser.add_argument("--size", default="512x512")
    for flag in ("teacher", "freely", "shuffled"):
        parser.add_argument(f"--{flag}", action="store_true")
    given = parser.parse_args()
    wide, high = (int(n) for n in given.size.split("x"))
    asked = cases(given.count, given.seed, given.freely)
    if given.teacher:
        pictures: Iterator[Picture] = (
            draw(case.scene, case.placements, case.seed, (wide, high)) for case in asked
        )
    else:
        pipeline = StableDiffusion3Pipeline.from_pretrained(given.pipeline, dtype=torch.float32)
        pipeline.set_progress_bar_config(disable=True)
        pictures = paint(pipeline, asked, (wide, high), given.steps, given.guidance_scale)
    tally, eyes, places = Tally(), Judge(shipped()), Places()
    for i, (case, picture) in enumerate(zip(asked, pictures, strict=True)):
        wanted = asked[(i + 1) % len(asked)].scene if given.shuffled else case.scene
        judge(tally, eyes, places, picture, case, wanted)
    for question, answers in tally.answers.items():
        low, top = interval(sum(answers), len(answers))
        told = f"{tally.share(question):6.1%}  {low:.1%} to {top:.1%}  of {len(answers)}"
        print(f"{question:14} {told}")


if __name__ == "__main__":
    main()
