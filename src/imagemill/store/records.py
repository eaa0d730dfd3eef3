"""Jobs as rows, and rows as jobs."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from imagemill.errors import Fault, Kind
from imagemill.generation import Generation, Lora, Swatch
from imagemill.job import FINAL, File, Job, Priority, Result, Status

FORGOTTEN = "(not kept)"  # stands for a prompt that was not to be kept


def row(job: Job) -> dict[str, Any]:
    """All of a new job but its place in the queue."""
    return {
        "id": job.id,
        "door": job.door,
        "caller": job.caller,
        "priority": int(job.priority),
        "host": job.generation.host,
        "attended": job.attended,
        "server": job.server,
        "created": job.created,
        "start_by": job.start_by,
        "callback": job.callback,
        "keep": job.keep,
        "public": job.public,
        "stored": job.stored,
        "local": job.local,
        "source": job.source,
        "wire": dict(job.wire),
        "worker": None,
        "lease": None,
        "unwanted": False,
    } | moved(job)


def moved(job: Job) -> dict[str, Any]:
    """What a move may have changed."""
    kept = asdict(job.generation)
    if job.status in FINAL and not job.stored:
        kept |= {"prompt": FORGOTTEN, "negative_prompt": "", "image": None, "mask": None}
        kept |= {"loras": (), "outpaint": False, "image_sized": False}
    return {
        "generation": kept,
        "status": job.status.value,
        "ready": not job.generation.needs_inputs,
        "started": job.started,
        "finished": job.finished,
        "attempts": job.attempts,
        "begun": job.begun,
        "result": None if job.result is None else asdict(job.result),
        "fault": None if job.fault is None else _fault(job.fault),
    }


def job(found: Mapping[Any, Any]) -> Job:
    result, fault = found["result"], found["fault"]
    return Job(
        id=found["id"],
        door=found["door"],
        generation=_generation(found["generation"]),
        source=found["source"],
        created=found["created"],
        caller=found["caller"],
        priority=Priority(found["priority"]),
        attended=found["attended"],
        server=found["server"],
        start_by=found["start_by"],
        callback=found["callback"],
        keep=found["keep"],
        public=found["public"],
        stored=found["stored"],
        local=found["local"],
        wire=found["wire"],
        status=Status(found["status"]),
        started=found["started"],
        finished=found["finished"],
        attempts=found["attempts"],
        begun=found["begun"],
        result=None if result is None else _result(result),
        fault=None if fault is None else Fault(**fault | {"kind": Kind(fault["kind"])}),
    )


def _generation(kept: dict[str, Any]) -> Generation:
    return Generation(
        **kept
        | {
            "guidance_range": tuple(kept["guidance_range"]),
            "loras": tuple(Lora(**lora) for lora in kept["loras"]),
            "palette": tuple(Swatch(**swatch) for swatch in kept["palette"]),
        }
    )


def _result(kept: dict[str, Any]) -> Result:
    files = tuple(File(**file) for file in kept["files"])
    return Result(**kept | {"files": files, "ignored": tuple(kept["ignored"])})


def _fault(fault: Fault) -> dict[str, Any]:
    return {
        "kind": fault.kind.value,
        "message": fault.message,
        "field": fault.field,
        "retry_after": fault.retry_after,
    }
