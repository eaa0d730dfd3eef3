"""The words that pico knows. Data: `vocabulary.json` beside this file."""

import json
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

PATH = Path(__file__).parent / "vocabulary.json"


@dataclass(frozen=True)
class Vocabulary:
    """`words` are the canonical words by kind; `synonyms` say them otherwise; `fillers` mean nothing."""

    words: dict[str, list[str]]
    synonyms: dict[str, list[str]]
    fillers: list[str]

    @property
    def canonical(self) -> list[str]:
        return [word for kind in self.words.values() for word in kind]

    @cached_property
    def _known(self) -> frozenset[str]:
        phrases = [
            *self.canonical,
            *self.fillers,
            *(s for many in self.synonyms.values() for s in many),
        ]
        return frozenset(word for phrase in phrases for word in phrase.split())

    def unknown(self, prompt: str) -> list[str]:
        """The words of `prompt` that the model does not know and will ignore, once each, in order."""
        words = dict.fromkeys(re.findall(r"[^\W_]+", prompt.lower()))
        return [word for word in words if word not in self._known]


@cache
def vocabulary() -> Vocabulary:
    return Vocabulary(**json.loads(PATH.read_text("utf-8")))
