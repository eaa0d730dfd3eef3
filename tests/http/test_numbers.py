"""Numbers as the hosted APIs take them: what 7.0 and "7" are where an integer is wanted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.engines import PlainEngine
from tests.painting_calls import CALLS
from tests.test_admission import open_server

pytestmark = pytest.mark.anyio

# By JSON Schema 7.0 is an integer and "7" is none. Replicate's refusals are gojsonschema's, the
# task of Hugging Face is such a schema, and Together and Nebula Block document one.
BY_SCHEMA = {7.0: True, "7": False, True: False}
# FastAPI's, whose refusals have `detail` with `loc` and pydantic's types; it is lax.
BY_PYDANTIC = {7.0: True, "7": True, True: True}
# OpenAI answers "expected an integer, but got a decimal number" and "but got a string".
EXACT = {7.0: False, "7": False, True: False}
TAKEN: Mapping[str, Mapping[Any, bool]] = {
    "hf-inference": BY_SCHEMA,
    "replicate": BY_SCHEMA,
    "together": BY_SCHEMA,
    "nebula": BY_SCHEMA,
    "flat": BY_PYDANTIC,
    "fal": BY_PYDANTIC,
    "fal-router": BY_PYDANTIC,
    "nebius": BY_PYDANTIC,
    "sdapi": BY_PYDANTIC,
    "openai": EXACT,
    "shared": BY_PYDANTIC,  # steps, width and height without a size: such a body is Nebius'
}


def test_every_api_is_in_the_table() -> None:
    assert TAKEN.keys() == CALLS.keys()


async def test_a_whole_float_and_a_number_in_quotes_are_integers_where_the_hosted_api_says_so(
    tmp_path: Path,
) -> None:
    async with open_server(tmp_path, engine := PlainEngine()) as client:
        for name, call in CALLS.items():
            for value, taken in TAKEN[name].items():
                body, before = call.with_steps(value), len(engine.submitted)
                reply = await client.post(call.path, json=body, headers={"prefer": "wait"})
                assert (reply.status_code < 300) is taken, (name, value, reply.text)
                assert [each.steps for each in engine.submitted[before:]] == [int(value)] * taken


async def test_what_is_no_integer_is_told_of_everywhere(tmp_path: Path) -> None:
    async with open_server(tmp_path, engine := PlainEngine()) as client:
        for name, call in CALLS.items():
            for value in (7.5, "seven", [7], {"a": 7}, "7.5"):
                reply = await client.post(call.path, json=call.with_steps(value))
                assert reply.status_code in (400, 422), (name, value, reply.text)
                assert call.steps[-1] in reply.text
    assert engine.submitted == []
