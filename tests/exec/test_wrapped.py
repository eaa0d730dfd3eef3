"""`imagemill exec`: programs run with the hosted APIs answered, and know nothing of it."""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
import uvicorn
from cryptography import x509

from imagemill.app import create_app
from imagemill.errors import Fault
from imagemill.exec.calls import AnsweredCall, calls, summary
from imagemill.exec.interception import ConnectionOutcome
from imagemill.exec.surroundings import LEADING, PRELOAD, above, environment, roots
from imagemill.http.hosts import HOSTS
from imagemill.settings import Settings
from tests.engines import PlainEngine

IMAGEMILL = (sys.executable, "-m", "imagemill")
SERVER, PROXY = "http://127.0.0.1:8000", "http://127.0.0.1:1234"
PAINT = """
import io, requests
from PIL import Image
asked = {"inputs": "a cat", "parameters": {"width": 64, "height": 128}}
url = "https://router.huggingface.co/hf-inference/models/black-forest-labs/FLUX.1-dev"
reply = requests.post(url, json=asked, timeout=60)
print(Image.open(io.BytesIO(reply.content)).size)
"""
PAINT_IN_NODE = """
const url = "https://router.huggingface.co/hf-inference/models/black-forest-labs/FLUX.1-dev";
const reply = await fetch(url, { method: "POST", body: JSON.stringify({ inputs: "a cat" }) });
console.log(reply.status, reply.headers.get("content-type"), reply.url === url);
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that runs already, in a thread; it paints one colour."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"))
    app = create_app(settings, PlainEngine())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        running.should_exit = True
        thread.join()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the authority is kept."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path / "imagemill"


def wrapped(server: str, *command: str, options: tuple[str, ...] = ()) -> list[str]:
    return [*IMAGEMILL, "exec", "--url", server, *options, "--", *command]


def ran(
    server: str, *command: str, options: tuple[str, ...] = (), said: str = ""
) -> subprocess.CompletedProcess[str]:
    line = wrapped(server, *command, options=options)
    return subprocess.run(line, input=said, capture_output=True, text=True, check=False)


def environed(*, hosts: tuple[str, ...] = ("fal.run",), **inherited: str) -> dict[str, str]:
    return environment(inherited, SERVER, PROXY, Path("roots.pem"), hosts)


def test_clients_are_led_to_the_proxy_and_trust_it() -> None:
    found = environed()
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        assert found[name] == PROXY
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"):
        assert found[name] == "roots.pem"
    assert found["NO_PROXY"] == found["no_proxy"] == "127.0.0.1,::1,localhost"
    assert (found["IMAGEMILL_URL"], found["NODE_USE_ENV_PROXY"]) == (SERVER, "1")


def test_addresses_that_the_shell_has_put_in_place_of_the_hosted_ones_are_put_back() -> None:
    found = environed(
        FAL_RUN_HOST="localhost:8443/fal/run",
        HF_ENDPOINT="https://mirror.example.com",
        TOGETHER_BASE_URL="https://elsewhere.example.com/v1",
        OPENAI_BASE_URL="https://elsewhere.example.com/v1",
        REPLICATE_BASE_URL="https://elsewhere.example.com",
        HTTPS_PROXY="http://elsewhere.example.com",
    )
    assert "elsewhere" not in " ".join(found.values())
    assert not found.keys() & {"TOGETHER_BASE_URL", "REPLICATE_BASE_URL"}
    assert (found["FAL_RUN_HOST"], found["HF_ENDPOINT"]) == ("fal.run", "https://huggingface.co")


def test_credentials_are_made_up_only_where_there_are_none() -> None:
    found = environed(FAL_KEY="mine", OPENAI_API_KEY="", HF_TOKEN="hf_mine", PATH="/bin")
    assert (found["FAL_KEY"], found["HF_TOKEN"], found["PATH"]) == ("mine", "hf_mine", "/bin")
    assert found["OPENAI_API_KEY"]
    assert found["REPLICATE_API_TOKEN"]
    assert "HF_TOKEN" not in environed()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("internal.example.com, 10.0.0.0/8", ["internal.example.com", "10.0.0.0/8"]),
        ("*", []),
        ("fal.run", []),
        (".run,*.RUN,run,.un", [".un"]),
        ("al.run,not-fal.run", ["al.run", "not-fal.run"]),
    ],
)
def test_who_was_reached_without_a_proxy_still_is_but_for_our_hosts(
    given: str, kept: list[str]
) -> None:
    assert environed(no_proxy=given)["NO_PROXY"].split(",")[3:] == kept


def test_roots_that_the_shell_has_named_are_kept(tmp_path: Path) -> None:
    for name in ("ours", "theirs", "node"):
        (tmp_path / name).write_text(f"{name}\n")
    inherited = {
        "SSL_CERT_FILE": str(tmp_path / "theirs"),
        "REQUESTS_CA_BUNDLE": str(tmp_path / "theirs"),
        "CURL_CA_BUNDLE": str(tmp_path / "nonesuch"),
        "NODE_EXTRA_CA_CERTS": str(tmp_path / "node"),
    }
    assert roots(inherited, tmp_path / "ours") == b"ours\ntheirs\nnode\n"


def test_the_proxy_of_the_shell_is_used_for_other_hosts() -> None:
    found = above({"https_proxy": "http://me:secret@proxy.example.com"})
    assert found is not None
    assert (found.destination.host, found.destination.port) == ("proxy.example.com", 80)
    assert found.credential == "Basic bWU6c2VjcmV0"
    assert above({}) is None
    assert above({"HTTPS_PROXY": "proxy:1", "NO_PROXY": "*"}) is None
    with pytest.raises(Fault, match="HTTPS_PROXY is no http:// proxy; unset it, or use --offline"):
        above({"HTTPS_PROXY": "socks5://127.0.0.1:1080"})


LOG = """\
{"level": "info", "message": "Started server process"}
not JSON
{"level": "info", "message": "", "method": "GET", "path": "/health", "status": 200}
{"level": "info", "message": "", "method": "POST", "path": "/", "status": 200}
{"level": "info", "message": "", "method": "GET", "status": 202, "path": "/fal/queue/a/b/requests/\
0e9b4e3c-7a53-4b8e-9d0c-1f2a3b4c5d6e/status"}
{"level": "info", "message": "", "method": "GET", "status": 202, "path": "/fal/queue/a/b/requests/\
1e9b4e3c-7a53-4b8e-9d0c-1f2a3b4c5d6e/status"}
{"level": "info", "message": "", "method": "GET", "status": 200, "path": "/files/b/3a/x_y.png"}
{"level": "info", "message": "", "method": "GET", "status": 200, \
"path": "/replicate/v1/predictions/rrr4bz4s5hrme0csxl5ahaj5tr"}
"""


def test_the_summary_counts_calls_by_what_was_asked(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(LOG)
    found = calls(tmp_path / "log")
    assert found == {
        AnsweredCall("flat", "POST", "/", 200): 1,
        AnsweredCall("fal", "GET", "/fal/queue/a/b/requests/ID/status", 202): 2,
        AnsweredCall("files", "GET", "/files/ID", 200): 1,
        AnsweredCall("replicate", "GET", "/replicate/v1/predictions/ID", 200): 1,
    }
    counts = Counter(
        {(ConnectionOutcome.PASSED, "pypi.org"): 2, (ConnectionOutcome.ANSWERED, "fal.run"): 5}
    )
    assert list(summary(found, counts)) == [
        "5 calls answered",
        "  fal        GET   /fal/queue/a/b/requests/ID/status  202  2",
        "  files      GET   /files/ID                          200  1",
        "  flat       POST  /                                  200  1",
        "  replicate  GET   /replicate/v1/predictions/ID       200  1",
        "passed through: pypi.org (2)",
    ]
    assert list(summary(Counter(), Counter())) == ["0 calls answered"]
    assert next(summary(None, counts)) == "answered: fal.run (5)"


def test_a_program_gets_a_picture_from_the_hosted_address(server: str, home: Path) -> None:
    run = ran(server, sys.executable, "-c", PAINT, options=("--offline",))
    assert run.stdout == "(64, 128)\n", run.stderr
    assert run.stderr == "imagemill: answered: router.huggingface.co (1)\n"


def test_node_s_fetch_gets_a_picture_from_the_hosted_address(server: str, home: Path) -> None:
    run = ran(server, "node", "--input-type=module", "--eval", PAINT_IN_NODE)
    assert run.stdout == "200 image/jpeg true\n", run.stderr


def test_node_is_left_alone_where_there_is_no_proxy() -> None:
    line = ["node", "--require", str(PRELOAD), "--eval", "console.log(fetch.toString().length)"]
    bare = subprocess.run([line[0], *line[3:]], capture_output=True, check=True).stdout
    clean = {name: value for name, value in os.environ.items() if name != LEADING}
    assert subprocess.run(line, capture_output=True, check=True, env=clean).stdout == bare


def test_input_output_and_exit_code_are_the_program_s_own(server: str, home: Path) -> None:
    run = ran(server, "sh", "-c", "cat; echo told >&2; exit 7", said="hello")
    assert (run.stdout, run.returncode) == ("hello", 7)
    assert run.stderr.splitlines() == ["told", "imagemill: answered: nobody called"]


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("imagemill-nonesuch", 127, "imagemill-nonesuch: there is no such program"),
        ("/", 126, "/: Permission denied"),
    ],
)
def test_what_cannot_be_run_is_told(
    server: str, home: Path, command: str, code: int, told: str
) -> None:
    run = ran(server, command)
    assert run.returncode == code
    assert run.stderr.splitlines()[0] == f"imagemill: {told}"


def test_a_program_that_a_signal_has_ended_is_told_as_shells_do(server: str, home: Path) -> None:
    assert ran(server, "sh", "-c", "kill -KILL $$").returncode == 128 + signal.SIGKILL


HEARING = """
import signal, sys
def hear(number, frame):
    print("heard", signal.Signals(number).name, flush=True)
    sys.exit(5)
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, hear)
print("ready", flush=True)
while True:
    signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_program(server: str, home: Path, number: signal.Signals) -> None:
    line = wrapped(server, sys.executable, "-c", HEARING)
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, start_new_session=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        run.send_signal(number)
        assert run.stdout.read() == f"heard {number.name}\n"
    assert run.returncode == 5


COUNTING = """
import signal
heard = []
signal.signal(signal.SIGINT, lambda *_: (heard.append(1), print("heard", flush=True)))
print("ready", flush=True)
input()
print("in all", len(heard))
"""


def read_until(words: str, output: IO[str]) -> str:
    read = ""
    while words not in read:
        line = output.readline()
        assert line, read
        read += line
    return read


def test_an_interrupt_in_the_terminal_is_heard_once(server: str, home: Path) -> None:
    line = wrapped(server, sys.executable, "-c", COUNTING)
    spawn = f"import pty, sys; sys.exit(pty.spawn({line!r}) >> 8)"
    with subprocess.Popen(
        [sys.executable, "-c", spawn], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        read_until("ready", run.stdout)
        run.stdin.write("\x03")
        run.stdin.flush()
        read_until("heard", run.stdout)
        run.stdin.write("\n")
        run.stdin.flush()
        assert "in all 1" in read_until("in all", run.stdout)
        run.stdin.close()
        run.stdout.read()


@pytest.mark.parametrize(
    ("url", "code", "told"),
    [
        ("localhost:8000", 2, "'localhost:8000' is no address; one is http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/path", 2, "is no address"),
        ("http://127.0.0.1:1", 1, "no imagemill answers at http://127.0.0.1:1; start one there"),
    ],
)
def test_a_server_that_is_none_is_told(home: Path, url: str, code: int, told: str) -> None:
    run = ran(url, "true")
    assert run.returncode == code
    assert told in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_a_server_that_does_not_start_is_told(home: Path, tmp_path: Path) -> None:
    run = subprocess.run(
        [*IMAGEMILL, "exec", "--", "true"],
        env=os.environ | {"IMAGEMILL_QUEUE": "0"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert "imagemill: the server did not start: queue = '0'" in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_the_authority_stays_and_signs_for_the_listed_hosts_alone(server: str, home: Path) -> None:
    ran(server, "true")
    key, certificate = home / "tls-hosts" / "ca.key", home / "tls-hosts" / "ca.pem"
    first = key.read_bytes(), certificate.read_bytes()
    ran(server, "true", options=("--host", "my.example.com"))
    ran(server, "true")
    assert (key.read_bytes(), certificate.read_bytes()) == first
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    extension = x509.load_pem_x509_certificate(first[1]).extensions.get_extension_for_class(
        x509.NameConstraints
    )
    assert extension.critical
    named = {str(each.value) for each in extension.value.permitted_subtrees or ()}
    assert named == {*HOSTS, "localhost", "127.0.0.1/32", "::1/128"}
    assert len(list(home.iterdir())) == 2  # one more, for the set of names with another host


def test_another_host_is_answered_where_it_is_named(server: str, home: Path) -> None:
    code = "import requests; print(requests.get('https://my.example.com/health').json()['ready'])"
    run = ran(server, sys.executable, "-c", code, options=("--offline", "--host", "My.Example.com"))
    assert run.stdout == "True\n", run.stderr


def test_a_name_that_cannot_be_one_is_told(server: str, home: Path) -> None:
    run = ran(server, "true", options=("--host", "not a name"))
    assert run.returncode == 2
    assert "'not a name' is neither a host name in ASCII nor an IP address" in run.stderr


def test_a_server_that_is_told_to_ends_with_who_started_it(tmp_path: Path) -> None:
    line = [*IMAGEMILL, "serve", "--port", "0", "--data-dir", str(tmp_path), "--until-eof"]
    with subprocess.Popen(
        line, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        next(line for line in process.stderr if "running on" in line)
        process.stdin.close()
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == -signal.SIGTERM
