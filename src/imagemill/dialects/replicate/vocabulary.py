"""Replicate's words: of states, and of errors.

What is wrong with an input is told as the JSON Schema validator of Replicate's API tells it.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import Response
from pydantic import BaseModel, ValidationError

from imagemill.errors import Fault, Kind
from imagemill.http import json_body, replies
from imagemill.http.input_images import names_of_images
from imagemill.job import Job, Status

STATUSES: dict[Status, str] = {
    Status.QUEUED: "starting",
    Status.RUNNING: "processing",
    Status.SUCCEEDED: "succeeded",
    Status.FAILED: "failed",
    Status.CANCELLED: "canceled",
}


@dataclass(frozen=True)
class ErrorTitle:
    """How an error of one kind is told."""

    #: The HTTP status.
    code: int
    #: In a few words.
    title: str


# 503 is only what passes by itself: the JavaScript client of Hugging Face sends again at once, for
# ever, and is held back as long as it takes (`SlowRetryMiddleware`).
ERRORS: dict[Kind, ErrorTitle] = {
    Kind.INVALID: ErrorTitle(422, "Input validation failed"),
    Kind.NOT_FOUND: ErrorTitle(404, "Not found"),
    Kind.TOO_LARGE: ErrorTitle(413, "Payload too large"),
    Kind.ENCODED: ErrorTitle(415, "Unsupported media type"),
    Kind.SLOW: ErrorTitle(408, "Request timed out"),
    Kind.BUSY: ErrorTitle(429, "Too many requests"),
    Kind.LOADING: ErrorTitle(504, "Model is loading"),
    Kind.CANCELLED: ErrorTitle(500, "Prediction interrupted"),
    Kind.DENIED: ErrorTitle(401, "Unauthenticated"),
    Kind.UNPAID: ErrorTitle(402, "Insufficient credit"),
    Kind.CONFLICT: ErrorTitle(409, "Conflict"),
    Kind.EARLY: ErrorTitle(409, "Conflict"),
    Kind.TIMEOUT: ErrorTitle(504, "Prediction timed out"),
    Kind.NO_PATH: ErrorTitle(404, "Not found"),
    Kind.NO_VERB: ErrorTitle(405, "Method not allowed"),
    Kind.MALFORMED: ErrorTitle(400, "Bad request"),
    Kind.MISDIRECTED: ErrorTitle(421, "Misdirected request"),
    Kind.FOREIGN: ErrorTitle(403, "Forbidden"),
    Kind.FORBIDDEN: ErrorTitle(422, "Address not allowed"),
    Kind.UNREACHABLE: ErrorTitle(422, "File not reachable"),
    Kind.UNREADABLE: ErrorTitle(422, "File not readable"),
    Kind.UNSUPPORTED: ErrorTitle(422, "Not supported"),
    Kind.UNAVAILABLE: ErrorTitle(503, "Service unavailable"),
    Kind.FULL: ErrorTitle(507, "Insufficient storage"),
    Kind.UNSAFE: ErrorTitle(422, "Content not allowed"),
    Kind.FAILED: ErrorTitle(500, "Internal server error"),
}
CODES: dict[Kind, int] = {kind: title.code for kind, title in ERRORS.items()}

ALL_FLAGGED = (
    "All generated images contained NSFW content. Try running it again with a different prompt."
)

# Canonical names of what is an input, by what they are called here; others are called the same.
NAMES: dict[str, str] = {
    "steps": "num_inference_steps",
    "num_images": "num_outputs",
    "loras": "lora_weights",
    "strength": "prompt_strength",
    "format": "output_format",
    **names_of_images("image"),
}
# Fields of faults that are no inputs.
OUTSIDE = {"body", "host", "query", "webhook", "prefer", "cancel-after", "cursor", "metadata"}

# By pydantic's name of what is wrong: the validator's, and its words.
WRONG: dict[str, tuple[str, str]] = {
    "missing": ("required", "{name} is required"),
    "int_type": ("invalid_type", "Invalid type. Expected: integer, given: {input_type}"),
    "float_type": ("invalid_type", "Invalid type. Expected: number, given: {input_type}"),
    "bool_type": ("invalid_type", "Invalid type. Expected: boolean, given: {input_type}"),
    "string_type": ("invalid_type", "Invalid type. Expected: string, given: {input_type}"),
    "list_type": ("invalid_type", "Invalid type. Expected: array, given: {input_type}"),
    "dict_type": ("invalid_type", "Invalid type. Expected: object, given: {input_type}"),
    "model_type": ("invalid_type", "Invalid type. Expected: object, given: {input_type}"),
    "greater_than_equal": ("number_gte", "Must be greater than or equal to {ge}"),
    "less_than_equal": ("number_lte", "Must be less than or equal to {le}"),
    "string_too_short": (
        "string_gte",
        "String length must be greater than or equal to {min_length}",
    ),
    "string_too_long": (
        "string_lte",
        "String length must be less than or equal to {max_length}; it has {length} characters",
    ),
    "too_long": ("array_max_items", "Array must have at most {max_length} items"),
}
# The order tells booleans from numbers.
TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (dict, "object"),
)


@dataclass(frozen=True)
class InvalidField:
    """One thing that is wrong with a body."""

    #: The validator's word.
    type: str
    #: The way to it, with dots between; empty for the body itself.
    field: str
    #: What is wrong, and the way out.
    description: str

    def __str__(self) -> str:
        return f"- {self.field}: {self.description}" if self.field else f"- {self.description}"


class InvalidFields(Fault):
    """A body with everything that is wrong with it."""

    def __init__(self, fields: Sequence[InvalidField]) -> None:
        super().__init__(Kind.INVALID, "".join(f"{each}\n" for each in fields))
        self.fields = tuple(fields)


def status_of(job: Job) -> str:
    """What a job's state is called; one that was never begun in time has met its deadline."""
    late = job.fault is not None and job.fault.kind is Kind.TIMEOUT
    return STATUSES[Status.CANCELLED if late else job.status]


def refused(error: ValidationError, model: type[BaseModel], prefix: str = "") -> InvalidFields:
    known = ", ".join(model.model_fields)
    errors = error.errors(include_url=False)[: json_body.SHOWN_ERRORS]
    return InvalidFields([_invalid(each, known, prefix) for each in errors])


def _invalid(error: Any, known: str, prefix: str) -> InvalidField:
    path = [*([prefix] if prefix else []), *(f"{part!s:.80}" for part in error["loc"])]
    name, above = path[-1] if error["loc"] else "", ".".join(path[:-1])
    kind, context = error["type"], error.get("ctx") or {}
    if kind == "missing":
        return InvalidField("required", above, f"{name} is required")
    if kind == "extra_forbidden":
        message = f"Additional property {name} is not allowed; known are {known}"
        return InvalidField("additional_property_not_allowed", above, message)
    if kind == "literal_error":
        choices = ", ".join(f'"{each}"' for each in re.findall(r"'([^']*)'", context["expected"]))
        message = f"{'.'.join(path)} must be one of the following: {choices}"
        return InvalidField("enum", ".".join(path), message)
    if kind not in WRONG:
        return InvalidField(kind, ".".join(path), json_body.wrong(error))
    input_type = next((each for type, each in TYPES if isinstance(error["input"], type)), "null")
    length = len(error["input"]) if input_type == "string" else 0
    type, text = WRONG[kind]
    return InvalidField(
        type, ".".join(path), text.format(input_type=input_type, length=length, **context)
    )


def _fields(fault: Fault) -> list[InvalidField]:
    if isinstance(fault, InvalidFields):
        return list(fault.fields)
    if fault.kind is not Kind.INVALID:
        return []
    name = NAMES.get(fault.field or "", fault.field or "")
    field = name if name in OUTSIDE or not name else f"input.{name}"
    return [InvalidField("invalid", "" if field == "body" else field, fault.message)]


def error_text(fault: Fault) -> str:
    """Why a prediction failed; as Replicate's FLUX models say it where all images were flagged."""
    return ALL_FLAGGED if fault.kind is Kind.UNSAFE and fault.field is None else fault.message


def refuse(fault: Fault) -> Response:
    title, fields = ERRORS[fault.kind], _fields(fault)
    detail = "".join(f"{each}\n" for each in fields) if fields else fault.message
    if fault.kind is Kind.BUSY:
        seconds = replies.fault_headers(fault).get("retry-after", "1")
        detail = f"Request was throttled. Your rate limit resets in ~{seconds}s. {detail}"
    body: dict[str, Any] = {"title": title.title, "detail": detail, "status": title.code}
    if fields:
        body["invalid_fields"] = [asdict(each) for each in fields]
    # Hugging Face's clients, which come here through their router, show nothing but `error`.
    body["error"] = detail.strip()
    # In ASCII: the name of an unknown field may be what UTF-8 cannot hold.
    content, headers = json.dumps(body), replies.fault_headers(fault)
    return Response(content, title.code, headers, media_type="application/json")
