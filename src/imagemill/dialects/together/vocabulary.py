"""Together's words: of errors, of sizes."""

from dataclasses import dataclass

from fastapi import Response
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers

from imagemill.errors import Fault, Kind
from imagemill.http import replies
from imagemill.http.identity import of_hugging_face
from imagemill.http.input_images import names_of_images

DIALECT = "together"


@dataclass(frozen=True)
class ErrorCode:
    """How an error of one kind is told."""

    #: Of HTTP.
    status: int
    #: A word of OpenAI's documentation.
    type: str = "invalid_request_error"
    #: A word of OpenAI's documentation; None where there is none.
    code: str | None = None


# Its clients send anything again that is told with 408, 409, 429 or 5xx.
ERRORS: dict[Kind, ErrorCode] = {
    Kind.INVALID: ErrorCode(400),
    Kind.NOT_FOUND: ErrorCode(404, code="model_not_available"),
    Kind.TOO_LARGE: ErrorCode(413),
    Kind.ENCODED: ErrorCode(415),
    Kind.SLOW: ErrorCode(408, "timeout"),
    Kind.BUSY: ErrorCode(429, "rate_limit"),
    Kind.LOADING: ErrorCode(503, "service_unavailable"),
    Kind.CANCELLED: ErrorCode(500, "server_error"),  # not 503: see refuse
    Kind.DENIED: ErrorCode(401, code="invalid_api_key"),
    Kind.UNPAID: ErrorCode(402, code="insufficient_credits"),
    Kind.CONFLICT: ErrorCode(422, code="idempotency_conflict"),
    Kind.EARLY: ErrorCode(400),
    Kind.TIMEOUT: ErrorCode(504, "timeout"),
    Kind.NO_PATH: ErrorCode(404),
    Kind.NO_VERB: ErrorCode(405),
    Kind.MALFORMED: ErrorCode(400),
    Kind.MISDIRECTED: ErrorCode(421),
    Kind.FOREIGN: ErrorCode(403),
    Kind.FORBIDDEN: ErrorCode(422),
    Kind.UNREACHABLE: ErrorCode(422),
    Kind.UNREADABLE: ErrorCode(422),
    Kind.UNSUPPORTED: ErrorCode(422),
    Kind.UNAVAILABLE: ErrorCode(503, "service_unavailable"),
    Kind.FULL: ErrorCode(507, "server_error"),
    Kind.UNSAFE: ErrorCode(422),
    Kind.FAILED: ErrorCode(500, "server_error"),
}

# Canonical names that Together calls otherwise.
NAMES: dict[str, str] = {
    "num_images": "n",
    "image": "image_url",
    "mask": "mask_image",
    "loras": "image_loras",
    "format": "output_format",
    **names_of_images("image_url"),
}

# Width and height in px of about a megapixel; the first five as Together's guide has them.
RATIOS: dict[str, tuple[int, int]] = {
    "1:1": (1024, 1024),
    "16:9": (1344, 768),
    "9:16": (768, 1344),
    "3:2": (1248, 832),
    "4:3": (1184, 864),
    "2:3": (832, 1248),
    "3:4": (864, 1184),
}


def refuse(headers: Headers, fault: Fault) -> Response:
    """The error in the form that whoever sent `headers` can read.

    Hugging Face's clients show an `error` only where it is a text. Theirs in JavaScript sends again
    at once, for ever, what was told with 503: so only who has waited for a model is told that, and
    who is held back (`SlowRetryMiddleware`) while what the server stands on is away.
    """
    word, name = ERRORS[fault.kind], NAMES.get(fault.field or "")
    message = f"{name}: {fault.message}" if name else fault.message
    error: object = message
    if not of_hugging_face(headers):
        param = name or fault.field
        error = {"message": message, "type": word.type, "param": param, "code": word.code}
    return JSONResponse({"error": error}, word.status, replies.fault_headers(fault))
