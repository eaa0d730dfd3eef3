"""The words that pico knows (`vocabulary.json`), and the rules that find them in a prompt."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

PATH = Path(__file__).parent / "vocabulary.json"

# What parts words: all but ASCII letters and digits and the blocks of other scripts' letters. Those
# belong to a word: "décar" must not be read as "car". These are characters by the time a pattern is
# read: escapes mean something else to Oniguruma.
_PARTING = "[^a-z0-9,\u00c0-\u1fff\u2c00-\u2dff\u3040-\ufdff\uff10-\uffef\U00010000-\U0001efff]"
_PAUSE = "[.;:!?\n\r\u2026\u3001\u3002]"
# "A cat and a dog" are painted side by side; "and a blue background" is none of the two.
_GROUND = (
    "(?:gradient )?(?:background|backdrop|ground|gradient|sky|night|sea|ocean|grass|meadow|lawn)"
)
_PAIRING = f"and(?= (?:a|an|one) (?!(?:[^ ,]+ )?{_GROUND}(?![^ ,])))"

Rule = tuple[str, str]  # a pattern, and what takes its place


@dataclass(frozen=True)
class Vocabulary:
    """`words`: canonical ones by kind. `synonyms` say them otherwise. `fillers` mean nothing."""

    words: dict[str, list[str]]
    synonyms: dict[str, list[str]]
    fillers: list[str]

    @property
    def canonical(self) -> list[str]:
        return [word for kind in self.words.values() for word in kind]

    @cached_property
    def rules(self) -> list[Rule]:
        """Turn a prompt in lower case into words, single spaces and commas, without synonyms.

        Read by Python's `re` and by the tokenizer's Oniguruma alike, so that what is reported as
        unknown is what the model does not get. Each is linear in the prompt's length.
        """
        return [
            (_PAUSE, ","),
            (_PARTING, " "),
            (" +", " "),
            (f", ?(?={_PAIRING})", " "),  # "a cat, a dog, and a bird"
            (f"(?<![^ ,]){_PAIRING}", "left"),
            *((whole(said), word) for word, said in self.synonyms.items()),
        ]

    @cached_property
    def _compiled(self) -> list[tuple[re.Pattern[str], str]]:
        return [(re.compile(pattern), by) for pattern, by in self.rules]

    def unknown(self, prompt: str) -> list[str]:
        """The words of `prompt` that the model does not know and ignores, once each, in order."""
        text = prompt.lower()
        for pattern, by in self._compiled:
            text = pattern.sub(by, text)
        known = {*self.canonical, *self.fillers}
        words = dict.fromkeys(text.replace(",", " ").split())
        return [word for word in words if word not in known]


def whole(phrases: Iterable[str]) -> str:
    """A pattern of any of `phrases` as whole words, longest first, where spaces are single."""
    return rf"(?<![^ ,])(?:{'|'.join(sorted(phrases, key=len, reverse=True))})(?![^ ,])"


@cache
def vocabulary() -> Vocabulary:
    return Vocabulary(**json.loads(PATH.read_text("utf-8")))
