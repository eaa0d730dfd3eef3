"""A database that an older version wrote opens, tells the same, and its queue goes on.

tests/old_database was written at schema 0011, before jobs held submissions: three jobs that had
ended, one that waited, and what was answered about them.
"""

import json
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest

from imagemill.app import create_app
from imagemill.files.identity import MARK
from imagemill.settings import Settings
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

OLD = Path(__file__).parent / "old_database"
KNOWN: dict[str, Any] = json.loads((OLD / "answers.json").read_text("utf-8"))
FOREVER = 10**9  # seconds, so that nothing of it is too old
QUEUE = "/fal/queue/fal-ai/flux/requests"


def later(body: dict[str, Any]) -> dict[str, Any]:
    """What fal's errors say since then, besides: the same in one line."""
    detail = body.get("detail")
    if isinstance(detail, list):
        detail = "; ".join(f"{'.'.join(each['loc'][1:])}: {each['msg']}" for each in detail)
    return {"message": detail} if detail else {}


async def test_an_old_database_tells_the_same_and_its_queue_goes_on(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "imagemill.db") as database:
        database.executescript((OLD / "database.sql").read_text("utf-8"))
    database.close()
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / MARK).write_text(KNOWN["files"], "ascii")
    engine = PlainEngine()
    app = create_app(Settings(data_dir=tmp_path, retention=FOREVER), engine)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for answer in KNOWN["answers"]:
                headers = {"authorization": answer["authorization"]}
                reply = await client.get(answer["path"], headers=headers)
                assert reply.status_code == answer["status"]
                assert reply.json() == answer["body"] | later(reply.json())
            await engine.asked(1)
            waited = f"{QUEUE}/{KNOWN['waits']}"
            headers = {"authorization": "Key test"}
            stream = await client.get(f"{waited}/status/stream", headers=headers)
            assert '"COMPLETED"' in stream.text
            assert len((await client.get(waited, headers=headers)).json()["images"]) == 2
    [generation] = engine.submitted
    assert generation.prompt == "waits"
    assert (generation.steps, generation.guidance_scale, generation.num_images) == (3, 2.5, 2)
