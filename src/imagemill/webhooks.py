"""Webhooks: tells receivers of ended jobs, signed, until they acknowledge or patience ends.

What is owed is in the database, so that a death of this process forgets nothing. A receiver may be
told twice, with the same body, and knows it by the id of the job in it.
"""

import asyncio
import base64
import hashlib
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from imagemill.errors import Fault, Kind
from imagemill.retries import PASSING, outlasting
from imagemill.slots import Slots
from imagemill.store.database import Database
from imagemill.store.deliveries import Delivery, DeliveryTable, Lane
from imagemill.store.secrets import SecretTable

log = logging.getLogger(__name__)

# Attempts at a time in each lane: so many usually, so many more that take long, and so many at one
# receiver. They cost little, as all of them wait for receivers. A caller has at most half.
SIZES: Mapping[Lane, tuple[int, int, int]] = {
    Lane.FIRST: (128, 64, 8),
    Lane.AGAIN: (32, 0, 4),
    Lane.SLOW: (32, 0, 2),
}
QUICK = 2.0  # seconds after which an attempt takes long; who fails later is slow
SLOW_SECONDS = 600.0  # for which a receiver is known to be slow, unless it acknowledges something
MOST_SLOW = 10_000  # receivers that are known
MARGIN = 10.0  # seconds of a claim beyond its attempt: for making the message and writing the end
MOMENT = 0.1  # seconds; the shortest wait, so that nothing can make the loop spin
HELD = 3600.0  # seconds for which is tried to write the end of an attempt
LONGEST = 300  # characters of an error that is kept

SIGNING = "webhooks"  # the name of the secret that signs deliveries
HOPELESS = frozenset({Kind.FORBIDDEN, Kind.INVALID})  # faults that another attempt would meet again


class Signer:
    """An Ed25519 key, and what it signs. Its secret is 32 bytes."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def new(cls) -> "Signer":
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, secret: bytes) -> "Signer":
        return cls(Ed25519PrivateKey.from_private_bytes(secret))

    @property
    def secret(self) -> bytes:
        return self._key.private_bytes_raw()

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public key, for receivers, of whom some decode `x` only with its padding."""
        x = _base64(self._key.public_key().public_bytes_raw())
        # RFC 7638: the digest of what makes the key, written in one way and without padding.
        core = {"crv": "Ed25519", "kty": "OKP", "x": x.rstrip("=")}
        written = json.dumps(core, separators=(",", ":")).encode()
        kid = _base64(hashlib.sha256(written).digest()).rstrip("=")
        return {"keys": [core | {"alg": "EdDSA", "use": "sig", "kid": kid, "x": x}]}

    def sign(self, content: bytes) -> bytes:
        return self._key.sign(content)


async def signing_key(database: Database) -> Signer:
    """The server's key: the same for every process on this database, and after a restart."""
    return Signer.load(await SecretTable(database).secret(SIGNING, Signer.new().secret))


@dataclass(frozen=True)
class Message:
    """One attempt, ready to be sent: signed for the time it was made. local: as in Submission."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    local: bool = False


@dataclass(frozen=True)
class Patience:
    """How often and how long is tried. Times are in seconds.

    The waits double from `wait` on: 10 attempts take 7154 s, two hours, give or take the jitter. It
    is below a third, so that each wait is longer than the last whatever is drawn.
    """

    attempts: int = 10
    wait: float = 14.0
    jitter: float = 0.2  # share of a wait, up or down
    first: float = 15.0  # what a receiver has to answer the first attempt
    later: float = 120.0
    look: float = 5.0  # between looks for what other processes have written

    def seconds(self, attempt: int) -> float:
        """For the answer to an attempt; they count from 1."""
        return self.first if attempt == 1 else self.later

    def after(self, attempt: int, draw: float) -> float | None:
        """The wait after a failed attempt, None after the last one. draw: from 0 to 1."""
        if attempt >= self.attempts:
            return None
        return self.wait * 2.0 ** (attempt - 1) * (1 + self.jitter * (2 * draw - 1))

    def lease(self, attempts: int) -> float:
        """How long the next attempt after so many may be under way."""
        return self.seconds(attempts + 1) + MARGIN


@dataclass(frozen=True)
class Outcome:
    """Of an attempt. error: None where the receiver acknowledged. hopeless: not worth another.
    late: the time for it was over.
    """

    error: str | None = None
    hopeless: bool = False
    late: bool = False


GONE = Outcome("the job is not kept any more, so that nothing can be told of it", hopeless=True)
BROKEN = Outcome("the server could not make the message or send it")


class Post(Protocol):
    """Sends and gives the status; raises a Fault where there is none. Follows no redirect."""

    def __call__(
        self, url: str, body: bytes, headers: Mapping[str, str], seconds: float,
        local: bool, caller: str, /,
    ) -> Awaitable[int]: ...  # fmt: skip


@dataclass(eq=False)
class Attempt:
    """One that is under way. ended: all that is left is to write down how."""

    lane: Lane
    job: str
    ended: bool = False


@dataclass
class Lanes:
    """What is under way, by lane, and who is known to be slow."""

    slots: Mapping[Lane, Slots]
    clock: Callable[[], float]
    _slow: dict[str, float] = field(default_factory=dict)  # receivers, until when

    @classmethod
    def usual(cls, clock: Callable[[], float] = time.monotonic) -> "Lanes":
        slots = {
            lane: Slots(quick, slow, QUICK, share, clock)
            for lane, (quick, slow, share) in SIZES.items()
        }
        return cls(slots, clock)

    def is_slow(self, receiver: str) -> bool:
        return self._slow.get(receiver, float("-inf")) > self.clock()

    def note(self, receiver: str, slow: bool) -> bool:
        """What an attempt has shown; whether the receiver is slow no longer."""
        was = self._slow.pop(receiver, None) is not None
        if slow:
            self._slow[receiver] = self.clock() + SLOW_SECONDS
            if len(self._slow) > MOST_SLOW:
                del self._slow[next(iter(self._slow))]
        return was and not slow

    @property
    def soon(self) -> float:
        """Seconds until there is room that nobody makes; infinite if there will be none."""
        return min(slots.soon for slots in self.slots.values())


class Courier:
    """Sends what is due. render: makes the message about a job, None where that is gone."""

    def __init__(
        self,
        table: DeliveryTable,
        render: Callable[[str], Awaitable[Message | None]],
        post: Post,
        clock: Callable[[], float] = time.time,
        patience: Patience = Patience(),
        draw: Callable[[], float] = random.random,
        lanes: Lanes | None = None,
    ) -> None:
        self._table, self._render, self._post = table, render, post
        self._clock, self._patience, self._draw = clock, patience, draw
        self._lanes = lanes or Lanes.usual()
        self._awake, self._hurry = asyncio.Event(), asyncio.Event()
        self._under_way: dict[asyncio.Task[None], Attempt] = {}

    def wake(self) -> None:
        """There is something new to send."""
        self._awake.set()

    async def run(self) -> None:
        """Sends until it is cancelled. A database that fails is asked again later."""
        try:
            while True:
                self._awake.clear()
                pause = self._patience.look
                try:
                    await self._begin_all()
                    pause = await self._pause()
                except Fault as fault:  # told by who was in trouble
                    log.debug("deliveries could not be looked up: %s", fault)
                except Exception:
                    log.exception("deliveries could not be looked up")
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._awake.wait()
        finally:
            await self._stop()

    async def step(self) -> int:
        """One pass: begins what is due, waits for all that is under way; how many were begun."""
        begun = await self._begin_all()
        if self._under_way:
            await asyncio.wait(list(self._under_way))
        return begun

    async def _begin_all(self) -> int:
        total = 0
        for lane in Lane:
            while begun := await self._begin(lane):
                total += begun
        return total

    async def _begin(self, lane: Lane) -> int:
        """Begins with what is next in a lane, a receiver's share at most, before shares are looked
        at again; how many were claimed.
        """
        slots = self._lanes.slots[lane]
        room = min(slots.host, slots.room)
        if not room:
            return 0
        claimed = await self._table.due(
            lane, self._clock(), room, self._patience.lease,
            slots.full_hosts(), slots.full_callers(), self._in_hand(),
        )  # fmt: skip
        for delivery in claimed:
            if lane is Lane.FIRST and self._lanes.is_slow(delivery.receiver):
                await self._table.slow(delivery.job, self._clock())
            else:
                self._start(delivery)
        return len(claimed)

    def _in_hand(self) -> list[str]:
        """The jobs whose deliveries are under way."""
        return [attempt.job for attempt in self._under_way.values()]

    def _start(self, delivery: Delivery) -> None:
        attempt = Attempt(delivery.lane, delivery.job)
        task = asyncio.create_task(self._send(delivery, attempt))
        self._under_way[task] = attempt
        slots = self._lanes.slots[delivery.lane]
        slots.take(attempt, delivery.receiver, delivery.caller)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        attempt = self._under_way.pop(task)
        self._lanes.slots[attempt.lane].leave(attempt)
        self._awake.set()  # there is room
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its claim runs out, and it is sent again.
            log.error("the end of a delivery could not be written", exc_info=error)

    async def _pause(self) -> float:
        """How long there is nothing to begin, unless somebody wakes us."""
        pause = min(self._patience.look, max(MOMENT, self._lanes.soon))
        for lane, slots in self._lanes.slots.items():
            if slots.room:
                due = await self._table.next_due(
                    lane, self._clock(), slots.full_hosts(), slots.full_callers(), self._in_hand()
                )
                if due is not None:
                    pause = min(pause, max(MOMENT, due))
        return pause

    async def _stop(self) -> None:
        """Breaks off what waits for a receiver; what was answered is still written down."""
        self._hurry.set()
        tasks = list(self._under_way)
        for task in tasks:
            if not self._under_way[task].ended:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, delivery: Delivery, attempt: Attempt) -> None:
        number = delivery.attempts + 1
        outcome = await self._try(delivery, self._patience.seconds(number))
        attempt.ended = True
        late = outcome.late or self._lanes.slots[attempt.lane].late(attempt)
        outcome = replace(outcome, late=late and outcome.error is not None)
        recovered = self._lanes.note(delivery.receiver, outcome.late)
        # Written whatever it takes, else who has acknowledged would be told again.
        await outlasting(lambda: self._write(delivery, number, outcome), HELD, self._hurry)
        if recovered:
            await self._table.quick(delivery.receiver)

    async def _write(self, delivery: Delivery, number: int, outcome: Outcome) -> None:
        now = self._clock()
        if outcome.error is None:
            await self._table.delivered(delivery.job, now)
            return
        wait = None if outcome.hopeless else self._patience.after(number, self._draw())
        error = " ".join(outcome.error.split())[:LONGEST]
        lane = Lane.SLOW if outcome.late else Lane.AGAIN
        await self._table.failed(delivery.job, error, now, wait, lane)
        # Without the URL, in which receivers like to have their tokens.
        if wait is None:
            log.warning(
                "the delivery of job %s is dead after attempt %d: %s", delivery.job, number, error
            )
        else:
            facts = delivery.job, number, wait, error
            log.info("job %s is not delivered by attempt %d, the next in %.0f s: %s", *facts)

    async def _try(self, delivery: Delivery, seconds: float) -> Outcome:
        job = delivery.job
        try:
            message = await outlasting(lambda: self._render(job), HELD, self._hurry)
            if message is None:
                return GONE
            return await self._told(message, delivery.caller, seconds)
        except Fault as fault:
            if fault.kind in PASSING:  # ours, not the receiver's: it is sent later
                raise
            return Outcome(fault.message, fault.kind in HOPELESS)
        except Exception:
            log.exception("a message about job %s could not be sent", job)
            return BROKEN

    async def _told(self, message: Message, caller: str, seconds: float) -> Outcome:
        try:
            async with asyncio.timeout(seconds):
                status = await self._post(
                    message.url, message.body, message.headers, seconds, message.local, caller
                )
        except TimeoutError:
            reason = f"the receiver did not answer within {seconds:g} seconds"
            return Outcome(reason, late=True)
        return judge(status)


def judge(status: int) -> Outcome:
    """What a receiver's status means: a success acknowledges. A redirect is not followed, as it is
    not by Replicate (replicate-javascript issue 195); who mends it in time is told all the same.
    """
    match status // 100:
        case 2:
            return Outcome()
        case 3:
            way_out = "redirects are not followed; give the URL that it leads to"
            return Outcome(f"the receiver answered {status}; {way_out}")
        case _:
            return Outcome(f"the receiver answered {status}")


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode()
