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
from imagemill.http.input_images import names_of_images

CALLERS = "invalid_request_error"
OURS = "server_error"


@dataclass(frozen=True)
class OpenAIErrorRow:
    """How a fault of one kind is told."""

    #: Of HTTP.
    status: int
    #: By OpenAI's name.
    type: str
    #: By OpenAI's name, where it has one.
    code: str | None = None
    #: The same request may succeed later.
    retryable: bool = False


ERRORS: dict[Kind, OpenAIErrorRow] = {
    Kind.INVALID: OpenAIErrorRow(400, CALLERS, "invalid_value"),
    Kind.NOT_FOUND: OpenAIErrorRow(404, CALLERS, "model_not_found"),
    Kind.TOO_LARGE: OpenAIErrorRow(413, CALLERS, "request_too_large"),
    Kind.ENCODED: OpenAIErrorRow(415, CALLERS, "unsupported_content_encoding"),
    Kind.SLOW: OpenAIErrorRow(408, CALLERS, "request_timeout", retryable=True),
    Kind.BUSY: OpenAIErrorRow(429, "rate_limit_exceeded", "rate_limit_exceeded", retryable=True),
    Kind.LOADING: OpenAIErrorRow(503, OURS, "model_loading", retryable=True),
    Kind.CANCELLED: OpenAIErrorRow(503, OURS, retryable=True),
    Kind.DENIED: OpenAIErrorRow(401, CALLERS, "invalid_api_key"),
    Kind.UNPAID: OpenAIErrorRow(402, "insufficient_quota", "insufficient_quota"),
    Kind.CONFLICT: OpenAIErrorRow(409, CALLERS, "idempotency_conflict"),
    Kind.EARLY: OpenAIErrorRow(409, CALLERS),
    Kind.TIMEOUT: OpenAIErrorRow(504, OURS),
    Kind.NO_PATH: OpenAIErrorRow(404, CALLERS),
    Kind.NO_VERB: OpenAIErrorRow(405, CALLERS),
    Kind.MALFORMED: OpenAIErrorRow(400, CALLERS),
    Kind.MISDIRECTED: OpenAIErrorRow(421, CALLERS),
    Kind.FOREIGN: OpenAIErrorRow(403, CALLERS),
    Kind.FORBIDDEN: OpenAIErrorRow(400, CALLERS, "invalid_image_url"),
    Kind.UNREACHABLE: OpenAIErrorRow(400, CALLERS, "invalid_image_url"),
    Kind.UNREADABLE: OpenAIErrorRow(400, CALLERS, "invalid_image_file"),
    Kind.UNSUPPORTED: OpenAIErrorRow(400, CALLERS, "unsupported_value"),
    Kind.UNAVAILABLE: OpenAIErrorRow(503, OURS, "service_unavailable", retryable=True),
    Kind.FULL: OpenAIErrorRow(507, OURS, "insufficient_storage"),
    Kind.UNSAFE: OpenAIErrorRow(400, "image_generation_user_error", "moderation_blocked"),
    Kind.FAILED: OpenAIErrorRow(500, OURS),
}
STATUSES = {kind: row.status for kind, row in ERRORS.items()}

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
    **names_of_images("image"),
}


class OpenAIResponse(JSONResponse):
    """In ASCII: what JSON brings and a reply repeats may be what UTF-8 cannot hold."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode("ascii")


class InvalidParameter(Fault):
    """A parameter that is not what it should be, with OpenAI's own code for that."""

    def __init__(self, message: str, param: str | None, code: str = "invalid_value") -> None:
        super().__init__(Kind.INVALID, message, param)
        self.code = code


def content_policy(fault: Fault) -> InvalidParameter:
    """What is not allowed, as the models before gpt-image tell it."""
    return InvalidParameter(fault.message, fault.field, "content_policy_violation")


def error_body(fault: Fault) -> dict[str, Any]:
    row, field = ERRORS[fault.kind], fault.field or "body"
    code, param = row.code, NAMES.get(field, field)
    if isinstance(fault, InvalidParameter):
        code, param = fault.code, fault.field or param
    return {"error": {"message": fault.message, "type": row.type, "param": param, "code": code}}


def refuse(fault: Fault) -> Response:
    row, headers = ERRORS[fault.kind], replies.fault_headers(fault)
    if not row.retryable:  # else the clients send what cannot succeed three times
        headers["x-should-retry"] = "false"
    return OpenAIResponse(error_body(fault), row.status, headers)


def credential(headers: Headers) -> None:
    """Raises a Fault where an Authorization is not of OpenAI's form; there may be none."""
    if not bearer_formed(headers):
        message = "the header Authorization must be of the form 'Bearer KEY'; any key will do here"
        raise Fault(Kind.DENIED, message)
