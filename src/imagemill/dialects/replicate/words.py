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
from imagemill.job import Job, Status

STATUSES: dict[Status, str] = {
    Status.QUEUED: "starting",
    Status.RUNNING: "processing",
    Status.SUCCEEDED: "succeeded",
    Status.FAILED: "failed",
    Status.CANCELLED: "canceled",
}


@dataclass(frozen=True)
class Word:
    code: int
    title: str


# 503 is only what passes by itself: the JavaScript client of Hugging Face sends again at once, for
# ever, and is held back as long as it takes (`SlowRetryMiddleware`).
ERRORS: dict[Kind, Word] = {
    Kind.INVALID: Word(422, "Input validation failed"),
    Kind.NOT_FOUND: Word(404, "Not found"),
    Kind.TOO_LARGE: Word(413, "Payload too large"),
    Kind.SLOW: Word(408, "Request timed out"),
    Kind.BUSY: Word(429, "Too many requests"),
    Kind.LOADING: Word(504, "Model is loading"),
    Kind.CANCELLED: Word(500, "Prediction interrupted"),
    Kind.DENIED: Word(401, "Unauthenticated"),
    Kind.CONFLICT: Word(409, "Conflict"),
    Kind.EARLY: Word(409, "Conflict"),
    Kind.TIMEOUT: Word(504, "Prediction timed out"),
    Kind.NO_PATH: Word(404, "Not found"),
    Kind.NO_VERB: Word(405, "Method not allowed"),
    Kind.MALFORMED: Word(400, "Bad request"),
    Kind.MISDIRECTED: Word(421, "Misdirected request"),
    Kind.FOREIGN: Word(403, "Forbidden"),
    Kind.FORBIDDEN: Word(422, "Address not allowed"),
    Kind.UNREACHABLE: Word(422, "File not reachable"),
    Kind.UNREADABLE: Word(422, "File not readable"),
    Kind.UNSUPPORTED: Word(422, "Not supported"),
    Kind.UNAVAILABLE: Word(503, "Service unavailable"),
    Kind.FULL: Word(507, "Insufficient storage"),
    Kind.FAILED: Word(500, "Internal server error"),
}
CODES: dict[Kind, int] = {kind: word.code for kind, word in ERRORS.items()}

# Canonical names of what is an input, by what they are called here; others are called the same.
NAMES: dict[str, str] = {
    "steps": "num_inference_steps",
    "num_images": "num_outputs",
    "loras": "lora_weights",
    "strength": "prompt_strength",
    "format": "output_format",
}
# Fields of faults that are no inputs.
OUTSIDE = {"body", "host", "query", "webhook", "prefer", "cancel-after", "cursor", "metadata"}

# By pydantic's name of what is wrong: the validator's, and its words.
WRONG: dict[str, tuple[str, str]] = {
    "missing": ("required", "{name} is required"),
    "int_type": ("invalid_type", "Invalid type. Expected: integer, given: {given}"),
    "float_type": ("invalid_type", "Invalid type. Expected: number, given: {given}"),
    "bool_type": ("invalid_type", "Invalid type. Expected: boolean, given: {given}"),
    "string_type": ("invalid_type", "Invalid type. Expected: string, given: {given}"),
    "list_type": ("invalid_type", "Invalid type. Expected: array, given: {given}"),
    "dict_type": ("invalid_type", "Invalid type. Expected: object, given: {given}"),
    "model_type": ("invalid_type", "Invalid type. Expected: object, given: {given}"),
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
class Invalid:
    """One thing that is wrong with a body. field: empty for the body itself."""

    type: str
    field: str
    description: str

    def __str__(self) -> str:
        return f"- {self.field}: {self.description}" if self.field else f"- {self.description}"


class Refused(Fault):
    """A body with everything that is wrong with it."""

    def __init__(self, fields: Sequence[Invalid]) -> None:
        super().__init__(Kind.INVALID, "".join(f"{each}\n" for each in fields))
        self.fields = tuple(fields)


def word(job: Job) -> str:
    """What a job's state is called; one that was never begun in time has met its deadline."""
    late = job.fault is not None and job.fault.kind is Kind.TIMEOUT
    return STATUSES[Status.CANCELLED if late else job.status]


def refused(error: ValidationError, model: type[BaseModel], prefix: str = "") -> Refused:
    known = ", ".join(model.model_fields)
    found = error.errors(include_url=False)[: json_body.SHOWN_ERRORS]
    return Refused([_invalid(each, known, prefix) for each in found])


def _invalid(error: Any, known: str, prefix: str) -> Invalid:
    path = [*([prefix] if prefix else []), *(f"{part!s:.80}" for part in error["loc"])]
    name, above = path[-1] if error["loc"] else "", ".".join(path[:-1])
    kind, context = error["type"], error.get("ctx") or {}
    if kind == "missing":
        return Invalid("required", above, f"{name} is required")
    if kind == "extra_forbidden":
        told = f"Additional property {name} is not allowed; known are {known}"
        return Invalid("additional_property_not_allowed", above, told)
    if kind == "literal_error":
        choices = ", ".join(f'"{each}"' for each in re.findall(r"'([^']*)'", context["expected"]))
        told = f"{'.'.join(path)} must be one of the following: {choices}"
        return Invalid("enum", ".".join(path), told)
    if kind not in WRONG:
        return Invalid(kind, ".".join(path), json_body.wrong(error))
    given = next((each for type, each in TYPES if isinstance(error["input"], type)), "null")
    length = len(error["input"]) if given == "string" else 0
    type, text = WRONG[kind]
    return Invalid(type, ".".join(path), text.format(given=given, length=length, **context))


def _fields(fault: Fault) -> list[Invalid]:
    if isinstance(fault, Refused):
        return list(fault.fields)
    if fault.kind is not Kind.INVALID:
        return []
    name = NAMES.get(fault.field or "", fault.field or "")
    field = name if name in OUTSIDE or not name else f"input.{name}"
    return [Invalid("invalid", "" if field == "body" else field, fault.message)]


def refuse(fault: Fault) -> Response:
    word, fields = ERRORS[fault.kind], _fields(fault)
    detail = "".join(f"{each}\n" for each in fields) if fields else fault.message
    if fault.kind is Kind.BUSY:
        seconds = replies.retry_header(fault).get("retry-after", "1")
        detail = f"Request was throttled. Your rate limit resets in ~{seconds}s. {detail}"
    body: dict[str, Any] = {"title": word.title, "detail": detail, "status": word.code}
    if fields:
        body["invalid_fields"] = [asdict(each) for each in fields]
    # Hugging Face's clients, which come here through their router, show nothing but `error`.
    body["error"] = detail.strip()
    # In ASCII: the name of an unknown field may be what UTF-8 cannot hold.
    content, headers = json.dumps(body), replies.retry_header(fault)
    return Response(content, word.code, headers, media_type="application/json")
