"""The engine as a supervised process of its own, so that HTTP never waits for tensors.

No torch is imported here. When the process dies, it is started again and the work in flight is
submitted once more; work that was in flight at two deaths has failed.
"""

import asyncio
import logging
import multiprocessing
import queue
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from imagemill.engine.events import NO_INPUTS, Event, Failed, Finished, State
from imagemill.engine.messages import Cancel, Close, Options, Ready, Said, Submit
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation
from imagemill.threads import PROCESSES

log = logging.getLogger(__name__)
TRIES = 2  # of one submission, and of starting in a row
CLOSING_SECONDS = 5.0

Message = Submit | Cancel | Close
Outbox = queue.SimpleQueue[Message | None]  # None: nothing more


@dataclass
class InFlight:
    submit: Submit
    events: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)
    tries: int = 0


class EngineProcess:
    """Implements `engine.events.Engine`; used from one event loop."""

    def __init__(self, options: Options = Options(preload=("pico",))) -> None:  # noqa: B008 frozen
        self.options = options
        self._state, self._in_flight = State.DEAD, dict[str, InFlight]()
        self._process: SpawnProcess | None = None
        self._outbox: Outbox = queue.SimpleQueue()
        self._failed_starts, self._closing = 0, False

    @property
    def state(self) -> State:
        return self._state

    async def start(self) -> None:
        """Begins starting; does not wait for the model."""
        self._loop = asyncio.get_running_loop()
        self._spawn()

    async def submit(
        self,
        id: str,
        generation: Generation,
        source: str,
        inputs: Mapping[str, bytes] = NO_INPUTS,
        previews: bool = False,
    ) -> AsyncIterator[Event]:
        """Paints with the weights at `source`; ends with Finished or Failed, closing it cancels."""
        submit = Submit(id, generation, source, dict(inputs), previews)
        waiting = self._in_flight[id] = InFlight(submit)
        if self._state is State.READY:
            self._dispatch(waiting)
        elif self._state is State.DEAD:
            self._hear(Said(id, Failed(_gone())))
        try:
            while True:
                event = await waiting.events.get()
                yield event
                if isinstance(event, Finished | Failed):
                    return
        finally:
            if self._in_flight.get(id) is waiting:
                self.cancel(id)
                self._in_flight.pop(id, None)

    def cancel(self, id: str) -> None:
        """Stops the work within two steps; its iterator ends with Failed of kind CANCELLED."""
        waiting = self._in_flight.get(id)
        if waiting and waiting.tries:
            self._send(Cancel(id))
        elif waiting:
            self._hear(Said(id, Failed(Fault(Kind.CANCELLED, "the work was cancelled"))))

    async def close(self) -> None:
        """Ends the process; what is in flight fails."""
        self._closing = True
        if self._process is None:
            return
        self._send(Close())
        self._outbox.put(None)
        await PROCESSES.run(self._process.join, CLOSING_SECONDS)
        self._process.kill()
        await PROCESSES.run(self._process.join)
        self._state = State.DEAD
        self._fail_all()

    def _spawn(self) -> None:
        self._state = State.STARTING
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(target=_enter, args=(theirs, self.options), daemon=True)
        self._process.start()
        theirs.close()
        self._outbox = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(ours,), daemon=True).start()
        threading.Thread(target=_write, args=(ours, self._outbox), daemon=True).start()

    def _read(self, connection: Connection) -> None:
        """Runs in a thread of its own, for the life of one process."""
        try:
            while True:
                self._loop.call_soon_threadsafe(self._hear_all, connection.recv())
        except (EOFError, OSError):
            if not self._closing:
                self._loop.call_soon_threadsafe(self._died)

    def _hear_all(self, messages: list[Ready | Said]) -> None:
        for message in messages:
            self._hear(message)

    def _hear(self, message: Ready | Said) -> None:
        match message:
            case Ready():
                self._state, self._failed_starts = State.READY, 0
                for waiting in self._in_flight.values():
                    self._dispatch(waiting)
            case Said(id, event) if heard := self._in_flight.get(id):
                if isinstance(event, Finished | Failed):
                    del self._in_flight[id]
                heard.events.put_nowait(event)

    def _died(self) -> None:
        self._outbox.put(None)
        log.error("the engine process died; %d generations were in flight", len(self._in_flight))
        self._failed_starts += self._state is State.STARTING
        for id, waiting in list(self._in_flight.items()):
            if waiting.tries >= TRIES:
                self._hear(Said(id, Failed(_gone())))
        if self._failed_starts < TRIES:
            self._spawn()
        else:
            self._state = State.DEAD
            self._fail_all()

    def _fail_all(self) -> None:
        for id in list(self._in_flight):
            self._hear(Said(id, Failed(_gone())))

    def _dispatch(self, waiting: InFlight) -> None:
        waiting.tries += 1
        self._send(waiting.submit)

    def _send(self, message: Message) -> None:
        self._outbox.put(message)


def _write(connection: Connection, outbox: Outbox) -> None:
    """Runs in a thread of its own: files of many megabytes must not hold up the event loop."""
    while (message := outbox.get()) is not None:
        try:
            connection.send(message)
        except OSError:
            log.warning("the engine process is gone; waiting for its successor")
            return


def _gone() -> Fault:
    return Fault(Kind.FAILED, "the engine stopped while painting; try again")


def _enter(connection: Connection, options: Options) -> None:
    from imagemill.engine.child import main  # torch, which only the child needs

    main(connection, options)
