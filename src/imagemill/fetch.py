"""Fetch: what strangers name is downloaded, and told, without leading into the local network.

Callers on this machine may name its own servers, too: they reach them anyway. All others are told
neither where a name leads nor whether anything listens there.

Every connection looks its host up once, checks every address that was found, and goes to one of
those very addresses: there is no second look-up that could answer otherwise. Redirects are followed
by hand, each on a connection of its own, so that each is checked alike.
"""

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote, urljoin

import httpcore
import httpx

from imagemill import __version__
from imagemill.errors import Fault, Kind, invalid
from imagemill.files.writer import Writer
from imagemill.names import Names, Resolve, look_up
from imagemill.networks import Address, is_evidently_private, own, public

log = logging.getLogger(__name__)

Write = Callable[[bytes], Awaitable[None]]

REPLY_BYTES = 64 * 2**10  # of the answer to a POST; nobody reads it
_NOT_FETCHED = (
    "{host} could not be fetched; it needs a public address, a server that answers in time, "
    "and for https a certificate that is trusted here"
)
_CONNECT_SECONDS = 5.0  # for one address of several, so that a dead one leaves time for the next
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

_HEADERS = {
    "user-agent": f"imagemill/{__version__}",
    "accept": "*/*",
    "accept-encoding": "identity",  # a few compressed kilobytes can unfold to gigabytes
    "connection": "close",
}
# Never sent for others: what decides where a message goes and ends, and what signs somebody in.
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "expect", "upgrade", "te"})
_KEPT_BACK = _FRAMING | {"connection", "accept-encoding", "authorization", "cookie"}

# A name or an IPv6 address; a scope (%eth0) would choose the network, and is in neither.
_HOST = re.compile(r"(?=.{1,254}\Z)([a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|[0-9a-f.]*:[0-9a-f:.]+)")
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)


@dataclass(frozen=True)
class Policy:
    """What may be fetched, and how much of it.

    hosts: names given by the operator, wherever they lead. seconds: in all, redirects included.
    """

    hosts: frozenset[str] = frozenset()
    max_bytes: int = 50 * 2**20
    seconds: float = 30.0
    redirects: int = 5


class Unreached(Fault):
    """A place that was not spoken with. Why is for callers on this machine, and for the log."""


@dataclass(frozen=True)
class Fetched:
    """content_type: as declared, without parameters. name: safe as the name of a file."""

    content: bytes
    content_type: str
    name: str


_trust = cache(httpcore.default_ssl_context)  # reading all the roots takes 50 ms


class Fetcher:
    """tls: which certificates are trusted; by default those that the system and certifi know.

    `local` is said of callers who are on this machine themselves. `caller` names whose share of the
    look-ups is taken, empty for nobody's.
    """

    def __init__(
        self, policy: Policy, resolve: Resolve = look_up, tls: ssl.SSLContext | None = None
    ) -> None:
        self._policy, self._names, self._tls = policy, Names(resolve), tls or _trust()

    async def get(
        self, url: str, max_bytes: int | None = None, local: bool = False, caller: str = ""
    ) -> Fetched:
        limit = self._policy.max_bytes if max_bytes is None else max_bytes
        origin = parse(url)
        with _discreet(local, origin):
            return await self._get(origin, limit, self._gate(local, caller))

    async def save(
        self,
        url: str,
        path: Path,
        max_bytes: int,
        local: bool = False,
        caller: str = "",
        seconds: float | None = None,
    ) -> str:
        """Writes what is there to a file, as it comes; its SHA-256 in hexadecimal. seconds: that it
        may take in all; None for the policy's.
        """
        origin = parse(url)
        async with Writer(path) as writer:
            with _discreet(local, origin):
                gate = self._gate(local, caller)
                await self._get(origin, max_bytes, gate, writer.write, seconds)
            return await writer.digest()

    async def _get(
        self,
        origin: httpx.URL,
        limit: int,
        gate: "Gate",
        write: Write | None = None,
        seconds: float | None = None,
    ) -> Fetched:
        """write: gets the content, which else is in what is returned."""
        target = origin
        async with _within(seconds or self._policy.seconds, origin):
            for _ in range(self._policy.redirects + 1):
                async with self._reply("GET", target, {}, gate=gate) as reply:
                    location = _header(reply, "location")
                    if reply.status not in _REDIRECTS or not location:
                        content = await _content(reply, target, limit, write)
                        return Fetched(content, _content_type(reply), _name(origin))
                target = _next(target, location)
        count = self._policy.redirects
        raise _unreachable(origin, f"redirects more than {count} times; give the final address")

    async def check(self, url: str, local: bool = False, caller: str = "") -> None:
        """Raises where `post` would not go.

        For strangers no name is looked up, as that would tell them where it leads here: of it they
        are refused alone what says by itself that it is not public.
        """
        target, gate = parse(url), self._gate(local, caller)
        host = _plain(_host(target))
        if local:
            async with _within(self._policy.seconds, target):
                await gate.admit(host, target.port or 0)
        elif is_evidently_private(host) and not gate.names(host):
            raise Fault(Kind.FORBIDDEN, f"{host} cannot be told of results; give a public address")

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], seconds: float,
        local: bool = False, caller: str = "",
    ) -> int:  # fmt: skip
        """The status of the answer; no redirect is followed, no credentials are sent.

        What is raised is for the operator: it tells why a place was not reached.
        """
        target, got = parse(url), 0
        async with (
            _within(seconds, target),
            self._reply("POST", target, headers, body, gate=self._gate(local, caller)) as reply,
        ):
            async for chunk in reply.aiter_stream():
                got += len(chunk)
                if got >= REPLY_BYTES:
                    break
            return reply.status

    async def close(self) -> None:
        await self._names.close()

    def _gate(self, local: bool, caller: str) -> "Gate":
        find = partial(self._names.find, caller=caller)
        return Gate(self._policy.hosts, find, local)

    @asynccontextmanager
    async def _reply(
        self,
        method: str,
        target: httpx.URL,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        gate: "Gate",
    ) -> AsyncIterator[httpcore.Response]:
        """The answer's head; its body is there to be streamed."""
        lower = {name.lower(): value for name, value in headers.items()}
        own_headers = {name: value for name, value in lower.items() if name not in _KEPT_BACK}
        url = httpcore.URL(
            scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path
        )
        head = [("host", target.netloc.decode("ascii")), *(_HEADERS | own_headers).items()]
        try:
            async with (
                _pool(gate, self._tls) as pool,
                pool.stream(method, url, headers=head, content=body) as reply,
            ):
                yield reply
        except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError) as error:
            raise _unreached(target, _what(error)) from None


class Gate(httpcore.AsyncNetworkBackend):
    """Opens connections to public addresses, to those of the hosts that the operator named, and to
    this machine's own for a caller who is local.
    """

    def __init__(self, hosts: Iterable[str], resolve: Resolve, local: bool) -> None:
        self._local, self._resolve = local, resolve
        self._named = frozenset(map(_plain, hosts))
        self._network = httpcore.AnyIOBackend()

    def names(self, host: str) -> bool:
        """Whether the operator has named a host."""
        return _plain(host) in self._named

    async def admit(self, host: str, port: int) -> list[str]:
        """The addresses of a host; a Fault where one of them is not allowed."""
        addresses = await self._addresses(host, port)
        refused = [each for each in addresses if not self._allowed(ip_address(each))]
        if refused and not self.names(host):
            raise Unreached(
                Kind.FORBIDDEN,
                f"{host} points into a private network ({refused[0]}); "
                "the operator can allow it with the setting fetch_hosts",
            )
        return addresses

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            addresses = list(dict.fromkeys(await self._resolve(host, port)))
        except (OSError, UnicodeError) as error:
            if getattr(error, "errno", None) == socket.EAI_AGAIN:  # the name service is away
                message = f"the name {host} cannot be looked up at the moment; try again"
                raise Fault(Kind.UNREACHABLE, message) from None
            addresses = []
        if not addresses:
            raise Unreached(Kind.UNREACHABLE, f"{host} has no address; check how it is spelt")
        return addresses

    def _allowed(self, address: Address) -> bool:
        return public(address) or (self._local and own(address))

    async def connect_tcp(
        self, host: str, port: int, *_: object, **__: object
    ) -> httpcore.AsyncNetworkStream:
        for address in await self.admit(host, port):
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await self._network.connect_tcp(address, port, _CONNECT_SECONDS)
        raise httpcore.ConnectError


def parse(url: str) -> httpx.URL:
    """A URL that can be fetched; a Fault where it is none."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        raise invalid("url", "the address cannot be read as a URL; check its spelling") from None
    if not parsed.scheme:
        raise invalid("url", "the address has no scheme; write http://host/path")
    if parsed.scheme not in ("http", "https"):
        raise invalid("url", f"{parsed.scheme!r:.20} is no scheme that is fetched; give http(s)")
    if parsed.userinfo:
        raise invalid("url", "the URL has a user name or password; give one without")
    if not _HOST.fullmatch(_host(parsed)):
        raise invalid("url", "the URL has no valid host; write http://host/path")
    if parsed.port is not None and not 1 <= parsed.port <= 65535:
        raise invalid("url", f"port {parsed.port} is out of range; give 1 to 65535")
    return parsed


def _host(url: httpx.URL) -> str:
    return url.raw_host.decode("ascii")


def _plain(host: str) -> str:
    return host.lower().strip("[]").removesuffix(".")


def _next(target: httpx.URL, location: str) -> httpx.URL:
    try:
        return parse(urljoin(str(target), location))
    except (Fault, ValueError):
        raise _unreachable(target, "redirects to what is no http(s) address") from None


@asynccontextmanager
async def _within(seconds: float, target: httpx.URL) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise _unreached(target, f"took more than {seconds:g} seconds; try again") from None


async def _content(
    reply: httpcore.Response, target: httpx.URL, limit: int, write: Write | None = None
) -> bytes:
    if not 200 <= reply.status < 300:
        raise _unreachable(target, f"answered {reply.status}; give an address open to everybody")
    if _header(reply, "content-encoding").lower() not in ("", "identity"):
        raise _unreachable(target, "answered with compressed data, which was not asked for")
    content, announced, got = bytearray(), int(_header(reply, "content-length") or 0), 0
    if announced <= limit:
        async for chunk in reply.aiter_stream():
            got += len(chunk)
            if got > limit:
                break
            if write is None:
                content += chunk
            else:
                await write(chunk)
    if max(announced, got) > limit:
        what = f"the file from {_host(target)} has more than {limit} bytes; give a smaller one"
        raise Fault(Kind.TOO_LARGE, what)
    return bytes(content)


@contextmanager
def _discreet(local: bool, origin: httpx.URL) -> Iterator[None]:
    """Tells strangers of every place that was not reached in the same words."""
    try:
        yield
    except Unreached as fault:
        if local:
            raise
        host = _host(origin)
        log.info("a place that a caller named was not reached, %s: %s", host, fault)
        raise Fault(Kind.UNREACHABLE, _NOT_FETCHED.format(host=host)) from None


def _pool(gate: Gate, tls: ssl.SSLContext) -> httpcore.AsyncConnectionPool:
    # Without a word about proxies: through one, the host would be looked up elsewhere.
    return httpcore.AsyncConnectionPool(
        ssl_context=tls, max_keepalive_connections=0, network_backend=gate
    )


def _header(reply: httpcore.Response, name: str) -> str:
    values = (value for key, value in reply.headers if key.lower() == name.encode())
    return next(values, b"").decode("latin-1").strip()


def _content_type(reply: httpcore.Response) -> str:
    declared = _header(reply, "content-type").partition(";")[0].strip().lower()
    return declared if _MEDIA_TYPE.fullmatch(declared) else "application/octet-stream"


def _name(url: httpx.URL) -> str:
    segment = unquote(url.raw_path.partition(b"?")[0].rpartition(b"/")[2].decode("ascii"))
    return re.sub(r"[^\w.-]+", "_", segment, flags=re.ASCII).strip("._")[-100:] or "file"


def _what(error: Exception) -> str:
    # The pool forgets the cause of an error, though not where it arose.
    if isinstance(error, ssl.SSLError) or isinstance(error.__context__, ssl.SSLError):
        return "has no TLS that can be trusted; check its certificate"
    if isinstance(error, httpcore.ConnectError):
        return "accepts no connection; check host and port"
    return "broke off or did not speak HTTP; try again"


def _unreachable(target: httpx.URL, what: str) -> Fault:
    return Fault(Kind.UNREACHABLE, f"{_host(target)} {what}")


def _unreached(target: httpx.URL, what: str) -> Fault:
    return Unreached(Kind.UNREACHABLE, f"{_host(target)} {what}")
