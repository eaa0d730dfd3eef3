"""Pools of threads: no kind of work waits for another."""

import ast
import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path

import psutil
import pytest

from imagemill import threads
from imagemill.files.writer import Writer
from imagemill.threads import DECODING, DISK, Pool
from tests.conftest import Serving
from tests.engines import PlainEngine
from tests.test_rooms import SOURCE

pytestmark = pytest.mark.anyio

ALL = [each for each in vars(threads).values() if isinstance(each, Pool)]
# What ends in asyncio's one pool for everything.
COMMON = {"to_thread", "getaddrinfo", "getnameinfo"}


@asynccontextmanager
async def full(pool: Pool) -> AsyncIterator[None]:
    """Every thread of a pool is at work, and more work waits."""
    free, busy = threading.Event(), threading.Semaphore(0)

    def work() -> None:
        busy.release()
        free.wait()

    tasks = [asyncio.create_task(pool.run(work)) for _ in range(2 * pool.size)]
    try:
        for _ in range(pool.size):
            await asyncio.to_thread(busy.acquire)
        yield
    finally:
        free.set()
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("busy", ALL, ids=lambda pool: pool.kind)
async def test_a_full_pool_holds_up_no_other(busy: Pool) -> None:
    async with full(busy):
        for pool in ALL:
            if pool is not busy:
                assert await pool.run(sum, [1, 2]) == 3


async def test_work_knows_what_its_caller_knew_and_its_fault_is_told() -> None:
    known: ContextVar[str] = ContextVar("known")
    known.set("here")
    assert await DISK.run(known.get) == "here"
    with pytest.raises(ZeroDivisionError):
        await DISK.run(divmod, 1, 0)


async def test_who_is_cancelled_is_so_when_the_work_has_ended() -> None:
    ended = list[str]()
    async with full(DISK):
        finishing = asyncio.create_task(DISK.finish(ended.append, "finished"))
        leaving = asyncio.create_task(DISK.run(ended.append, "never begun"))
        for _ in range(3):
            await asyncio.sleep(0)
            finishing.cancel()
            leaving.cancel()
        await asyncio.wait([leaving])
        assert not finishing.done()
    with pytest.raises(asyncio.CancelledError):
        await finishing
    assert ended == ["finished"]


async def test_a_file_that_was_being_written_is_closed_before_it_is_removed(tmp_path: Path) -> None:
    async def write(path: Path) -> None:
        async with Writer(path) as writer:
            await writer.digest()

    part = tmp_path / "part"
    async with full(DISK):
        writing = asyncio.create_task(write(part))
        for _ in range(3):
            await asyncio.sleep(0)
            writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert part.exists()
    assert part not in {Path(each.path) for each in psutil.Process().open_files()}


async def test_a_kept_picture_is_given_while_pictures_of_others_are_decoded(
    serving: Serving,
) -> None:
    async with serving(PlainEngine()) as client:
        for _ in range(2):
            async with full(DECODING):
                reply = await client.post("/models/a/b", json={"inputs": "a cat"})
        assert reply.headers["x-imagemill-cache"] == "hit"


def offences(source: Path) -> Iterator[str]:
    """Where work goes to the common pool, by name and line."""
    for path in sorted(source.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            name, owner = node.func.attr, ast.unparse(node.func.value)
            first = node.args[0] if node.args else None
            plain = isinstance(first, ast.Constant) and first.value is None
            ours = owner != "socket"
            if (name in COMMON and ours) or (name == "run_in_executor" and plain):
                yield f"{path.name}:{node.lineno}"


def test_nothing_of_ours_goes_to_the_common_pool() -> None:
    assert list(offences(SOURCE)) == []


@pytest.mark.parametrize(
    "line",
    [
        "asyncio.to_thread(work)",
        "loop.run_in_executor(None, work)",
        "asyncio.get_running_loop().getaddrinfo('a', 1)",
    ],
)
def test_what_would_go_there_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "wrong.py").write_text(f"\n{line}\n", "utf-8")
    assert list(offences(tmp_path)) == ["wrong.py:2"]
