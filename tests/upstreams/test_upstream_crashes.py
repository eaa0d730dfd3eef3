"""A job at an upstream outlives the end of both servers, killed in the middle, and is sent once."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from imagemill.store import Database, at
from imagemill.store.schema import JOBS, REMOTE_REQUESTS
from tests.upstreaming import MODEL

pytestmark = pytest.mark.anyio

LONG = {"prompt": "a red cat", "image_size": "square", "seed": 7, "num_inference_steps": 10}
SLOW, QUICK = "3", "0"  # seconds of a step at the upstream: it does not end before it is killed
PAUSE = 0.05  # seconds between looks at another process


@asynccontextmanager
async def server(folder: Path, port: str, pace: str, *config: str) -> AsyncIterator[str]:
    """The address of a server of its own process, which is killed at the end without a word."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.upstream_server", str(folder), port, pace, *config,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    said = ""
    while not (match := re.search(r"running on (http://\S+)", said)):
        assert process.returncode is None
        said = (await process.stderr.readline()).decode()
    rest = asyncio.create_task(process.stderr.read())
    try:
        yield match[1]
    finally:
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        await rest


async def status(client: httpx.AsyncClient, url: str) -> tuple[int, list[str]]:
    """The code, and what the log says of steps."""
    reply = await client.get(f"{url}/status?logs=1")
    lines = [each["message"] for each in reply.json().get("logs") or ()]
    return reply.status_code, [line for line in lines if line.startswith("step")]


async def rows(folder: Path, table: Any) -> list[Any]:
    database = Database(at(folder))
    try:
        async with database.reading() as connection:
            return list((await connection.execute(select(table))).all())
    finally:
        await database.close()


async def test_a_job_at_an_upstream_outlives_the_end_of_both_servers(tmp_path: Path) -> None:
    here, there, config = tmp_path / "here", tmp_path / "there", tmp_path / "imagemill.toml"
    async with (
        asyncio.timeout(120),
        httpx.AsyncClient(timeout=30) as client,
        AsyncExitStack() as second,
        AsyncExitStack() as ours,
    ):
        async with server(there, "0", SLOW) as upstream:
            config.write_text(
                f'stand_ins = false\n[upstreams.other]\nkind = "fal"\n'
                f'url = "{upstream}/fal/queue"\n[models]\n"a/b" = "upstream:other/{MODEL}"\n',
                "utf-8",
            )
            async with server(here, "0", QUICK, str(config)) as own:
                reply = await client.post(f"{own}/fal/queue/a/b", json=LONG)
                url = f"{own}/fal/queue/a/b/requests/{reply.json()['request_id']}"
                while not (await status(client, url))[1]:
                    await asyncio.sleep(PAUSE)
            port = own.rpartition(":")[2]
            await ours.enter_async_context(server(here, port, QUICK, str(config)))
            # Ours was killed, and goes on where it was: now the other.
            assert (await status(client, url))[0] == 202
        await second.enter_async_context(server(there, upstream.rpartition(":")[2], QUICK))
        while (await status(client, url))[0] == 202:
            await asyncio.sleep(PAUSE)
        result = await client.get(url)
        assert result.status_code == 200, result.text
        while await rows(here, REMOTE_REQUESTS):
            await asyncio.sleep(PAUSE)
    (job,) = await rows(there, JOBS)
    assert (job.status, job.attempts) == ("succeeded", 2)
