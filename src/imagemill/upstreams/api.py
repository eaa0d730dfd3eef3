"""The HTTP client of one upstream: time-outs, tries and bounds, and where a key goes: there alone.

What asks is sent again until it is answered or time is over. What submits is sent again only where
it was not taken: where no connection came about, or the upstream itself said so. What a gateway
says in its place, and a reply that was lost, may hide work that is paid; they are sent again only
to an upstream that knows a repeated call by its Idempotency-Key.
"""

import asyncio
import json
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from imagemill import __version__
from imagemill.errors import Fault, Kind
from imagemill.upstream_spec import UpstreamSpec
from imagemill.upstreams.secret import Secret

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 20.0  # seconds between tries, which double
REPLY_BYTES = 8 * 2**20  # of a reply without images
OWN_ANSWERS = frozenset({429, 500, 503, 529})  # by which an upstream says that it took nothing
OF_GATEWAYS = frozenset({408, 502, 504})  # which do not know what it took
BROKEN = 500  # as answer to a question, too often to be an accident
_SPENT = (b"insufficient_quota", b"billing_hard_limit")  # a 429 that no waiting mends


class MaybeTaken(Fault):
    """A submission that was lost on the way, there or back."""


@dataclass(frozen=True)
class UpstreamReply:
    """What an upstream answers, whole."""

    #: Of HTTP.
    status: int
    #: In whatever case.
    headers: Mapping[str, str]
    #: The body.
    content: bytes

    def json(self) -> Any:
        """What it says; None where that is no JSON."""
        try:
            return json.loads(self.content)
        except ValueError:
            return None


class _Trouble(Exception):
    """A try that gave no answer. taken: the upstream may have begun all the same."""

    def __init__(
        self, reason: str, status: int = 0, wait: float | None = None, taken: bool = False
    ):
        super().__init__(reason)
        self.reason, self.status, self.wait, self.taken = reason, status, wait, taken


@dataclass(frozen=True)
class ApiCall:
    """One call, as it may be sent again."""

    #: Of HTTP.
    method: str
    #: Below the upstream's URL.
    path: str
    #: What is sent as JSON, if anything.
    json: Any = None
    #: The fields of a form, and its files, in the place of JSON.
    form: Mapping[str, Any] | None = None
    files: tuple[tuple[str, tuple[str, bytes, str]], ...] = ()
    #: By which it is known where it comes again; empty for what only asks.
    key: str = ""
    #: Seconds for the reply; None for the usual.
    seconds: float | None = None
    #: Bytes of the reply, at most.
    most: int = REPLY_BYTES
    #: Whatever is answered counts: another try would be answered the same.
    final: bool = False


class Api:
    """retried: is called whenever something is sent again."""

    def __init__(
        self, name: str, spec: UpstreamSpec, key: Secret, scheme: str, retried: Callable[[], None]
    ) -> None:
        self.name, self.spec, self._retried = name, spec, retried
        self._secret, self._scheme = key, scheme
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=spec.connect_timeout),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=spec.in_flight),
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def send(self, call: ApiCall, until: float) -> UpstreamReply:
        """The reply, of whatever status that ends the matter. until: on the monotonic clock.

        Raises a Fault of kind UNAVAILABLE where the upstream is away for too long, and MaybeTaken
        for a submission that was lost.
        """
        tries, pause = 0, FIRST_PAUSE
        while True:
            try:
                return await self._once(call, until)
            except _Trouble as trouble:
                tries += 1
                wait = trouble.wait or pause * random.uniform(0.5, 1.5)
                if call.key and trouble.taken and not self.spec.idempotent:
                    raise lost(self.name) from None
                if self._given_up(call, trouble, tries) or time.monotonic() + wait > until:
                    raise self._away(trouble) from None
                log.info("upstream %s: %s; it is asked again", self.name, trouble.reason)
            self._retried()
            await asyncio.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE)

    def cleared(self, text: str) -> str:
        """A text of the upstream's for callers: one line, not too long, without our key."""
        return " ".join(self._secret.cleared(text).split())[:500]

    def _given_up(self, call: ApiCall, trouble: _Trouble, tries: int) -> bool:
        counted = bool(call.key) or trouble.status == BROKEN
        return counted and tries > self.spec.retries

    async def _once(self, call: ApiCall, until: float) -> UpstreamReply:
        seconds = min(call.seconds or self.spec.read_timeout, max(0.0, until - time.monotonic()))
        try:
            async with asyncio.timeout(seconds):
                reply = await self._asked(call)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise _Trouble("it accepts no connection") from None
        except TimeoutError:
            raise _Trouble(f"no answer within {seconds:.0f} s", taken=True) from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _Trouble(f"it broke off ({type(error).__name__})", taken=True) from None
        passing = reply.status in OWN_ANSWERS | OF_GATEWAYS and not _spent(reply)
        if passing and not call.final:
            taken, wait = reply.status in OF_GATEWAYS, _retry_after(reply.headers)
            raise _Trouble(f"it answered {reply.status}", reply.status, wait, taken)
        return reply

    async def _asked(self, call: ApiCall) -> UpstreamReply:
        headers = {
            "user-agent": f"imagemill/{__version__}",
            "accept": "application/json",
            "accept-encoding": "identity",  # a few compressed kilobytes can unfold to gigabytes
            **self._secret.header(self._scheme),
            # Where it means nothing it could mean something else: what was named may be kept for
            # who hangs up and comes again, and be painted meanwhile.
            **({"idempotency-key": call.key} if call.key and self.spec.idempotent else {}),
        }
        body: dict[str, Any] = {} if call.json is None else {"json": call.json}
        if call.form is not None:
            body = {"data": dict(call.form), "files": list(call.files)}
        url, content = f"{self.spec.url.rstrip('/')}{call.path}", bytearray()
        async with self._client.stream(call.method, url, headers=headers, **body) as reply:
            async for chunk in reply.aiter_bytes():
                content += chunk
                if len(content) > call.most:
                    raise too_large(self.name, call.most)
            return UpstreamReply(reply.status_code, reply.headers, bytes(content))

    def _away(self, trouble: _Trouble) -> Fault:
        log.warning("upstream %s is given up: %s", self.name, trouble.reason)
        message = f"the upstream {self.name} is not to be had: {trouble.reason}; try again later"
        return Fault(Kind.UNAVAILABLE, message, retry_after=trouble.wait)


def lost(name: str) -> MaybeTaken:
    """The Fault of a submission that may have been taken."""
    message = f"the upstream {name} may have begun with this, and its answer was lost"
    way_out = "it is not sent again, so that it is not paid twice; ask again for another"
    return MaybeTaken(Kind.FAILED, f"{message}; {way_out}")


def too_large(name: str, most: int) -> Fault:
    """The Fault of an upstream that sends more than is read."""
    message = f"the upstream {name} sent more than {most} bytes; ask for smaller images, or fewer"
    return Fault(Kind.FAILED, message)


def garbled(name: str, what: str) -> Fault:
    """The Fault of an upstream that speaks another language than it should."""
    log.warning("upstream %s: %s", name, what)
    message = f"the upstream {name} gave an answer that cannot be used: {what}"
    return Fault(Kind.FAILED, f"{message}; its operator has to look at it")


def _spent(reply: UpstreamReply) -> bool:
    return reply.status == 429 and any(word in reply.content for word in _SPENT)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    text = headers.get("retry-after", "")
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
