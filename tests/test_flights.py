"""Flights: shared by who asks for the same, given up by the last who leaves, or kept."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from imagemill.errors import Fault
from imagemill.flights import KEPT, Flights, Patience

pytestmark = pytest.mark.anyio
NONE, FOR_EVER = Patience(), Patience(alone=float("inf"))


class Work:
    """Goes on until it is let go; counts how often it was begun and given up."""

    def __init__(self) -> None:
        self.begun = self.given_up = 0
        self.go = asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        return number


async def board(
    flights: Flights, key: str, work: Callable[[], Coroutine[None, None, int]],
    patience: Patience = NONE,
) -> asyncio.Task[int]:  # fmt: skip
    task = asyncio.create_task(flights.share(key, work, patience))
    await turn()
    return task


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def leave(task: asyncio.Task[int]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await turn()


async def test_those_who_ask_for_the_same_share_one_flight() -> None:
    flights, work = Flights(), Work()
    tasks = [await board(flights, key, work) for key in ("a", "a", "b")]
    work.go.set()
    assert await asyncio.gather(*tasks) == [1, 1, 2]
    assert not flights.tasks


async def test_the_last_to_leave_ends_it() -> None:
    flights, work = Flights(), Work()
    first, second = await board(flights, "a", work), await board(flights, "a", work)
    await leave(first)
    assert work.given_up == 0
    await leave(second)
    assert work.given_up == 1


async def test_work_that_is_wanted_goes_on_for_nobody() -> None:
    flights, work = Flights(), Work()
    await leave(await board(flights, "a", work, FOR_EVER))
    (task,) = flights.tasks
    work.go.set()
    assert await task == 1
    assert work.given_up == 0


async def test_who_comes_again_in_time_finds_the_same_work() -> None:
    flights, work = Flights(), Work()
    await leave(await board(flights, "a", work, Patience(alone=60)))
    again = await board(flights, "a", work, Patience(alone=60))
    work.go.set()
    assert await again == 1
    assert work.begun == 1


async def test_who_comes_again_finds_what_was_done_meanwhile() -> None:
    flights, work = Flights(), Work()
    await leave(await board(flights, "a", work, Patience(alone=60)))
    work.go.set()
    await turn()
    assert await flights.share("a", work) == 1
    assert work.begun == 1


async def test_whose_time_is_up_is_given_up() -> None:
    flights, work = Flights(), Work()
    await leave(await board(flights, "a", work, Patience(alone=0.01)))
    (task,) = flights.tasks
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.given_up == 1


async def test_a_result_is_kept_only_where_that_is_asked_for() -> None:
    flights, work = Flights(), Work()
    work.go.set()
    assert [await flights.share("a", work) for _ in range(2)] == [1, 2]
    kept = Patience(kept=60)
    assert [await flights.share("b", work, kept) for _ in range(2)] == [3, 3]


async def test_a_failure_is_never_kept() -> None:
    flights = Flights()

    async def fail() -> int:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            await flights.share("a", fail, Patience(kept=60))
    work = Work()
    work.go.set()
    assert await flights.share("a", work) == 1


async def test_few_results_are_kept_the_newest_of_all() -> None:
    flights, work = Flights(), Work()
    work.go.set()
    for key in range(KEPT + 1):
        await flights.share(key, work, Patience(kept=60))
    await flights.share(KEPT, work)
    assert work.begun == KEPT + 1
    await flights.share(0, work)
    assert work.begun == KEPT + 2


async def test_only_what_nobody_waits_for_is_abandoned() -> None:
    flights, work = Flights(), Work()
    task = asyncio.create_task(flights.share(("call", 1), work, Patience(alone=60)))
    await turn()
    assert flights.abandoned(("call",)) is None
    await leave(task)
    assert flights.abandoned(("call",)) == ("call", 1)
    assert flights.abandoned(("other",)) is None
    assert await _finished(flights, work) == 1


async def _finished(flights: Flights, work: Work) -> int:
    work.go.set()
    return await flights.share(("call", 1), work)


async def test_who_waits_for_what_the_server_stops_is_told() -> None:
    flights, work = Flights(), Work()
    waiting = await board(flights, "a", work)
    flights.tasks[0].cancel()
    with pytest.raises(Fault, match="the server stopped this work"):
        await waiting
