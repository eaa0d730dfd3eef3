"""What an upstream painted, as finished images: fetched within bounds, read, checked, and in the
format that was asked for. A file that is as it was asked for stays as it is, to the byte.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np

from imagemill import finishing
from imagemill.conditions import Swatch
from imagemill.errors import Fault, Kind
from imagemill.fetch import Fetcher
from imagemill.generation import GeneratedImages, Generation
from imagemill.images.data_uris import as_uri, data_uri
from imagemill.images.decode import open_image, size_of
from imagemill.images.drawings import is_drawing, redrawn
from imagemill.images.encode import Pixels, encode, encode_svg
from imagemill.images.geometry import flattened
from imagemill.images.kinds import kind_of
from imagemill.images.provenance import provenance
from imagemill.references import is_inline
from imagemill.retries import outlasting
from imagemill.threads import BODIES, DECODING, ENCODING
from imagemill.upstreams.api import garbled, too_large
from imagemill.upstreams.checking import Checker
from imagemill.upstreams.outcome import RemoteImages

log = logging.getLogger(__name__)
T = TypeVar("T")

KINDS = {"png": "PNG", "jpeg": "JPEG", "webp": "WebP"}  # by format, as a file tells by itself


@dataclass(frozen=True)
class Results:
    """Of one upstream."""

    #: Of the upstream.
    name: str
    #: Goes to public addresses, and to the hosts of the upstream.
    fetcher: Fetcher
    #: Looks at finished images.
    checker: Checker
    #: Of one image, at most.
    max_bytes: int
    #: Seconds for which an image is fetched again that is not to be had.
    patience: float = 30.0

    async def images(
        self,
        remote: RemoteImages,
        generation: Generation,
        palette: tuple[Swatch, ...],
        began: float,
    ) -> GeneratedImages:
        """The finished images. palette: colours that are brought closer here. began: on the
        monotonic clock.
        """
        served_by, places = remote.served_by or generation.model, remote.places
        pictures, flagged, remarks = list[bytes](), list[bool](), list(remote.ignored)
        if len(places) < generation.num_images:
            remarks.append(f"num_images: {len(places)} of {generation.num_images} came back")
        for index, place in enumerate(places[: generation.num_images]):
            theirs = index < len(remote.flagged) and remote.flagged[index]
            one = replace(generation, seed=generation.seed_of(index))
            picture, unsafe = await self._image(place, one, palette, served_by)
            pictures.append(picture)
            flagged.append(unsafe or theirs)
        remarks += _resized(pictures, generation)
        looked = bool(generation.safety.wanted) or bool(remote.flagged)
        seconds = time.monotonic() - began
        return GeneratedImages(
            tuple(pictures), seconds, served_by, tuple(remarks), tuple(flagged) if looked else ()
        )

    async def _image(
        self, place: str, generation: Generation, palette: tuple[Swatch, ...], served_by: str
    ) -> tuple[bytes, bool]:
        """A file, and whether it was flagged here."""
        content = await self._content(place)
        if is_drawing(content):
            return await self._drawing(content, generation), False
        pixels = await self._read(_pixels, content)
        unsafe = False
        if generation.safety.wanted:
            unsafe = await self.checker.flags(pixels, generation.safety)
        if unsafe:
            pixels = np.zeros_like(pixels)
        elif not palette and kind_of(content) == KINDS.get(generation.format):
            return content, False
        return await ENCODING.run(_file, pixels, generation, palette, served_by), unsafe

    async def _drawing(self, content: bytes, generation: Generation) -> bytes:
        if generation.safety.wanted:
            message = "a drawing cannot be checked for safety; ask for a style that is none"
            raise Fault(Kind.UNSUPPORTED, message, "style")
        if generation.format != "svg":
            raise garbled(self.name, "it sent an SVG where an image was asked for")
        return await self._read(partial(redrawn, field="image"), content)

    async def _read(self, read: Callable[[bytes], T], content: bytes) -> T:
        try:
            return await DECODING.run(read, content)
        except Fault as fault:
            raise garbled(self.name, f"an image that cannot be read: {fault.message}") from None

    async def _content(self, place: str) -> bytes:
        if place.startswith(("http://", "https://")):
            return await outlasting(lambda: self._fetched(place), self.patience)
        uri = place if is_inline(place) else as_uri(place)
        try:
            return (await BODIES.run(data_uri, uri, "image", self.max_bytes))[0]
        except Fault as fault:
            if fault.kind is Kind.TOO_LARGE:
                raise too_large(self.name, self.max_bytes) from None
            raise garbled(self.name, "an image that is no base64") from None

    async def _fetched(self, url: str) -> bytes:
        try:
            return (await self.fetcher.get(url, self.max_bytes)).content
        except Fault as fault:
            if fault.kind is Kind.TOO_LARGE:
                raise too_large(self.name, self.max_bytes) from None
            log.warning("an image of upstream %s could not be fetched: %s", self.name, fault)
            message = f"an image that the upstream {self.name} painted could not be fetched"
            raise Fault(Kind.UNAVAILABLE, f"{message}; try again later") from None


def _pixels(content: bytes) -> Pixels:
    return np.asarray(flattened(open_image(content, "image")))


def _file(
    pixels: Pixels, generation: Generation, palette: tuple[Swatch, ...], served_by: str
) -> bytes:
    pixels = finishing.finish(pixels, None, palette, filters=False)
    height, width = pixels.shape[:2]
    facts = dict(provenance(generation, generation.seed, served_by))
    facts["size"] = f"{width}x{height}"
    if generation.format == "svg":
        return encode_svg(finishing.trace(pixels), facts)
    return encode(pixels, generation.format, facts)


def _resized(pictures: list[bytes], generation: Generation) -> list[str]:
    """A remark on images of another size than was asked for."""
    wanted = generation.width, generation.height
    sizes = {size_of(each) for each in pictures} - {wanted}
    return [f"size: painted as {width}x{height}" for width, height in sorted(sizes)]
