"""Budget: what all inputs take together, and that it is given back."""

import asyncio
from contextlib import suppress

import pytest

from imagemill.budget import Budget
from imagemill.errors import Fault, Kind

pytestmark = pytest.mark.anyio


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_was_taken_is_given_back_whatever_ends_it() -> None:
    budget = Budget(100)
    for error in (ValueError(), asyncio.CancelledError()):
        with suppress(type(error)):
            async with budget.holding(60) as share:
                assert budget.taken == share.size == 60
                raise error
    assert budget.taken == 0


async def test_a_share_may_shrink_and_is_given_back_once() -> None:
    budget = Budget(100)
    async with budget.holding(60) as share:
        share.shrink(20)
        assert budget.free == 80
        share.shrink(50)
        assert budget.free == 80
        share.release()
    assert budget.taken == 0


async def test_who_needs_more_than_is_free_waits_in_line_and_is_not_overtaken() -> None:
    budget, served = Budget(100, wait=30), list[str]()

    async def hold(name: str, size: int, until: asyncio.Event) -> None:
        async with budget.holding(size):
            served.append(name)
            await until.wait()

    ends = [asyncio.Event() for _ in range(3)]
    tasks = [
        asyncio.create_task(hold(name, size, end))
        for name, size, end in zip(("first", "large", "small"), (60, 80, 10), ends, strict=True)
    ]
    await turns()
    assert served == ["first"]
    assert not budget.try_take(1)
    ends[0].set()
    await turns()
    assert served == ["first", "large", "small"]
    for end in ends:
        end.set()
    await asyncio.gather(*tasks)
    assert budget.taken == 0


async def test_who_waits_too_long_is_told_to_come_again() -> None:
    budget = Budget(100, wait=0.001)
    async with budget.holding(60):
        with pytest.raises(
            Fault, match=r"fill the 100 bytes .* needs 50; come again in 5 s"
        ) as caught:
            await budget.take(50)
        assert (caught.value.kind, caught.value.retry_after) == (Kind.BUSY, 5.0)
        assert budget.try_take(40)
        budget.give(40)
    assert budget.taken == 0


async def test_who_leaves_the_line_lets_the_next_one_in() -> None:
    budget = Budget(100, wait=30)
    async with budget.holding(60):
        large = asyncio.create_task(budget.take(80))
        small = asyncio.create_task(budget.take(40))
        await turns()
        large.cancel()
        share = await small
        assert budget.taken == 100
    share.release()
    assert budget.taken == 0


async def test_who_leaves_in_the_moment_of_being_served_leaves_nothing_behind() -> None:
    budget = Budget(100, wait=30)
    first = await budget.take(60)
    second = asyncio.create_task(budget.take(80))
    await turns()
    first.release()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert budget.taken == 0


async def test_what_is_larger_than_all_takes_all() -> None:
    budget = Budget(100)
    async with budget.holding(1000):
        assert budget.free == 0
    assert budget.taken == 0
