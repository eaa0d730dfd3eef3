"""What of a generation goes to an upstream, by tables: a field of ours, its name and form there.

A field that a table lacks is not dropped in silence. One that says what is to be painted, as an
image or a LoRA, is refused; one that says how, as the scheduler, is told as ignored.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

from imagemill.errors import Fault, Kind
from imagemill.generation import Defaults, Generation

NO_IMAGES: Mapping[str, str] = {}


@dataclass(frozen=True)
class Outgoing:
    """A generation on its way to an upstream."""

    #: What is to be painted.
    generation: Generation
    #: What its references stand for, by field, in the form that the upstream takes.
    images: Mapping[str, Any]
    #: As the upstream calls it.
    model: str


@dataclass(frozen=True)
class WireField:
    """How one field of ours is written."""

    #: Of the field there.
    name: str
    #: What stands in it; None leaves it out.
    value: Callable[[Outgoing], Any]


Table = Mapping[str, WireField]


def table_of(tables: Iterable[tuple[str, Table]], model: str) -> Table:
    """The first whose beginning the model's name has; the last one fits all."""
    return next(table for beginning, table in tables if model.startswith(beginning))


@dataclass(frozen=True)
class WireBody:
    """What is sent, and what of the call is not."""

    #: By their names there.
    fields: Mapping[str, Any]
    #: Remarks on what the upstream does not take.
    ignored: tuple[str, ...]


def same(name: str) -> Callable[[Outgoing], Any]:
    """The value of a field of ours, as it is."""
    return lambda outgoing: getattr(outgoing.generation, name)


def plain(**names: str) -> dict[str, WireField]:
    """Rows of fields that have another name there, and the same value."""
    return {own: WireField(name, same(own)) for own, name in names.items()}


def unless_empty(own: str, name: str) -> dict[str, WireField]:
    """A row of what is left out where it says nothing."""
    return {own: WireField(name, lambda outgoing: getattr(outgoing.generation, own) or None)}


def image(own: str, name: str, form: Callable[[Any], Any] = lambda each: each) -> Table:
    """A row of an image, in a form of the dialect's."""
    return {
        own: WireField(
            name,
            lambda outgoing: form(outgoing.images[own]) if own in outgoing.images else None,
        )
    }


def image_list(own: str, name: str) -> Table:
    """A row of a list of images."""

    def value(outgoing: Outgoing) -> Any:
        return [each for key, each in outgoing.images.items() if _field(key) == own] or None

    return {own: WireField(name, value)}


def single(own: str, name: str) -> Table:
    """A row of the one image of a list; of more the fault says so."""

    def value(outgoing: Outgoing) -> Any:
        images = [each for key, each in outgoing.images.items() if _field(key) == own]
        if len(images) > 1:
            raise Fault(
                Kind.UNSUPPORTED,
                f"{outgoing.model} is painted by another server, which takes one image of "
                f"{len(images)}; leave out the others",
                own,
            )
        return images[0] if images else None

    return {own: WireField(name, value)}


def _field(key: str) -> str:
    """The field of ours that an image belongs to: of `references.0` the list."""
    return key.partition(".")[0]


def takes_image(table: Table, key: str) -> bool:
    """Whether an image, by its key in `Generation.images`, has a row."""
    return _field(key) in table


def with_image(own: str, name: str, form: Callable[[float], float] = lambda each: each) -> Table:
    """A row of a number that means nothing without an image."""
    return {
        own: WireField(
            name,
            lambda outgoing: (
                form(getattr(outgoing.generation, own)) if outgoing.generation.image else None
            ),
        )
    }


def chosen(own: str, name: str, choices: Mapping[Any, Any]) -> Table:
    """A row of a word that has another one there; what has none is left to the upstream."""
    return {own: WireField(name, lambda outgoing: choices.get(getattr(outgoing.generation, own)))}


def ratio(*ratios: str) -> Table:
    """A row of the shape that comes nearest to width and height."""
    return {
        "width": WireField(
            "aspect_ratio",
            lambda outgoing: _nearest(
                outgoing.generation.width, outgoing.generation.height, ratios, ":"
            ),
        )
    }


def one_size(name: str, *sizes: str) -> Table:
    """A row of width and height in one word, as 1024x768; the nearest, where there are few."""

    def value(outgoing: Outgoing) -> str:
        width, height = outgoing.generation.width, outgoing.generation.height
        return _nearest(width, height, sizes, "x") if sizes else f"{width}x{height}"

    return {"width": WireField(name, value)}


def _nearest(width: int, height: int, shapes: Iterable[str], between: str) -> str:
    def distance(shape: str) -> tuple[float, float]:
        across, down = map(int, shape.split(between))
        stretch = abs(math.log(across / down) - math.log(width / height))
        return stretch, abs(math.log(across * down / (width * height)))

    return min(shapes, key=distance)


# Never told: what is no part of a picture, is spent before, or is seen to here whatever the
# upstream does. Height stands with width.
_SEEN_TO = frozenset({"model", "height", "format", "safety", "image_sized"})
# What changes how something is painted, and not what: told where it is not taken.
_MANNER = frozenset({
    "negative_prompt", "steps", "guidance_scale", "seed", "scheduler", "spacing",
    "guidance_range", "strength", "acceleration", "width", "image_guidance_scale",
})  # fmt: skip


def body(table: Table, outgoing: Outgoing, usual: Defaults) -> WireBody:
    """What is sent by a table; raises a Fault of kind UNSUPPORTED for what cannot be left out.

    usual: what the model is painted with where its caller leaves it open.
    """
    generation, ignored = outgoing.generation, list[str]()
    for each in fields(generation):
        if each.name in table or each.name in _SEEN_TO or _unsaid(each, generation, usual):
            continue
        if each.name not in _MANNER:
            message = f"{outgoing.model} is painted by another server, which takes no {each.name}"
            raise Fault(Kind.UNSUPPORTED, f"{message} of it; leave it out", each.name)
        ignored.append(f"{each.name}: {outgoing.model} takes none")
    # Two fields of ours may have one name there, of which a call has one.
    values = [(row.name, row.value(outgoing)) for row in table.values()]
    said = {name: value for name, value in values if value is not None}
    return WireBody(said, tuple(ignored))


def _unsaid(each: Field[Any], generation: Generation, usual: Defaults) -> bool:
    """Whether a field asks for nothing."""
    value = getattr(generation, each.name)
    if each.name == "strength" and generation.image is None:
        return True
    if each.default is not MISSING:
        return bool(value == each.default)
    return bool(value == getattr(usual, each.name, MISSING))


def own_name(table: Table, name: str) -> str | None:
    """What a field there is called here; None where no row has it."""
    return next((own for own, row in table.items() if row.name == name), None)
