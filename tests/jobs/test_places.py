"""Places of calls that are waited for: nobody keeps the others out, nothing is decoded for who has
none.
"""

import asyncio
import base64
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.app import create_app
from imagemill.errors import Fault, Kind
from imagemill.jobs.places import Place, Places
from imagemill.settings import Settings
from imagemill.threads import DECODING
from tests.conftest import Serving
from tests.dialects import test_nebula as nebula
from tests.engines import PlainEngine
from tests.jobs.test_input_files import png
from tests.test_threads import full

pytestmark = pytest.mark.anyio


def taken(places: Places, *persons: str) -> list[Place]:
    return [places.take(person) for person in persons]


def test_one_caller_may_have_all_and_leaves_a_share_to_who_comes() -> None:
    places = Places(4)
    taken(places, *"aaaa")
    with pytest.raises(Fault, match="the queue is full, with 4 of 4 generations") as raised:
        places.take("a")
    assert raised.value.kind is Kind.BUSY
    taken(places, *"bb")
    with pytest.raises(Fault, match="with 6 of 4"):
        places.take("b")
    taken(places, "c")
    with pytest.raises(Fault):
        places.take("c")


def test_who_leaves_makes_room_once() -> None:
    places = Places(1)
    with places.take("a") as place:
        pass
    place.leave()
    assert places.taken == 0
    with places.take("a") as place:
        place.keep()
    assert places.taken == 1
    with pytest.raises(Fault):
        places.take("a")
    place.leave()
    assert places.taken == 0


def test_who_comes_to_a_full_queue_is_told_a_time_by_how_long_calls_take() -> None:
    def told(seconds: float) -> float:
        places = Places(2)
        taken(places, *"aa")
        places.learn(seconds)
        with pytest.raises(Fault) as raised:
            places.take("a")
        return raised.value.retry_after or 0.0

    assert 1.0 <= told(0.0) < told(10.0) < told(100.0)


@given(st.integers(1, 20), st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans())))
def test_there_is_always_a_place_for_who_has_less_than_a_share_and_never_too_many(
    limit: int, calls: list[tuple[str, bool]]
) -> None:
    places, held = Places(limit), dict[str, list[Place]]()
    for person, comes in calls:
        mine = held.setdefault(person, [])
        if not comes and mine:
            mine.pop().leave()
            continue
        persons = sum(bool(each) for each in held.values()) + (not mine)
        try:
            mine.append(places.take(person))
        except Fault:
            assert len(mine) >= limit // persons
            assert places.taken >= limit
        counts = Counter({name: len(each) for name, each in held.items()})
        assert places.taken == counts.total()
        assert places.taken <= limit * sum(1 / n for n in range(1, 9))


async def test_callers_who_compete_share_the_queue(serving: Serving) -> None:
    engine = PlainEngine()
    engine.gate.clear()

    async def ask(user: str, number: int) -> httpx.Response:
        body = {"inputs": f"cat {user} {number}", "parameters": {"width": 64, "height": 64}}
        headers = {"authorization": f"Bearer {user}"}
        return await client.post("/models/a/b", json=body, headers=headers)

    async with serving(engine, queue=4) as client:
        many = [asyncio.create_task(ask("many", number)) for number in range(8)]
        await engine.asked(4)
        few = [asyncio.create_task(ask("few", number)) for number in range(2)]
        await engine.asked(6)
        engine.gate.set()
        codes = [Counter([(await each).status_code for each in calls]) for calls in (many, few)]
    assert codes == [{200: 4, 429: 4}, {200: 2}]


async def test_who_sends_no_credential_is_told_apart_by_address(tmp_path: Path) -> None:
    """For the places, and for the turns in the queue."""
    engine = PlainEngine()
    engine.gate.clear()
    app = create_app(Settings(data_dir=tmp_path, queue=2, running=1), engine)

    def client(address: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app, client=(address, 1))
        return httpx.AsyncClient(transport=transport, base_url="http://localhost")

    async def paint(client: httpx.AsyncClient, prompt: str) -> int:
        return (await client.post("/models/a/b", json={"inputs": prompt})).status_code

    async with (
        app.router.lifespan_context(app),
        client("192.0.2.1") as many,
        client("192.0.2.2") as few,
    ):
        held = [asyncio.create_task(paint(many, f"{number}")) for number in range(2)]
        await engine.asked(1)
        for prompt in ("m0", "m1", "m2"):
            await many.post("/fal/queue/fal-ai/flux/schnell", json={"prompt": prompt})
        await few.post("/fal/queue/fal-ai/flux/schnell", json={"prompt": "f0"})
        assert await paint(many, "third") == 429
        held.append(asyncio.create_task(paint(few, "first")))
        engine.gate.set()
        assert [await each for each in held] == [200] * 3
        async with asyncio.timeout(60):
            await engine.asked(7)
    order = [each.prompt for each in engine.submitted]
    assert order.index("f0") < order.index("m1")


PICTURE = base64.b64encode(png(64, 64)).decode()
DECODED: dict[str, dict[str, Any]] = {
    "/sdapi/v1/img2img": {"prompt": "a cat", "init_images": [PICTURE]},
    "/sdapi/v1/png-info": {"image": PICTURE},
    "/openai/v1/images/edits": {
        "prompt": "a cat", "images": [{"image_url": f"data:image/png;base64,{PICTURE}"}],
    },
    nebula.PATH: nebula.filling(),
}  # fmt: skip


@pytest.mark.parametrize("door", DECODED)
async def test_nothing_is_decoded_for_who_finds_the_queue_full(serving: Serving, door: str) -> None:
    engine = PlainEngine()
    engine.gate.clear()
    async with serving(engine, queue=1) as client, full(DECODING):
        painted = asyncio.create_task(client.post("/models/a/b", json={"inputs": "a cat"}))
        await engine.asked(1)
        async with asyncio.timeout(60):
            refused = await client.post(door, json=DECODED[door])
        assert refused.status_code == 429, refused.text
        assert "the queue is full, with 1 of 1" in refused.text
        engine.gate.set()
        assert (await painted).status_code == 200


@pytest.mark.parametrize("door", DECODED)
async def test_what_is_decoded_leaves_its_place(serving: Serving, door: str) -> None:
    async with serving(PlainEngine(), queue=1) as client:
        for _ in range(2):
            reply = await client.post(door, json=DECODED[door])
            assert reply.status_code == 200, reply.text
            broken = await client.post(door, json={**DECODED[door], "prompt": ""})
            assert broken.status_code != 429
