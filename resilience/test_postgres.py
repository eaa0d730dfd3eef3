"""PostgreSQL cuts its connections, goes away and comes again."""

import pytest

from resilience.calls import CALLS, JOBS, QUEUE, caller, painting, until_async
from resilience.conftest import DATABASE, Watching
from resilience.postgres import Postgres
from resilience.servers import Server
from resilience.test_database import accepted_or_away, complaint

pytestmark = pytest.mark.anyio

CUTS = 5
ALL = f"all {JOBS} jobs being painted and all {CALLS} calls that waited were finished"


@pytest.mark.fault(f"PostgreSQL ends all connections {CUTS} times while the server paints")
async def test_cut(on_postgres: Server, postgres: Postgres, watched: Watching) -> None:
    async with caller(on_postgres, num_inference_steps=30) as someone:
        with watched(on_postgres) as watch:
            ids, calls = await painting(on_postgres, someone)
            cut = 0
            for number in range(CUTS):
                cut += postgres.cut(DATABASE)
                ids += await someone.accepted(number)
            await someone.all_answered(ids, calls)
            watch.happened = f"{cut} connections were ended; {ALL}, and so was what came between."


@pytest.mark.fault("PostgreSQL is stopped while the server paints, and started again")
async def test_stopped(on_postgres: Server, postgres: Postgres, watched: Watching) -> None:
    async with caller(on_postgres, num_inference_steps=30) as someone:
        with watched(on_postgres) as watch:
            ids, calls = await painting(on_postgres, someone)
            postgres.stop()
            try:
                await until_async(lambda: not on_postgres.health()["ready"])
                why = complaint(on_postgres)
                told = accepted_or_away(await someone.client.post(QUEUE, json=someone.fields))
            finally:
                postgres.start()
            await until_async(lambda: on_postgres.health()["ready"])
            await someone.all_answered(ids, calls)
            assert await someone.all_painted(await someone.submit(1)) == 1
            watch.happened = (
                f"A job sent meanwhile {told}; `/health`: “{why}”. Once it was back {ALL}."
            )
