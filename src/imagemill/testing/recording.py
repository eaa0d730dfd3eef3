"""A server that writes down each call as it was made, before it is answered.

`python -m imagemill.testing.recording DATA CALLS` serves until its input ends.
"""

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagemill.http.hosts import HOSTS

STATUSES = {"websocket.accept": 101, "websocket.close": 403}  # of a reply that has none


@dataclass(frozen=True, order=True)
class RecordedCall:
    """One call of a hosted API, as its client made it."""

    #: "GET", "POST", ...
    method: str
    #: Of the API, as "api.openai.com".
    host: str
    #: As it is at that host, without the query.
    path: str
    #: Of the reply, 100 to 599.
    status: int


class Recorder:
    """Appends a line to `file` for each call, before the first byte of the reply leaves."""

    def __init__(self, app: ASGIApp, file: Path) -> None:
        self.app, self.file = app, file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        host, path = called(Headers(scope=scope).get("host", ""), scope["path"])
        method = scope.get("method", "GET")

        replied = path == "/health"

        async def recorded(message: Message) -> None:
            nonlocal replied
            status = message.get("status", STATUSES.get(message["type"]))
            if status is not None and not replied:
                replied = True
                self._write(RecordedCall(method, host, path, status))
            await send(message)

        await self.app(scope, receive, recorded)

    def _write(self, call: RecordedCall) -> None:
        with self.file.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(asdict(call))}\n")


def called(host: str, path: str) -> tuple[str, str]:
    """Host and path of the API that is meant, where a base URL has led its client here."""
    host = host.lower().removesuffix(":443")
    if host not in HOSTS:
        for name, prefix in HOSTS.items():
            if prefix and path.startswith(f"{prefix}/"):
                return name, path.removeprefix(prefix)
    return host, path


def read_calls(file: Path, start: int) -> Iterator[RecordedCall]:
    """The calls that were written from the byte `start` on."""
    if file.exists():
        with file.open("rb") as lines:
            lines.seek(start)
            for line in lines:
                yield RecordedCall(**json.loads(line))


def main(data: str, calls: str) -> None:
    """Serves on a free port of this machine."""
    from imagemill.app import make_server
    from imagemill.cli import stop_at_eof
    from imagemill.settings import load

    server = make_server(load(host="127.0.0.1", port=0, data_dir=Path(data)))
    server.config.app = Recorder(server.config.app, Path(calls))  # type: ignore[arg-type]
    threading.Thread(target=stop_at_eof, daemon=True).start()
    server.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
