"""Credentials: where the clients of each API put their key."""

import base64
import binascii
from collections.abc import Iterator

from starlette.datastructures import Headers

# Besides Authorization: of Azure's clients, and of gateways.
OTHERS = ("api-key", "x-api-key")


def credentials(headers: Headers) -> tuple[str, ...]:
    """What may be the caller's key, the likeliest first: of Bearer, Key and Token what follows, of
    Basic the password, both parts, or the name.
    """
    scheme, _, value = headers.get("authorization", "").strip().partition(" ")
    own = _of_basic(value) if scheme.lower() == "basic" else iter((value.strip(),))
    named = (headers.get(name, "").strip() for name in OTHERS)
    return tuple(each for each in (*own, *named) if each.strip(":"))


def _of_basic(value: str) -> Iterator[str]:
    try:
        both = base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return
    name, _, password = both.partition(":")
    yield from (password, both, name)
