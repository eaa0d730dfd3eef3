"""Answers of Hugging Face Inference: a picture's bytes, or an error in one string."""

from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse

from imagemill.dialects.hf_inference.accept import MEDIA_TYPES
from imagemill.errors import Fault, Kind
from imagemill.generation import Answer
from imagemill.http import json_body, replies
from imagemill.http.input_images import names_of_images
from imagemill.job import Submission

STATUSES = replies.STATUSES
NAMES: dict[str, str] = {
    "prompt": "inputs",
    "image": "inputs",
    "mask": "mask_image",
    "steps": "num_inference_steps",
    **names_of_images("inputs"),
}


class InferenceErrorBody(json_body.Reply, title="ErrorBody"):
    error: str
    estimated_time: float | None = None  # seconds, while a model is loading


def write(submission: Submission, answer: Answer) -> Response:
    headers = replies.headers(answer) | {"x-compute-time": f"{answer.painted.seconds:.3f}"}
    if not submission.generation.images:
        headers["x-compute-characters"] = str(len(submission.generation.prompt))
    else:
        headers["x-compute-images"] = "1"
    media_type = MEDIA_TYPES[submission.generation.format]
    return Response(answer.painted.pictures[0], media_type=media_type, headers=headers)


def refuse(fault: Fault) -> Response:
    name = NAMES.get(fault.field or "")
    message = f"{name}: {fault.message}" if name else fault.message
    body: dict[str, Any] = {"error": message}
    if fault.kind is Kind.LOADING:
        body["estimated_time"] = fault.retry_after
    return JSONResponse(body, STATUSES[fault.kind], replies.fault_headers(fault))
