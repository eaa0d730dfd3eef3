"""A1111's requests, as submissions."""

import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from starlette.datastructures import Headers

from imagemill.catalog import EMBEDDED, Endpoint
from imagemill.dialects.hub_models import UNSAID
from imagemill.dialects.sdapi import (
    bodies,
    checkpoints,
    init_images,
    inpainting,
    options,
    prompts,
    samplers,
    vocabulary,
)
from imagemill.dialects.sdapi.bodies import Img2img, SdapiBody, Txt2img
from imagemill.errors import Fault, Kind, invalid
from imagemill.finishing import STYLES
from imagemill.generation import MAX_SIDE, MIN_SIDE, Draft, Generation
from imagemill.http import json_body
from imagemill.http.context import AppContext
from imagemill.http.unknown_fields import UnknownFields
from imagemill.job import Submission

RAW_KEPT = 60.0  # seconds that files live which go into the reply alone
LARGEST_SCALE = 32.0


@dataclass(frozen=True)
class Plan:
    """A submission, and what its answer needs to know."""

    #: What is painted.
    submission: Submission
    #: As it came.
    body: SdapiBody
    #: What it is painted with.
    sampler: samplers.SamplerChoice
    #: What is painted over; None for nothing.
    canvas: inpainting.Canvas | None
    #: Options that the call itself has set.
    overrides: options.OptionValues
    #: What came and changes nothing, and why.
    ignored: Mapping[str, str]

    @property
    def memory(self) -> int:
        """Bytes that it takes until the images are painted."""
        body, patch = self.body, None if self.canvas is None else self.canvas.patch
        echoed = [*(body.init_images or ()), body.mask] if isinstance(body, Img2img) else []
        return sum(len(each or "") for each in echoed) + (0 if patch is None else patch.memory)


def lightened(plan: Plan) -> Plan:
    """With as much of the images that came as the answer needs."""
    body, canvas = plan.body, plan.canvas
    if isinstance(body, Img2img) and not body.include_init_images:
        body = body.model_copy(update={"init_images": None, "mask": None})
    return replace(plan, body=body, canvas=None if canvas is None else canvas.lightened())


def value(body: bytes) -> Any:
    """The JSON value of a body, without what could not be told again in JSON."""
    content = json_body.parse(json_body.text(body))
    if not _finite(content):
        raise invalid("body", "a number is too large for JSON's readers; give a smaller one")
    return content


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return all(_finite(each) for each in json_body.within(value))


async def plan(
    context: AppContext,
    body: SdapiBody,
    sources: init_images.InitImages,
    kept: options.OptionValues,
    unknown: UnknownFields,
) -> Plan:
    """Raises a Fault for all that cannot be had. sources: of the images that are named."""
    _check_scripts(body)
    overridden = options.checked(body.override_settings or {}, unknown, "override_settings")
    endpoint = checkpoints.find(context.catalog, str({**kept, **overridden}[options.CHECKPOINT]))
    if options.CHECKPOINT in overridden:
        overridden[options.CHECKPOINT] = endpoint.id
    name = body.sampler_name or body.sampler_index or samplers.AUTOMATIC
    embedded = endpoint.source == EMBEDDED
    sampler = samplers.chosen(name, body.scheduler or "", embedded)
    prompt = prompts.read(body.prompt or "", sources.base)
    negative, weighted = prompts.plain(body.negative_prompt or "")
    canvas = None
    if isinstance(body, Img2img):
        canvas = await sources.canvas(body, endpoint)
    drawn = body.seed is None or body.seed == -1
    draft = Draft(
        prompt.text if prompt.text.strip() else UNSAID,
        format=options.FORMATS[{**kept, **overridden}[options.FORMAT]],
        negative_prompt=negative,
        steps=body.steps,
        guidance_scale=body.cfg_scale,
        scheduler=sampler.scheduler,
        spacing=sampler.spacing,
        seed=None if drawn else body.seed,
        num_images=_count(body),
        loras=() if body.disable_extra_networks else prompt.loras,
        style=_style(body.styles or []),
    )
    ignored = {
        **dict(bodies.idle(body)),
        **{f"override_settings.{each}": why for each, why in options.idle(overridden)},
        **({"sampler_name": f"{name}: {samplers.STANDS_IN}"} if sampler.stands_in else {}),
        **({"scheduler": sampler.unheeded} if sampler.unheeded else {}),
        **(
            {"prompt": "weights of words: all weigh the same"}
            if prompt.weighted or weighted
            else {}
        ),
    }
    generation = endpoint.generation(_placed(draft, body, canvas, endpoint))
    submission = _submission(generation, endpoint, body, sources.caller.id)
    return Plan(submission, body, sampler, canvas, overridden, ignored)


def _submission(
    generation: Generation, endpoint: Endpoint, body: SdapiBody, caller: str
) -> Submission:
    return Submission(
        generation,
        endpoint.source,
        version=endpoint.version,
        dialect=vocabulary.DIALECT,
        caller=caller,
        ttl_seconds=None if body.save_images else RAW_KEPT,
        public=bool(body.save_images),
        cacheable=False,
        seed_drawn=body.seed is None or body.seed == -1,
        wait_for_model=True,
    )


def _check_scripts(body: SdapiBody) -> None:
    if body.script_name and body.script_name != "None":
        raise invalid("script_name", f"Script '{body.script_name:.80}' not found")
    for name in body.alwayson_scripts or {}:
        raise invalid("alwayson_scripts", f"always on script {name:.80} not found; leave it out")


def _count(body: SdapiBody) -> int:
    for name in ("batch_size", "n_iter"):
        each = getattr(body, name)
        if each is not None and each < 1:
            raise invalid(name, f"{name} is less than 1; give 1 or more")
    return (body.batch_size or 1) * (body.n_iter or 1)


def _style(names: list[str]) -> str | None:
    named = [name for name in names if name.strip()]
    if len(named) > 1:
        raise invalid("style", f"{len(named)} styles are named; a picture has one")
    if named and named[0].lower() not in STYLES:
        raise invalid("style", f"there is no style {named[0]!r:.80}; see GET prompt-styles")
    return named[0] if named else None


def _placed(
    draft: Draft, body: SdapiBody, canvas: inpainting.Canvas | None, endpoint: Endpoint
) -> Draft:
    """The draft with its size, and what is painted over."""
    if isinstance(body, Img2img) and canvas is not None:
        return init_images.painted_over(draft, canvas, body)
    assert isinstance(body, Txt2img)
    width, height = _size(body, endpoint) if body.enable_hr else (body.width, body.height)
    return replace(draft, width=width, height=height)


def _size(body: Txt2img, endpoint: Endpoint) -> tuple[int | None, int | None]:
    """Of the second pass of a hires call."""
    if body.firstphase_width or body.firstphase_height:  # an older form: width is the second's
        return body.width, body.height
    width = endpoint.defaults.width if body.width is None else body.width
    height = endpoint.defaults.height if body.height is None else body.height
    across, down = body.hr_resize_x or 0, body.hr_resize_y or 0
    if not (MIN_SIDE <= width <= MAX_SIDE and MIN_SIDE <= height <= MAX_SIDE):
        return width, height  # which is refused
    for name, side in (("hr_resize_x", across), ("hr_resize_y", down)):
        if side and not MIN_SIDE <= side <= MAX_SIDE:
            raise invalid(name, f"{name} is out of range; give {MIN_SIDE} to {MAX_SIDE}")
    if across or down:
        return across or round(width * down / height), down or round(height * across / width)
    scale = 2.0 if body.hr_scale is None else body.hr_scale
    if not 1 <= scale <= LARGEST_SCALE:
        raise invalid("hr_scale", f"hr_scale {scale} is out of range; give 1 to {LARGEST_SCALE}")
    return round(width * scale), round(height * scale)


def credential(headers: Headers) -> None:
    """Raises a Fault where an Authorization is not A1111's. Clients that were given no password
    send a header without one.
    """
    scheme, _, password = headers.get("authorization", "").strip().partition(" ")
    if not password.strip() and scheme.lower() in ("", "basic", "bearer"):
        return
    try:
        if scheme.lower() == "basic" and b":" in binascii.a2b_base64(password.strip().encode()):
            return
    except (binascii.Error, UnicodeEncodeError):
        pass
    message = "authorization is not of the form 'Basic' and base64 of user:password"
    raise Fault(Kind.DENIED, message)
