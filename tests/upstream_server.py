"""A server whose engine paints plain colours, a step in so many seconds, to be killed by a test:
`python -m tests.upstream_server FOLDER PORT PACE [CONFIG]`.
"""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from imagemill.app import make_server
from imagemill.settings import load
from tests.engines import PlainEngine


@dataclass
class PacedEngine(PlainEngine):
    """pace: seconds that a step takes."""

    pace: float = 0.0

    async def _count(self, prompt: str, step: int) -> None:
        await asyncio.sleep(self.pace)
        await super()._count(prompt, step)


def serve(folder: str, port: str, pace: str, config: str | None = None) -> None:
    settings = load(Path(config) if config else None, data_dir=Path(folder), port=int(port))
    make_server(settings, PacedEngine(pace=float(pace))).run()


if __name__ == "__main__":
    serve(*sys.argv[1:])
