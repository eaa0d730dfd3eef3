"""Assembly of the server: settings in, an ASGI application out. No torch is imported here."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagemill import __version__, telemetry
from imagemill.addresses import Addressed, path_of
from imagemill.admission import Admission
from imagemill.assembly import assemble
from imagemill.budget import Budget
from imagemill.catalog import Catalog
from imagemill.connections import Connections, Limits, most_connections, protocols
from imagemill.dialects import downloads, fal, hf_inference, wire
from imagemill.dialects.request_body import Bodies, Bounded
from imagemill.doors import DIALECTS, refuse
from imagemill.engine.events import Engine, State
from imagemill.errors import Fault, Kind
from imagemill.pacing import Pacer
from imagemill.server import Server
from imagemill.service import Service
from imagemill.settings import LOOPBACK, Settings
from imagemill.telemetry import Telemetry
from imagemill.tls import EVERYWHERE, Authority

log = logging.getLogger(__name__)

UNROUTED = {404: Kind.NO_PATH, 405: Kind.NO_VERB}  # what no route says of a call
BEGUN_A_PASS = 4  # requests, each about a millisecond, in one pass of the event loop
LEAST_PAUSE, MOST_PAUSE = 1.0, 10.0  # seconds before a 503

_REQUEST_ID = re.compile(r"[\w.-]{1,128}", re.ASCII)


def create_app(
    settings: Settings, engine: Engine | None = None, bodies: Bodies | None = None
) -> FastAPI:
    """The server; `engine` paints, a process of its own where none is given, and `bodies` says how
    requests arrive, by the settings where it is not given.
    """
    catalog = Catalog(settings.models, settings.stand_ins)
    metrics = Telemetry()
    inputs = bodies or Bodies(
        Budget(settings.input_memory), Budget(settings.input_disk), settings.data_dir / "incoming"
    )
    service = assemble(settings, catalog, metrics, engine, inputs.disk)
    house = wire.House(
        service,
        catalog,
        metrics,
        settings.body_limit,
        settings.input_limit,
        settings.behind_proxy,
        settings.on_hang_up,
    )
    app = FastAPIOffline(
        title="imagemill",
        version=__version__,
        description="Answers the hosted image APIs that you already use, and paints itself.",
        lifespan=_lifespan(service, settings.shutdown_time),
        redoc_url=None,
    )
    for routes in (*(each.routes for each in DIALECTS), downloads.routes, _house_routes):
        app.include_router(routes(house))
    app.include_router(fal.proxy.routes(app.router))
    app.add_exception_handler(HTTPException, _refuse)
    app.add_middleware(Calm)
    app.add_middleware(Admission, settings)
    app.add_middleware(Marked)
    app.add_middleware(Addressed, settings.input_limit, catalog.default)
    app.add_middleware(Bounded, inputs)
    app.add_middleware(Paced, Pacer(BEGUN_A_PASS))
    metrics.inputs.labels("memory").set_function(lambda: inputs.memory.taken)
    metrics.inputs.labels("disk").set_function(lambda: inputs.disk.taken)
    app.state.metrics, app.state.inputs = metrics, inputs
    app.state.service = service
    return app


def make_server(settings: Settings, engine: Engine | None = None) -> Server:
    """Sets up logging, and makes the server that `run()` serves with until it is interrupted;
    `engine` paints, as in `create_app`.
    """
    telemetry.set_up_logging(settings.log_format, settings.log_level)
    app = create_app(settings, engine)
    config = server_config(settings, app)
    config.lifespan = "off"  # the server itself opens and closes what is behind it
    return Server(config, app.state.service, settings.shutdown_time, settings.lock_wait)


def server_config(settings: Settings, app: FastAPI) -> uvicorn.Config:
    """How an application of `create_app` is served: within the limits of `connections`."""
    certificate, key = _authority(settings).leaf(_names(settings)) if settings.tls else (None, None)
    metrics: Telemetry = app.state.metrics
    watch = Connections(
        Limits(most_connections(settings.connections)),
        closed=lambda why: metrics.closed.labels(why).inc(),
    )
    metrics.connections.set_function(lambda: watch.count)
    http, socket = protocols(watch, app.state.inputs.memory)
    return uvicorn.Config(
        app,
        http=http,
        ws=socket,
        ws_per_message_deflate=False,  # a few compressed kilobytes can unfold to megabytes
        ssl_certfile=certificate,
        ssl_keyfile=key,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,  # `Marked` writes one, with the request's id
        server_header=False,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_time)),
    )


def exports(settings: Settings) -> str:
    """What whoever calls a server with `tls` must export, line by line."""
    return _authority(settings).exports(f"https://{settings.host}:{settings.port}")


def _authority(settings: Settings) -> Authority:
    return Authority.keep(settings.data_dir / "tls", _names(settings), time.time)


def _names(settings: Settings) -> list[str]:
    return [] if settings.host in (*LOOPBACK, *EVERYWHERE) else [settings.host]


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
        """Whether the server lives, whether it is ready to paint and to keep, and why it is not."""
        engine = house.service.engine
        stores = house.service.stores
        ready = engine.state is State.READY and not any(stores.values())
        body = {"live": True, "ready": ready, "model": engine.state.value, "version": __version__}
        body |= {name: trouble or "ready" for name, trouble in stores.items()}
        if engine.trouble:
            body["why"] = engine.trouble
        return JSONResponse(body, 200 if ready else 503)

    async def metrics() -> Response:
        """Prometheus metrics."""
        return Response(house.telemetry.render(), media_type=telemetry.CONTENT_TYPE)

    router.add_api_route(
        "/health", health, methods=["GET"], responses={503: {"description": "Not ready"}}
    )
    router.add_api_route("/metrics", metrics, methods=["GET"], response_class=Response)
    return router


async def _refuse(request: Request, error: Exception) -> Response:
    """No such path, or not with this verb."""
    assert isinstance(error, HTTPException)
    path = path_of(request.scope)
    told = f"{request.method[:20]} {path[:200]}: {error.detail.lower()}; see /docs"
    kind = UNROUTED.get(error.status_code, Kind.MALFORMED)
    response = refuse(path, request.headers, Fault(kind, told))
    response.headers.update(error.headers or {})
    return response


class Paced:
    """Lets few requests begin in one pass of the event loop."""

    def __init__(self, app: ASGIApp, pacer: Pacer) -> None:
        self.app, self.pacer = app, pacer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.pacer.turn()
        await self.app(scope, receive, send)


class Calm:
    """Holds every 503 back from a client that sends again at once and for ever when it gets one."""

    def __init__(
        self, app: ASGIApp, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self.app, self.pause = app, pause

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        agent = Headers(scope=scope).get("user-agent", "") if scope["type"] == "http" else ""
        hasty = agent.startswith(hf_inference.IMPATIENT)
        await self.app(scope, receive, self._held(send) if hasty else send)

    def _held(self, send: Send) -> Send:
        async def held(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 503:
                said = Headers(raw=message["headers"]).get("retry-after", "")
                seconds = float(said) if said.isascii() and said.isdigit() else LEAST_PAUSE
                await self.pause(min(max(seconds, LEAST_PAUSE), MOST_PAUSE))
            await send(message)

        return held


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
