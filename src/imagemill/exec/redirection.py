"""Leads clients of the hosted APIs to a server: a proxy that stands for their hosts, and the
environment that brings clients to it.
"""

import secrets
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from imagemill.exec.interception import InterceptionPolicy, Proxy, proxying
from imagemill.exec.surroundings import above, environment, roots
from imagemill.exec.tunnels import PORTS, Destination, basic
from imagemill.tls import Authority

USER = "imagemill"  # of the proxy; the secret tells who is served


@dataclass(frozen=True)
class Redirection:
    """A proxy that runs, and what leads to it."""

    #: Counts the connections by what became of them.
    proxy: Proxy
    #: Of the proxy, with its secret.
    address: str
    #: A file of all roots that are to be trusted.
    trust: Path
    #: The address of the server that answers.
    server: str
    #: The hosts that it answers for.
    hosts: Sequence[str]

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """All variables of a program that is to be led here."""
        return environment(inherited, self.server, self.address, self.trust, self.hosts)


@asynccontextmanager
async def redirecting(
    inherited: Mapping[str, str],
    server: str,
    hosts: Sequence[str],
    authority: Authority,
    folder: Path,
    offline: bool,
) -> AsyncIterator[Redirection]:
    """Leads clients of `hosts` to the server at that address, as long as the `with` lasts.

    folder: for the file of roots. offline: whether all other hosts are refused.
    """
    certificate = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.load_cert_chain(*authority.leaf(hosts))
    certificate.set_alpn_protocols(["http/1.1"])
    trust = folder / "roots.pem"
    trust.write_bytes(roots(inherited, authority.bundle()))
    secret = secrets.token_hex(16)
    credential, further = basic(USER, secret), None if offline else above(inherited)
    policy = InterceptionPolicy(
        frozenset(hosts), _destination(server), certificate, credential, offline, further
    )
    async with proxying(policy) as proxy:
        at = f"http://{USER}:{secret}@127.0.0.1:{proxy.port}"
        yield Redirection(proxy, at, trust, server, hosts)


def _destination(url: str) -> Destination:
    parts = urlsplit(url)
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    return Destination(parts.hostname or "", parts.port or PORTS[parts.scheme], tls)
