"""Pictures, lists and faults, in Nebula Block's words."""

import base64

from fastapi import Response
from fastapi.responses import JSONResponse

from imagemill.catalog import Catalog
from imagemill.dialects.nebula.vocabulary import (
    LISTED,
    MODELS,
    NAMES,
    PAINTED,
    STATUSES,
    Datum,
    DatumTimings,
    ImagesReply,
    Listed,
    Lists,
    ModelFields,
    ModelsReply,
    NebulaErrorBody,
)
from imagemill.errors import Fault
from imagemill.generation import Answer
from imagemill.http import replies
from imagemill.job import Submission

SIZE = "x-imagemill-size"
HUB = "https://huggingface.co/"


def painted(submission: Submission, answer: Answer) -> Response:
    (image,), generation = answer.painted.pictures, submission.generation
    timings = DatumTimings(inference=answer.painted.seconds)
    datum = Datum(timings=timings, index=0, b64_json=base64.b64encode(image).decode())
    body = ImagesReply(
        model=generation.model, object="list", data=[datum], message=PAINTED, status="success"
    )
    size = {SIZE: f"{generation.width}x{generation.height}"}
    return JSONResponse(body.model_dump(), headers=replies.headers(answer) | size)


def models(catalog: Catalog) -> Response:
    """The page's own models and those that are configured here."""
    models = [_listed(model) for model in MODELS.values() if catalog.serves(model.id)]
    models += [
        Listed(model_name=id, model_alias=id, description=f"The model {id}.")
        for id in catalog.configured()
        if id not in MODELS
    ]
    body = ModelsReply(data=Lists(models=models), message=LISTED, status="success")
    return JSONResponse(body.model_dump())


def refuse(fault: Fault) -> Response:
    name = NAMES.get(fault.field or "")
    message = f"{name}: {fault.message}" if name else fault.message
    body = NebulaErrorBody(message=message, status="failed")
    return JSONResponse(body.model_dump(), STATUSES[fault.kind], replies.fault_headers(fault))


def _listed(model: ModelFields) -> Listed:
    return Listed(
        model_name=model.id,
        model_alias=model.alias,
        description=model.description,
        huggingface_url=HUB + model.id,
    )
