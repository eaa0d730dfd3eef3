"""What img2img paints over: its images from wherever they come, its mask, its size."""

from dataclasses import dataclass, replace

from imagemill.catalog import Endpoint
from imagemill.dialects.sdapi import inpainting
from imagemill.dialects.sdapi.bodies import Img2img
from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import Draft
from imagemill.http.identity import own
from imagemill.images.data_uris import as_uri, data_uri
from imagemill.images.decode import MAX_SIDE, open_image, size_of
from imagemill.jobs.input_files import IMAGE_BYTES, STORED, Caller, Inline
from imagemill.jobs.service import Service
from imagemill.references import DATA
from imagemill.threads import DECODING

STRENGTH = 0.75  # where the caller leaves it open
BLUR = 4.0  # px, likewise
FILLS = {0: True, 1: False}  # inpainting_fill: the colours around, or what was there
NOISES = (2, 3)  # noise, and nothing: both are the same as what was there once all is noise


@dataclass(frozen=True)
class InitImages:
    """Where the images that a call names come from."""

    service: Service
    #: our own address
    base: str
    caller: Caller

    async def canvas(self, body: Img2img, endpoint: Endpoint) -> inpainting.Canvas:
        """What is painted over, in the size of what is painted."""
        brush, mode = _brush(body), body.resize_mode or 0
        if mode not in inpainting.FITS:
            raise invalid("resize_mode", f"resize_mode {mode} is not known; give 0, 1, 2 or 3")
        image = await self._content(_init_image(body), "image")
        mask = await self._content(body.mask, "mask") if body.mask else None
        width, height, original = body.width, body.height, None
        if width is None or height is None:
            original = await DECODING.run(open_image, image, "image")
            width = original.width if width is None else width
            height = original.height if height is None else height
        # Checked before anything is scaled to it.
        endpoint.generation(Draft("checked", width=width, height=height))
        size = width, height
        return await DECODING.run(inpainting.prepared, original or image, mask, size, mode, brush)

    async def _content(self, image: str, field: str) -> bytes:
        """The bytes of an image in base64, as a data URI or at an address."""
        reference = own(image, self.base) or ""
        if not reference.startswith((STORED, "http://", "https://")):
            reference = as_uri(image)
        async with self.service.read_input(reference, field, self.caller) as content:
            return content


def painted_over(draft: Draft, canvas: inpainting.Canvas, body: Img2img) -> Draft:
    """The draft with a canvas that it is painted over, whose images themselves are `inline`."""
    width, height = size_of(canvas.image)
    return replace(
        draft,
        width=width,
        height=height,
        image=DATA,
        mask=None if canvas.mask is None else DATA,
        strength=_strength(body),
    )


def inline(canvas: inpainting.Canvas | None) -> dict[str, Inline]:
    """The images of a canvas by their fields."""
    images = {} if canvas is None else {"image": canvas.image, "mask": canvas.mask}
    return {name: Inline(content) for name, content in images.items() if content is not None}


def _strength(body: Img2img) -> float:
    return STRENGTH if body.denoising_strength is None else body.denoising_strength


def _brush(body: Img2img) -> inpainting.Brush:
    fill = body.inpainting_fill or 0
    noise = fill in NOISES and _strength(body) == 1
    if fill not in FILLS and not noise:
        message = f"inpainting_fill {fill} is not known here; give 0 or 1"
        way_out = ", or denoising_strength 1, where all becomes noise" if fill in NOISES else ""
        raise invalid("inpainting_fill", message + way_out)
    padding = body.inpaint_full_res_padding or 0
    if padding < 0:
        raise invalid("inpaint_full_res_padding", "the padding is less than 0; give 0 or more px")
    blur = BLUR if body.mask_blur is None else body.mask_blur
    whole = body.inpaint_full_res is False
    return inpainting.Brush(
        invert=bool(body.inpainting_mask_invert),
        rounded=body.mask_round is not False,
        blur=(
            blur if body.mask_blur_x is None else body.mask_blur_x,
            blur if body.mask_blur_y is None else body.mask_blur_y,
        ),
        fill=FILLS.get(fill, False),
        padding=None if whole else min(padding, MAX_SIDE),
    )


def _init_image(body: Img2img) -> str:
    images = body.init_images or []
    if not images:
        raise Fault(Kind.NOT_FOUND, "init_images is empty; give one picture", "init_images")
    if len(images) > 1:
        raise invalid("image", f"{len(images)} init_images came; give one at a time")
    return images[0]


def decoded(text: str, field: str) -> bytes:
    """The bytes of base64, bare or in a data URI."""
    return data_uri(as_uri(text), field, IMAGE_BYTES)[0]
