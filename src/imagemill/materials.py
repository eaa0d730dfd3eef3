"""What a job needs before it can be painted: the pictures that it names, and its whole prompt."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO

import numpy as np
from PIL import Image

from imagemill import images, inputs
from imagemill.errors import Fault, Kind, invalid
from imagemill.fetch import Fetcher
from imagemill.files.keys import derived_key
from imagemill.files.objects import Objects, StoredFile
from imagemill.generation import MAX_SIDE, MIN_SIDE, Generation, Input, Lora, LoraFile
from imagemill.job import Job
from imagemill.lora_files import LORA_BYTES, LoraFiles
from imagemill.threads import BODIES, DECODING

OWN = "file:"  # begins the reference to a file of our own
MASK = "mask:"  # the mask, which may come from the same place as the image

DATA_KEPT = 86_400.0  # seconds that a picture lives which came within a request
DATA_BYTES = 50 * 2**20

Expand = Callable[[str, int], Awaitable[str]]  # a prompt and a seed give a richer prompt


@dataclass(frozen=True)
class Materials:
    objects: Objects
    fetcher: Fetcher
    loras: LoraFiles
    expand: Expand

    async def gather(self, job: Job) -> tuple[Generation, dict[str, Input]]:
        """The generation as it is to be painted, and what its references stand for: pictures in
        memory, LoRAs as files.
        """
        generation, pictures = await self._pictures(job)
        found: dict[str, Input] = {**pictures}
        for lora in generation.loras:
            found[lora.path] = await self._lora(lora, job)
        if generation.expand:
            prompt = await self.expand(generation.prompt, generation.seed)
            generation = replace(generation, prompt=prompt, expand=False)
        return generation, found

    async def _pictures(self, job: Job) -> tuple[Generation, dict[str, bytes]]:
        generation, found = job.generation, dict[str, bytes]()
        if generation.image is not None:
            given = await self._bytes(generation.image, "image", job)
            found[generation.image] = await DECODING.run(inputs.read_image, given, "image")
        if generation.mask is not None:
            given = await self._bytes(generation.mask, "mask", job)
            found[MASK] = await DECODING.run(inputs.read_mask, given, "mask")
            _check_sizes(found[generation.image or ""], found[MASK])
            generation = replace(generation, mask=MASK)
        if generation.image_sized:
            generation = _image_sized(generation, found[generation.image or ""])
        if generation.outpaint:
            generation = await DECODING.run(_outpainted, generation, found)
        return generation, found

    async def _bytes(self, reference: str, field: str, job: Job) -> bytes:
        with _concerning(field):
            if not reference.startswith(OWN):
                return (await self.fetcher.get(reference, local=job.local)).content
            return await self.objects.read((await self._stored(reference, job)).key)

    async def _lora(self, lora: Lora, job: Job) -> LoraFile:
        with _concerning("loras"):
            if not lora.path.startswith(OWN):
                return await self.loras.get(lora, job.local)
            file = await self._stored(lora.path, job)
            if file.size > LORA_BYTES:
                what = f"the file has {file.size} bytes, where a LoRA has at most {LORA_BYTES}"
                raise Fault(Kind.TOO_LARGE, f"{what}; give a smaller one")
            return await self.loras.keep(file.key, partial(self.objects.stream, file))

    async def _stored(self, reference: str, job: Job) -> StoredFile:
        file = await self.objects.get(reference.removeprefix(OWN))
        if file is None or not (file.public or file.caller == job.caller):
            raise Fault(Kind.UNREACHABLE, "there is no such file here, or no longer")
        return file


@contextmanager
def _concerning(field: str) -> Iterator[None]:
    """Says of a fault which field of the call it is about."""
    try:
        yield
    except Fault as fault:
        raise Fault(fault.kind, fault.message, field, fault.retry_after) from None


async def kept(objects: Objects, secret: bytes, uri: str, field: str, caller: str) -> str:
    """The key of the file that a data URI becomes: the same for a caller's same content."""
    content, content_type = await BODIES.run(inputs.data_uri, uri, field, DATA_BYTES)
    found = await BODIES.run(hashlib.sha256, content)
    digest = hmac.digest(secret, f"{caller}/{content_type}/{found.hexdigest()}".encode(), "sha256")
    key = derived_key(digest)
    file, now = await objects.get(key), objects.clock()
    if file is None or (file.expires or now) < now + DATA_KEPT / 2:
        await objects.put(
            content, content_type, key=key, caller=caller, keep=DATA_KEPT, public=False
        )
    return key


def _check_sizes(image: bytes, mask: bytes) -> None:
    wide, high = images.size_of(image)
    if images.size_of(mask) != (wide, high):
        given = "x".join(map(str, images.size_of(mask)))
        raise invalid("mask", f"the mask has {given} pixels, its image {wide}x{high}; give equal")


def _image_sized(generation: Generation, image: bytes) -> Generation:
    """With the size of the image, scaled to lie within what is painted."""
    width, height = images.size_of(image)
    scale = min(1.0, MAX_SIDE / max(width, height))
    scale = max(scale, MIN_SIDE / min(width, height))
    if max(width, height) * scale > MAX_SIDE:
        raise invalid("image", f"an image of {width}x{height} pixels is too narrow to paint")
    return replace(
        generation, width=round(width * scale), height=round(height * scale), image_sized=False
    )


def _outpainted(generation: Generation, found: dict[str, bytes]) -> Generation:
    assert generation.image is not None
    image, mask = _widened(found[generation.image], generation.width, generation.height)
    found[generation.image], found[MASK] = image, mask
    return replace(generation, mask=MASK, outpaint=False, strength=1.0)


def _widened(image: bytes, width: int, height: int) -> tuple[bytes, bytes]:
    """The whole image in the middle of a canvas, its edges continued; and a mask of what is new."""
    given = Image.open(BytesIO(image)).convert("RGB")
    scale = min(width / given.width, height / given.height)
    inner = max(1, round(given.width * scale)), max(1, round(given.height * scale))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    around = ((top, height - inner[1] - top), (left, width - inner[0] - left), (0, 0))
    pixels = np.pad(np.asarray(given.resize(inner, Image.Resampling.LANCZOS)), around, mode="edge")
    mask = np.full((height, width), 255, dtype=np.uint8)
    mask[top : top + inner[1], left : left + inner[0]] = 0
    return _png(Image.fromarray(pixels)), _png(Image.fromarray(mask))


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "png", compress_level=1)
    return buffer.getvalue()
