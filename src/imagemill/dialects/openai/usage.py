"""Tokens, counted as OpenAI's price list counts them for gpt-image-1, as near as can be told."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Words and marks: the tokenizer itself is not here, and its count differs by a few.
_WORD = re.compile(r"\w+|[^\w\s]")

# Of an image that came in: so many, and more for each tile, once its shorter side is 512 px.
IMAGE_TOKENS, TILE_TOKENS, TILE = 65, 129, 512
# The side in px of the patch that a token of a finished image stands for; each row of patches
# has one more. This gives every number of OpenAI's table of sizes and qualities.
PATCH: Mapping[str, int] = {"low": 64, "medium": 32, "high": 16, "xhigh": 16, "max": 16}
PARTIAL = 100  # tokens of a partial image


@dataclass(frozen=True)
class Usage:
    """The tokens of a call, each 0 or more."""

    #: Of the prompt.
    text: int
    #: Of the images that came in.
    image: int
    #: Of the images that went out.
    output: int

    def body(self) -> dict[str, Any]:
        inputs = self.text + self.image
        return {
            "total_tokens": inputs + self.output,
            "input_tokens": inputs,
            "output_tokens": self.output,
            "input_tokens_details": {"text_tokens": self.text, "image_tokens": self.image},
            "output_tokens_details": {"text_tokens": 0, "image_tokens": self.output},
        }


def of_text(text: str) -> int:
    return len(_WORD.findall(text))


def of_input_image(width: int, height: int) -> int:
    scale = min(1.0, TILE / min(width, height))
    tiles = math.ceil(round(width * scale) / TILE) * math.ceil(round(height * scale) / TILE)
    return IMAGE_TOKENS + TILE_TOKENS * tiles


def of_output_image(width: int, height: int, quality: str) -> int:
    patch = PATCH[quality]
    rows, columns = math.ceil(height / patch), math.ceil(width / patch)
    return rows * (columns + 1)
