"""Realtime as many suites need it: a server, a socket, and who paints behind them."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import msgpack
import uvicorn
import websockets
from fastapi import FastAPI
from starlette.datastructures import Headers

from imagemill.dialects.fal import realtime
from imagemill.dialects.fal.realtime import Run
from imagemill.dialects.fal.tokens import Tokens
from imagemill.http.identity import caller_of
from tests.clocks import Clock

SECRET = b"s" * 32
IMAGE = b"\xff\xd8 a picture"
OUTPUT = {"images": [{"content": IMAGE, "content_type": "image/jpeg"}], "seed": 2**63}
APP = "fal-ai/flux/dev"
K1 = caller_of(Headers({"authorization": "Key k1"}))


@dataclass
class Painter:
    """Stands for the service: remembers what was asked, answers or fails."""

    fault: Exception | None = None
    calls: list[tuple[str, dict[str, Any], str]] = field(default_factory=list)

    async def __call__(
        self, app: str, arguments: dict[str, Any], caller: str, local: bool
    ) -> dict[str, Any]:
        self.calls.append((app, arguments, caller))
        if self.fault is not None:
            raise self.fault
        return OUTPUT | {"prompt": arguments.get("prompt")}


@dataclass
class Sleeper:
    """Begins one piece of work and never ends it."""

    began: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(
        self, app: str, arguments: dict[str, Any], caller: str, local: bool
    ) -> dict[str, Any]:
        never: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.began.set()
        try:
            return await never
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


def make_tokens(clock: Callable[[], float] | None = None, secret: bytes = SECRET) -> Tokens:
    return Tokens(lambda: secret, clock or Clock())


def make_app(run: Run, tokens: Tokens | None = None, silence: float = 60.0) -> FastAPI:
    app = FastAPI()
    app.include_router(realtime.routes(run, tokens or make_tokens(), silence))
    return app


@asynccontextmanager
async def serving(app: FastAPI, lifespan: Literal["on", "off"] = "off") -> AsyncIterator[int]:
    """A real server; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        config = uvicorn.Config(app, log_config=None, lifespan=lifespan)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[bound]))
        try:
            yield bound.getsockname()[1]
        finally:
            server.should_exit = True
            await task


@asynccontextmanager
async def connected(
    app: FastAPI, query: str = "", credential: str = "Key k1", path: str = APP
) -> AsyncIterator[websockets.ClientConnection]:
    """A socket of nobody's client."""
    headers = {"authorization": credential} if credential else {}
    async with serving(app) as port:
        url = f"ws://127.0.0.1:{port}/fal/run/{path}/realtime{query}"
        async with websockets.connect(url, additional_headers=headers, proxy=None) as talk:
            yield talk


async def ask(talk: websockets.ClientConnection, input: object) -> dict[str, Any]:
    await talk.send(msgpack.packb(input))
    answer = await talk.recv()
    return dict(msgpack.unpackb(answer) if isinstance(answer, bytes) else json.loads(answer))
