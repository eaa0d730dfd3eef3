"""Reads a prompt: everyday words, in a dozen languages, to the scene that they ask for.

Deterministic, without learning, and in time linear in the prompt's length. `marks.py` parts the
prompt into phrases of the tables in `lexicon.py`, `sentences.py` puts them together.
"""

from dataclasses import dataclass, field
from functools import lru_cache

from imagemill.pico.reading.drafts import SceneDraft
from imagemill.pico.reading.languages import language_of, lexicon_of
from imagemill.pico.reading.marks import marks
from imagemill.pico.reading.sentences import Sentences
from imagemill.pico.scene import THINGS, Scene, Thing

MOST = 6  # of one thing
GREY = ("rain", "fog", "storm")  # weathers under a grey sky, unless a time is said


@dataclass(frozen=True)
class Reading:
    """near: words as said, with what is drawn for them. ignored: words that nothing is drawn for,
    unknown ones and things that the scene has no room for.
    """

    scene: Scene
    near: dict[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a caller may want to know: "flibbert", "corgi: drawn as dog"."""
        return (*self.ignored, *(f"{said}: drawn as {drawn}" for said, drawn in self.near.items()))


# Of a prompt every tokenizer asks, a pipeline asks each of them twice, and remarks are told of it.
@lru_cache(128)
def read(prompt: str) -> Reading:
    lexicon = lexicon_of(language_of(prompt))
    sentences = Sentences(lexicon, marks=marks(prompt, lexicon))
    sentences.read()
    kept = chosen(sentences.things)
    scene = Scene(
        things=things(sentences.things, kept),
        place=sentences.place,
        time=sentences.time or time_of(sentences, kept),
        weather=sentences.weather,
        style=sentences.style or "3d",
        title=sentences.title or title_of(sentences, kept),
        closeup=sentences.closeup,
    )
    drawn = [sentences.things[i] for i in kept]
    near = {draft.said: draft.concept for draft in drawn if draft.near}
    return Reading(scene, near | sentences.near, ignored(sentences, drawn))


def time_of(sentences: Sentences, kept: list[int]) -> str:
    """The time of day where none is said."""
    if sentences.weather in GREY:
        return "grey"
    nightly = sentences.lexicon.classes["nightly"]
    outdoors = sentences.place not in ("space", "moon", "studio")
    seen = any(sentences.things[i].concept in nightly for i in kept)
    return "night" if seen and outdoors and len(kept) > 1 else "day"


def title_of(sentences: Sentences, kept: list[int]) -> str:
    """The letters of a thing that the scene has no room for."""
    left = (x.letters for i, x in enumerate(sentences.things) if x.letters and i not in kept)
    return next(left, "")


def chosen(drafts: list[SceneDraft]) -> list[int]:
    """The first of the drafts that a scene has room for; weak ones only where there is no other."""
    strong = [i for i, draft in enumerate(drafts) if not draft.weak]
    return (strong or list(range(len(drafts))))[:THINGS]


def ignored(sentences: Sentences, drawn: list[SceneDraft]) -> tuple[str, ...]:
    """What is unknown or has no room, in the prompt's order."""
    words = dict(sentences.ignored)
    for draft in sentences.things:
        if draft not in drawn:
            words.setdefault(draft.said, draft.at)
    for draft in drawn:
        words.pop(draft.said, None)
    return tuple(sorted(words, key=words.__getitem__))


def things(drafts: list[SceneDraft], kept: list[int]) -> tuple[Thing, ...]:
    number = {old: new for new, old in enumerate(kept)}
    return tuple(_thing(drafts[i], number) for i in kept)


def _thing(draft: SceneDraft, number: dict[int, int]) -> Thing:
    of = number.get(draft.of) if draft.of is not None else None
    return Thing(
        draft.concept,
        draft.colour,
        draft.size,
        min(draft.count or draft.usual, MOST),
        draft.relation if of is not None else "",
        of,
        draft.letters,
    )
