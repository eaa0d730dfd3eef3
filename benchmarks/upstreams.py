"""What does a job take longer that another server paints than one that is asked for there itself?

`python -m benchmarks.upstreams` asks an imagemill for images of 64 px in 1 step, one call after
another, itself and by way of a second one, in each API that upstreams speak, in turns; `--write`
puts the table into RESULTS.md. All are processes of this machine. The time that the second server
itself computes does not depend on what else the machine does.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median

import httpx
import psutil

from benchmarks.gateway import serving
from benchmarks.results import machine, tell

MODEL = "imagemill/pico"
BLOCK = 20  # calls between looks at the clocks of processes, which count hundredths of seconds
PLACES = {
    "fal": "/fal/queue",
    "replicate": "/replicate/v1",
    "openai": "/openai/v1",
    "together": "/together/v1",
}
BODY = {
    "prompt": "a red cat", "width": 64, "height": 64, "steps": 1, "response_format": "base64",
    "output_format": "png",
}  # fmt: skip


Targets = Mapping[str, tuple[str, str]]  # by way, an address and a model


def config(address: str) -> str:
    """The settings of the second server."""
    lines = ["stand_ins = false"]
    for kind, place in PLACES.items():
        lines += [f"[upstreams.{kind}]", f'kind = "{kind}"', f'url = "{address}{place}"']
    lines.append("[models]")
    return "\n".join([*lines, *(f'"a/{kind}" = "upstream:{kind}/{MODEL}"' for kind in PLACES)])


def call(client: httpx.Client, address: str, model: str, seed: int) -> float:
    """Milliseconds of one call."""
    began = time.perf_counter()
    url = f"{address}/together/v1/images/generations"
    client.post(url, json=BODY | {"model": model, "seed": seed}).raise_for_status()
    return 1000 * (time.perf_counter() - began)


def process_of(folder: Path) -> psutil.Process:
    """The server that keeps its data in a folder."""
    children = psutil.Process().children()
    return next(each for each in children if str(folder) in each.cmdline())


def computed(server: psutil.Process) -> float:
    """Milliseconds that a server has computed, without its engine."""
    times = server.cpu_times()
    return 1000 * float(times.user + times.system)


def rows(calls: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as name:
        there, here, file = (Path(name) / each for each in ("there", "here", "imagemill.toml"))
        command = ("imagemill", "serve", "--port", "PORT", "--data-dir")
        with serving(*command, str(there)) as direct, httpx.Client(timeout=300) as client:
            file.write_text(config(direct), "utf-8")
            with serving(*command, str(here), "--config", str(file)) as address:
                targets = {"itself": (direct, MODEL)}
                targets |= {kind: (address, f"a/{kind}") for kind in PLACES}
                taken: dict[str, list[float]] = {name: [] for name in targets}
                spent, between = dict.fromkeys(targets, 0.0), process_of(here)
                for number, (name, (server, model)) in enumerate(in_turns(targets, calls)):
                    before = computed(between)
                    took = [
                        call(client, server, model, number * BLOCK + each) for each in range(BLOCK)
                    ]
                    if number >= len(targets):  # the first of each makes connections and caches
                        taken[name] += took
                        spent[name] += computed(between) - before
    yield "| asked | a call, median | longer by | computed in between |"
    yield "| --- | --- | --- | --- |"
    itself = median(taken["itself"])
    yield f"| itself | {itself:.0f} ms | | |"
    for name in PLACES:
        value, own = median(taken[name]), spent[name] / len(taken[name])
        more = f"{value - itself:.0f} ms | {own:.0f} ms"
        yield f"| by way of another, `{name}` | {value:.0f} ms | {more} |"


def in_turns(targets: Targets, calls: int) -> Iterator[tuple[str, tuple[str, str]]]:
    """Each target for each block of calls, and once before."""
    for _ in range(1 + calls // BLOCK):
        yield from targets.items()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    head = ["## Upstreams", "", machine(), ""]
    tell("upstreams", [*head, *rows(args.calls)], args.write)
