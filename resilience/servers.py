"""Servers in processes of their own: started, killed, stopped, started again."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from imagemill.settings import PREFIX
from resilience.prober import CACHED, HEALTH

ROOT = Path(__file__).parents[1]
HOST = "127.0.0.1"
PATIENCE = 120.0  # seconds for what takes a few on a quiet machine
LOOK_EVERY = 0.05  # seconds between looks at another process


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@dataclass
class Server:
    """folder: its own, with its data, and what the launcher reads. settings: in their own names.
    options: of `resilience.launcher`.
    """

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Begins starting; `ready` waits for it."""
        self.folder.mkdir(exist_ok=True)
        self.turn_clock(0)
        (self.folder / "gate").touch()
        command = [sys.executable, "-m", "resilience.launcher", str(self.folder), *self.options]
        self._run(command)

    def serve(self, before: Callable[[], None] | None = None) -> None:
        """The same by the command that everybody has. before: is called in the new process."""
        self.folder.mkdir(exist_ok=True)
        self._run([sys.executable, "-m", "imagemill", "serve"], before)

    def _run(self, command: list[str], before: Callable[[], None] | None = None) -> None:
        given = {"port": self.port, "data_dir": self.data} | self.settings
        plain = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        environment = plain | {PREFIX + name.upper(): str(value) for name, value in given.items()}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, preexec_fn=before
            )

    def ready(self) -> None:
        """Waits until it can paint, and has it paint what the prober will ask for."""
        until(lambda: self._asked(*HEALTH).status_code == 200, self)
        reply = self._asked(*CACHED)
        assert reply.status_code == 200, reply.text

    def live(self) -> None:
        """Waits until it answers at all."""
        until(lambda: bool(self._asked(*HEALTH).status_code), self)

    def ended(self) -> int:
        """Its exit code, once it has ended by itself."""
        assert self.process is not None
        return self.process.wait(PATIENCE)

    def _asked(self, method: str, path: str, body: Any) -> httpx.Response:
        headers = {"x-wait-for-model": "true"}
        return httpx.request(method, self.url + path, json=body, headers=headers, timeout=PATIENCE)

    def health(self) -> dict[str, Any]:
        told: dict[str, Any] = self._asked(*HEALTH).json()
        return told

    def metric(self, name: str) -> float:
        """A metric of Prometheus without labels."""
        text = httpx.get(f"{self.url}/metrics", timeout=PATIENCE).text
        found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
        assert found is not None, name
        return float(found[1])

    @property
    def engine(self) -> int:
        """The process that paints; 0 while there is none."""
        for child in psutil.Process(self.pid).children():
            with suppress(psutil.Error):  # it has just ended
                if "spawn_main" in " ".join(child.cmdline()):
                    return int(child.pid)
        return 0

    def signal_engine(self, number: signal.Signals) -> int:
        """Sends a signal to the process that paints; which one that was."""
        pid = self.engine
        assert pid, "there is no engine"  # 0 would be everybody in our own group
        os.kill(pid, number)
        return pid

    def kill(self) -> None:
        """Without a word, with all that it has started."""
        if self.process is not None and self.alive:
            children = psutil.Process(self.pid).children(recursive=True)
            self.process.kill()
            self.process.wait()
            for child in children:
                _kill(child)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stands still, as on a machine that sleeps."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def turn_clock(self, seconds: float) -> None:
        """So far from the true time."""
        new = self.folder / "clock.new"
        new.write_text(str(seconds), "ascii")
        new.replace(self.folder / "clock")  # never half of it


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()
        process.wait(PATIENCE)


def until(true: Callable[[], bool], server: Server) -> None:
    """Looks again and again, as long as the server lives."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if true():
                return
        except httpx.TransportError:
            pass
        assert server.alive, server.log[-2000:]
        time.sleep(LOOK_EVERY)
    raise AssertionError(f"not within {PATIENCE:.0f} seconds:\n{server.log[-2000:]}")


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """A server that is ready; killed at the end."""
    server.start()
    try:
        server.ready()
        yield server
    finally:
        server.kill()
