"""Together's requests, as submissions."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.datastructures import Headers

from imagemill.catalog import Catalog, Endpoint
from imagemill.catalog.models import named_by
from imagemill.conditions import SafetyCheck
from imagemill.dialects.hub_models import UNSAID
from imagemill.dialects.together.vocabulary import DIALECT, RATIOS
from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import MAX_IMAGES, MAX_LORAS, Draft, Generation
from imagemill.generation import Lora as Adapter
from imagemill.http import json_body
from imagemill.http.identity import bearer_formed, caller_of, own
from imagemill.http.input_images import with_images
from imagemill.http.json_body import (
    Guidance,
    Negative,
    Prompt,
    Scheduler,
    Seed,
    Side,
    Steps,
    Strict,
)
from imagemill.http.unknown_fields import UnknownFields
from imagemill.images.data_uris import as_uri
from imagemill.job import Submission
from imagemill.references import is_inline

UNASKED = (1024, 1024)  # px; together-py 1.x sends it with everything that names no size
MULTIPLE = 16  # px; what every family paints without cutting

MOST_REFERENCES = 16

Ratio = Literal["1:1", "16:9", "9:16", "3:2", "4:3", "2:3", "3:4"]


class Size(Strict):
    width: int
    height: int


class TogetherLora(Strict, title="Lora"):
    path: Annotated[str, Field(min_length=1, description="Address of a safetensors file.")]
    scale: Annotated[float, Field(description="How strongly it is applied, -4 to 4.")] = 1.0


class TogetherBody(Strict, title="Body"):
    """Names beside `steps` and `guidance_scale` are those of other clients and of older ones."""

    model: Annotated[str, Field(description="Id of a model.")]
    prompt: Prompt
    negative_prompt: Negative = None
    n: Annotated[int | None, Field(json_schema_extra={"minimum": 1, "maximum": MAX_IMAGES})] = None
    width: Side = None
    height: Side = None
    aspect_ratio: Ratio | None = None
    target_size: Size | None = None
    steps: Steps = None
    num_inference_steps: Steps = None
    guidance_scale: Guidance = None
    guidance: Guidance = None
    scheduler: Scheduler = None
    seed: Seed = None
    prompt_upsampling: bool | None = None
    image_url: Annotated[
        str | None, json_body.picture("What to edit, or to paint over: a URL.")
    ] = None
    image_base64: Annotated[str | None, json_body.picture("The same, as base64.")] = None
    reference_images: Annotated[
        list[Annotated[str, json_body.picture("A URL.")]] | None,
        Field(description="What else an edit is to read.", max_length=MOST_REFERENCES),
    ] = None
    mask_image: Annotated[str | None, json_body.picture("White is painted over.")] = None
    strength: Annotated[float | None, Field(description="How much is painted over, 0 to 1.")] = None
    image_loras: Annotated[list[TogetherLora] | None, Field(max_length=MAX_LORAS)] = None
    response_format: Literal["url", "base64", "b64_json"] | None = None
    output_format: Literal["jpeg", "png"] | None = None
    disable_safety_checker: bool | None = None


def credential(headers: Headers) -> None:
    """Raises a Fault where an Authorization is not of Together's form; there may be none."""
    if not bearer_formed(headers):
        message = "Invalid API key provided: authorization is not of the form 'Bearer <key>'."
        raise Fault(Kind.DENIED, message, "authorization")


def read(
    catalog: Catalog, headers: Headers, body: bytes, base: str, unknown: UnknownFields
) -> Submission:
    value = json_body.parse(json_body.text(body))
    params = json_body.take(TogetherBody, json_body.with_integers(value), unknown)
    endpoint = catalog.find(_known_as(catalog, params.model))
    generation = endpoint.generation(_draft(params, endpoint, base))
    return Submission(
        generation,
        endpoint.source,
        version=endpoint.version,
        cacheable=params.seed is not None and _lasting(generation),
        wait_for_model=True,
        dialect=DIALECT,
        caller=caller_of(headers),
        dialect_state={
            "model": params.model,
            "inline": params.response_format in ("base64", "b64_json"),
        },
    )


def _known_as(catalog: Catalog, model: str) -> str:
    """A name that the operator gave goes before Together's own."""
    return model if catalog.model(model) else named_by(DIALECT, model) or model


def _draft(params: TogetherBody, endpoint: Endpoint, base: str) -> Draft:
    width, height = _size(params, endpoint)
    images = _images(params)
    if params.strength is not None and not images:
        raise invalid("strength", "strength needs an image that it belongs to; give both")
    draft = Draft(
        params.prompt or (UNSAID if images else ""),
        format=params.output_format or "jpeg",
        negative_prompt=params.negative_prompt or "",
        width=width,
        height=height,
        steps=_either(params, "steps", "num_inference_steps"),
        guidance_scale=_either(params, "guidance_scale", "guidance"),
        scheduler=params.scheduler,
        seed=params.seed,
        num_images=1 if params.n is None else params.n,
        mask=None if params.mask_image is None else _reference(params.mask_image, base),
        strength=params.strength,
        image_sized=bool(images) and (width, height) == (None, None),
        loras=tuple(
            Adapter(str(own(each.path, base)), each.scale) for each in params.image_loras or ()
        ),
        expand=bool(params.prompt_upsampling),
        safety=SafetyCheck(wanted=not params.disable_safety_checker, drops=True),
    )
    return with_images(draft, images, base)


def _either(params: TogetherBody, *names: str) -> Any:
    """The value of what has several names."""
    values = {name: value for name in names if (value := getattr(params, name)) is not None}
    if len(set(values.values())) > 1:
        message = " and ".join(f"{name} {value}" for name, value in values.items())
        raise invalid(names[0], f"{message} contradict each other; give one of them")
    return next(iter(values.values()), None)


def _size(params: TogetherBody, endpoint: Endpoint) -> tuple[int | None, int | None]:
    sides, target, ratio = (params.width, params.height), params.target_size, params.aspect_ratio
    wanted = [(target.width, target.height)] if target else []
    wanted += [_shaped(ratio, endpoint)] if ratio else []
    if not wanted:
        return sides
    if len(wanted) == 1 and sides in ((None, None), UNASKED, wanted[0]):
        return wanted[0]
    message = "width and height, target_size and aspect_ratio exclude one another; give one of them"
    raise invalid("aspect_ratio" if ratio else "target_size", message)


def _shaped(ratio: Ratio, endpoint: Endpoint) -> tuple[int, int]:
    """As many pixels as the model usually paints, in this shape."""
    scale = math.sqrt(endpoint.defaults.width * endpoint.defaults.height) / RATIOS["1:1"][0]
    width, height = (round(side * scale / MULTIPLE) * MULTIPLE for side in RATIOS[ratio])
    return width, height


def _images(params: TogetherBody) -> list[str]:
    names = params.image_url, params.image_base64, *(params.reference_images or ())
    return [_reference(name, "") for name in names if name is not None]


def _reference(text: str, base: str) -> str:
    """A URL; what has no scheme is base64 by itself."""
    return str(own(text, base)) if ":" in text else as_uri(text)


def _lasting(generation: Generation) -> bool:
    """Whether all that is painted from came within the request; elsewhere it may change."""
    paths = (each.path for each in generation.loras)
    return all(map(is_inline, (*generation.images.values(), *paths)))
