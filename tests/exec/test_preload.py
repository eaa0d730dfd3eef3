"""What Python and Node load before a program under `imagemill exec`."""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from imagemill.exec.surroundings import FOLDER, LEADING, PRELOAD, leading
from imagemill.tls import Authority

LISTED, PORTS = "fal.run", {443: 1443, 80: 1080}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.keep(tmp_path / "ours", [LISTED], time.time)


def environment(authority: Authority, offline: bool = False, *paths: Path) -> dict[str, str]:
    around = {"NO_PROXY": "127.0.0.1,::1,localhost,.example.org"}
    facts = leading(around, [LISTED], PORTS, authority.folder / "ca.pem", offline)
    python = os.pathsep.join(map(str, [FOLDER, *paths]))
    return {**os.environ, **facts, "PYTHONPATH": python}


def said(code: str, variables: dict[str, str]) -> str:
    run = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


TRIES = """
import socket
def tried(work, *args):
    try:
        return work(*args)
    except OSError as error:
        return f"{type(error).__name__}: {error}"
"""


def test_a_file_of_the_same_name_is_loaded_too_and_no_trace_left(
    authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('theirs')")
    code = f"import sys; print({str(FOLDER)!r} in sys.path, 'socket' in sys.modules)"
    assert said(code, environment(authority, False, tmp_path)) == "theirs\nFalse False\n"


def test_python_is_left_alone_where_nobody_tells_it_of_us(authority: Authority) -> None:
    variables = environment(authority)
    del variables[LEADING]
    assert said("import socket; print('connect' in vars(socket.socket))", variables) == "False\n"


def test_a_listed_host_stands_at_its_usual_ports_alone(authority: Authority) -> None:
    code = f"""{TRIES}
address = socket.gethostbyname("FAL.run.")
print(address, socket.getaddrinfo("fal.run", "https", type=socket.SOCK_STREAM)[0][4])
print(tried(socket.socket().connect, (address, 8443)))
print(tried(socket.socket().connect, ("fal.run", 443)))
"""
    lines = said(code, environment(authority)).splitlines()
    assert lines[0] == "127.77.0.1 ('127.77.0.1', 443)"
    assert lines[1].startswith("ConnectionRefusedError: [Errno 111] imagemill exec answers for fal")
    assert lines[2] == "ConnectionRefusedError: [Errno 111] Connection refused"  # nobody at 1443


def test_offline_python_refuses_the_web_of_others_and_nothing_else(authority: Authority) -> None:
    code = f"""{TRIES}
for host, port in (
    ("203.0.113.9", 443), ("203.0.113.9", 80), ("203.0.113.9", 5432), ("localhost", 443),
    ("0.0.0.0", 80), ("fal.run", 443),
):
    answer = tried(socket.getaddrinfo, host, port)
    print(answer if isinstance(answer, str) else "let through")
"""
    refused = "gaierror: [Errno -4] imagemill exec --offline does not let through 203.0.113.9"
    assert said(code, environment(authority, offline=True)).splitlines() == [
        refused, refused, "let through", "let through", "let through", "let through",
    ]  # fmt: skip


class Impostor(threading.Thread):
    """Somebody who has a certificate for a listed host that is not ours."""

    def __init__(self, authority: Authority) -> None:
        super().__init__(daemon=True)
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.tls.load_cert_chain(*authority.leaf([LISTED]))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.heard = b""

    def run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                with suppress(OSError), self.tls.wrap_socket(connection, True) as secured:
                    self.heard += secured.recv(100)


@pytest.fixture
def impostor(tmp_path: Path) -> Iterator[Impostor]:
    thread = Impostor(Authority.keep(tmp_path / "theirs", [LISTED], time.time))
    thread.start()
    yield thread
    thread.listener.close()


@pytest.mark.parametrize("wrapped", ["wrap_socket", "asyncio"])
def test_nothing_is_said_in_python_to_who_has_not_our_certificate_though_nobody_verifies(
    authority: Authority, impostor: Impostor, wrapped: str
) -> None:
    code = f"""{TRIES}
import asyncio, ssl
tls = ssl._create_unverified_context()
def by_wrap_socket():
    connection = socket.create_connection(("127.0.0.1", {impostor.port}))
    tls.wrap_socket(connection, server_hostname="fal.run").sendall(b"secret")
async def connected():
    place = "127.0.0.1", {impostor.port}
    _, writer = await asyncio.open_connection(*place, ssl=tls, server_hostname="fal.run")
    writer.write(b"secret")
    await writer.drain()
print(tried(by_wrap_socket if {wrapped == "wrap_socket"} else lambda: asyncio.run(connected())))
"""
    assert "CERTIFICATE_VERIFY_FAILED" in said(code, environment(authority))
    assert impostor.heard == b""


def test_nothing_is_said_in_node_to_who_has_not_our_certificate_though_nobody_verifies(
    authority: Authority, impostor: Impostor
) -> None:
    code = f"""
const tls = require("node:tls");
const options = {{ servername: "fal.run", rejectUnauthorized: false }};
const socket = tls.connect({impostor.port}, "127.0.0.1", options, () => socket.write("secret"));
socket.on("error", (error) => console.log(error.code));
"""
    run = subprocess.run(
        ["node", "--require", str(PRELOAD), "--eval", code],
        env=environment(authority), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.strip() in {"UNABLE_TO_VERIFY_LEAF_SIGNATURE", "SELF_SIGNED_CERT_IN_CHAIN"}
    assert impostor.heard == b""


def test_offline_node_refuses_the_web_of_others(authority: Authority) -> None:
    code = """
const net = require("node:net");
const asked = (port, host) =>
  net.connect(port, host).on("error", (error) => console.log(port, error.message));
asked(443, "203.0.113.9");
asked(80, "www.example.com");
"""
    run = subprocess.run(
        ["node", "--require", str(PRELOAD), "--eval", code],
        env=environment(authority, offline=True), capture_output=True, text=True, check=True,
    )  # fmt: skip
    refused = "imagemill exec --offline does not let through"
    assert run.stdout.splitlines() == [
        f"443 {refused} 203.0.113.9", f"80 {refused} www.example.com",
    ]  # fmt: skip


def test_the_variable_holds_what_both_read(authority: Authority) -> None:
    facts = json.loads(environment(authority, offline=True)[LEADING])
    assert facts["hosts"] == [LISTED]
    assert facts["ports"] == {"443": 1443, "80": 1080}
    assert facts["around"] == ["127.0.0.1", "::1", "localhost", ".example.org"]
