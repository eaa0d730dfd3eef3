#!/bin/sh
# litellm 1.110.2: images with stream=True are asked for three times by its Router and its proxy, and
# none comes back.
#
# Guessed: a stream of events, or a refusal before anything is sent.
# Seen: the events are read as one text; "'str' object has no attribute 'model_dump'" is taken for a
# fault of the connection, and the Router, as it comes, tries twice more: three images are painted and
# paid. The function alone asks once, and raises the same.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check litellm==1.110.2

LITELLM_LOCAL_MODEL_COST_MAP=True "$folder/venv/bin/python" - <<'PYTHON' 2>"$folder/stderr" ||
import asyncio
import http.server
import threading
from importlib.metadata import version

import litellm

assert version("litellm") == "1.110.2"
requests = []


class Events(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        requests.append(self.rfile.read(int(self.headers["content-length"])))
        body = b'data: {"type": "image_generation.completed", "b64_json": "aGk="}\n\n'
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Events)
threading.Thread(target=server.serve_forever, daemon=True).start()
place = {"api_base": f"http://127.0.0.1:{server.server_address[1]}", "api_key": "any"}
model = {"model_name": "g", "litellm_params": {"model": "openai/gpt-image-2", **place}}
router = litellm.Router(model_list=[model])
asked = {"prompt": "a", "stream": True}
calls = {
    "image_generation": lambda: litellm.image_generation(
        model="openai/gpt-image-2", **place, **asked
    ),
    "Router": lambda: asyncio.run(router.aimage_generation(model="g", **asked)),
}
for name, call in calls.items():
    requests.clear()
    try:
        call()
        told = "answered"
    except Exception as error:
        told = "'str' object has no attribute 'model_dump'"
        assert told in str(error)
    print(name, len(requests), told)
    assert len(requests) == (1 if name == "image_generation" else 3)
# The output seen:
# image_generation 1 'str' object has no attribute 'model_dump'
# Router 3 'str' object has no attribute 'model_dump'
PYTHON
    { cat "$folder/stderr"; exit 1; }
