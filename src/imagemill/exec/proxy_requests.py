"""What a caller of the proxy asks it for, as the first lines of a connection have it."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from imagemill.exec.tunnels import END, PORTS

PROVES = "proxy-authorization"
WHOLE_ADDRESSES = "imagemill exec is a proxy here; ask it for whole addresses"

_LINE = re.compile(r"(?P<method>[!-~]+) (?P<target>[!-~]+) (?P<version>HTTP/1\.\d)")
# Between one caller and one proxy; they end here.
_HOP = re.compile(r"(proxy-[\w-]+|connection|keep-alive)\s*:", re.IGNORECASE)
_UPGRADE = re.compile(r"^upgrade\s*:", re.IGNORECASE | re.MULTILINE)


class Refused(Exception):
    """A status, and words: the status line carries them, as most clients show no more than that."""

    def __init__(self, status: int, words: str, *headers: str) -> None:
        super().__init__(status, words)
        self.status, self.words, self.headers = status, words, headers


@dataclass(frozen=True)
class ProxyRequest:
    """The first lines of a caller; `direct` where they name no whole address, as to no proxy."""

    method: str
    target: str
    version: str
    headers: tuple[str, ...]
    scheme: str
    host: str
    port: int
    direct: bool

    @property
    def credential(self) -> str:
        """What it brings for us; empty where it brings nothing."""
        lines = (line.partition(":") for line in self.headers)
        values = [value.strip() for name, _, value in lines if name.lower() == PROVES]
        return values[0] if len(values) == 1 else ""

    def forwarded(self, *, whole: bool, credential: str) -> bytes:
        """The same for who answers; `whole` for a proxy, which needs the address."""
        parts = urlsplit(self.target)
        origin = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        kept = [line for line in self.headers if not _HOP.match(line)]
        upgraded = _UPGRADE.search("\n".join(kept))
        kept.append(f"connection: {'upgrade' if upgraded else 'close'}")
        if credential:
            kept.append(f"proxy-authorization: {credential}")
        first = f"{self.method} {self.target if whole else origin} {self.version}"
        return "\r\n".join([first, *kept]).encode("latin-1") + END


def parsed(head: bytes) -> ProxyRequest:
    """The request that begins with `head`; raises Refused where it is none."""
    first, *headers = head.decode("latin-1").split("\r\n")
    match = _LINE.fullmatch(first)
    if match is None:
        raise Refused(400, "that is no HTTP/1.1")
    method, target, version = match.groups()
    direct = target.startswith("/")
    if direct:
        target = f"http://{_host(headers)}{target}"
    try:
        parts = urlsplit(f"https://{target}" if method == "CONNECT" else target)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise Refused(400, "that is no address") from None
    if not host or parts.scheme not in PORTS:
        raise Refused(400, WHOLE_ADDRESSES)
    port = PORTS[parts.scheme] if port is None else port
    return ProxyRequest(method, target, version, tuple(headers), parts.scheme, host, port, direct)


def _host(headers: list[str]) -> str:
    lines = (line.partition(":") for line in headers)
    return next((value.strip() for name, _, value in lines if name.lower() == "host"), "")
