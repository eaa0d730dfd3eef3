"""Images that callers give, made ready to paint over."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from imagemill.dialects.openai.usage import of_input_image
from imagemill.dialects.openai.vocabulary import InvalidParameter
from imagemill.errors import Fault, Kind
from imagemill.http.identity import own
from imagemill.images.decode import open_image, provenance_of, read_alpha, read_image, size_of
from imagemill.images.encode import encode_png
from imagemill.images.geometry import Collage, Size
from imagemill.jobs.input_files import STORED, Caller, Inline
from imagemill.jobs.service import Service
from imagemill.threads import DECODING

T = TypeVar("T")


@dataclass(frozen=True)
class InputImages:
    """What is painted over."""

    #: a reference to a stored file
    image: str
    #: another, white where is painted; None where all is
    mask: str | None = None
    #: of the images, as OpenAI counts them
    tokens: int = 0
    #: references to all of them, where they are read one by one
    each: tuple[str, ...] = ()


# Stands for what is not fetched before all else is checked.
UNSEEN = InputImages(STORED, each=(STORED,))


@dataclass(frozen=True)
class ImageInputs:
    """Where images are made ready, for one caller."""

    service: Service
    caller: Caller
    #: our own address
    base: str

    async def ready(
        self,
        images: Sequence[bytes | str],
        mask: bytes | str | None,
        size: Size | None,
        fades: bool,
        edits: bool = False,
    ) -> InputImages:
        """size: of what will be painted, None for that of the first image. fades: an image's own
        transparency is its mask where there is no other. edits: without a mask they are read one by
        one.
        """
        if mask is not None and len(images) > 1:
            message = "a mask cannot be told apart among several images; send one image with a mask"
            raise Fault(Kind.UNSUPPORTED, message, "mask")
        if edits and mask is None and len(images) > 1:
            return await self._apart(images)
        whole, tokens = await self._whole(images, size)
        masked: bytes | None = None
        if mask is not None:
            masked = await self._made(mask, "mask", _mask)
        elif fades and len(images) == 1:
            masked = await DECODING.run(read_alpha, whole, "image")
        kept = None if masked is None else await self._keep(masked, "mask")
        image = await self._keep(whole, "image")
        return InputImages(image, kept, tokens, (image,) if edits and kept is None else ())

    async def _apart(self, images: Sequence[bytes | str]) -> InputImages:
        tokens, references = 0, list[str]()
        for each in images:
            clean, own_tokens = await self._made(each, "image", _clean)
            tokens += own_tokens
            references.append(await self._keep(clean, "image"))
        return InputImages(references[0], None, tokens, tuple(references))

    async def _whole(self, images: Sequence[bytes | str], size: Size | None) -> tuple[bytes, int]:
        """What is painted over, and the tokens of what it was made from."""
        if len(images) == 1:
            return await self._made(images[0], "image", _clean)
        collage, tokens = Collage(len(images), size), 0
        for each in images:
            tokens += await self._made(each, "image", partial(_added, collage))
        return await DECODING.run(encode_png, collage.whole), tokens

    async def _made(self, image: bytes | str, field: str, make: Callable[[bytes], T]) -> T:
        """What `make` makes of an image. Of one from elsewhere it does so in its turn, so that few
        wait for that at a time.
        """
        if isinstance(image, bytes):
            return await DECODING.run(make, image)
        if not image.startswith(("http://", "https://")):
            message = f"{field}: {image!r:.80} is no address; give https://... or a data URI"
            raise InvalidParameter(message, field)
        reference = own(image, self.base) or ""
        async with self.service.read_input(reference, field, self.caller) as content:
            return await DECODING.run(make, content)

    async def _keep(self, content: bytes, field: str) -> str:
        return await self.service.store_input(Inline(content), field, self.caller.id)


def _added(collage: Collage, content: bytes) -> int:
    """The tokens of an image, which is in the collage then."""
    image = open_image(content, "image")
    collage.add(image)
    return of_input_image(*image.size)


def _clean(content: bytes) -> tuple[bytes, int]:
    """An image, and its tokens."""
    clean = read_image(content, "image")
    return clean, of_input_image(*size_of(clean))


def _mask(content: bytes) -> bytes:
    mask = read_alpha(content, "mask")
    if mask is None:
        message = (
            "Invalid mask image: nothing in it is transparent. Make transparent (alpha 0) what is "
            "to be repainted, and leave the rest opaque."
        )
        raise InvalidParameter(message, "mask", "invalid_image_file")
    return mask


def prompt_of(content: bytes) -> str | None:
    """The prompt of an image that was painted here."""
    try:
        prompt = provenance_of(content).get("prompt")
    except Exception:  # an image is not refused for broken remarks about it
        return None
    return prompt if isinstance(prompt, str) else None
