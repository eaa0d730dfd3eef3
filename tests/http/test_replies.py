"""No reply changes by mistake: all are as tests/replies.jsonl has them, which `python -m
tests.replies` writes anew where a change is meant.
"""

import json
from pathlib import Path

import pytest

from tests.replies import RECORD, STORIES, Plain, bad, lines, recorded, routes, server

anyio = pytest.mark.anyio
ANEW = "routes or STORIES have changed; run python -m tests.replies"


@anyio
async def test_every_reply_is_the_one_on_record(tmp_path: Path) -> None:
    now, before = lines(await recorded(tmp_path)), RECORD.read_text("utf-8").splitlines()
    assert len(now) == len(before), ANEW
    differing = [(a, b) for a, b in zip(before, now, strict=True) if a != b]
    assert differing == []


@anyio
async def test_every_route_is_reached(tmp_path: Path) -> None:
    async with server(tmp_path) as (app, _):
        calls, count = [*STORIES, *bad(app)], len(set(routes(app)))
    replies = RECORD.read_text("utf-8").splitlines()
    assert len(calls) == len(replies), ANEW
    reached = [
        "; see /docs" not in reply
        for call, reply in zip(calls, replies, strict=True)
        if call not in STORIES and call.method != "PATCH"
    ]
    assert all(reached)
    assert len(reached) >= count > 100


def test_well_made_calls_are_answered() -> None:
    replies = [json.loads(line) for line in RECORD.read_text("utf-8").splitlines()]
    good = [reply for reply in replies[: len(STORIES)] if reply["status"] < 300]
    assert len(good) > 0.8 * len(STORIES)
    assert not [reply for reply in replies if reply["status"] == 500]


def test_what_differs_from_run_to_run_is_replaced_and_nothing_else() -> None:
    plain = Plain()
    one, other = "b" * 26, "c" * 26
    told = {"id": one, "urls": {"get": f"http://localhost/p/{one}"}, "of": other, "steps": 28}
    assert plain.value(told) == {
        "id": "<id 0>", "urls": {"get": "http://localhost/p/<id 0>"}, "of": "<id 1>", "steps": 28,
    }  # fmt: skip
    assert plain.text("at 2026-11-28T10:00:00.123Z") == "at <time>"
    assert plain.value({"created": 1_795_000_000, "size": "1024x1024"}) == {
        "created": "<created>", "size": "1024x1024",
    }  # fmt: skip
