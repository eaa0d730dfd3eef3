"""Single flight: work shared by who asks for the same, given up by the last who leaves, or kept."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from imagemill.errors import Fault
from imagemill.jobs.singleflight import MAX_KEPT_RESULTS, KeepAlive, SingleFlight

pytestmark = pytest.mark.anyio
NONE, FOR_EVER = KeepAlive(), KeepAlive(alone=float("inf"))


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


async def join(
    calls: SingleFlight, key: str, work: Callable[[], Coroutine[None, None, int]],
    keep_alive: KeepAlive = NONE,
) -> asyncio.Task[int]:  # fmt: skip
    task = asyncio.create_task(calls.share(key, work, keep_alive))
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
    calls, work = SingleFlight(), Work()
    tasks = [await join(calls, key, work) for key in ("a", "a", "b")]
    work.go.set()
    assert await asyncio.gather(*tasks) == [1, 1, 2]
    assert not calls.tasks


async def test_the_last_to_leave_ends_it() -> None:
    calls, work = SingleFlight(), Work()
    first, second = await join(calls, "a", work), await join(calls, "a", work)
    await leave(first)
    assert work.given_up == 0
    await leave(second)
    assert work.given_up == 1


async def test_work_that_is_wanted_goes_on_for_nobody() -> None:
    calls, work = SingleFlight(), Work()
    await leave(await join(calls, "a", work, FOR_EVER))
    (task,) = calls.tasks
    work.go.set()
    assert await task == 1
    assert work.given_up == 0


async def test_who_comes_again_in_time_finds_the_same_work() -> None:
    calls, work = SingleFlight(), Work()
    await leave(await join(calls, "a", work, KeepAlive(alone=60)))
    again = await join(calls, "a", work, KeepAlive(alone=60))
    work.go.set()
    assert await again == 1
    assert work.begun == 1


async def test_who_comes_again_finds_what_was_done_meanwhile() -> None:
    calls, work = SingleFlight(), Work()
    await leave(await join(calls, "a", work, KeepAlive(alone=60)))
    work.go.set()
    await turn()
    assert await calls.share("a", work) == 1
    assert work.begun == 1


async def test_whose_time_is_up_is_given_up() -> None:
    calls, work = SingleFlight(), Work()
    await leave(await join(calls, "a", work, KeepAlive(alone=0.01)))
    (task,) = calls.tasks
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.given_up == 1


async def test_a_result_is_kept_only_where_that_is_asked_for() -> None:
    calls, work = SingleFlight(), Work()
    work.go.set()
    assert [await calls.share("a", work) for _ in range(2)] == [1, 2]
    kept = KeepAlive(kept=60)
    assert [await calls.share("b", work, kept) for _ in range(2)] == [3, 3]


async def test_a_failure_is_never_kept() -> None:
    calls = SingleFlight()

    async def fail() -> int:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            await calls.share("a", fail, KeepAlive(kept=60))
    work = Work()
    work.go.set()
    assert await calls.share("a", work) == 1


async def test_few_results_are_kept_the_newest_of_all() -> None:
    calls, work = SingleFlight(), Work()
    work.go.set()
    for key in range(MAX_KEPT_RESULTS + 1):
        await calls.share(key, work, KeepAlive(kept=60))
    await calls.share(MAX_KEPT_RESULTS, work)
    assert work.begun == MAX_KEPT_RESULTS + 1
    await calls.share(0, work)
    assert work.begun == MAX_KEPT_RESULTS + 2


async def test_only_what_nobody_waits_for_is_abandoned() -> None:
    calls, work = SingleFlight(), Work()
    task = asyncio.create_task(calls.share(("call", 1), work, KeepAlive(alone=60)))
    await turn()
    assert calls.abandoned(("call",)) is None
    await leave(task)
    assert calls.abandoned(("call",)) == ("call", 1)
    assert calls.abandoned(("other",)) is None
    assert await _finished(calls, work) == 1


async def _finished(calls: SingleFlight, work: Work) -> int:
    work.go.set()
    return await calls.share(("call", 1), work)


async def test_who_waits_for_what_the_server_stops_is_told() -> None:
    calls, work = SingleFlight(), Work()
    waiting = await join(calls, "a", work)
    calls.tasks[0].cancel()
    with pytest.raises(Fault, match="the server stopped this work"):
        await waiting
