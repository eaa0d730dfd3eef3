"""Reads an instruction: what is to be changed in an image, in a dozen languages.

The words that tell a change are in `instructions.toml`; what stands between them is read as any
prompt is. Deterministic, and in time linear in the prompt's length.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from imagemill.pico.reading import read
from imagemill.pico.reading.changes import (
    Add,
    Change,
    Instruction,
    Move,
    Noun,
    Recolour,
    Remove,
    Replace,
    Resettle,
    Resize,
    Restyle,
)
from imagemill.pico.reading.drafts import WORN, SceneDraft
from imagemill.pico.reading.instruction_words import image_name, ordinals, words_by_language
from imagemill.pico.reading.languages import language_of, lexicon_of
from imagemill.pico.reading.lexicon import Lexicon
from imagemill.pico.reading.marks import Mark, marks
from imagemill.pico.reading.sentences import Sentences

CLAUSES = 6  # of one instruction that are followed
SMALLER, LARGER = 0.65, 1.4
STEP = 0.25  # of the image's side that a thing is moved by, where only a direction is said
DIRECTIONS = {"left": (-STEP, 0.0), "right": (STEP, 0.0), "up": (0.0, -STEP), "down": (0.0, STEP)}
# What the sky of a colour is.
SKIES = {
    "pink": "sunset", "orange": "sunset", "red": "sunset", "gold": "sunset", "yellow": "dawn",
    "purple": "twilight", "black": "night", "grey": "grey", "white": "grey",
}  # fmt: skip
ACTIONS = ("make", "add", "remove", "replace", "move")
# Words before a verb, and others that part two changes.
_BEFORE = re.compile(
    r"^(?:(?:please|now|then|and|also|just|kindly|bitte|und|dann|s'il (?:te|vous) pla[iî]t|et|"
    r"por favor|y|e|per favore|пожалуйста|请|把|将|can you|could you|would you|"
    r"i want you to|i would like you to|i'd like you to)(?:[\s,]+|(?<=[请把将])))+",
    re.IGNORECASE,
)
_APART = re.compile(
    r"[.;!?\n\u3002\uff1b]+|,?\s+(?:and\s+then|then|und\s+dann|puis|luego|poi)\s+|"
    r"(?:,\s*(?:and\s+|und\s+|et\s+)?|\s+(?:and|und|et|y|e)\s+)",
    re.IGNORECASE,
)


@lru_cache(64)
def instruction(prompt: str) -> Instruction:
    """What a prompt asks to change."""
    for language in dict.fromkeys([language_of(prompt), *words_by_language()["make"]]):
        reader = InstructionReader(language)
        changes = tuple(reader.changes(prompt)) or tuple(reader.combined(prompt))
        if changes:
            return Instruction(changes, reader.base)
    return Instruction()


def remarks(prompt: str) -> tuple[str, ...]:
    """As those of a prompt, but for the words that tell a change."""
    tables = (words_by_language()[action].values() for action in ACTIONS)
    verbs = {word for table in tables for words in table for word in words}
    return tuple(each for each in read(prompt).remarks if each.casefold() not in verbs)


@dataclass
class InstructionReader:
    """Of one prompt."""

    language: str
    base: int | None = None

    def __post_init__(self) -> None:
        self.lexicon: Lexicon = lexicon_of(self.language)
        self.joined = bool(self.lexicon.joined)

    def changes(self, prompt: str) -> Iterator[Change]:
        action = ""
        for clause in self._clauses(prompt)[:CLAUSES]:
            own, rest = self._action(clause)
            action = own or action
            if action and rest.strip():
                yield from _BY_ACTION[action](self, rest)

    def combined(self, prompt: str) -> Iterator[Change]:
        """ "The bird from image 1 on the desk in image 2", without a verb."""
        if not any(True for _ in self._cards(prompt)):
            return
        for noun in self._nouns(prompt):
            if noun.of is not None and noun.of.image not in (None, noun.image):
                yield Add(noun)

    # --- clauses and their verbs

    def _clauses(self, prompt: str) -> list[str]:
        """What is parted by stops, and by "and" where a new change begins behind it."""
        clauses: list[str] = []
        for part in _APART.split(prompt):
            part = part.strip()
            if not part:
                continue
            if clauses and not self._begins(part):
                clauses[-1] += f" and {part}" if not self.joined else part
            else:
                clauses.append(part)
        return clauses

    def _begins(self, part: str) -> bool:
        """Whether a part is a change of its own: with a verb, or a thing and what it becomes."""
        if self._action(part)[0]:
            return True
        kinds = [mark.kind for mark in marks(part, self.lexicon)]
        if "thing" not in kinds:
            return False
        return bool({"colour", "size"} & set(kinds[kinds.index("thing") + 1 :])) or (
            kinds[0] in ("article", "definite", "count")
        )

    def _action(self, clause: str) -> tuple[str, str]:
        """Which of ACTIONS a clause asks for, "" for none, and the clause without its verb."""
        text = _BEFORE.sub("", clause)
        best: tuple[int, int, str] | None = None
        for action in ACTIONS:
            for phrase in words_by_language()[action].get(self.language, ()):
                at = self._place(text, phrase)
                if at is not None and (best is None or len(phrase) > best[1]):
                    best = at, len(phrase), action
        if best is None:
            return "", clause
        at, length, action = best
        return action, f"{text[:at]} {text[at + length :]}"

    def _place(self, text: str, phrase: str) -> int | None:
        """Where a verb is: at the beginning, or anywhere in a language that has it elsewhere."""
        lower = text.casefold()
        if self.joined:
            at = lower.rfind(phrase)
            return None if at < 0 else at
        match = re.match(rf"{re.escape(phrase)}(?!\w)", lower)
        if match is None and " be" in phrase:
            match = re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", lower)
        return None if match is None else match.start()

    # --- nouns

    def _cards(self, text: str) -> Iterator[re.Match[str]]:
        yield from image_name(self.language).finditer(text)

    def _nouns(self, text: str) -> list[Noun]:
        """The things of a phrase, as they are read in a prompt, and the images they are in."""
        plain, images = self._without_cards(text)
        drafts = self._read(plain).things
        return [_noun(drafts, i, images) for i in range(len(drafts))]

    def _without_cards(self, text: str) -> tuple[str, dict[int, int]]:
        """Without what names images, and by the number of a thing that of its image."""
        plain, images, at = "", dict[int, int](), 0
        for match in self._cards(text):
            plain += text[at : match.start()]
            at, number = match.end(), self._number(match)
            last = len(self._read(plain).things) - 1
            if last >= 0 and last not in images:
                images[last] = number
            else:
                self.base = number
        return plain + text[at:], images

    def _number(self, match: re.Match[str]) -> int:
        said = next(group for group in match.groups() if group)
        return int(said if said.isdigit() else ordinals(self.language)[said.casefold()]) - 1

    def _read(self, text: str) -> Sentences:
        sentences = Sentences(self.lexicon, marks=marks(text, self.lexicon))
        sentences.read()
        return sentences

    def _marks(self, text: str) -> list[Mark]:
        return marks(text, self.lexicon)

    def says(self, table: str, text: str) -> bool:
        """Whether a text has a word of a table."""
        words = words_by_language()[table].get(self.language, ())
        if self.joined:
            return any(word in text for word in words)
        return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text.casefold()) for word in words)

    # --- what is asked, by its verb

    def make(self, text: str) -> Iterator[Change]:
        plain, images = self._without_cards(text)
        read_marks = self._marks(plain)
        things = [i for i, mark in enumerate(read_marks) if mark.kind == "thing"]
        if not things:
            yield from self._of_image(plain)
            return
        if len(things) > 1 and (parts := self._into(plain)):
            yield from self._replaced(*parts)
            return
        read = self._read(plain)
        if not read.things:
            return
        noun = _noun(read.things, 0, images)
        behind = read_marks[things[-1] + 1 :]
        yield from self._look(noun, behind, plain)
        if not any(mark.kind in ("colour", "size") for mark in behind):
            yield from self._of_image(plain)

    def _look(self, noun: Noun, behind: Sequence[Mark], text: str) -> Iterator[Change]:
        """Another colour or size of a thing, which stands behind it."""
        colours = [mark.value for mark in behind if mark.kind == "colour"]
        before = noun.colour if noun.colour not in colours[-1:] else ""
        if colours:
            old = colours[0] if len(colours) > 1 else before
            yield Recolour(replace(noun, colour=old), colours[-1])
        factor = self._factor(behind, text)
        if factor is not None:
            yield Resize(replace(noun, size=1.0, colour=before), factor)

    def _factor(self, behind: Sequence[Mark], text: str) -> float | None:
        if self.says("smaller", text):
            return SMALLER
        if self.says("larger", text):
            return LARGER
        sizes = [float(mark.value) for mark in behind if mark.kind == "size"]
        return sizes[-1] if sizes else None

    def _of_image(self, text: str) -> Iterator[Change]:
        """What is said of the whole: its style, or its surroundings."""
        read = self._read(text)
        read_marks = self._marks(text)
        styles = (mark.senses["style"] for mark in read_marks if "style" in mark.senses)
        style = read.style or next(styles, "")
        colour = next((mark.value for mark in read_marks if mark.kind == "colour"), "")
        if style:
            yield Restyle(style)
        elif read.place == "sky" and colour:
            yield Resettle(time=SKIES.get(colour, "day"))
        elif read.place or read.time or read.weather:
            yield Resettle(read.place, read.time, read.weather)

    def add(self, text: str) -> Iterator[Change]:
        plain, _ = self._without_cards(text)
        read = self._read(plain)
        first = next(
            (m.kind for m in self._marks(plain) if m.kind not in ("silent", "unknown")), ""
        )
        if read.place and first in ("definite", "pronoun") and len(read.things) < 2:
            yield Resettle(read.place, read.time, read.weather)
            return
        nouns = self._nouns(text)
        if not nouns:
            yield from self._of_image(plain)
            return
        yield from (Add(noun) for noun in self._new(nouns, plain))

    def _new(self, nouns: Sequence[Noun], text: str) -> list[Noun]:
        """Those that come anew, each with what it stands to."""
        hosts = {noun.of.concept for noun in nouns if noun.of and noun.relation != "beside"}
        definite = self._definite(text)
        if len(nouns) > 1 and not hosts and not self._listed(text):
            known = [noun for noun in nouns if noun.said in definite]
            host = known[0] if 0 < len(known) < len(nouns) else nouns[-1]
            return [self._to(noun, host) for noun in nouns if noun != host]
        return [
            noun for noun in nouns if noun.concept not in hosts and not self._is_host(noun, nouns)
        ]

    def _is_host(self, noun: Noun, nouns: Sequence[Noun]) -> bool:
        return any(other.of is not None and other.of.said == noun.said for other in nouns)

    def _listed(self, text: str) -> bool:
        """Whether its things stand side by side, with "and" or a comma between them."""
        return any(mark.kind in ("and", "pause") for mark in self._marks(text))

    def _definite(self, text: str) -> set[str]:
        """Words behind a definite article."""
        read_marks, known = self._marks(text), set[str]()
        for i, mark in enumerate(read_marks):
            if mark.kind == "definite":
                behind = (each for each in read_marks[i + 1 : i + 4] if each.kind == "thing")
                known |= {each.said for each in [next(behind, None)] if each}
        return known

    def _to(self, noun: Noun, host: Noun) -> Noun:
        """ "Add a hat to the dog" is a hat that it wears."""
        concepts = self.lexicon.concepts
        worn = concepts[noun.concept].kind in WORN
        alive = concepts[host.concept].kind in ("person", "animal", "face")
        on = concepts[host.concept].kind == "furniture"
        relation = "wears" if worn and alive else "on" if on else "beside"
        return replace(noun, relation=relation, of=replace(host, relation="", of=None))

    def remove(self, text: str) -> Iterator[Change]:
        plain, _ = self._without_cards(text)
        nouns = self._nouns(text)
        hosts = {noun.of.said for noun in nouns if noun.of and noun.relation != "beside"}
        if not nouns and any(mark.said == "background" for mark in self._marks(plain)):
            yield Resettle("studio")
        gone = nouns if self._listed(plain) else nouns[:1]
        yield from (Remove(noun) for noun in gone if noun.said not in hosts)

    def replace_(self, text: str) -> Iterator[Change]:
        parts = self._into(text)
        if parts is None:
            return
        if not self._nouns(parts[0]):
            yield from self._of_image(parts[1])
            return
        yield from self._replaced(*parts)

    def _replaced(self, old: str, new: str) -> Iterator[Change]:
        olds, news = self._nouns(old), self._nouns(new)
        if olds and news:
            yield Replace(olds[0], news[0])
        elif olds:
            yield from self._of_image(new)

    def _into(self, text: str) -> tuple[str, str] | None:
        """What there is and what it becomes; None where no word parts them."""
        for word in words_by_language()["into"].get(self.language, ()):
            pattern = re.escape(word) if self.joined else rf"(?<!\w){re.escape(word)}(?!\w)"
            for match in re.finditer(pattern, text, re.IGNORECASE):
                old, new = text[: match.start()], text[match.end() :]
                if new.strip() and self._parts(old):
                    return old, new
        return None

    def _parts(self, old: str) -> bool:
        return any(mark.kind in ("thing", "part", "place") for mark in self._marks(old))

    def move(self, text: str) -> Iterator[Change]:
        nouns = self._nouns(text)
        if not nouns:
            return
        noun = nouns[0]
        if noun.of is not None and noun.relation:
            yield Move(noun)
            return
        hosts = [other for other in nouns if other.of is not None and other.of.said == noun.said]
        if hosts:  # "beside" is had by the later one
            yield Move(replace(noun, relation=hosts[0].relation, of=replace(hosts[0], of=None)))
            return
        said = [DIRECTIONS[name] for name in DIRECTIONS if self.says(name, text)]
        if said:
            yield Move(noun, sum(x for x, _ in said), sum(y for _, y in said))


_BY_ACTION: Mapping[str, Callable[[InstructionReader, str], Iterator[Change]]] = {
    "make": InstructionReader.make, "add": InstructionReader.add,
    "remove": InstructionReader.remove,
    "replace": InstructionReader.replace_, "move": InstructionReader.move,
}  # fmt: skip


def _noun(drafts: Sequence[SceneDraft], i: int, images: Mapping[int, int]) -> Noun:
    draft = drafts[i]
    of = None
    if draft.of is not None and draft.relation:
        host = drafts[draft.of]
        of = Noun(host.concept, host.said, host.colour, image=images.get(draft.of))
    count = draft.count or (draft.usual if draft.usual > 1 else 0)
    return Noun(
        draft.concept, draft.said, draft.colour, draft.size, count, images.get(i),
        draft.relation if of else "", of,
    )  # fmt: skip
