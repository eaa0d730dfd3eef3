"""Which of several engines gets a generation. Pure: numbers and flags."""

from collections.abc import Mapping
from dataclasses import dataclass

# Work that an engine does while a model is loaded for it, about, in steps of a megapixel: ten
# seconds of a GPU. With more than that before it, a generation is done sooner where its model is
# not yet, and the next ones find it at two places.
LOADING = 200.0


@dataclass(frozen=True)
class Candidate:
    """An engine, for a model. ready: it paints. resting: seconds until it is started again. has:
    the model is there or on its way. refuses: it never can be. work: all that the engine has been
    given, in steps of a megapixel. models: how many it holds.
    """

    ready: bool = True
    resting: float = 0.0
    has: bool = False
    refuses: bool = False
    work: float = 0.0
    models: int = 0


def best(candidates: Mapping[str, Candidate]) -> str:
    """The name of the one that will be done first, as far as can be told."""
    return min(candidates, key=lambda name: _rank(candidates[name]))


def _rank(each: Candidate) -> tuple[bool, bool, float, float, bool, int]:
    done = each.work + (0.0 if each.has else LOADING)
    return each.refuses, not each.ready, each.resting, done, not each.has, each.models
