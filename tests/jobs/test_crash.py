"""Jobs outlive everything: server and engine are killed while 120 jobs are on their way."""

import asyncio
import json
import os
import random
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import func, select

from imagemill.job import FINAL, Status
from imagemill.store import Database, at
from imagemill.store.schema import DELIVERIES, FILES, JOBS

pytestmark = pytest.mark.anyio

JOBS_SENT = 120
KILLS = 3
APP = "fal-ai/flux/schnell"
KEY = {"authorization": "Key id:secret"}


class Receiver:
    """Hears webhooks on loopback; refuses a third of them once, so that they come again."""

    def __init__(self) -> None:
        self.heard: Counter[str] = Counter()
        self.refused: set[str] = set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            await self.hear(reader, writer)  # a killed server breaks off where it stands

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = re.search(r"content-length: (\d+)", head)
        assert length is not None
        told = json.loads(await reader.readexactly(int(length[1])))
        assert f"x-fal-webhook-request-id: {told['request_id']}" in head
        id = told["request_id"]
        accepted = id in self.refused or int(id[-1], 16) % 3 != 0
        self.refused.add(id)
        if accepted:
            self.heard[told["request_id"]] += 1
        writer.write(f"HTTP/1.1 {200 if accepted else 500} x\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()


@asynccontextmanager
async def server(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A server of its own process, and its address; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "imagemill", "serve", "--port", "0", "--data-dir", str(folder),
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    while not (
        found := re.search(r"running on (http://\S+)", (await process.stderr.readline()).decode())
    ):
        assert process.returncode is None
    rest = asyncio.create_task(process.stderr.read())
    try:
        yield process, found[1]
    finally:
        kill(process.pid)
        await process.wait()
        await rest


def kill(pid: int) -> None:
    """Server and engine at once, without a word."""
    if psutil.pid_exists(pid):
        for child in psutil.Process(pid).children(recursive=True):
            child.kill()
        os.kill(pid, signal.SIGKILL)


async def submit(client: httpx.AsyncClient, address: str, number: int, callback: str) -> str | None:
    """The id, once it was acknowledged."""
    body = {
        "prompt": "a red cat", "seed": number, "num_inference_steps": 2,
        "image_size": {"width": 64, "height": 64}, "num_images": 1 + number % 2,
    }  # fmt: skip
    try:
        reply = await client.post(
            f"{address}/fal/queue/{APP}", json=body, headers=KEY, params={"fal_webhook": callback}
        )
    except httpx.TransportError:
        return None  # never acknowledged: the caller knows, and may send it again
    assert reply.status_code == 200, reply.text
    id: str = reply.json()["request_id"]
    return id


async def count(folder: Path, *conditions: Any) -> int:
    database = Database(at(folder))
    try:
        async with database.reading() as connection:
            wanted = select(func.count()).select_from(JOBS).where(*conditions)
            return int((await connection.execute(wanted)).scalar_one())
    finally:
        await database.close()


async def rows(folder: Path, table: Any) -> list[Any]:
    database = Database(at(folder))
    try:
        async with database.reading() as connection:
            return list((await connection.execute(select(table))).all())
    finally:
        await database.close()


async def test_what_was_acknowledged_is_delivered_once_whoever_is_killed(tmp_path: Path) -> None:
    rng, receiver = random.Random(7), Receiver()
    listening = await asyncio.start_server(receiver, "127.0.0.1", 0)
    callback = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/hook"
    sent: list[str] = []
    ended = JOBS.c.status.in_([status.value for status in FINAL])
    async with asyncio.timeout(500), listening, httpx.AsyncClient() as client:
        for _ in range(KILLS):
            async with server(tmp_path) as (process, address):
                for number in range(-(-JOBS_SENT // KILLS)):
                    id = await submit(client, address, number, callback)
                    sent += [id] if id else []
                goal = await count(tmp_path, ended) + rng.randint(5, 30)
                while await count(tmp_path, ended) < goal:
                    await asyncio.sleep(0.05)  # between looks at another process
                if rng.random() < 0.5:
                    engine = psutil.Process(process.pid).children(recursive=True)
                    engine[-1].kill()
                    while await count(tmp_path, ended) < goal + 5:
                        await asyncio.sleep(0.05)
        async with server(tmp_path):
            while await count(tmp_path, ended) < len(sent) or len(receiver.heard) < len(sent):
                await asyncio.sleep(0.2)

    jobs = await rows(tmp_path, JOBS)
    assert sorted(job.id for job in jobs) == sorted(sent)
    assert {job.status for job in jobs} == {Status.SUCCEEDED}
    files = await rows(tmp_path, FILES)
    made = Counter(file.job for file in files)
    assert made == {job.id: job.generation["num_images"] for job in jobs}
    told = {file["key"] for job in jobs for file in job.result["files"]}
    assert told == {file.key for file in files}
    kept = {str(path.relative_to(tmp_path / "files")) for path in (tmp_path / "files").rglob("*.*")}
    assert kept == told
    assert set(receiver.heard) == set(sent)
    assert all(row.dead is False for row in await rows(tmp_path, DELIVERIES))
