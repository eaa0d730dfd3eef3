"""How a scene is said: to the model that learns (caption), and as a person would (plain)."""

import random
from collections.abc import Callable

from imagemill.pico.vocabulary import vocabulary
from training import grounds
from training.grounds import DEFAULT_GROUND
from training.scenes import COUNTS, OPPOSITE, Scene, Thing

WHERE = {
    "left": "to the left of",
    "right": "to the right of",
    "above": "above",
    "below": "below",
    "inside": "inside",
}
WAYS = (
    "{}", "{}, please", "Draw me {}!", "I would like a picture of {}.", "please paint {} for me",
    "Could you make an icon: {}?",
)  # fmt: skip
SAME = (  # many as one
    "fish", "sheep", "dice", "cherries", "grapes", "scissors", "glasses", "jellyfish",
)  # fmt: skip
ODD = {"leaf": "leaves", "snowman": "snowmen", "glass": "wine glasses"}


def caption(scene: Scene, rng: random.Random) -> str:
    """One of many ways to say the scene; what is default may stay unsaid."""
    text = _said(scene, rng)
    if scene.ground != DEFAULT_GROUND or rng.random() < 0.5:
        text = _joined(text, _ground(scene.ground, rng), rng)
    if scene.style != "flat" or rng.random() < 0.04:
        text = _joined(text, rng.choice([scene.style, f"{scene.style} style"]), rng)
    return text


def _joined(text: str, other: str, rng: random.Random) -> str:
    return rng.choice(
        [f"{text} {other}", f"{text} {other}", f"{text}, {other}", f"{other}, {text}"]
    )


def _ground(ground: str, rng: random.Random) -> str:
    shown = grounds.kind(ground) != "plain" and rng.random() < 0.4  # it needs no further word
    return ground if shown else f"{ground} background"


def _said(scene: Scene, rng: random.Random) -> str:
    relation, things = scene.relation, scene.things
    if relation in OPPOSITE and rng.random() < 0.5:
        relation, things = OPPOSITE[relation], things[::-1]
    after, silent = rng.random() < 0.1, relation == "inside" and rng.random() < 0.5
    said = [_phrase(thing, rng, after, silent) for thing in things]
    if relation == "left" and len(said) > 2 and rng.random() < 0.4:
        return f"{', '.join(said[:-1])}{rng.choice([',', ' left'])} {said[-1]}"
    return f" {relation} ".join(said)


def _phrase(thing: Thing, rng: random.Random, after: bool, silent: bool) -> str:
    """after: the colour follows the thing. silent: its size is not said."""
    sizes = [] if silent or (thing.size == "medium" and rng.random() < 0.8) else [thing.size]
    words = [COUNTS[thing.count]] if thing.count > 1 else []
    if after:
        return " ".join([*words, *sizes, thing.name, thing.colour])
    adjectives = [*sizes, thing.colour]
    rng.shuffle(adjectives)
    return " ".join([*words, *adjectives, thing.name])


def plain(scene: Scene) -> str:
    """The scene as a person would say it."""
    said = []
    for thing in scene.things:
        name = plural(thing.name) if thing.count > 1 else thing.name
        said.append(f"{_count_and_size(thing, scene)}{thing.colour} {name}")
    text = _related(said, scene)
    style = "" if scene.style == "flat" else f", in {scene.style} style"
    return f"{text} on a {scene.ground} background{style}"


def free(scene: Scene, rng: random.Random) -> str:
    """The scene as people say it who were told nothing: with fillers, synonyms, in any order."""
    after = rng.random() < 0.3
    said = [_loosely(thing, scene, after, rng) for thing in scene.things]
    text = _related(said, scene)
    ground = "" if scene.ground == DEFAULT_GROUND else f"on a {scene.ground} background"
    style = "" if scene.style == "flat" else f"in {scene.style} style"
    around = [part for part in (ground, style) if part]
    rng.shuffle(around)
    first = rng.randrange(len(around) + 1)
    whole = ", ".join([*around[:first], text, *around[first:]])
    return rng.choice(WAYS).format(whole)


def _loosely(thing: Thing, scene: Scene, after: bool, rng: random.Random) -> str:
    words = vocabulary()

    def other(word: str) -> str:
        return rng.choice([word, *words.synonyms.get(word, [])])

    first, name, colour = (
        _count_and_size(thing, scene, other),
        other(thing.name),
        other(thing.colour),
    )
    return f"{first}{name} that is {colour}" if after else f"{first}{colour} {name}"


def _count_and_size(thing: Thing, scene: Scene, other: Callable[[str], str] = str) -> str:
    """The beginning of a phrase; other: says a word otherwise."""
    silent = thing.size == "medium" or scene.relation == "inside"  # which says the sizes
    size = "" if silent else f"{other(thing.size)} "
    many = f"{other(COUNTS[thing.count])} " if thing.count > 1 else "a "
    return many + size


def _related(said: list[str], scene: Scene) -> str:
    return said[0] if scene.relation is None else f" {WHERE[scene.relation]} ".join(said)


def plural(name: str) -> str:
    if name in SAME or name in ODD:
        return ODD.get(name, name)
    if name.endswith("y") and name[-2] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "x", "sh", "ch")) else f"{name}s"
