"""Nebula Block's requests, as submissions."""

from dataclasses import replace
from typing import Any

from starlette.datastructures import Headers

from imagemill.catalog import Catalog
from imagemill.dialects.nebula import image_fields
from imagemill.dialects.nebula.vocabulary import (
    ALWAYS,
    DIALECT,
    NOTHING,
    OPTIONAL,
    SPELLINGS,
    ModelFields,
    NebulaBody,
    model_of,
)
from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import MAX_SIDE, MIN_SIDE, Draft, Generation
from imagemill.http import json_body
from imagemill.http.identity import bearer_formed, caller_of
from imagemill.http.unknown_fields import UnknownFields
from imagemill.images.geometry import Size
from imagemill.job import Submission
from imagemill.jobs.input_files import Inline
from imagemill.references import DATA


def parsed(headers: Headers, body: bytes, unknown: UnknownFields) -> NebulaBody:
    credential(headers)
    value = json_body.parse(json_body.text(body))
    return json_body.take(NebulaBody, json_body.with_integers(value), unknown)


def with_images(body: NebulaBody) -> bool:
    return any(_value(body, name) is not None for name in ("image", "mask"))


def read(
    catalog: Catalog, headers: Headers, body: NebulaBody
) -> tuple[Submission, dict[str, Inline]]:
    """The submission, and its images by their fields. Decodes these: where there are some, it
    belongs into a thread.
    """
    model = model_of(_model(body))
    optional = {name: _value(body, name) for name in OPTIONAL}
    _check(model, optional)
    endpoint = catalog.find(model.id)
    images, size = _images(optional)
    image, mask = (DATA if name in images else optional[name] for name in ("image", "mask"))
    width, height = _sides(body.width, body.height, size)
    draft = Draft(
        body.prompt,
        negative_prompt=optional["negative_prompt"] or "",
        width=width,
        height=height,
        steps=body.num_steps,
        guidance_scale=body.guidance_scale,
        seed=optional["seed"],
        image=image,
        mask=mask,
        # What the mask shows is missing, not to be kept in part.
        strength=None if mask is None else 1.0,
    )
    submission = Submission(
        _adjusted(endpoint.generation(draft), model.multiple_of),
        endpoint.source,
        version=endpoint.version,
        cacheable=optional["seed"] is not None,  # else every call is meant to give another picture
        wait_for_model=True,
        dialect=DIALECT,
        caller=caller_of(headers),
    )
    return submission, images


def credential(headers: Headers) -> None:
    """Raises a Fault where an Authorization is not of the usual form; there may be none."""
    if not bearer_formed(headers):
        raise Fault(Kind.DENIED, "authorization is not of the form 'Bearer KEY'; send a key so")


def _model(body: NebulaBody) -> str:
    id: str | None = _value(body, "model")
    if id is None:
        raise invalid("model", "model is required; name one of GET /serverless/models")
    return id


def _value(body: NebulaBody, name: str) -> Any:
    """The value of a field under whichever name it came; None where nothing is asked for."""
    names = SPELLINGS.get(name, (name,))
    values = [value for each in names if (value := getattr(body, each)) is not None]
    if len(values) > 1 and values[0] != values[1]:
        message = f"{' and '.join(names)} are two names of one field, and came with two values"
        raise invalid(name, f"{message}; send {names[0]} alone")
    return None if not values or values[0] == NOTHING.get(name) else values[0]


def _check(model: ModelFields, optional: dict[str, Any]) -> None:
    came = [name for name, value in optional.items() if value is not None]
    if wrong := [name for name in came if name not in model.takes]:
        message = f"{model.id:.200} takes no {' and no '.join(wrong)}"
        known = ", ".join((*ALWAYS, *model.takes))
        raise Fault(Kind.UNSUPPORTED, f"{message}; it takes {known}", wrong[0])
    if lacking := [name for name in model.needs if optional[name] is None]:
        message = f"{model.id} needs {' and '.join(model.needs)}, in base64"
        raise invalid(lacking[0], f"{message}; {' and '.join(lacking)} did not come")


def _images(optional: dict[str, Any]) -> tuple[dict[str, Inline], Size | None]:
    """Image and mask, this in the image's size, and that size."""
    if optional["image"] is None:
        return {}, None  # a mask alone is refused by Generation
    image, size = image_fields.image(optional["image"])
    if optional["mask"] is None:
        return {"image": image}, size
    return {"image": image, "mask": image_fields.mask(optional["mask"], size)}, size


def _sides(
    width: int | None, height: int | None, image: Size | None
) -> tuple[int | None, int | None]:
    """With an image, a side that was left open has its proportion, or, with both, its size."""
    if image is None:
        return width, height
    wide, high = image
    if width is None and height is None:
        scale = max(min(1.0, MAX_SIDE / max(image)), MIN_SIDE / min(image))
        return min(MAX_SIDE, round(wide * scale)), min(MAX_SIDE, round(high * scale))
    # In integers: JSON can bring what no float can hold.
    return (
        (height or 0) * wide // high if width is None else width,
        (width or 0) * high // wide if height is None else height,
    )


def _adjusted(generation: Generation, multiple_of: int) -> Generation:
    """With sides rounded down to multiples, which the least and the largest side are."""
    return replace(
        generation,
        width=generation.width - generation.width % multiple_of,
        height=generation.height - generation.height % multiple_of,
    )
