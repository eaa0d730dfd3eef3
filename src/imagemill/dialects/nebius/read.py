"""Nebius' requests, as submissions."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from starlette.datastructures import Headers

from imagemill.catalog import Catalog
from imagemill.catalog.models import named_by
from imagemill.dialects.nebius.vocabulary import DIALECT, WRONG, InvalidRequest, detail
from imagemill.errors import Fault, Kind
from imagemill.generation import MAX_IMAGES, MAX_LORAS, Draft, Format
from imagemill.generation import Lora as Adapter
from imagemill.http import json_body
from imagemill.http.fields import SIDE
from imagemill.http.identity import bearer_formed, caller_of, own
from imagemill.http.json_body import Guidance, Lax, Negative, Scheduler
from imagemill.http.unknown_fields import UnknownFields
from imagemill.job import Submission

EXTENSIONS: dict[str, Format] = {"webp": "webp", "png": "png", "jpg": "jpeg", "jpeg": "jpeg"}
SIZE = 512  # px, of a side that is left open
RANDOM = -1  # as a seed

Side = Annotated[int | None, replace(SIDE, description="In px; 512 where left open.").checked()]


class NebiusLora(Lax, title="Lora"):
    url: Annotated[str, Field(min_length=1, description="Address of a safetensors file.")]
    scale: Annotated[float, Field(description="How strongly it is applied, -4 to 4.")] = 1.0


class NebiusBody(Lax, title="Body"):
    model: Annotated[str, Field(description="Id of a model.")]
    prompt: Annotated[str, Field(min_length=1, max_length=2000, description="What to paint.")]
    negative_prompt: Negative = None
    width: Side = None
    height: Side = None
    num_inference_steps: Annotated[int | None, Field(ge=1, le=80)] = None
    guidance_scale: Guidance = None
    seed: Annotated[int | None, Field(ge=RANDOM, description="-1 draws one.")] = None
    scheduler: Scheduler = None
    loras: Annotated[list[NebiusLora] | None, Field(max_length=MAX_LORAS)] = None
    n: Annotated[int | None, Field(ge=1, le=MAX_IMAGES)] = None
    response_extension: Literal["webp", "png", "jpg", "jpeg"] | None = None
    response_format: Literal["b64_json", "url"] | None = None


def read(
    catalog: Catalog, headers: Headers, body: bytes, base: str, unknown: UnknownFields
) -> Submission:
    params = _take(json_body.parse(json_body.text(body)), unknown)
    endpoint = catalog.find(_known_as(catalog, params.model))
    seed = None if params.seed == RANDOM else params.seed
    draft = Draft(
        params.prompt,
        format=EXTENSIONS[params.response_extension or "webp"],
        negative_prompt=params.negative_prompt or "",
        width=SIZE if params.width is None else params.width,
        height=SIZE if params.height is None else params.height,
        steps=params.num_inference_steps,
        guidance_scale=params.guidance_scale,
        scheduler=params.scheduler,
        seed=seed,
        num_images=1 if params.n is None else params.n,
        loras=tuple(Adapter(str(own(each.url, base)), each.scale) for each in params.loras or ()),
    )
    return Submission(
        endpoint.generation(draft),
        endpoint.source,
        version=endpoint.version,
        cacheable=seed is not None and not params.loras,  # whose files may change
        wait_for_model=True,
        dialect=DIALECT,
        caller=caller_of(headers),
        dialect_state={"format": params.response_format},
    )


def _known_as(catalog: Catalog, model: str) -> str:
    """A name that the operator gave goes before Nebius' own."""
    return model if catalog.model(model) else named_by(DIALECT, model) or model


def _take(value: Any, unknown: UnknownFields) -> NebiusBody:
    try:
        return unknown.take(NebiusBody, value)
    except ValidationError as error:
        errors = error.errors(include_url=False)[: json_body.SHOWN_ERRORS]
        raise InvalidRequest([_detail(each) for each in errors]) from None


def _detail(error: Any) -> dict[str, Any]:
    loc, type = error["loc"], error["type"]
    if type not in WRONG:
        return detail(loc, error["msg"], type)
    known = NebiusBody.model_fields if len(loc) == 1 else NebiusLora.model_fields
    value = error["input"]
    facts = {"value": json_body.shown(value), "known": ", ".join(known)}
    facts["length"] = f"{len(value)} characters" if isinstance(value, str) else ""
    return detail(loc, WRONG[type].format(**facts, **error.get("ctx", {})), type)


def credential(headers: Headers) -> None:
    """Raises a Fault where an Authorization is not of Nebius' form; there may be none."""
    if not bearer_formed(headers):
        raise Fault(Kind.DENIED, "authorization is not of the form 'Bearer <key>'; send a key so")
