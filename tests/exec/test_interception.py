"""The proxy of `imagemill exec`, with real clients and real TLS on this machine."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import websockets

from imagemill.exec.interception import ConnectionOutcome, InterceptionPolicy, Proxy, proxying
from imagemill.exec.tunnels import AGREED, Above, Destination, basic
from imagemill.tls import Authority

anyio = pytest.mark.anyio

LISTED = "fal.run"
SECRET = basic("me", "s3cret")  # what the program was given
PROOF = f"proxy-authorization: {SECRET}\r\n"
OTHER = "localhost"  # what a name of elsewhere is to the proxy: one that is not listed
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """Answers every request with what came, and tells who hung up."""

    port: int = 0
    heads: list[str] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head.decode())
                size = int(httpx.Headers(_lines(head)).get("content-length", 0))
                body = await reader.readexactly(size) or head.partition(b"\r\n")[0]
                length = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n"
                writer.write(length.encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left.set()
        finally:
            writer.close()


def _lines(head: bytes) -> list[tuple[str, str]]:
    lines = [line.partition(": ") for line in head.decode().splitlines()[1:] if line]
    return [(name, value) for name, _, value in lines]


@asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[int]:
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.keep(tmp_path / "tls", [LISTED], time.time)


def certificate(authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.leaf([LISTED]))
    return context


@dataclass(frozen=True)
class Scene:
    proxy: Proxy
    server: Server
    trust: ssl.SSLContext

    @property
    def url(self) -> str:
        return f"http://me:s3cret@127.0.0.1:{self.proxy.port}"

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(proxy=self.url, verify=self.trust, trust_env=False)

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.proxy.port)

    async def tunnel(self, to: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection on which the proxy has agreed to reach `to`."""
        reader, writer = await self.raw()
        writer.write(f"CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n{PROOF}\r\n".encode())
        assert await reader.readuntil(b"\r\n\r\n") == AGREED
        return reader, writer


@asynccontextmanager
async def scene(
    authority: Authority,
    talk: Talk | None = None,
    *,
    port: int = 0,
    offline: bool = False,
    above: Above | None = None,
) -> AsyncIterator[Scene]:
    """Nothing is left of anybody's connections when it ends."""
    server = Server()
    async with listening(talk or server.talk) as server.port:
        here = Destination("127.0.0.1", port or server.port)
        trust = ssl.create_default_context(cafile=authority.bundle())
        policy = InterceptionPolicy(
            {LISTED}, here, certificate(authority), SECRET, offline, above,
            direct=certificate(authority),
        )  # fmt: skip
        async with proxying(policy) as proxy:
            yield Scene(proxy, server, trust)
        while not proxy.idle:  # a connection ends in a later turn
            await asyncio.sleep(0)


@anyio
async def test_a_listed_host_is_answered_by_the_server_as_if_it_were_that_host(
    authority: Authority,
) -> None:
    async with scene(authority) as stage:
        async with stage.client() as client:
            replies = [await client.post(f"https://{LISTED}/a/b?c", content="hello")]
            replies.append(await client.get(f"https://{LISTED}/again"))
        assert [reply.text for reply in replies] == ["hello", "GET /again HTTP/1.1"]
        assert stage.server.heads[0].startswith("POST /a/b?c HTTP/1.1\r\nHost: fal.run\r\n")
        # The connection was kept.
        assert stage.proxy.counts == {(ConnectionOutcome.ANSWERED, LISTED): 1}


@anyio
async def test_megabytes_pass_in_both_directions_as_they_are(authority: Authority) -> None:
    body = bytes(range(256)) * 2**15
    async with scene(authority) as stage, stage.client() as client:
        assert (await client.post(f"https://{LISTED}/", content=body)).content == body


@anyio
async def test_plain_http_to_a_listed_host_is_answered_too(authority: Authority) -> None:
    async with scene(authority) as stage:
        async with stage.client() as client:
            reply = await client.get(f"http://{LISTED}/a?b=c", headers={"Proxy-Secret": "s"})
        assert reply.text == "GET /a?b=c HTTP/1.1"
        assert "proxy-secret" not in stage.server.heads[0].lower()
        assert "connection: close" in stage.server.heads[0]


@anyio
async def test_a_whole_https_address_without_a_tunnel_is_answered_as_some_clients_ask_so(
    authority: Authority,
) -> None:
    async with scene(authority) as stage:
        reader, writer = await stage.raw()
        writer.write(f"GET https://fal.run HTTP/1.0\r\nhost: fal.run\r\n{PROOF}\r\n".encode())
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        writer.close()
        assert stage.server.heads[0].startswith("GET / HTTP/1.0\r\n")


WRONG = (
    "",
    "proxy-authorization: Basic\r\n",
    f"proxy-authorization: {basic('me', 'guess')}\r\n",
    f"proxy-authorization: {basic('', '')}\r\n",
    f"authorization: {SECRET}\r\n",
    PROOF * 2,
)


@anyio
@pytest.mark.parametrize("proof", WRONG)
@pytest.mark.parametrize("scheme", ["CONNECT", "http", "https"])
async def test_who_was_not_given_the_secret_is_led_nowhere(
    authority: Authority, scheme: str, proof: str
) -> None:
    async with scene(authority) as stage:
        for host in (f"{LISTED}:443", f"{LISTED}:80", f"127.0.0.1:{stage.server.port}"):
            target = host if scheme == "CONNECT" else f"{scheme}://{host}/"
            verb = "CONNECT" if scheme == "CONNECT" else "GET"
            reader, writer = await stage.raw()
            writer.write(f"{verb} {target} HTTP/1.1\r\n{proof}\r\n".encode())
            told = await reader.read()
            assert told.startswith(b"HTTP/1.1 407 imagemill exec serves the program that it runs")
            assert b"\r\nproxy-authenticate: Basic realm=" in told
            writer.close()
        assert not stage.server.heads
        assert not stage.proxy.counts


@anyio
async def test_the_secret_reaches_nobody_else(authority: Authority) -> None:
    async with (
        beyond(authority) as (outside, above),
        scene(authority, above=above) as stage,
        stage.client() as client,
    ):
        await client.get(f"http://{LISTED}/")
        await client.get(f"https://{LISTED}/")
        await client.get("http://example.com/")
    for head in (*stage.server.heads, *outside.heads):
        assert SECRET not in head


@anyio
async def test_other_hosts_are_reached_with_the_certificate_that_they_have(
    authority: Authority,
) -> None:
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.load_cert_chain(*authority.leaf([]))
    elsewhere = Server()
    other = await asyncio.start_server(elsewhere.talk, "127.0.0.1", 0, ssl=theirs)
    async with other, scene(authority) as stage, stage.client() as client:
        port = other.sockets[0].getsockname()[1]
        reply = await client.get(f"https://{OTHER}:{port}/there")
        assert reply.text == "GET /there HTTP/1.1"
        assert stage.proxy.counts == {(ConnectionOutcome.PASSED, OTHER): 1}
        assert not stage.server.heads


@anyio
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_offline_other_hosts_are_refused_in_words_that_clients_show(
    authority: Authority, scheme: str
) -> None:
    async with scene(authority, offline=True) as stage, stage.client() as client:
        told = "imagemill exec --offline does not let through example.com"
        if scheme == "https":
            with pytest.raises(httpx.ProxyError, match=f"403 {told}"):
                await client.get("https://example.com/")
        else:
            reply = await client.get("http://example.com/")
            assert (reply.status_code, reply.text) == (403, f"{told}\n")
        assert stage.proxy.counts == {(ConnectionOutcome.REFUSED, "example.com"): 1}


@anyio
async def test_offline_this_machine_is_still_reached(authority: Authority) -> None:
    async with scene(authority, offline=True) as stage, stage.client() as client:
        reply = await client.get(f"http://127.0.0.1:{stage.server.port}/own")
    assert reply.text == "GET /own HTTP/1.1"


@anyio
async def test_a_listed_host_at_a_strange_port_is_another_service(authority: Authority) -> None:
    async with scene(authority, offline=True) as stage, stage.client() as client:
        with pytest.raises(httpx.ProxyError, match="does not let through"):
            await client.get(f"https://{LISTED}:8443/")


@anyio
async def test_a_host_that_nobody_is_at_is_told(authority: Authority) -> None:
    async with listening(Server().talk) as port:
        pass  # nobody listens there now
    async with scene(authority) as stage, stage.client() as client:
        with pytest.raises(httpx.ProxyError, match="502 imagemill exec cannot reach localhost"):
            await client.get(f"https://{OTHER}:{port}/")
        assert stage.proxy.counts == {(ConnectionOutcome.UNREACHED, OTHER): 1}


@anyio
@pytest.mark.parametrize(
    ("head", "told"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 imagemill exec is a proxy here"),
        (b"CONNECT [::1 HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 that is no address"),
        (b"CONNECT fal.run:99999 HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 that is no address"),
        (b"GET ftp://fal.run/ HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 imagemill exec is a proxy"),
        (b"\x16\x03\x01 hello\r\n\r\n", b"HTTP/1.1 400 that is no HTTP/1.1"),
        (
            f"CONNECT fal.run:443 HTTP/1.1\r\n{PROOF}\r\n\x16".encode(),
            b"HTTP/1.1 400 TLS began before",
        ),
        (b"x" * 70_000, b"HTTP/1.1 431 the head of the request is too long"),
    ],
)
async def test_what_cannot_be_understood_is_refused(
    authority: Authority, head: bytes, told: bytes
) -> None:
    async with scene(authority) as stage:
        reader, writer = await stage.raw()
        writer.write(head)
        assert (await reader.readline()).startswith(told)
        writer.close()


@anyio
async def test_websockets_pass(authority: Authority) -> None:
    async def echo(socket: websockets.ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    async with websockets.serve(echo, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with (
            scene(authority, port=port) as stage,
            websockets.connect(f"wss://{LISTED}/a", proxy=stage.url, ssl=stage.trust) as socket,
        ):
            for message in ("hello", b"\x00" * 2**19):
                await socket.send(message)
                assert await socket.recv() == message


@anyio
async def test_who_has_said_all_still_hears_the_answer(authority: Authority) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = await reader.read()  # until nothing more comes
        writer.write(b"you said " + said)
        writer.close()

    async with listening(reply) as port, scene(authority) as stage:
        reader, writer = await stage.tunnel(f"127.0.0.1:{port}")
        writer.write(b"all")
        writer.write_eof()
        assert await reader.read() == b"you said all"
        writer.close()


@anyio
async def test_a_server_may_speak_first_and_end_first(authority: Authority) -> None:
    heard = asyncio.Event()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        writer.write_eof()
        assert await reader.read() == b"bye"
        heard.set()
        writer.close()

    async with listening(greet) as port, scene(authority) as stage:
        reader, writer = await stage.tunnel(f"127.0.0.1:{port}")
        assert await reader.read() == b"220 hello\r\n"
        writer.write(b"bye")
        writer.write_eof()
        await heard.wait()
        writer.close()


@anyio
@pytest.mark.parametrize("to", [f"{LISTED}:443", f"{LISTED}:80"])
async def test_the_server_learns_that_a_caller_has_hung_up(authority: Authority, to: str) -> None:
    async with scene(authority) as stage:
        _, writer = await stage.tunnel(to)
        if to.endswith(":443"):
            await writer.start_tls(stage.trust, server_hostname=LISTED)
        writer.write(b"POST / HTTP/1.1\r\nhost: fal.run\r\ncontent-length: 9\r\n\r\nhalf")
        await writer.drain()
        writer.transport.abort()
        await stage.server.left.wait()


@anyio
async def test_a_caller_learns_that_the_server_has_hung_up(authority: Authority) -> None:
    async def vanish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    async with scene(authority, vanish) as stage, stage.client() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"https://{LISTED}/")


@anyio
@pytest.mark.parametrize(
    "said", [b"", b"CONNECT fal.run:4", f"CONNECT fal.run:443 HTTP/1.1\r\n{PROOF}\r\n".encode()]
)
async def test_nothing_is_left_of_callers_who_vanish_at_once(
    authority: Authority, said: bytes
) -> None:
    async with scene(authority) as stage:
        for _ in range(20):
            _, writer = await stage.raw()
            writer.write(said)
            writer.transport.abort()
        async with stage.client() as client:  # and others are served
            assert (await client.get(f"https://{LISTED}/")).status_code == 200


@anyio
async def test_who_hangs_up_amid_the_handshake_leaves_nothing(authority: Authority) -> None:
    async with scene(authority) as stage:
        _, writer = await stage.tunnel(f"{LISTED}:443")
        writer.write(b"\x16\x03\x01\x02\x00")  # the beginning of one
        writer.close()
        await writer.wait_closed()
        await stage.server.left.wait()
        assert stage.proxy.counts == {(ConnectionOutcome.BROKEN_OFF, LISTED): 1}


@anyio
async def test_a_caller_who_does_not_trust_us_is_counted(authority: Authority) -> None:
    async with scene(authority) as stage:
        stranger = httpx.AsyncClient(proxy=stage.url, trust_env=False)
        async with stranger as client:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get(f"https://{LISTED}/")
        await stage.server.left.wait()
        assert stage.proxy.counts == {(ConnectionOutcome.BROKEN_OFF, LISTED): 1}


@anyio
async def test_what_is_open_at_the_end_is_hung_up_on(authority: Authority) -> None:
    async with scene(authority) as stage:
        silent = await stage.raw()
        joined = await stage.tunnel(f"{LISTED}:80")
        unshaken = await stage.tunnel(f"{LISTED}:443")
    for reader, writer in (silent, joined, unshaken):
        assert await reader.read() == b""
        writer.close()


@asynccontextmanager
async def beyond(authority: Authority) -> AsyncIterator[tuple[Server, Above]]:
    """A proxy that this machine needs to get out; it resolves every name to one server."""
    outside = Server()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        outside.heads.append(head.decode())
        if head.startswith(b"CONNECT no."):
            writer.write(b"HTTP/1.1 407 who are you\r\n\r\n")
        elif head.startswith(b"CONNECT"):
            writer.write(b"HTTP/1.1 200 ok\r\n\r\n")
            return await outside.talk(reader, writer)
        else:
            writer.write(b"HTTP/1.1 204 ok\r\n\r\n")
        writer.close()
        return None

    async with listening(talk) as port:
        yield outside, Above.at(urlsplit(f"http://me:p%40ss@127.0.0.1:{port}"))


CREDENTIAL = "proxy-authorization: Basic bWU6cEBzcw=="  # me:p@ss


@anyio
async def test_other_hosts_are_reached_by_the_proxy_that_is_needed_anyway(
    authority: Authority,
) -> None:
    async with beyond(authority) as (outside, above), scene(authority, above=above) as stage:
        reader, writer = await stage.tunnel("example.com:443")
        writer.write(b"GET /secret HTTP/1.1\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        writer.close()
        async with stage.client() as client:
            assert (await client.get(f"https://{LISTED}/")).status_code == 200
            assert (await client.get("http://example.com/plain")).status_code == 204
            with pytest.raises(httpx.ProxyError, match="502 imagemill exec cannot reach"):
                await client.get("https://no.where/")
    assert outside.heads[0].startswith("CONNECT example.com:443 HTTP/1.1\r\n")
    assert outside.heads[2].startswith("GET http://example.com/plain HTTP/1.1\r\n")
    assert all(CREDENTIAL in outside.heads[i] for i in (0, 2, 3))
    assert len(stage.server.heads) == 1  # a listed host never goes there


def test_curl_trusts_the_bundle(authority: Authority, tmp_path: Path) -> None:
    async def ask() -> bytes:
        async with scene(authority) as stage:
            curl = await asyncio.create_subprocess_exec(
                "curl", "--silent", "--show-error", f"https://{LISTED}/x",
                env={"https_proxy": stage.url, "CURL_CA_BUNDLE": str(authority.bundle())},
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            said, _ = await curl.communicate()
            return said

    assert asyncio.run(ask()) == b"GET /x HTTP/1.1"
