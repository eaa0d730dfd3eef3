"""What a prompt says of the whole picture: place, time, weather, style and letters.

`WholePrompt` also holds where the reading of the marks stands; `clauses.py` and `sentences.py`
go on.
"""

import unicodedata
from dataclasses import dataclass, field

from imagemill.pico.reading.drafts import Adjectives, Drafts, Link
from imagemill.pico.reading.lexicon import ALIKE
from imagemill.pico.reading.marks import Mark
from imagemill.pico.scene import LETTERS

BARE = ("sky", "nature", "place")  # kinds of things that nothing is written on
PREPOSITIONS = ("in ", "on ", "at ", "by ", "under", "beneath", "through ", "across ", "above ")


@dataclass
class WholePrompt(Drafts):
    marks: list[Mark] = field(default_factory=list)
    place: str = ""
    time: str = ""
    weather: str = ""
    style: str = ""
    title: str = ""
    closeup: bool = False
    near: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)  # and where they stand
    # Where the reading stands:
    at: int = 0
    sentence: int = 0
    last: int | None = None  # the thing named last in it
    beside: int | None = None  # the same, but none once another noun has come between
    link: Link | None = None
    front: Link | None = None  # "On the table": the next thing is the relation's subject
    joint: bool = False  # since the last noun there was a pause or "and"
    having: bool = False  # or "with"
    had: bool = False  # since the sentence began there was "with" or "wearing"
    negated: bool = False
    dropped: bool = False  # "made of": the next noun is not drawn
    noun_of: str = ""  # the kind of noun before "of"
    adjectives: Adjectives = field(default_factory=Adjectives)
    letters: str = ""  # waiting for the thing that they are on
    fallback: Mark | None = None  # a map, a bust: drawn if nothing known is on it
    fallback_is_sure: bool = False  # it was not said to be of anything
    skip: int = 0  # marks that were read already
    place_is_sure: bool = False
    strewn: bool = False  # the place with what comes now: "a field of sunflowers"
    leading: bool = False  # since the last noun there was "through", "across" or a relation

    def before(self, back: int = 1) -> Mark:
        return self.marks[self.at - back] if self.at >= back else Mark("stop", "")

    def behind(self, ahead: int = 1) -> Mark:
        i = self.at + ahead
        return self.marks[i] if i < len(self.marks) else Mark("stop", "")

    @property
    def main(self) -> int | None:
        return self.group[0] if self.group else (0 if self.things else None)

    def flush(self) -> None:
        """Adjectives that no noun came for are said of the thing before them."""
        if self.last is not None:
            thing, said = self.things[self.last], self.adjectives
            thing.colour = thing.colour or said.colour
            if "counts_behind" in self.lexicon.habits:
                thing.count = thing.count or said.count
            thing.size = said.size if thing.size == 1 else thing.size
        self.adjectives = Adjectives()

    def _other_noun(self) -> None:
        """A noun that is not drawn takes its adjectives and its relation with it."""
        self.adjectives = Adjectives()
        self.link, self.beside, self.noun_of = None, None, ""
        self.leading = self.strewn = self.joint = self.having = self.dropped = False
        self.negated = self.negated and self.behind().kind == "or"

    def on_place(self, mark: Mark) -> None:
        sure = not self.things or self.leading or mark.said.startswith(PREPOSITIONS)
        if mark.value == "sky" and self.things:
            sure = sure and self.beside == self.main
        if not self.negated and not (self.dropped and self.place):
            self._set_place(mark, sure)
        self._other_noun()
        self.strewn = self.behind().kind == "of"

    def _set_place(self, mark: Mark, sure: bool) -> None:
        if self.place and (self.place_is_sure or not sure):
            return
        self.place, self.place_is_sure = mark.value, sure
        if mark.near:
            self.near[mark.said] = mark.value

    def on_time(self, mark: Mark) -> None:
        if not self.negated and self.time in ("", "day"):
            self.time = mark.value
        self._other_noun()

    def on_weather(self, mark: Mark) -> None:
        if not self.negated and not self.weather:
            self.weather = mark.value
        self._other_noun()

    def on_style(self, mark: Mark) -> None:
        inside = self.last is not None and (self.had or self.before().kind != "thing")
        if mark.may("frame") and inside:
            return  # "a laptop with an apple logo" is not a logo
        if self.style in ("", "3d"):
            self.style = mark.value
        if not mark.may("colour"):
            self.adjectives.colour = ""
        self.dropped = False

    def on_closeup(self, mark: Mark) -> None:
        self.closeup = True

    def on_quote(self, mark: Mark) -> None:
        self.flush()
        letters = fitting(mark.value)
        if not letters:
            self.ignored.setdefault(mark.said or mark.value, self.at)
            return
        if self.title or self.letters or any(x.letters for x in self.things):
            return
        on = self.behind().kind == "relation" and self.behind().value.startswith("on/")
        if any(self.behind(n).kind == "written" for n in (1, 2, 3)) or (on and self.last is None):
            self.letters = letters
            return
        said = any(self.before(n).may("says", "written") for n in (1, 2, 3))
        apart = any(self.before(n).kind == "pause" for n in (1, 2))
        near = said or self.before().kind in ("thing", "frame")
        bearer = self.last if near and not apart else None
        self._letter(letters, bearer)

    def _settle_letters(self) -> None:
        if self.letters:
            letters, self.letters = self.letters, ""
            self._letter(letters, self.last)

    def _letter(self, letters: str, bearer: int | None) -> None:
        if bearer is None or self.is_alive(bearer) or self.is_a(bearer, *BARE):
            self.title = letters
        else:
            self.things[bearer].letters = letters


def fitting(text: str) -> str:
    """As many whole words as there is room for, of letters that can be drawn."""
    bare = unicodedata.normalize("NFKD", text.translate(ALIKE))
    kept = "".join(c for c in bare if c.isascii() and (c.isalnum() or c in " !?.,&'-"))
    words = kept.split()
    while len(words) > 1 and len(" ".join(words)) > LETTERS:
        words.pop()
    return " ".join(words)[:LETTERS]
