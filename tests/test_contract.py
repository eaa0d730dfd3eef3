"""All that the OpenAPI documents allow, and what they forbid: nothing ends in an error of ours."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error

from imagemill.app import create_app, server_config
from imagemill.dialects.fal.pages import PAGES
from imagemill.settings import Settings
from tests.engines import PlainEngine

MANY = settings(
    max_examples=12,  # for each operation
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
DOCUMENTS = ["/openapi.json", *(f"/fal/openapi.json?endpoint_id={id}" for id in PAGES)]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a server whose engine paints plain colours."""
    folder = tmp_path_factory.mktemp("data")

    async def serve(listening: socket.socket) -> None:
        given = Settings(data_dir=folder, shutdown_time=0)
        config = server_config(given, create_app(given, PlainEngine()))
        running.append(uvicorn.Server(config))
        await running[0].serve([listening])

    running: list[uvicorn.Server] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=lambda: asyncio.run(serve(listening)))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        running[0].should_exit = True
        thread.join()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_nothing_that_is_asked_ends_in_an_error_of_ours(address: str, document: str) -> None:
    schema = schemathesis.openapi.from_url(address + document)
    found: list[Any] = list(schema.get_all_operations())
    operations = [each.ok() for each in found]
    assert operations
    place = address + "/fal/queue" * document.startswith("/fal/")

    def ask(case: Any) -> None:
        response = case.call(base_url=place, timeout=60)
        case.validate_response(response, checks=[not_a_server_error])

    for operation in operations:
        MANY(given(operation.as_strategy())(ask))()
