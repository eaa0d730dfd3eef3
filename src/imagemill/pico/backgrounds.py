"""Backgrounds: the empty places of pictures, which a sketch is drawn over.

Each is a square of 128 px; a place has four of them under every light and weather, and what is seen
of them follows from the seed.
"""

from itertools import product
from typing import NamedTuple

from imagemill.pico.layout import place_of
from imagemill.pico.scene import CLOSED, PLACES, TIMES, WEATHERS, Scene

VARIANTS = 4  # of each
SIDE = 128  # px
FOOT = 0.85  # of the height: the row that stays where it is when a wide picture shows less of it


class Background(NamedTuple):
    """place: of PLACES. time: of TIMES. weather: of WEATHERS, dry where the place is closed."""

    place: str
    time: str
    weather: str


#: All there are, in the order of the table.
BACKGROUNDS = tuple(
    Background(*each)
    for each in product(PLACES, TIMES, WEATHERS)
    if each[0] not in CLOSED or not each[2]
)
_NUMBERS = {each: i for i, each in enumerate(BACKGROUNDS)}


def background_of(scene: Scene) -> Background:
    place = place_of(scene)
    return Background(place, scene.time, "" if place in CLOSED else scene.weather)


def number(scene: Scene) -> int:
    """The scene's own, by its place in BACKGROUNDS."""
    return _NUMBERS[background_of(scene)]


def shown(width: int, height: int) -> tuple[float, float, float, float]:
    """What a picture shows of a square: left, top, width and height, in units of its side."""
    longer = max(width, height)
    wide, high = width / longer, height / longer
    return (1 - wide) / 2, FOOT * (1 - high), wide, high
