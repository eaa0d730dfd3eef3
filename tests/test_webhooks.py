"""Webhooks: signatures that receivers can verify, and deliveries that survive everything."""

import asyncio
import base64
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from imagemill.dialects.fal.signing import signed_headers
from imagemill.errors import Fault, Kind
from imagemill.slots import Slots
from imagemill.store.database import Database
from imagemill.store.deliveries import Delivery, DeliveryTable, Lane
from imagemill.webhooks import (
    MOST_SLOW,
    QUICK,
    SIZES,
    SLOW_SECONDS,
    Courier,
    Lanes,
    Message,
    Patience,
    Signer,
    judge,
    signing_key,
)
from tests.store.test_deliveries import NOW, found, opened, owe

pytestmark = pytest.mark.anyio

LEASE = Patience().lease(0)
SIGNER = Signer.load(bytes(range(32)))
SHARE = SIZES[Lane.FIRST][2]  # attempts at one receiver at a time
PATIENT = 60.0  # seconds until a test that waits for nothing is given up


# A receiver verifies as fal documents it.


def verified(headers: Mapping[str, str], body: bytes, jwks: Any, now: float) -> bool:
    request_id, user_id, timestamp, signature = (
        headers[f"X-Fal-Webhook-{name}"]
        for name in ("Request-Id", "User-Id", "Timestamp", "Signature")
    )
    if abs(now - int(timestamp)) > 300:
        return False
    lines = [request_id, user_id, timestamp, hashlib.sha256(body).hexdigest()]
    return any(
        signed_by(key["x"], bytes.fromhex(signature), "\n".join(lines).encode("utf-8"))
        for key in jwks["keys"]
    )


def signed_by(x: str, signature: bytes, message: bytes) -> bool:
    key = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(x))  # needs the padding
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def test_a_receiver_can_verify_what_was_sent() -> None:
    headers = signed_headers(SIGNER, "job1", "user1", b'{"status":"OK"}', NOW + 0.9)
    assert headers["X-Fal-Webhook-Timestamp"] == "1000"
    assert len(bytes.fromhex(headers["X-Fal-Webhook-Signature"])) == 64
    for now in (NOW - 300, NOW + 300):
        assert verified(headers, b'{"status":"OK"}', SIGNER.jwks(), now)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Fal-Webhook-Request-Id", "job2"),
        ("X-Fal-Webhook-User-Id", "user2"),
        ("X-Fal-Webhook-Timestamp", "1001"),
        ("X-Fal-Webhook-Signature", "00" * 64),
    ],
)
def test_a_changed_header_is_not_verified(name: str, value: str) -> None:
    headers = signed_headers(SIGNER, "job1", "user1", b"{}", NOW)
    assert not verified(headers | {name: value}, b"{}", SIGNER.jwks(), NOW)


def test_neither_is_another_body_another_key_or_another_time() -> None:
    headers = signed_headers(SIGNER, "job1", "user1", b"{}", NOW)
    assert not verified(headers, b"{} ", SIGNER.jwks(), NOW)
    assert not verified(headers, b"{}", Signer.new().jwks(), NOW)
    assert not verified(headers, b"{}", SIGNER.jwks(), NOW + 301)


def test_the_public_key_says_all_that_receivers_ask_for() -> None:
    # Worked out apart, with the openssl command and the recipe of RFC 7638.
    assert SIGNER.jwks() == {
        "keys": [
            {
                "kty": "OKP",
                "crv": "Ed25519",
                "alg": "EdDSA",
                "use": "sig",
                "kid": "1IG2tMH7J2wbJZnOf8LJzQitKf7LMvoAElsuDMVM54Y",
                "x": "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
            }
        ]
    }


def test_a_signer_survives_as_its_secret() -> None:
    signer = Signer.new()
    assert len(signer.secret) == 32
    assert Signer.load(signer.secret).jwks() == signer.jwks() != SIGNER.jwks()


async def test_the_key_is_the_same_for_all_who_start_at_once_and_later(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        signers = await asyncio.gather(*map(signing_key, (one, other, one, other)))
    async with opened(tmp_path) as again:
        signers.append(await signing_key(again))
    assert len({signer.secret for signer in signers}) == 1


# Patience

DRAWS = st.lists(st.floats(0, 1), min_size=9, max_size=9)


@given(DRAWS)
def test_each_wait_is_longer_than_the_last_and_all_take_about_two_hours(
    draws: list[float],
) -> None:
    patience = Patience()
    waits = [patience.after(attempt, draw) for attempt, draw in enumerate(draws, 1)]
    known = [wait for wait in waits if wait is not None]
    assert len(known) == 9
    assert all(earlier < later for earlier, later in pairwise(known))
    assert 11 < known[0] < known[-1] < 4_400
    assert 1.5 * 3600 < sum(known) < 2.5 * 3600


@given(st.integers(10, 1_000_000), st.floats(0, 1))
def test_there_is_no_eleventh_attempt(attempt: int, draw: float) -> None:
    assert Patience().after(attempt, draw) is None


def test_the_first_attempt_is_the_shortest_and_a_claim_outlasts_them_all() -> None:
    patience = Patience()
    assert [patience.seconds(attempt) for attempt in (1, 2, 10)] == [15, 120, 120]
    assert patience.lease(0) > 15
    assert patience.lease(1) > 120


@pytest.mark.parametrize(
    ("statuses", "acknowledged", "hopeless"),
    [
        ((200, 201, 202, 204, 299), True, False),
        ((300, 301, 302, 304, 307, 308, 100, 400, 401, 404, 410, 429, 500, 503, 599), False, False),
    ],
)
def test_a_status_acknowledges_ends_or_is_tried_again(
    statuses: Iterable[int], acknowledged: bool, hopeless: bool
) -> None:
    for outcome in map(judge, statuses):
        assert (outcome.error is None, outcome.hopeless) == (acknowledged, hopeless)


# Deliveries, to receivers on real sockets


@dataclass
class Clock:
    now: float = NOW
    tick: float = 0.0

    def __call__(self) -> float:
        self.now += self.tick
        return self.now


@dataclass(frozen=True)
class Told:
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Receiver:
    """Answers with `statuses` in turn, the last one for ever; 0 hangs until `free` is set."""

    statuses: tuple[int, ...] = (200,)
    told: list[Told] = field(default_factory=list)
    heard: asyncio.Condition = field(default_factory=asyncio.Condition)
    free: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self.listen(reader)
            status = self.statuses[min(len(self.told), len(self.statuses)) - 1]
            if status == 0:
                await self.free.wait()
            location = f"location: {self.url}/elsewhere\r\n" if status // 100 == 3 else ""
            head = f"HTTP/1.1 {status or 200} x\r\n{location}content-length: 0\r\n"
            writer.write(f"{head}connection: close\r\n\r\n".encode())
            await writer.drain()
        writer.close()

    async def listen(self, reader: asyncio.StreamReader) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.partition(": ") for line in lines if line)
        headers = httpx.Headers({name: value for name, _, value in pairs})
        body = await reader.readexactly(int(headers["content-length"]))
        async with self.heard:
            self.told.append(Told(first.split()[1], headers, body))
            self.heard.notify_all()

    async def hears(self, number: int) -> None:
        async with asyncio.timeout(PATIENT), self.heard:
            await self.heard.wait_for(lambda: len(self.told) >= number)


@asynccontextmanager
async def receiving(*statuses: int) -> AsyncIterator[Receiver]:
    receiver = Receiver(statuses or (200,))
    server = await asyncio.start_server(receiver.answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    receiver.url = f"http://{host}:{port}"
    async with server:
        yield receiver
        receiver.free.set()


@dataclass
class Office:
    """A courier with what is around it; what it says of a job is fixed but for the signature."""

    database: Database
    clock: Clock = field(default_factory=Clock)
    patience: Patience = field(default_factory=Patience)
    forgotten: set[str] = field(default_factory=set)
    private: set[str] = field(default_factory=set)
    lanes: Lanes = field(default_factory=Lanes.usual)

    def __post_init__(self) -> None:
        self.table = DeliveryTable(self.database)
        draw = 0.5
        self.courier = Courier(
            self.table, self.render, self.post, self.clock, self.patience, lambda: draw, self.lanes
        )

    async def owe(self, *ids: str, url: str, caller: str = "") -> None:
        await owe(self.database, *ids, url=url, now=self.clock.now, caller=caller)

    async def render(self, job: str) -> Message | None:
        delivery = await found(self.table, job)
        if job in self.forgotten:
            return None
        body = json.dumps({"request_id": job, "status": "OK", "payload": {"seed": 1}}).encode()
        headers = signed_headers(SIGNER, job, "user1", body, self.clock.now)
        return Message(delivery.url, headers | {"content-type": "application/json"}, body)

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], seconds: float, local: bool,
        caller: str,
    ) -> int:  # fmt: skip
        if url in self.private:
            raise Fault(Kind.INVALID, "the webhook\npoints into a private network")
        try:
            async with httpx.AsyncClient(verify=False, trust_env=False, timeout=seconds) as client:
                return (await client.post(url, content=body, headers=dict(headers))).status_code
        except httpx.TransportError as error:
            raise Fault(Kind.UNREACHABLE, f"no answer: {type(error).__name__}") from error

    async def look(self, job: str) -> Delivery:
        return await found(self.table, job)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.courier.run())
        try:
            yield
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with opened(tmp_path) as database:
        # Only a wake-up, and no look in time, may carry a test on.
        yield Office(database, patience=Patience(look=3600))


async def test_a_delivery_is_sent_once_and_acknowledged(office: Office) -> None:
    async with receiving() as receiver:
        await office.owe("a", url=f"{receiver.url}/hook?job=a")
        assert [await office.courier.step() for _ in range(2)] == [1, 0]
    (told,) = receiver.told
    assert told.path == "/hook?job=a"
    assert json.loads(told.body)["request_id"] == "a"
    assert verified(told.headers, told.body, SIGNER.jwks(), NOW)
    delivery = await office.look("a")
    assert (delivery.attempts, delivery.delivered, delivery.error) == (1, NOW, None)


async def test_a_failing_receiver_is_told_the_same_again_with_a_fresh_signature(
    office: Office,
) -> None:
    async with receiving(500, 500, 200) as receiver:
        await office.owe("a", url=receiver.url)
        for wait in (14, 28):
            assert await office.courier.step() == 1
            assert (await office.look("a")).error == "the receiver answered 500"
            office.clock.now += wait - 0.5
            assert await office.courier.step() == 0
            office.clock.now += 0.5
        assert await office.courier.step() == 1
    assert {told.body for told in receiver.told} == {receiver.told[0].body}
    stamps = [told.headers["X-Fal-Webhook-Timestamp"] for told in receiver.told]
    assert stamps == ["1000", "1014", "1042"]
    for told in receiver.told:
        assert told.headers["X-Fal-Webhook-Request-Id"] == "a"
        assert verified(
            told.headers, told.body, SIGNER.jwks(), int(told.headers["X-Fal-Webhook-Timestamp"])
        )
    delivery = await office.look("a")
    assert (delivery.attempts, delivery.delivered) == (3, NOW + 42)


async def test_a_receiver_that_hangs_is_tried_again(office: Office) -> None:
    office = Office(office.database, patience=Patience(first=0.05, later=15))
    async with receiving(0, 200) as receiver:
        await office.owe("a", url=receiver.url)
        assert await office.courier.step() == 1
        failed = await office.look("a")
        assert (failed.due, failed.dead) == (NOW + 14, False)
        assert failed.lane is Lane.SLOW
        assert failed.error in (
            "no answer: ReadTimeout",
            "the receiver did not answer within 0.05 seconds",
        )
        office.clock.now += 14
        assert await office.courier.step() == 1
    assert (await office.look("a")).delivered == NOW + 14


async def test_a_post_that_forgets_its_time_is_broken_off(office: Office) -> None:
    async def post(*_: object) -> int:
        await asyncio.Event().wait()
        return 200

    patience = Patience(first=0.01)
    courier = Courier(office.table, office.render, post, office.clock, patience)
    await office.owe("a", url="http://127.0.0.1/")
    assert await courier.step() == 1
    assert (await office.look("a")).error == "the receiver did not answer within 0.01 seconds"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed_but_said_and_tried_again(
    office: Office, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.INFO, "imagemill.webhooks")
    async with receiving(status, 200) as receiver:
        await office.owe("a", url=receiver.url.replace("//", "//me:hidden@") + "/?token=secret")
        assert await office.courier.step() == 1
        failed = await office.look("a")
        assert failed.due is not None, "a second attempt is owed"
        assert (failed.error or "").startswith(f"the receiver answered {status}; redirects are not")
        office.clock.now = failed.due
        assert await office.courier.step() == 1
    assert [told.path for told in receiver.told] == ["/?token=secret"] * 2
    assert await office.table.dead(limit=10) == []
    assert f"not delivered by attempt 1, the next in {failed.due - NOW:.0f} s" in caplog.text
    assert "give the URL that it leads to" in caplog.text
    assert "secret" not in caplog.text
    assert "hidden" not in caplog.text


async def test_a_refused_connection_is_tried_ten_times_over_two_hours(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiving() as receiver:
        pass
    await office.owe("a", url=receiver.url)
    times = []
    while (due := (await office.look("a")).due) is not None:
        assert "dead" not in caplog.text
        office.clock.now = due
        times.append(due)
        assert await office.courier.step() == 1
    assert len(times) == 10
    assert times[-1] - times[0] == 7154
    dead = await office.look("a")
    assert (dead.attempts, dead.dead, dead.error) == (10, True, "no answer: ConnectError")
    assert "is dead after attempt 10: no answer: ConnectError" in caplog.text


async def test_a_refused_target_is_dead_at_once(office: Office) -> None:
    office.private.add("http://10.0.0.1/")
    await office.owe("a", url="http://10.0.0.1/")
    await office.courier.step()
    dead = await office.look("a")
    assert (dead.dead, dead.error) == (True, "the webhook points into a private network")


async def test_a_delivery_whose_job_is_gone_is_dead_with_a_reason(office: Office) -> None:
    async with receiving() as receiver:
        await office.owe("a", url=receiver.url)
        office.forgotten.add("a")
        await office.courier.step()
    assert receiver.told == []
    dead = await office.look("a")
    assert (dead.dead, dead.error) == (
        True,
        "the job is not kept any more, so that nothing can be told of it",
    )


async def test_a_message_that_cannot_be_made_keeps_no_secret_and_is_tried_again(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    async def render(_job: str) -> Message | None:
        raise LookupError("/a/path")

    courier = Courier(office.table, render, office.post, office.clock)
    await office.owe("a", url="http://127.0.0.1/")
    await courier.step()
    failed = await office.look("a")
    assert failed.error == "the server could not make the message or send it"
    assert (failed.attempts, failed.dead) == (1, False)
    assert "LookupError" in caplog.text  # the operator's log has it


async def test_a_dead_delivery_can_be_brought_back(office: Office) -> None:
    async with receiving() as receiver:
        office.private.add(receiver.url)  # which no attempt will change
        await office.owe("a", url=receiver.url)
        await office.courier.step()
        assert [each.job for each in await office.table.dead(limit=10)] == ["a"]
        office.private.remove(receiver.url)
        assert await office.table.retry("a", office.clock.now)
        assert await office.courier.step() == 1
    assert await office.table.dead(limit=10) == []
    assert len(receiver.told) == 1
    assert (await office.look("a")).delivered == NOW


async def test_a_slow_receiver_holds_up_nobody_else(office: Office) -> None:
    async with receiving(0) as slow, receiving() as fast:
        await office.owe(*(f"slow{number:02}" for number in range(40)), url=f"{slow.url}/slow")
        await office.owe(*(f"then{number:02}" for number in range(40)), url=f"{fast.url}/fast")
        async with office.running():
            await slow.hears(SHARE)
            await fast.hears(40)
            assert len(slow.told) < 2 * SHARE
            slow.free.set()
            await slow.hears(40)
    assert len({told.body for told in slow.told}) == 40


def narrow(clock: Clock, quick: int, slow: int = 0, share: int = 1) -> Lanes:
    """Lanes with few slots; attempts get late when the clock says so."""
    return Lanes({lane: Slots(quick, slow, QUICK, share, clock) for lane in Lane}, clock)


async def test_no_more_than_the_slots_are_under_way_at_a_time(office: Office) -> None:
    office = Office(office.database, patience=office.patience, lanes=narrow(office.clock, 2))
    async with receiving(0) as one, receiving(0) as other, receiving() as waiting:
        await office.owe("a", url=one.url, caller="a")
        await office.owe("b", url=other.url, caller="b")
        await office.owe("c", url=waiting.url, caller="c")
        async with office.running():
            await asyncio.gather(one.hears(1), other.hears(1))
            # Written after whatever the courier may have claimed meanwhile.
            await office.owe("last", url=waiting.url, caller="c")
            assert (await office.look("c")).due == NOW
            one.free.set()
            await waiting.hears(2)


async def test_a_caller_whose_receivers_hang_keeps_half_of_the_slots(office: Office) -> None:
    """Each is a host of its own, and nobody knows that they are one machine."""
    office = Office(office.database, patience=office.patience, lanes=narrow(office.clock, 4))
    async with AsyncExitStack() as stack:
        hanging = [await stack.enter_async_context(receiving(0)) for _ in range(9)]
        honest = await stack.enter_async_context(receiving())
        for number, receiver in enumerate(hanging):
            await office.owe(f"{number}", url=receiver.url, caller="greedy")
        async with office.running():
            await asyncio.gather(*(receiver.hears(1) for receiver in hanging[:2]))
            await office.owe("honest", url=honest.url, caller="honest")
            office.courier.wake()
            await honest.hears(1)
            assert sum(len(receiver.told) for receiver in hanging) == 2


async def test_an_attempt_that_takes_long_makes_room_for_another(office: Office) -> None:
    clock = Clock()
    office = Office(office.database, patience=office.patience, lanes=narrow(clock, 2, slow=2))
    async with receiving(0) as slow, receiving(0) as other, receiving() as quick:
        await office.owe("a", url=slow.url)
        async with office.running():
            await slow.hears(1)
            await office.owe("b", url=other.url)
            await office.owe("c", url=quick.url)
            office.courier.wake()
            await asyncio.sleep(0)
            assert (len(other.told), len(quick.told)) == (0, 0)
            clock.now += QUICK
            office.courier.wake()
            await other.hears(1)
            assert len(quick.told) == 0
            # There is one slow slot for each caller here, so `b` stays where it is.
            clock.now += QUICK
            slow.free.set()
            await quick.hears(1)


async def test_first_attempts_do_not_wait_for_those_that_are_made_again(office: Office) -> None:
    office = Office(office.database, patience=office.patience, lanes=narrow(office.clock, 1))
    async with receiving(500, 0) as broken, receiving() as honest:
        await office.owe("a", url=broken.url)
        await office.courier.step()
        office.clock.now += 14
        async with office.running():
            await broken.hears(2)
            await office.owe("b", url=honest.url)
            office.courier.wake()
            await honest.hears(1)


async def test_a_receiver_that_was_late_has_few_slots_until_it_answers(office: Office) -> None:
    office = Office(office.database, lanes=narrow(office.clock, 1))
    async with receiving() as slow, receiving() as honest:
        office.lanes.note(slow.url, slow=True)
        await office.owe("a", "b", url=slow.url)
        await office.owe("c", url=honest.url)
        assert await office.courier.step() > 0
        # Both were moved; the first of them shows that it answers again.
        assert [(await office.look(id)).delivered for id in "ca"] == [NOW, NOW]
        left = await office.look("b")
        assert (left.attempts, left.lane, left.due) == (0, Lane.AGAIN, NOW)
        await office.courier.step()
        assert (await office.look("b")).delivered == NOW
        assert not office.lanes.is_slow(slow.url)


async def test_who_fails_late_is_slow_and_who_fails_at_once_is_not(office: Office) -> None:
    clock = Clock()
    office = Office(office.database, lanes=narrow(clock, 4, share=4))

    async def late(url: str, _b: bytes, _h: Mapping[str, str], _s: float, _l: bool, _c: str) -> int:
        clock.now += QUICK * ("late" in url)
        raise Fault(Kind.UNREACHABLE, "accepts no connection")

    courier = Courier(office.table, office.render, late, office.clock, lanes=office.lanes)
    await office.owe("a", url="http://quick.example/")
    await office.owe("b", url="http://late.example/")
    await courier.step()
    assert [(await office.look(id)).lane for id in "ab"] == [Lane.AGAIN, Lane.SLOW]


def test_who_is_known_to_be_slow_is_forgotten_in_time_and_in_number() -> None:
    clock = Clock()
    lanes = Lanes.usual(clock)
    lanes.note("http://a", slow=True)
    clock.now += SLOW_SECONDS - 1
    assert lanes.is_slow("http://a")
    clock.now += 1
    assert not lanes.is_slow("http://a")
    for number in range(MOST_SLOW + 1):
        lanes.note(f"http://{number}", slow=True)
    assert not lanes.is_slow("http://0")
    assert lanes.is_slow("http://1")
    assert lanes.note("http://1", slow=False)
    assert not lanes.note("http://1", slow=False)


async def test_whoever_writes_a_delivery_wakes_the_courier(office: Office) -> None:
    async with receiving() as receiver, office.running():
        for number in range(3):
            await office.owe(f"job{number}", url=receiver.url)
            office.courier.wake()
            await receiver.hears(number + 1)


async def test_the_courier_wakes_when_the_next_delivery_is_due(office: Office) -> None:
    office.clock.tick = 0.01  # a delivery that is due in 0.015 s is not so at the first look
    async with receiving() as receiver:
        await owe(office.database, "a", url=receiver.url, now=NOW + 0.015)
        async with office.running():
            await receiver.hears(1)


async def test_an_answer_that_came_before_the_end_is_still_written_down(office: Office) -> None:
    async def post(*_: object) -> int:
        running.cancel()
        return 200

    courier = Courier(office.table, office.render, post, office.clock)
    await office.owe("a", url="http://127.0.0.1/")
    running = asyncio.create_task(courier.run())
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await office.look("a")).delivered == NOW


async def test_what_was_claimed_by_a_dead_process_is_sent_by_the_next(
    tmp_path: Path, office: Office
) -> None:
    async with receiving(0, 200) as receiver:
        await office.owe("a", url=receiver.url)
        async with office.running():
            await receiver.hears(1)
        async with opened(tmp_path) as again:
            next_office = Office(again)
            next_office.clock.now = NOW + LEASE - 1
            assert await next_office.courier.step() == 0
            next_office.clock.now = NOW + LEASE
            assert await next_office.courier.step() == 1
            assert (await next_office.look("a")).delivered == NOW + LEASE
    assert receiver.told[0].body == receiver.told[1].body


async def test_two_couriers_share_the_work_and_send_nothing_twice(
    tmp_path: Path, office: Office
) -> None:
    async with opened(tmp_path) as database, receiving() as receiver:
        other = Office(database)
        await office.owe(*(f"job{number:02}" for number in range(40)), url=receiver.url)
        async with office.running(), other.running():
            await receiver.hears(40)
        while await office.courier.step():
            pass
    assert len({told.body for told in receiver.told}) == len(receiver.told) == 40


class Alarm(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.rung = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.rung.set()


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    """Rings when an error is logged."""
    alarm, logger = Alarm(), logging.getLogger("imagemill")
    logger.addHandler(alarm)
    yield alarm
    logger.removeHandler(alarm)


async def test_a_database_that_fails_for_a_while_stops_nothing(
    office: Office, alarm: Alarm
) -> None:
    async def rename(name: str, to: str) -> None:
        async with office.database.writing() as connection:
            await connection.execute(text(f"ALTER TABLE {name} RENAME TO {to}"))

    await rename("deliveries", "elsewhere")
    async with receiving() as receiver, office.running():
        async with asyncio.timeout(PATIENT):
            await alarm.rung.wait()
        await rename("elsewhere", "deliveries")
        await office.owe("a", url=receiver.url)
        office.courier.wake()
        await receiver.hears(1)


@pytest.mark.parametrize("url", ["", "http://[", "no url", "//", "http://" + "a" * 60_000])
async def test_a_strange_url_holds_up_nobody_else(office: Office, url: str) -> None:
    office.private.add(url)
    async with receiving() as receiver:
        await office.owe("a", "b", "c", "d", "e", url=url)
        await office.owe("fine", url=receiver.url)
        while await office.courier.step():
            pass
    assert len(await office.table.dead(limit=10)) == 5
    assert (await office.look("fine")).delivered == NOW
