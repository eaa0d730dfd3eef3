"""Together's requests, as submissions."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from starlette.datastructures import Headers

from imagemill.catalog import Catalog, Endpoint
from imagemill.catalog.models import named_by
from imagemill.dialects.hub_models import UNSAID
from imagemill.dialects.together.words import DOOR, RATIOS
from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import DATA, MAX_IMAGES, MAX_LORAS, Draft, Generation
from imagemill.generation import Lora as Adapter
from imagemill.http import json_body
from imagemill.http.identity import bearer_formed, caller_of, own
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
from imagemill.job import Submission

UNASKED = (1024, 1024)  # px; together-py 1.x sends it with everything that names no size
MULTIPLE = 16  # px; what every family paints without cutting

MOST_REFERENCES = 16

Ratio = Literal["1:1", "16:9", "9:16", "3:2", "4:3", "2:3", "3:4"]


class Size(Strict):
    width: int
    height: int


class Lora(Strict):
    path: Annotated[str, Field(min_length=1, description="Address of a safetensors file.")]
    scale: Annotated[float, Field(description="How strongly it is applied, -4 to 4.")] = 1.0

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        for name in value if isinstance(value, dict) else ():
            if name not in cls.model_fields:
                told = "unknown field {name}; known are path, scale"
                raise PydanticCustomError("unknown_field", told, {"name": f"{name!r:.80}"})
        return value


class Body(Strict):
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
    image_url: Annotated[str | None, json_body.picture("What to paint over: a URL.")] = None
    image_base64: Annotated[str | None, json_body.picture("The same, as base64.")] = None
    reference_images: Annotated[
        list[Annotated[str, json_body.picture("A URL.")]] | None,
        Field(description="The same again: one URL in a list.", max_length=MOST_REFERENCES),
    ] = None
    mask_image: Annotated[str | None, json_body.picture("White is painted over.")] = None
    strength: Annotated[float | None, Field(description="How much is painted over, 0 to 1.")] = None
    image_loras: Annotated[list[Lora] | None, Field(max_length=MAX_LORAS)] = None
    response_format: Literal["url", "base64", "b64_json"] | None = None
    output_format: Literal["jpeg", "png"] | None = None
    disable_safety_checker: bool | None = None


def credential(headers: Headers) -> None:
    """Raises a Fault where an Authorization is not of Together's form; there may be none."""
    if not bearer_formed(headers):
        told = "Invalid API key provided: authorization is not of the form 'Bearer <key>'."
        raise Fault(Kind.DENIED, told, "authorization")


def read(catalog: Catalog, headers: Headers, body: bytes, base: str) -> Submission:
    asked = json_body.take(Body, json_body.parse(json_body.text(body)))
    endpoint = catalog.find(_known_as(catalog, asked.model))
    generation = endpoint.generation(_draft(asked, endpoint, base))
    return Submission(
        generation,
        endpoint.source,
        version=endpoint.version,
        cacheable=asked.seed is not None and _lasting(generation),
        wait_for_model=True,
        dialect=DOOR,
        caller=caller_of(headers),
        dialect_state={
            "model": asked.model,
            "inline": asked.response_format in ("base64", "b64_json"),
        },
    )


def _known_as(catalog: Catalog, model: str) -> str:
    """A name that the operator gave goes before Together's own."""
    return model if catalog.model(model) else named_by(DOOR, model) or model


def _draft(asked: Body, endpoint: Endpoint, base: str) -> Draft:
    width, height = _size(asked, endpoint)
    image = _image(asked, base)
    if asked.strength is not None and image is None:
        raise invalid("strength", "strength needs an image that it belongs to; give both")
    return Draft(
        asked.prompt or (UNSAID if image else ""),
        format=asked.output_format or "jpeg",
        negative_prompt=asked.negative_prompt or "",
        width=width,
        height=height,
        steps=_either(asked, "steps", "num_inference_steps"),
        guidance_scale=_either(asked, "guidance_scale", "guidance"),
        scheduler=asked.scheduler,
        seed=asked.seed,
        num_images=1 if asked.n is None else asked.n,
        image=image,
        mask=None if asked.mask_image is None else _reference(asked.mask_image, base),
        strength=asked.strength,
        image_sized=image is not None and (width, height) == (None, None),
        loras=tuple(
            Adapter(str(own(each.path, base)), each.scale) for each in asked.image_loras or ()
        ),
        expand=bool(asked.prompt_upsampling),
    )


def _either(asked: Body, *names: str) -> Any:
    """The value of what has several names."""
    given = {name: value for name in names if (value := getattr(asked, name)) is not None}
    if len(set(given.values())) > 1:
        told = " and ".join(f"{name} {value}" for name, value in given.items())
        raise invalid(names[0], f"{told} contradict each other; give one of them")
    return next(iter(given.values()), None)


def _size(asked: Body, endpoint: Endpoint) -> tuple[int | None, int | None]:
    sides, target, ratio = (asked.width, asked.height), asked.target_size, asked.aspect_ratio
    wanted = [(target.width, target.height)] if target else []
    wanted += [_shaped(ratio, endpoint)] if ratio else []
    if not wanted:
        return sides
    if len(wanted) == 1 and sides in ((None, None), UNASKED, wanted[0]):
        return wanted[0]
    told = "width and height, target_size and aspect_ratio exclude one another; give one of them"
    raise invalid("aspect_ratio" if ratio else "target_size", told)


def _shaped(ratio: Ratio, endpoint: Endpoint) -> tuple[int, int]:
    """As many pixels as the model usually paints, in this shape."""
    scale = math.sqrt(endpoint.defaults.width * endpoint.defaults.height) / RATIOS["1:1"][0]
    width, height = (round(side * scale / MULTIPLE) * MULTIPLE for side in RATIOS[ratio])
    return width, height


def _image(asked: Body, base: str) -> str | None:
    names = asked.image_url, asked.image_base64, *(asked.reference_images or ())
    given = dict.fromkeys(_reference(name, base) for name in names if name is not None)
    if len(given) > 1:
        told = f"{len(given)} images are given; one can be painted over here; give that one"
        raise Fault(Kind.UNSUPPORTED, told, "image")
    return next(iter(given), None)


def _reference(given: str, base: str) -> str:
    """A URL; what has no scheme is base64 by itself."""
    return str(own(given, base)) if ":" in given else f"{DATA}image/png;base64,{given}"


def _lasting(generation: Generation) -> bool:
    """Whether all that is painted from came within the request; elsewhere it may change."""
    references = generation.image, generation.mask, *(each.path for each in generation.loras)
    return all(each is None or each.startswith(DATA) for each in references)
