"""Assembly of the server: settings in, an ASGI application out. No torch is imported here."""

import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagemill import __version__, telemetry
from imagemill.catalog import Catalog
from imagemill.dialects import flat, hf_inference, wire
from imagemill.engine.events import Engine, State
from imagemill.engine.messages import Options
from imagemill.engine.process import EngineProcess
from imagemill.files import Cache
from imagemill.pipelines.families import EMBEDDED
from imagemill.service import Service
from imagemill.settings import Settings
from imagemill.telemetry import Telemetry

log = logging.getLogger(__name__)

# Every dialect brings its routes by one line here.
DOORS: tuple[Callable[[wire.House], APIRouter], ...] = (hf_inference.routes, flat.routes)

_REQUEST_ID = re.compile(r"[\w.-]{1,128}", re.ASCII)


def create_app(settings: Settings, engine: Engine | None = None) -> FastAPI:
    """The server; `engine` paints, a process of its own where none is given."""
    catalog = Catalog(settings.models, settings.stand_ins)
    metrics = Telemetry()
    service = Service(
        engine or _engine(settings, catalog),
        Cache(settings.data_dir / "pictures", settings.cache_bytes, settings.cache_age, time.time),
        metrics,
        settings.queue,
        settings.wait_time,
    )
    house = wire.House(service, catalog, metrics, settings.body_limit)
    app = FastAPIOffline(
        title="imagemill",
        version=__version__,
        description="Answers the hosted image APIs that you already use, and paints itself.",
        lifespan=_lifespan(service, settings.shutdown_time),
        redoc_url=None,
    )
    for routes in (*DOORS, _house_routes):
        app.include_router(routes(house))
    app.add_exception_handler(HTTPException, _refuse)
    app.add_middleware(Marked)
    return app


def make_server(settings: Settings) -> uvicorn.Server:
    """Sets up logging, and makes the server that `run()` serves with until it is interrupted."""
    telemetry.set_up_logging(settings.log_format, settings.log_level)
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,  # `Marked` writes one, with the request's id
        server_header=False,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_time)),
    )
    return uvicorn.Server(config)


def _engine(settings: Settings, catalog: Catalog) -> EngineProcess:
    first = catalog.find(catalog.default).source
    sources = (first, EMBEDDED) if settings.stand_ins else (first,)
    return EngineProcess(Options(settings.threads or None, preload=tuple(dict.fromkeys(sources))))


def _lifespan(service: Service, patience: float) -> Any:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.open()
        try:
            yield
        finally:
            await service.close(patience)

    return lifespan


def _house_routes(house: wire.House) -> APIRouter:
    router = APIRouter(tags=["server"])

    async def health() -> JSONResponse:
        """Whether the server lives, and whether its engine is ready to paint."""
        state = house.service.engine.state
        ready = state is State.READY
        body = {"live": True, "ready": ready, "model": state.value, "version": __version__}
        return JSONResponse(body, 200 if ready else 503)

    async def metrics() -> Response:
        """Prometheus metrics."""
        return Response(house.telemetry.render(), media_type=telemetry.CONTENT_TYPE)

    router.add_api_route(
        "/health", health, methods=["GET"], responses={503: {"description": "Not ready"}}
    )
    router.add_api_route("/metrics", metrics, methods=["GET"], response_class=Response)
    return router


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    """No such route, or not with this verb."""
    assert isinstance(error, HTTPException)
    told = f"{request.method} {request.url.path[:200]}: {error.detail.lower()}; see /docs"
    return JSONResponse({"error": told}, error.status_code, error.headers)


class Marked:
    """Marks every reply with a request id, the caller's own where it is sane, and logs it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        id, began, status = _id(scope), time.monotonic(), 0

        async def marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = id
            await send(message)

        try:
            await self.app(scope, receive, marked)
        finally:
            facts = {
                "request_id": id,
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "seconds": round(time.monotonic() - began, 4),
            }
            log.info("%(method)s %(path)r %(status)s in %(seconds)s s", facts, extra=facts)


def _id(scope: Scope) -> str:
    given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
