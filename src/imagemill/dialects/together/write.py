"""What was painted, and what can paint, in Together's words."""

import base64
import uuid
from typing import Any

from imagemill.catalog import Catalog, Model
from imagemill.dialects import hub_models
from imagemill.dialects.together.vocabulary import DIALECT
from imagemill.generation import Answer
from imagemill.job import Job, Submission

HUB = "https://huggingface.co"
FREE: dict[str, float] = dict.fromkeys(("base", "finetune", "hourly", "input", "output"), 0.0)


def inline(submission: Submission, answer: Answer) -> dict[str, Any]:
    """The pictures themselves, and no `url`: who finds one takes that."""
    images = [base64.b64encode(each).decode() for each in answer.painted.pictures]
    return _reply(submission, str(uuid.uuid4()), "b64_json", images)


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
    return job.answer(job.result.images())


def models(catalog: Catalog, dedicated: bool) -> list[dict[str, Any]]:
    """All that can paint; `dedicated` are those that paint with weights of their own.

    Names of several parts are left out, which Together could not say.
    """
    # Closed models are fal's applications, which have no name that Together could say.
    own = catalog.configured()
    models = [each for each in catalog.models().values() if each.weights or each.id in own]
    return [_model(each) for each in models if not (dedicated and catalog.find(each.id).stands_in)]


def _model(model: Model) -> dict[str, Any]:
    name = hub_models.mapped(model.id).get(DIALECT, model.id)
    owner, _, own = name.rpartition("/")
    return {
        "id": name,
        "object": "model",
        "created": 0,  # nobody knows
        "type": "image",
        "display_name": own,
        "organization": owner,
        "link": f"{HUB}/{model.id}" if model.weights else None,
        "license": None,
        "context_length": None,
        "pricing": FREE,
    }
