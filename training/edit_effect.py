"""What edits by the embedded model, as it is shipped, do to its own pictures.

python -m training.edit_effect --measure 100
python -m training.edit_effect --sheet docs/pictures/edits.jpeg
"""

import argparse
import math
import random
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from imagemill.engine.events import Event, Failed
from imagemill.engine.runner import ROW_BUDGET, ActiveGeneration, Runner
from imagemill.engine.stand_ins import prepare
from imagemill.generation import Generation
from imagemill.images.encode import encode_png
from imagemill.pico.backgrounds import BACKGROUNDS
from imagemill.pico.editing import Editor
from imagemill.pico.editing.finding import Sighting, places
from imagemill.pico.editing.matting import colour_in
from imagemill.pico.editing.surroundings import Ground
from imagemill.pipelines.families import EMBEDDED
from imagemill.pipelines.inputs import read
from imagemill.pipelines.loading import Loaded
from training.judges import interval

SIDE, STEPS = 256, 4  # px and steps of what is measured
SHOWN, GAP, LINES = 256, 10, 3  # px of a picture of the sheet, px between, lines beneath
NAMES = ("cat", "car", "teapot", "guitar", "parrot", "bicycle", "horse", "chair", "rocket", "dog")
SETTINGS = ("in a meadow", "on a street", "in a kitchen", "in a forest", "on a beach")
OTHERS = ("snow", "forest", "beach", "kitchen", "desert")

Pixels = NDArray[np.uint8]
# The examples of the sheet: what the images are painted from, and what is asked of them.
EXAMPLES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("a woman in a red dress",), "Make the dress blue"),
    (("a dog and a cat in a garden",), "Remove the dog"),
    (("a dog and a cat in a garden",), "Replace the cat with a parrot"),
    (("a horse in a meadow at sunset",), "Make it night"),
    (
        ("a bird on a branch", "a desk in a room"),
        "Add the bird from image 1 to the desk in image 2",
    ),
    (("a teapot on a table in a kitchen",), "Make the teapot smaller"),
    (("a fox in a forest",), "Give the fox a hat"),
    (("a dog in a garden",), "Change the background to a beach"),
    (("a red sofa in a room",), "Make it look like a watercolour painting"),
    (("a yellow bird in a forest",), "A bird on a street at night"),
)


@cache
def model() -> Loaded:
    return prepare(EMBEDDED)


def editor() -> Editor:
    planner = model().editor
    assert isinstance(planner, Editor)
    return planner


def painted(prompt: str, seed: int, side: int = SIDE, steps: int = STEPS) -> Pixels:
    plain = Generation(prompt, EMBEDDED, side, side, steps, 4.0, seed)
    return _pixels(plain, {})


def edited(prompt: str, images: Sequence[Pixels], seed: int = 1, **more: float) -> Pixels:
    """more: fields of the generation."""
    names = tuple(map(str, range(len(images))))
    side = images[0].shape[0]
    plain = Generation(prompt, EMBEDDED, side, side, STEPS, 5.0, seed, references=names)
    files = (encode_png(Image.fromarray(each)) for each in images)
    inputs = dict(zip(names, files, strict=True))
    return _pixels(replace(plain, **more), inputs)  # type: ignore[arg-type]


@torch.inference_mode()
def _pixels(generation: Generation, inputs: dict[str, bytes]) -> Pixels:
    finished: list[ActiveGeneration] = []
    runner = Runner(ROW_BUDGET["cpu"], _hear, finished.append, time.monotonic)
    runner.start("", generation, model(), read(generation, inputs))
    while runner.step():
        pass
    return finished[0].pictures[0]


def _hear(_id: str, event: Event) -> None:
    if isinstance(event, Failed):
        raise event.fault


def _tensor(picture: Pixels) -> torch.Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 255


def seen(picture: Pixels, concept: str, colour: str = "") -> list[Sighting]:
    """Where a thing is for sure."""
    drawing = editor().looks.drawing(concept, colour)
    return [each for each in places(_tensor(picture), drawing) if each.sure]


def ground(picture: Pixels) -> Ground | None:
    return editor().surroundings.ground(_tensor(picture))


@dataclass(frozen=True)
class Trial:
    """One edit of one picture. there: whether a picture shows what was asked for."""

    kind: str
    source: Pixels
    prompt: str
    there: Callable[[Pixels], bool]


def trials(count: int) -> Iterator[Trial]:
    """A picture of one thing for each seed, and each kind of change in turn."""
    for seed in range(count):
        rng = random.Random(seed)
        name, setting = NAMES[seed % len(NAMES)], SETTINGS[(seed // 2) % len(SETTINGS)]
        other = rng.choice([each for each in NAMES if each != name])
        source = painted(f"a {name} {setting}", seed)
        before = seen(source, name)
        if not before:
            continue
        yield _trial(seed, name, other, source, before[0])


def _trial(seed: int, name: str, other: str, source: Pixels, before: Sighting) -> Trial:
    colour = ("blue", "red", "green", "yellow", "purple")[seed % 5]
    place = OTHERS[seed % len(OTHERS)]
    words = {"snow": "a snowy landscape"}.get(place, f"a {place}")
    kinds: list[tuple[str, str, Callable[[Pixels], bool]]] = [
        ("recolour", f"Make the {name} {colour}", lambda p: _is(p, before, colour)),
        ("remove", f"Remove the {name}", lambda p: not seen(p, name)),
        ("replace", f"Replace the {name} with a {other}", lambda p: bool(seen(p, other))),
        ("add", f"Add a {other} next to the {name}", lambda p: bool(seen(p, other))),
        ("move", f"Move the {name} to the left", lambda p: _left(p, name, before)),
        ("background", f"Change the background to {words}", lambda p: _placed(p, place)),
    ]
    kind, prompt, there = kinds[seed % len(kinds)]
    return Trial(kind, source, prompt, there)


def _is(picture: Pixels, before: Sighting, colour: str) -> bool:
    """Whether the middle of where the thing is has this colour rather than any other."""
    return colour_in(_tensor(picture), before.box) == colour


def _left(picture: Pixels, name: str, before: Sighting) -> bool:
    return any(each.box.x < before.box.x - 0.05 * SIDE for each in seen(picture, name))


def _placed(picture: Pixels, place: str) -> bool:
    known = ground(picture)
    return known is not None and BACKGROUNDS[known.number].place == place


def kept(before: Pixels, after: Pixels) -> float:
    """PSNR in dB of all pixels."""
    error = float(np.mean((before.astype(float) - after) ** 2))
    return 99.0 if error == 0 else 10 * math.log10(255**2 / error)


def unchanged(before: Pixels, after: Pixels) -> float:
    """The share of pixels that are the same to the bit."""
    return float((before == after).all(-1).mean())


def table(count: int) -> Iterator[str]:
    """In Markdown, with 95 % intervals of the shares."""
    all_trials = list(trials(count))
    results: dict[str, list[tuple[bool, bool, float]]] = {}
    for i, trial in enumerate(all_trials):
        print(f"{i} of {len(all_trials)}", end="\r", file=sys.stderr, flush=True)
        after = edited(trial.prompt, [trial.source])
        # The control: the same judge, on what another instruction made of the picture.
        same = [each for each in all_trials if each.prompt != trial.prompt]
        shuffled = edited(same[(7 * i + 3) % len(same)].prompt, [trial.source])
        row = trial.there(after), trial.there(shuffled), unchanged(trial.source, after)
        results.setdefault(trial.kind, []).append(row)
    head = ("there", "95 %", "by another's words", "same pixels")
    yield f"| change, {len(all_trials)} pictures | {' | '.join(head)} |"
    yield "| --- | --- | --- | --- | --- |"
    everything = [row for rows in results.values() for row in rows]
    for kind, rows in [*results.items(), ("all", everything)]:
        right, other = sum(row[0] for row in rows), sum(row[1] for row in rows)
        low, high = interval(right, len(rows))
        same_pixels = sorted(row[2] for row in rows)[len(rows) // 2]
        yield (
            f"| {kind} ({len(rows)}) | {right / len(rows):.0%} | {low:.0%} to {high:.0%} "
            f"| {other / len(rows):.0%} | {same_pixels:.0%} |"
        )


def guidances(count: int) -> Iterator[str]:
    """How far a recoloured thing has gone, and how near the picture stays, by the two scales."""
    sources = [
        (name, source)
        for seed in range(count)
        for name in [NAMES[seed % len(NAMES)]]
        for source in [painted(f"a {name} {SETTINGS[seed % len(SETTINGS)]}", seed)]
        if seen(source, name)
    ]
    yield "| scale | change (mean, of 255) | nearness (median PSNR, dB) | same pixels (median) |"
    yield "| --- | --- | --- | --- |"
    for field, scales in (
        ("guidance_scale", (0.25, 0.5, 1.0, 5.0)),
        ("image_guidance_scale", (1.0, 1.5, 2.0, 3.0, 5.0)),
    ):
        for scale in scales:
            rows = [_moved(name, source, {field: scale}) for name, source in sources]
            change, near, same = (np.array(column) for column in zip(*rows, strict=True))
            spread = 1.96 * change.std() / math.sqrt(len(rows))
            yield (
                f"| {field} {scale:g} | {change.mean():.1f} ± {spread:.1f} "
                f"| {np.median(near):.1f} | {np.median(same):.0%} |"
            )


def _moved(name: str, source: Pixels, more: dict[str, float]) -> tuple[float, float, float]:
    after = edited(f"Make the {name} blue", [source], 1, **more)
    difference = after.astype(float) - source
    bluer = difference[..., 2] - (difference[..., 0] + difference[..., 1]) / 2
    changed = np.abs(difference).sum(-1) > 30
    return (
        float(bluer[changed].mean()) if changed.any() else 0.0,
        kept(source, after),
        unchanged(source, after),
    )


def sheet() -> Image.Image:
    """Each example's images, and what the words beneath make of them."""
    wide, high = 2 * SHOWN + 3 * GAP, SHOWN + GAP + 17 * LINES
    columns = 3
    paper = Image.new("RGB", (columns * wide, -(-len(EXAMPLES) // columns) * high + GAP), "white")
    pen, font = ImageDraw.Draw(paper), ImageFont.load_default(13)
    for number, (prompts, words) in enumerate(EXAMPLES):
        x, y = number % columns * wide + GAP, number // columns * high + GAP
        images = [painted(each, 3 + number, 512, 12) for each in prompts]
        after = edited(words, images, steps=12)
        cells = [_side_by_side(images), Image.fromarray(after)]
        for place, cell in enumerate(cells):
            small = cell.resize((SHOWN, SHOWN), Image.Resampling.LANCZOS)
            paper.paste(small, (x + place * (SHOWN + GAP), y))
        lines = textwrap.wrap(words, 66, max_lines=LINES, placeholder=" ...")
        pen.multiline_text((x, y + SHOWN + 3), "\n".join(lines), fill=(40, 40, 44), font=font)
    return paper


def _side_by_side(images: Sequence[Pixels]) -> Image.Image:
    """One picture as it is, two as halves above each other's corners."""
    if len(images) == 1:
        return Image.fromarray(images[0])
    side = images[0].shape[0]
    whole = Image.new("RGB", (side, side), "white")
    half = side // 2 - 4
    for place, image in enumerate(images):
        small = Image.fromarray(image).resize((half, half), Image.Resampling.LANCZOS)
        whole.paste(small, (place * (half + 8), side // 4))
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--measure", type=int, default=0, help="pictures")
    parser.add_argument("--guidances", type=int, default=0, help="pictures")
    parser.add_argument("--sheet", type=Path, help="a file for pictures to look at")
    options = parser.parse_args()
    if options.measure:
        print("\n".join(table(options.measure)), flush=True)
    if options.guidances:
        print("\n".join(guidances(options.guidances)), flush=True)
    if options.sheet:
        sheet().save(options.sheet, quality=88, optimize=True)


if __name__ == "__main__":
    main()
