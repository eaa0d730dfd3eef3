"""A1111's requests, as submissions."""

import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from starlette.datastructures import Headers

from imagemill.catalog import EMBEDDED, Endpoint
from imagemill.dialects.sdapi import (
    bodies,
    checkpoints,
    init_images,
    inpainting,
    options,
    prompts,
    samplers,
    words,
)
from imagemill.dialects.sdapi.bodies import Asked, Img2img, Txt2img
from imagemill.errors import Fault, Kind, invalid
from imagemill.finishing import STYLES
from imagemill.generation import MAX_SIDE, MIN_SIDE, Draft, Generation
from imagemill.http import json_body
from imagemill.http.context import AppContext
from imagemill.job import Submission

RAW_KEPT = 60.0  # seconds that files live which go into the reply alone
LARGEST_SCALE = 32.0


@dataclass(frozen=True)
class Plan:
    """A submission, and what its answer needs to know.

    set: options that the call itself has set. ignored: what was given and changes nothing, and why.
    """

    submission: Submission
    asked: Asked
    sampler: samplers.Chosen
    canvas: inpainting.Canvas | None
    set: options.Set
    ignored: Mapping[str, str]

    @property
    def memory(self) -> int:
        """Bytes that it takes until the pictures are painted."""
        asked, patch = self.asked, None if self.canvas is None else self.canvas.patch
        echoed = [*(asked.init_images or ()), asked.mask] if isinstance(asked, Img2img) else []
        return sum(len(each or "") for each in echoed) + (0 if patch is None else patch.memory)


def lightened(plan: Plan) -> Plan:
    """With as much of the pictures that were given as the answer needs."""
    asked, canvas = plan.asked, plan.canvas
    if isinstance(asked, Img2img) and not asked.include_init_images:
        asked = asked.model_copy(update={"init_images": None, "mask": None})
    return replace(plan, asked=asked, canvas=None if canvas is None else canvas.lightened())


def value(body: bytes) -> Any:
    """The JSON value of a body, without what could not be told again in JSON."""
    found = json_body.parse(json_body.text(body))
    if not _finite(found):
        raise invalid("body", "a number is too large for JSON's readers; give a smaller one")
    return found


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return all(_finite(each) for each in json_body.within(value))


async def plan(
    context: AppContext, asked: Asked, sources: init_images.InitImages, kept: options.Set
) -> Plan:
    """Raises a Fault for all that cannot be had. sources: of the pictures that are named."""
    _check_scripts(asked)
    overridden = options.checked(asked.override_settings or {}, "override_settings")
    endpoint = checkpoints.find(context.catalog, str({**kept, **overridden}[options.CHECKPOINT]))
    if options.CHECKPOINT in overridden:
        overridden[options.CHECKPOINT] = endpoint.id
    name = asked.sampler_name or asked.sampler_index or samplers.AUTOMATIC
    embedded = endpoint.source == EMBEDDED
    sampler = samplers.chosen(name, asked.scheduler or "", embedded)
    said = prompts.read(asked.prompt or "", sources.base)
    against, weighted = prompts.plain(asked.negative_prompt or "")
    canvas = None
    if isinstance(asked, Img2img):
        canvas = await sources.canvas(asked, endpoint)
    drawn = asked.seed is None or asked.seed == -1
    draft = Draft(
        said.text,
        format=options.FORMATS[{**kept, **overridden}[options.FORMAT]],
        negative_prompt=against,
        steps=asked.steps,
        guidance_scale=asked.cfg_scale,
        scheduler=sampler.scheduler,
        seed=None if drawn else asked.seed,
        num_images=_count(asked),
        loras=() if asked.disable_extra_networks else said.loras,
        style=_style(asked.styles or []),
    )
    ignored = {
        **dict(bodies.idle(asked)),
        **{f"override_settings.{each}": why for each, why in options.idle(overridden)},
        **({"sampler_name": f"{name}: {samplers.STANDS_IN}"} if sampler.stands_in else {}),
        **({"scheduler": "the model's own, which is even too"} if sampler.even else {}),
        **({"prompt": "weights of words: all weigh the same"} if said.weighted or weighted else {}),
    }
    generation = endpoint.generation(_placed(draft, asked, canvas, endpoint))
    submission = _submission(generation, endpoint, asked, sources.caller.id)
    return Plan(submission, asked, sampler, canvas, overridden, ignored)


def _submission(
    generation: Generation, endpoint: Endpoint, asked: Asked, caller: str
) -> Submission:
    return Submission(
        generation,
        endpoint.source,
        dialect=words.DOOR,
        caller=caller,
        ttl_seconds=None if asked.save_images else RAW_KEPT,
        public=bool(asked.save_images),
        cacheable=False,
        seed_drawn=asked.seed is None or asked.seed == -1,
        wait_for_model=True,
    )


def _check_scripts(asked: Asked) -> None:
    if asked.script_name and asked.script_name != "None":
        raise invalid("script_name", f"Script '{asked.script_name:.80}' not found")
    for name in asked.alwayson_scripts or {}:
        raise invalid("alwayson_scripts", f"always on script {name:.80} not found; leave it out")


def _count(asked: Asked) -> int:
    for name in ("batch_size", "n_iter"):
        each = getattr(asked, name)
        if each is not None and each < 1:
            raise invalid(name, f"{name} is less than 1; give 1 or more")
    return (asked.batch_size or 1) * (asked.n_iter or 1)


def _style(names: list[str]) -> str | None:
    found = [name for name in names if name.strip()]
    if len(found) > 1:
        raise invalid("style", f"{len(found)} styles are named; a picture has one")
    if found and found[0].lower() not in STYLES:
        raise invalid("style", f"there is no style {found[0]!r:.80}; see GET prompt-styles")
    return found[0] if found else None


def _placed(
    draft: Draft, asked: Asked, canvas: inpainting.Canvas | None, endpoint: Endpoint
) -> Draft:
    """The draft with its size, and what is painted over."""
    if isinstance(asked, Img2img) and canvas is not None:
        return init_images.painted_over(draft, canvas, asked)
    assert isinstance(asked, Txt2img)
    width, height = _size(asked, endpoint) if asked.enable_hr else (asked.width, asked.height)
    return replace(draft, width=width, height=height)


def _size(asked: Txt2img, endpoint: Endpoint) -> tuple[int | None, int | None]:
    """Of the second pass of a hires call."""
    if asked.firstphase_width or asked.firstphase_height:  # an older form: width is the second's
        return asked.width, asked.height
    width = endpoint.defaults.width if asked.width is None else asked.width
    height = endpoint.defaults.height if asked.height is None else asked.height
    across, down = asked.hr_resize_x or 0, asked.hr_resize_y or 0
    if not (MIN_SIDE <= width <= MAX_SIDE and MIN_SIDE <= height <= MAX_SIDE):
        return width, height  # which is refused
    for name, side in (("hr_resize_x", across), ("hr_resize_y", down)):
        if side and not MIN_SIDE <= side <= MAX_SIDE:
            raise invalid(name, f"{name} is out of range; give {MIN_SIDE} to {MAX_SIDE}")
    if across or down:
        return across or round(width * down / height), down or round(height * across / width)
    scale = 2.0 if asked.hr_scale is None else asked.hr_scale
    if not 1 <= scale <= LARGEST_SCALE:
        raise invalid("hr_scale", f"hr_scale {scale} is out of range; give 1 to {LARGEST_SCALE}")
    return round(width * scale), round(height * scale)


def credential(headers: Headers) -> None:
    """Raises a Fault where an Authorization is not A1111's. Clients that were given no password
    send a header without one.
    """
    scheme, _, given = headers.get("authorization", "").strip().partition(" ")
    if not scheme or (scheme.lower() == "basic" and not given.strip()):
        return
    try:
        if scheme.lower() == "basic" and b":" in binascii.a2b_base64(given.strip().encode()):
            return
    except (binascii.Error, UnicodeEncodeError):
        pass
    told = "authorization is not of the form 'Basic' and base64 of user:password"
    raise Fault(Kind.DENIED, told)
