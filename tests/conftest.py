"""What many suites stand on."""

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from imagemill.settings import PREFIX, Settings
from tests.databases import place_database
from tests.engines import PlainEngine

Serving = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--models", action="store_true", help="write docs/models.md")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the shell that runs the tests must not reach them."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A shell has what it runs in the background ignore interrupts, and so would its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`checkpoint("flux-dev")` is a folder with tiny weights of the family, made once."""
    folder = tmp_path_factory.mktemp("checkpoints")

    @cache
    def made(family: str) -> Path:
        from tests.checkpoints import save

        return save(family, folder / family)

    return made


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def serving(tmp_path: Path) -> Serving:
    """`async with serving(engine, queue=3) as client:` a whole server, without a socket, and a
    program on the same machine.
    """

    from imagemill.app import create_app
    from imagemill.http.request_body import Bodies

    @asynccontextmanager
    async def serve(
        engine: PlainEngine, bodies: Bodies | None = None, **settings: Any
    ) -> AsyncIterator[httpx.AsyncClient]:
        place_database(tmp_path)
        app = create_app(Settings(data_dir=tmp_path, **settings), engine, bodies)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            yield client

    return serve
