"""What does a job take longer that another server paints than one that is asked for there itself?

`python -m benchmarks.upstreams` asks an imagemill for images of 64 px in 1 step, one call after
another, itself and by way of a second one, in each API that upstreams speak, in turns; `--write`
puts the table into RESULTS.md. All are processes of this machine.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import httpx

from benchmarks.gateway import serving
from benchmarks.results import machine, tell

MODEL = "imagemill/pico"
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
                for number in range(calls + 5):
                    for place, (name, (server, model)) in enumerate(targets.items()):
                        seed = number * len(targets) + place
                        taken[name].append(call(client, server, model, seed))
    middle = {name: median(each[5:]) for name, each in taken.items()}
    yield "| asked | a call, median | longer by |"
    yield "| --- | --- | --- |"
    for name, value in middle.items():
        way = "itself" if name == "itself" else f"by way of another, `{name}`"
        more = "" if name == "itself" else f"{value - middle['itself']:.0f} ms"
        yield f"| {way} | {value:.0f} ms | {more} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    head = ["## Upstreams", "", machine(), ""]
    tell("upstreams", [*head, *rows(args.calls)], args.write)
