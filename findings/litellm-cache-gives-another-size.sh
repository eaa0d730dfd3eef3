#!/bin/sh
# litellm 1.110.2: with its cache on, who asks for an image of another size, quality or negative prompt
# is given the one that is there.
#
# Guessed: the key of an image in the cache has all that changes it: prompt, model, n, seed, size,
# quality, and what is handed on to the provider besides, as num_inference_steps and extra_body.
# Seen: prompt, model, n and seed, which chats have as well, are in the key. size, quality,
# negative_prompt, num_inference_steps and extra_body are not: no request is made, and no error raised.
# (What comes from the cache imports parts of its proxy; hence the packages besides.)
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    litellm==1.110.2 fastapi==0.165.0 numpy==2.4.6 orjson==3.13.0 soundfile==0.13.1

LITELLM_LOCAL_MODEL_COST_MAP=True "$folder/venv/bin/python" - <<'PYTHON' 2>"$folder/stderr" ||
import http.server
import json
import threading
from importlib.metadata import version

import litellm
from litellm.caching import Cache

assert version("litellm") == "1.110.2"
requests = []


class Images(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        requests.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        body = json.dumps({"created": 1, "data": [{"b64_json": "aGk="}]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Images)
threading.Thread(target=server.serve_forever, daemon=True).start()
litellm.cache = Cache(type="local", supported_call_types=["image_generation"])


def paint(prompt, **params):
    before = len(requests)
    litellm.image_generation(
        prompt=prompt, model="openai/gpt-image-2", api_key="any",
        api_base=f"http://127.0.0.1:{server.server_address[1]}", **params,
    )
    return len(requests) - before


pairs = {
    "seed": (1, 2),
    "n": (1, 2),
    "size": ("64x64", "1024x1024"),
    "quality": ("low", "high"),
    "negative_prompt": ("red", "blue"),
    "num_inference_steps": (2, 50),
    "extra_body": ({"width": 64}, {"width": 512}),
}
for name, (first, second) in pairs.items():
    told = [paint(name, **{name: value}) for value in (first, second)]
    print(name, told)
    assert told == ([1, 1] if name in ("seed", "n") else [1, 0])
# The output seen, in requests made for the first value and the second:
# seed [1, 1]
# n [1, 1]
# size [1, 0]
# quality [1, 0]
# negative_prompt [1, 0]
# num_inference_steps [1, 0]
# extra_body [1, 0]
PYTHON
    { cat "$folder/stderr"; exit 1; }
