"""What img2img paints over: its pictures from wherever they come, its mask, its size."""

from dataclasses import dataclass
from typing import Any

from imagemill.catalog import Endpoint
from imagemill.dialects.callers import own
from imagemill.dialects.sdapi import inpainting
from imagemill.dialects.sdapi.bodies import Img2img
from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import DATA
from imagemill.images.data_uris import as_data_uri, data_uri, unbroken
from imagemill.images.decode import MAX_SIDE, open_image, size_of
from imagemill.input_files import OWN
from imagemill.materials import DATA_BYTES
from imagemill.service import Service
from imagemill.threads import BODIES, DECODING

STRENGTH = 0.75  # where the caller leaves it open
BLUR = 4.0  # px, likewise
FILLS = {0: True, 1: False}  # inpainting_fill: the colours around, or what was there
NOISES = (2, 3)  # noise, and nothing: both are the same as what was there once all is noise


@dataclass(frozen=True)
class Canvases:
    """Where pictures that are named come from, and who names them."""

    service: Service
    base: str
    caller: str
    person: str  # the caller, told apart by address where there is no credential
    local: bool = False  # on this machine

    async def canvas(self, asked: Img2img, endpoint: Endpoint) -> inpainting.Canvas:
        """What is painted over, in the size of what is painted."""
        brush, mode = _brush(asked), asked.resize_mode or 0
        if mode not in inpainting.FITS:
            raise invalid("resize_mode", f"resize_mode {mode} is not known; give 0, 1, 2 or 3")
        image = await self._content(_init_image(asked), "image")
        mask = await self._content(asked.mask, "mask") if asked.mask else None
        width, height, original = asked.width, asked.height, None
        if width is None or height is None:
            original = await DECODING.run(open_image, image, "image")
            width = original.width if width is None else width
            height = original.height if height is None else height
        # Checked before anything is scaled to it.
        endpoint.generation("checked", "png", width=width, height=height)
        size = width, height
        return await DECODING.run(inpainting.prepared, original or image, mask, size, mode, brush)

    async def _content(self, given: str, field: str) -> bytes:
        """The bytes of a picture in base64, as a data URI or at an address."""
        reference = own(given, self.base) or ""
        if reference.startswith(OWN):
            file = await self.service.objects.get(reference.removeprefix(OWN))
            if file is None or not file.open_to(self.caller):
                raise Fault(Kind.UNREACHABLE, "there is no such file here, or no longer", field)
            return await self.service.objects.read(file.key)
        if reference.startswith(("http://", "https://")):
            try:
                async with self.service.fetched(reference, self.person, self.local) as content:
                    return content
            except Fault as fault:
                raise Fault(fault.kind, fault.message, field, fault.retry_after) from None
        return await BODIES.run(decoded, given, field)


def painted_over(canvas: inpainting.Canvas, asked: Img2img) -> dict[str, Any]:
    """A canvas, in the words of a Generation."""
    width, height = size_of(canvas.image)
    return {
        "width": width,
        "height": height,
        "image": as_data_uri(canvas.image, "image/png"),
        "mask": None if canvas.mask is None else as_data_uri(canvas.mask, "image/png"),
        "strength": _strength(asked),
    }


def _strength(asked: Img2img) -> float:
    return STRENGTH if asked.denoising_strength is None else asked.denoising_strength


def _brush(asked: Img2img) -> inpainting.Brush:
    fill = asked.inpainting_fill or 0
    noise = fill in NOISES and _strength(asked) == 1
    if fill not in FILLS and not noise:
        told = f"inpainting_fill {fill} is not known here; give 0 or 1"
        way_out = ", or denoising_strength 1, where all becomes noise" if fill in NOISES else ""
        raise invalid("inpainting_fill", told + way_out)
    padding = asked.inpaint_full_res_padding or 0
    if padding < 0:
        raise invalid("inpaint_full_res_padding", "the padding is less than 0; give 0 or more px")
    blur = BLUR if asked.mask_blur is None else asked.mask_blur
    whole = asked.inpaint_full_res is False
    return inpainting.Brush(
        invert=bool(asked.inpainting_mask_invert),
        rounded=asked.mask_round is not False,
        blur=(
            blur if asked.mask_blur_x is None else asked.mask_blur_x,
            blur if asked.mask_blur_y is None else asked.mask_blur_y,
        ),
        fill=FILLS.get(fill, False),
        padding=None if whole else min(padding, MAX_SIDE),
    )


def _init_image(asked: Img2img) -> str:
    given = asked.init_images or []
    if not given:
        raise Fault(Kind.NOT_FOUND, "init_images is empty; give one picture", "init_images")
    if len(given) > 1:
        raise invalid("image", f"{len(given)} init_images came; give one at a time")
    return given[0]


def decoded(given: str, field: str) -> bytes:
    """The bytes of base64, bare or in a data URI."""
    bare = unbroken(given)
    uri = bare if bare.startswith(DATA) else f"data:image/png;base64,{bare}"
    return data_uri(uri, field, DATA_BYTES)[0]
