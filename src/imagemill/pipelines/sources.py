"""What comes with a generation, read: a picture to paint over, its mask, LoRAs; and the ways of a
picture between the size asked for and the canvas of a call. No torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from imagemill.errors import Fault, Kind
from imagemill.generation import Generation, Input, LoraFile
from imagemill.pipelines.calls import PipelineCall, Size

T = TypeVar("T")
Picture = NDArray[np.uint8]  # (height, width, 3)
Mask = NDArray[np.uint8]  # (height, width), white is repainted
_FEATHER = 256  # the soft edge of a mask, as a part of the picture's shorter side


@dataclass(frozen=True)
class Weights:
    """A LoRA's file and how strongly it is applied; equal by what is in the file."""

    digest: str
    scale: float
    file: LoraFile = field(compare=False, repr=False)

    @property
    def size(self) -> int:
        """In bytes."""
        return self.file.size


@dataclass(frozen=True)
class Given:
    """picture, mask: of the size asked for. weights: in one order, however they were given."""

    picture: Picture | None = None
    mask: Mask | None = None
    weights: tuple[Weights, ...] = ()


NOTHING = Given()


def read(generation: Generation, inputs: Mapping[str, Input]) -> Given:
    """What the references of a generation stand for; raises a Fault where a file is unreadable.

    A LoRA of scale 0 changes nothing and is left out.
    """
    weights = [
        Weights(file.digest, lora.scale, file)
        for lora in generation.loras
        for file in [_input(inputs, lora.path, "loras", LoraFile)]
        if lora.scale != 0
    ]
    weights.sort(key=lambda each: (each.digest, each.scale))
    if generation.image is None:
        return Given(weights=tuple(weights))
    image = _flat(_opened(inputs, generation.image, "image"))
    size = generation.width, generation.height
    picture = ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    if generation.mask is None:
        return Given(np.asarray(picture), None, tuple(weights))
    mask = _opened(inputs, generation.mask, "mask").convert("L")
    if mask.size != image.size:
        mask = mask.resize(image.size, Image.Resampling.BILINEAR)
    mask = ImageOps.fit(mask, size, Image.Resampling.BILINEAR)
    return Given(np.asarray(picture), np.asarray(mask), tuple(weights))


def _input(inputs: Mapping[str, Input], reference: str, field: str, kind: type[T]) -> T:
    found = inputs.get(reference)
    if not isinstance(found, kind):
        raise Fault(Kind.FAILED, f"the file for {field} was not handed on; try again", field)
    return found


def _opened(inputs: Mapping[str, Input], reference: str, field: str) -> Image.Image:
    try:
        image = Image.open(BytesIO(_input(inputs, reference, field, bytes)), formats=["PNG"])
        image.load()
    except (OSError, SyntaxError, ValueError):  # what Pillow raises for broken files
        raise Fault(Kind.UNREADABLE, f"the {field} is no whole PNG file", field) from None
    return image


def _flat(image: Image.Image) -> Image.Image:
    """On white where it is transparent: no model here paints transparency."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")


def resized(picture: Picture, width: int, height: int) -> Picture:
    return _scaled(picture, (width, height), Image.Resampling.LANCZOS)


def placed(picture: Picture, call: PipelineCall) -> Picture:
    """In the middle of the call's canvas, its edges continued outwards."""
    scaled = _scaled(picture, call.inside, Image.Resampling.LANCZOS)
    return np.pad(scaled, (*_around(scaled, call), (0, 0)), mode="edge")


def placed_mask(mask: Mask, call: PipelineCall) -> Mask:
    """As the picture is; what lies around it is kept."""
    scaled = _scaled(mask, call.inside, Image.Resampling.BILINEAR)
    return np.pad(scaled, _around(scaled, call))


def cellwise(mask: Mask, cell: int) -> Mask:
    """Black or white, and alike within a latent's cell: pipelines read one pixel of each.

    A cell of which any pixel is repainted is white. Sides are multiples of `cell`.
    """
    height, width = mask.shape
    cells = mask.reshape(height // cell, cell, width // cell, cell).max(axis=(1, 3)) > 127
    return np.kron(cells, np.ones((cell, cell), np.uint8)).astype(np.uint8) * 255


def finished(picture: Picture, call: PipelineCall, size: Size) -> Picture:
    """What was painted on a call's canvas, in the size asked for."""
    width, height = call.inside
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return resized(picture[top : top + height, left : left + width], *size)


def pasted(original: Picture, painted: Picture, mask: Mask) -> Picture:
    """`painted` where the mask is white, `original` to the byte where it is black.

    The edge is softened on the white side alone.
    """
    radius = min(mask.shape) / _FEATHER
    soft = np.asarray(Image.fromarray(mask).filter(ImageFilter.GaussianBlur(radius)))
    share = (mask.astype(np.float32) * soft / 255**2)[..., None]
    mixed = original + (painted.astype(np.float32) - original) * share
    result: Picture = mixed.round().astype(np.uint8)
    return result


def _scaled(pixels: NDArray[np.uint8], size: Size, by: Image.Resampling) -> NDArray[np.uint8]:
    if pixels.shape[1::-1] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, by))


def _around(pixels: NDArray[np.uint8], call: PipelineCall) -> tuple[Size, Size]:
    """Rows above and below, columns before and behind."""
    height, width = pixels.shape[:2]
    top, left = (call.height - height) // 2, (call.width - width) // 2
    return (top, call.height - height - top), (left, call.width - width - left)
