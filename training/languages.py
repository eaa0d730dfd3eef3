"""Builds `src/imagemill/pico/reading/languages.tsv.gz`: words of other languages -> concept.

Sources, in the order in which they are believed:

1. `names_by_hand.tsv` beside this file: what Unicode has no name for, or a clumsy one.
2. Unicode's names of emoji (CLDR 48.2, npm package `cldr-annotations-full`, Unicode-3.0; the names
   of joined emoji from `emojibase-data` 17.0.0, MIT, which takes them from CLDR as well).
3. CLDR's keywords, as far as they do not mislead. A keyword stands for an English one where both
   are said of the same emoji; it is taken where `words.tsv` gives the English one a concept.
   What is said of one emoji alone has no such twin: it is taken where all that English says of
   that emoji alone names its concept, and the language says no more of it than English does, or
   where it is part of the name ("Sand" of an hourglass is dropped, "Apfel" of a red apple is not).

    python -m training.languages NODE_MODULES
"""

import argparse
import gzip
import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from imagemill.pico.concepts import rows

ROOT = Path(__file__).parents[1]
PICO = ROOT / "src/imagemill/pico"
READING = PICO / "reading"
TARGET = READING / "languages.tsv.gz"
BY_HAND = Path(__file__).with_name("names_by_hand.tsv")

LANGUAGES = (
    "de", "fr", "es", "it", "pt", "nl", "pl", "ru", "uk", "tr", "ar", "he", "hi", "bn", "id", "vi",
    "th", "ja", "ko", "zh", "zh-Hant", "sv", "da", "nb", "fi", "cs", "hu", "ro", "el", "fa", "ur",
)  # fmt: skip
FOLDERS = {"nb": "no"}  # of CLDR, where it is not the language's own name
TWINS = 0.6  # share of emoji that a keyword and its English twin have in common, at least
NOUN_FIRST = ("fr", "es", "it", "pt", "ro", "id", "vi", "th", "ar", "he", "fa")
PART = 4  # letters of a keyword that is part of a name
LONGEST = 4  # words of a name
BRACKETS = "()\uff08\uff09"
SMALLEST = {"ja": 1, "ko": 1, "zh": 1, "zh-Hant": 1}  # letters of a word; elsewhere three

# Endings of plurals that share too few letters with the singular to be known by them.
PLURALS = {
    "it": (
        ("co", "chi"), ("go", "ghi"), ("ca", "che"), ("ga", "ghe"), ("io", "i"), ("o", "i"),
        ("a", "e"), ("e", "i"),
    ),
    "es": (("ón", "ones"), ("án", "anes"), ("ín", "ines"), ("z", "ces")),
    "pt": (("ão", "ões"), ("l", "is"), ("m", "ns")),
}  # fmt: skip

Emoji = str  # without the marks of presentation
Words = dict[str, set[Emoji]]


def plain(text: str) -> str:
    text = unicodedata.normalize("NFC", text).lower().strip()
    return text.replace("\u2019", "'").replace("\u200e", "").replace("\u200f", "")


def bare(emoji: str) -> Emoji:
    return emoji.replace("\ufe0f", "")


def concepts() -> dict[Emoji, str]:
    """Concept of each emoji that is one."""
    words = {}
    for row in rows(PICO / "concepts.tsv"):
        if ":" not in row["source"]:
            parts = [chr(int(part, 16)) for part in row["source"].split("-")]
            words["".join(parts)] = row["concept"]
    return words


def english() -> dict[str, str]:
    """Concept of each English word that names it."""
    words = {row["word"]: row["concept"] for row in rows(READING / "words.tsv") if not row["near"]}
    return words | {row["concept"]: row["concept"] for row in rows(PICO / "concepts.tsv")}


def annotations(modules: Path, language: str) -> tuple[dict[Emoji, str], Words]:
    """Names of emoji and, of each keyword, the emoji that it is said of."""
    folder = FOLDERS.get(language, language)
    path = modules / "cldr-annotations-full/annotations" / folder / "annotations.json"
    entries = json.loads(path.read_text("utf-8"))["annotations"]["annotations"]
    names: dict[Emoji, str] = {}
    keywords: Words = defaultdict(set)
    for emoji, entry in entries.items():
        if entry.get("tts"):
            names[bare(emoji)] = plain(entry["tts"][0])
        for word in entry.get("default", ()):
            keywords[plain(word)].add(bare(emoji))
    return joined(modules, language) | names, keywords


def joined(modules: Path, language: str) -> dict[Emoji, str]:
    """Names of emoji that are joined of several, such as an astronaut of a person and a rocket."""
    path = modules / "emojibase-data" / language.lower() / "data.json"
    if not path.exists():
        return {}
    entries = json.loads(path.read_text("utf-8"))
    return {bare(x["emoji"]).replace("\u200d", ""): plain(x["label"]) for x in entries}


def forms(name: str) -> Iterator[str]:
    """What a name is called in a sentence: "Astronaut(in)", "Koch/Köchin", "kok (mann)"."""
    if re.search(r"[:,]", name):
        return
    ending = re.fullmatch(r"(\w+)\((\w+)\)", name)
    if ending:
        yield from (ending[1], ending[1] + ending[2])
        return
    name = re.sub(rf"\s*[{BRACKETS}][^{BRACKETS}]*[{BRACKETS}]", "", name)
    for part in name.split("/") if " " not in name else [name]:
        if 0 < len(part.split()) <= LONGEST and not part.startswith("-"):
            yield part.strip()


def twins(emoji: set[Emoji], words: Words, of: Mapping[Emoji, set[str]]) -> set[str]:
    """The English keywords that are said of nearly the same emoji; the nearest ones alone."""
    close = {word for x in emoji for word in of[x] if len(words[word]) > 1}
    share = {word: len(words[word] & emoji) / len(words[word] | emoji) for word in close}
    best = max(share.values(), default=0.0)
    return {word for word in close if share[word] == best >= TWINS}


class Keywords:
    """What English keywords say about those of other languages."""

    def __init__(self, modules: Path) -> None:
        self.concept_of = {x.replace("\u200d", ""): name for x, name in concepts().items()}
        self.meaning = english()
        self.names, self.words = annotations(modules, "en")
        self.of: dict[Emoji, set[str]] = defaultdict(set)
        for word, emoji in self.words.items():
            for x in emoji:
                self.of[x].add(word)
        self.sure = {x: self._names(x) for x in self.concept_of}

    def _names(self, emoji: Emoji) -> int:
        """How many English keywords beside its name are said of an emoji alone; none unless all
        of them name its concept."""
        alone = [word for word in self.of[emoji] if len(self.words[word]) == 1]
        right = [word for word in alone if self.meaning.get(word) == self.concept_of[emoji]]
        return len(set(alone) - {self.names.get(emoji)}) if len(right) == len(alone) else 0

    def of_many(self, emoji: set[Emoji], beside: int) -> str | None:
        """Concept of a word that is said of these emoji, as are `beside` of its language."""
        english = twins(emoji, self.words, self.of)
        meant = {self.meaning.get(word) for word in english}
        drawn = {self.concept_of.get(x) for x in emoji} - {None}
        if len(meant) == 1 and meant <= drawn and beside <= len(english):
            return meant.pop()
        return None

    def of_one(self, emoji: Emoji, beside: int) -> str | None:
        """Concept of a word that is said of one emoji alone, as are `beside` of its language."""
        return self.concept_of[emoji] if beside <= self.sure.get(emoji, 0) else None


def is_part(word: str, name: str, language: str) -> bool:
    """Whether the word is the noun of a longer name, or such a name's longer form."""
    if len(word) < PART:
        return False
    parts = name.split()
    if len(parts) == 1:
        return name.endswith(word) or word.endswith(name)
    return word == parts[0 if language in NOUN_FIRST else -1]


def words_of(language: str, modules: Path, keywords: Keywords) -> dict[str, str]:
    """Of each word of a language that names a concept, the concept."""
    names, said = annotations(modules, language)
    meanings: dict[str, str] = {}
    for emoji, name in names.items():
        concept = keywords.concept_of.get(emoji)
        for form in forms(name) if concept else ():
            meanings.setdefault(form, concept or "")
    known = set(names.values())
    beside = Counter(frozenset(of) for word, of in said.items() if word not in known)
    for word, said_of in said.items():
        if word in known or re.search(rf"[:/{BRACKETS}]", word) or len(word.split()) > LONGEST:
            continue
        if len(said_of) > 1:
            meant = keywords.of_many(said_of, beside[frozenset(said_of)])
        else:
            (only,) = said_of
            meant = keywords.of_one(only, beside[frozenset(said_of)])
            if meant is None and is_part(word, names.get(only, ""), language):
                meant = keywords.concept_of.get(only)
        if meant:
            meanings.setdefault(word, meant)
    return {w: c for w, c in meanings.items() if len(w) >= SMALLEST.get(language, 3)}


def with_plurals(words: Mapping[str, str], language: str) -> dict[str, str]:
    forms = dict(words)
    for word, concept in words.items():
        for one, many in PLURALS.get(language, ()):
            if word.endswith(one) and " " not in word:
                forms.setdefault(word.removesuffix(one) + many, concept)
                break
    return forms


def by_hand() -> dict[str, dict[str, str]]:
    """Words by language; a word that stands for no concept ("-") is left out of all."""
    words: dict[str, dict[str, str]] = defaultdict(dict)
    for row in rows(BY_HAND):
        for language in LANGUAGES:
            for word in (row.get(language) or "").split("/"):
                if word.strip():
                    words[language][plain(word)] = row["concept"]
    return words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", type=Path, help="the node_modules with the packages")
    modules = parser.parse_args().modules
    keywords, hand = Keywords(modules), by_hand()
    lines = ["language\tword\tconcept"]
    for language in LANGUAGES:
        words = words_of(language, modules, keywords) | hand[language]
        words = with_plurals({w: c for w, c in words.items() if c != "-"}, language)
        lines += [f"{language}\t{word}\t{words[word]}" for word in sorted(words)]
        print(f"{language:8}{len(words):6} words, {len(set(words.values())):5} concepts")
    text = "\n".join(lines) + "\n"
    TARGET.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{len(lines) - 1} words, {TARGET.stat().st_size / 2**20:.2f} MB")


if __name__ == "__main__":
    main()
