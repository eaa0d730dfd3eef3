"""What upstreams paint of our jobs, kept so that it goes on after a restart, and is not paid twice.

A row is written before a job is sent, again when the upstream has answered by which id it knows it,
and goes when the job has ended and nothing is painted for it there any more.
"""

from sqlalchemy import delete, select

from imagemill.job import FINAL, RemoteRequest, Status
from imagemill.store.database import Database, unbroken
from imagemill.store.schema import JOBS, REMOTE_REQUESTS

_ENDED = tuple(status.value for status in FINAL)


class RemoteRequestTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    @unbroken
    async def get(self, job: str) -> RemoteRequest | None:
        wanted = select(REMOTE_REQUESTS).where(REMOTE_REQUESTS.c.job == job)
        async with self._database.reading() as connection:
            row = (await connection.execute(wanted)).first()
        return None if row is None else RemoteRequest(**row._mapping)

    @unbroken
    async def put(self, request: RemoteRequest) -> None:
        row = {
            "job": request.job,
            "source": request.source,
            "id": request.id,
            "created": request.created,
        }
        written = self._database.insert(REMOTE_REQUESTS).values(row)
        async with self._database.writing() as connection:
            await connection.execute(
                written.on_conflict_do_update(index_elements=["job"], set_={"id": request.id})
            )

    @unbroken
    async def forget(self, job: str) -> None:
        """Nothing is painted for the job any more."""
        mine = REMOTE_REQUESTS.c.job == job
        async with self._database.writing() as connection:
            await connection.execute(delete(REMOTE_REQUESTS).where(mine))

    @unbroken
    async def over(self) -> list[tuple[RemoteRequest, Status]]:
        """What is kept of jobs that have ended, and how they did; of one that is not there any more
        it is as if it had failed.
        """
        ended = JOBS.c.status.in_(_ENDED) | JOBS.c.id.is_(None)
        joined = REMOTE_REQUESTS.outerjoin(JOBS, JOBS.c.id == REMOTE_REQUESTS.c.job)
        wanted = select(REMOTE_REQUESTS, JOBS.c.status).select_from(joined).where(ended)
        async with self._database.reading() as connection:
            rows = (await connection.execute(wanted)).all()
        return [
            (
                RemoteRequest(row.job, row.source, row.id, row.created),
                Status(row.status or Status.FAILED),
            )
            for row in rows
        ]
