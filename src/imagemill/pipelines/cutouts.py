"""Cut-outs: the foreground of an image, to stand before another background, kept to the byte."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagemill.errors import Fault, Kind
from imagemill.images.masks import Floats, filled

Pixels = NDArray[np.uint8]  # (height, width, 3)
LEAST, MOST = 0.002, 0.995  # of an image that its foreground covers
SOFT = 2.0  # from an alpha of 1 - 1 / SOFT down, colours are those of the foreground nearby


@dataclass(frozen=True)
class Foreground:
    """pixels: the image; at soft edges what the foreground has of their colours. alpha: (height,
    width), how far the foreground covers each pixel, 0 to 1.
    """

    pixels: Pixels
    alpha: Floats

    def before(self, background: Pixels) -> Pixels:
        """The foreground before a background of its size: its own bytes wherever it is whole."""
        alpha = self.alpha[..., None]
        mixed: Pixels = (self.pixels * alpha + background * (1 - alpha)).round().astype(np.uint8)
        return np.where(alpha == 1, self.pixels, mixed)

    @property
    def mask(self) -> Pixels:
        """White where anything is painted: (height, width)."""
        return np.where(self.alpha < 1, 255, 0).astype(np.uint8)


def cut_out(image: Pixels, alpha: Floats) -> Foreground:
    """Raises a Fault where nothing stands out from a background, or nothing else is there."""
    share = float(alpha.mean())
    if share < LEAST:
        raise _unusable("nothing stands out from its background", "that shows something")
    if share > MOST:
        raise _unusable("it is foreground all over", "with a background to replace")
    whole = alpha == 1
    if not whole.any() or whole.all():
        return Foreground(image, alpha)
    # A soft edge has some of the old background in its colours; the foreground nearby has none.
    inner = np.asarray(filled(Image.fromarray(image), Image.fromarray(~whole)), np.float32)
    taken = np.minimum(1, SOFT * (1 - alpha))[..., None]
    pixels = (image + (inner - image) * taken).round().clip(0, 255).astype(np.uint8)
    return Foreground(np.where(whole[..., None], image, pixels), alpha)


def _unusable(what: str, which: str) -> Fault:
    message = f"in the image {what}, as far as can be told here; send one {which}"
    return Fault(Kind.UNREADABLE, f"{message}, or one with transparency around it", "image")
