"""Calls that are sent again: known by their name, at every door, and after a restart."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from imagemill.catalog import Catalog
from imagemill.engine.events import State
from imagemill.errors import Fault, Kind
from imagemill.generation import Draft
from imagemill.job import Job, Repeat, Submission
from imagemill.jobs.repeats import REPEATED, RESENT, Repeats
from imagemill.store import Database, Jobs
from imagemill.store.repeats import RepeatTable
from tests.clocks import Clock
from tests.conftest import Serving
from tests.databases import Opened
from tests.databases import database as database
from tests.databases import database_url as database_url
from tests.databases import postgres as postgres
from tests.engines import PlainEngine
from tests.test_admission import open_server

pytestmark = pytest.mark.anyio

NAMED = Repeat("name", "content", named=True)
FLUX = "black-forest-labs/flux-dev"
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "flat": ("/", {"inputs": "a cat"}),
    "hf-inference": ("/models/a/b", {"inputs": "a cat"}),
    "fal": ("/fal/run/fal-ai/flux/dev", {"prompt": "a cat"}),
    "fal's queue": ("/fal/queue/fal-ai/flux/dev", {"prompt": "a cat"}),
    "fal's streams": ("/fal/run/fal-ai/flux/dev/stream", {"prompt": "a cat"}),
    "replicate": (f"/replicate/v1/models/{FLUX}/predictions", {"input": {"prompt": "a cat"}}),
    "openai": ("/openai/v1/images/generations", {"prompt": "a cat", "model": "gpt-image-1"}),
    "openai's streams": (
        "/openai/v1/images/generations",
        {"prompt": "a cat", "model": "gpt-image-1", "stream": True},
    ),
    "together": ("/together/v1/images/generations", {"prompt": "a cat", "model": "a/b"}),
    "nebius": ("/nebius/v1/images/generations", {"prompt": "a cat", "model": "a/b"}),
    "nebula": ("/nebula/api/v1/images/generation", {"prompt": "a cat", "model": "a/b"}),
    "sdapi": ("/sdapi/v1/txt2img", {"prompt": "a cat", "steps": 1}),
}
PLAIN = {"prefer": "wait", "x-use-cache": "false"}
KEY = PLAIN | {"idempotency-key": "k1"}


def other(body: dict[str, Any]) -> dict[str, Any]:
    """The same with another prompt."""
    return {
        name: other(each) if isinstance(each, dict) else "a dog" if each == "a cat" else each
        for name, each in body.items()
    }


@pytest.mark.parametrize("door", CALLS)
async def test_a_call_that_is_named_is_painted_once(serving: Serving, door: str) -> None:
    engine, (path, body) = PlainEngine(), CALLS[door]
    async with serving(engine) as client:
        first, again = [await client.post(path, json=body, headers=KEY) for _ in range(2)]
        assert first.status_code < 300, first.text
        assert again.status_code == first.status_code
        if "queue" in door:
            assert again.json()["request_id"] == first.json()["request_id"]
            async with client.stream("GET", first.json()["status_url"] + "/stream") as events:
                await events.aread()
        assert len(engine.submitted) == 1
        await client.post(path, json=body, headers=KEY | {"idempotency-key": "k2"})
        await client.post(path, json=body, headers=PLAIN)
        await engine.asked(3)


@pytest.mark.parametrize("door", CALLS)
async def test_one_name_for_two_calls_is_told_in_the_words_of_the_door(
    serving: Serving, door: str
) -> None:
    engine, (path, body) = PlainEngine(), CALLS[door]
    async with serving(engine) as client:
        assert (await client.post(path, json=body, headers=KEY)).status_code < 300
        refused = await client.post(path, json=other(body), headers=KEY)
        # Of another caller the same name is another's.
        theirs = KEY | {"authorization": "Basic bWU6eA==" if door == "sdapi" else "Bearer other"}
        assert (await client.post(path, json=other(body), headers=theirs)).status_code < 300
    assert refused.status_code in (409, 422)
    assert "this Idempotency-Key came with another request before" in refused.text


async def test_callers_without_a_credential_choose_their_names_apart(tmp_path: Path) -> None:
    engine, (path, body) = PlainEngine(), CALLS["fal's queue"]
    async with open_server(tmp_path, engine) as client:
        ids = []
        for address in ("203.0.113.1", "203.0.113.2", "203.0.113.1"):
            app = client._transport.app  # type: ignore[attr-defined]
            there = httpx.ASGITransport(app, client=(address, 1))
            async with httpx.AsyncClient(transport=there, base_url="http://127.0.0.1") as caller:
                ids.append((await caller.post(path, json=body, headers=KEY)).json()["request_id"])
    assert ids[0] == ids[2] != ids[1]


@pytest.mark.parametrize("door", ["fal's queue", "replicate"])
async def test_a_name_is_known_after_a_restart(tmp_path: Path, door: str) -> None:
    path, body = CALLS[door]
    headers = {"idempotency-key": "k1", "authorization": "Bearer r8_secret"}
    ids = []
    for state in (State.DEAD, State.READY):
        async with open_server(tmp_path, PlainEngine(state)) as client:
            told = (await client.post(path, json=body, headers=headers)).json()
            ids.append(told.get("request_id") or told["id"])
    assert ids[0] == ids[1]


async def test_two_that_watch_one_stream_are_not_left_when_one_goes(serving: Serving) -> None:
    engine, (path, body) = PlainEngine(), CALLS["fal's streams"]
    engine.gate.clear()
    async with serving(engine) as client:
        calls = [asyncio.create_task(client.post(path, json=body, headers=KEY)) for _ in range(2)]
        await engine.asked(1)
        await client.get("/health")
        calls[0].cancel()
        await asyncio.gather(calls[0], return_exceptions=True)
        engine.gate.set()
        assert '"seed"' in (await calls[1]).text
    assert len(engine.submitted) == 1


@dataclass
class Desk:
    """Makes jobs, as the service does; counts them."""

    jobs: Jobs
    made: int = 0

    async def __call__(self, id: str) -> Job:
        self.made += 1
        job = Job(id, make_submission(), created=1e9)
        await self.jobs.add(job)
        return job


def make_submission(repeat: Repeat | None = NAMED, **more: Any) -> Submission:
    endpoint = Catalog({}, True, lambda _: "1").find("a/b")
    generation = endpoint.generation(Draft("a cat", seed=1))
    submission = Submission(generation, endpoint.source, "fal", "me", repeat=repeat)
    return replace(submission, **more)


Make = Callable[[str], Awaitable[Job]]


def opened(database: Database, clock: Clock | None = None) -> tuple[Repeats, Desk]:
    jobs = Jobs(database)
    return Repeats(RepeatTable(database), jobs, clock or Clock()), Desk(jobs)


async def test_a_name_stands_for_one_job_of_one_caller_at_one_door(database: Opened) -> None:
    async with database() as db:
        repeats, desk = opened(db)
        first, new = await repeats.once(make_submission(), desk)
        again, newer = await repeats.once(make_submission(), desk)
        assert (new, newer, again.id) == (True, False, first.id)
        for submission in (
            make_submission(caller="you"),
            make_submission(dialect="replicate"),
            make_submission(None),
        ):
            assert (await repeats.once(submission, desk))[1]
        with pytest.raises(Fault, match="came with another request before") as caught:
            await repeats.once(make_submission(replace(NAMED, content="other")), desk)
    assert caught.value.kind is Kind.CONFLICT
    assert desk.made == 4


@pytest.mark.parametrize("count", [2, 8])
async def test_those_that_come_at_the_same_time_make_one_job(database: Opened, count: int) -> None:
    """Also where two servers share the database."""
    async with database() as db:
        servers = [opened(db), opened(db)]
        found = await asyncio.gather(
            *(servers[i % (1 if db.is_sqlite else 2)][0].once(make_submission(), servers[i % 2][1])
              for i in range(count))
        )  # fmt: skip
    assert len({job.id for job, _ in found}) == 1
    assert sum(new for _, new in found) == sum(desk.made for _, desk in servers) == 1


async def test_what_failed_before_it_was_written_is_made_again(database: Opened) -> None:
    async def fail(_: str) -> Job:
        raise ValueError("the picture is none")

    async with database() as db:
        repeats, desk = opened(db)
        with pytest.raises(ValueError, match="is none"):
            await repeats.once(make_submission(), fail)
        assert (await repeats.once(make_submission(), desk))[1]
        # So is what a process had in hand that died.
        await repeats.table.release("x", "y")
        other = make_submission(replace(NAMED, key="other"))
        dead, _ = opened(db)
        never: Make = _hang
        dying = asyncio.create_task(dead.once(other, never))
        await asyncio.sleep(0)
        while not dead._making:
            await asyncio.sleep(0)
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        assert (await repeats.once(other, desk))[1]


async def _hang(_: str) -> Job:
    await asyncio.Event().wait()
    raise AssertionError


async def test_what_was_cancelled_is_made_again(database: Opened) -> None:
    async with database() as db:
        repeats, desk = opened(db)
        first, _ = await repeats.once(make_submission(), desk)
        await repeats.jobs.cancel(first.id, 1e9)
        again, new = await repeats.once(make_submission(), desk)
        assert new
        assert again.id != first.id


@pytest.mark.parametrize(
    ("repeat", "patience"),
    [(NAMED, REPEATED), (Repeat("k", "c", resent=True), RESENT), (Repeat("k", "c"), 0.0)],
)
async def test_a_name_is_forgotten_in_time(
    database: Opened, repeat: Repeat, patience: float
) -> None:
    clock = Clock()
    async with database() as db:
        repeats, desk = opened(db, clock)
        await repeats.once(make_submission(repeat), desk)
        if patience:
            clock.now += patience - 1
            assert not (await repeats.once(make_submission(repeat), desk))[1]
            clock.now += 1
        assert (await repeats.once(make_submission(repeat), desk))[1]
