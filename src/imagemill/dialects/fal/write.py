"""Jobs, in fal's words."""

import base64
import json
from datetime import UTC, datetime
from typing import Any, get_args

from pydantic import BaseModel

from imagemill.dialects.fal.pages import PAGES, general
from imagemill.dialects.fal.signing import signed_headers
from imagemill.dialects.fal.vocabulary import CODES, LISTS, STATUSES, error_body
from imagemill.errors import Fault, Kind
from imagemill.http.input_images import REFERENCES
from imagemill.job import FINAL, Job, Line, Status
from imagemill.jobs.job_events import Preview
from imagemill.jobs.service import Service
from imagemill.webhooks import Message, Signer

EARLY = "Request is still in progress"


def urls(job: Job, base: str) -> dict[str, str]:
    """Where a request is asked after. Without a query: Python's client would drop it."""
    return places(str(job.submission.dialect_state["app"]), job.id, base)


def places(app: str, id: str, base: str) -> dict[str, str]:
    """Where the request `id` of an application is asked after."""
    owner, alias = app.split("/")[:2]
    request = f"{base}/fal/queue/{owner}/{alias}/requests/{id}"
    return {
        "response_url": request,
        "status_url": f"{request}/status",
        "cancel_url": f"{request}/cancel",
    }


def submitted(job: Job, position: int, base: str) -> dict[str, Any]:
    return {
        "status": STATUSES[Status.QUEUED],
        "request_id": job.id,
        "gateway_request_id": job.id,
        "queue_position": position,
    } | urls(job, base)


def status(job: Job, position: int, lines: list[Line] | None, base: str) -> tuple[int, Any]:
    """Code and body. `lines` are left out with None."""
    body: dict[str, Any] = {"status": STATUSES[job.status], "request_id": job.id}
    if job.status is Status.QUEUED:
        body["queue_position"] = position
    else:
        body["logs"] = None if lines is None else [log(line) for line in lines]
    body |= urls(job, base) | {"metrics": {}}
    if job.status in FINAL and job.result is not None:
        body["metrics"] = {"inference_time": round(job.result.seconds, 3)}
    if job.fault is not None:
        error = error_body(fault_of(job, job.fault))
        body["error"] = job.fault.message
        body["error_type"] = error.get("error_type") or error["detail"][0]["type"]
    return CODES[job.status], body


def fault_of(job: Job, fault: Fault) -> Fault:
    """The fault of a request, whose images are called as its page calls them."""
    if not (fault.field or "").startswith(REFERENCES):
        return fault
    id = job.submission.dialect_state["app"]
    known = (PAGES.get(id) or general.page(id)).Input.model_fields
    name = next((each for each in LISTS if each in known and id in PAGES), None)
    if name is None:  # of a page with one image, whose name is that of any
        return fault
    field = (fault.field or "").replace(REFERENCES, name)
    return Fault(fault.kind, fault.message, field, fault.retry_after)


def log(line: Line) -> dict[str, str]:
    at = datetime.fromtimestamp(line.at, UTC).isoformat(timespec="milliseconds")
    return {
        "message": line.message,
        "level": "INFO",
        "source": "USER",
        "timestamp": at.replace("+00:00", "Z"),
    }


def preview(item: Preview) -> dict[str, Any]:
    """A picture on its way, as an event of a stream."""
    url = f"data:image/jpeg;base64,{base64.b64encode(item.picture).decode()}"
    image = {"url": url, "content_type": "image/jpeg"}
    return {"images": [image], "progress": round(item.step / item.steps, 3)}


async def spoken(service: Service, job: Job) -> dict[str, Any]:
    """The output for a socket: pictures as bytes."""
    whole = await output(service, job, "", inline=False)
    assert job.result is not None
    images = [
        {"content": await service.read_file(file.key), "content_type": file.content_type}
        for file in job.result.files
    ]
    return whole | {"images": images} | ({"image": images[0]} if "image" in whole else {})


async def output(
    service: Service, job: Job, base: str, inline: bool | None = None
) -> dict[str, Any]:
    """The output of a request; raises its Fault where it failed, and one where it is too early.

    inline: the images go into it; None for as was asked.
    """
    if job.status not in FINAL:
        raise Fault(Kind.EARLY, EARLY)
    if job.fault is not None:
        raise fault_of(job, job.fault)
    state, result = job.submission.dialect_state, job.result
    page = PAGES.get(state["app"]) or general.page(state["app"])
    inline = state["sync"] if inline is None else inline
    assert result is not None
    images = []
    for file in result.files:
        url = f"{base}/fal/cdn/{file.key}"
        if inline:
            content = await service.read_file(file.key)
            url = f"data:{file.content_type};base64,{base64.b64encode(content).decode()}"
        images.append(
            {
                "url": url,
                "width": file.width,
                "height": file.height,
                "content_type": file.content_type,
                "file_name": file.key.rpartition("/")[2],
                "file_size": file.size,
            }
        )
    whole: dict[str, Any] = {
        "images": images,
        "image": images[0],
        "description": "",
        "timings": {"inference": round(result.seconds, 3)},
        "seed": job.generation.seed,
        "has_nsfw_concepts": list(result.flagged) or [False] * len(images),
        "prompt": result.prompt,
    }
    return _fields(page.Output, whole)


def _fields(model: type[BaseModel], whole: dict[str, Any]) -> dict[str, Any]:
    """What a model has of `whole`, and of the images within."""
    known = model.model_fields
    body = {name: value for name, value in whole.items() if name in known}
    if "images" in body:
        (image,) = get_args(known["images"].annotation)
        body["images"] = [_fields(image, each) for each in body["images"]]
    if "image" in body:
        single: Any = known["image"].annotation
        body["image"] = _fields(single, body["image"])
    return body


async def message(service: Service, signer: Signer, job: Job, now: float) -> Message:
    """The webhook of a request that has ended."""
    body: dict[str, Any] = {"request_id": job.id, "gateway_request_id": job.id}
    try:
        body |= {
            "status": "OK",
            "payload": await output(service, job, str(job.submission.dialect_state["base"])),
        }
    except Fault as fault:
        payload = error_body(fault)
        body |= {"status": "ERROR", "error": fault.message, "payload": payload}
    content = json.dumps(body).encode()
    submission = job.submission
    headers = signed_headers(signer, job.id, submission.caller or "anonymous", content, now)
    headers["content-type"] = "application/json"
    return Message(str(submission.webhook_url), headers, content)
