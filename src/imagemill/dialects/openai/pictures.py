"""Pictures that callers give, made ready to paint over; and finished ones in other clothes."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageOps

from imagemill import images, inputs
from imagemill.dialects.callers import own
from imagemill.dialects.openai.usage import of_given
from imagemill.dialects.openai.words import Wrong
from imagemill.errors import Fault, Kind
from imagemill.generation import Format
from imagemill.materials import DATA, OWN
from imagemill.service import DATA_KEPT, Service

WRITTEN = 92  # the quality of JPEG and WebP files here; a higher one would add nothing but bytes


@dataclass(frozen=True)
class Given:
    """What is painted over, as files of ours. tokens: of the images. prompt: of a picture that was
    painted here, as it tells itself.
    """

    image: str
    mask: str | None
    tokens: int
    prompt: str | None


@dataclass(frozen=True)
class Desk:
    """Where pictures are made ready, for one caller. base: our own address."""

    service: Service
    caller: str
    base: str

    async def given(
        self,
        pictures: Sequence[bytes | str],
        mask: bytes | str | None,
        size: tuple[int, int] | None,
        fades: bool,
    ) -> Given:
        """size: of what will be painted, None for that of the first image. fades: an image's own
        transparency is its mask where there is no other.
        """
        if mask is not None and len(pictures) > 1:
            told = "a mask cannot be told apart among several images; send one image with a mask"
            raise Fault(Kind.UNSUPPORTED, told, "mask")
        contents = [await self._content(each, "image") for each in pictures]
        clean = [await asyncio.to_thread(inputs.read_image, each, "image") for each in contents]
        masked: bytes | None = None
        if mask is not None:
            masked = await asyncio.to_thread(_mask, await self._content(mask, "mask"))
        elif fades and len(clean) == 1:
            masked = await asyncio.to_thread(inputs.read_alpha, clean[0], "image")
        sizes = [images.size_of(each) for each in clean]
        whole = clean[0]
        if len(clean) > 1:
            whole = await asyncio.to_thread(collage, clean, size or sizes[0])
        return Given(
            await self._keep(whole),
            None if masked is None else await self._keep(masked),
            sum(of_given(*each) for each in sizes),
            _prompt_of(contents[0]),
        )

    async def _content(self, given: bytes | str, field: str) -> bytes:
        if isinstance(given, bytes):
            return given
        service, reference = self.service, own(given, self.base) or ""
        try:
            if reference.startswith(DATA):
                # The body that it came in was bounded already.
                return inputs.data_uri(reference, field, len(reference))[0]
            if not given.startswith(("http://", "https://")):
                told = f"{field}: {given!r:.80} is no address; give https://... or a data URI"
                raise Wrong(told, field)
            if not reference.startswith(OWN):
                return (await service.fetcher.get(reference)).content
            key = reference.removeprefix(OWN)
            file = await service.objects.get(key)
            if file is None or not file.open_to(self.caller):
                raise Fault(Kind.UNREACHABLE, "there is no such file here, or no longer")
            return await service.objects.read(key)
        except Wrong:
            raise
        except Fault as fault:
            raise Fault(fault.kind, fault.message, field, fault.retry_after) from None

    async def _keep(self, content: bytes) -> str:
        file = await self.service.objects.put(
            content, images.MEDIA_TYPES["png"], caller=self.caller, keep=DATA_KEPT, public=False
        )
        return OWN + file.key


def collage(pictures: Sequence[bytes], size: tuple[int, int]) -> bytes:
    """Several images as one, side by side in rows, each filling its field."""
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", size, "white")
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        in_row = min(columns, len(pictures) - row * columns)  # the last row may have fewer
        left, right = (size[0] * at // in_row for at in (column, column + 1))
        top, bottom = (size[1] * at // rows for at in (row, row + 1))
        with Image.open(BytesIO(picture)) as image:
            flat = Image.new("RGBA", image.size, "white")
            flat.alpha_composite(image.convert("RGBA"))
        sheet.paste(ImageOps.fit(flat.convert("RGB"), (right - left, bottom - top)), (left, top))
    return _saved(sheet, "png")


def converted(preview: bytes, format: Format) -> bytes:
    """A JPEG in another format."""
    if format == "jpeg":
        return preview
    with Image.open(BytesIO(preview)) as image:
        return _saved(image, format)


def compressed(picture: bytes, format: Format, quality: int) -> bytes:
    """A JPEG or WebP file with less of its bytes; what it tells of itself stays."""
    buffer = BytesIO()
    with Image.open(BytesIO(picture)) as image:
        told = image.info.get("exif", b"")
        image.save(buffer, format, quality=max(1, quality), exif=told)
    return buffer.getvalue()


def _mask(content: bytes) -> bytes:
    found = inputs.read_alpha(content, "mask")
    if found is None:
        told = (
            "Invalid mask image: nothing in it is transparent. Make transparent (alpha 0) what is "
            "to be repainted, and leave the rest opaque."
        )
        raise Wrong(told, "mask", "invalid_image_file")
    return found


def _prompt_of(content: bytes) -> str | None:
    try:
        prompt = images.provenance_of(content).get("prompt")
    except Fault:
        return None
    return prompt if isinstance(prompt, str) else None


def _saved(image: Image.Image, format: Format) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()
