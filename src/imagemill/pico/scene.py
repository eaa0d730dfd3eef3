"""What a prompt asks pico for: a scene of a few things, in words that model and trainer share."""

from dataclasses import dataclass

THINGS = 4  # in one scene at most; each may be there several times
LETTERS = 16  # of a title or on a thing, at most

PLACES = (
    "studio", "meadow", "garden", "forest", "jungle", "mountains", "lake", "sea", "beach",
    "underwater", "desert", "snow", "street", "city", "room", "bedroom", "kitchen", "bathroom",
    "restaurant", "library", "space", "moon", "japan", "farm", "sky", "stage",
)  # fmt: skip
TIMES = ("day", "dawn", "sunset", "twilight", "night", "grey")
WEATHERS = ("", "rain", "snow", "fog", "storm")
STYLES = (
    "3d", "flat", "outline", "pixel art", "watercolour", "comic", "oil", "pencil",
    "black and white",
)  # fmt: skip
COLOURS = (
    "red", "orange", "yellow", "green", "cyan", "teal", "blue", "purple", "pink", "brown",
    "black", "grey", "white", "gold", "silver",
)  # fmt: skip
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
