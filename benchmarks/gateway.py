"""What the gateway costs: submits, cached answers and polls a second, and what a job adds.

`python -m benchmarks.gateway` prints its table; `--write` puts it into RESULTS.md. The peer is a
bare FastAPI echo, served and asked in the same way in the same run. One gateway process is asked by
one client process on 16 connections that stay open. The engine never begins (`benchmarks.idle`), so
that HTTP and store alone are measured. The last row asks a whole server, one call after another,
for pictures of 64 px in 1 step, and takes off the engine's own time.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from benchmarks.results import machine, write
from benchmarks.serving import free_port

CLIENTS, CALLS, WAITING = 16, 3000, 5000
APP = "fal-ai/flux/schnell"
SMALL: dict[str, Any] = {
    "prompt": "a red cat", "image_size": {"width": 64, "height": 64}, "num_inference_steps": 1,
}  # fmt: skip


@contextmanager
def serving(*command: str) -> Iterator[str]:
    """The address of a server in a process of its own, once it answers."""
    port = free_port()
    line = [sys.executable, "-m", *(part.replace("PORT", str(port)) for part in command)]
    with subprocess.Popen(line, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        address = f"http://127.0.0.1:{port}"
        try:
            while True:
                try:
                    httpx.get(f"{address}/health")
                    break
                except httpx.TransportError:
                    time.sleep(0.05)
            yield address
        finally:
            process.terminate()


def request(address: str, path: str, body: Any = None, headers: str = "") -> bytes:
    host = address.partition("://")[2]
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nhost: {host}\r\n{headers}"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


async def ask(address: str, calls: int, make: Callable[[int], bytes]) -> float:
    """Calls a second, over CLIENTS connections; every answer must be a success."""
    host, port = address.partition("://")[2].split(":")
    numbers = iter(range(calls))

    async def client() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for number in numbers:
            writer.write(make(number))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.split(b" ", 2)[1] in (b"200", b"202"), head
            length = next(
                line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
            )
            await reader.readexactly(int(length.partition(b":")[2]))
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return calls / (time.perf_counter() - began)


def echoes() -> float:
    with serving("benchmarks.idle", "echo", "PORT") as address:
        body = request(address, "/", SMALL)
        asyncio.run(ask(address, 200, lambda _: body))
        return asyncio.run(ask(address, CALLS, lambda _: body))


def submits_and_polls(folder: Path) -> tuple[float, float, float]:
    """Submits a second; polls a second with few and with many jobs waiting."""
    path = f"/fal/queue/{APP}"
    with serving("benchmarks.idle", "gateway", "PORT", str(folder)) as address:

        def poll() -> float:
            asked = httpx.post(address + path, json=SMALL).json()
            body = request(address, asked["status_url"].removeprefix(address))
            return asyncio.run(ask(address, CALLS, lambda _: body))

        asyncio.run(ask(address, 100, lambda n: request(address, path, SMALL | {"seed": n})))
        few = poll()
        submits = asyncio.run(
            ask(address, WAITING, lambda n: request(address, path, SMALL | {"seed": n}))
        )
        return submits, few, poll()


def cached(folder: Path) -> float:
    """Answers a second of a picture that was asked for before."""
    with serving("imagemill", "serve", "--port", "PORT", "--data-dir", str(folder)) as address:
        body = {"inputs": "a red cat", "parameters": {"width": 256, "height": 256, "seed": 1}}
        path, wait = "/models/imagemill/pico", "x-wait-for-model: true\r\n"
        httpx.post(address + path, json=body, headers={"x-wait-for-model": "true"}, timeout=300)
        asked = request(address, path, body, wait)
        return asyncio.run(ask(address, CALLS, lambda _: asked))


def added(folder: Path) -> float:
    """Milliseconds that a job takes beside its engine's time, at one caller."""
    with serving("imagemill", "serve", "--port", "PORT", "--data-dir", str(folder)) as address:
        with httpx.Client(timeout=300) as client:
            found = []
            for seed in range(60):
                began = time.perf_counter()
                reply = client.post(f"{address}/fal/run/{APP}", json=SMALL | {"seed": seed})
                taken = time.perf_counter() - began
                found.append(taken - reply.raise_for_status().json()["timings"]["inference"])
        return 1000 * float(median(found[10:]))


def table() -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        echo = echoes()
        submits, few, many = submits_and_polls(folder / "queue")
        hits, extra = cached(folder / "cached"), added(folder / "added")
    rows = (
        ("bare FastAPI echo", f"{echo:,.0f} a second", "1", ""),
        ("submits to the queue", f"{submits:,.0f} a second", f"{submits / echo:.2f}", "300"),
        ("cached answers", f"{hits:,.0f} a second", f"{hits / echo:.2f}", "700"),
        ("polls, 100 jobs waiting", f"{few:,.0f} a second", f"{few / echo:.2f}", ""),
        (f"polls, {WAITING:,} jobs waiting", f"{many:,.0f} a second", f"{many / echo:.2f}", "flat"),
        ("a job, beside its engine's time", f"{extra:.1f} ms", "", "15 ms"),
    )
    lines = ["| what | measured | of the echo | aim |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    found = table()
    print(found)
    if args.write:
        write("gateway", f"## The gateway\n\n{machine()}\n\n{found}")
