"""Nebius' words: of errors."""

from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers

from imagemill.errors import Fault, Kind
from imagemill.http import json_body, replies
from imagemill.http.identity import of_hugging_face

DIALECT = "nebius"

STATUSES = {
    **replies.STATUSES,
    Kind.INVALID: 422,
    Kind.CANCELLED: 500,
    Kind.EARLY: 400,
    Kind.CONFLICT: 422,  # the clients send again what is told with 409
}
NAMES: dict[str, str] = {
    "steps": "num_inference_steps",
    "num_images": "n",
    "format": "response_extension",
}

# What is taken in the URL and nothing is done with, and why.
IGNORED: dict[str, str] = {"ai_project_id": "whose bill it would go on; there are no bills here"}

# By pydantic's own name of what is wrong; the names in braces are of pydantic's context.
WRONG: dict[str, str] = json_body.WRONG | {
    "extra_forbidden": "unknown field; known are {known}",
    "greater_than_equal": "{value} is too small; give at least {ge}",
    "less_than_equal": "{value} is too large; give at most {le}",
    "string_too_short": "the text is empty; fill it in",
    "string_too_long": "the text of {length} is too long; {max_length} characters are read",
    "too_long": "{actual_length} are given; give at most {max_length}",
}


def detail(
    loc: tuple[int | str, ...], message: str, type: str, where: str = "body"
) -> dict[str, Any]:
    """One thing that is wrong."""
    places = [f"{part:.80}" if isinstance(part, str) else part for part in loc]
    return {"loc": [where, *places], "msg": message, "type": type}


class InvalidRequest(Fault):
    """A request with everything that is wrong with it."""

    def __init__(self, details: list[dict[str, Any]]) -> None:
        places = [".".join(map(str, each["loc"][1:])) or "the body" for each in details]
        pairs = zip(places, details, strict=True)
        super().__init__(Kind.INVALID, "; ".join(f"{at}: {each['msg']}" for at, each in pairs))
        self.details = details


def refuse(headers: Headers, fault: Fault) -> Response:
    """The error in the form that whoever sent `headers` can read."""
    name = NAMES.get(fault.field or "")
    message = f"{name}: {fault.message}" if name else fault.message
    # FastAPI's form alone is shown by none of OpenAI's clients, which look for a message.
    body: dict[str, Any] = {"detail": _details(fault), "error": {"message": message}}
    if of_hugging_face(headers):  # which shows an error only where it is a text of that name
        body = {"error": message}
    return JSONResponse(body, STATUSES[fault.kind], replies.fault_headers(fault))


def _details(fault: Fault) -> str | list[dict[str, Any]]:
    if isinstance(fault, InvalidRequest):
        return fault.details
    if STATUSES[fault.kind] != STATUSES[Kind.INVALID]:
        return fault.message
    loc = () if fault.field in (None, "body") else (NAMES.get(fault.field, fault.field),)
    return [detail(loc, fault.message, "value_error")]
