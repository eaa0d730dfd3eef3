"""OpenAI's calls, as submissions."""

import re
from dataclasses import dataclass, replace

from imagemill.catalog import Catalog, Endpoint
from imagemill.conditions import SafetyCheck
from imagemill.dialects.openai.bodies import Edit, OpenAIBody, ParsedCall, PromptedBody, Vary
from imagemill.dialects.openai.capabilities import (
    FIDELITIES,
    MODERATIONS,
    NEARNESS,
    QUALITIES,
    STYLES,
    VARIED,
    Capabilities,
    capabilities_of,
    check,
)
from imagemill.dialects.openai.image_inputs import UNSEEN, ImageInputs, InputImages
from imagemill.dialects.openai.vocabulary import InvalidParameter
from imagemill.errors import Fault, Kind
from imagemill.generation import MAX_STEPS, Draft, Format, Generation
from imagemill.job import Submission
from imagemill.jobs.repeats import REPEATED
from imagemill.jobs.service import RAW_KEPT

DIALECT = "openai"
# Seconds that files live whose content is in the reply, and whose address is not: for as long as
# the call may be repeated, and be answered from them.
KEPT = REPEATED + RAW_KEPT
# Seconds that addresses are good for which nobody asked for, as they are at OpenAI.
UNASKED = 3600.0
# What is painted where a variation is asked for of an image that does not tell its prompt.
ANYTHING = "a picture"
EVENTS = {"generations": "image_generation", "edits": "image_edit"}
_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})", re.ASCII)
_LOSSY = ("jpeg", "webp")


@dataclass(frozen=True)
class ReplyTerms:
    """How the reply is to be written."""

    #: How the names of its events begin; empty where it cannot be streamed.
    event: str
    #: As the caller wrote it.
    prompt: str
    #: In OpenAI's words.
    quality: str
    #: Of the images.
    format: Format
    #: The reply has the addresses of the images.
    urls: bool
    #: The reply has the images themselves.
    base64: bool
    #: The reply counts tokens.
    tokens: bool
    #: Of the images that came in; 0 or more.
    image_tokens: int = 0
    #: 0 to 100; 100 leaves the files as they are.
    compression: int = 100
    #: It comes in events.
    stream: bool = False
    #: How many previews are wanted, 0 to 3.
    partials: int = 0
    #: As far as it is known before the image is there.
    size: str = "auto"
    #: What the reply repeats; None for nothing.
    safety_identifier: str | None = None


async def read(
    catalog: Catalog, task: str, parsed: ParsedCall, inputs: ImageInputs
) -> tuple[Submission, ReplyTerms]:
    """Raises a Fault of what the model does not take, before it looks at images."""
    body, fields = parsed.body, parsed.body.model_dump()
    capabilities = capabilities_of(body.model, fields)
    endpoint = endpoint_of(catalog, body.model)
    check(body.model or endpoint.id, capabilities, task, fields)
    terms = _terms(body, capabilities, task)
    generation = _generation(parsed, capabilities, endpoint, UNSEEN if parsed.images else None)
    if parsed.images:
        size = None if generation.image_sized else (generation.width, generation.height)
        fades = capabilities.fades and task == "edits"
        edits = isinstance(body, Edit) and body.strength is None
        images = await inputs.ready(parsed.images, parsed.mask, size, fades, edits)
        generation = _generation(parsed, capabilities, endpoint, images)
        terms = replace(terms, image_tokens=images.tokens)
    known = "auto" if generation.image_sized else f"{generation.width}x{generation.height}"
    submission = Submission(
        generation,
        endpoint.source,
        dialect=DIALECT,
        caller=inputs.caller.id,
        ttl_seconds=_kept(terms, capabilities),
        public=terms.urls,
        cacheable=False,
        wait_for_model=True,
    )
    return submission, replace(terms, prompt=generation.prompt, size=known)


def _kept(terms: ReplyTerms, capabilities: Capabilities) -> float | None:
    """Seconds that the files live; None for as long as results do."""
    if not terms.urls:
        return KEPT
    return UNASKED if capabilities.base64 else None


def _generation(
    parsed: ParsedCall, capabilities: Capabilities, endpoint: Endpoint, images: InputImages | None
) -> Generation:
    body = parsed.body
    width, height = _sides(body, capabilities)
    steps, guidance_scale = _effort(body, endpoint)
    draft = Draft(
        _prompt(parsed),
        format=_format(body),
        width=width,
        height=height,
        steps=steps,
        guidance_scale=guidance_scale,
        negative_prompt=body.negative_prompt or "",
        scheduler=body.scheduler,
        seed=None if body.seed == -1 else body.seed,
        num_images=body.n or 1,
        expand=capabilities.expands,
        style_id=getattr(body, "style_id", None) or None,
        safety=SafetyCheck(
            wanted=True, tolerance=MODERATIONS[getattr(body, "moderation", None)], drops=True
        ),
    )
    if images is not None and isinstance(body, Edit | Vary):
        draft = _repainting(draft, body, images)
    return endpoint.generation(draft)


def _prompt(parsed: ParsedCall) -> str:
    if isinstance(parsed.body, Vary):
        return parsed.body.prompt or parsed.image_prompt or ANYTHING
    assert isinstance(parsed.body, PromptedBody)
    return parsed.body.prompt


def endpoint_of(catalog: Catalog, model: str | None) -> Endpoint:
    """What serves a model, by an id of a page too; where none is named, the server's default."""
    id = catalog.default if model is None else model
    try:
        return catalog.find(id)
    except Fault as fault:
        raise Fault(fault.kind, fault.message, "model") from None


def _effort(body: OpenAIBody, endpoint: Endpoint) -> tuple[int | None, float | None]:
    """What the call says of steps and guidance: the finer word wins over the coarser."""
    steps, guidance = body.num_inference_steps, body.guidance_scale
    quality = getattr(body, "quality", None)
    if steps is None and quality is not None:
        usual = endpoint.defaults.steps
        steps = min(MAX_STEPS, max(1, round(usual * QUALITIES[quality].steps)))
    style = getattr(body, "style", None)
    if guidance is None and style is not None:
        guidance = endpoint.defaults.guidance_scale * STYLES[style]
    return steps, guidance


def _repainting(draft: Draft, body: Edit | Vary, images: InputImages) -> Draft:
    """The draft with the image that is painted over, whose size it has where none is given."""
    repainted, sized = VARIED, (draft.width, draft.height) == (None, None)
    if isinstance(body, Edit) and images.each and body.strength is None and not images.mask:
        near = NEARNESS[body.input_fidelity]
        return replace(draft, references=images.each, image_guidance_scale=near, image_sized=sized)
    if isinstance(body, Edit):
        repainted = FIDELITIES[body.input_fidelity][images.mask is not None]
    return replace(
        draft,
        image=images.image,
        mask=images.mask,
        strength=repainted if body.strength is None else body.strength,
        image_sized=sized,
    )


def _sides(body: OpenAIBody, capabilities: Capabilities) -> tuple[int | None, int | None]:
    if body.width is not None or body.height is not None:
        return body.width, body.height
    size = body.size or capabilities.size
    if size == "auto":
        return None, None
    match = _SIZE.fullmatch(size)
    if match is None:
        message = f"Invalid value: '{size:.80}'. Write a size as 1024x1024, or auto."
        raise InvalidParameter(message, "size")
    return int(match[1]), int(match[2])


def _format(body: OpenAIBody) -> Format:
    if not isinstance(body, PromptedBody):
        return "png"
    if body.background == "transparent":
        message = "no model here paints on a transparent background; ask for opaque or auto"
        raise Fault(Kind.UNSUPPORTED, message, "background")
    if body.output_format == "gif":
        message = "moving pictures are not painted here; ask for png, jpeg, webp or svg"
        raise Fault(Kind.UNSUPPORTED, message, "output_format")
    format = body.output_format or "png"
    if body.output_compression not in (None, 100) and format not in _LOSSY:
        message = f"A {format} file is written without loss; ask for jpeg or webp, or for 100."
        raise InvalidParameter(message, "output_compression", "unsupported_value")
    if body.stream and format == "svg":
        message = "An SVG is not streamed; ask for another output_format, or without stream."
        raise InvalidParameter(message, "stream", "unsupported_value")
    if body.partial_images and not body.stream:
        raise InvalidParameter("Partial images come in a stream only; ask with stream: true.",
                    "partial_images", "unsupported_value")  # fmt: skip
    return format


def _terms(body: OpenAIBody, capabilities: Capabilities, task: str) -> ReplyTerms:
    wanted = body.response_format
    terms = ReplyTerms(
        event=EVENTS.get(task, ""),
        prompt="",
        quality=QUALITIES[getattr(body, "quality", None) or "auto"].label,
        format=_format(body),
        # Who says nothing may be used to either: some programs read the one alone, some the other.
        urls=wanted != "b64_json",
        base64=wanted != "url",
        tokens=capabilities.tokens,
        safety_identifier=body.safety_identifier or body.user or None,
    )
    if not isinstance(body, PromptedBody):
        return terms
    compression = 100 if body.output_compression is None else body.output_compression
    stream, partials = bool(body.stream), body.partial_images or 0
    urls = terms.urls and not stream
    return replace(terms, compression=compression, stream=stream, partials=partials, urls=urls)
