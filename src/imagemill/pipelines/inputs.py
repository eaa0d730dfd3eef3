"""What comes with a generation, read: a picture to paint over, its mask, LoRAs; and the ways of a
picture between the size asked for and the canvas of a call. No torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from imagemill.errors import Fault, Kind
from imagemill.generation import MASKS, Generation, Input, LoraFile
from imagemill.images.decode import open_png
from imagemill.images.geometry import (
    BILINEAR,
    Raster,
    continued,
    covering,
    flattened,
    scaled,
    stretched,
    surrounded,
)
from imagemill.images.masks import Floats, opacity, softened
from imagemill.pipelines.calls import PipelineCall, Size
from imagemill.pipelines.cutouts import Foreground

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
class DecodedInputs:
    """picture, mask, control, ip_mask: of the size asked for. weights: in one order, however they
    were given. ip_image, references: of their own size. opacity: of the picture, where it is
    transparent anywhere. foreground: of the picture, where that is to be kept.
    """

    picture: Picture | None = None
    mask: Mask | None = None
    weights: tuple[Weights, ...] = ()
    control: Picture | None = None
    ip_image: Picture | None = None
    ip_mask: Mask | None = None
    references: tuple[Picture, ...] = ()
    opacity: Floats | None = None
    foreground: Foreground | None = None

    @property
    def open_to(self) -> Mask | None:
        """What may be painted, white; None where that is everything."""
        return self.mask if self.foreground is None else self.foreground.mask


NOTHING = DecodedInputs()


def read(generation: Generation, inputs: Mapping[str, Input]) -> DecodedInputs:
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
    return DecodedInputs(weights=tuple(weights), **_images(generation, inputs))


def _images(generation: Generation, inputs: Mapping[str, Input]) -> dict[str, Any]:
    """The images of a generation, as DecodedInputs has them."""
    size = generation.width, generation.height
    opened = {
        name: _opened(inputs, reference, name) for name, reference in generation.images.items()
    }
    masks = {name: opened.pop(name).convert("L") for name in MASKS & opened.keys()}
    images = {name: flattened(each) for name, each in opened.items()}
    clear = opacity(opened["image"]) if generation.keep_foreground else None
    if "mask" in masks and masks["mask"].size != images["image"].size:
        masks["mask"] = stretched(masks["mask"], images["image"].size, BILINEAR)
    read: dict[str, Any] = {
        kind: np.asarray(covering(images[name], size))
        for name, kind in (("image", "picture"), ("control_image", "control"))
        if name in images
    }
    read |= {
        kind: np.asarray(covering(masks[name], size, BILINEAR))
        for name, kind in (("mask", "mask"), ("ip_adapter_mask", "ip_mask"))
        if name in masks
    }
    if "ip_adapter_image" in images:
        read["ip_image"] = np.asarray(images["ip_adapter_image"])
    if clear is not None:
        read["opacity"] = np.asarray(covering(clear, size), np.float32) / 255
    of = range(len(generation.references))
    read["references"] = tuple(np.asarray(images[f"references.{number}"]) for number in of)
    return read


def _input(inputs: Mapping[str, Input], reference: str, field: str, kind: type[T]) -> T:
    content = inputs.get(reference)
    if not isinstance(content, kind):
        raise Fault(Kind.FAILED, f"the file for {field} was not handed on; try again", field)
    return content


def _opened(inputs: Mapping[str, Input], reference: str, field: str) -> Raster:
    return open_png(_input(inputs, reference, field, bytes), field)


def resized(picture: Picture, width: int, height: int) -> Picture:
    return scaled(picture, (width, height))


def placed(picture: Picture, call: PipelineCall) -> Picture:
    """In the middle of the call's canvas, its edges continued outwards."""
    return continued(scaled(picture, call.inside), (call.width, call.height))


def placed_mask(mask: Mask, call: PipelineCall) -> Mask:
    """As the picture is; what lies around it is kept."""
    return surrounded(scaled(mask, call.inside, BILINEAR), (call.width, call.height), 0)


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


def kept(decoded: DecodedInputs, painted: Picture) -> Picture:
    """`painted`, with what of the picture that came was to be kept."""
    if decoded.foreground is not None:
        return decoded.foreground.before(painted)
    if decoded.mask is None or decoded.picture is None:
        return painted
    return pasted(decoded.picture, painted, decoded.mask)


def pasted(original: Picture, painted: Picture, mask: Mask) -> Picture:
    """`painted` where the mask is white, `original` to the byte where it is black.

    The edge is softened on the white side alone.
    """
    share = softened(mask, min(mask.shape) / _FEATHER)[..., None]
    mixed = original + (painted.astype(np.float32) - original) * share
    result: Picture = mixed.round().astype(np.uint8)
    return result
