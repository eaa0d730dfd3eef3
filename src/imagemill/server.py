"""The HTTP server: takes its address, begins when all behind it has begun, ends within its time.

uvicorn would bind last, tell of a start that failed by a traceback, and let what is behind it begin
to end only when its own time is over.
"""

import asyncio
import errno
import gc
import logging
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

import uvicorn

from imagemill.errors import Fault, Kind
from imagemill.jobs.service import Service

log = logging.getLogger(__name__)

BACKLOG = 2048  # connections that wait to be accepted
NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
LOOKS_APART = 0.05  # seconds between looks at an address that another server has


class Server(uvicorn.Server):
    """shutdown_time: seconds from the signal to the end. lock_wait: seconds for a predecessor on
    the same folder and port to end.
    """

    def __init__(
        self, config: uvicorn.Config, service: Service, shutdown_time: float, lock_wait: float
    ) -> None:
        super().__init__(config)
        self.service, self.shutdown_time, self.lock_wait = service, shutdown_time, lock_wait
        self._opening: asyncio.Task[list[socket.socket]] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Nothing new is claimed from this moment on."""
        super().handle_exit(sig, frame)
        self.service.drain(self.shutdown_time)
        if self._opening is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._opening.get_loop().call_soon_threadsafe(self._opening.cancel)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._opening = asyncio.create_task(self._open())
        try:
            bound = await self._opening
        except asyncio.CancelledError:
            if not self.should_exit:
                raise
            return  # never started: nothing is left to shut down
        finally:
            self._opening = None
        await super().startup(sockets=bound)
        # What a start has made stays: collecting garbage need not look at it, which takes long.
        gc.freeze()
        self._log_started_message(bound)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.service.drain(self.shutdown_time)
        for server in self.servers:
            server.close()  # a successor may have the port before our callers are answered
        with suppress(Fault):
            await self.service.turn_away()
        # Until then connections end by themselves.
        self.config.timeout_graceful_shutdown = self.service.seconds_left()  # type: ignore[assignment]
        await super().shutdown(sockets=sockets)
        await self.service.close(0.0 if self.force_exit else self.shutdown_time)

    async def _open(self) -> list[socket.socket]:
        host, port, wait = self.config.host, self.config.port, self.lock_wait
        bound = listening(host, port, last=wait <= 0)
        opening = asyncio.create_task(self.service.open(wait))
        waiting = asyncio.create_task(_listening_at_last(host, port, wait, bound))
        try:
            await asyncio.gather(opening, waiting)
        except BaseException:
            for task in (opening, waiting):
                task.cancel()
            await asyncio.gather(opening, waiting, return_exceptions=True)
            _close(bound or ([] if _failed(waiting) else waiting.result()))
            if not _failed(opening):
                await self.service.close(0.0)
            raise
        return waiting.result()


def listening(host: str, port: int, last: bool) -> list[socket.socket]:
    """Sockets at an address, in which who connects waits until they are served; none where another
    program has it, unless this is the last try, which raises a Fault.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise _cannot(host, port, error.strerror or str(error)) from None
    try:
        bound = bound_to(addresses, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and not last:
            return []
        raise _cannot(host, port, os.strerror(error.errno or 0).lower()) from None
    if not bound:
        raise _cannot(host, port, "it has no address of this machine")
    return bound


def bound_to(addresses: Sequence[tuple[Any, ...]], port: int) -> list[socket.socket]:
    """Sockets at all of the addresses, as `socket.getaddrinfo` has them, that this machine has, on
    one port; raises an OSError where one is taken.
    """
    bound = list[socket.socket]()
    for family, kind, protocol, _, address in dict.fromkeys(addresses):
        own = port or (bound[0].getsockname()[1] if bound else 0)  # a free one is one for all
        try:
            bound.append(_bound(family, kind, protocol, (address[0], own, *address[2:])))
        except OSError as error:
            if error.errno in NOT_HERE and len(addresses) > 1:
                continue  # localhost has an address of IPv6 where there may be none
            _close(bound)
            raise
    return bound


async def _listening_at_last(
    host: str, port: int, seconds: float, bound: list[socket.socket]
) -> list[socket.socket]:
    until = time.monotonic() + seconds
    while not bound:
        await asyncio.sleep(LOOKS_APART)
        bound = listening(host, port, last=time.monotonic() >= until)
    return bound


def _failed(task: "asyncio.Task[Any]") -> bool:
    return task.cancelled() or task.exception() is not None


def _bound(family: int, kind: int, protocol: int, address: object) -> socket.socket:
    bound = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)  # type: ignore[arg-type]
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


def _close(bound: list[socket.socket]) -> None:
    for each in bound:
        each.close()


def _cannot(host: str, port: int, reason: str) -> Fault:
    message = f"cannot listen on {host} port {port}: {reason}"
    return Fault(Kind.FAILED, f"{message}; give another --port or --host, or stop what has it")
