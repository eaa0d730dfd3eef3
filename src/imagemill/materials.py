"""What a job needs before it can be painted: the pictures that it names, and its whole prompt."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from imagemill.budget import Budget, Share
from imagemill.errors import Fault, Kind, invalid
from imagemill.files.keys import derived_key
from imagemill.files.objects import Objects
from imagemill.generation import MAX_SIDE, MIN_SIDE, Generation, Input, Lora, LoraFile
from imagemill.images.data_uris import data_uri
from imagemill.images.decode import open_png, read_image, read_mask, size_of
from imagemill.images.encode import encode_png
from imagemill.images.geometry import outpainted
from imagemill.input_files import OWN, InputFile, InputFiles, concerning
from imagemill.job import Job
from imagemill.lora_files import LORA_BYTES, LoraFiles
from imagemill.threads import BODIES, DECODING

PICTURES = ("image", "mask")  # fields that name one
LEAST_BYTES = 2**24  # that reading a picture draws at least: it may be small and unfold
PICTURE_MEMORY = 2**28  # bytes, for the pictures of all jobs
MASK = "mask:"  # the mask, which may come from the same place as the image

DATA_KEPT = 86_400.0  # seconds that a picture lives which came within a request
DATA_BYTES = 50 * 2**20

Expand = Callable[[str, int], Awaitable[str]]  # a prompt and a seed give a richer prompt


@dataclass(frozen=True)
class Materials:
    """memory: that the pictures of all jobs take, from when they are read until the engine has
    them.
    """

    files: InputFiles
    loras: LoraFiles
    expand: Expand
    memory: Budget

    async def gather(self, job: Job) -> tuple[Generation, dict[str, Input], Share]:
        """The generation as it is to be painted, and what its references stand for: pictures in
        memory, whose share is to be given back, LoRAs as files.
        """
        generation, found = job.generation, dict[str, Input]()
        for lora in generation.loras:
            found[lora.path] = await self._lora(lora, job)
        if generation.expand:
            prompt = await self.expand(generation.prompt, generation.seed)
            generation = replace(generation, prompt=prompt, expand=False)
        # Last, so that nobody holds memory who waits for others.
        generation, pictures, share = await self._pictures(generation, job)
        return generation, {**found, **pictures}, share

    async def _pictures(
        self, generation: Generation, job: Job
    ) -> tuple[Generation, dict[str, bytes], Share]:
        references = {name: each for name in PICTURES if (each := getattr(generation, name))}
        if not references:
            return generation, {}, Share(self.memory, 0)
        async with self.files.at_hand(references, job) as files:
            size = sum(max(LEAST_BYTES, file.size) for file in files.values())
            share = await self.memory.take(size, patient=True)
            try:
                generation, found = await self._decoded(generation, files)
            except BaseException:
                share.release()
                raise
        share.shrink(sum(map(len, found.values())))
        return generation, found, share

    async def _decoded(
        self, generation: Generation, files: Mapping[str, InputFile]
    ) -> tuple[Generation, dict[str, bytes]]:
        found = dict[str, bytes]()
        for name, file in files.items():
            with concerning(name):
                content = await file.read()
            read = read_mask if name == "mask" else read_image
            key = MASK if name == "mask" else generation.image or ""
            found[key] = await DECODING.run(read, content, name)
        if generation.mask is not None:
            _check_sizes(found[generation.image or ""], found[MASK])
            generation = replace(generation, mask=MASK)
        if generation.image_sized:
            generation = _image_sized(generation, found[generation.image or ""])
        if generation.outpaint:
            generation = await DECODING.run(_outpainted, generation, found)
        return generation, found

    async def _lora(self, lora: Lora, job: Job) -> LoraFile:
        with concerning("loras"):
            if not lora.path.startswith(OWN):
                return await self.loras.get(lora, job.local, job.caller)
            file = await self.files.stored(lora.path, job)
            if file.size > LORA_BYTES:
                what = f"the file has {file.size} bytes, where a LoRA has at most {LORA_BYTES}"
                raise Fault(Kind.TOO_LARGE, f"{what}; give a smaller one")
            return await self.loras.keep(file.key, partial(self.files.objects.stream, file))


async def kept(objects: Objects, secret: bytes, uri: str, field: str, caller: str) -> str:
    """The key of the file that a data URI becomes: the same for a caller's same content."""
    content, content_type = await BODIES.run(data_uri, uri, field, DATA_BYTES)
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
    wide, high = size_of(image)
    if size_of(mask) != (wide, high):
        given = "x".join(map(str, size_of(mask)))
        raise invalid("mask", f"the mask has {given} pixels, its image {wide}x{high}; give equal")


def _image_sized(generation: Generation, image: bytes) -> Generation:
    """With the size of the image, scaled to lie within what is painted."""
    width, height = size_of(image)
    scale = min(1.0, MAX_SIDE / max(width, height))
    scale = max(scale, MIN_SIDE / min(width, height))
    if max(width, height) * scale > MAX_SIDE:
        raise invalid("image", f"an image of {width}x{height} pixels is too narrow to paint")
    return replace(
        generation, width=round(width * scale), height=round(height * scale), image_sized=False
    )


def _outpainted(generation: Generation, found: dict[str, bytes]) -> Generation:
    assert generation.image is not None
    size = generation.width, generation.height
    image, mask = outpainted(open_png(found[generation.image], "image"), size)
    found[generation.image], found[MASK] = encode_png(image), encode_png(mask)
    return replace(generation, mask=MASK, outpaint=False, strength=1.0)
