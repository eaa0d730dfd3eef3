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

from imagemill.exec.interception import WEB, InterceptionPolicy, Proxy, proxying
from imagemill.exec.surroundings import above, environment, leading, roots
from imagemill.exec.tunnels import PORTS, Destination, basic
from imagemill.tls import CA, Authority

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
    #: Whom those trust who speak with one of these.
    authority: Path

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """All variables of a program that is to be led here."""
        variables = environment(inherited, self.server, self.address, self.trust, self.hosts)
        return variables | leading(variables, self.hosts, self.ports, self.authority, self.offline)

    @property
    def offline(self) -> bool:
        """Whether all other hosts are refused."""
        return self.proxy.policy.offline

    @property
    def ports(self) -> dict[int, int]:
        """By port of a listed host, where whoever asks for it is served."""
        places = {"http": self.proxy.port, "https": self.proxy.secure_port}
        return {port: places[scheme] for port, scheme in self.proxy.policy.ports.items()}


@asynccontextmanager
async def redirecting(
    inherited: Mapping[str, str],
    server: str,
    hosts: Sequence[str],
    authority: Authority,
    folder: Path,
    offline: bool,
    ports: Mapping[int, str] = WEB,
) -> AsyncIterator[Redirection]:
    """Leads clients of `hosts` to the server at that address, as long as the `with` lasts.

    folder: for the file of roots. offline: whether all other hosts are refused. ports: of the
    hosts, with the scheme that is spoken at each.
    """
    trust = folder / "roots.pem"
    trust.write_bytes(roots(inherited, authority.bundle()))
    secret = secrets.token_hex(16)
    credential, further = basic(USER, secret), None if offline else above(inherited)
    policy = InterceptionPolicy(
        frozenset(hosts), _destination(server), _certificate(authority, hosts), credential,
        offline, further, ports, direct=_certificate(authority, hosts),
    )  # fmt: skip
    async with proxying(policy) as proxy:
        at = f"http://{USER}:{secret}@127.0.0.1:{proxy.port}"
        yield Redirection(proxy, at, trust, server, hosts, authority.folder / CA)


def _certificate(authority: Authority, hosts: Sequence[str]) -> ssl.SSLContext:
    certificate = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.load_cert_chain(*authority.leaf(hosts))
    certificate.set_alpn_protocols(["http/1.1"])
    return certificate


def _destination(url: str) -> Destination:
    parts = urlsplit(url)
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    return Destination(parts.hostname or "", parts.port or PORTS[parts.scheme], tls)
