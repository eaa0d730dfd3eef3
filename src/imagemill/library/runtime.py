"""The thread in which a program's engine paints, begun when it is first wanted."""

import logging
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from typing import TYPE_CHECKING

from imagemill.engine.events import Event, Failed, Finished
from imagemill.engine.ipc import Heard, Options, Said, Submit
from imagemill.errors import Fault, Kind
from imagemill.library.failures import GenerationCancelledError
from imagemill.library.params import Request

if TYPE_CHECKING:
    from imagemill.engine.in_thread import EngineThread

log = logging.getLogger(__name__)
# Said by executors when the program ends with work under way, which nobody will miss.
PROGRAM_ENDS = "cannot schedule new futures after"
Listener = Callable[[Event], None]  # called in a thread of the engine; must not wait


class Runtime:
    """Used from any thread. Whoever lets go of it ends it."""

    def __init__(self, options: Options) -> None:
        self._state, self._begun = _State(options), False
        self._lock, self._owner = threading.Lock(), os.getpid()
        self._end = weakref.finalize(self, _State.close, self._state)

    def submit(self, request: Request, listen: Listener) -> str:
        """Begins a generation, whose events `listen` hears; gives the id to cancel it by."""
        self._begin()
        return self._state.submit(request, listen)

    def warm(self, source: str) -> None:
        """Has a model be loaded that will be wanted."""
        self._begin()
        self._state.then(lambda engine: engine.warm(source))

    def cancel(self, id: str) -> None:
        """Stops it within two steps; its listener hears Failed of kind CANCELLED."""
        self._state.then(lambda engine: engine.cancel(id))

    def close(self) -> None:
        """Cancels what is under way, and returns when nothing is computed any more."""
        self._end()

    def _begin(self) -> None:
        with self._lock:
            if not self._end.alive:
                raise GenerationCancelledError(
                    Kind.CANCELLED, "the engine is closed; make another Engine"
                )
            if self._owner != os.getpid():  # threads are not forked with their process
                raise Fault(Kind.FAILED, "the engine is another process's; make an Engine in each")
            if not self._begun:
                self._begun = True
                self._state.thread.start()


class _State:
    """What the thread holds, so that the Runtime itself can be let go."""

    def __init__(self, options: Options) -> None:
        self.options, self.listeners = options, dict[str, Listener]()
        self.numbers, self.ended = count(), False
        self.engine: Future[EngineThread] = Future()
        self.thread = threading.Thread(target=self._run, name="imagemill", daemon=True)

    def submit(self, request: Request, listen: Listener) -> str:
        id = str(next(self.numbers))
        self.listeners[id] = listen
        message = Submit(id, request.generation, request.source, request.inputs, previews=False)
        self.then(lambda engine: engine.submit(message))
        if self.ended:  # while this came
            self._fail_all("the engine was closed", Kind.CANCELLED)
        return id

    def then(self, work: Callable[["EngineThread"], None]) -> None:
        """Does it as soon as the engine is there, in the order of the calls."""

        def do(engine: "Future[EngineThread]") -> None:
            if not engine.cancelled() and engine.exception() is None:
                work(engine.result())

        self.engine.add_done_callback(do)

    def close(self) -> None:
        self.then(lambda engine: engine.stop())
        if self.thread.is_alive() and self.thread is not threading.current_thread():
            self.thread.join()

    def _run(self) -> None:
        try:
            from imagemill.engine.in_thread import EngineThread

            engine = EngineThread(self.options, self._hear)
            self.engine.set_result(engine)
            engine.paint()
        except BaseException as error:
            if PROGRAM_ENDS not in str(error):
                log.exception("the engine has ended")
            if not self.engine.done():
                self.engine.set_exception(error)
            self._fail_all(f"the engine has ended: {error}", Kind.FAILED)
        else:
            self._fail_all("the engine was closed", Kind.CANCELLED)

    def _hear(self, message: Heard) -> None:
        if not isinstance(message, Said):
            return
        ended = isinstance(message.event, Finished | Failed)
        listeners = self.listeners
        listen = listeners.pop(message.id, None) if ended else listeners.get(message.id)
        if listen is not None:
            listen(message.event)

    def _fail_all(self, message: str, kind: Kind) -> None:
        self.ended = True
        for id in list(self.listeners):
            if (listen := self.listeners.pop(id, None)) is not None:
                listen(Failed(Fault(kind, message)))
