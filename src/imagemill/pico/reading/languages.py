"""Which language a prompt is in, and the lexicon of it.

English where nothing speaks for another: by script first, then by small words and by how many of
its words are known.
"""

import csv
import gzip
import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Mapping
from functools import cache

from imagemill.pico.concepts import concepts, rows
from imagemill.pico.reading.lexicon import (
    FOLDER,
    Lexicon,
    english,
    parted,
    plain,
    words_of,
)

SOME = 80  # words that a language is told by
STEM = 4  # letters that two forms of a word share, at least
SIZES = {"tiny": "0.45", "small": "0.65", "big": "1.3", "huge": "1.6"}
# Tables of languages.toml that give words of a kind.
OWN = ("definite", "article", "with", "and", "negation", "of", "possessive")
NAMED = {"zh-Hant": "zh"}  # read as one


@cache
def habits() -> Mapping[str, Mapping[str, str]]:
    loaded: dict[str, dict[str, str]] = tomllib.loads(
        (FOLDER / "languages.toml").read_text("utf-8")
    )
    return loaded


@cache
def common() -> dict[str, frozenset[str]]:
    return {
        code: frozenset(plain(word) for word in parted(words))
        for code, words in habits()["common"].items()
    }


@cache
def names() -> dict[str, dict[str, str]]:
    """Of each language, its words for things."""
    tables: dict[str, dict[str, str]] = {}
    known = concepts()
    path = FOLDER / "languages.tsv.gz"
    if path.exists():
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                if row["concept"] in known:
                    code = NAMED.get(row["language"], row["language"])
                    tables.setdefault(code, {}).setdefault(row["word"], row["concept"])
    return tables


@cache
def small() -> dict[str, list[tuple[str, str, str]]]:
    """Of each language, its words for anything else: kind, word, value."""
    tables: dict[str, list[tuple[str, str, str]]] = {}
    for row in rows(FOLDER / "languages_small.tsv"):
        code = NAMED.get(row["language"], row["language"])
        kind, _, value = row["meaning"].partition(":")
        tables.setdefault(code, []).append((kind, row["word"], value))
    return tables


def language_of(prompt: str) -> str:
    """The code of the prompt's language."""
    text = unicodedata.normalize("NFC", prompt[: SOME * 12]).casefold()
    letters = [c for c in text if c.isalpha()]
    if not letters:
        return "en"
    foreign = Counter(code for c in letters if c > "\u036f" for code in _script(c))
    dense = sum(c > "\u2e7f" for c in letters)  # a letter of these is half a word
    if foreign and foreign.total() + 3 * dense > len(letters) / 3:
        candidates = [code for code, _ in foreign.most_common()]
        if "ja" in foreign and foreign["ja"] * 8 > foreign["zh"]:
            return "ja"
        first = [code for code in candidates if foreign[code] == foreign[candidates[0]]]
        return first[0] if len(first) == 1 else _likeliest(text, first)
    return _likeliest(text, [code for code in common() if code not in _scripted()])


def _script(letter: str) -> list[str]:
    for extent, codes in _scripts():
        if extent[0] <= letter <= extent[1]:
            return codes
    return []


@cache
def _scripts() -> list[tuple[tuple[str, str], list[str]]]:
    ranges = []
    for value in habits()["scripts"].values():
        extent, *codes = value.split()
        ranges.append(((extent[0], extent[2]), codes))
    return ranges


@cache
def _scripted() -> frozenset[str]:
    return frozenset(code for _, codes in _scripts() for code in codes)


def _likeliest(text: str, codes: list[str]) -> str:
    words = re.findall(r"[^\W\d_]+(?:'(?=[^\W\d_]))?", text)[:SOME]
    if "en" in codes:
        known = english()
        scores = {"en": sum(_english_weight(word, known) for word in words)}
        if scores["en"] >= 0.8 * len(words):
            return "en"
    else:
        scores = {}
    for code in codes:
        if code != "en":
            scores[code] = sum(_weight(word, code) for word in words)
    best = max(scores, key=scores.__getitem__)  # the first of equals
    return best if scores[best] > 0 else codes[0]


def _english_weight(word: str, known: Lexicon) -> float:
    if word in common()["en"]:
        return 1
    return 0.9 if word in known.words or known.senses((word,))[0] else 0


def _weight(word: str, code: str) -> float:
    if word in common()[code]:
        return 1
    if len(word) > 2 and word in _vocabulary(code):
        return 0.9
    return 0


@cache
def _vocabulary(code: str) -> frozenset[str]:
    said = [*names().get(code, {}), *(word for _, word, _ in small().get(code, []))]
    return frozenset(part for word in said for part in plain(word).split())


@cache
def lexicon_of(code: str) -> Lexicon:
    """English words stay known within other scripts: "猫 pixel art"."""
    if code == "en":
        return english()
    lexicon = Lexicon(concepts=concepts(), emoji=english().emoji, classes=english().classes)
    lexicon.grounds = english().grounds
    habit = habits()["habits"]
    for trait in habit:
        if code in parted(habit[trait]):
            lexicon.habits.add(trait)
    lexicon.elisions = _pairs("elisions", code)
    _add_small_words(lexicon, code)
    _add_names(lexicon, code)
    lexicon.prefixes = _listed("prefixes", code)
    lexicon.plurals = _listed("plurals", code)
    lexicon.endings = tuple(_pairs("endings", code).items())
    if "letters" in lexicon.habits:
        _add_joined(lexicon)
    else:
        _add_stems(lexicon)
    lexicon.fallback = english() if code in _scripted() else None
    return lexicon


def _listed(table: str, code: str) -> tuple[str, ...]:
    return tuple(parted(habits()[table].get(code, "")))


def _pairs(table: str, code: str) -> dict[str, str]:
    return dict(each.split("=") for each in _listed(table, code))


def _add_small_words(lexicon: Lexicon, code: str) -> None:
    for kind in OWN:
        for said in _listed(kind, code):
            lexicon.add(said, kind, kind)
    for number, value in _pairs("numbers", code).items():
        for counter in _listed("counters", code):
            _add_small(lexicon, "count", f"{number} {counter}", value, False)
    eating, left_out = _listed("eating", code), _listed("not_relations", code)
    for kind, said, value in small().get(code, []):
        if said not in left_out:
            _add_small(lexicon, kind, said, value, said in eating)
    for said in common().get(code, ()):
        lexicon.add(said, "silent", "silent")


def _add_names(lexicon: Lexicon, code: str) -> None:
    lexicon.not_things.update(words_of(said) for said in _listed("not_things", code))
    for said, concept in names().get(code, {}).items():
        lexicon.add(said, "thing", concept)


def _add_joined(lexicon: Lexicon) -> None:
    for phrase in lexicon.phrases:
        said = "".join(phrase)
        lexicon.lengths[said[0]] = max(lexicon.lengths.get(said[0], 0), len(said))
        lexicon.joined[said] = phrase
        lexicon.words.update(phrase)


def _add_small(lexicon: Lexicon, kind: str, said: str, value: str, eating: bool) -> None:
    if kind == "relation":
        if {"and", "with"} & lexicon.phrases.get(words_of(said), {}).keys():
            return
        second = value in ("holds", "wears") or eating
        lexicon.add(said, kind, f"{value}/{'second' if second else 'first'}")
    elif kind == "count" and value == "1":
        lexicon.add(said, "article", "article")
    elif kind == "size":
        lexicon.add(said, kind, SIZES[value])
    else:
        lexicon.add(said, kind, value)


def _add_stems(lexicon: Lexicon) -> None:
    """Beginnings of words, by which an inflected form is found."""
    for phrase in lexicon.phrases:
        if len(phrase) == 1 and len(phrase[0]) >= STEM:
            for letters in range(max(STEM - 1, len(phrase[0]) - 1), len(phrase[0]) + 1):
                lexicon.stems.setdefault(phrase[0][:letters], phrase[0])
