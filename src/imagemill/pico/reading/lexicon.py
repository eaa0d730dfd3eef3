"""The words that a prompt may be made of, from the tables beside this file.

A phrase has senses by kind: "orange" is a colour and a thing. `reading.py` chooses among them.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from imagemill.pico.concepts import Concept, concepts, rows

FOLDER = Path(__file__).parent
LONGEST = 7  # words of a phrase

Senses = Mapping[str, str]  # kind of word ("thing", "colour", "relation", ...) -> its value
Phrase = tuple[str, ...]

ENDINGS = (
    ("ies", "y"), ("ves", "f"), ("ches", "ch"), ("shes", "sh"), ("sses", "ss"), ("xes", "x"),
    ("zes", "ze"), ("oes", "o"), ("s", ""),
)  # fmt: skip
# What an unknown English word with such an ending does to a thing cannot be drawn.
QUIET = re.compile(
    r".*(?:[^aeiou]ly|[a-z]{3}ing|[a-z]{3}ed|ful|ous|less|able|ible|ish|ive|esque|ical|ular|like"
    r"|ness|ically|ward|wards|ism|istic|ity)$|.*\d.*|.$"
)


@dataclass
class Lexicon:
    """concepts: by name. phrases: their senses. near: phrases whose drawing is only a near one.
    emoji: the characters of an emoji -> concept. irregular: plural -> singular.
    """

    concepts: Mapping[str, Concept] = field(default_factory=dict)
    phrases: dict[Phrase, dict[str, str]] = field(default_factory=dict)
    near: set[Phrase] = field(default_factory=set)
    grounds: dict[str, str] = field(default_factory=dict)  # concept -> place, when on it
    emoji: dict[str, str] = field(default_factory=dict)
    irregular: dict[str, str] = field(default_factory=dict)
    ones: set[str] = field(default_factory=set)
    twos: set[str] = field(default_factory=set)
    classes: dict[str, set[str]] = field(default_factory=dict)  # concepts that rules speak of
    not_things: set[Phrase] = field(default_factory=set)
    words: set[str] = field(default_factory=set)  # of all phrases that say something
    starts: dict[str, int] = field(default_factory=dict)  # first word -> words of longest phrase
    # Of languages other than English, see `languages.py`:
    habits: set[str] = field(default_factory=set)
    prefixes: tuple[str, ...] = ()
    elisions: dict[str, str] = field(default_factory=dict)  # before an apostrophe -> whole word
    endings: tuple[tuple[str, str], ...] = ()  # of forms, and of the words that they are forms of
    plurals: tuple[str, ...] = ()
    stems: dict[str, str] = field(default_factory=dict)  # beginning -> word
    joined: dict[str, Phrase] = field(default_factory=dict)  # where words are not parted
    lengths: dict[str, int] = field(default_factory=dict)  # first letter -> letters of longest
    fallback: "Lexicon | None" = None  # for words that this one does not have

    def add(self, said: str, kind: str, value: str, *, near: bool = False) -> None:
        phrase = self.phrase_of(said)
        if not phrase or len(phrase) > LONGEST:
            return
        if kind == "thing" and phrase in self.not_things:
            kind = "silent"
        senses = self.phrases.setdefault(phrase, {})
        if kind not in senses:
            senses[kind] = value
            if near:
                self.near.add(phrase)
        self.starts[phrase[0]] = max(self.starts.get(phrase[0], 0), len(phrase))

    def phrase_of(self, said: str) -> Phrase:
        """As `words_of` parts it, and elided words in full: "d'une" as "de une"."""
        return tuple(part for word in words_of(said) for part in self._in_full(word))

    def _in_full(self, word: str) -> Phrase:
        head, _, rest = word.partition("'")
        return (self.elisions[head], rest) if rest and head in self.elisions else (word,)

    def senses(self, phrase: Phrase) -> tuple[Senses, bool]:
        """What a phrase may be, and whether it is a plural."""
        if self.is_foreign:
            return self._foreign(phrase)
        senses = dict(self.phrases.get(phrase, {}))
        plural = False
        for last in self.singulars(phrase[-1]):
            single = self.phrases.get((*phrase[:-1], last), {})
            nouns = {kind: by for kind, by in single.items() if kind in ("thing", "part", "frame")}
            if nouns:
                name = " ".join(phrase)
                plural = phrase[-1] not in self.ones and senses.get("thing") != name
                senses = {**nouns, **senses}
                break
        return senses, plural

    @property
    def is_foreign(self) -> bool:
        return bool(self.stems or self.joined)

    def _foreign(self, phrase: Phrase) -> tuple[Senses, bool]:
        senses = self.phrases.get(phrase)
        if senses is None and len(phrase) == 1:
            known = self._inflected(phrase[0])
            if known is not None:
                plural = phrase[0].removeprefix(known) in self.plurals
                return self.phrases[(known,)], plural
        if senses is None and self.fallback is not None and phrase[0].isascii():
            return self.fallback.senses(phrase)
        return senses or {}, False

    def _inflected(self, word: str) -> str | None:
        """The word of which this is a form: both begin alike, and differ by few letters."""
        for prefix in self.prefixes:
            rest = word.removeprefix(prefix)
            if rest != word and (rest,) in self.phrases and len(rest) > 1:
                return rest
        for ending, by in self.endings:
            if word.endswith(ending) and (word.removesuffix(ending) + by,) in self.phrases:
                return word.removesuffix(ending) + by
        if len(word) == 4 and (word[:3],) in self.phrases:
            return word[:3]
        for length in range(len(word), max(3, len(word) - 4, 2 * len(word) // 3 - 1), -1):
            if (known := self.stems.get(word[:length])) is not None:
                return known
        return None

    def segments(self, run: str) -> Iterator[tuple[str, bool]]:
        """A run of letters of a language that does not part its words, parted; is it known?"""
        unknown, at = "", 0
        while at < len(run):
            most = min(self.lengths.get(run[at], 0), len(run) - at)
            length = next((n for n in range(most, 0, -1) if run[at : at + n] in self.joined), 0)
            if not length:
                unknown, at = unknown + run[at], at + 1
                continue
            if unknown:
                yield unknown, False
                unknown = ""
            yield run[at : at + length], True
            at += length
        if unknown:
            yield unknown, False

    def singulars(self, word: str) -> Iterator[str]:
        if word in self.irregular:
            yield self.irregular[word]
        for ending, by in ENDINGS:
            if word.endswith(ending) and len(word) > len(ending) + 1:
                yield word.removesuffix(ending) + by
        if word.endswith("ves"):
            yield word.removesuffix("ves") + "fe"
        if word.endswith(("ches", "shes", "sses", "uses", "xes", "oes", "zes")):
            yield word.removesuffix("es")

    def is_quiet(self, word: str) -> bool:
        """Whether an unknown word says nothing that could be drawn, by its ending."""
        if self.is_foreign and not word.isascii():
            return len(word) < (2 if self.joined else 4) or VERBS.search(word) is not None
        if self.is_foreign:
            return len(word) < 4
        return QUIET.match(word) is not None

    def is_adverb(self, word: str) -> bool:
        known = self.is_foreign or word in self.words
        return not known and word.endswith("ly") and len(word) > 4


# Apostrophes are one; the marks of emoji and of no width are none.
ALIKE = {0x2019: "'", 0x2BC: "'", 0xFE0F: None, 0x200B: None}


def plain(text: str) -> str:
    """In lower case, with one kind of apostrophe, without the marks of emoji and of nothing."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return text.translate(ALIKE)


# Letters and the marks that belong to them, which \w leaves out: of Thai, Hindi, Arabic, Hebrew.
LETTER = (
    r"(?:[^\W_]|[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0900-\u0903\u093a-\u094f"
    r"\u0962\u0963\u0981-\u0983\u09bc-\u09cd\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u200c])"
)
VERBS = re.compile(r"[\u3041-\u309f\u30fc\ub2e4\ub294\uace0\uba70]$")  # of Japanese, Korean
WORD = re.compile(rf"{LETTER}+(?:'{LETTER}+)*(?:(?<=s)'(?= |$))?|&")


def words_of(said: str) -> Phrase:
    """A phrase as `reading.py` parts it: hyphens part, a possessive's ending is a word."""
    if said == "'s":
        return (said,)
    words: list[str] = []
    for word in WORD.findall(plain(said)):
        if word.endswith(("'s", "s'")) and len(word) > 2:
            words += [word.removesuffix("'s").removesuffix("'"), "'s"]
        else:
            words.append(word)
    return tuple(words)


def parted(phrases: str) -> Iterable[str]:
    return (phrase for part in phrases.split(",") if (phrase := part.strip()))


@cache
def english() -> Lexicon:
    lexicon = Lexicon(concepts=concepts())
    _add_grammar(lexicon, tomllib.loads((FOLDER / "grammar.toml").read_text("utf-8")))
    for concept in lexicon.concepts.values():
        lexicon.add(concept.name, "thing", concept.name)
        if re.fullmatch(r"[0-9a-f]{2,6}(?:-[0-9a-f]{2,6})*", concept.source):
            characters = "".join(chr(int(x, 16)) for x in concept.source.split("-"))
            lexicon.emoji[re.sub("[\u200d\ufe0f]", "", characters)] = concept.name
    for row in rows(FOLDER / "words.tsv"):
        if row["concept"] in lexicon.concepts:
            lexicon.add(row["word"], "thing", row["concept"], near=row["near"] == "near")
    _settle(lexicon)
    return lexicon


def _settle(lexicon: Lexicon) -> None:
    """What the tables say twice: "white cat" is a cat with a colour, "the moon" also a ground."""
    for phrase, senses in list(lexicon.phrases.items()):
        rest = lexicon.phrases.get(phrase[1:], {})
        first = lexicon.phrases.get(phrase[:1], {})
        if "article" in first or "definite" in first:
            lexicon.phrases[phrase] = {**rest, **senses}
        elif ("colour" in first or "size" in first) and "thing" in senses and "thing" in rest:
            said_twice = phrase in lexicon.near or senses["thing"] == rest["thing"]
            if said_twice:
                del lexicon.phrases[phrase]
    for concept in lexicon.concepts:
        place = lexicon.phrases.get(words_of(concept), {}).get("ground")
        if place is not None:
            lexicon.grounds[concept] = place
    lexicon.words.update(
        word
        for phrase, senses in lexicon.phrases.items()
        if senses.keys() != {"silent"}
        for word in phrase
    )


# Tables of grammar.toml of the form value = "phrases", and the kind that they give.
BY_VALUE = {
    "places": "place", "near_places": "place", "times": "time", "weathers": "weather",
    "styles": "style", "colours": "colour", "sizes": "size", "counts": "count",
    "counts_after": "group", "relations": "relation", "tails": "tail", "ground": "ground",
}  # fmt: skip
# Tables with one list of phrases.
LISTS = {
    "closeup": "closeup", "materials": "material", "modifiers": "modifier", "silent": "silent",
    "tags": "tag", "verbs": "silent",
}  # fmt: skip
# Tables of concepts that rules speak of.
CLASSES = (
    "seats", "mounts", "toppable", "containers", "players", "portable", "costumes", "general",
    "nightly", "alive", "held",
)  # fmt: skip


def _add_grammar(lexicon: Lexicon, grammar: dict[str, dict[str, str]]) -> None:
    for table, kind in BY_VALUE.items():
        for value, phrases in grammar[table].items():
            for said in parted(phrases):
                lexicon.add(said, kind, value, near=table == "near_places")
    for kind, phrases in grammar["kinds"].items():
        for said in parted(phrases):
            lexicon.add(said, kind, kind)
    for table, kind in LISTS.items():
        for said in parted(grammar[table]["words"]):
            lexicon.add(said, kind, kind)
    for said in parted(grammar["verbs"]["words"]):
        ending = "es" if said.endswith(("s", "x", "sh", "ch")) else "s"
        lexicon.add(said + ending, "silent", "silent")
    for table in CLASSES:
        lexicon.classes[table] = set(parted(grammar[table]["words"]))
    lexicon.irregular.update(grammar["irregular"])
    lexicon.not_things.update(words_of(said) for said in parted(grammar["not_things"]["words"]))
    lexicon.ones.update(word.split()[-1] for word in parted(grammar["ones"]["words"]))
    lexicon.twos.update(word.split()[-1] for word in parted(grammar["twos"]["words"]))
