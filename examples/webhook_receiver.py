"""Takes fal's webhooks: python examples/webhook_receiver.py --keys URL

    imagemill serve
    curl -d '{"prompt": "a cat"}' -H 'authorization: Key any' \
      'http://127.0.0.1:8000/fal/queue/fal-ai/flux/dev?fal_webhook=http://127.0.0.1:9000/'

The keys of such a server are at http://127.0.0.1:8000/fal/rest/.well-known/jwks.json; without
--keys it believes fal itself. A webhook is signed by Ed25519 over who it is for, when it
was sent and what it says; what is not signed so, or is old, is refused and would be sent again.
"""

import argparse
import base64
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FAL = "https://rest.alpha.fal.ai/.well-known/jwks.json"
OLDEST = 300  # seconds
LARGEST = 2**20  # bytes
SIGNED = ("x-fal-webhook-request-id", "x-fal-webhook-user-id", "x-fal-webhook-timestamp")
SIGNATURE = "x-fal-webhook-signature"


@cache
def public_keys(url: str) -> tuple[Ed25519PublicKey, ...]:
    """Of the sender; they change rarely, so a day later another process may read them again."""
    return tuple(_keys(httpx.get(url).raise_for_status().json()["keys"]))


def _keys(listed: list[dict[str, str]]) -> Iterator[Ed25519PublicKey]:
    for each in listed:
        text = each["x"]
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        yield Ed25519PublicKey.from_public_bytes(raw)


def verified(headers: Mapping[str, str], body: bytes, url: str, now: float) -> bool:
    """Whether the sender whose keys are at `url` has signed this, not long ago."""
    lines = [headers.get(name, "") for name in SIGNED]
    try:
        fresh = abs(now - int(lines[2])) <= OLDEST
        signature = bytes.fromhex(headers.get(SIGNATURE, ""))
    except ValueError:
        return False
    message = "\n".join([*lines, hashlib.sha256(body).hexdigest()]).encode()
    return fresh and any(_signed(key, signature, message) for key in public_keys(url))


def _signed(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


class Receiver(BaseHTTPRequestHandler):
    """Answers at once; the same request may be told of twice, so what is done must bear that."""

    keys = FAL

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length) if 0 < length <= LARGEST else b""
        good = verified(
            {k.lower(): v for k, v in self.headers.items()}, body, self.keys, time.time()
        )
        self.send_response(200 if good else 401)
        self.send_header("content-length", "0")
        self.end_headers()
        if good:
            told_of(json.loads(body))


def told_of(message: dict[str, object]) -> None:
    """What your program does with it."""
    print(message["request_id"], message["status"], json.dumps(message.get("payload")), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9000, help="0 takes a free one")
    parser.add_argument("--keys", default=FAL)
    options = parser.parse_args()
    handler = type("Believing", (Receiver,), {"keys": options.keys})
    with ThreadingHTTPServer(("127.0.0.1", options.port), handler) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}/", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
