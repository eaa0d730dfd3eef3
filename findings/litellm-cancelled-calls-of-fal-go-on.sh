#!/bin/sh
# litellm 1.110.2: an aimage_generation at fal_ai/ that is cancelled goes on, and is painted.
#
# Guessed: cancelling the task closes the connection at once, so that a server can stop.
# Seen: so at openai/, whose client is asynchronous. At fal_ai/ a thread has the call: the task ends,
# the connection stays open until the answer has come, and asyncio.run waits for it as well.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check litellm==1.110.2

LITELLM_LOCAL_MODEL_COST_MAP=True "$folder/venv/bin/python" - <<'PYTHON' 2>"$folder/stderr" ||
import asyncio
import contextlib
import http.server
import threading
from importlib.metadata import version

import litellm

assert version("litellm") == "1.110.2"
arrived, ended, seen = threading.Event(), threading.Event(), []


class Slow(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        arrived.set()
        self.connection.settimeout(5)
        try:
            seen.append("closed" if self.connection.recv(1) == b"" else "more")
        except TimeoutError:
            seen.append("still open after 5 s")
        body = b'{"images": [{"url": "http://127.0.0.1/a.png"}], "data": []}'
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        ended.set()

    def log_message(self, *_: object) -> None:
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
threading.Thread(target=server.serve_forever, daemon=True).start()


async def cancel(model: str) -> None:
    task = asyncio.create_task(
        litellm.aimage_generation(
            prompt="a", model=model, api_key="any",
            api_base=f"http://127.0.0.1:{server.server_address[1]}",
        )
    )
    await asyncio.to_thread(arrived.wait, 60)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


for model in ("openai/gpt-image-2", "fal_ai/fal-ai/flux/dev"):
    arrived.clear()
    ended.clear()
    asyncio.run(cancel(model))
    assert ended.wait(10)
    print(model, seen[-1])
assert seen == ["closed", "still open after 5 s"]
# The output seen:
# openai/gpt-image-2 closed
# fal_ai/fal-ai/flux/dev still open after 5 s
PYTHON
    { cat "$folder/stderr"; exit 1; }
