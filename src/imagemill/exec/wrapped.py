"""`imagemill exec`: any program, with the hosted APIs that it calls answered here.

A server (one's own, or one that runs already), a proxy that answers for the listed hosts, and the
program in an environment that leads it there. Its input, output, signals and exit code are its own.
"""

import asyncio
import hashlib
import json
import os
import re
import secrets
import signal
import ssl
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
from imagemill.exec.calls import calls, complaints, told
from imagemill.exec.interception import Policy, proxying
from imagemill.exec.surroundings import above, environment, roots
from imagemill.exec.tunnels import PORTS, Place, basic
from imagemill.folders import keep_private, touch_private
from imagemill.http.hosts import HOSTS
from imagemill.settings import LOOPBACK
from imagemill.tls import Authority

USER = "imagemill"  # of the proxy; the secret tells who is served
LOOKS_APART = 0.05  # seconds, while the server starts
STOP_SECONDS = 10.0
NOT_FOUND, NOT_EXECUTABLE, BY_SIGNAL = 127, 126, 128  # exit codes, as shells have them
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
OF_TERMINALS = (signal.SIGINT, signal.SIGQUIT)  # sent to everybody in the foreground

# A temporary server has its own of each of these, whatever the shell says.
OWN = ("IMAGEMILL_DATABASE", "IMAGEMILL_FILES", "IMAGEMILL_DATA_DIR")
_RUNNING = re.compile(r"running on (http://[\w.:\[\]-]+)")


@dataclass(frozen=True)
class Wish:
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


def run(wish: Wish) -> int:
    """Runs the program; gives its exit code."""

    async def main() -> int:
        loop, task = asyncio.get_running_loop(), asyncio.create_task(_run(wish, signals))
        signals.append(Signals(task))
        for number in FORWARDED:
            loop.add_signal_handler(number, signals[0].hear, number)
        try:
            return await task
        except asyncio.CancelledError:
            return BY_SIGNAL + signals[0].heard[0]

    signals: list[Signals] = []
    return asyncio.run(main())


async def _run(wish: Wish, signals: list[Signals]) -> int:
    hosts = sorted({*HOSTS, *(host.lower() for host in wish.hosts)})
    authority = Authority.keep(_folder_of_authority(wish), hosts, time.time)
    certificate = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.load_cert_chain(*authority.leaf(hosts))
    certificate.set_alpn_protocols(["http/1.1"])
    further = None if wish.offline else above(os.environ)
    with tempfile.TemporaryDirectory(prefix="imagemill-exec-") as name:
        folder = Path(name)
        log = None if wish.url else (wish.data_dir or folder) / "exec.log"
        trust = folder / "roots.pem"
        trust.write_bytes(roots(os.environ, authority.bundle()))
        async with _server(wish, folder, log) as url:
            secret = secrets.token_hex(16)
            policy = Policy(
                frozenset(hosts),
                _place(url),
                certificate,
                basic(USER, secret),
                wish.offline,
                further,
            )
            async with proxying(policy) as proxy:
                at = f"http://{USER}:{secret}@127.0.0.1:{proxy.port}"
                found = environment(os.environ, url, at, trust, hosts)
                code = await _program(wish.command, found, signals[0])
        _say(*told(calls(log) if log else None, proxy.counts))
    return code


async def _program(command: Sequence[str], found: Mapping[str, str], signals: Signals) -> int:
    try:
        program = await asyncio.create_subprocess_exec(*command, env=dict(found))
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
async def _server(wish: Wish, folder: Path, log: Path | None) -> AsyncIterator[str]:
    """The address of a server that is ready to paint."""
    if log is None:
        assert wish.url is not None
        yield await _reached(wish.url)
        return
    data = wish.data_dir or folder / "data"
    keep_private(data)
    touch_private(log)
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "imagemill", "serve", "--until-eof"),
            *("--host", "127.0.0.1", "--port", "0", "--data-dir", str(data)),
            env=_settings(wish),
            stdin=asyncio.subprocess.PIPE,
            stdout=file,
            stderr=file,
            start_new_session=True,  # an interrupt in the terminal is for the program
        )
    try:
        yield await _ready(process, log)
    finally:
        await _stop(process)


def _settings(wish: Wish) -> dict[str, str]:
    """The shell's settings of the server, but for those that do not fit here."""
    own = () if wish.data_dir else OWN
    found = {name: value for name, value in os.environ.items() if name not in own}
    found.pop("IMAGEMILL_URL", None)  # of an `exec` around this one; no setting
    found |= {"IMAGEMILL_LOG_FORMAT": "json", "IMAGEMILL_TLS": "false"}
    found |= {"IMAGEMILL_LOG_LEVEL": "info", "IMAGEMILL_BEHIND_PROXY": "false"}
    found["IMAGEMILL_HOSTS"] = json.dumps([*wish.hosts])
    # The program calls by the names of others, so that the server cannot know that it is local.
    found["IMAGEMILL_FETCH_HOSTS"] = _extended(found.get("IMAGEMILL_FETCH_HOSTS"), LOOPBACK)
    found.setdefault("IMAGEMILL_SHUTDOWN_TIME", "1")  # nobody waits for what is left
    return found | ({"HF_HUB_OFFLINE": "1"} if wish.offline else {})


def _extended(listed: str | None, more: Sequence[str]) -> str:
    """A setting that is a list, with `more`; what is none is left for the server to refuse."""
    try:
        return json.dumps([*json.loads(listed or "[]"), *more])
    except (ValueError, TypeError):
        return listed or ""


async def _ready(process: asyncio.subprocess.Process, log: Path) -> str:
    while (found := _RUNNING.search(log.read_text("utf-8", "replace"))) is None:
        await _alive(process, log)
    url = found[1]
    async with httpx.AsyncClient(trust_env=False) as client:
        while not (health := (await client.get(f"{url}/health")).json())["ready"]:
            await _alive(process, log)
            if health["model"] == "degraded":  # so early: it will not come up
                raise Fault(Kind.FAILED, f"the engine did not start: {complaints(log)}")
    return url


async def _alive(process: asyncio.subprocess.Process, log: Path) -> None:
    """Waits for a moment; the server must not end in it."""
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(process.wait()), LOOKS_APART)
        raise Fault(Kind.FAILED, f"the server did not start: {complaints(log)}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except (TimeoutError, asyncio.CancelledError):
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


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


def _place(url: str) -> Place:
    parts = urlsplit(url)
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    return Place(parts.hostname or "", parts.port or PORTS[parts.scheme], tls)


def _folder_of_authority(wish: Wish) -> Path:
    """One for each set of names, so that what was trusted once does not grow with the next run.

    In a folder of the user, not of the project one stands in: keys there end in archives.
    """
    data = os.environ.get("XDG_DATA_HOME", "")
    usual = (Path(data) if data else Path.home() / ".local" / "share") / "imagemill"
    own = sorted({host.lower() for host in wish.hosts} - set(HOSTS))
    digest = hashlib.sha256("\n".join(own).encode()).hexdigest()[:12]
    return (wish.data_dir or usual) / (f"tls-hosts-{digest}" if own else "tls-hosts")


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
