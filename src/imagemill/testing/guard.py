"""Refuses this process every place but this machine, for clients that ignore proxies."""

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from imagemill.settings import is_loopback

CONNECTED = ("connect", "connect_ex")
Report = Callable[[str], object]


@contextmanager
def guarded(patch: pytest.MonkeyPatch, report: Report) -> Iterator[None]:
    """Refuses look-ups and connections of Python's sockets; `report` hears of the hosts."""
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name and not _here(name):
            report(name)
            raise socket.gaierror(socket.EAI_FAIL, _words(name))
        return look_up(host, *args, **kwargs)

    patch.setattr(socket, "getaddrinfo", getaddrinfo)
    for name in CONNECTED:
        patch.setattr(socket.socket, name, _checked(getattr(socket.socket, name), report))
    yield


def _checked(connect: Callable[..., Any], report: Report) -> Callable[..., Any]:
    def checked(self: socket.socket, address: Any) -> Any:
        internet = self.family in (socket.AF_INET, socket.AF_INET6)
        if internet and not _here(host := str(address[0])):
            report(host)
            raise ConnectionRefusedError(errno.ECONNREFUSED, _words(host))
        return connect(self, address)

    return checked


def _here(host: str) -> bool:
    return host in ("", "0.0.0.0", "::") or is_loopback(host.partition("%")[0])


def _words(host: str) -> str:
    return f"imagemill_offline does not let through {host}"
