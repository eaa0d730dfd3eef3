"""What was painted, and what can paint, in Together's words."""

import base64
import uuid
from collections.abc import Iterator
from typing import Any

from imagemill.catalog import Catalog, Endpoint, hub
from imagemill.catalog.pages import PAGES
from imagemill.dialects.together.words import DOOR
from imagemill.generation import Answer, Painted
from imagemill.job import Job, Submission

HUB = "https://huggingface.co"
ON_HUB = frozenset(page.weights for page in PAGES.values())
FREE: dict[str, float] = dict.fromkeys(("base", "finetune", "hourly", "input", "output"), 0.0)


def inline(submission: Submission, answer: Answer) -> dict[str, Any]:
    """The pictures themselves, and no `url`: who finds one takes that."""
    pictures = [base64.b64encode(each).decode() for each in answer.painted.pictures]
    return _reply(submission, str(uuid.uuid4()), "b64_json", pictures)


def linked(submission: Submission, job: Job, base: str) -> dict[str, Any]:
    """Where the pictures of a job lie."""
    assert job.result is not None
    return _reply(submission, job.id, "url", [f"{base}/{file.key}" for file in job.result.files])


def _reply(submission: Submission, id: str, type: str, values: list[str]) -> dict[str, Any]:
    data = [{"index": i, "type": type, type: value} for i, value in enumerate(values)]
    return {"id": id, "object": "list", "model": submission.dialect_state["model"], "data": data}


def answer_of(job: Job) -> Answer:
    """How a job went, without its pictures; raises its Fault if it has failed."""
    if job.fault is not None:
        raise job.fault
    assert job.result is not None
    result = job.result
    painted = Painted((), result.seconds, result.served_by, result.ignored)
    return Answer(painted, job.generation.seed, hit=False)


def models(catalog: Catalog, dedicated: bool) -> list[dict[str, Any]]:
    """All that can paint; `dedicated` are those that paint with weights of their own."""
    return [_model(each.id) for each in _endpoints(catalog) if not (dedicated and each.stands_in)]


def _endpoints(catalog: Catalog) -> Iterator[Endpoint]:
    for id in dict.fromkeys(page.weights or page.id for page in catalog.pages()):
        if catalog.serves(id):  # fal's applications have no name that Together could say
            yield catalog.find(id)


def _model(id: str) -> dict[str, Any]:
    name = hub.mapped(id).get(DOOR, id)
    owner, _, own = name.rpartition("/")
    return {
        "id": name,
        "object": "model",
        "created": 0,  # nobody knows
        "type": "image",
        "display_name": own,
        "organization": owner,
        "link": f"{HUB}/{id}" if id in ON_HUB else None,
        "license": None,
        "context_length": None,
        "pricing": FREE,
    }
