"""The two servers that `benchmarks.gateway` asks: `gateway PORT FOLDER` and `echo PORT`.

The gateway is whole but for its engine, which takes what it is given and never begins.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request

from imagemill.app import create_app
from imagemill.engine.events import NO_INPUTS, Event, Failed, State
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation, Input
from imagemill.settings import Settings


class ReadyEngine:
    """All of an engine within the server's process but `submit`."""

    state, trouble, resting = State.READY, "", 0.0

    async def start(self) -> None:
        pass

    async def close(self, seconds: float = 0.0) -> None:
        pass

    def cancel(self, id: str) -> None:
        """The iterator is closed; there is nothing else to stop."""

    def refusal(self, source: str) -> None:
        return None

    def warm(self, source: str) -> float:
        return 0.0


class IdleEngine(ReadyEngine):
    async def submit(
        self,
        id: str,
        generation: Generation,
        source: str,
        inputs: Mapping[str, Input] = NO_INPUTS,
        previews: bool = False,
    ) -> AsyncIterator[Event]:
        await asyncio.Event().wait()
        yield Failed(Fault(Kind.FAILED, "never"))


def echo() -> FastAPI:
    app = FastAPI()

    @app.post("/")
    async def back(request: Request) -> Any:
        return await request.json()

    return app


if __name__ == "__main__":
    which, port, *folder = sys.argv[1:]
    app = (
        echo()
        if which == "echo"
        else create_app(Settings(data_dir=Path(folder[0]), log_level="warning"), IdleEngine())
    )
    uvicorn.run(app, port=int(port), log_config=None, access_log=False)
