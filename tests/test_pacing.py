"""Of a crowd a few begin in each pass of the event loop, in order."""

import asyncio

import pytest

from imagemill.pacing import Pacer

pytestmark = pytest.mark.anyio


class Passes:
    """Counts the passes of the event loop."""

    def __init__(self) -> None:
        self.count, self._loop = 0, asyncio.get_running_loop()
        self._again()

    def _again(self) -> None:
        self.count += 1
        self._next = self._loop.call_soon(self._again)

    def stop(self) -> None:
        self._next.cancel()


async def passes_of(crowd: list[asyncio.Task[int]]) -> list[int]:
    return [number for number in await asyncio.gather(*crowd, return_exceptions=True)
            if isinstance(number, int)]  # fmt: skip


def begin(pacer: Pacer, passes: Passes, count: int) -> list[asyncio.Task[int]]:
    async def one() -> int:
        await pacer.turn()
        return passes.count

    return [asyncio.create_task(one()) for _ in range(count)]


async def test_a_crowd_begins_over_several_passes_in_order() -> None:
    pacer, passes = Pacer(2), Passes()
    begun = await passes_of(begin(pacer, passes, 7))
    assert begun == sorted(begun)
    assert max(begun.count(number) for number in begun) == 2
    passes.stop()


async def test_who_is_alone_does_not_wait() -> None:
    pacer, passes = Pacer(1), Passes()
    before = passes.count
    for _ in range(2):
        await pacer.turn()
        assert passes.count == before
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        before = passes.count
    passes.stop()


async def test_who_hangs_up_takes_no_turn() -> None:
    pacer, passes = Pacer(1), Passes()
    crowd = begin(pacer, passes, 10)
    await asyncio.sleep(0)
    for each in crowd[1:9]:
        each.cancel()
    begun = await passes_of(crowd)
    assert len(begun) == 2
    assert begun[1] - begun[0] <= 3
    passes.stop()


async def test_who_comes_later_stands_behind_those_who_wait() -> None:
    pacer, passes = Pacer(1), Passes()
    first = begin(pacer, passes, 4)
    await asyncio.sleep(0)
    late = begin(pacer, passes, 1)
    assert max(await passes_of(first)) < (await passes_of(late))[0]
    passes.stop()
