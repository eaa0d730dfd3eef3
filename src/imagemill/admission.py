"""Admission: by which names this server may be called, from which web pages, and who is local.

A browser lends every page that it shows its way to this machine and its network. It tells where a
page comes from (`Origin`, `Sec-Fetch-Site`), but not when the page's own name has been led here
(DNS rebinding): then `Host` is that name. So both are looked at. Programs send neither mark, and
nothing changes for them.

A caller is local who is a program on this machine: only such a one may have the server fetch from
the machine's other servers, which it could do by itself. Whoever comes through a proxy is not.
"""

import ipaddress
import logging
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from imagemill import doors
from imagemill.errors import Fault, Kind
from imagemill.host_routing import FILES
from imagemill.http import replies
from imagemill.http.addresses import HOST, path_of
from imagemill.http.hosts import HOSTS
from imagemill.http.identity import LOCAL
from imagemill.networks import is_loopback
from imagemill.settings import ANY, Settings

log = logging.getLogger(__name__)

# Open whoever calls: load balancers ask by addresses that nobody has listed.
OPEN = frozenset({"/health"})
# Below these are files under unguessable names, which pages of any origin may show.
SHOWN = (FILES, "/fal/cdn/files/")
READS = frozenset({"GET", "HEAD"})
# What proxies write of those whom they speak for.
FORWARDED = (
    *("forwarded", "via", "x-forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip"),
    *("x-original-", "x-envoy-", "x-amzn-", "x-azure-", "x-appengine-", "x-arr-"),
    *("true-client-ip", "cf-", "fastly-", "fly-"),
)
# Below these no name is given away in the public DNS, so that no stranger can lead one here.
PRIVATE_DOMAINS = (".localhost", ".local", ".lan", ".internal", ".home.arpa")
POLICY_VIOLATION = 1008
# What a page may read of a reply, besides what browsers show of every one.
EXPOSED = (
    *("x-fal-request-id", "x-fal-request-timeout-type", "x-fal-error-type", "x-fal-needs-retry"),
    *("x-fal-retryable", "x-request-id", "x-error-message", "x-error-code", "x-should-retry"),
    *(*replies.HEADERS, replies.PAGE, "x-imagemill-size"),
    *("x-compute-characters", "x-compute-images", "x-compute-time"),
    *("openai-processing-ms", "www-authenticate", "allow", "accept-encoding", "link"),
    *("retry-after", "location", "etag", "content-range", "content-disposition", "accept-ranges"),
)
PREFLIGHT_SECONDS = 7200  # that a browser need not ask again; Chromium remembers none for longer

_HOST = re.compile(r"(?P<name>[\w.-]{1,253}|\[[\da-f:.]{2,45}\])(:\d{1,5})?", re.ASCII)
_DEFAULT_PORT = re.compile(r":(80|443)$")
# What a star stands for in an origin, by what is around it.
_STARS = ((r"://\*\.", r"://([\w-]+\.)+"), (r"://\*", r"://[\w.-]+"), (r":\*", r"(:\d{1,5})?"))


@dataclass(frozen=True)
class Names:
    """The names under which a server may be called."""

    #: The address that the server listens on.
    bound: str
    #: By the operator, and no others then.
    allowed: Sequence[str] = ()
    #: Of this machine.
    own: str = field(default_factory=socket.gethostname)

    def admit(self, host: str, by_page: bool) -> bool:
        """Whether a call under the name `host` is one for this server.

        A server that others are to reach may have names that it does not know. Programs call it by
        any; browsers by those that no stranger can lead here.
        """
        match = _HOST.fullmatch(host.lower())
        name = match["name"].removesuffix(".") if match else ""
        if name and (is_address(name) or name in self._known or self._is_allowed(name)):
            return True
        if self.allowed or is_loopback(self.bound):
            return False
        return not by_page or (name != "" and ("." not in name or name.endswith(PRIVATE_DOMAINS)))

    @cached_property
    def _known(self) -> set[str]:
        return {"localhost", self.bound.lower(), self.own.lower(), *HOSTS}

    def _is_allowed(self, name: str) -> bool:
        exact = ANY in self.allowed or name in self.allowed
        return exact or any(name.endswith(each[1:]) for each in self.allowed if each[:2] == "*.")


class Admission:
    """Refuses what is not meant for this server, or comes from pages that may not call it; answers
    browsers that ask first (CORS).
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.names = Names(settings.host, settings.hosts)
        self.behind_proxy = settings.behind_proxy
        self.listed = listed(settings.origins)
        common: dict[str, Any] = {
            "allow_headers": ["*"],
            "expose_headers": EXPOSED,
            "max_age": PREFLIGHT_SECONDS,
            "allow_private_network": True,
        }
        everybody = ["*"] if ANY in settings.origins else []
        self.to_all = CORSMiddleware(app, ["*"], sorted(READS), **common)
        self.to_listed = CORSMiddleware(
            app, everybody, ["*"], allow_origin_regex=self.listed.pattern, **common
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = _malformed(headers.getlist("host"))
        if refusal is None and path_of(scope) not in OPEN:
            refusal = self._judge(scope, headers)
        if refusal is None:
            scope = {**scope, LOCAL: self._is_local(scope, headers)}
            await self._way(scope, headers)(scope, receive, send)
            return
        log.info("refused as %s: %s", refusal.kind, refusal)
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        response = doors.refuse(path_of(scope), headers, refusal)
        await response(scope, receive, send)

    def _judge(self, scope: Scope, headers: Headers) -> Fault | None:
        by_page = is_of_page(headers)
        for host in headers.getlist("host"):
            if not self.names.admit(host, by_page):
                return _misdirected(host)
        if not self._is_foreign(scope, headers) or self._is_listed(headers):
            return None
        if _is_shown(scope, headers) or _is_visit(scope, headers):
            return None
        return _foreign(headers.get("origin"))

    def _is_foreign(self, scope: Scope, headers: Headers) -> bool:
        """Whether a page asks that is not of this server."""
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site in ("same-origin", "none"):
            return False
        if origin is None:
            return site is not None
        own = headers.get("host", ""), scope.get(HOST, "")
        authority = _authority(origin)
        return not authority or authority not in map(_plain, own)

    def _is_local(self, scope: Scope, headers: Headers) -> bool:
        """Whether a program of this machine asks, as far as can be told; no page, and no proxy.

        Some proxies say nothing of themselves but that they speak HTTP/1.0, as nginx long did, or
        hand on the name that they were called by.
        """
        peer, named = scope.get("client"), _HOST.fullmatch(headers.get("host", "").lower())
        return (
            is_loopback(self.names.bound)
            and not self.behind_proxy
            and peer is not None
            and is_loopback(str(peer[0]).removeprefix("::ffff:"))
            and named is not None
            and is_loopback(named["name"].strip("[]"))
            and scope.get("http_version") != "1.0"
            and not any(name.startswith(FORWARDED) for name in headers)
            and not self._is_foreign(scope, headers)
        )

    def _is_listed(self, headers: Headers) -> bool:
        return self.listed.fullmatch(headers.get("origin", "")) is not None

    def _way(self, scope: Scope, headers: Headers) -> ASGIApp:
        if "origin" not in headers or scope["type"] != "http":
            return self.app
        if self._is_listed(headers):
            return self.to_listed
        return self.to_all if _is_shown(scope, headers) else self.app


def listed(origins: Sequence[str]) -> re.Pattern[str]:
    """What the origins fit that the operator lists."""
    patterns = [".*" if ANY in origins else "(?!)"]
    for origin in origins:
        pattern = re.escape(origin)
        for star, meant in _STARS:
            pattern = pattern.replace(star, meant)
        patterns.append(pattern)
    return re.compile("|".join(patterns))


def is_of_page(headers: Headers) -> bool:
    """Whether a browser asks, as far as it tells. Node's fetch sends `Sec-Fetch-Mode` alone."""
    agent = headers.get("user-agent", "")
    return "origin" in headers or "sec-fetch-site" in headers or agent.startswith("Mozilla/")


@lru_cache(256)
def is_address(name: str) -> bool:
    """Whether a host is an address itself, which no DNS can lead elsewhere."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _is_shown(scope: Scope, headers: Headers) -> bool:
    """Whether a file is to be read, or a browser asks whether it may be."""
    verb = scope.get("method")
    wanted = headers.get("access-control-request-method") if verb == "OPTIONS" else verb
    return wanted in READS and path_of(scope).startswith(SHOWN)


def _is_visit(scope: Scope, headers: Headers) -> bool:
    """Whether somebody has followed a link, of which the page that had it can read nothing."""
    marks = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
    return scope.get("method") in READS and marks == ("navigate", "document")


def _authority(origin: str) -> str:
    """Host and port of an origin; `null` has none."""
    return _plain(origin.partition("://")[2])


def _plain(host: str) -> str:
    return _DEFAULT_PORT.sub("", host.lower())


def _malformed(hosts: list[str]) -> Fault | None:
    """What is to be answered where Host is none (RFC 9110, 7.2); it may be empty, or missing."""
    if len(hosts) > 1:
        return Fault(Kind.MALFORMED, "the header Host came more than once; send it once")
    if hosts and hosts[0] and not _HOST.fullmatch(hosts[0].lower()):
        message = f"the header Host is {hosts[0]!r:.100}, which is no host"
        return Fault(Kind.MALFORMED, f"{message}; send a name or an address, and a port if need be")
    return None


def _misdirected(host: str) -> Fault:
    message = f"this server is not known as {host!r:.100}; call it by an IP address or as localhost"
    return Fault(
        Kind.MISDIRECTED, f"{message}, or have its operator add the name to the setting hosts"
    )


def _foreign(origin: str | None) -> Fault:
    whose = f"of {origin!r:.100}" if origin else "of another origin"
    message = f"pages {whose} may not call this server"
    return Fault(
        Kind.FOREIGN, f"{message}; its operator can list their origin in the setting origins"
    )
