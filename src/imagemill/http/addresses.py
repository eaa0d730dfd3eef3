"""Under which address a call has come: what a proxy tells of it, below which prefix, and with how
many slashes.
"""

import ipaddress
import logging
import re
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from imagemill.settings import prefixed

log = logging.getLogger(__name__)

# In a scope: the host that the caller named, where a proxy tells of it.
HOST = "imagemill.host"
SCHEMES = {
    "http": {"http": "http", "https": "https", "ws": "http", "wss": "https"},
    "websocket": {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"},
}

_SLASHES = re.compile("/{2,}")


class AddressMiddleware:
    """Makes the path of every call the one that routes have, below the prefix as `root_path`.

    A proxy may have taken the prefix away or left it there. Clients join addresses carelessly, so
    doubled slashes are one, and one at the end is none.
    """

    def __init__(self, app: ASGIApp, prefix: str, behind_proxy: bool) -> None:
        """prefix: as `prefixed` gives it. behind_proxy: its headers are believed."""
        self.app, self.prefix, self.behind_proxy = app, prefix, behind_proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in SCHEMES:
            scope = self._addressed(scope)
        await self.app(scope, receive, send)

    def _addressed(self, scope: Scope) -> Scope:
        prefix = self.prefix
        if self.behind_proxy:
            headers = Headers(scope=scope)
            scope = {**scope, **_forwarded(scope, headers)}
            prefix = _forwarded_prefix(headers) or prefix
        path = plain(scope["path"])
        if prefix:
            below = path == prefix or path.startswith(f"{prefix}/")
            path = plain(path if below else prefix + path)
            scope = {**scope, "root_path": prefix + scope.get("root_path", "")}
        return scope if path == scope["path"] else _moved(scope, path)


def plain(path: str) -> str:
    """A path without the slashes that say nothing."""
    if "//" in path:
        path = _SLASHES.sub("/", path)
    return path[:-1] if path[-1:] == "/" and len(path) > 1 else path


def path_of(scope: Scope) -> str:
    """The path of a call below the prefix that this server has for its caller."""
    root = scope.get("root_path", "")
    return (str(scope["path"]).removeprefix(root) or "/") if root else str(scope["path"])


def at(scope: Scope, path: str) -> Scope:
    """The same call under another path, below the same prefix."""
    return _moved(scope, scope.get("root_path", "") + path)


def _moved(scope: Scope, path: str) -> Scope:
    return {**scope, "path": path, "raw_path": quote(path).encode()}


def _forwarded(scope: Scope, headers: Headers) -> dict[str, Any]:
    """What a proxy tells of the caller, as far as it can be read."""
    named = dict[str, Any]()
    scheme = SCHEMES[scope["type"]].get(_first(headers.get("x-forwarded-proto", "")))
    if scheme is not None:
        named["scheme"] = scheme
    if host := _first(headers.get("x-forwarded-host", "")):
        named[HOST] = host
    # The last is whom the proxy itself saw; callers may have written those before.
    address = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    with suppress(ValueError):
        named["client"] = (str(ipaddress.ip_address(_without_port(address))), 0)
    return named


def _forwarded_prefix(headers: Headers) -> str:
    """Of several proxies each may have taken away its own, the outermost first."""
    text = headers.get("x-forwarded-prefix", "")
    try:
        return prefixed("/".join(each.strip() for each in text.split(",")))
    except ValueError:
        log.info("the header x-forwarded-prefix is %.200r, which is no prefix", text)
        return ""


def _first(values: str) -> str:
    """What the proxy said that is nearest to the caller."""
    return values.partition(",")[0].strip().lower()


def _without_port(address: str) -> str:
    """An address as proxies write it: with a port, and in brackets if it is IPv6."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address
