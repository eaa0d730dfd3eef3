"""What can be asked of fal's dialect, told to programs; and the keys that sign its webhooks."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers

from imagemill.dialects.fal.pages import listing, openapi
from imagemill.dialects.fal.read import DIALECT, page_of
from imagemill.dialects.fal.vocabulary import STATUSES
from imagemill.errors import Fault, Kind, invalid
from imagemill.http import operation
from imagemill.http.context import AppContext
from imagemill.http.identity import base_of

WORDS = list(dict.fromkeys(STATUSES.values()))
MOST = 100  # models of one page of the list
MOST_NAMED = 50  # models that one call names
Named = Annotated[list[str] | None, Query(max_length=MOST_NAMED)]
FREE: dict[str, Any] = {"unit_price": 0, "unit": "image", "currency": "USD"}  # nothing is charged


def routes(context: AppContext, refuse: Callable[[Headers, Fault], Response]) -> APIRouter:
    """refuse: tells of a fault in fal's words."""
    router = APIRouter(tags=["fal"])
    answering = partial(operation.answering_by, context, DIALECT, refuse)

    @router.get("/fal/openapi.json", operation_id="fal_openapi")
    @answering
    async def of_endpoint(request: Request, endpoint_id: str) -> JSONResponse:
        """The OpenAPI document of one endpoint; null where there is none."""
        page = page_of(context.catalog, endpoint_id)
        if page is None:
            return JSONResponse(None, 404)
        return JSONResponse(openapi(page, f"{base_of(request)}/fal/queue", statuses=WORDS))

    @router.get("/fal/api/v1/models", operation_id="fal_models")
    @answering
    async def models(
        request: Request,
        endpoint_id: Named = None,
        q: str = "",
        category: str = "",
        limit: Annotated[int, Query(ge=1, le=MOST)] = MOST,
        cursor: str = "",
        expand: Annotated[list[str] | None, Query()] = None,
    ) -> JSONResponse:
        """The endpoints that are served here."""
        named = _ids(endpoint_id)
        wanted = [
            page
            for name in named or context.catalog.names()
            if (page := page_of(context.catalog, name)) is not None
            and (not category or page.category == category)
            and q.lower() in f"{page.id} {page.title} {page.description}".lower()
        ]
        start = int(cursor) if cursor.isascii() and cursor.isdigit() else 0
        more = str(start + limit) if len(wanted) > start + limit else None
        base = base_of(request)
        body = listing(
            wanted[start : start + limit],
            f"{base}/fal/run",
            more,
            "openapi-3.0" in (expand or ()),
            f"{base}/fal/queue",
            statuses=WORDS,
        )
        return JSONResponse(body)

    @router.get("/fal/api/v1/models/pricing", operation_id="fal_pricing")
    @answering
    async def prices(request: Request, endpoint_id: Named = None) -> JSONResponse:
        """What endpoints cost, which is nothing."""
        ids = _ids(endpoint_id)
        if not ids:
            raise invalid("endpoint_id", f"name 1 to {MOST_NAMED} endpoints by endpoint_id")
        for id in ids:
            if page_of(context.catalog, id) is None:
                raise Fault(Kind.NOT_FOUND, f"there is no endpoint {id:.200} here")
        body = {"prices": [{"endpoint_id": id} | FREE for id in ids]}
        return JSONResponse(body | {"next_cursor": None, "has_more": False})

    @router.get("/fal/rest/.well-known/jwks.json", operation_id="fal_jwks")
    async def keys() -> JSONResponse:
        """The keys that webhooks are signed with."""
        signer = await context.service.signer()
        return JSONResponse(signer.jwks(), headers={"cache-control": "public, max-age=3600"})

    return router


def _ids(endpoint_id: list[str] | None) -> list[str]:
    """The endpoints that a call names, by a parameter for each or with commas between."""
    names = (name.strip() for each in endpoint_id or () for name in each.split(","))
    return list(dict.fromkeys(filter(None, names)))[:MOST_NAMED]
