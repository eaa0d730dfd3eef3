"""Lettering: words as placements of letters, in a line or two."""

from imagemill.pico.clusters import Box
from imagemill.pico.scene import LETTERS, Placement, Traits

HIGH_LETTERS = frozenset(
    {"sign", "placard", "t-shirt", "stop sign", "flag", "blackboard", "balloon"}
)


def measured(
    text: str, traits: Traits
) -> tuple[list[tuple[str, float, float, float, float]], float]:
    """Per letter: name, middle, bottom below the baseline, width and height, and the length of
    all; in heights of a capital.
    """
    x, out = 0.0, []
    for char in text:
        name = f"letter:{char}"
        if name not in traits:
            x += 0.42
            continue
        aspect, advance, below, high, *_ = traits[name]
        out.append((name, x + advance / 2, below, aspect * high, high))
        x += advance
    return out, x


def line(
    text: str, traits: Traits, cap: float, colour: str, at: tuple[float, float], x: float, y: float
) -> list[Placement]:
    """Letters about a middle: `at` is the anchor, (x, y) the offset of their line."""
    letters, length = measured(text, traits)
    return [
        Placement(
            name, colour, *at, x + (middle - length / 2) * cap, y + (below - high / 2) * cap,
            width * cap, high * cap,
        )
        for name, middle, below, width, high in letters
    ]  # fmt: skip


def written(b: Box, traits: Traits, x: float, y: float) -> list[Placement]:
    text = clipped(b.letters, LETTERS)
    lines = lines_of(text) if b.w < 2 * b.h else [text]
    longest = max(measured(each, traits)[1] for each in lines) or 1.0
    cap = min(0.78 * b.w / longest, 0.34 * b.h / len(lines))
    out: list[Placement] = []
    for n, text in enumerate(lines):
        down = (
            b.y
            + (-0.12 if b.concept in HIGH_LETTERS else 0.08) * b.h
            + (n - (len(lines) - 1) / 2) * 1.35 * cap
            + 0.5 * cap
        )
        out += line(text, traits, cap, "", (x, y), b.x, down)
    return out


def printed(text: str) -> str:
    return "".join(text.split())


def clipped(text: str, most: int) -> str:
    """Words of at most so many letters in all."""
    out = ""
    for char in " ".join(text.split()):
        if len(printed(out)) == most:
            break
        out += char
    return out


def lines_of(text: str) -> list[str]:
    """One line or, of what is long, two."""
    words = text.split()
    if len(text) <= 10 or len(words) < 2:
        return [text] if text else []
    splits = [(" ".join(words[:i]), " ".join(words[i:])) for i in range(1, len(words))]
    return list(min(splits, key=lambda pair: max(map(len, pair))))
