"""Refuses this process every place but this machine, for clients that ignore proxies; leads those
here that call one of the hosted APIs.
"""

import errno
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from imagemill.exec.preload.sitecustomize import HOOKED, Leading
from imagemill.networks import is_loopback

CONNECTED = ("connect", "connect_ex")
Report = Callable[[str], object]


@contextmanager
def led(facts: Mapping[str, Any]) -> Iterator[Leading]:
    """Leads this process as `imagemill exec` leads programs. facts: that it tells them."""
    leading = Leading(facts)
    for module in [sys.modules[name] for name in HOOKED if name in sys.modules]:
        leading.change(module)
    try:
        yield leading
    finally:
        leading.undo()


@contextmanager
def guarded(patch: pytest.MonkeyPatch, leading: Leading, report: Report) -> Iterator[None]:
    """Refuses look-ups and connections of Python's sockets, but for hosts that are led here;
    `report` hears of the others.
    """
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name and not _here(name) and not leading.lists(name):
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
