"""Does the picture show what the prompt says? Asked of scenes that were never trained on.

    python -m training.evaluate --count 300

Scenes with a pair of concepts that training never sees together are said in English, read and
painted by the pipeline, and judged by the drawings (`judges`); also by the next scene, which must
fail. With --teacher the teacher draws them instead, which tells how much the judges themselves see.
--freely says them with fillers. Prints a table in Markdown.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isnan

import numpy as np
import torch
from diffusers import StableDiffusion3Pipeline

from imagemill.catalog.models import PICO
from imagemill.pico import folder, parts
from imagemill.pico.autoencoder import PATCH
from imagemill.pico.concepts import traits
from imagemill.pico.denoiser import choices
from imagemill.pico.layout import layout, place_of
from imagemill.pico.reading import read
from imagemill.pico.scene import STYLES, Placement, Scene, Thing
from imagemill.pipelines.families import PICO as FAMILY
from training.canvas import Picture
from training.captions import caption
from training.denoiser import mirrored
from training.judges import Judge, Places, Tally, interval, visible
from training.sample import Concepts, held_out, once
from training.teacher import draw, shipped, spot

__all__ = ["parts"]  # the pipeline's own classes

MOST = 3  # things that are told apart by number
KINDS = ("alone", "two", "three and more")
QUESTIONS = (*KINDS, "relation", "colour", "count", "place")
GUIDANCE = FAMILY.applied(PICO.guidance_scale)
GREY_STYLES = ("outline", "pencil", "black and white")


@dataclass(frozen=True)
class Case:
    scene: Scene
    prompt: str
    seed: int

    def noise(self, channels: int, size: tuple[int, int]) -> torch.Tensor:
        """(1, channels, height, width) of the latents."""
        generator = torch.Generator().manual_seed(self.seed)
        shape = (1, channels, size[1] // PATCH, size[0] // PATCH)
        return torch.randn(shape, generator=generator)

    def placements(self, turned: bool) -> list[Placement]:
        placements = layout(read(self.prompt).scene, traits(), None)
        return [mirrored(each) for each in placements] if turned else placements


@dataclass(frozen=True)
class Painted:
    picture: Picture
    placements: list[Placement]

    @property
    def size(self) -> tuple[int, int]:
        return self.picture.shape[1], self.picture.shape[0]


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
    pipeline: StableDiffusion3Pipeline, cases: Sequence[Case], size: tuple[int, int], steps: int,
    guidance_scale: float,
) -> Iterator[Painted]:  # fmt: skip
    for case in cases:
        noise = case.noise(pipeline.transformer.config.in_channels, size)
        image = pipeline(
            case.prompt, width=size[0], height=size[1], num_inference_steps=steps,
            guidance_scale=guidance_scale, latents=noise,
        ).images[0]  # fmt: skip
        turned = choices(noise[:, -1:])[0].turned
        yield Painted(np.asarray(image), case.placements(turned))


def judge(
    tally: Tally, judge: Judge, places: Places, painted: Painted, case: Case, wanted_scene: Scene
) -> None:
    """What a scene wants, in a picture that was painted for a case."""
    picture, placements = painted.picture, painted.placements
    seen = {i: judge.seen(picture, placements[i])[0] for i in visible(placements, painted.size)}
    hidden = {x.concept for x in placements} - {placements[i].concept for i in seen}
    wanted = [each for each in wanted_scene.things if each.concept not in hidden]
    right = [each.concept in seen.values() for each in wanted]
    if right:
        tally.add(KINDS[min(len(wanted_scene.things), MOST) - 1], all(right))
    for thing in wanted_scene.things:
        if thing.count > 1:
            placed = [i for i, each in enumerate(placements) if each.concept == thing.concept]
            alike = all(seen[i] == thing.concept for i in placed if i in seen)
            tally.add("count", alike and len(placed) == thing.count)
        if thing.colour and wanted_scene.style not in GREY_STYLES:
            for i in seen:
                if placements[i].concept == thing.concept:
                    tally.add("colour", judge.colour(picture, placements[i]) == thing.colour)
    # A caption leaves some unsaid.
    said = read(case.prompt).scene if wanted_scene is case.scene else wanted_scene
    for thing, host in related(said):
        a, b = (next((i for i in seen if seen[i] == each.concept), -1) for each in (thing, host))
        if min(a, b) >= 0:  # both are seen
            tally.add("relation", stands(thing.relation, painted, a, b))
    if wanted_scene.style not in GREY_STYLES and not wanted_scene.closeup:
        tally.add("place", places.seen(picture, placements) == place_of(wanted_scene))


def related(scene: Scene) -> Iterator[tuple[Thing, Thing]]:
    """Single things and what they are related to, where the two are different."""
    for thing in scene.things:
        host = None if thing.of is None else scene.things[thing.of]
        if host and host.concept != thing.concept and thing.count == host.count == 1:
            yield thing, host


def stands(relation: str, painted: Painted, thing: int, host: int) -> bool:
    """Whether one placement is where it has to be for its relation to another."""
    a, b = (spot(painted.placements[i], painted.size) for i in (thing, host))
    across, down = a.middle - b.middle, (a.top + a.bottom - b.top - b.bottom) / 2
    within = abs(across) < (a.width + b.width) / 2 and abs(down) < (a.height + b.height) / 2
    match relation:
        case "rides" | "sits on" | "on" | "above" | "flies over":
            return down < 0
        case "under":
            return down > 0
        case "in" | "holds" | "wears":
            return within
        case "behind" | "before":
            return (thing < host) == (relation == "behind")
        case _:  # beside, at
            return abs(across) > min(a.width, b.width) / 4


def table(tally: Tally, shuffled: Tally) -> Iterator[str]:
    yield "|  | right | 95 % interval | of | by the next prompt |"
    yield "| --- | --- | --- | --- | --- |"
    for question in sorted(tally.answers, key=QUESTIONS.index):
        answers = tally.answers[question]
        low, top = interval(sum(answers), len(answers))
        chance = shuffled.share(question)
        cells = f"{tally.share(question):.1%} | {low:.1%} to {top:.1%} | {len(answers)}"
        yield f"| {question} | {cells} | {'' if isnan(chance) else f'{chance:.1%}'} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pipeline", default=str(folder()))
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=PICO.steps)
    parser.add_argument("--guidance-scale", type=float, default=GUIDANCE)
    parser.add_argument("--size", default="512x512")
    for flag in ("teacher", "freely"):
        parser.add_argument(f"--{flag}", action="store_true")
    options = parser.parse_args()
    wide, high = (int(n) for n in options.size.split("x"))
    chosen = cases(options.count, options.seed, options.freely)
    if options.teacher:
        pictures: Iterator[Painted] = (
            Painted(draw(case.scene, plan, case.seed, (wide, high)), plan)
            for case in chosen
            for plan in [case.placements(turned=False)]
        )
    else:
        pipeline = StableDiffusion3Pipeline.from_pretrained(options.pipeline, dtype=torch.float32)
        pipeline.set_progress_bar_config(disable=True)
        pictures = paint(pipeline, chosen, (wide, high), options.steps, options.guidance_scale)
    tally, shuffled, eyes, places = Tally(), Tally(), Judge(shipped()), Places()
    for i, (case, painted) in enumerate(zip(chosen, pictures, strict=True)):
        judge(tally, eyes, places, painted, case, case.scene)
        judge(shuffled, eyes, places, painted, case, chosen[(i + 1) % len(chosen)].scene)
    print("\n".join(table(tally, shuffled)))


if __name__ == "__main__":
    main()
