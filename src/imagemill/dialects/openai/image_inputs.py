"""Images that callers give, made ready to paint over."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from imagemill.dialects.callers import own
from imagemill.dialects.openai.usage import of_given
from imagemill.dialects.openai.words import Wrong
from imagemill.errors import Fault, Kind
from imagemill.images.decode import open_image, provenance_of, read_alpha, read_image, size_of
from imagemill.images.encode import MEDIA_TYPES, encode_png
from imagemill.images.geometry import Collage, Size
from imagemill.input_files import OWN
from imagemill.materials import DATA_KEPT
from imagemill.service import Service
from imagemill.threads import DECODING

T = TypeVar("T")


@dataclass(frozen=True)
class Given:
    """What is painted over, as files of ours. tokens: of the images."""

    image: str
    mask: str | None = None
    tokens: int = 0


UNSEEN = Given(OWN)  # stands for what is not fetched before all else is checked


@dataclass(frozen=True)
class Desk:
    """Where pictures are made ready, for one caller. base: our own address. person: the caller,
    told apart by address where there is no credential. local: they are on this machine.
    """

    service: Service
    caller: str
    base: str
    person: str
    local: bool = False

    async def given(
        self,
        pictures: Sequence[bytes | str],
        mask: bytes | str | None,
        size: Size | None,
        fades: bool,
    ) -> Given:
        """size: of what will be painted, None for that of the first image. fades: an image's own
        transparency is its mask where there is no other.
        """
        if mask is not None and len(pictures) > 1:
            told = "a mask cannot be told apart among several images; send one image with a mask"
            raise Fault(Kind.UNSUPPORTED, told, "mask")
        whole, tokens = await self._whole(pictures, size)
        masked: bytes | None = None
        if mask is not None:
            masked = await self._made(mask, "mask", _mask)
        elif fades and len(pictures) == 1:
            masked = await DECODING.run(read_alpha, whole, "image")
        kept = None if masked is None else await self._keep(masked)
        return Given(await self._keep(whole), kept, tokens)

    async def _whole(self, pictures: Sequence[bytes | str], size: Size | None) -> tuple[bytes, int]:
        """What is painted over, and the tokens of what it was made from."""
        if len(pictures) == 1:
            return await self._made(pictures[0], "image", _clean)
        collage, tokens = Collage(len(pictures), size), 0
        for each in pictures:
            tokens += await self._made(each, "image", partial(_added, collage))
        return await DECODING.run(encode_png, collage.whole), tokens

    async def _made(self, given: bytes | str, field: str, make: Callable[[bytes], T]) -> T:
        """What `make` makes of a picture. Of one from elsewhere it does so in its turn, so that
        few wait for that at a time.
        """
        if isinstance(given, bytes):
            return await DECODING.run(make, given)
        if not given.startswith(("http://", "https://")):
            told = f"{field}: {given!r:.80} is no address; give https://... or a data URI"
            raise Wrong(told, field)
        async with AsyncExitStack() as stack:
            content = await self._content(own(given, self.base) or "", field, stack)
            return await DECODING.run(make, content)

    async def _content(self, url: str, field: str, stack: AsyncExitStack) -> bytes:
        try:
            if not url.startswith(OWN):
                fetched = self.service.fetched(url, self.person, self.local)
                return await stack.enter_async_context(fetched)
            file = await self.service.objects.get(url.removeprefix(OWN))
            if file is None or not file.open_to(self.caller):
                raise Fault(Kind.UNREACHABLE, "there is no such file here, or no longer")
            return await self.service.objects.read(file.key)
        except Fault as fault:
            raise Fault(fault.kind, fault.message, field, fault.retry_after) from None

    async def _keep(self, content: bytes) -> str:
        file = await self.service.objects.put(
            content, MEDIA_TYPES["png"], caller=self.caller, keep=DATA_KEPT, public=False
        )
        return OWN + file.key


def _added(collage: Collage, content: bytes) -> int:
    """The tokens of a picture, which is in the collage then."""
    image = open_image(content, "image")
    collage.add(image)
    return of_given(*image.size)


def _clean(content: bytes) -> tuple[bytes, int]:
    """A picture, and its tokens."""
    clean = read_image(content, "image")
    return clean, of_given(*size_of(clean))


def _mask(content: bytes) -> bytes:
    found = read_alpha(content, "mask")
    if found is None:
        told = (
            "Invalid mask image: nothing in it is transparent. Make transparent (alpha 0) what is "
            "to be repainted, and leave the rest opaque."
        )
        raise Wrong(told, "mask", "invalid_image_file")
    return found


def prompt_of(content: bytes) -> str | None:
    """The prompt of a picture that was painted here."""
    try:
        prompt = provenance_of(content).get("prompt")
    except Exception:  # a picture is not refused for broken remarks about it
        return None
    return prompt if isinstance(prompt, str) else None
