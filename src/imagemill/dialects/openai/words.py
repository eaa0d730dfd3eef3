"""OpenAI's words: of what is wrong, and who may try again.

The types and codes are those that OpenAI's API is known to answer with, where it has one.
"""

import json
from dataclasses import dataclass
from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers

from imagemill.errors import Fault, Kind
from imagemill.http import replies
from imagemill.http.identity import bearer_formed

CALLERS = "invalid_request_error"
OURS = "server_error"


@dataclass(frozen=True)
class Word:
    """How a fault of one kind is told. again: the same request may succeed later."""

    status: int
    type: str
    code: str | None = None
    again: bool = False


ERRORS: dict[Kind, Word] = {
    Kind.INVALID: Word(400, CALLERS, "invalid_value"),
    Kind.NOT_FOUND: Word(404, CALLERS, "model_not_found"),
    Kind.TOO_LARGE: Word(413, CALLERS, "request_too_large"),
    Kind.SLOW: Word(408, CALLERS, "request_timeout", again=True),
    Kind.BUSY: Word(429, "rate_limit_exceeded", "rate_limit_exceeded", again=True),
    Kind.LOADING: Word(503, OURS, "model_loading", again=True),
    Kind.CANCELLED: Word(503, OURS, again=True),
    Kind.DENIED: Word(401, CALLERS, "invalid_api_key"),
    Kind.CONFLICT: Word(409, CALLERS, "idempotency_conflict"),
    Kind.EARLY: Word(409, CALLERS),
    Kind.TIMEOUT: Word(504, OURS),
    Kind.NO_PATH: Word(404, CALLERS),
    Kind.NO_VERB: Word(405, CALLERS),
    Kind.MALFORMED: Word(400, CALLERS),
    Kind.MISDIRECTED: Word(421, CALLERS),
    Kind.FOREIGN: Word(403, CALLERS),
    Kind.FORBIDDEN: Word(400, CALLERS, "invalid_image_url"),
    Kind.UNREACHABLE: Word(400, CALLERS, "invalid_image_url"),
    Kind.UNREADABLE: Word(400, CALLERS, "invalid_image_file"),
    Kind.UNSUPPORTED: Word(400, CALLERS, "unsupported_value"),
    Kind.UNAVAILABLE: Word(503, OURS, "service_unavailable", again=True),
    Kind.FULL: Word(507, OURS, "insufficient_storage"),
    Kind.FAILED: Word(500, OURS),
}
STATUSES = {kind: word.status for kind, word in ERRORS.items()}

# Canonical names that OpenAI's callers know by another; None is no parameter.
NAMES: dict[str, str | None] = {
    "steps": "num_inference_steps",
    "num_images": "n",
    "format": "output_format",
    "width": "size",
    "height": "size",
    "body": None,
    "host": None,
    "request_id": None,
    "authorization": None,
}


class Told(JSONResponse):
    """In ASCII: what JSON brings and a reply repeats may be what UTF-8 cannot hold."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode("ascii")


class Wrong(Fault):
    """A parameter that is not what it should be, with OpenAI's own code for that."""

    def __init__(self, message: str, param: str | None, code: str = "invalid_value") -> None:
        super().__init__(Kind.INVALID, message, param)
        self.code = code


def error_body(fault: Fault) -> dict[str, Any]:
    word, field = ERRORS[fault.kind], fault.field or "body"
    code = fault.code if isinstance(fault, Wrong) else word.code
    param = field if isinstance(fault, Wrong) and fault.field else NAMES.get(field, field)
    told = {"message": fault.message, "type": word.type, "param": param, "code": code}
    return {"error": told}


def refuse(fault: Fault) -> Response:
    word, headers = ERRORS[fault.kind], replies.retry_header(fault)
    if not word.again:  # else the clients send what cannot succeed three times
        headers["x-should-retry"] = "false"
    return Told(error_body(fault), word.status, headers)


def credential(headers: Headers) -> None:
    """Raises a Fault where an Authorization is not of OpenAI's form; there may be none."""
    if not bearer_formed(headers):
        told = "the header Authorization must be of the form 'Bearer KEY'; any key will do here"
        raise Fault(Kind.DENIED, told)
