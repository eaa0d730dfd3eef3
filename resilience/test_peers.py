"""Whom the server calls for its callers does not answer: others must not wait for that."""

from itertools import cycle

import pytest

from resilience.calls import Caller, caller, in_groups, until_async
from resilience.conftest import Watching
from resilience.peers import Picture, Receiver, hanging, listening
from resilience.servers import Server

pytestmark = pytest.mark.anyio

HANGING, ADDRESSES = 64, 16
OVER = "/fal/queue/fal-ai/ideogram/v3/remix"  # takes a picture


@pytest.mark.fault(f"{HANGING} webhooks to {ADDRESSES} receivers that hang, beside an honest one")
async def test_receivers(plain: Server, watched: Watching) -> None:
    honest = Receiver()
    async with (
        hanging(ADDRESSES) as peer,
        listening(honest) as url,
        caller(plain, "slow") as slow,
        caller(plain, "honest") as someone,
    ):
        with watched(plain) as watch:
            urls = cycle(peer.urls)
            ids = await in_groups(lambda _: slow.submit_one(next(urls)), range(HANGING))
            assert await slow.all_painted(ids) == HANGING
            await until_async(lambda: len(peer.held) >= ADDRESSES)
            before = peer.waiting()
            id = await someone.submit_one(f"{url}/mine")
            await honest.all_told(1)
            assert honest.told == {"/mine": {id}}
            still = [each for each in peer.waiting() if each in before]
            assert still, "it was told once all of those before it were given up"
            watch.happened = f"The honest one was told while {len(still)} of the others hung."


@pytest.mark.fault(f"{HANGING} jobs whose pictures are at {ADDRESSES} hosts that hang")
async def test_hosts(plain: Server, watched: Watching) -> None:
    async with (
        hanging(ADDRESSES) as peer,
        listening(Picture()) as url,
        caller(plain, "slow") as slow,
        caller(plain, "honest") as someone,
    ):
        with watched(plain) as watch:
            urls = cycle(peer.urls)
            ids = await in_groups(lambda _: submit_over(slow, next(urls)), range(HANGING))
            await until_async(lambda: peer.held)
            fetching = await submit_over(someone, f"{url}/a.png")
            quick = await someone.submit(1)
            assert await someone.all_painted([*quick, fetching]) == 2
            statuses = [await slow.status(id) for id in ids]
            assert "COMPLETED" not in statuses
            watch.happened = (
                f"Another's two jobs, one of them with a picture to fetch, were painted while "
                f"all {HANGING} waited."
            )
            await slow.cancel(ids)


async def submit_over(someone: Caller, url: str) -> str:
    size = {"width": 64, "height": 64}
    body = {"prompt": "a cat", "image_url": url, "image_size": size}
    reply = await someone.client.post(OVER, json=body)
    assert reply.status_code == 200, reply.text
    id: str = reply.json()["request_id"]
    return id
