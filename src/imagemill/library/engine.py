"""Paints in a program, without a server: `with Engine() as engine: engine.generate("a cat")`."""

import queue
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Literal, Self, Unpack, overload

from imagemill.catalog import Catalog
from imagemill.engine.events import Event
from imagemill.engine.ipc import Options
from imagemill.errors import Fault
from imagemill.library.batch import Batch, Item, OnProgress, unless_raised
from imagemill.library.failures import public_errors
from imagemill.library.params import Params, Request, request_of
from imagemill.library.results import GenerationResult
from imagemill.library.runtime import Runtime
from imagemill.library.task import Task
from imagemill.model_spec import ModelSpec

AT_ONCE = 16  # generations of a batch that are given to the engine at a time
NO_MODELS: Mapping[str, str | ModelSpec] = {}


class Engine:
    """Models and a thread that paints with them; used from any thread, and under a running loop.

    models: a name to a folder, a file or a Hub id, or to a ModelSpec; the embedded model is always
    there, too. The first of them is meant where a call names none.
    threads: processors to compute on at most; None takes all that the process may use.
    memory: bytes that models may take; None takes 4/5 of what is free.

    Nothing is loaded before the first call, or `load`. Leaving the `with`, or `close`, cancels what
    is under way and frees the models.
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

    def generate(
        self, prompt: str, *, on_progress: OnProgress | None = None, **params: Unpack[Params]
    ) -> GenerationResult:
        """Paints, and waits for it; `on_progress` hears of every step, in the calling thread.

        What `on_progress` raises, or an interrupt, cancels the work.
        """
        task = self.submit(prompt, **params)
        try:
            for progress in task if on_progress else ():
                on_progress(progress)  # type: ignore[misc]
            return task.result()
        except BaseException:
            task.cancel()
            raise

    def submit(self, prompt: str, **params: Unpack[Params]) -> Task:
        """Begins to paint, and does not wait for it."""
        return self.start(self.request(prompt, **params))

    @overload
    def generate_many(
        self,
        prompts: Iterable[Item],
        *,
        on_progress: OnProgress | None = None,
        at_once: int = AT_ONCE,
        return_exceptions: Literal[False] = False,
        **params: Unpack[Params],
    ) -> Iterator[GenerationResult]: ...

    @overload
    def generate_many(
        self,
        prompts: Iterable[Item],
        *,
        on_progress: OnProgress | None = None,
        at_once: int = AT_ONCE,
        return_exceptions: Literal[True],
        **params: Unpack[Params],
    ) -> Iterator[GenerationResult | Fault]: ...

    def generate_many(
        self,
        prompts: Iterable[Item],
        *,
        on_progress: OnProgress | None = None,
        at_once: int = AT_ONCE,
        return_exceptions: bool = False,
        **params: Unpack[Params],
    ) -> Iterator[GenerationResult | Fault]:
        """Paints many, `at_once` at a time in shared batches, and gives the results in order.

        prompts: texts, or mappings with a "prompt" and what differs from `params`; they are read as
        places become free, so a generator may bring millions. One that fails ends all, unless
        `return_exceptions` has its error come in its place. Who stops iterating cancels the rest.
        """
        return self._many(Batch(prompts, params, at_once), on_progress, return_exceptions)

    def request(self, prompt: str, **params: Unpack[Params]) -> Request:
        """Checks a call without painting; `start` begins it."""
        return request_of(self._catalog, prompt, **params)

    def start(self, request: Request) -> Task:
        """Begins what `request` has checked."""
        return Task(self._runtime, request)

    def load(self, model: str | None = None) -> None:
        """Begins to load a model that will be wanted; does not wait for it."""
        self._runtime.warm(request_of(self._catalog, "any", model=model).source)

    def close(self) -> None:
        """Cancels what is under way, and frees the models."""
        self._runtime.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _many(
        self, batch: Batch, on_progress: OnProgress | None, return_exceptions: bool
    ) -> Iterator[GenerationResult | Fault]:
        events: queue.SimpleQueue[tuple[int, Event]] = queue.SimpleQueue()
        try:
            while True:
                self._fill(batch, events)
                for outcome in batch.ready():
                    yield unless_raised(outcome, return_exceptions)
                if batch.over:
                    return
                if batch.running:
                    progress = batch.heard(*events.get())
                    if progress and on_progress:
                        on_progress(progress)
        finally:
            for id in batch.running.values():
                self._runtime.cancel(id)

    def _fill(self, batch: Batch, events: "queue.SimpleQueue[tuple[int, Event]]") -> None:
        while (due := batch.due()) is not None:
            index, arguments = due
            try:
                request = request_of(self._catalog, **arguments)
            except Fault as fault:
                batch.refused(index, fault)
            else:
                listen = partial(_put, events, index)
                batch.begun(index, self._runtime.submit(request, listen), request)


def _put(events: "queue.SimpleQueue[tuple[int, Event]]", index: int, event: Event) -> None:
    events.put((index, event))
