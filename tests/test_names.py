"""Slow look-ups hold up nobody but who names such hosts: by a resolver that answers as told."""

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field

import pytest

from imagemill.names import HOST_SHARE, PATIENCE, QUICK, Names
from tests.clocks import Clock
from tests.sites import make_answer, open_fetcher, open_site

pytestmark = pytest.mark.anyio

MINE = QUICK // 2  # look-ups of one caller at a time


@dataclass
class Resolver:
    """Answers for hosts of `slow.test` once it may, for all others at once."""

    may: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host.endswith("slow.test"):
            await self.may.wait()
        return ["127.0.0.1"]

    async def heard(self, count: int) -> None:
        """Returns once it was asked so many times."""
        while len(self.asked) < count:
            await asyncio.sleep(0)


def begun(looks: Iterable[Awaitable[object]]) -> list[asyncio.Future[object]]:
    return [asyncio.ensure_future(look) for look in looks]


async def test_a_caller_of_slow_hosts_leaves_look_ups_to_others_and_gets_all_in_the_end() -> None:
    resolver, clock = Resolver(), Clock()
    names = Names(resolver, clock)
    slow = begun([names.find(f"{n}.slow.test", 80, "me") for n in range(QUICK)])
    await resolver.heard(MINE)
    assert await names.find("quick.test", 80, "you") == ["127.0.0.1"]
    assert len(resolver.asked) == MINE + 1
    resolver.may.set()
    assert await asyncio.gather(*slow) == [["127.0.0.1"]] * QUICK


async def test_a_slow_host_leaves_look_ups_to_others_whoever_names_it() -> None:
    resolver = Resolver()
    names = Names(resolver, Clock())
    slow = begun([names.find("slow.test", 80, f"caller {n}") for n in range(QUICK)])
    await resolver.heard(HOST_SHARE)
    assert await names.find("quick.test", 80, "another") == ["127.0.0.1"]
    assert resolver.asked == ["slow.test"] * HOST_SHARE + ["quick.test"]
    resolver.may.set()
    assert await asyncio.gather(*slow) == [["127.0.0.1"]] * QUICK


async def test_what_takes_long_makes_room_for_who_comes_later() -> None:
    resolver, clock = Resolver(), Clock()
    names = Names(resolver, clock)
    slow = begun(
        [names.find(f"{n}.{who}.slow.test", 80, who) for n in range(MINE) for who in ("a", "b")]
    )
    await resolver.heard(QUICK)
    clock.now += PATIENCE
    assert await names.find("quick.test", 80, "c") == ["127.0.0.1"]
    resolver.may.set()
    await asyncio.gather(*slow)


async def test_a_look_up_that_nobody_waits_for_keeps_its_place_until_it_ends() -> None:
    """Its thread cannot be interrupted: who gives up and asks again would have them all."""
    resolver = Resolver()
    names = Names(resolver, Clock())
    given_up = begun([names.find(f"{n}.slow.test", 80, "me") for n in range(MINE)])
    await resolver.heard(MINE)
    for look in given_up:
        look.cancel()
    await asyncio.gather(*given_up, return_exceptions=True)
    again = asyncio.ensure_future(names.find("quick.test", 80, "me"))
    assert await names.find("other.test", 80, "you") == ["127.0.0.1"]
    assert (again.done(), len(resolver.asked)) == (False, MINE + 1)
    resolver.may.set()
    assert await again == ["127.0.0.1"]


async def test_an_address_waits_for_no_look_up() -> None:
    resolver = Resolver()
    names = Names(resolver, Clock())
    slow = begun([names.find(f"{n}.slow.test", 80, "me") for n in range(MINE)])
    await resolver.heard(MINE)
    for address in ("127.0.0.1", "::1"):
        assert await names.find(address, 80, "me") == ["127.0.0.1"]
    await names.close()
    ends = await asyncio.gather(*slow, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends)


async def test_what_one_caller_has_fetched_from_slow_hosts_holds_up_no_other() -> None:
    resolver = Resolver()
    async with (
        open_site(make_answer(body=b"quick")) as site,
        open_fetcher(resolve=resolver) as fetcher,
    ):
        slow = begun(
            [fetcher.get(f"http://{n}.slow.test/", local=True, caller="me") for n in range(QUICK)]
        )
        await resolver.heard(MINE)
        assert len(resolver.asked) == MINE
        found = await fetcher.get(site.url("/", "quick.test"), local=True, caller="you")
        assert found.content == b"quick"
        for look in slow:
            look.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
