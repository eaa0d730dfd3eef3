"""What is done to a finished picture without a model: styles, palettes, tracing."""

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from imagemill.conditions import StyleVector, Swatch
from imagemill.finishing import styles
from imagemill.finishing.palette import bring_closer
from imagemill.finishing.planes import from_bytes, to_bytes
from imagemill.finishing.style_transfer import bring_to_style
from imagemill.finishing.style_vectors import medium_words
from imagemill.finishing.styles import STYLES, words
from imagemill.finishing.tracing import trace

__all__ = ["STYLES", "finish", "medium_words", "trace", "words"]


def finish(
    pixels: NDArray[np.uint8],
    style: str | None,
    palette: tuple[Swatch, ...],
    vector: StyleVector | None = None,
    *,
    filters: bool,
) -> NDArray[np.uint8]:
    """The picture in `style`, near `vector` and near `palette`, of the same size; the same each
    time, and the very same where nothing is to be done.

    filters: whether the style is made here, or the model was told its words.
    """
    steps = styles.find(style).filters if style is not None else ()
    if steps and filters:
        pixels = to_bytes(reduce(lambda picture, step: step(picture), steps, from_bytes(pixels)))
    if vector is not None:
        pixels = bring_to_style(pixels, vector)
    return bring_closer(pixels, palette) if palette else pixels
