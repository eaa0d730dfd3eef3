"""What a session of tests has running: a server in a process, and a proxy in a thread."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from imagemill.exec.own_server import OWN, server_settings, serving
from imagemill.exec.redirection import Redirection, redirecting
from imagemill.folders import keep_private
from imagemill.http.hosts import HOSTS
from imagemill.tls import Authority


@dataclass(frozen=True)
class TestServer:
    """A server of the embedded model, on a free port of this machine."""

    __test__ = False  # it is no test, whatever its name begins with

    #: As "http://127.0.0.1:43210"; all dialects are below it.
    url: str
    #: What leads programs to it.
    redirection: Redirection = field(repr=False)
    #: Where calls are written down.
    calls: Path = field(repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """All variables of a program whose calls of the hosted APIs are to be answered here."""
        return self.redirection.environment(os.environ)


Started = Future[tuple[TestServer, Callable[[], object]]]


@contextmanager
def running(folder: Path) -> Iterator[TestServer]:
    """A server with its data in `folder`, ready to paint; it ends with the `with`."""
    started: Started = Future()
    thread = threading.Thread(
        target=lambda: asyncio.run(_run(folder, started)), name="imagemill", daemon=True
    )
    thread.start()
    server, stop = started.result()
    try:
        yield server
    finally:
        stop()
        thread.join()


async def _run(folder: Path, started: Started) -> None:
    try:
        await _serve(folder, started)
    except BaseException as error:
        if started.done():
            raise
        started.set_exception(error)


async def _serve(folder: Path, started: Started) -> None:
    hosts, data, calls = sorted(HOSTS), folder / "data", folder / "calls.jsonl"
    keep_private(data)
    authority = Authority.keep(folder / "tls", hosts, time.time)
    command = [sys.executable, "-m", "imagemill.testing.recording", str(data), str(calls)]
    settings = server_settings(os.environ, OWN, (), offline=True)
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    async with (
        serving(command, settings, folder / "server.log") as url,
        redirecting(os.environ, url, hosts, authority, folder, offline=True) as redirection,
    ):
        server = TestServer(url, redirection, calls)
        started.set_result((server, partial(loop.call_soon_threadsafe, stopped.set)))
        await stopped.wait()
