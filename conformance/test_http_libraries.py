"""HTTP library by library, what becomes of a listed host under `imagemill exec`.

The host is one that somebody else is at: a decoy, whom every library would trust. So none of them
has to be believed: it is led to us or refused, and nobody has come to the decoy.

    python -m pytest conformance/test_http_libraries.py --http-libraries

writes the tables of docs/exec.md.
"""

import asyncio
import json
import os
import re
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import pytest
import websockets
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from conformance.generations import PACKAGES, folder, node
from conformance.http_libraries import LIBRARIES
from imagemill.exec.redirection import redirecting
from imagemill.tls import Authority

HERE = Path(__file__).parent
DOCUMENT = HERE.parent / "docs" / "exec.md"
HOST = "localhost"  # the one name that leads to somebody on every machine
OURS, THEIRS = "imagemill", "the hosted API"
PINS = (
    "aiohttp==3.14.5",
    "aiodns==4.0.4",
    "gevent==26.9.0",
    "pycurl==7.49.0",
    "uvloop==0.23.0",
)
PYTHON = f"Python {sys.version_info.major}.{sys.version_info.minor}"
# They read no roots that can be named for them, or speak no HTTP/1.1.
REFUSED = {"pycurl", "http2"}
PATIENCE = 200.0  # seconds, of all libraries of one runtime
TABLES = re.compile(r"\| of Python \|.*?\n\n\| of Node \|.*?\n(?=\n)", re.DOTALL)
Outcome = dict[str, str]


class Decoy(ThreadingTCPServer):
    """The host itself: counts who comes, and answers as it would."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Guest)
        self.tls, self.guests = tls, 0

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.server_address[1]}/"

    def get_request(self) -> Any:
        self.guests += 1
        return super().get_request()


class Guest(BaseRequestHandler):
    server: Decoy

    def handle(self) -> None:
        with suppress(OSError), self.server.tls.wrap_socket(self.request, True) as secured:
            secured.recv(2**16)
            head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(THEIRS)}\r\nconnection: close\r\n\r\n"
            secured.sendall(f"{head}{THEIRS}".encode())


@contextmanager
def decoy(authority: Authority) -> Iterator[Decoy]:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*authority.leaf([]))
    with Decoy(tls) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@asynccontextmanager
async def answering() -> AsyncIterator[str]:
    """The address of who is to answer in the place of the host, by HTTP or WebSocket."""

    def answer(_: websockets.ServerConnection, request: Request) -> Response | None:
        if "upgrade" in request.headers.get("connection", "").lower():
            return None
        headers = Headers({"content-length": str(len(OURS)), "connection": "close"})
        return Response(200, "OK", headers, OURS.encode())

    async def speak(socket: websockets.ServerConnection) -> None:
        await socket.send(OURS)

    async with websockets.serve(speak, "127.0.0.1", 0, process_request=answer) as server:
        yield f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


@dataclass(frozen=True)
class Row:
    """What one library was told."""

    name: str
    runtime: str
    outcome: Outcome

    @property
    def fate(self) -> str:
        if "error" in self.outcome:
            return "refused"
        return {OURS: "led", THEIRS: "past us"}[self.outcome["body"]]


def table(title: str, rows: Sequence[Row]) -> str:
    """A line for each library, a column for each runtime that it was run in."""
    runtimes = list(dict.fromkeys(row.runtime for row in rows))
    lines = [[title, "release", *runtimes], ["---"] * (2 + len(runtimes))]
    for name in dict.fromkeys(row.name for row in rows):
        each = {row.runtime: row for row in rows if row.name == name}
        release = next(iter(each.values())).outcome["release"]
        fates = [each[runtime].fate if runtime in each else "" for runtime in runtimes]
        lines.append([name, release, *fates])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


async def spoken(variables: Mapping[str, str], *command: str, at: Path = HERE.parent) -> Any:
    """The JSON that a program prints."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=at, env=dict(variables), stdout=-1, stderr=-1
    )
    async with asyncio.timeout(PATIENCE):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return json.loads(output)


async def of_python(variables: Mapping[str, str], url: str) -> list[Row]:
    paths = [variables["PYTHONPATH"], *(str(folder(pin)) for pin in PINS)]
    variables = {**variables, "PYTHONPATH": os.pathsep.join(paths)}
    command = (sys.executable, "-m", "conformance.http_libraries", url)
    outcomes = await spoken(variables, *command, *LIBRARIES)
    return [Row(name, PYTHON, outcome) for name, outcome in outcomes.items()]


async def of_node(variables: Mapping[str, str], url: str, program: str) -> list[Row]:
    code, place = (HERE / "http_libraries.mjs").read_text("utf-8"), folder("http-libraries")
    command = (program, "--input-type=module", "--eval", code, "--", url)
    said = await spoken(variables, *command, at=place)
    runtime = f"Node {said['node'].partition('.')[0]}"
    return [Row(name, runtime, outcome) for name, outcome in said["outcomes"].items()]


@dataclass(frozen=True)
class World:
    """What all libraries were told, and what they would have been without us."""

    rows: list[Row]
    guests: int
    unled: Outcome
    guests_unled: int


async def run(place: Path) -> World:
    theirs = Authority.keep(place / "theirs", [], time.time)
    ours = Authority.keep(place / "ours", [HOST], time.time)
    shell = {**os.environ, "SSL_CERT_FILE": str(theirs.bundle()), "PYTHONPATH": ""}
    with decoy(theirs) as host:
        ports = {host.server_address[1]: "https"}
        async with (
            answering() as server,
            redirecting(shell, server, [HOST], ours, place, False, ports) as redirection,
        ):
            # This machine's own name, which stands for a stranger's here.
            led = redirection.environment(shell) | {"NO_PROXY": "", "no_proxy": ""}
            rows = await of_python(led, host.url)
            for program in ("node", node(24)):
                rows += await of_node(led, host.url, program)
        guests = host.guests
        command = (sys.executable, "-m", "conformance.http_libraries", host.url, "http.client")
        unled = (await spoken(shell, *command))["http.client"]
        return World(rows, guests, unled, host.guests)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return asyncio.run(run(tmp_path_factory.mktemp("world")))


def test_no_library_reaches_the_host_itself(world: World) -> None:
    assert world.guests == 0
    assert {row.fate for row in world.rows} == {"led", "refused"}


def test_each_is_led_but_those_that_cannot_be(world: World) -> None:
    refused = {row.name: row.outcome["error"] for row in world.rows if row.fate == "refused"}
    assert refused.keys() == REFUSED, refused
    assert all(refused.values())


def test_who_is_not_led_would_have_reached_it(world: World) -> None:
    assert world.unled["body"] == THEIRS
    assert world.guests_unled == 1


def test_python_and_both_nodes_are_there(world: World) -> None:
    assert {row.runtime for row in world.rows} == {PYTHON, "Node 20", "Node 24"}
    names = [row.name for row in world.rows]
    pinned = {each.rpartition("@")[0] for each in PACKAGES["http-libraries"]} - {"openai"}
    assert pinned <= {*names}


def test_the_page_has_the_tables(world: World, request: pytest.FixtureRequest) -> None:
    of_python = [row for row in world.rows if row.runtime == PYTHON]
    of_node = [row for row in world.rows if row.runtime != PYTHON]
    tables = f"{table('of Python', of_python)}\n{table('of Node', of_node)}"
    if request.config.getoption("--http-libraries"):
        text = TABLES.sub(lambda _: tables, DOCUMENT.read_text("utf-8"))
        DOCUMENT.write_text(text, "utf-8")
    assert tables in DOCUMENT.read_text("utf-8")
