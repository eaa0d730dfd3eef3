"""A generation under way, as a program without an event loop holds it."""

import queue
from collections.abc import Iterator
from concurrent.futures import Future

from imagemill.engine import events
from imagemill.engine.events import Event, Failed, Finished
from imagemill.library.failures import public
from imagemill.library.params import Request
from imagemill.library.results import GenerationProgress, GenerationResult, result_of
from imagemill.library.runtime import Runtime


class Task:
    """Used from any thread.

    Iterating over it gives its progress until it has ended; `result` waits for the images.
    """

    def __init__(self, runtime: Runtime, request: Request) -> None:
        self.generation = request.generation
        self._future: Future[GenerationResult] = Future()
        self._progress: queue.SimpleQueue[GenerationProgress | None] = queue.SimpleQueue()
        self._runtime, self._id = runtime, runtime.submit(request, self._hear)

    def result(self, timeout: float | None = None) -> GenerationResult:
        """Waits for the images, `timeout` seconds at most; raises why there are none."""
        return self._future.result(timeout)

    def cancel(self) -> None:
        """Stops the work within two steps; `result` raises GenerationCancelledError then."""
        self._runtime.cancel(self._id)

    def done(self) -> bool:
        """Whether it has ended, however that came."""
        return self._future.done()

    def __iter__(self) -> Iterator[GenerationProgress]:
        while (progress := self._progress.get()) is not None:
            yield progress
        self._progress.put(None)  # for whoever else iterates

    def _hear(self, event: Event) -> None:
        match event:
            case events.Progress(step, steps):
                self._progress.put(GenerationProgress(step, steps))
            case Finished():
                self._future.set_result(result_of(self.generation, event))
                self._progress.put(None)
            case Failed(fault):
                self._future.set_exception(public(fault))
                self._progress.put(None)
