"""A service with all that stands behind it, in a folder."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from imagemill.assembly import Backend, assemble
from imagemill.catalog import Catalog
from imagemill.engine.events import Engine
from imagemill.jobs.service import Service
from imagemill.settings import Settings
from imagemill.telemetry import Telemetry
from tests.databases import place_database


@asynccontextmanager
async def opened_backend(
    folder: Path,
    engine: Engine,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], float] | None = None,
    **settings: Any,
) -> AsyncIterator[Backend]:
    """Work that is not finished at the end is stopped."""
    if "database" not in settings:
        place_database(folder)
    catalog = Catalog({}, True, lambda _: "1")
    options = Settings(data_dir=folder, **settings)
    backend = assemble(options, catalog, Telemetry(), engine, now=now, monotonic=clock)
    await backend.service.open()
    try:
        yield backend
    finally:
        await backend.service.close(patience=0)


@asynccontextmanager
async def opened(folder: Path, engine: Engine, **options: Any) -> AsyncIterator[Service]:
    """The same, for who needs no more than the service."""
    async with opened_backend(folder, engine, **options) as backend:
        yield backend.service
