"""Names and seals: ids as Replicate has them, and what is signed for a caller."""

import base64
import hashlib
import hmac
import re
import uuid
from collections.abc import Mapping

from imagemill.errors import Fault, Kind

LENGTH = 26  # characters; in base32 they hold the 128 bits of a UUID
SEAL = 32

FORM = re.compile(r"[a-z2-7]{26}", re.ASCII)


def encode(id: str) -> str:
    return base64.b32encode(uuid.UUID(id).bytes).decode().rstrip("=").lower()


def decode(id: str) -> str:
    """The UUID behind an id; a Fault where it is none of ours."""
    decoded = _decoded(id) if FORM.fullmatch(id) else None
    if decoded is None or encode(decoded) != id:
        raise Fault(Kind.NOT_FOUND, "there is no such prediction, or no longer")
    return decoded


def _decoded(id: str) -> str:
    return str(uuid.UUID(bytes=base64.b32decode(id.upper() + "=" * 6)))


def new() -> str:
    return encode(str(uuid.uuid4()))


def sealed(secret: bytes, id: str) -> str:
    """An id that nobody can make up: whoever has it may watch the prediction."""
    return id + _seal(secret, id)


def unsealed(secret: bytes, token: str) -> str:
    """The UUID behind a sealed id; a Fault where it was not sealed here."""
    id, seal = token[:LENGTH], token[LENGTH:]
    if not hmac.compare_digest(seal.encode(), _seal(secret, id).encode()):
        raise Fault(Kind.NOT_FOUND, "there is no such stream, or no longer")
    return decode(id)


def _seal(secret: bytes, id: str) -> str:
    return hmac.digest(secret, f"replicate stream {id}".encode(), hashlib.sha256).hex()[:SEAL]


def signing_key(secret: bytes, caller: str) -> bytes:
    """What signs webhooks for a caller; nobody else's are signed with it."""
    return hmac.digest(secret, f"replicate webhooks {caller}".encode(), hashlib.sha256)


def encoded_key(key: bytes) -> str:
    # In the standard alphabet: the Python client splits at underscores.
    return f"whsec_{base64.b64encode(key).decode()}"


def signature(key: bytes, text: bytes) -> str:
    return base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode()


def headers(key: bytes, id: str, body: bytes, now: float) -> Mapping[str, str]:
    """What receivers of webhooks verify."""
    timestamp = str(int(now))
    return {
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature(key, f'{id}.{timestamp}.'.encode() + body)}",
        "content-type": "application/json",
    }
