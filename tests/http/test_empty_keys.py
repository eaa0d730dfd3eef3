"""Clients without a key send a header all the same, with nothing in it."""

from pathlib import Path

import pytest
from starlette.datastructures import Headers

from imagemill.http.identity import caller_of, formed
from tests.engines import PlainEngine
from tests.painting_calls import CALLS
from tests.test_admission import open_server

pytestmark = pytest.mark.anyio


async def test_an_empty_key_was_refused_though_none_is_needed(tmp_path: Path) -> None:
    """OpenAI's libraries send `Bearer ` for an empty key, Open WebUI an empty header."""
    async with open_server(tmp_path, PlainEngine()) as client:
        for name, call in CALLS.items():
            scheme = call.credential.split()[0]
            for value in ("", " ", scheme, f"{scheme} ", f"{scheme.lower()}   "):
                headers = {"authorization": value, "prefer": "wait"}
                reply = await client.post(call.path, json=call.body, headers=headers)
                assert reply.status_code < 300, (name, value, reply.text)


async def test_an_empty_key_is_nobody_s_and_another_form_is_still_refused(tmp_path: Path) -> None:
    for value in ("", " ", "Bearer", "Bearer ", "Key :", "Basic Og=="):
        assert caller_of(Headers({"authorization": value})) == ""
    async with open_server(tmp_path, engine := PlainEngine()) as client:
        for name, call in CALLS.items():
            if name == "flat":
                continue  # which has no form of its own
            headers = {"authorization": "Digest KEY"}
            reply = await client.post(call.path, json=call.body, headers=headers)
            assert reply.status_code in (400, 401), (name, reply.text)
    assert engine.submitted == []


def test_a_key_alone_is_of_no_form() -> None:
    assert not formed(Headers({"authorization": "hf_abc"}), "bearer")
    assert formed(Headers({"authorization": "BEARER\thf_abc"}), "bearer")
    assert formed(Headers({}), "bearer")
