"""A watch: how a server answers others, and what it weighs, while a test does something to it."""

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

from resilience import prober
from resilience.servers import Server

HEALTHY = {"200", "503"}  # answers of /health: 503 where the engine or the database is away
HIT = {"200 hit"}


@dataclass(frozen=True)
class Latency:
    """In seconds: of the slowest, and of which one in twenty is slower."""

    worst: float
    usual: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latency":
        ordered = sorted(seconds)
        return cls(ordered[-1], ordered[math.ceil(0.95 * len(ordered)) - 1])


@dataclass(frozen=True)
class Measured:
    """memory: bytes of the server's process without its engine, at most."""

    health: Latency
    cached: Latency
    memory: int


@dataclass
class Watch:
    """happened: what is told of the fault. away: from when until when the server was kept from
    answering, by the fault itself; probes of that time do not count. tell: writes a line to the
    prober.
    """

    happened: str = ""
    away: list[tuple[float, float]] = field(default_factory=list)
    measured: Measured | None = None
    tell: Callable[[str], None] = lambda _: None

    @contextmanager
    def kept_away(self) -> Iterator[None]:
        began = time.monotonic()
        self.tell(prober.PAUSE)
        try:
            yield
        finally:
            self.tell(prober.GO)
            self.away.append((began, time.monotonic()))

    def read(self, seen: Mapping[str, Sequence[Any]]) -> Measured:
        """seen: by name of each probe when it began, the seconds that it took, and what it gave.

        Fails where one was not answered as it must be.
        """
        kept = {name: [each for each in seen[name] if self._counts(*each)] for name in seen}
        for name, right in (("health", HEALTHY), ("cached", HIT)):
            wrong = {answer for _, _, answer in kept[name]} - right
            assert not wrong, f"{name} was answered with {wrong}"
            assert kept[name], f"{name} was not asked"
        health, cached = (
            Latency.of([seconds for _, seconds, _ in kept[name]]) for name in ("health", "cached")
        )
        return Measured(health, cached, max(weight for _, _, weight in seen["memory"]))

    def _counts(self, sent: float, seconds: float, _: Any) -> bool:
        return not any(sent <= end and sent + seconds >= began for began, end in self.away)


def _write(stdin: IO[str], line: str) -> None:
    stdin.write(line)
    stdin.flush()


@contextmanager
def watching(server: Server) -> Iterator[Watch]:
    """Asks a server all the while; what was measured is known at the end."""
    command = [sys.executable, str(Path(prober.__file__)), server.url, str(server.pid)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "probing\n"
        watch = Watch(tell=partial(_write, process.stdin))
        try:
            yield watch
            told, _ = process.communicate(timeout=2 * prober.PATIENCE)
        finally:
            process.kill()
    watch.measured = watch.read(json.loads(told))
