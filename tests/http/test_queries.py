"""Parameters in the URL that mean nothing here, as Azure's clients and trackers send them."""

import logging
from pathlib import Path

import pytest

from tests.engines import PlainEngine
from tests.painting_calls import CALLS
from tests.test_admission import open_server

pytestmark = pytest.mark.anyio

QUERY = "api-version=2025-04-01-preview&utm_source=x"
# Those that say so, where a field of the body is in the URL; the others never have.
REFUSE = ("hf-inference", "flat", "openai", "shared", "together", "nebius", "nebula")


async def test_any_parameter_in_the_url_was_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with open_server(tmp_path, PlainEngine()) as client:
        for name, call in CALLS.items():
            caplog.clear()
            reply = await client.post(f"{call.path}?{QUERY}", json=call.body)
            assert reply.status_code < 300, (name, reply.text)
            assert "the URL were passed over: api-version, utm_source" in caplog.text, name
            said = [each.getMessage() for each in caplog.records if each.name != "httpx"]
            assert "2025-04-01" not in str(said), "values may be secrets"
        for path in (
            "/together/v1/models",
            "/nebius/v1/models",
            "/nebula/api/v1/serverless/models",
        ):
            reply = await client.get(f"{path}?{QUERY}")
            assert reply.status_code == 200, (path, reply.text)


async def test_a_field_of_the_body_in_the_url_is_refused_by_name(tmp_path: Path) -> None:
    async with open_server(tmp_path, engine := PlainEngine()) as client:
        for name in REFUSE:
            call = CALLS[name]
            field = call.steps[-1]
            reply = await client.post(f"{call.path}?{QUERY}&{field}=7", json=call.body)
            assert reply.status_code in (400, 422), (name, reply.text)
            assert field in reply.text
            assert "body" in reply.text
    assert engine.submitted == []
