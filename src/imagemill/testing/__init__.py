"""Fixtures of pytest for programs that call hosted image APIs (see docs/testing.md).

pytest loads this in every project beside which imagemill is installed: nothing else is imported,
and nothing is started, before a test asks for a fixture.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from imagemill.testing.offline import Offline
    from imagemill.testing.session import TestServer


@pytest.fixture(scope="session")
def imagemill_server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[TestServer]":
    """A server of the embedded model on this machine, ready to paint, for the whole session."""
    from imagemill.testing.session import running

    with running(tmp_path_factory.mktemp("imagemill")) as server:
        yield server


@pytest.fixture
def imagemill_offline(imagemill_server: "TestServer") -> "Iterator[Offline]":
    """The hosted image APIs, answered in this test by `imagemill_server`; all else is refused."""
    from imagemill.testing.offline import offline

    with offline(imagemill_server) as each:
        yield each
