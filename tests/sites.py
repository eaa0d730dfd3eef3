"""Servers on this machine that answer as a test tells them, and who fetches from them."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from imagemill.errors import Fault, Kind
from imagemill.fetch import Fetcher, Policy
from imagemill.names import Resolve, look_up

POLICY = Policy(seconds=20.0)
METADATA = "169.254.169.254"


# Reading all certificates that the system trusts takes longer than most of these tests.
TRUSTING_NONE = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Site:
    """A server that answers each request by the next of its answers, the last one for ever."""

    def __init__(self, *answers: bytes | Answer) -> None:
        self.answers, self.heard = list(answers), list[bytes]()
        self.port = 0

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heard.append(await reader.readuntil(b"\r\n\r\n"))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if isinstance(answer, bytes):
                writer.write(answer)
            else:
                await answer(reader, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went
        finally:
            writer.close()


@asynccontextmanager
async def open_site(
    *answers: bytes | Answer, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Site]:
    site = Site(*answers)
    server = await asyncio.start_server(site.serve, host, 0, ssl=tls)
    async with server:
        site.port = server.sockets[0].getsockname()[1]
        yield site


def make_answer(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    headers = {"content_length": str(len(body))} | headers
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status} Word", *lines, "", ""]).encode() + body


def redirect(location: str, status: int = 302) -> bytes:
    return make_answer(status, location=location)


@asynccontextmanager
async def open_fetcher(
    policy: Policy = POLICY, resolve: Resolve = look_up, tls: ssl.SSLContext | None = TRUSTING_NONE
) -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(policy, resolve, tls)
    yield fetcher
    await fetcher.close()


def resolving(*found: str) -> Resolve:
    async def resolve(host: str, port: int) -> list[str]:
        return list(found)

    return resolve


async def refused(
    url: str,
    policy: Policy = POLICY,
    resolve: Resolve = look_up,
    kind: Kind = Kind.UNREACHABLE,
    max_bytes: int | None = None,
    local: bool = True,
) -> str:
    async with open_fetcher(policy, resolve) as fetcher:
        with pytest.raises(Fault) as caught:
            await fetcher.get(url, max_bytes, local)
    assert caught.value.kind is kind
    assert len(caught.value.message) < 400
    return caught.value.message


def not_fetched(host: str) -> str:
    """All that a stranger is told of a place that was not spoken with."""
    return (
        f"{host} could not be fetched; it needs a public address, a server that answers in time, "
        "and for https a certificate that is trusted here"
    )


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A byte at a time and no end: no single read ever waits long."""
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not reader.at_eof():
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0)


def make_tls(folder: Path) -> tuple[ssl.SSLContext, str, list[str]]:
    """A server's context, its certificate for files.test, and the names that clients ask for."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "files.test")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("files.test")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "both.pem").write_bytes(certificate + secret)
    context, names = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), list[str]()
    context.load_cert_chain(folder / "both.pem")
    context.sni_callback = lambda socket, asked, own: names.append(asked)
    return context, certificate.decode(), names
