"""What callers ask of a server: jobs of fal's queue, and pictures that they wait for."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx

from resilience.servers import LOOK_EVERY, PATIENCE, Server

APP = "fal-ai/flux/schnell"
QUEUE = f"/fal/queue/{APP}"
CALLS, JOBS = 2, 6  # of one who keeps a server at work
REQUESTS = "/fal/queue/fal-ai/flux/requests"


AT_ONCE = 16  # calls of one caller

T = TypeVar("T")
R = TypeVar("R")
Call = asyncio.Task[httpx.Response]


class Caller:
    """Somebody with a name of their own; every request has what `fields` say."""

    def __init__(self, client: httpx.AsyncClient, **fields: Any) -> None:
        self.client = client
        self.fields = {
            "prompt": "a red cat", "num_inference_steps": 4, "num_images": 1,
            "image_size": {"width": 64, "height": 64}, "sync_mode": False,
        } | fields  # fmt: skip

    async def submit_one(self, hook: str | None = None, **fields: Any) -> str:
        """The id of a job, once it is acknowledged. hook: the URL that is to be told of its end."""
        params = {} if hook is None else {"fal_webhook": hook}
        reply = await self.client.post(QUEUE, json=self.fields | fields, params=params)
        assert reply.status_code == 200, reply.text
        id: str = reply.json()["request_id"]
        return id

    async def submit(self, count: int, **fields: Any) -> list[str]:
        """The ids of so many jobs."""
        return await in_groups(lambda seed: self.submit_one(seed=seed, **fields), range(count))

    async def accepted(self, seed: int) -> list[str]:
        """The id of a job, or none where the database was away."""
        reply = await self.client.post(QUEUE, json=self.fields | {"seed": seed})
        assert reply.status_code in (200, 503), reply.text
        return [reply.json()["request_id"]] if reply.status_code == 200 else []

    async def cancel(self, ids: Iterable[str]) -> None:
        """Returns once all of them have ended."""

        async def one(id: str) -> None:
            reply = await self.client.put(f"{REQUESTS}/{id}/cancel")
            assert reply.status_code in (200, 202, 400), reply.text  # 400: it has ended before
            await until_async(lambda: self._has_ended(id))

        await in_groups(one, ids)

    async def status(self, id: str) -> str:
        reply = await self.client.get(f"{REQUESTS}/{id}/status")
        assert reply.status_code in (200, 202), reply.text
        told: str = reply.json()["status"]
        return told

    async def all_begun(self, ids: Iterable[str]) -> None:
        """Waits until none of them is in the queue any more."""
        for id in ids:
            await until_async(lambda id=id: self._has_begun(id))  # type: ignore[misc]

    async def _has_begun(self, id: str) -> bool:
        return await self.status(id) != "IN_QUEUE"

    async def result(self, id: str) -> httpx.Response:
        """The answer of a job that has ended."""
        await until_async(lambda: self._has_ended(id))
        return await self.client.get(f"{REQUESTS}/{id}")

    async def _has_ended(self, id: str) -> bool:
        return await self.status(id) == "COMPLETED"

    async def all_painted(self, ids: Iterable[str]) -> int:
        """How many, once all of them are there with a picture that can be read."""

        async def one(id: str) -> None:
            reply = await self.result(id)
            assert reply.status_code == 200, reply.text
            [image] = reply.json()["images"]
            content = (await self.client.get(image["url"])).content
            assert content.startswith((b"\xff\xd8", b"\x89PNG")), content[:100]

        return len(await in_groups(one, ids))

    async def wait_for(self, seed: int, **fields: Any) -> httpx.Response:
        """A picture that is waited for on this connection, painted anew."""
        body = self.fields | {"seed": seed} | fields
        return await self.client.post(f"/fal/run/{APP}", json=body)

    async def all_answered(self, ids: list[str], calls: list[Call]) -> None:
        """All that `painting` has sent comes to a good end."""
        assert await self.all_painted(ids) == len(ids)
        replies = await asyncio.gather(*calls)
        assert {reply.status_code for reply in replies} == {200}, [each.text for each in replies]


@asynccontextmanager
async def caller(
    server: Server, name: str | None = "somebody", **fields: Any
) -> AsyncIterator[Caller]:
    """name: None for somebody without a credential."""
    limits = httpx.Limits(max_connections=None)
    headers = {"authorization": f"Key {name}:secret"} if name else {}
    async with httpx.AsyncClient(
        base_url=server.url, headers=headers, timeout=PATIENCE, limits=limits, trust_env=False
    ) as client:
        yield Caller(client, **fields)


async def in_groups(work: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
    """What `work` gives for all items, of which some are under way at a time."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(item: T) -> R:
        async with room:
            return await work(item)

    return await asyncio.gather(*map(one, items))


async def painting(server: Server, someone: Caller) -> tuple[list[str], list[Call]]:
    """JOBS of the queue, and CALLS that wait, of which the engine has begun some."""
    calls = [asyncio.create_task(someone.wait_for(100 + seed)) for seed in range(CALLS)]
    ids = await someone.submit(JOBS)
    await until_async(lambda: server.metric("imagemill_running") > 0)
    return ids, calls


async def until_async(true: Callable[[], Any]) -> None:
    """Between looks at another process; `true` may be a coroutine's maker."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = true()
        if await found if asyncio.iscoroutine(found) else found:
            return
        await asyncio.sleep(LOOK_EVERY)
    raise AssertionError(f"not within {PATIENCE:.0f} seconds")
