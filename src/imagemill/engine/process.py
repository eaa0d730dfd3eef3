"""The engine as a supervised process of its own, so that HTTP never waits for tensors.

No torch is imported here. When the process dies or hangs, another is started, for as long as the
server lives, and gets the work that was in flight; `suspects` finds out whether some of that work
killed it, and only that fails.
"""

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

from imagemill.engine import refusals
from imagemill.engine.events import (
    CLOSING_SECONDS,
    NO_INPUTS,
    Begun,
    Event,
    Failed,
    Finished,
    HeldBack,
    State,
)
from imagemill.engine.exits import Exit, Starvation
from imagemill.engine.ipc import (
    Beat,
    Cancel,
    Heard,
    Held,
    Loading,
    Options,
    Ready,
    Said,
    Submit,
    Warm,
)
from imagemill.engine.link import Entry, ProcessLink
from imagemill.engine.models_there import ModelsThere
from imagemill.engine.set_aside import SetAside
from imagemill.engine.suspects import Suspects, Work
from imagemill.engine.watchdog import Timeouts, Watchdog
from imagemill.errors import Fault, Kind
from imagemill.garbage import lasting
from imagemill.generation import Generation, Input

log = logging.getLogger(__name__)
LEAST_REST, MOST_REST = 1.0, 60.0  # seconds between starts, from the second failure in a row on
# Where memory ends, the kernel shall end the engine, which is started again, and not the server.
OOM_SCORE, SACRIFICE = Path("/proc/self/oom_score_adj"), "500"
SOUND_SECONDS = 60.0  # a process that lived so long has started well


def enter(connection: Connection, options: Options) -> None:
    with suppress(OSError):  # which is everywhere but on Linux
        OOM_SCORE.write_text(SACRIFICE, "ascii")
    with lasting():
        from imagemill.engine.engine_main import main  # torch, which only the child needs

    main(connection, options)


@dataclass
class InFlight:
    """id: the caller's name for it; `submit.id` is its ticket, by which the process knows it."""

    id: str
    submit: Submit
    events: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)


class EngineProcess:
    """Implements `engine.events.Engine`; used from one event loop."""

    def __init__(
        self,
        options: Options = Options(preload=("pico",)),  # noqa: B008 frozen
        timeouts: Timeouts = Timeouts(),  # noqa: B008 frozen
        entry: Entry = enter,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        killers: SetAside | None = None,
    ) -> None:
        """killers: generations that are set aside, where other engines shall know of them, too."""
        self.options, self.timeouts, self.entry = options, timeouts, entry
        self.clock, self.sleep = clock, sleep
        self._state, self._in_flight = State.DEAD, dict[str, InFlight]()  # by ticket
        self._numbers = count()
        self._suspects = Suspects()
        self._sources, self._generations = SetAside(30.0, 300.0), killers or set_aside()
        self._link: ProcessLink | None = None
        self._supervising: asyncio.Task[None] | None = None
        self._failures = 0  # of starts, in a row
        self._starts_at, self._last = 0.0, ""  # when the next start is; how the last process ended
        # Of the sources to be preloaded: not tried this time, and not there.
        self._left_out, self._missing = frozenset[str](), frozenset[str]()
        self._why = ""  # they are not there
        self._late = set[str]()  # sources that took too long to be loaded
        self._loading: str | None = None
        self.models = ModelsThere(clock)

    @property
    def state(self) -> State:
        return self._state

    @property
    def trouble(self) -> str:
        if self._state is State.DEGRADED:
            when = f"in {math.ceil(self.resting)} seconds" if self.resting else "now"
            return f"the engine stopped: {self._last}; it is started again {when}"
        if self._state is State.READY and self._missing:
            count, all_ = len(self._missing), len(self.options.preload)
            late = refusals.overdue(self.timeouts.load) if self._missing & self._late else ""
            why = self._why or late or "the server's log tells why"
            return f"{count} of {all_} models could not be loaded; {why}"
        return ""

    @property
    def resting(self) -> float:
        resting = self._state is State.DEGRADED and self._link is None
        return max(0.0, self._starts_at - self.clock()) if resting else 0.0

    async def start(self) -> None:
        """Begins starting; does not wait for the model."""
        self._state = State.STARTING
        self._supervising = asyncio.create_task(self._supervise())

    async def submit(
        self,
        id: str,
        generation: Generation,
        source: str,
        inputs: Mapping[str, Input] = NO_INPUTS,
        previews: bool = False,
    ) -> AsyncIterator[Event]:
        """Paints with the weights at `source`; ends with Finished or Failed, closing it cancels."""
        # A number of its own: what is submitted again after it was cancelled is not cancelled.
        ticket = f"{id}.{next(self._numbers)}"
        submit = Submit(ticket, generation, source, dict(inputs), previews)
        refused = refusals.gone() if self._state is State.DEAD else self._refused(submit)
        if refused:
            yield Failed(refused)
            return
        waiting = self._in_flight[ticket] = InFlight(id, submit)
        self._suspects.add(Work(ticket, source, cost(generation)))
        self._dispatch()
        try:
            while True:
                event = await waiting.events.get()
                yield event
                if isinstance(event, Finished | Failed):
                    return
        finally:
            if ticket in self._in_flight:
                self._leave(ticket)

    def cancel(self, id: str) -> None:
        """Stops the work within two steps; its iterator ends with Failed of kind CANCELLED."""
        for ticket in [ticket for ticket, each in self._in_flight.items() if each.id == id]:
            if ticket in self._suspects.running:
                self._send(Cancel(ticket))
            else:
                self._end(ticket, Failed(Fault(Kind.CANCELLED, "the work was cancelled")))

    def refusal(self, source: str) -> Fault | None:
        return self.models.refused.get(source)

    def warm(self, source: str) -> float:
        left = self.models.seconds(source)
        if left and self._state is State.READY:
            self._send(Warm(source))
        return left

    async def close(self, seconds: float = CLOSING_SECONDS) -> None:
        """Ends the process, which may take so long to end by itself; what is in flight fails."""
        self._state, link, self._link = State.DEAD, self._link, None
        if self._supervising is not None:
            self._supervising.cancel()
            await asyncio.gather(self._supervising, return_exceptions=True)
        if link is not None:
            await link.close(seconds)
        for ticket in list(self._in_flight):
            self._end(ticket, Failed(refusals.gone()))

    # The process

    async def _supervise(self) -> None:
        while True:
            began = self.clock()
            ended = await self._live()
            self._died(ended, self.clock() - began)
            await self.sleep(max(0.0, self._starts_at - self.clock()))

    async def _live(self) -> Exit:
        """Starts a process and returns when it has ended."""
        starvation, watchdog = Starvation(), Watchdog(self.timeouts)
        starvation.look()
        preload = self._preload()
        self._left_out = frozenset(self.options.preload) - set(preload)

        def hear(messages: Sequence[Heard]) -> None:
            for message in messages if self._link is link else ():
                self._hear(message, watchdog)

        options = replace(self.options, preload=preload, beat=self.timeouts.beat)
        try:
            self._link = link = ProcessLink(self.entry, options, hear)
        except Exception:
            log.exception("no process can be started for the engine")
            return Exit(None)
        watching = asyncio.create_task(self._watch(link, watchdog, starvation))
        try:
            code = await asyncio.shield(link.code)
        finally:
            watching.cancel()
        (hung,) = await asyncio.gather(watching, return_exceptions=True)
        why = hung if isinstance(hung, str) else ""
        return Exit(code, why, starvation.happened, watchdog.overdue)

    async def _watch(self, link: ProcessLink, watchdog: Watchdog, starvation: Starvation) -> str:
        """Kills the process when it hangs; returns why."""
        then = self.clock()
        while True:
            await asyncio.sleep(self.timeouts.beat)
            starvation.look()
            then, passed = self.clock(), self.clock() - then
            if hung := watchdog.tick(passed, bool(self._suspects.running)):
                link.kill()
                return hung

    def _preload(self) -> tuple[str, ...]:
        """Without what killed the process while it was loaded, unless that is everything, and
        without what took too long.
        """
        preload = tuple(each for each in self.options.preload if each not in self._late)
        return tuple(each for each in preload if not self._suspects.broken(each)) or preload

    def _died(self, ended: Exit, lived: float) -> None:
        working = self._state is State.READY and self._suspects.running
        self._link, self._last = None, str(ended)
        self.models.died()
        self._state = State.DEGRADED
        log.error(
            "the engine process died: %s; %d generations were in flight",
            ended,
            len(self._suspects.running),
        )
        # What dies at work says who did it, in few deaths; what dies without work may die for ever.
        self._failures = 0 if working or lived >= SOUND_SECONDS else self._failures + 1
        self._starts_at = self.clock() + _rest(self._failures)
        for ticket in self._suspects.running:
            self._in_flight[ticket].events.put_nowait(HeldBack())
        self._accuse(ended)
        if self._loading is not None and self._suspects.broken(self._loading):
            self._sources.put(self._loading, self.clock())
        self._loading = None
        self._judge()

    def _accuse(self, ended: Exit) -> None:
        source = self._loading
        if source is not None and ended.overdue:
            log.error("%s was not loaded within %g seconds", source, self.timeouts.load)
            self._late.add(source)
            self._suspects.overdue(source)
        else:
            self._suspects.died(source, ended.from_outside)

    def _send(self, message: Submit | Cancel | Warm) -> None:
        if self._link is not None:
            self._link.send(message)

    # The work

    def _hear(self, message: Heard, watchdog: Watchdog) -> None:
        match message:
            case Beat():
                watchdog.heard(message)
            case Held(sources, refused):
                self.models.held, self.models.refused = sources, refused
            case Loading(source):
                self.models.loading(source)
                watchdog.loading()
                if self._loading is not None:
                    self._suspects.loaded(self._loading)
                    self._late.discard(self._loading)
                self._loading = source
            case Ready(failed, why):
                self._why = "; ".join(why)
                self._missing, self._state = self._left_out | set(failed), State.READY
                self._dispatch()
            case Said(ticket, event):
                self._tell(ticket, event)

    def _tell(self, ticket: str, event: Event) -> None:
        if ticket not in self._in_flight:
            return
        if isinstance(event, Finished):
            self._worked(self._in_flight[ticket].submit.source)
        if isinstance(event, Finished | Failed):
            self._end(ticket, event)
        else:
            self._in_flight[ticket].events.put_nowait(event)

    def _worked(self, source: str) -> None:
        self._failures = 0
        self._suspects.painted(source)
        self._sources.release(source)
        self._missing = self._missing - {source}

    def _end(self, ticket: str, event: Finished | Failed) -> None:
        self._in_flight.pop(ticket).events.put_nowait(event)
        cancelled = isinstance(event, Failed) and event.fault.kind is Kind.CANCELLED
        self._ended(ticket, cleared=not cancelled)

    def _leave(self, ticket: str) -> None:
        """Of work whose iterator is closed: nobody hears how it ends."""
        self._send(Cancel(ticket))
        del self._in_flight[ticket]
        self._ended(ticket, cleared=False)

    def _ended(self, ticket: str, cleared: bool) -> None:
        self._suspects.ended(ticket, cleared)
        self._judge()
        self._dispatch()

    def _dispatch(self) -> None:
        for ticket in self._suspects.due() if self._state is State.READY else ():
            self._in_flight[ticket].events.put_nowait(Begun())
            self._send(self._in_flight[ticket].submit)

    # The blame

    def _judge(self) -> None:
        """Fails what killed the process, one by one: with each that ends, fewer may be guilty."""
        while guilty := self._suspects.guilty():
            fault, ticket = self._set_aside(guilty[0]), guilty[0].id
            log.error("%s killed the engine and is set aside: %s", ticket, fault)
            self._in_flight.pop(ticket).events.put_nowait(Failed(fault))
            self._suspects.ended(ticket, cleared=True)

    def _set_aside(self, work: Work) -> Fault:
        now = self.clock()
        if not self._suspects.struck(work.source):
            submit = self._in_flight[work.id].submit
            return refusals.killed(self._generations.put(_key(submit), now))
        left = self._sources.left(work.source, now) or self._sources.put(work.source, now)
        return self._struck(work.source, left)

    def _refused(self, submit: Submit) -> Fault | None:
        """Of a submission that would kill the process once more, or whose model has no room."""
        source, now = submit.source, self.clock()
        if refusal := self.refusal(source):
            return refusal
        if left := self._generations.left(_key(submit), now):
            return refusals.killed(left)
        if left := self._sources.left(source, now):
            return self._struck(source, left)
        if self._suspects.struck(source):  # one may try; the others wait for how that ends
            self._suspects.forgive(source)
            self._sources.put(source, now)
        return None

    def _struck(self, source: str, seconds: float) -> Fault:
        late = source in self._late
        why = refusals.overdue(self.timeouts.load) if late else refusals.KILLED
        return refusals.struck(why, seconds)


def set_aside() -> SetAside:
    """For generations that kill whatever engine paints them."""
    return SetAside(600.0, 86_400.0)


def _rest(failures: int) -> float:
    """Seconds until the next start, after so many failures in a row."""
    return 0.0 if failures < 2 else float(min(MOST_REST, LEAST_REST * 2 ** (failures - 2)))


def cost(generation: Generation) -> int:
    area = generation.width * generation.height
    return area * generation.steps * generation.num_images


def _key(submit: Submit) -> str:
    """The same for all seeds: who is refused draws another and asks again."""
    same = repr((submit.source, replace(submit.generation, seed=0)))
    return hashlib.sha256(same.encode()).hexdigest()
