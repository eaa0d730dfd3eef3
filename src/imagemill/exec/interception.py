"""A proxy that answers for listed hosts: CONNECT and TLS on one side, our server on the other.

What a program sends to a listed host is decrypted here and handed on byte for byte, `Host` and all;
so whatever HTTP can do passes: streams, WebSockets, uploads. Other hosts are reached, or refused.
Every program of this machine can connect; only the one that was given the secret is served. Who was
led here by the name of a listed host knows of no proxy, and has the server alone to talk to.
"""

import asyncio
import hmac
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Set
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from weakref import WeakKeyDictionary

from imagemill.exec.proxy_requests import WHOLE_ADDRESSES, ProxyRequest, Refused, parsed
from imagemill.exec.tunnels import (
    AGREED,
    END,
    PORTS,
    Above,
    Destination,
    Head,
    Landing,
    Pipe,
    join,
    pair,
    reach,
    shake,
)
from imagemill.settings import LOOPBACK

DIAL_SECONDS = 30.0
WEB = {port: scheme for scheme, port in PORTS.items()}


class ConnectionOutcome(StrEnum):
    ANSWERED = "answered"  # by our server
    PASSED = "passed"
    REFUSED = "refused"  # as the policy has it
    UNREACHED = "unreached"
    BROKEN_OFF = "broken off"  # before TLS stood, as by who does not trust our certificate


@dataclass(frozen=True)
class InterceptionPolicy:
    """Who is answered for, by whom, and what becomes of all others.

    credential: what a caller has to bring as Proxy-Authorization.
    """

    hosts: Set[str]
    server: Destination
    certificate: ssl.SSLContext  # for the listed hosts
    credential: str
    offline: bool = False
    above: Above | None = None
    ports: Mapping[int, str] = field(default_factory=lambda: WEB)  # of listed hosts, with schemes
    direct: ssl.SSLContext | None = None  # for who is led here by a listed name; None: nobody is

    def outcome(self, host: str, port: int) -> ConnectionOutcome:
        if host in self.hosts and port in self.ports:
            return ConnectionOutcome.ANSWERED
        refused = self.offline and host not in LOOPBACK
        return ConnectionOutcome.REFUSED if refused else ConnectionOutcome.PASSED

    def above_for(self, host: str) -> Above | None:
        return None if host in LOOPBACK else self.above


class CallerGone(Exception):
    """The caller hung up, or would not trust us."""


@dataclass
class Proxy:
    """Counts, by host, what became of every connection."""

    policy: InterceptionPolicy
    counts: Counter[tuple[ConnectionOutcome, str]] = field(default_factory=Counter)
    port: int = 0
    secure_port: int = 0  # for who is led here by a name, and speaks TLS at once
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _heads: set[Head] = field(default_factory=set)
    _live: set[Pipe] = field(default_factory=set)
    _names: WeakKeyDictionary[Any, str] = field(default_factory=WeakKeyDictionary)

    @property
    def idle(self) -> bool:
        """Whether nobody is connected."""
        return not (self._tasks or self._heads or self._live)

    def greet(self) -> Head:
        """The protocol of a caller who has just come."""

        def heard(caller: asyncio.Transport, held: bytes) -> None:
            self._heads.discard(head)
            task = asyncio.get_running_loop().create_task(self._serve(caller, held))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        def failed(caller: asyncio.Transport) -> None:
            self._heads.discard(head)
            _refuse(caller, Refused(431, "the head of the request is too long"))

        head = Head(heard, failed)
        self._heads.add(head)
        return head

    def land(self) -> Landing:
        """The protocol of one who was led here by the name of a host, and begins with TLS."""

        def come(caller: asyncio.Transport) -> None:
            task = asyncio.get_running_loop().create_task(self._receive(caller))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return Landing(come)

    async def close(self) -> None:
        """Hangs up on everybody."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        sides: list[Head | Pipe] = [*self._heads, *self._live]
        for each in sides:
            if each.transport is not None:
                each.transport.abort()

    async def _serve(self, caller: asyncio.Transport, held: bytes) -> None:
        head, _, rest = held.partition(END)
        try:
            request = parsed(head)
            self._admit(request)
            if request.method == "CONNECT":
                await self._tunnel(caller, request, rest)
            else:
                await self._forward(caller, request, rest)
        except Refused as refused:
            _refuse(caller, refused)
        except CallerGone:
            caller.abort()
        except BaseException:
            caller.abort()
            raise

    async def _tunnel(self, caller: asyncio.Transport, request: ProxyRequest, rest: bytes) -> None:
        outcome, above = self._judge(request), self.policy.above_for(request.host)
        answered = outcome is ConnectionOutcome.ANSWERED
        secure = answered and self.policy.ports[request.port] == "https"
        if secure and rest:
            raise Refused(400, "TLS began before the tunnel was there")
        destination = self.policy.server if answered else Destination(request.host, request.port)
        with self._pair() as (near, far):
            early = await self._reach(far, destination, None if answered else above, request.host)
            if caller.is_closing():
                raise CallerGone
            caller.write(AGREED + early)
            if secure:
                near.take(await self._trusted(caller, near, request.host))
            else:
                caller.set_protocol(near)
                near.take(caller)
            self.counts[outcome, request.host] += 1
            join(near, far, rest)

    async def _receive(self, caller: asyncio.Transport) -> None:
        assert self.policy.direct is not None
        try:
            with self._pair() as (near, far):
                await self._reach(far, self.policy.server, None, "the server")
                near.take(await shake(caller, near, self.policy.direct))
                self._greeted(near)
                join(near, far)
        except (Refused, OSError):  # OSError: the hands were not shaken, which was counted
            caller.abort()
        except BaseException:
            caller.abort()
            raise

    def name(self, handshake: ssl.SSLObject | ssl.SSLSocket, name: str | None) -> int | None:
        """Whom a handshake is for, as it begins; an alert for whom nobody is answered for."""
        if name is None or name.lower() not in self.policy.hosts:
            return ssl.AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        self._names[handshake] = name.lower()
        self.counts[ConnectionOutcome.BROKEN_OFF, name.lower()] += 1  # until it stands
        return None

    def _greeted(self, near: Pipe) -> None:
        assert near.transport is not None
        name = self._names[near.transport.get_extra_info("ssl_object")]
        self.counts.subtract([(ConnectionOutcome.BROKEN_OFF, name)])
        self.counts += Counter([(ConnectionOutcome.ANSWERED, name)])  # leaves out what is at 0

    async def _forward(self, caller: asyncio.Transport, request: ProxyRequest, rest: bytes) -> None:
        """One request that came without a tunnel, after which the connection ends."""
        outcome, above = self._judge(request), self.policy.above_for(request.host)
        tls = ssl.create_default_context() if request.scheme == "https" else None
        destination, whole = Destination(request.host, request.port, tls), False
        if outcome is ConnectionOutcome.ANSWERED:
            destination, above = self.policy.server, None
        credential = ""
        if above is not None and tls is None:
            destination, whole, credential, above = above.destination, True, above.credential, None
        with self._pair() as (near, far):
            await self._reach(far, destination, above, request.host)
            caller.set_protocol(near)
            near.take(caller)
            self.counts[outcome, request.host] += 1
            join(near, far, request.forwarded(whole=whole, credential=credential) + rest)

    def _admit(self, request: ProxyRequest) -> None:
        if request.direct:
            if self.policy.outcome(request.host, request.port) is ConnectionOutcome.ANSWERED:
                return
            raise Refused(400, WHOLE_ADDRESSES)
        if not hmac.compare_digest(request.credential.encode(), self.policy.credential.encode()):
            message = (
                "imagemill exec serves the program that it runs; use the proxy's whole address"
            )
            raise Refused(407, message, 'proxy-authenticate: Basic realm="imagemill exec"')

    def _judge(self, request: ProxyRequest) -> ConnectionOutcome:
        outcome = self.policy.outcome(request.host, request.port)
        if outcome is ConnectionOutcome.REFUSED:
            self.counts[outcome, request.host] += 1
            raise Refused(403, f"imagemill exec --offline does not let through {request.host}")
        return outcome

    async def _reach(
        self, far: Pipe, destination: Destination, above: Above | None, host: str
    ) -> bytes:
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                return await reach(far, destination, above)
        except (OSError, ValueError):  # ValueError: a name that cannot be one
            self.counts[ConnectionOutcome.UNREACHED, host] += 1
            raise Refused(502, f"imagemill exec cannot reach {host}") from None

    async def _trusted(self, caller: asyncio.Transport, near: Pipe, host: str) -> asyncio.Transport:
        """The caller's connection, once hands are shaken."""
        try:
            return await shake(caller, near, self.policy.certificate)
        except OSError:
            self.counts[ConnectionOutcome.BROKEN_OFF, host] += 1
            raise CallerGone from None

    @contextmanager
    def _pair(self) -> Iterator[tuple[Pipe, Pipe]]:
        """Two sides, of which the far one is let go where the near one never comes."""
        near, far = pair(self._live)
        try:
            yield near, far
        except BaseException:
            if far.transport is not None:
                far.transport.abort()
            raise


@asynccontextmanager
async def proxying(policy: InterceptionPolicy) -> AsyncIterator[Proxy]:
    """A proxy on a free port of this machine; who is connected at the end is hung up on."""
    proxy = Proxy(policy)
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(proxy.greet, "127.0.0.1", 0)]
    if policy.direct is not None:
        policy.direct.sni_callback = lambda handshake, name, _: proxy.name(handshake, name)
        servers.append(await loop.create_server(proxy.land, "127.0.0.1", 0))
    proxy.port, proxy.secure_port = [_port(servers[0]), _port(servers[-1])]
    try:
        yield proxy
    finally:
        for server in servers:
            server.close()
        await proxy.close()
        for server in servers:
            await server.wait_closed()


def _port(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


def _refuse(caller: asyncio.Transport, refused: Refused) -> None:
    if caller.is_closing():
        return
    words = re.sub(r"[^ -~]", "?", refused.words)[:200]
    body = f"{words}\n".encode()
    head = (
        f"HTTP/1.1 {refused.status} {words}",
        "content-type: text/plain; charset=utf-8",
        f"content-length: {len(body)}",
        "connection: close",
        *refused.headers,
    )
    caller.write("\r\n".join(head).encode("ascii") + END + body)
    caller.close()
