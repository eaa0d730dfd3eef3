#!/bin/sh
# openai 3.52.0 and together 3.1.1, two clients by one generator, part at a long Retry-After.
#
# Guessed: both wait as Retry-After says up to 60 s; beyond, both ask again after a second or two
# of their own choice.
# Seen: together so. openai waits up to 120 s, in the call, and beyond raises at once and asks no more.
# Neither sends an idempotency key: a POST that is asked for again is painted again.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openai==3.52.0 together==3.1.1

"$folder/venv/bin/python" - <<'PYTHON' 2>"$folder/stderr" || { cat "$folder/stderr"; exit 1; }
import http.server
import threading
from importlib.metadata import version

from openai import OpenAI
from together import Together

assert (version("openai"), version("together")) == ("3.52.0", "3.1.1")
requests = []


class Busy(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        requests.append(dict(self.headers))
        body = b'{"error": {"message": "busy"}}'
        self.send_response(429)
        self.send_header("retry-after", wait)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Busy)
threading.Thread(target=server.serve_forever, daemon=True).start()
place = {"api_key": "any", "base_url": f"http://127.0.0.1:{server.server_address[1]}"}
seen = {}


def generate(client) -> None:
    try:
        client.images.generate(model="m", prompt="a red cat")
    except Exception as error:
        raised.append(type(error).__name__)


for name, client in (("openai", OpenAI(**place)), ("together", Together(**place))):
    for wait in ("61", "121"):
        requests.clear()
        raised = []
        call = threading.Thread(target=generate, args=(client,), daemon=True)
        call.start()
        call.join(15)
        assert not any("idempotency" in key.lower() for sent in requests for key in sent)
        seen[name, wait] = len(requests), *(raised or ["waits"])
        print(name, wait, *seen[name, wait])
assert seen == {
    ("openai", "61"): (1, "waits"),
    ("openai", "121"): (1, "RateLimitError"),
    ("together", "61"): (3, "RateLimitError"),
    ("together", "121"): (3, "RateLimitError"),
}
# The output seen, in requests within 15 s:
# openai 61 1 waits
# openai 121 1 RateLimitError
# together 61 3 RateLimitError
# together 121 3 RateLimitError
PYTHON
