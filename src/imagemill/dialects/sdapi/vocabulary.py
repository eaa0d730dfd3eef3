"""AUTOMATIC1111's words: of errors and states."""

from typing import Any

from imagemill.errors import Fault, Kind
from imagemill.http import replies
from imagemill.job import Status

DIALECT = "sdapi"

STATUSES = {**replies.STATUSES, Kind.INVALID: 422}

# What a person is shown of a job that is not painted yet; A1111 has a text for waiting alone.
TEXTINFO: dict[Status, str | None] = {
    Status.QUEUED: "Waiting...",
    Status.RUNNING: None,
    Status.SUCCEEDED: None,
    Status.FAILED: None,
    Status.CANCELLED: None,
}

# Canonical names that A1111 calls otherwise.
NAMES: dict[str, str] = {
    "guidance_scale": "cfg_scale",
    "num_images": "batch_size",
    "strength": "denoising_strength",
    "image": "init_images",
    "scheduler": "sampler_name",
    "style": "styles",
    "loras": "prompt",
    "format": "samples_format",
    "model": "sd_model_checkpoint",
    "schedule": "scheduler",
    "png": "image",
}

# A1111's own sentences, by the field of what was not found; our message stands beside them.
NOT_FOUND: dict[str, str] = {
    "sampler_name": "Sampler not found",
    "sd_model_checkpoint": "Model not found",
    "init_images": "Init image not found",
}
UNKNOWN = "Invalid authentication credentials"


class InvalidBody(Fault):
    """A body with everything that is wrong with it, in FastAPI's form."""

    def __init__(self, details: list[dict[str, Any]]) -> None:
        super().__init__(Kind.INVALID, "; ".join(str(each["msg"]) for each in details))
        self.details = details


def detail(name: str | None, message: str, type: str) -> dict[str, Any]:
    own = NAMES.get(name or "", name)
    loc = ["body"] if own in (None, "body") else ["body", own]
    return {"type": type, "loc": loc, "msg": message}


def error_body(fault: Fault) -> dict[str, Any]:
    """As FastAPI tells of wrong input, and as A1111 tells of all else."""
    if isinstance(fault, InvalidBody):
        return {"detail": fault.details}
    if STATUSES[fault.kind] == 422:
        return {"detail": [detail(fault.field, fault.message, f"{fault.kind}_error")]}
    own = {Kind.NOT_FOUND: NOT_FOUND.get(fault.field or ""), Kind.DENIED: UNKNOWN}.get(fault.kind)
    message = own or fault.message
    return {"error": "HTTPException", "detail": message, "body": "", "errors": fault.message}
