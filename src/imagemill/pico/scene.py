"""What a prompt asks pico for: a scene of a few things, in words that model and trainer share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: By concept: the drawing's width in heights, a saddle, a head's top and its width; `traits.json`.
Traits = Mapping[str, Sequence[float]]

THINGS = 4  # in one scene at most; each may be there several times
LETTERS = 16  # of a title or on a thing, at most
PLACEMENTS = 24  # of drawings and letters in one scene, at most

PLACES = (
    "studio", "meadow", "garden", "forest", "jungle", "mountains", "lake", "sea", "beach",
    "underwater", "desert", "snow", "street", "city", "room", "bedroom", "kitchen", "bathroom",
    "restaurant", "library", "space", "moon", "japan", "farm", "sky", "stage",
)  # fmt: skip
#: Places without weather.
CLOSED = frozenset({
    "studio", "underwater", "room", "bedroom", "kitchen", "bathroom", "restaurant", "library",
    "space", "moon", "stage",
})  # fmt: skip
TIMES = ("day", "dawn", "sunset", "twilight", "night", "grey")
WEATHERS = ("", "rain", "snow", "fog", "storm")
STYLES = (
    "3d", "flat", "outline", "pixel art", "watercolour", "comic", "oil", "pencil",
    "black and white",
)  # fmt: skip
#: Each colour's red, green and blue, 0 to 1.
PAINTS = {
    "red": (0.87, 0.13, 0.16), "orange": (0.97, 0.52, 0.1), "yellow": (0.98, 0.82, 0.16),
    "green": (0.2, 0.66, 0.26), "cyan": (0.2, 0.78, 0.88), "teal": (0.08, 0.55, 0.54),
    "blue": (0.12, 0.36, 0.9), "purple": (0.5, 0.25, 0.78), "pink": (0.98, 0.52, 0.74),
    "brown": (0.48, 0.29, 0.16), "black": (0.11, 0.11, 0.13), "grey": (0.55, 0.56, 0.6),
    "white": (0.97, 0.97, 0.98), "gold": (0.9, 0.7, 0.18), "silver": (0.76, 0.79, 0.84),
}  # fmt: skip
COLOURS = tuple(PAINTS)
GREY = (0.3, 0.59, 0.11)  # how light red, green and blue are
RELATIONS = (
    "beside", "rides", "holds", "wears", "sits on", "on", "in", "under", "behind", "before",
    "above", "flies over", "at",
)  # fmt: skip


@dataclass(frozen=True)
class Thing:
    """concept: a name of `concepts.tsv`. colour: one of COLOURS, or "" for its own. size: 1 is
    usual, 0.45 (tiny) to 1.6 (huge). count: 1 to 6. relation: one of RELATIONS, to the thing with
    the number `of`; "" stands by itself. letters: what is written on it.
    """

    concept: str
    colour: str = ""
    size: float = 1.0
    count: int = 1
    relation: str = ""
    of: int | None = None
    letters: str = ""


@dataclass(frozen=True)
class Scene:
    """place: one of PLACES, or "" for the usual one of its things. title: letters over the whole.
    closeup: whether the first thing fills the picture.
    """

    things: tuple[Thing, ...] = ()
    place: str = ""
    time: str = "day"
    weather: str = ""
    style: str = "3d"
    title: str = ""
    closeup: bool = False


@dataclass(frozen=True)
class Placement:
    """One drawing. The anchor is a fraction of the picture's width and height; the offset of the
    drawing's middle from it, the width and the height are in units of the shorter side.
    """

    concept: str
    colour: str
    anchor_x: float
    anchor_y: float
    dx: float
    dy: float
    width: float
    height: float
    flip: bool = False
