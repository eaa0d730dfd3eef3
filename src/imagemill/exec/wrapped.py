"""`imagemill exec`: any program, with the hosted APIs that it calls answered here.

A server (one's own, or one that runs already), a proxy that answers for the listed hosts, and the
program in an environment that leads it there. Its input, output, signals and exit code are its own.
"""

import asyncio
import hashlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from imagemill.errors import Fault, Kind, invalid
from imagemill.exec.calls import calls, summary
from imagemill.exec.own_server import OWN, server_settings, serving
from imagemill.exec.redirection import redirecting
from imagemill.exec.tunnels import PORTS
from imagemill.folders import keep_private
from imagemill.http.hosts import HOSTS
from imagemill.tls import Authority

NOT_FOUND, NOT_EXECUTABLE, BY_SIGNAL = 127, 126, 128  # exit codes, as shells have them
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
OF_TERMINALS = (signal.SIGINT, signal.SIGQUIT)  # sent to everybody in the foreground


@dataclass(frozen=True)
class ExecOptions:
    command: Sequence[str]
    url: str | None = None  # of a server that runs already
    offline: bool = False
    data_dir: Path | None = None
    hosts: Sequence[str] = ()  # besides those that are known


@dataclass
class Signals:
    """What is sent to us is the program's; before and after it, it ends us."""

    task: asyncio.Task[int]
    program: asyncio.subprocess.Process | None = None
    heard: list[int] = field(default_factory=list)

    def hear(self, number: int) -> None:
        self.heard.append(number)
        if self.program is None:
            self.task.cancel()
        elif number not in OF_TERMINALS or not _in_foreground():
            with suppress(ProcessLookupError):
                self.program.send_signal(number)


def run(options: ExecOptions) -> int:
    """Runs the program; gives its exit code."""

    async def main() -> int:
        loop, task = asyncio.get_running_loop(), asyncio.create_task(_run(options, signals))
        signals.append(Signals(task))
        for number in FORWARDED:
            loop.add_signal_handler(number, signals[0].hear, number)
        try:
            return await task
        except asyncio.CancelledError:
            return BY_SIGNAL + signals[0].heard[0]

    signals: list[Signals] = []
    return asyncio.run(main())


async def _run(options: ExecOptions, signals: list[Signals]) -> int:
    hosts = sorted({*HOSTS, *(host.lower() for host in options.hosts)})
    authority = Authority.keep(_folder_of_authority(options), hosts, time.time)
    with tempfile.TemporaryDirectory(prefix="imagemill-exec-") as name:
        folder = Path(name)
        log = None if options.url else (options.data_dir or folder) / "exec.log"
        async with (
            _server(options, folder, log) as url,
            redirecting(os.environ, url, hosts, authority, folder, options.offline) as redirection,
        ):
            variables = redirection.environment(os.environ)
            code = await _program(options.command, variables, signals[0])
        _say(*summary(calls(log) if log else None, redirection.proxy.counts))
    return code


async def _program(command: Sequence[str], variables: Mapping[str, str], signals: Signals) -> int:
    try:
        program = await asyncio.create_subprocess_exec(*command, env=dict(variables))
    except FileNotFoundError:
        _say(f"{command[0]}: there is no such program")
        return NOT_FOUND
    except OSError as error:
        _say(f"{command[0]}: {error.strerror}")
        return NOT_EXECUTABLE
    signals.program = program
    code = await program.wait()
    signals.program = None
    return code if code >= 0 else BY_SIGNAL - code


@asynccontextmanager
async def _server(options: ExecOptions, folder: Path, log: Path | None) -> AsyncIterator[str]:
    """The address of a server that is ready to paint."""
    if log is None:
        assert options.url is not None
        yield await _reached(options.url)
        return
    data = options.data_dir or folder / "data"
    keep_private(data)
    own = () if options.data_dir else OWN
    settings = server_settings(os.environ, own, options.hosts, options.offline)
    command = (sys.executable, "-m", "imagemill", "serve", "--until-eof")
    place = ("--host", "127.0.0.1", "--port", "0", "--data-dir", str(data))
    async with serving([*command, *place], settings, log) as url:
        yield url


async def _reached(url: str) -> str:
    """The address of a server that runs already."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in PORTS and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.path.strip("/") or parts.query:
        raise invalid("url", f"{url!r:.200} is no address; one is http://127.0.0.1:8000")
    base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    try:
        async with httpx.AsyncClient() as client:
            (await client.get(f"{base}/health")).json()["live"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        raise Fault(Kind.UNREACHABLE, f"no imagemill answers at {base}; start one there") from None
    return base


def _folder_of_authority(options: ExecOptions) -> Path:
    """One for each set of names, so that what was trusted once does not grow with the next run.

    In a folder of the user, not of the project one stands in: keys there end in archives.
    """
    data = os.environ.get("XDG_DATA_HOME", "")
    usual = (Path(data) if data else Path.home() / ".local" / "share") / "imagemill"
    own = sorted({host.lower() for host in options.hosts} - set(HOSTS))
    digest = hashlib.sha256("\n".join(own).encode()).hexdigest()[:12]
    return (options.data_dir or usual) / (f"tls-hosts-{digest}" if own else "tls-hosts")


def _in_foreground() -> bool:
    """Whether a terminal sends its interrupts to us and our program alike."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _say(*lines: str) -> None:
    for line in lines:
        print(f"imagemill: {line}", file=sys.stderr)
