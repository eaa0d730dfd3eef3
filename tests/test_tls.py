"""HTTPS on this machine: the authority, its certificate, and clients that trust it."""

import asyncio
import os
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import certifi
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from imagemill.errors import Fault, Kind
from imagemill.exec.surroundings import exports
from imagemill.tls import Authority

anyio = pytest.mark.anyio

PERMITTED_SUBTREE_VIOLATION = 47  # OpenSSL's number of the error
PATH_LENGTH_EXCEEDED = 25
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
ANSWER = HEAD + b'content-length: 13\r\n\r\n{"images":[]}'
DAY = timedelta(days=1)


def make_authority(folder: Path, *names: str, clock: Callable[[], float] = time.time) -> Authority:
    return Authority.keep(folder / "tls", names, clock)


def pem_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes = b"") -> bytes:
    lock = serialization.BestAvailableEncryption(password) if password else None
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        lock or serialization.NoEncryption(),
    )


def certificate_for(
    authority: Authority, name: x509.GeneralName, *, ca: bool = False
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """What a thief of the authority's key could make."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    told = "an authority" if ca else "a server"
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, told)])
    made = (
        x509.CertificateBuilder()
        .subject_name(named)
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return made, key


def stored(folder: Path, certificates: list[x509.Certificate], key: bytes) -> tuple[Path, Path]:
    chain = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)
    (folder / "chain.pem").write_bytes(chain)
    (folder / "chain.key").write_bytes(key)
    return folder / "chain.pem", folder / "chain.key"


@asynccontextmanager
async def serving(certificate: Path, key: Path) -> AsyncIterator[int]:
    """An HTTPS server of one answer; gives its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
            writer.write(ANSWER)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):  # the client refused us
            pass
        finally:
            writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def greet(port: int, name: str, trusted: Path, *, strict: bool = True) -> None:
    """One handshake with the server at `port` by the name `name`."""
    context = ssl.create_default_context(cafile=trusted)
    if strict:  # what newer Pythons ask of every certificate
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    writer.close()
    await writer.wait_closed()


@anyio
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_httpx_trusts_the_server_with_nothing_but_the_bundle(
    tmp_path: Path, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = make_authority(tmp_path)
    async with serving(*authority.leaf([])) as port:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle()))
        async with httpx.AsyncClient() as client:
            reply = await client.get(f"https://{host}:{port}/")
        assert reply.json() == {"images": []}
        monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get(f"https://{host}:{port}/")


@anyio
@pytest.mark.parametrize(
    "name", ["localhost", "127.0.0.1", "::1", "mill.example", "MILL.example", "192.0.2.7"]
)
async def test_every_name_that_was_given_is_served(tmp_path: Path, name: str) -> None:
    names = ["Mill.example", "192.0.2.7"]
    authority = make_authority(tmp_path, *names)
    async with serving(*authority.leaf(names)) as port:
        await greet(port, name, authority.bundle())


@anyio
async def test_a_name_that_was_not_given_is_not_served(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    async with serving(*authority.leaf([])) as port:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            await greet(port, "mill.example", authority.bundle())


@anyio
@pytest.mark.parametrize("name", ["example.com", "10.0.0.1", "::2"])
async def test_what_a_stolen_key_signs_for_other_names_is_refused(
    tmp_path: Path, name: str
) -> None:
    authority = make_authority(tmp_path, "mill.example")
    address = not name.endswith("com")
    wanted = x509.IPAddress(ip_address(name)) if address else x509.DNSName(name)
    certificate, key = certificate_for(authority, wanted)
    async with serving(*stored(tmp_path, [certificate], pem_of(key))) as port:
        with pytest.raises(ssl.SSLCertVerificationError) as refusal:
            await greet(port, name, authority.bundle(), strict=False)
    assert refusal.value.verify_code == PERMITTED_SUBTREE_VIOLATION


@anyio
async def test_a_stolen_key_makes_no_further_authorities(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    middle, middle_key = certificate_for(authority, x509.DNSName("localhost"), ca=True)
    below = Authority(tmp_path / "tls", middle, middle_key, time.time)
    leaf, key = certificate_for(below, x509.DNSName("localhost"))
    async with serving(*stored(tmp_path, [leaf, middle], pem_of(key))) as port:
        with pytest.raises(ssl.SSLCertVerificationError) as refusal:
            await greet(port, "localhost", authority.bundle(), strict=False)
    assert refusal.value.verify_code == PATH_LENGTH_EXCEEDED


@anyio
async def test_the_printed_lines_are_all_that_fal_s_own_client_needs(tmp_path: Path) -> None:
    authority = make_authority(tmp_path / "a folder; with $signs")
    async with serving(*authority.leaf([])) as port:
        lines = exports(authority, f"https://localhost:{port}")
        call = f'{lines}\nexec {sys.executable} -c "$0"'
        code = "import fal_client; print(fal_client.run('fal-ai/flux/dev', {'prompt': 'a cat'}))"
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", call, code),
            stdout=subprocess.PIPE,
            env={"FAL_KEY": "k", "PATH": os.environ["PATH"]},
        )
        printed, _ = await process.communicate()
    assert printed.decode().strip() == "{'images': []}"


def test_the_printed_lines_name_bundle_hosts_and_the_file_for_node(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    assert exports(make_authority(tmp_path), "https://0.0.0.0:8443/").splitlines() == [
        f"export SSL_CERT_FILE={folder}/bundle.pem",
        "export FAL_RUN_HOST=localhost:8443/fal/run",
        "export FAL_QUEUE_RUN_HOST=localhost:8443/fal/queue",
        f"# Node: export NODE_EXTRA_CA_CERTS={folder}/ca.pem",
    ]


@pytest.mark.parametrize(
    ("url", "at"),
    [
        ("https://localhost", "localhost:443"),
        ("https://[::1]:1", "[::1]:1"),
        ("https://[::]:1", "localhost:1"),
        ("https://Mill.example:2/deep/", "mill.example:2/deep"),
    ],
)
def test_an_address_is_told_as_fal_s_client_takes_it(tmp_path: Path, url: str, at: str) -> None:
    lines = exports(make_authority(tmp_path, "mill.example"), url).splitlines()
    assert lines[1] in (f"export FAL_RUN_HOST={at}/fal/run", f"export FAL_RUN_HOST='{at}/fal/run'")


@pytest.mark.parametrize(
    "url",
    ["http://localhost:1", "localhost:1", "", "https://", "https://localhost:x", "https://a.b:1"],
)
def test_an_address_that_cannot_be_trusted_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(Fault) as refusal:
        exports(make_authority(tmp_path), url)
    assert refusal.value.kind is Kind.INVALID


@anyio
async def test_who_trusts_the_authority_of_before_still_trusts_the_server(tmp_path: Path) -> None:
    before = make_authority(tmp_path)
    old_bundle = tmp_path / "old.pem"
    old_bundle.write_bytes(before.bundle().read_bytes())
    after = make_authority(tmp_path, "mill.example")
    async with serving(*after.leaf([])) as port:
        await greet(port, "localhost", old_bundle)
