"""The same for programs with an event loop: `async with AsyncEngine() as engine: ...`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Literal, Self, Unpack, overload

from imagemill.catalog import Catalog
from imagemill.engine.events import Event
from imagemill.engine.ipc import Options
from imagemill.errors import Fault
from imagemill.library.batch import Batch, Item, OnProgress, unless_raised
from imagemill.library.engine import AT_ONCE, NO_MODELS
from imagemill.library.failures import public_errors
from imagemill.library.params import Params, Request, request_of
from imagemill.library.results import GenerationResult
from imagemill.library.runtime import Runtime
from imagemill.model_spec import ModelSpec
from imagemill.threads import DISK

Queue = asyncio.Queue[tuple[int, Event]]


class AsyncEngine:
    """As Engine, for one event loop: who awaits keeps nobody waiting, and who is cancelled stops
    the work.
    """

    def __init__(
        self,
        models: Mapping[str, str | ModelSpec] = NO_MODELS,
        *,
        threads: int | None = None,
        memory: int | None = None,
    ) -> None:
        with public_errors():
            self._catalog = Catalog(models, stand_ins=False, fingerprint=lambda _: "")
        self._runtime = Runtime(Options(threads, memory=memory))

    async def generate(
        self, prompt: str, *, on_progress: OnProgress | None = None, **params: Unpack[Params]
    ) -> GenerationResult:
        """Paints; `on_progress` hears of every step, in the loop.

        Many at a time share batches: `asyncio.gather(*(engine.generate(p) for p in prompts))`.
        """
        item: dict[str, Any] = {"prompt": prompt, **params}
        [result] = [
            each async for each in self.generate_many([item], on_progress=on_progress, at_once=1)
        ]
        return result

    @overload
    def generate_many(
        self,
        prompts: Iterable[Item],
        *,
        on_progress: OnProgress | None = None,
        at_once: int = AT_ONCE,
        return_exceptions: Literal[False] = False,
        **params: Unpack[Params],
    ) -> AsyncIterator[GenerationResult]: ...

    @overload
    def generate_many(
        self,
        prompts: Iterable[Item],
        *,
        on_progress: OnProgress | None = None,
        at_once: int = AT_ONCE,
        return_exceptions: Literal[True],
        **params: Unpack[Params],
    ) -> AsyncIterator[GenerationResult | Fault]: ...

    def generate_many(
        self,
        prompts: Iterable[Item],
        *,
        on_progress: OnProgress | None = None,
        at_once: int = AT_ONCE,
        return_exceptions: bool = False,
        **params: Unpack[Params],
    ) -> AsyncIterator[GenerationResult | Fault]:
        """As `Engine.generate_many`, for `async for`."""
        return self._many(Batch(prompts, params, at_once), on_progress, return_exceptions)

    async def close(self) -> None:
        """Cancels what is under way, and frees the models."""
        await DISK.run(self._runtime.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _many(
        self, batch: Batch, on_progress: OnProgress | None, return_exceptions: bool
    ) -> AsyncIterator[GenerationResult | Fault]:
        events = Queue()
        try:
            while True:
                await self._fill(batch, events)
                for outcome in batch.ready():
                    yield unless_raised(outcome, return_exceptions)
                if batch.over:
                    return
                if batch.running:
                    progress = batch.heard(*await events.get())
                    if progress and on_progress:
                        on_progress(progress)
        finally:
            for id in batch.running.values():
                self._runtime.cancel(id)

    async def _fill(self, batch: Batch, events: Queue) -> None:
        loop = asyncio.get_running_loop()
        while (due := batch.due()) is not None:
            index, arguments = due
            listen = partial(_post, loop, events, index)
            try:
                begun = await _begin(self._catalog, self._runtime, arguments, listen)
            except Fault as fault:
                batch.refused(index, fault)
            else:
                batch.begun(index, *begun)


async def _begin(
    catalog: Catalog, runtime: Runtime, arguments: dict[str, Any], listen: Callable[[Event], None]
) -> tuple[str, Request]:
    """In a thread, as files are read; who is cancelled meanwhile leaves nothing behind."""

    def begin() -> tuple[str, Request]:
        request = request_of(catalog, **arguments)
        return runtime.submit(request, listen), request

    beginning = asyncio.ensure_future(DISK.run(begin))
    try:
        return await asyncio.shield(beginning)
    except asyncio.CancelledError:
        beginning.add_done_callback(partial(_give_up, runtime))
        raise


def _give_up(runtime: Runtime, beginning: "asyncio.Future[tuple[str, Request]]") -> None:
    if not beginning.cancelled() and beginning.exception() is None:
        runtime.cancel(beginning.result()[0])


def _post(loop: asyncio.AbstractEventLoop, events: Queue, index: int, event: Event) -> None:
    """Called in a thread of the engine."""
    with suppress(RuntimeError):  # the loop is closed: nobody will hear of it
        loop.call_soon_threadsafe(events.put_nowait, (index, event))
