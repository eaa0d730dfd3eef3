"""Jobs as rows, and rows as jobs."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from imagemill.conditions import Control, ImagePrompt, SafetyCheck, Swatch
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation, Lora, Progress
from imagemill.job import FINAL, File, Job, Line, Priority, Result, Status, Submission
from imagemill.upstream_spec import upstream_of

FORGOTTEN = "(not kept)"  # stands for a prompt that was not to be kept


def row(job: Job) -> dict[str, Any]:
    """All of a new job but its place in the queue."""
    submission = job.submission
    return {
        "id": job.id,
        "door": submission.dialect,
        "caller": submission.caller,
        "priority": int(submission.priority),
        "host": submission.generation.host,
        "attended": submission.cancel_on_disconnect,
        "server": job.server,
        "created": job.created,
        "start_by": job.start_deadline,
        "callback": submission.webhook_url,
        "keep": submission.ttl_seconds,
        "public": submission.public,
        "stored": submission.retain_prompt,
        "local": submission.local,
        "price": submission.price,
        "source": submission.source,
        "upstream": upstream_of(submission.source),
        "wire": dict(submission.dialect_state),
        "worker": None,
        "lease": None,
        "unwanted": False,
    } | moved(job)


def moved(job: Job) -> dict[str, Any]:
    """What a move may have changed."""
    kept = _plain(job.generation)
    if job.status in FINAL and not job.submission.retain_prompt:
        kept |= {"prompt": FORGOTTEN, "negative_prompt": "", "image": None, "mask": None}
        kept |= {"control": None, "ip_adapter": None, "references": (), "style_images": ()}
        kept |= {"loras": (), "outpaint": False, "image_sized": False, "keep_foreground": False}
    return {
        "generation": kept,
        "status": job.status.value,
        "ready": not job.generation.needs_inputs,
        "started": job.started,
        "finished": job.finished,
        "attempts": job.attempts,
        "begun": job.begun,
        "result": None if job.result is None else _plain(job.result),
        "fault": None if job.fault is None else _fault(job.fault),
    }


def _plain(value: Any) -> Any:
    """As `asdict`, which copies every text and number within, and takes nearly twice as long."""
    kind: Any = type(value)
    if names := _names(kind):
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [*map(_plain, value)] if isinstance(value, tuple | list) else value


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    """Of the fields of a dataclass; anything else has none."""
    return tuple(each.name for each in fields(kind)) if is_dataclass(kind) else ()


def job(row: Mapping[Any, Any]) -> Job:
    result, fault = row["result"], row["fault"]
    return Job(
        id=row["id"],
        submission=_submission(row),
        created=row["created"],
        server=row["server"],
        status=Status(row["status"]),
        started=row["started"],
        finished=row["finished"],
        attempts=row["attempts"],
        begun=row["begun"],
        result=None if result is None else _result(result),
        fault=None if fault is None else Fault(**fault | {"kind": Kind(fault["kind"])}),
    )


def _submission(row: Mapping[Any, Any]) -> Submission:
    deadline = row["start_by"]
    return Submission(
        generation=_generation(row["generation"]),
        source=row["source"],
        dialect=row["door"],
        caller=row["caller"],
        priority=Priority(row["priority"]),
        cancel_on_disconnect=row["attended"],
        begin_within=None if deadline is None else deadline - row["created"],
        webhook_url=row["callback"],
        ttl_seconds=row["keep"],
        public=row["public"],
        retain_prompt=row["stored"],
        local=row["local"],
        price=row["price"],
        dialect_state=row["wire"],
    )


def _generation(kept: dict[str, Any]) -> Generation:
    # Jobs of earlier versions have less.
    control, adapter = kept.get("control"), kept.get("ip_adapter")
    vector = kept.get("style_vector")
    return Generation(
        **kept
        | {
            "guidance_range": tuple(kept["guidance_range"]),
            "control": None if control is None else Control(**control),
            "ip_adapter": None if adapter is None else ImagePrompt(**adapter),
            "references": tuple(kept.get("references", ())),
            "style_images": tuple(kept.get("style_images", ())),
            "style_vector": None if vector is None else tuple(vector),
            "loras": tuple(Lora(**lora) for lora in kept["loras"]),
            "palette": tuple(Swatch(**swatch) for swatch in kept["palette"]),
            "safety": SafetyCheck(**kept.get("safety", {})),  # of a row that is older than it
        }
    )


def _result(kept: dict[str, Any]) -> Result:
    files = tuple(File(**file) for file in kept["files"])
    flagged = tuple(kept.get("flagged", ()))  # of a row that is older than it
    return Result(**kept | {"files": files, "ignored": tuple(kept["ignored"]), "flagged": flagged})


def _fault(fault: Fault) -> dict[str, Any]:
    return {
        "kind": fault.kind.value,
        "message": fault.message,
        "field": fault.field,
        "retry_after": fault.retry_after,
    }


def line(row: Mapping[str, Any]) -> Line:
    """A line of a job's log, of a row."""
    progress = None if row["steps"] is None else Progress(row["step"], row["steps"])
    return Line(row["number"], row["at"], row["message"], progress)


def line_row(job: str, line: Line) -> dict[str, Any]:
    """The row of a line of a job's log."""
    step, steps = (line.progress.step, line.progress.steps) if line.progress else (None, None)
    return {
        "job": job,
        "number": line.number,
        "at": line.at,
        "message": line.message,
        "step": step,
        "steps": steps,
    }
