"""A service with all that stands behind it, in a folder."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from imagemill.assembly import assemble
from imagemill.catalog import Catalog
from imagemill.engine.events import Engine
from imagemill.service import Service
from imagemill.settings import Settings
from imagemill.telemetry import Telemetry
from tests.databases import place_database


@asynccontextmanager
async def opened(
    folder: Path,
    engine: Engine,
    clock: Callable[[], float] = time.monotonic,
    **settings: Any,
) -> AsyncIterator[Service]:
    """Work that is not finished at the end is stopped."""
    if "database" not in settings:
        place_database(folder)
    catalog = Catalog({}, True, lambda _: "1")
    service = assemble(Settings(data_dir=folder, **settings), catalog, Telemetry(), engine)
    service.clock = clock
    await service.open()
    try:
        yield service
    finally:
        await service.close(patience=0)
