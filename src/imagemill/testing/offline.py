"""One test without a network: its process is led to the server, and every other place refused."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from imagemill.exec.interception import ConnectionOutcome
from imagemill.exec.surroundings import LEADING
from imagemill.testing.clients import forget_clients
from imagemill.testing.guard import guarded, led
from imagemill.testing.recording import RecordedCall, read_calls
from imagemill.testing.session import TestServer


@dataclass(frozen=True)
class Offline:
    """What a test knows of the calls that were made in it."""

    server: TestServer
    _start: int  # in the file of calls
    _refused_before: Counter[str]
    _guarded: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Of the server that answers."""
        return self.server.url

    @property
    def environment(self) -> dict[str, str]:
        """All variables of a program that the test starts; this process has them already."""
        return self.server.environment

    @property
    def calls(self) -> list[RecordedCall]:
        """What was answered in this test so far, in order."""
        return list(read_calls(self.server.calls, self._start))

    @property
    def refused(self) -> list[str]:
        """The other hosts that were called in this test, each once."""
        by_proxy = _refused(self.server) - self._refused_before
        return sorted({*by_proxy, *self._guarded})


@contextmanager
def offline(server: TestServer) -> Iterator[Offline]:
    """Leads this process to `server`, as long as the `with` lasts."""
    start = server.calls.stat().st_size if server.calls.exists() else 0
    each = Offline(server, start, _refused(server))
    variables = server.environment
    with (
        pytest.MonkeyPatch.context() as patch,
        led(json.loads(variables[LEADING])) as leading,
        guarded(patch, leading, each._guarded.append),
    ):
        for name in os.environ.keys() - variables.keys():
            patch.delenv(name)
        for name, value in variables.items():
            if os.environ.get(name) != value:
                patch.setenv(name, value)
        forget_clients()
        try:
            yield each
        finally:
            forget_clients()


def _refused(server: TestServer) -> Counter[str]:
    counts = server.redirection.proxy.counts.copy()  # of a thread that goes on counting
    return Counter(
        {
            host: count
            for (outcome, host), count in counts.items()
            if outcome is ConnectionOutcome.REFUSED
        }
    )
