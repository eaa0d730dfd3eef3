"""OpenAI's calls, as submissions."""

import re
from dataclasses import dataclass, replace

from imagemill.catalog import Catalog, Endpoint
from imagemill.dialects.openai.bodies import Edit, Painting, Prompted, Sent, Vary
from imagemill.dialects.openai.image_inputs import UNSEEN, ImageInputs, InputImages
from imagemill.dialects.openai.manners import (
    FIDELITIES,
    QUALITIES,
    STYLES,
    VARIED,
    Manners,
    check,
    manners_of,
)
from imagemill.dialects.openai.words import Wrong
from imagemill.errors import Fault, Kind
from imagemill.generation import MAX_STEPS, Draft, Format, Generation
from imagemill.job import Submission
from imagemill.repeats import REPEATED
from imagemill.service import RAW_KEPT

DOOR = "openai"
# Seconds that files live whose content is in the reply, and whose address is not: for as long as
# the call may be repeated, and be answered from them.
KEPT = REPEATED + RAW_KEPT
# What is painted where a variation is asked for of a picture that does not tell its prompt.
ANYTHING = "a picture"
EVENTS = {"generations": "image_generation", "edits": "image_edit"}
_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})", re.ASCII)
_LOSSY = ("jpeg", "webp")


@dataclass(frozen=True)
class Terms:
    """How the reply is to be told. quality: in OpenAI's words. image_tokens: of images given.

    urls, base64: whether the reply has them. compression: 0 to 100. partials: how many are wanted.
    size: as far as it is known before the picture is there.
    """

    event: str
    prompt: str
    quality: str
    format: Format
    urls: bool
    base64: bool
    tokens: bool
    image_tokens: int = 0
    compression: int = 100
    stream: bool = False
    partials: int = 0
    size: str = "auto"
    safety_identifier: str | None = None


async def read(
    catalog: Catalog, task: str, sent: Sent, inputs: ImageInputs
) -> tuple[Submission, Terms]:
    """Raises a Fault of what the model does not take, before it looks at pictures."""
    asked, fields = sent.asked, sent.asked.model_dump()
    manners = manners_of(asked.model, fields)
    endpoint = endpoint_of(catalog, asked.model)
    check(asked.model or endpoint.id, manners, task, fields)
    terms = _terms(asked, manners, task)
    generation = _generation(sent, manners, endpoint, UNSEEN if sent.images else None)
    if sent.images:
        size = None if generation.image_sized else (generation.width, generation.height)
        fades = manners.fades and task == "edits"
        images = await inputs.ready(sent.images, sent.mask, size, fades)
        generation = _generation(sent, manners, endpoint, images)
        terms = replace(terms, image_tokens=images.tokens)
    known = "auto" if generation.image_sized else f"{generation.width}x{generation.height}"
    submission = Submission(
        generation,
        endpoint.source,
        dialect=DOOR,
        caller=inputs.caller.id,
        ttl_seconds=None if terms.urls else KEPT,
        public=terms.urls,
        cacheable=False,
        wait_for_model=True,
    )
    return submission, replace(terms, prompt=generation.prompt, size=known)


def _generation(
    sent: Sent, manners: Manners, endpoint: Endpoint, images: InputImages | None
) -> Generation:
    asked = sent.asked
    width, height = _sides(asked, manners)
    steps, guidance_scale = _effort(asked, endpoint)
    draft = Draft(
        _prompt(sent),
        format=_format(asked),
        width=width,
        height=height,
        steps=steps,
        guidance_scale=guidance_scale,
        negative_prompt=asked.negative_prompt or "",
        scheduler=asked.scheduler,
        seed=None if asked.seed == -1 else asked.seed,
        num_images=asked.n or 1,
        expand=manners.expands,
    )
    if images is not None and isinstance(asked, Edit | Vary):
        draft = _repainting(draft, asked, images)
    return endpoint.generation(draft)


def _prompt(sent: Sent) -> str:
    if isinstance(sent.asked, Vary):
        return sent.asked.prompt or sent.remark or ANYTHING
    assert isinstance(sent.asked, Prompted)
    return sent.asked.prompt


def endpoint_of(catalog: Catalog, model: str | None) -> Endpoint:
    """What serves a model, by an id of a page too; where none is named, the server's default."""
    id = catalog.default if model is None else model
    try:
        return catalog.find(id) if catalog.model(id) is None else catalog.serving(id)
    except Fault as fault:
        raise Fault(fault.kind, fault.message, "model") from None


def _effort(asked: Painting, endpoint: Endpoint) -> tuple[int | None, float | None]:
    """What the call says of steps and guidance: the finer word wins over the coarser."""
    steps, guidance = asked.num_inference_steps, asked.guidance_scale
    quality = getattr(asked, "quality", None)
    if steps is None and quality is not None:
        usual = endpoint.defaults.steps
        steps = min(MAX_STEPS, max(1, round(usual * QUALITIES[quality].steps)))
    style = getattr(asked, "style", None)
    if guidance is None and style is not None:
        guidance = endpoint.defaults.guidance_scale * STYLES[style]
    return steps, guidance


def _repainting(draft: Draft, asked: Edit | Vary, images: InputImages) -> Draft:
    """The draft with the image that is painted over, whose size it has where none is given."""
    repainted = VARIED
    if isinstance(asked, Edit):
        repainted = FIDELITIES[asked.input_fidelity][images.mask is not None]
    return replace(
        draft,
        image=images.image,
        mask=images.mask,
        strength=repainted if asked.strength is None else asked.strength,
        image_sized=(draft.width, draft.height) == (None, None),
    )


def _sides(asked: Painting, manners: Manners) -> tuple[int | None, int | None]:
    if asked.width is not None or asked.height is not None:
        return asked.width, asked.height
    size = asked.size or manners.size
    if size == "auto":
        return None, None
    found = _SIZE.fullmatch(size)
    if found is None:
        raise Wrong(f"Invalid value: '{size:.80}'. Write a size as 1024x1024, or auto.", "size")
    return int(found[1]), int(found[2])


def _format(asked: Painting) -> Format:
    if not isinstance(asked, Prompted):
        return "png"
    if asked.background == "transparent":
        told = "no model here paints on a transparent background; ask for opaque or auto"
        raise Fault(Kind.UNSUPPORTED, told, "background")
    if asked.output_format == "gif":
        told = "moving pictures are not painted here; ask for png, jpeg, webp or svg"
        raise Fault(Kind.UNSUPPORTED, told, "output_format")
    format = asked.output_format or "png"
    if asked.output_compression not in (None, 100) and format not in _LOSSY:
        told = f"A {format} file is written without loss; ask for jpeg or webp, or for 100."
        raise Wrong(told, "output_compression", "unsupported_value")
    if asked.stream and format == "svg":
        told = "An SVG is not streamed; ask for another output_format, or without stream."
        raise Wrong(told, "stream", "unsupported_value")
    if asked.partial_images and not asked.stream:
        raise Wrong("Partial images come in a stream only; ask with stream: true.",
                    "partial_images", "unsupported_value")  # fmt: skip
    return format


def _terms(asked: Painting, manners: Manners, task: str) -> Terms:
    wanted = asked.response_format
    terms = Terms(
        event=EVENTS.get(task, ""),
        prompt="",
        quality=QUALITIES[getattr(asked, "quality", None) or "auto"].told,
        format=_format(asked),
        urls=not manners.base64 and wanted != "b64_json",
        # Who says nothing and names no model of OpenAI's may be used to either.
        base64=manners.base64 or wanted == "b64_json" or (wanted is None and manners.tokens),
        tokens=manners.tokens,
        safety_identifier=asked.safety_identifier or asked.user or None,
    )
    if not isinstance(asked, Prompted):
        return terms
    compression = 100 if asked.output_compression is None else asked.output_compression
    stream, partials = bool(asked.stream), asked.partial_images or 0
    urls = terms.urls and not stream
    return replace(terms, compression=compression, stream=stream, partials=partials, urls=urls)
