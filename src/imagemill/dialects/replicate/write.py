"""Jobs, in Replicate's words."""

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from imagemill.dialects.replicate import ids
from imagemill.dialects.replicate.vocabulary import STATUSES, error_text, status_of
from imagemill.errors import Kind
from imagemill.job import FINAL, Job, Line, Status
from imagemill.jobs.service import Service
from imagemill.webhooks import Message, Signer

PREFIX = "/replicate/v1"
BAR = 10  # signs of a bar of progress


def moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def urls(service: Service, job: Job, base: str) -> dict[str, str]:
    id = ids.encode(job.id)
    get = f"{base}{PREFIX}/predictions/{id}"
    return {
        "get": get,
        "cancel": f"{get}/cancel",
        "stream": f"{base}{PREFIX}/streams/{ids.sealed(service.signing_secret(), id)}",
        "web": get,
    }


def logs(job: Job, lines: Iterable[Line]) -> str:
    return "".join(f"{text}\n" for text in [*opening(job), *(said(job, line) for line in lines)])


def opening(job: Job) -> list[str]:
    """What is known before anything is painted."""
    return [f"Using seed: {job.generation.seed}", *job.submission.dialect_state["remarks"]]


def said(job: Job, line: Line) -> str:
    """A line of the log. Both clients read progress from bars like those of tqdm."""
    if line.progress is None:
        return line.message
    step, steps = line.progress.step, line.progress.steps
    seconds = max(0.0, line.at - (job.started or job.created))
    bar = "#" * (BAR * step // steps)
    pace = step / seconds if seconds else 0.0
    left = (steps - step) / pace if pace else 0.0
    times = f"{_clock(seconds)}<{_clock(left)}, {pace:5.2f}it/s"
    return f"{100 * step // steps:3d}%|{bar:<{BAR}}| {step}/{steps} [{times}]"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


async def output(service: Service, job: Job, base: str, data: bool) -> Any:
    """The files of a job: as addresses or data URIs, a list or a single one; None without any."""
    if job.result is None:
        return None
    values = [f"{base}/{file.key}" for file in job.result.files]
    if data:
        values = [await _data(service, file.key, file.content_type) for file in job.result.files]
    return values[0] if job.submission.dialect_state["single"] else values


async def _data(service: Service, key: str, content_type: str) -> str:
    content = await service.read_file(key)
    return f"data:{content_type};base64,{base64.b64encode(content).decode()}"


def facts(service: Service, job: Job, base: str) -> dict[str, Any]:
    """All of a prediction but its output and its log."""
    failed = job.status is Status.FAILED
    late = status_of(job) == STATUSES[Status.CANCELLED]
    return {
        "id": ids.encode(job.id),
        "model": job.submission.dialect_state["model"],
        "version": job.submission.dialect_state["version"],
        "input": job.submission.dialect_state["input"],
        "error": error_text(job.fault) if job.fault and failed and not late else None,
        "status": status_of(job),
        "data_removed": False,
        "source": "api",
        "created_at": moment(job.created),
        "started_at": moment(job.started),
        "completed_at": moment(job.finished),
        "metrics": _metrics(job),
        "urls": urls(service, job, base),
    }


def _metrics(job: Job) -> dict[str, float]:
    if job.finished is None:
        return {}
    metrics = {"total_time": round(job.finished - job.created, 6)}
    if job.started is not None:
        metrics["predict_time"] = round(job.finished - job.started, 6)
    if job.result is not None:
        metrics["image_count"] = len(job.result.files)
    return metrics


async def prediction(
    service: Service, job: Job, base: str, data: bool = False, lines: Iterable[Line] | None = None
) -> dict[str, Any]:
    """lines: of the log, where the caller knows more than the database does yet."""
    lines = await service.lines(job) if lines is None else lines
    return facts(service, job, base) | {
        "output": await output(service, job, base, data),
        "logs": logs(job, lines),
    }


def message_of(service: Service, job: Job, name: str, body: Any, now: float) -> Message:
    """A webhook about an event of a prediction, signed."""
    content = json.dumps(body).encode()
    key, id = ids.signing_key(service.signing_secret(), job.submission.caller), ids.encode(job.id)
    return Message(
        str(job.submission.dialect_state["webhook"]),
        ids.headers(key, f"msg_{id}_{name}", content, now),
        content,
    )


async def message(service: Service, signer: Signer, job: Job, now: float) -> Message:
    """The webhook of a prediction that has ended."""
    body = await prediction(service, job, str(job.submission.dialect_state["base"]))
    return message_of(service, job, "completed", body, now)


def ended(job: Job) -> bool:
    return job.status in FINAL


def failure(job: Job) -> Mapping[str, str] | None:
    """Why a job gave nothing, in a stream's words; None where it gave something."""
    if job.fault is None:
        return None
    late = job.fault.kind is Kind.TIMEOUT
    canceled = job.status is Status.CANCELLED or late
    return (
        {"reason": "canceled"} if canceled else {"reason": "error", "detail": error_text(job.fault)}
    )
