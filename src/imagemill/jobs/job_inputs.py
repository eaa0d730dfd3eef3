"""What a job needs before it can be painted: the images that it names, LoRAs, its whole prompt."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from imagemill.budget import Budget, Share
from imagemill.conditions import Control, ImagePrompt
from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import IMAGE_LISTS, MASKS, MAX_SIDE, Generation, Input, Lora, LoraFile
from imagemill.images.decode import open_png, read_image, read_mask, size_of
from imagemill.images.encode import encode_png
from imagemill.images.geometry import outpainted, paintable_scale
from imagemill.images.masks import check_size
from imagemill.job import Job
from imagemill.jobs.control_files import ControlFiles
from imagemill.jobs.input_files import STORED, InputFile, InputFiles, concerning
from imagemill.jobs.ip_adapter_files import AdapterFiles
from imagemill.jobs.styles import Styles, check_references, vector_of
from imagemill.jobs.weight_files import WeightFiles
from imagemill.model_spec import ModelSpec
from imagemill.pipelines.families import EMBEDDED
from imagemill.threads import DECODING
from imagemill.upstream_spec import upstream_of

STYLES = "style_images."  # begins the names of style references
LEAST_BYTES = 2**24  # that reading an image draws at least: it may be small and unfold
IMAGE_MEMORY = 2**28  # bytes, for the images of all jobs

Expand = Callable[[str, int], Awaitable[str]]  # a prompt and a seed give a richer prompt


@dataclass(frozen=True)
class InputGatherer:
    """Gathers what a job needs, for the worker that holds it."""

    files: InputFiles
    loras: WeightFiles
    controls: ControlFiles
    ip_adapters: AdapterFiles
    styles: Styles
    expand: Expand
    #: that the images of all jobs take, from when they are read until the engine has them
    memory: Budget
    #: whether what paints at an address does by itself what a field asks for
    leaves: Callable[[str, str], bool] = lambda source, field: False

    async def gather(self, job: Job) -> tuple[Generation, dict[str, Input], Share]:
        """The generation as it is to be painted, and what its references stand for: images in
        memory, whose share is to be given back, LoRAs as files.
        """
        generation, inputs = job.generation, dict[str, Input]()
        source = job.submission.source
        if not upstream_of(source):  # which would fetch weights by itself
            generation, inputs = await self._weighted(generation, job)
        if not self.leaves(source, "style_id"):
            generation = await self.styles.applied(generation, job.submission.caller)
        if generation.expand and not self.leaves(source, "expand"):
            prompt = await self.expand(generation.prompt, generation.seed)
            generation = replace(generation, prompt=prompt, expand=False)
        # Last, so that nobody holds memory who waits for others.
        generation, images, share = await self._images(generation, job)
        return generation, {**inputs, **images}, share

    async def _weighted(
        self, generation: Generation, job: Job
    ) -> tuple[Generation, dict[str, Input]]:
        """With the weights that it names."""
        inputs: dict[str, Input] = {
            each.path: await self._lora(each, job) for each in generation.loras
        }
        if generation.control is not None and generation.control.acts:
            generation, inputs = await self._control(generation, generation.control, inputs, job)
        if (said := generation.ip_adapter) is not None and said.acts:
            return await self._ip_adapter(generation, said, inputs, job)
        return generation, inputs

    async def _images(
        self, generation: Generation, job: Job
    ) -> tuple[Generation, dict[str, bytes], Share]:
        references = generation.images
        if not references:
            return generation, {}, Share(self.memory, 0)
        async with self.files.at_hand(references, job) as files:
            size = sum(max(LEAST_BYTES, file.size) for file in files.values())
            share = await self.memory.take(size, patient=True)
            try:
                if not self.leaves(job.submission.source, "style_images"):
                    generation, files = await _styled(generation, files)
                generation, images = await _decoded(generation, files)
                if generation.outpaint and not self.leaves(job.submission.source, "outpaint"):
                    generation = await DECODING.run(_outpainted, generation, images)
            except BaseException:
                share.release()
                raise
        share.shrink(sum(map(len, images.values())))
        return generation, images, share

    async def _lora(self, lora: Lora, job: Job) -> LoraFile:
        return await self._weights(self.loras, lora.path, lora.weight_name, job)

    async def _control(
        self, generation: Generation, control: Control, inputs: dict[str, Input], job: Job
    ) -> tuple[Generation, dict[str, Input]]:
        """The control is told by where its ControlNet lies on this machine, or by its Hub id."""
        if (place := self.controls.named(control.path)) is None:
            file = await self._weights(self.controls.files, control.path, None, job)
            place, inputs = str(file.path), {**inputs, control.path: file}
        return replace(generation, control=replace(control, path=place)), inputs

    async def _ip_adapter(
        self, generation: Generation, said: ImagePrompt, inputs: dict[str, Input], job: Job
    ) -> tuple[Generation, dict[str, Input]]:
        """The IP-Adapter and its encoder are told by where they lie on this machine; the embedded
        model's own takes their place, whatever was named.
        """
        if ModelSpec.at(job.submission.source).source == EMBEDDED:
            paths, brought = (EMBEDDED, EMBEDDED), tuple[LoraFile, ...]()
        else:
            paths, brought = await self.ip_adapters.places(said, partial(self._brought, job))
        placed = replace(
            said, path=paths[0], subfolder=None, weight_name=None,
            encoder_path=paths[1], encoder_subfolder=None, encoder_weight_name=None,
        )  # fmt: skip
        held = {f"ip_adapter:{number}": file for number, file in enumerate(brought)}
        return replace(generation, ip_adapter=placed), {**inputs, **held}

    async def _brought(
        self, job: Job, weights: WeightFiles, path: str, name: str | None
    ) -> LoraFile:
        return await self._weights(weights, path, name, job)

    async def _weights(
        self, weights: WeightFiles, path: str, name: str | None, job: Job
    ) -> LoraFile:
        with concerning(weights.kind.field):
            if not path.startswith(STORED):
                return await weights.get(path, name, job.submission.local, job.submission.caller)
            file = await self.files.stored(path, job.submission.caller)
            if file.size > weights.kind.most_bytes:
                what, most = weights.kind.what, weights.kind.most_bytes
                message = f"the file has {file.size} bytes, where {what} has at most {most}"
                raise Fault(Kind.TOO_LARGE, f"{message}; give a smaller one")
            return await weights.keep(file.key, partial(self.files.objects.stream, file))


async def _decoded(
    generation: Generation, files: Mapping[str, InputFile]
) -> tuple[Generation, dict[str, bytes]]:
    """Each image is told by its name, as several may come from one place."""
    images = dict[str, bytes]()
    for name, file in files.items():
        with concerning(name):
            content = await file.read()
            read = read_mask if name in MASKS else read_image
            images[image_key(name)] = await DECODING.run(read, content, word_for(name))
    generation = generation.with_images({name: image_key(name) for name in files})
    if generation.mask is not None:
        check_size(images[image_key("image")], images[image_key("mask")])
    if generation.image_sized:
        generation = _image_sized(generation, images[image_key(generation.sized_by or "")])
    return generation, images


def word_for(name: str) -> str:
    """What an image is called in a sentence: one of several is an image."""
    return "image" if name.partition(".")[0] in IMAGE_LISTS else name


async def _styled(
    generation: Generation, files: Mapping[str, InputFile]
) -> tuple[Generation, dict[str, InputFile]]:
    """With the style of the images that it is to be taken from, which nobody needs after that."""
    styles = {name: file for name, file in files.items() if name.startswith(STYLES)}
    if not styles:
        return generation, dict(files)
    check_references("style_images", [file.size for file in styles.values()])
    contents = {name: await file.read() for name, file in styles.items()}
    vector = await DECODING.run(vector_of, contents)
    generation = replace(generation, style_images=(), style_vector=vector)
    return generation, {name: file for name, file in files.items() if name not in styles}


def image_key(name: str) -> str:
    """What stands for an image of a generation, by its name, once it was read."""
    return f"{name}:"


def _image_sized(generation: Generation, image: bytes) -> Generation:
    """With the size of the image, scaled to lie within what is painted."""
    width, height = size_of(image)
    scale = paintable_scale((width, height))
    if max(width, height) * scale > MAX_SIDE:
        raise invalid("image", f"an image of {width}x{height} pixels is too narrow to paint")
    return replace(
        generation, width=round(width * scale), height=round(height * scale), image_sized=False
    )


def _outpainted(generation: Generation, images: dict[str, bytes]) -> Generation:
    size, key, mask_key = (
        (generation.width, generation.height),
        image_key("image"),
        image_key("mask"),
    )
    image, mask = outpainted(open_png(images[key], "image"), size)
    images[key], images[mask_key] = encode_png(image), encode_png(mask)
    return replace(generation, mask=mask_key, outpaint=False, strength=1.0)
