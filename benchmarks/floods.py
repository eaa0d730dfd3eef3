"""What does one caller's flood cost another?

`python -m benchmarks.floods [question ...]` prints a row for each flood: how long another
caller waits beside it, and alone. The server is whole but for its engine, which paints the same
picture every 15 ms. Slow hosts and receivers are sockets of this process that take a request and
never answer. Every wait is bounded; what took longer is told as more than that.
"""

import argparse
import asyncio
import base64
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np
import uvicorn
from PIL import Image

from benchmarks.gateway import serving
from benchmarks.idle import ReadyEngine
from imagemill.app import create_app
from imagemill.engine.events import NO_INPUTS, Event, Finished, Progress
from imagemill.generation import GeneratedImages, Generation, Input
from imagemill.settings import Settings

MODULE = "benchmarks.floods"
PACE = 0.015  # seconds a picture
APP, REMIX = "fal-ai/flux/schnell", "fal-ai/ideogram/v3/remix"
SMALL: dict[str, Any] = {
    "prompt": "a red cat", "image_size": {"width": 64, "height": 64}, "num_inference_steps": 1,
}  # fmt: skip
MOST = 60.0  # seconds that are waited for anything
Row = tuple[str, str, str]


class SteadyEngine(ReadyEngine):
    """One picture after another, each of which takes PACE."""

    def __init__(self) -> None:
        self.machine, self.picture = asyncio.Lock(), png(64)

    async def submit(
        self,
        id: str,
        generation: Generation,
        source: str,
        inputs: Mapping[str, Input] = NO_INPUTS,
        previews: bool = False,
    ) -> AsyncIterator[Event]:
        async with self.machine:
            yield Progress(1, 1)
            await asyncio.sleep(PACE)
        yield Finished(GeneratedImages((self.picture,) * generation.num_images, PACE, "steady"))


def png(side: int) -> bytes:
    """A picture that is hard to pack."""
    pixels = np.random.default_rng(side).integers(0, 255, (side, side, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def key(caller: object) -> dict[str, str]:
    return {"authorization": f"Key {caller}:secret"}


@contextmanager
def hanging(hosts: int) -> Iterator[list[str]]:
    """Addresses of hosts that take a request and never answer, each at an address of its own."""
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server((f"127.0.1.{host + 1}", 0), backlog=128))
            for host in range(hosts)
        ]
        places = (each.getsockname() for each in sockets)
        yield [f"http://{host}:{port}/picture.png" for host, port in places]


async def submit(
    client: httpx.AsyncClient, caller: object, body: dict[str, Any], app: str = APP, **query: str
) -> str:
    """The address of the request."""
    reply = await client.post(f"/fal/queue/{app}", json=body, headers=key(caller), params=query)
    return str(reply.raise_for_status().json()["status_url"])


async def done(client: httpx.AsyncClient, caller: object, status_url: str) -> float:
    """Seconds until a request is done."""

    async def look() -> bool:
        reply = await client.get(status_url, headers=key(caller))
        return bool(reply.json()["status"] == "COMPLETED")

    return await until(look)


async def until(look: Callable[[], Awaitable[bool]]) -> float:
    began = time.perf_counter()
    while time.perf_counter() - began < MOST and not await look():
        await asyncio.sleep(0.02)
    return time.perf_counter() - began


def seconds(taken: float) -> str:
    return f"more than {MOST:.0f} s" if taken >= MOST else f"{taken:.2f} s"


async def _first(client: httpx.AsyncClient, caller: object = "other") -> float:
    return await done(client, caller, await submit(client, caller, SMALL))


async def fetches(client: httpx.AsyncClient, hosts: int) -> Row:
    """64 jobs whose pictures never come; then one that needs none."""
    alone = await _first(client)
    with hanging(hosts) as urls:
        for number in range(64):
            body = {"prompt": "a cat", "image_url": urls[number % hosts]}
            await submit(client, number if hosts > 1 else "slow", body, REMIX)
        await asyncio.sleep(0.5)
        beside = await _first(client)
    return f"64 jobs with slow pictures, from {hosts} hosts", seconds(alone), seconds(beside)


async def webhooks(client: httpx.AsyncClient, hosts: int) -> Row:
    """64 webhooks to receivers that hang, 3 s later one to a receiver that answers."""
    told = dict[str, float]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        told[line.decode().split()[1]] = time.perf_counter()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def honest(path: str) -> float:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{path}"
        await submit(client, "honest", SMALL, fal_webhook=url)

        async def heard() -> bool:
            return path in told

        return await until(heard)

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        alone = await honest("/alone")
        with hanging(hosts) as urls:
            for number in range(64):
                await submit(client, number, SMALL, fal_webhook=urls[number % hosts])
            await asyncio.sleep(3)
            beside = await honest("/beside")
    return f"64 webhooks that hang, at {hosts} hosts", seconds(alone), seconds(beside)


async def streams(client: httpx.AsyncClient, callers: int) -> Row:
    """64 connections that each wait for one picture after another; then 20 jobs of the queue."""
    ended, painted = time.perf_counter() + 45, 0

    async def wait(number: int) -> None:
        nonlocal painted
        headers = {"authorization": f"Bearer {number % callers}", "x-use-cache": "false"}
        while time.perf_counter() < ended:
            body = {"inputs": "a cat", "parameters": {"width": 64, "height": 64}}
            with suppress(httpx.TransportError):  # a connection that idled too long
                reply = await client.post("/models/a/b", json=body, headers=headers)
                painted += reply.status_code == 200

    waiting = [asyncio.create_task(wait(number)) for number in range(64)]
    await asyncio.sleep(1)
    began = time.perf_counter()
    urls = [await submit(client, "queued", SMALL) for _ in range(20)]

    async def over() -> bool:
        left = [url for url in urls if not await one(url)]
        urls[:] = left
        return not left or time.perf_counter() > ended

    async def one(url: str) -> bool:
        reply = await client.get(url, headers=key("queued"))
        return bool(reply.json()["status"] == "COMPLETED")

    await until(over)
    taken, left = time.perf_counter() - began, len(urls)
    ended = time.perf_counter()
    await asyncio.gather(*waiting)
    told = f"{seconds(taken)}, {left} of 20 not done, {painted} others painted"
    return f"20 jobs beside 64 who wait ({callers} callers)", seconds(20 * PACE), told


async def queues(client: httpx.AsyncClient) -> Row:
    """3,000 jobs of one caller, then the first of another."""
    alone = await _first(client)
    for _ in range(30):
        await asyncio.gather(*(submit(client, "flood", SMALL) for _ in range(100)))
    return "3,000 jobs of one caller", seconds(alone), seconds(await _first(client))


async def answers(client: httpx.AsyncClient) -> Row:
    """Cached answers beside 40 large pictures at once for img2img."""
    body = {"inputs": "a cat", "parameters": {"width": 64, "height": 64, "seed": 1}}
    picture = base64.b64encode(png(2000)).decode()

    async def cached() -> float:
        began = time.perf_counter()
        (await client.post("/models/a/b", json=body)).raise_for_status()
        return time.perf_counter() - began

    async def repaint() -> None:
        asked = {"prompt": "a cat", "init_images": [picture], "steps": 1, "width": 64, "height": 64}
        await client.post("/sdapi/v1/img2img", json=asked)

    await cached()
    alone = [await cached() for _ in range(50)]
    painting = [asyncio.create_task(repaint()) for _ in range(40)]
    await asyncio.sleep(1)
    beside = list[float]()
    while not all(each.done() for each in painting):
        beside.append(await cached())
        await asyncio.sleep(0.05)
    told = f"{1000 * median(beside):.1f} ms, at worst {1000 * max(beside):.0f} ms"
    return "cached answers, 40 pictures for sdapi", f"{1000 * median(alone):.1f} ms", told


QUESTIONS: Mapping[str, Callable[[httpx.AsyncClient], Awaitable[Row]]] = {
    "fetches-1": lambda client: fetches(client, 1),
    "fetches-64": lambda client: fetches(client, 64),
    "webhooks-1": lambda client: webhooks(client, 1),
    "webhooks-64": lambda client: webhooks(client, 64),
    "streams-1": lambda client: streams(client, 1),
    "streams-64": lambda client: streams(client, 64),
    "queues": queues,
    "answers": answers,
}


async def ask(question: str, address: str) -> Row:
    limits = httpx.Limits(max_connections=256, keepalive_expiry=1.0)  # before the server ends them
    async with httpx.AsyncClient(base_url=address, timeout=4 * MOST, limits=limits) as client:
        return await QUESTIONS[question](client)


def main(questions: list[str]) -> None:
    print("| beside | alone | beside it |\n| --- | --- | --- |")
    for question in questions or list(QUESTIONS):
        with (
            tempfile.TemporaryDirectory() as folder,
            serving(MODULE, "--serve", "PORT", folder) as address,
        ):
            print(f"| {' | '.join(asyncio.run(ask(question, address)))} |", flush=True)


def serve(port: str, folder: str) -> None:
    settings = Settings(data_dir=Path(folder), port=int(port), log_level="warning")
    app = create_app(settings, SteadyEngine())
    uvicorn.run(app, port=int(port), log_config=None, access_log=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("questions", nargs="*", help=", ".join(QUESTIONS))
    parser.add_argument("--serve", nargs=2, metavar=("PORT", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    serve(*args.serve) if args.serve else main(args.questions)
