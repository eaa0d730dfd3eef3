"""The Hugging Face Hub's look-ups that its clients make before they call a provider."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import QueryParams

from imagemill.catalog.catalog import Catalog
from imagemill.catalog.models import Task
from imagemill.dialects import hub_models
from imagemill.errors import Fault, Kind, invalid
from imagemill.http import operation, replies
from imagemill.http.context import AppContext

DIALECT = "hub"
STATUSES: dict[Kind, int] = {
    **replies.STATUSES,
    Kind.LOADING: 500,  # never 503, which the JavaScript client sends again at once, for ever
    Kind.CANCELLED: 500,
    Kind.FORBIDDEN: 403,
}
# What the Hub's clients make an exception of their own of.
CODES: dict[Kind, str] = {Kind.NOT_FOUND: "RepoNotFound"}
CONTROL = re.compile(r"[\x00-\x1f\x7f]")  # which no header may have

LIVE = "live"
LABELS: dict[Task, str] = {
    "text-to-image": "Text-to-Image",
    "image-to-image": "Image-to-Image",
}
# The models that are listed besides the operator's, in this order.
LISTED = (
    "black-forest-labs/FLUX.1-dev",
    "black-forest-labs/FLUX.1-schnell",
    "black-forest-labs/FLUX.1-Krea-dev",
    "black-forest-labs/FLUX.1-Kontext-dev",
    "stabilityai/stable-diffusion-xl-base-1.0",
    "stabilityai/stable-diffusion-3.5-large",
    "HiDream-ai/HiDream-I1-Full",
    "HiDream-ai/HiDream-I1-Fast",
    "OmniGen2/OmniGen2",
    "Freepik/F-Lite",
    "Freepik/F-Lite-Texture",
    "Qwen/Qwen-Image",
    "Qwen/Qwen-Image-Edit",
    "Qwen/Qwen-Image-Edit-2509",
)
MOST = 1000  # models of one list
BORN = "2026-11-20T00:00:00.000Z"  # when the table of models was written


def _mapping(id: str) -> dict[str, Any]:
    task = hub_models.task(id)
    return {
        provider: {"status": LIVE, "providerId": name, "task": task}
        for provider, name in hub_models.mapped(id).items()
    }


# What is told of a model: always, and where it is asked for by `expand`.
FACTS: dict[str, Callable[[str], Any]] = {
    "id": lambda id: id,
    "modelId": lambda id: id,
    "author": lambda id: id.rpartition("/")[0] or None,
    "sha": lambda id: hashlib.sha1(id.encode(), usedforsecurity=False).hexdigest(),
    "private": lambda _: False,
    "gated": lambda _: False,
    "disabled": lambda _: False,
    "inference": lambda _: "warm",
    "pipeline_tag": hub_models.task,
    "library_name": lambda _: "diffusers",
    "tags": lambda id: ["diffusers", hub_models.task(id)],
    "downloads": lambda _: 0,
    "likes": lambda _: 0,
    "siblings": lambda _: [],  # no file of a model is given away here
    "createdAt": lambda _: BORN,
    "lastModified": lambda _: BORN,
    "inferenceProviderMapping": _mapping,
}
PLAIN = tuple(name for name in FACTS if name not in ("inferenceProviderMapping", "inference"))


def routes(context: AppContext) -> APIRouter:
    router, catalog = APIRouter(tags=["hub"]), context.catalog

    async def of_owner(owner: str, name: str, request: Request) -> Response:
        return _model(catalog, f"{owner}/{name}", request.query_params)

    async def of_nobody(name: str, request: Request) -> Response:
        return _model(catalog, name, request.query_params)

    async def models(request: Request) -> Response:
        return JSONResponse(_listed(catalog, request.query_params))

    async def tasks() -> Response:
        return JSONResponse({task: _task(catalog, task) for task in hub_models.TASKS})

    async def partner(provider: str) -> Response:
        return JSONResponse(_partner(catalog, provider))

    for path, handler, summary, parameters in (
        ("/api/models/{owner}/{name}", of_owner, "A model and its providers", _EXPAND),
        ("/api/models/{name}", of_nobody, "A model whose id has no owner", _EXPAND),
        ("/api/models", models, "The models", _FILTERS + _EXPAND),
        ("/api/tasks", tasks, "The tasks, each with models to begin with", []),
        ("/api/partners/{provider}/models", partner, "The models of a provider", []),
    ):
        router.add_api_route(
            path,
            operation.answering(context, DIALECT, refuse, handler),
            methods=["GET"],
            response_class=JSONResponse,
            summary=summary,
            openapi_extra={"parameters": parameters},
            responses=replies.responses(STATUSES, _ERROR),
            operation_id=f"hub_{handler.__name__}",
        )
    return router


def refuse(fault: Fault) -> Response:
    message = CONTROL.sub(" ", fault.message)
    headers = replies.fault_headers(fault) | {"x-error-message": message.encode().decode("latin-1")}
    if fault.kind in CODES:
        headers["x-error-code"] = CODES[fault.kind]
    return JSONResponse({"error": fault.message}, STATUSES[fault.kind], headers)


def _model(catalog: Catalog, id: str, query: QueryParams) -> Response:
    catalog.find(hub_models.weights(id))  # raises where nothing serves it
    return JSONResponse(_facts(id, _names(query)))


def _facts(id: str, names: Iterable[str]) -> dict[str, Any]:
    facts = {name: FACTS[name](id) for name in names}
    return {"_id": hashlib.sha256(id.encode()).hexdigest()[:24], "id": id} | facts


def _names(query: QueryParams) -> tuple[str, ...]:
    """What is to be told: what `expand` names, in either spelling, or what is always told."""
    names = (*query.getlist("expand"), *query.getlist("expand[]"))
    for name in names:
        if name not in FACTS:
            known = ", ".join(FACTS)
            raise invalid("expand", f"expand={name[:80]!r} is not told here; there are {known}")
    return names or PLAIN


def _listed(catalog: Catalog, query: QueryParams) -> list[dict[str, Any]]:
    names, limit = _names(query), _limit(query.get("limit"))
    ids = [id for id in _ids(catalog) if all(fits(id, query) for fits in FITS)]
    return [_facts(id, names) for id in ids[:limit]]


def _ids(catalog: Catalog) -> Iterator[str]:
    """Every model that has a name of its own here and is served: configured ones before others."""
    names = dict.fromkeys([*catalog.configured(), *LISTED])
    return hub_models.with_tasks(id for id in names if catalog.serves(id))


def _limit(value: str | None) -> int:
    if value is None:
        return MOST
    if not (value.isascii() and value.isdigit() and 0 < int(value[:18]) <= MOST):
        raise invalid("limit", f"limit={value[:20]!r} is out of range; give 1 to {MOST}")
    return int(value)


def _provided(id: str, query: QueryParams) -> bool:
    wanted = {name for each in query.getlist("inference_provider") for name in each.split(",")}
    return not wanted or bool(wanted & {"all", *hub_models.mapped(id)})


def _tagged(id: str, query: QueryParams) -> bool:
    wanted = query.getlist("filter") + query.getlist("pipeline_tag")
    return {tag for each in wanted for tag in each.split(",")} <= {*FACTS["tags"](id)}


def _searched(id: str, query: QueryParams) -> bool:
    author, words = query.get("author"), query.get("search", "").lower().split()
    return (author is None or author == FACTS["author"](id)) and all(
        word in id.lower() for word in words
    )


def _warm(_: str, query: QueryParams) -> bool:
    return query.get("inference", "warm") == "warm"


# By what a list of models is narrowed; all else in a query is passed over, as there.
FITS = (_provided, _tagged, _searched, _warm)


def _task(catalog: Catalog, task: Task) -> dict[str, Any]:
    default = catalog.default
    first = default if hub_models.task(default) == task else default + hub_models.SUFFIX
    ids = [id for id in _ids(catalog) if hub_models.task(id) == task]
    best = [id for id in dict.fromkeys([first, *ids]) if hub_models.task(id) == task]
    return {
        "id": task,
        "label": LABELS[task],
        "libraries": ["diffusers"],
        "models": [{"id": id, "description": "Served here."} for id in best],
        "widgetModels": best[:1],
    }


def _partner(catalog: Catalog, provider: str) -> dict[str, Any]:
    if provider not in hub_models.PROVIDERS:
        known = ", ".join(hub_models.PROVIDERS)
        raise Fault(Kind.NOT_FOUND, f"there is no provider {provider[:80]!r}; there are {known}")
    ids, tasks = list(_ids(catalog)), dict[str, Any]()
    for task in hub_models.PROVIDERS[provider]:
        tasks[task] = {
            id: {
                "_id": _facts(id, ())["_id"],
                "providerId": hub_models.mapped(id)[provider],
                "status": LIVE,
            }
            for id in ids
            if hub_models.task(id) == task
        }
    return tasks


def _parameter(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "description": description,
        "schema": {"type": "string"},
    }


_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_EXPAND = [_parameter("expand", f"What to tell, instead of the usual: {', '.join(FACTS)}.")]
_FILTERS = [
    _parameter("inference_provider", f"One of {', '.join(hub_models.PROVIDERS)}, or all."),
    _parameter("pipeline_tag", f"One of {', '.join(hub_models.TASKS)}."),
    _parameter("search", "Words of the id."),
    _parameter("author", "The part of the id before the slash."),
    _parameter("limit", f"1 to {MOST}."),
]
