"""How does imagemill serve pico next to plain servers around the stock pipeline?

`python -m benchmarks.serving` starts them in turn, asks all the same, and writes RESULTS.md;
`--quick` asks for little and only prints. They are asked over HTTP on this machine, and share its
cores with the askers. No picture is asked for twice, and caching is switched off.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

import psutil
import requests

from benchmarks.results import ROOT, machine, write

CLIENTS = 16
STEPS = (8, 12, 20, 28)
PROMPTS = (
    "a large red cat on a yellow background",
    "a blue bird above a small green car",
    "three orange stars on a black background",
    "a purple house left of a white moon",
)
SEEDS = count(1)


@dataclass(frozen=True)
class Size:
    """How much is asked for: a run proper, or a quick one that shows that all of it works."""

    pictures: int
    repeats: int
    long_steps: int


PROPER, QUICK = Size(96, 5, 50), Size(CLIENTS, 1, 10)


@dataclass
class Server:
    """A running server; `seconds` from its start to its first picture."""

    address: str
    process: psutil.Process
    seconds: float = 0.0

    def ask(self, side: int, steps: int) -> float:
        """Seconds that one picture takes."""
        seed, began = next(SEEDS), time.perf_counter()
        parameters = {
            "width": side,
            "height": side,
            "num_inference_steps": steps,
            "guidance_scale": 4.0,
            "seed": seed,
        }
        requests.post(
            f"{self.address}/models/imagemill/pico",
            json={"inputs": PROMPTS[seed % len(PROMPTS)], "parameters": parameters},
            headers={"x-use-cache": "false", "x-wait-for-model": "true"},
            timeout=3600,
        ).raise_for_status()
        return time.perf_counter() - began

    def memory(self) -> float:
        """Megabytes of this process and its children, shared pages counted once."""
        family = [self.process, *self.process.children(recursive=True)]
        return sum(int(each.memory_full_info().pss) for each in family) / 2**20


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@contextmanager
def started(command: list[str], source: Path = ROOT, group: Path | None = None) -> Iterator[Server]:
    """A server that has painted a picture. source: of what build. group: a control group for it."""
    began, port = time.perf_counter(), free_port()
    command = [sys.executable, "-m", *command, "--port", str(port)]
    if group is not None:
        enter = f'echo $$ > "{group}/cgroup.procs" && exec "$@"'
        command = ["sh", "-c", enter, "sh", *command]
    environment, quiet = os.environ | {"PYTHONPATH": str(source / "src")}, subprocess.DEVNULL
    with subprocess.Popen(
        command, cwd=source, env=environment, stdout=quiet, stderr=quiet
    ) as process:
        try:
            server = Server(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
            _wait(server, process)
            server.seconds = time.perf_counter() - began
            yield server
        finally:
            family = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            _, left = psutil.wait_procs(family, timeout=30)  # LitServe leaves its workers
            for each in left:
                each.kill()


def _wait(server: Server, process: subprocess.Popen[bytes]) -> None:
    """Until it has painted a picture."""
    while process.poll() is None:
        try:
            server.ask(256, 20)
            return
        except requests.ConnectionError:
            time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} has ended")


def throughput(server: Server, size: Size, side: int) -> float:
    asked = [STEPS[i % len(STEPS)] for i in range(size.pictures)]
    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(partial(server.ask, side), asked))
    return size.pictures / (time.perf_counter() - began)


def overtaking(server: Server, size: Size) -> float:
    return median(_overtake(server, size.long_steps) for _ in range(size.repeats))


def _overtake(server: Server, long_steps: int) -> float:
    with ThreadPoolExecutor(8) as others:
        for _ in range(8):
            others.submit(server.ask, 256, long_steps)
        time.sleep(0.5)  # until they are being painted
        return server.ask(256, 4)


def latency(server: Server, size: Size, side: int) -> float:
    return median(server.ask(side, 20) for _ in range(size.repeats))


@dataclass(frozen=True)
class Row:
    what: str
    unit: str
    take: Callable[[Server, Size], float]
    more: bool = False  # is better


# In the order in which they are taken; memory comes after all work.
ROWS = (
    Row("start of the server to first picture, 256 px, 20 steps", "s", lambda it, _: it.seconds),
    Row("one request, 256 px, 20 steps", "s", partial(latency, side=256)),
    Row("one request, 512 px, 20 steps", "s", partial(latency, side=512)),
    Row(f"{CLIENTS} clients, 256 px", "pictures/s", partial(throughput, side=256), more=True),
    Row(f"{CLIENTS} clients, 512 px", "pictures/s", partial(throughput, side=512), more=True),
    Row("4 steps while eight others run 50, 256 px", "s", overtaking),
    Row("memory, all processes", "MB", lambda it, _: it.memory()),
)


def measure(command: list[str], size: Size) -> list[float]:
    with started(command) as server:
        return [row.take(server, size) for row in ROWS]


def timed(*command: str) -> float:
    began = time.perf_counter()
    run = [sys.executable, "-m", *command]
    subprocess.run(run, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - began


def fastest_dtype() -> str:
    """In which this processor computes fastest."""
    from imagemill.pipelines.loading import dtype_for

    return str(dtype_for("cpu")).removeprefix("torch.")


def builds() -> list[tuple[str, list[str]]]:
    """The servers that are compared, ours first; peers in the type that is fastest here."""
    dtype = fastest_dtype()
    return [
        ("imagemill", ["imagemill", "serve", "--data-dir", "DATA"]),
        ("FastAPI", ["benchmarks.peer", "--dtype", dtype]),
        ("LitServe", ["benchmarks.litserve_peer", "--dtype", dtype]),
    ]


def report(size: Size) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        picture = f"{folder}/cold.png"
        helps = [
            median(timed(name, "--help") for _ in range(size.repeats))
            for name in ("imagemill", "benchmarks.peer", "benchmarks.litserve_peer")
        ]
        cold = timed("imagemill", "generate", PROMPTS[0], "--output", picture)
        measured = [
            measure([part.replace("DATA", folder) for part in command], size)
            for _, command in builds()
        ]
    names = [name for name, _ in builds()]
    ratios = [f"times better than {name}" for name in names[1:]]
    yield "| | " + " | ".join([*names, *ratios]) + " |"
    yield "|---" * (2 * len(names)) + "|"
    yield line("`--help`", "s", helps)
    yield f"| `imagemill generate`, cold process, 512 px, 20 steps | {cold:.3g} s | | | | |"
    for number, row in enumerate(ROWS):
        yield line(row.what, row.unit, [each[number] for each in measured], row.more)
    for side in (256, 512):
        run = [sys.executable, "-m", "benchmarks.alone", "--side", str(side)]
        run += ["--pictures", str(size.pictures)]
        done = subprocess.run(run, cwd=ROOT, check=True, capture_output=True, text=True)
        what = f"the engine alone, {CLIENTS} requests, {side} px"
        yield f"| {what} | {float(done.stdout):.3g} pictures/s | | | | |"


def line(what: str, unit: str, values: list[float], more: bool = False) -> str:
    ours, *others = values
    ratios = [ours / each if more else each / ours for each in others]
    cells = [f"{each:.3g} {unit}" for each in values] + [f"{each:.2g}" for each in ratios]
    return f"| {what} | " + " | ".join(cells) + " |"


HEAD = f"""## Serving

Written by `python -m benchmarks.serving`. All have the same weights, prompts and requests
over HTTP, one after the other on the same machine, which also runs the clients. Steps at
{CLIENTS} clients are {", ".join(str(steps) for steps in STEPS)} in turn. Memory is the proportional
set size (pages that processes share are counted once) at the end.

The peers have the stock pipeline, in the type in which this processor computes fastest:
`benchmarks/peer.py` behind FastAPI, one picture at a time, `benchmarks/litserve_peer.py` behind
LitServe, up to 16 at a time where they are alike. What differs besides batching: imagemill paints
512 px in two stages ([sizes](../docs/sizes.md)), where the peers take all their steps at 512 px. At
256 px all take the same steps at the same size.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="little work, nothing written")
    quick = parser.parse_args().quick
    text = "\n".join([HEAD, machine(), "", *report(QUICK if quick else PROPER)])
    print(text)
    if not quick:
        write("serving", text)


if __name__ == "__main__":
    main()
