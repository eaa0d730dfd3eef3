"""A Hub on loopback, as far as a download needs one."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "c0ffee" + "0" * 34


class Hub:
    """One repository, `id`, whose files are those of `folder`; `asked` are the files handed out."""

    def __init__(self, id: str, folder: Path) -> None:
        self.id, self.folder, self.asked = id, folder, list[str]()

    def files(self) -> list[str]:
        paths = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return [path.relative_to(self.folder).as_posix() for path in paths]

    def info(self) -> dict[str, Any]:
        siblings = [{"rfilename": name} for name in self.files()]
        return {"id": self.id, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}

    def tree(self) -> list[dict[str, Any]]:
        return [
            {"type": "file", "path": name, "size": len(self.content(name)), "oid": self.tag(name)}
            for name in self.files()
        ]

    def content(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def tag(self, name: str) -> str:
        return hashlib.sha1(self.content(name), usedforsecurity=False).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, body: bool = True) -> None:
        path = self.path.partition("?")[0]
        api, files = f"/api/models/{self.hub.id}", f"/{self.hub.id}/resolve/"
        if path.startswith(f"{api}/tree/"):
            self.answer(json.dumps(self.hub.tree()).encode(), {}, body)
        elif path == api or path.startswith(f"{api}/revision/"):
            self.answer(json.dumps(self.hub.info()).encode(), {}, body)
        elif path.startswith(files):
            self.file(path.removeprefix(files).partition("/")[2], body)
        else:
            self.send_error(404)

    def file(self, name: str, body: bool) -> None:
        if body:
            self.hub.asked.append(name)
        headers = {"ETag": f'"{self.hub.tag(name)}"', "X-Repo-Commit": COMMIT}
        self.answer(self.hub.content(name), headers, body)

    def answer(self, content: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(200)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def hub(id: str, folder: Path) -> Iterator[tuple[str, Hub]]:
    """Its address, and what it has."""
    made = Hub(id, folder)
    handler = type("Handler", (_Handler,), {"hub": made})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", made
    finally:
        server.shutdown()
        server.server_close()
