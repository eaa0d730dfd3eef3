"""A live server on loopback, with the embedded model behind it, shared by the whole suite."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import uvicorn

from imagemill.app import create_app
from imagemill.settings import Settings

os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # read when the client is imported

QUEUE = 8


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that is ready to paint."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), queue=QUEUE)
    config = uvicorn.Config(create_app(settings), log_config=None, timeout_graceful_shutdown=5)
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
