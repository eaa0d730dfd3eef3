"""Assembly of the server: settings in, an ASGI application out. No torch is imported here."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exception_handlers import request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from imagemill import __version__, telemetry
from imagemill.admission import SHOWN, Admission
from imagemill.assembly import assemble
from imagemill.authentication import AuthenticationMiddleware, Keyring
from imagemill.budget import Budget
from imagemill.catalog import Catalog
from imagemill.connections import Connections, Limits, most_connections, protocols
from imagemill.credits import Prices
from imagemill.dialects import fal, hf_inference
from imagemill.doors import DIALECTS, dialect_of, refuse
from imagemill.engine.events import Engine
from imagemill.errors import Fault, Kind
from imagemill.host_routing import HostRouting
from imagemill.http import file_responses
from imagemill.http.addresses import AddressMiddleware, path_of
from imagemill.http.context import AppContext
from imagemill.http.middleware import (
    HeadMiddleware,
    PacingMiddleware,
    RequestIdMiddleware,
    SlowRetryMiddleware,
)
from imagemill.http.request_body import Bodies, Bounded
from imagemill.http.routing import join_routes
from imagemill.jobs.service import Service
from imagemill.pacing import Pacer
from imagemill.server import Server
from imagemill.settings import LOOPBACK, Settings
from imagemill.store.accounts import AccountTable
from imagemill.telemetry import Telemetry
from imagemill.tls import EVERYWHERE, Authority

UNROUTED = {404: Kind.NO_PATH, 405: Kind.NO_VERB}  # what no route says of a call
BEGUN_A_PASS = 4  # requests, each about a millisecond, in one pass of the event loop


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
    backend = assemble(settings, catalog, metrics, engine, inputs.disk)
    service = backend.service
    context = AppContext(
        service,
        backend.objects,
        backend.styles,
        catalog,
        metrics,
        settings.body_limit,
        settings.input_limit,
        settings.on_hang_up,
        Prices({id: each.price() for id, each in settings.prices.items()}),
        settings.strict,
    )
    routers = [each.routes(context) for each in DIALECTS]
    routers += [file_responses.routes(context), _server_routes(context)]
    app = FastAPIOffline(
        title="imagemill",
        version=__version__,
        description="Answers the hosted image APIs that you already use, and paints itself.",
        lifespan=_lifespan(service, settings.shutdown_time, routers),
        redoc_url=None,
        redirect_slashes=False,  # no path that arrives has one at its end
    )
    routers.append(fal.proxy.routes(app.router))
    join_routes(app.router, *routers)
    app.add_exception_handler(HTTPException, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_parameters)
    app.add_middleware(HeadMiddleware, SHOWN)
    app.add_middleware(SlowRetryMiddleware, hf_inference.IMPATIENT)
    app.add_middleware(
        AuthenticationMiddleware,
        Keyring(AccountTable(backend.database), time.time),
        backend.objects.holder,
        settings.open,
    )
    app.add_middleware(Admission, settings)
    app.add_middleware(RequestIdMiddleware)
    app.add_middleware(HostRouting, settings.input_limit, catalog.default)
    app.add_middleware(AddressMiddleware, settings.root_path, settings.behind_proxy)
    app.add_middleware(Bounded, inputs)
    app.add_middleware(PacingMiddleware, Pacer(BEGUN_A_PASS))
    metrics.inputs.labels("memory").set_function(lambda: inputs.memory.taken)
    metrics.inputs.labels("disk").set_function(lambda: inputs.disk.taken)
    app.state.metrics, app.state.inputs = metrics, inputs
    app.state.backend = backend
    return app


def make_server(settings: Settings, engine: Engine | None = None) -> Server:
    """Sets up logging, and makes the server that `run()` serves with until it is interrupted;
    `engine` paints, as in `create_app`.
    """
    telemetry.set_up_logging(settings.log_format, settings.log_level)
    app = create_app(settings, engine)
    config = server_config(settings, app)
    config.lifespan = "off"  # the server itself opens and closes what is behind it
    return Server(config, app.state.backend.service, settings.shutdown_time, settings.lock_wait)


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
        access_log=False,  # `RequestIdMiddleware` writes one, with the request's id
        server_header=False,
        proxy_headers=False,  # `AddressMiddleware` reads them, where they may be believed
        timeout_graceful_shutdown=max(1, round(settings.shutdown_time)),
    )


def exports(settings: Settings) -> str:
    """What whoever calls a server with `tls` must export, line by line."""
    # Here, since few who serve need it and it brings all of `imagemill exec`.
    from imagemill.exec import surroundings

    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"https://{host}:{settings.port}"
    return surroundings.exports(_authority(settings), url)


def _authority(settings: Settings) -> Authority:
    return Authority.keep(settings.data_dir / "tls", _names(settings), time.time)


def _names(settings: Settings) -> list[str]:
    return [] if settings.host in (*LOOPBACK, *EVERYWHERE) else [settings.host]


def _lifespan(service: Service, patience: float, routers: Sequence[APIRouter]) -> Any:
    """What lives within routers ends before the service that it stands on."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.open()
        try:
            async with AsyncExitStack() as stack:
                for router in routers:
                    await stack.enter_async_context(router.lifespan_context(app))
                yield
        finally:
            await service.close(patience)

    return lifespan


def _server_routes(context: AppContext) -> APIRouter:
    router = APIRouter(tags=["server"])

    async def health() -> JSONResponse:
        """Whether the server lives, whether it is ready to paint and to keep, and why it is not."""
        now = context.service.health()
        body = {"live": True, "ready": now.ready, "model": now.state.value, "version": __version__}
        body |= {name: trouble or "ready" for name, trouble in now.stores.items()}
        if now.trouble:
            body["why"] = now.trouble
        return JSONResponse(body, 200 if now.ready else 503)

    async def metrics() -> Response:
        """Prometheus metrics."""
        return Response(context.telemetry.render(), media_type=telemetry.CONTENT_TYPE)

    router.add_api_route(
        "/health", health, methods=["GET"], responses={503: {"description": "Not ready"}}
    )
    router.add_api_route("/metrics", metrics, methods=["GET"], response_class=Response)
    return router


async def _refuse_parameters(request: Request, error: Exception) -> Response:
    """Something is wrong with the parameters in the URL."""
    assert isinstance(error, RequestValidationError)
    if dialect_of(path_of(request.scope)).plain:
        return await request_validation_exception_handler(request, error)
    wrong = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())
    return refuse(path_of(request.scope), request.headers, Fault(Kind.INVALID, wrong))


async def _refuse(request: Request, error: Exception) -> Response:
    """No such path, or not with this verb."""
    assert isinstance(error, HTTPException)
    path = path_of(request.scope)
    message = f"{request.method[:20]} {path[:200]}: {error.detail.lower()}; see /docs"
    kind = UNROUTED.get(error.status_code, Kind.MALFORMED)
    response = refuse(path, request.headers, Fault(kind, message))
    response.headers.update(error.headers or {})
    if response.headers.get("allow") == "GET":
        response.headers["allow"] = "GET, HEAD"
    return response
