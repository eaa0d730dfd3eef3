"""What does imagemill paint beside others: busy processes, or in half a processor?

`python -m benchmarks.neighbours --earlier COMMIT` asks this build, an earlier one and the peer in
turn, under each condition in the same run, and prints a table; `--write` puts it into RESULTS.md.
The earlier build is checked out of this repository. A busy process counts without end, at the
priority of the server. The control group needs a system that lets this process make one.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from statistics import median

from benchmarks.results import ROOT, machine, tell
from benchmarks.serving import CLIENTS, STEPS, Server, fastest_dtype, started

SIDE = 256  # px, if no other is asked for
LONE = 5  # pictures asked for one after another
GROUPS = Path("/sys/fs/cgroup")
PERIOD = 100_000  # microseconds
# Counts until whoever began it is gone, however that ended.
BUSY = """import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(10**6):
        pass
"""


@dataclass(frozen=True)
class Condition:
    """busy: processes. quota: of processors that the server may use, None for all."""

    name: str
    busy: int = 0
    quota: float | None = None


CONDITIONS = (
    Condition("quiet"),
    Condition("beside one busy process", busy=1),
    Condition("beside two", busy=2),
    Condition("beside three", busy=3),
    Condition("in half a processor", quota=0.5),
)


@dataclass(frozen=True)
class Build:
    name: str
    command: tuple[str, ...]
    source: Path


@dataclass(frozen=True)
class Measured:
    """rate: pictures a second at CLIENTS clients. lone: seconds of one request."""

    rate: float
    lone: float


@contextmanager
def busy(processes: int) -> Iterator[None]:
    command = [sys.executable, "-c", BUSY]
    running = [subprocess.Popen(command) for _ in range(processes)]
    try:
        yield
    finally:
        for each in running:
            each.kill()
            each.wait()


@contextmanager
def control_group(quota: float | None) -> Iterator[Path | None]:
    """Version 1 or 2, whichever governs processors here."""
    if quota is None:
        yield None
        return
    first = (GROUPS / "cpu").is_dir()
    group = (GROUPS / "cpu" if first else GROUPS) / "imagemill-benchmark"
    group.mkdir()
    try:
        if first:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD), "ascii")
            (group / "cpu.cfs_quota_us").write_text(str(round(quota * PERIOD)), "ascii")
        else:
            (group / "cpu.max").write_text(f"{round(quota * PERIOD)} {PERIOD}", "ascii")
        yield group
    finally:
        _remove(group)


def _remove(group: Path) -> None:
    """Once its last process is gone."""
    while True:
        try:
            group.rmdir()
            return
        except OSError:
            time.sleep(0.1)


def rate(server: Server, side: int, seconds: float) -> float:
    """Pictures a second, once every client has had one, or has waited for one for so long."""
    numbers, over, ended = count(), threading.Event(), list[float]()

    def client(_: int) -> None:
        while not over.is_set():
            server.ask(side, STEPS[next(numbers) % len(STEPS)])
            ended.append(time.perf_counter())

    with ThreadPoolExecutor(CLIENTS) as clients:
        pending = clients.map(client, range(CLIENTS))
        limit = time.perf_counter() + seconds
        while len(ended) < CLIENTS and time.perf_counter() < limit:
            time.sleep(0.1)
        began = time.perf_counter()
        time.sleep(seconds)
        taken = time.perf_counter() - began
        inside = sum(began <= each <= began + taken for each in ended)
        over.set()
        list(pending)
    return inside / taken


def measure(build: Build, condition: Condition, side: int, seconds: float) -> Measured:
    with ExitStack() as stack:
        group = stack.enter_context(control_group(condition.quota))
        data = stack.enter_context(tempfile.TemporaryDirectory())
        command = [part.replace("DATA", data) for part in build.command]
        server = stack.enter_context(started(command, build.source, group))
        stack.enter_context(busy(condition.busy))
        lone = median(server.ask(side, 20) for _ in range(LONE))
        return Measured(rate(server, side, seconds), lone)


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """An earlier build, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        archive = ["git", "archive", "--format=tar", commit]
        content = subprocess.run(archive, cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=content, check=True)
        yield Path(folder)


def rows(
    builds: list[Build], conditions: Iterable[Condition], side: int, seconds: float
) -> Iterator[str]:
    yield "| | " + " | ".join(each.name for each in builds) + " | of earlier | of the peer |"
    yield "|---" * (len(builds) + 3) + "|"
    for condition in conditions:
        ours, *others = (measure(build, condition, side, seconds) for build in builds)
        cells = [f"{each.rate:.2f} pictures/s" for each in (ours, *others)]
        ratios = [f"{ours.rate / each.rate:.1f}" if each.rate else "never" for each in others]
        yield "| " + " | ".join([f"{CLIENTS} clients, {condition.name}", *cells, *ratios]) + " |"
        cells = [f"{each.lone:.2f} s" for each in (ours, *others)]
        ratios = [f"{each.lone / ours.lone:.1f}" for each in others]
        yield "| " + " | ".join([f"one request, {condition.name}", *cells, *ratios]) + " |"


HEAD = """## Beside others{title}

Written by `python -m benchmarks.neighbours --earlier COMMIT --write`: {side} px, steps of the
clients {steps} in turn, a lone request of 20. The last columns say how many
times better this build is. The peer is `benchmarks/peer.py` in the type in which this processor
computes fastest. Each build paints with the embedded model that it has: before November 28, 2026
that was the first generation.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--earlier", required=True, metavar="COMMIT")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each rate")
    parser.add_argument("--side", type=int, default=SIDE, help="px")
    parser.add_argument("--quiet", action="store_true", help="without neighbours")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    dtype, serve = fastest_dtype(), ("imagemill", "serve")
    with checked_out(asked.earlier) as folder:
        builds = [
            Build("imagemill", (*serve, "--data-dir", "DATA"), ROOT),
            Build("earlier", (*serve, "--data-dir", "DATA"), folder),
            Build(f"peer, {dtype}", ("benchmarks.peer", "--dtype", dtype), ROOT),
        ]
        own = asked.side == SIDE
        title = "" if own else f", {asked.side} px"
        steps = ", ".join(map(str, STEPS))
        head = HEAD.format(title=title, side=asked.side, steps=steps)
        conditions = CONDITIONS[:1] if asked.quiet else CONDITIONS
        table = rows(builds, conditions, asked.side, asked.seconds)
        section = "neighbours" if own else f"neighbours_{asked.side}"
        tell(section, chain([head, machine(earlier=asked.earlier), ""], table), asked.write)


if __name__ == "__main__":
    main()
