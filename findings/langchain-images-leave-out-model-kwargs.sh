#!/bin/sh
# langchain-community 0.4.2: DallEAPIWrapper takes model_kwargs, says that it moved unknown arguments
# there, and sends none of them.
#
# Guessed: model_kwargs go into the body, as they do with the chat models of the same library.
# Seen: model, prompt, n and size are sent, and quality where it is given; model_kwargs never.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    langchain-community==0.4.2 openai==3.52.0

"$folder/venv/bin/python" - <<'PYTHON' 2>"$folder/stderr" || { cat "$folder/stderr"; exit 1; }
import http.server
import io
import json
import logging
import threading
from importlib.metadata import version

from langchain_community.utilities.dalle_image_generator import DallEAPIWrapper

assert version("langchain-community") == "0.4.2"
bodies, told = [], io.StringIO()


class Images(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        body = json.dumps({"created": 1, "data": [{"url": "http://127.0.0.1/a.png"}]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Images)
threading.Thread(target=server.serve_forever, daemon=True).start()
place = {"api_key": "any", "base_url": f"http://127.0.0.1:{server.server_address[1]}"}
logging.basicConfig(stream=told)
painter = DallEAPIWrapper(style="natural", model_kwargs={"user": "u"}, **place)
assert painter.model_kwargs == {"style": "natural", "user": "u"}
assert "style was transferred to model_kwargs" in told.getvalue()
painter.run("a red cat")
print(*sorted(bodies[0]))
assert sorted(bodies[0]) == ["model", "n", "prompt", "size"]
# The output seen:
# model n prompt size
PYTHON
