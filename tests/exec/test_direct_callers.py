"""Who knows of no proxy, and was led here by the name of a listed host."""

import asyncio
import ssl

import pytest

from imagemill.exec.interception import ConnectionOutcome
from imagemill.tls import Authority
from tests.exec.test_interception import LISTED, Scene, anyio, scene
from tests.exec.test_interception import authority as authority

ASKED = b"GET /a?b HTTP/1.1\r\nhost: fal.run\r\n\r\n"
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def secured(stage: Scene, name: str, trust: ssl.SSLContext | None = None) -> Connection:
    port, tls = stage.proxy.secure_port, trust or stage.trust
    return await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)


async def told(connection: Connection, request: bytes) -> bytes:
    reader, writer = connection
    writer.write(request)
    await reader.readuntil(b"\r\n\r\n")
    line = await reader.read(100)
    writer.close()
    return line


@anyio
async def test_tls_with_a_listed_name_is_answered_by_the_server(authority: Authority) -> None:
    async with scene(authority, offline=True) as stage:
        assert await told(await secured(stage, LISTED), ASKED) == b"GET /a?b HTTP/1.1"
        assert await told(await secured(stage, "FAL.RUN"), ASKED) == b"GET /a?b HTTP/1.1"
        assert stage.proxy.counts == {(ConnectionOutcome.ANSWERED, LISTED): 2}


@anyio
@pytest.mark.parametrize("name", ["localhost", "example.com"])
async def test_tls_with_another_name_is_for_nobody(authority: Authority, name: str) -> None:
    async with scene(authority) as stage:
        with pytest.raises(ConnectionError):
            await secured(stage, name)
        assert not stage.server.heads
        assert not stage.proxy.counts


@anyio
async def test_a_caller_who_does_not_trust_us_is_counted_by_the_name(authority: Authority) -> None:
    async with scene(authority) as stage:
        with pytest.raises(ssl.SSLCertVerificationError):
            await secured(stage, LISTED, ssl.create_default_context())
        await stage.server.left.wait()
        assert stage.proxy.counts == {(ConnectionOutcome.BROKEN_OFF, LISTED): 1}


@anyio
async def test_plain_http_with_a_listed_name_is_answered_without_the_secret(
    authority: Authority,
) -> None:
    async with scene(authority, offline=True) as stage:
        assert await told(await stage.raw(), ASKED) == b"GET /a?b HTTP/1.1"
        assert stage.server.heads[0].startswith("GET /a?b HTTP/1.1\r\nhost: fal.run\r\n")
        assert stage.proxy.counts == {(ConnectionOutcome.ANSWERED, LISTED): 1}


@anyio
@pytest.mark.parametrize("host", ["", "example.com", "127.0.0.1", "fal.run:8443", "fal.run@a.com"])
async def test_plain_http_with_another_name_is_led_nowhere(authority: Authority, host: str) -> None:
    async with scene(authority) as stage:
        reader, writer = await stage.raw()
        writer.write(f"GET / HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
        writer.close()
        assert not stage.server.heads
        assert not stage.proxy.counts


@anyio
async def test_what_is_open_at_the_end_is_hung_up_on(authority: Authority) -> None:
    async with scene(authority) as stage:
        joined = await secured(stage, LISTED)
        silent = await asyncio.open_connection("127.0.0.1", stage.proxy.secure_port)
    for reader, writer in (joined, silent):
        assert await reader.read() == b""
        writer.close()
