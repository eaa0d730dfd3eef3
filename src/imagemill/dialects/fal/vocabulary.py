"""fal's words: of states, and of errors.

The words and codes are those of fal's documentation of its queue and of its errors.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from imagemill.errors import Fault, Kind
from imagemill.http.input_images import names_of_images
from imagemill.job import Status

STATUSES: dict[Status, str] = {
    Status.QUEUED: "IN_QUEUE",
    Status.RUNNING: "IN_PROGRESS",
    Status.SUCCEEDED: "COMPLETED",
    Status.FAILED: "COMPLETED",  # fal has no word for failure: its result tells
    Status.CANCELLED: "COMPLETED",
}
COMPLETED = STATUSES[Status.SUCCEEDED]
# fal's other clients decide by the code alone whether a request is done.
CODES: dict[Status, int] = {
    status: 200 if word == "COMPLETED" else 202 for status, word in STATUSES.items()
}
# Hugging Face's client in JavaScript, whose pauses between two looks at the queue let Node end.
HELD = re.compile(r"(^|\s)@huggingface/inference")
ROUTER = "/fal-ai"  # where the router has fal
ERROR_PAGE = "https://docs.fal.ai/errors/#"


@dataclass(frozen=True)
class ErrorType:
    """How an error of one kind is told."""

    #: The HTTP status.
    code: int
    #: The word of fal's documentation.
    type: str
    #: It is told as a list of what is wrong with the input.
    of_model: bool = False
    #: The same request may succeed later.
    again: bool = False


ERRORS: dict[Kind, ErrorType] = {
    Kind.INVALID: ErrorType(422, "value_error", of_model=True),
    Kind.NOT_FOUND: ErrorType(404, "not_found"),
    Kind.TOO_LARGE: ErrorType(413, "file_too_large"),
    Kind.ENCODED: ErrorType(415, "bad_request"),
    Kind.SLOW: ErrorType(408, "request_timeout", again=True),
    Kind.BUSY: ErrorType(429, "concurrent_requests_limit", again=True),
    Kind.LOADING: ErrorType(503, "runner_scheduling_failure", again=True),
    Kind.CANCELLED: ErrorType(499, "client_cancelled"),
    Kind.DENIED: ErrorType(401, "unauthorized"),
    Kind.UNPAID: ErrorType(402, "payment_required"),
    Kind.CONFLICT: ErrorType(409, "conflict"),
    Kind.EARLY: ErrorType(400, "bad_request"),
    Kind.TIMEOUT: ErrorType(504, "request_timeout"),
    Kind.NO_PATH: ErrorType(404, "not_found"),
    Kind.NO_VERB: ErrorType(405, "bad_request"),
    Kind.MALFORMED: ErrorType(400, "bad_request"),
    Kind.MISDIRECTED: ErrorType(421, "bad_request"),
    Kind.FOREIGN: ErrorType(403, "unauthorized"),
    Kind.FORBIDDEN: ErrorType(422, "file_download_error", of_model=True),
    Kind.UNREACHABLE: ErrorType(422, "file_download_error", of_model=True),
    Kind.UNREADABLE: ErrorType(422, "image_load_error", of_model=True),
    Kind.UNSUPPORTED: ErrorType(422, "feature_not_supported", of_model=True),
    Kind.UNAVAILABLE: ErrorType(503, "runner_connection_error", again=True),
    Kind.FULL: ErrorType(507, "internal_server_error", again=True),
    Kind.UNSAFE: ErrorType(422, "content_policy_violation", of_model=True),
    Kind.FAILED: ErrorType(500, "internal_server_error"),
}

# Canonical names that fal's pages call otherwise, or have within others.
NAMES: dict[str, str | tuple[str, ...]] = {
    "steps": "num_inference_steps",
    "image": "image_url",
    "mask": "mask_url",
    "width": "image_size",
    "height": "image_size",
    "format": "output_format",
    "control": "controlnet",
    "control_image": ("controlnet", "control_image_url"),
    "control.path": ("controlnet", "path"),
    "control.scale": ("controlnet", "conditioning_scale"),
    "control.start": ("controlnet", "start_percentage"),
    "control.end": ("controlnet", "end_percentage"),
    "ip_adapter_image": ("ip_adapter", "image_url"),
    "ip_adapter_mask": ("ip_adapter", "mask_image_url"),
    "ip_adapter.path": ("ip_adapter", "path"),
    "ip_adapter.scale": ("ip_adapter", "scale"),
    "ip_adapter.mask_threshold": ("ip_adapter", "mask_threshold"),
    "ip_adapter.subfolder": ("ip_adapter", "subfolder"),
    "ip_adapter.weight_name": ("ip_adapter", "weight_name"),
    "ip_adapter.encoder_path": ("ip_adapter", "image_encoder_path"),
    "ip_adapter.encoder_subfolder": ("ip_adapter", "image_encoder_subfolder"),
    "ip_adapter.encoder_weight_name": ("ip_adapter", "image_encoder_weight_name"),
    "style_images": "image_urls",
    **names_of_images("image_url"),
}
# Lists of images, whose members are told by their numbers.
LISTS = ("input_image_urls", "image_urls")


@dataclass(frozen=True)
class InputError:
    """One thing that is wrong with an input."""

    #: The way to the field, below the body.
    loc: tuple[str | int, ...]
    #: What is wrong, and the way out.
    message: str
    #: The word of fal's documentation, or pydantic's.
    type: str
    #: The limits that are broken; None where there are none.
    ctx: dict[str, Any] | None = None

    def row(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "loc": ["body", *self.loc],
            "msg": self.message,
            "type": self.type,
            "url": ERROR_PAGE + self.type,
        }
        return row if self.ctx is None else row | {"ctx": self.ctx}


class InvalidInput(Fault):
    """An input with everything that is wrong with it."""

    def __init__(self, details: list[InputError]) -> None:
        super().__init__(Kind.INVALID, "; ".join(_placed(one.loc, one.message) for one in details))
        self.details = details


def error_body(fault: Fault) -> dict[str, Any]:
    """As fal has it, and with a `message`: Vercel's AI SDK reads that where `detail` is a text, or
    names a place in a list.
    """
    body = _detailed(fault)
    return body | {"message": plainly(body)}


def _detailed(fault: Fault) -> dict[str, Any]:
    if isinstance(fault, InvalidInput):
        return {"detail": [detail.row() for detail in fault.details]}
    error = ERRORS[fault.kind]
    if not error.of_model:
        return {"detail": fault.message, "error_type": error.type}
    return {"detail": [InputError(_loc(fault.field), fault.message, error.type).row()]}


def _loc(field: str | None) -> tuple[str | int, ...]:
    """The way to a field by its canonical name, which may be one of a list (`style_images.0`)."""
    if field is None or field == "body":
        return ()
    list_name, _, number = field.partition(".")
    if field not in NAMES and number.isdecimal():
        return (*_loc(list_name), int(number))
    name = NAMES.get(field, field)
    return name if isinstance(name, tuple) else (name,)


def router_urls(base: str, model: str, id: str) -> dict[str, str]:
    """Where the router has a request; its clients keep only the path of the first."""
    place = "/".join(model.split("/")[:2])
    request = f"{base}{ROUTER}/{place}/requests/{id}"
    return {
        "response_url": request,
        "status_url": f"{request}/status",
        "cancel_url": f"{request}/cancel",
    }


def in_words(message: str) -> dict[str, Any]:
    """An error that is a text alone, as of fal's storage."""
    return {"detail": message, "message": message}


def plainly(body: dict[str, Any]) -> str:
    """An error in one string, which is all that many clients show."""
    detail = body["detail"]
    if isinstance(detail, str):
        return detail
    return "; ".join(_placed(one["loc"][1:], one["msg"]) for one in detail)


def _placed(loc: Sequence[str | int], message: str) -> str:
    """What is wrong, behind the field that it is wrong with; the whole body has no name."""
    return f"{'.'.join(map(str, loc))}: {message}" if loc else message


def error_headers(fault: Fault) -> dict[str, str]:
    if isinstance(fault, InvalidInput):  # each detail has a type of its own
        return {}
    error = ERRORS[fault.kind]
    again = "true" if error.again else "false"
    headers = {
        "x-fal-error-type": error.type,
        "x-fal-needs-retry": "1" if error.again else "0",
        "x-fal-retryable": again,
    }
    if fault.kind is Kind.TIMEOUT:
        headers["x-fal-request-timeout-type"] = "user"
    return headers
