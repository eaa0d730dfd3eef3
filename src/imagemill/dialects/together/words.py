"""Together's words: of errors, of sizes."""

from dataclasses import dataclass

from fastapi import Response
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers

from imagemill.errors import Fault, Kind
from imagemill.http import replies
from imagemill.http.identity import of_hugging_face

DOOR = "together"


@dataclass(frozen=True)
class Word:
    """How an error of one kind is told."""

    status: int
    type: str = "invalid_request_error"
    code: str | None = None


# Its clients send anything again that is told with 408, 409, 429 or 5xx.
ERRORS: dict[Kind, Word] = {
    Kind.INVALID: Word(400),
    Kind.NOT_FOUND: Word(404, code="model_not_available"),
    Kind.TOO_LARGE: Word(413),
    Kind.SLOW: Word(408, "timeout"),
    Kind.BUSY: Word(429, "rate_limit"),
    Kind.LOADING: Word(503, "service_unavailable"),
    Kind.CANCELLED: Word(500, "server_error"),  # not 503: see refuse
    Kind.DENIED: Word(401, code="invalid_api_key"),
    Kind.CONFLICT: Word(422, code="idempotency_conflict"),
    Kind.EARLY: Word(400),
    Kind.TIMEOUT: Word(504, "timeout"),
    Kind.NO_PATH: Word(404),
    Kind.NO_VERB: Word(405),
    Kind.MALFORMED: Word(400),
    Kind.MISDIRECTED: Word(421),
    Kind.FOREIGN: Word(403),
    Kind.FORBIDDEN: Word(422),
    Kind.UNREACHABLE: Word(422),
    Kind.UNREADABLE: Word(422),
    Kind.UNSUPPORTED: Word(422),
    Kind.UNAVAILABLE: Word(503, "service_unavailable"),
    Kind.FULL: Word(507, "server_error"),
    Kind.FAILED: Word(500, "server_error"),
}

# Canonical names that Together calls otherwise.
NAMES: dict[str, str] = {
    "num_images": "n",
    "image": "image_url",
    "mask": "mask_image",
    "loras": "image_loras",
    "format": "output_format",
}

# What is taken and nothing is done with, and why.
IGNORED: dict[str, str] = {
    "disable_safety_checker": "there is no checker that could be switched off",
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
    return JSONResponse({"error": error}, word.status, replies.retry_header(fault))
