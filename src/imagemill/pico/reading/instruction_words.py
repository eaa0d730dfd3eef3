"""The words of `instructions.toml`, by language, and what names one of several images."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache

from imagemill.pico.reading.languages import lexicon_of
from imagemill.pico.reading.lexicon import FOLDER, parted

_CARD = r"(?:<img>\s*)?<\|image_(\d)\|>(?:\s*</img>)?"  # as OmniGen's own prompts name an image


@cache
def words_by_language() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """By table and language, the longest first."""
    tables = tomllib.loads((FOLDER / "instructions.toml").read_text("utf-8"))
    return {
        name: {
            code: tuple(sorted(parted(words), key=len, reverse=True))
            for code, words in rows.items()
        }
        for name, rows in tables.items()
    }


@cache
def ordinals(language: str) -> Mapping[str, str]:
    """Numbers by their words."""
    return dict(each.split("=") for each in words_by_language()["ordinals"].get(language, ()))


@cache
def image_name(language: str) -> re.Pattern[str]:
    """What names one of the images: "from image 1", "in the second picture"."""
    table = words_by_language()["image"]
    words = "|".join(map(re.escape, table.get(language) or table["en"]))
    numbers = "|".join(map(re.escape, ordinals(language))) or r"(?!)"
    if lexicon_of(language).joined:
        return re.compile(rf"{_CARD}|(?:{words})\s*(\d)(?:里的|中的|的|里|中)?", re.IGNORECASE)
    before = r"(?:(?<!\w)\w{1,6}\s+)?(?:(?<!\w)(?:the|dem|der|la|l'|el|de|a|o)\s*)?"
    return re.compile(
        rf"{before}(?:{_CARD}|(?<!\w)(?:{words})\s*#?(\d)(?!\w)"
        rf"|(?<!\w)({numbers})\s+(?:{words})(?!\w))",
        re.IGNORECASE,
    )
