"""A live server on loopback, with the embedded model behind it, shared by the whole suite."""

import os
import socket
import threading
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import pytest
import requests
import uvicorn

from conformance.matrix import DOCUMENT, Cell, Matrix, installed, told
from imagemill.app import create_app, server_config
from imagemill.settings import Settings

os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # read when the client is imported

QUEUE = 8
MATRIX = pytest.StashKey[Matrix]()
DESELECTED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--compatibility", action="store_true", help="write docs/compatibility.md")
    parser.addoption("--http-libraries", action="store_true", help="write tables of docs/exec.md")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[MATRIX] = Matrix()


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items[:1]:
        item.config.stash[DESELECTED] = True


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.getoption("--compatibility", False) and not is_whole(session):
        raise pytest.UsageError("--compatibility is for the whole suite, not for a part of it")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" or not report.passed:
        for cell in cells_of(item):
            item.config.stash[MATRIX].record(cell, report.passed)
    return report


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if session.config.getoption("--compatibility", False) and exitstatus == pytest.ExitCode.OK:
        found = told(session.config.stash[MATRIX].works, installed())
        DOCUMENT.write_text(found, "utf-8")


def is_whole(session: pytest.Session) -> bool:
    collected = {item.path for item in session.items}
    parts = any("::" in argument for argument in session.config.args)
    return (
        collected >= set(Path(__file__).parent.glob("test_*.py"))
        and not parts
        and not session.config.stash.get(DESELECTED, False)
    )


def cells_of(item: pytest.Item) -> set[Cell]:
    marks = [mark.args for mark in item.iter_markers("cell")]
    return {Cell(door, client, call) for client, door, *calls in marks for call in calls}


@pytest.fixture(scope="session")
def cells(request: pytest.FixtureRequest) -> set[Cell]:
    """All that the tests of this run are to show."""
    return {cell for item in request.session.items for cell in cells_of(item)}


@pytest.fixture(scope="session")
def whole(request: pytest.FixtureRequest) -> bool:
    """Whether every test of the suite is in this run."""
    return is_whole(request.session)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that is ready to paint."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), queue=QUEUE, shutdown_time=5)
    config = server_config(settings, create_app(settings))
    with socket.create_server(("127.0.0.1", 0)) as listening:  # callers may come before it is ready
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            _wait_for_model(url)
            yield url
        finally:
            running.should_exit = True
            thread.join()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def packages() -> Path:
    """The folder in which Node finds the official JavaScript clients."""
    folder = Path(__file__).parent
    assert (folder / "node_modules").is_dir(), "run `npm ci --prefix conformance` first"
    return folder


def _wait_for_model(url: str) -> None:
    smallest = {"width": 64, "height": 64, "num_inference_steps": 1}
    reply = requests.post(
        f"{url}/models/imagemill/pico",
        json={"inputs": "a cat", "parameters": smallest},
        headers={"x-wait-for-model": "true"},
        timeout=300,
    )
    assert reply.ok, reply.text
