"""`imagemill.testing`: the plugin of pytest, in a project of its own."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from imagemill.testing.recording import RecordedCall, called, read_calls

ROOT = Path(__file__).parents[2]
OF_THE_PROJECT = """
import os
import subprocess
import sys

import huggingface_hub
import openai
import pytest
import replicate
import requests

SMALL = {"width": 96, "height": 64, "num_inference_steps": 2}


@pytest.fixture(autouse=True)
def key_of_the_project(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-project")


def paint():
    client = openai.OpenAI(max_retries=0)
    return client.images.generate(model="dall-e-3", prompt="a cat", extra_body=SMALL)


def test_openai_is_answered(imagemill_offline):
    url = paint().data[0].url
    assert requests.get(url, timeout=60).status_code == 200
    first, second = imagemill_offline.calls
    assert (first.method, first.host, first.path, first.status) == (
        "POST", "api.openai.com", "/v1/images/generations", 200)
    assert (second.method, second.status) == ("GET", 200)
    assert os.environ["OPENAI_API_KEY"] == "sk-of-the-project"


def test_hugging_face_is_answered(imagemill_offline):
    client = huggingface_hub.InferenceClient(provider="hf-inference", api_key="hf_abc")
    image = client.text_to_image("a cat", model="black-forest-labs/FLUX.1-dev", **SMALL)
    assert image.size == (96, 64)
    hosts = [call.host for call in imagemill_offline.calls]
    assert "router.huggingface.co" in hosts


def test_replicate_is_answered(imagemill_offline):
    output = replicate.run("black-forest-labs/flux-schnell", input={"prompt": "a cat", **SMALL})
    assert output[0].read()
    assert {call.host for call in imagemill_offline.calls} == {"api.replicate.com"}
    path = imagemill_offline.calls[0].path
    assert path == "/v1/models/black-forest-labs/flux-schnell/predictions"
    assert imagemill_offline.refused == []


def test_an_error_is_the_api_s_own(imagemill_offline):
    with pytest.raises(openai.BadRequestError):
        openai.OpenAI().images.generate(model="dall-e-3", prompt="")
    assert [call.status for call in imagemill_offline.calls] == [400]


def test_other_hosts_are_refused(imagemill_offline):
    with pytest.raises(requests.ConnectionError):
        requests.get("https://example.com", timeout=60)
    session = requests.Session()
    session.trust_env = False
    with pytest.raises(requests.ConnectionError, match="does not let through www.example.com"):
        session.get("https://www.example.com", timeout=60)
    with pytest.raises(requests.ConnectionError):
        session.get("http://192.0.2.1", timeout=60)
    assert imagemill_offline.refused == ["192.0.2.1", "example.com", "www.example.com"]
    assert imagemill_offline.calls == []


def test_who_ignores_proxies_is_answered_too(imagemill_offline):
    session = requests.Session()
    session.trust_env = False
    assert session.get("https://api.openai.com/v1/models", timeout=60).status_code == 200
    assert [call.host for call in imagemill_offline.calls] == ["api.openai.com"]
    assert imagemill_offline.refused == []


def test_programs_that_a_test_starts_are_answered(imagemill_offline):
    code = "import replicate; replicate.models.list()"
    run = [sys.executable, "-c", code]
    subprocess.run(run, check=True, env=imagemill_offline.environment)
    subprocess.run(run, check=True)
    assert [call.path for call in imagemill_offline.calls] == ["/v1/models"] * 2


def test_the_server_may_be_had_alone(imagemill_server):
    assert "HTTPS_PROXY" not in os.environ
    assert requests.get(f"{imagemill_server.url}/health", timeout=60).json()["ready"]
    assert imagemill_server.environment["IMAGEMILL_URL"] == imagemill_server.url
"""
UNTOUCHED = """
import sys

def test_nothing_is_imported_that_was_not_asked_for():
    heavy = {"torch", "diffusers", "fastapi", "pydantic", "httpx", "numpy"}
    assert "imagemill.testing" in sys.modules
    assert not heavy & set(sys.modules)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of its own beside which imagemill is installed, by what its metadata say."""
    metadata = tmp_path / "site" / "imagemill_of_this_tree-0.dist-info"
    metadata.mkdir(parents=True)
    table = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    [(name, module)] = table["pytest11"].items()
    (metadata / "entry_points.txt").write_text(f"[pytest11]\n{name} = {module}\n", "utf-8")
    (metadata / "METADATA").write_text("Name: imagemill-of-this-tree\nVersion: 0\n", "utf-8")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    return tmp_path / "project"


def ran(project: Path, tests: str, monkeypatch: pytest.MonkeyPatch, *options: str) -> str:
    """What pytest prints of a project with these tests, all of which pass."""
    (project / "test_it.py").write_text(tests, "utf-8")
    paths = [str(project.parent / "site"), str(ROOT / "src")]
    monkeypatch.setenv("PYTHONPATH", ":".join(paths))
    command = [sys.executable, "-m", "pytest", "-q", *options]
    run = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_official_clients_are_answered_in_the_tests_of_a_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "8 passed" in ran(project, OF_THE_PROJECT, monkeypatch)


@pytest.mark.parametrize("options", [(), ("-p", "imagemill.testing")])
def test_who_does_not_use_it_is_not_disturbed(
    project: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    assert "1 passed" in ran(project, UNTOUCHED, monkeypatch, *options)


@pytest.mark.parametrize(
    ("host", "path", "meant"),
    [
        ("api.openai.com:443", "/v1/models", ("api.openai.com", "/v1/models")),
        ("127.0.0.1:8000", "/replicate/v1/models", ("api.replicate.com", "/v1/models")),
        ("127.0.0.1:8000", "/fal/queue/a/b", ("queue.fal.run", "/a/b")),
        ("127.0.0.1:8000", "/docs", ("127.0.0.1:8000", "/docs")),
    ],
)
def test_a_call_is_told_as_its_api_has_it(host: str, path: str, meant: tuple[str, str]) -> None:
    assert called(host, path) == meant


def test_calls_before_a_test_are_not_its_own(tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    assert list(read_calls(file, 0)) == []
    line = '{"method": "GET", "host": "fal.run", "path": "/", "status": 404}\n'
    file.write_text(2 * line, "utf-8")
    assert list(read_calls(file, len(line))) == [RecordedCall("GET", "fal.run", "/", 404)]
