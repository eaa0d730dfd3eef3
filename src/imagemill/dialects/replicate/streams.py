"""A prediction as server-sent events: its log as it grows, its files, its end."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from imagemill.dialects.replicate import write
from imagemill.http import sse
from imagemill.job import Job, Line
from imagemill.jobs.service import Service


@dataclass
class Stream:
    """The events of one prediction."""

    #: Knows the job, and what happens to it.
    service: Service
    #: The address under which the caller knows this server.
    base: str
    #: Files go as data URIs.
    data: bool
    #: Numbers of lines.
    sent: set[int] = field(default_factory=set)
    #: Events so far, as an id of each: Python's client drops events without one.
    count: int = 0

    async def run(self, id: str) -> AsyncGenerator[str]:
        pulse, job = sse.Pulse(), None
        async for item in self.service.watch(id):
            if isinstance(item, Job):
                if job is None:
                    yield self._event("logs", "\n".join(write.opening(item)))
                job = item
                lines = await self.service.lines(job)
            else:
                lines = [item] if isinstance(item, Line) else []
            assert job is not None  # it comes first
            new = [line for line in lines if line.number not in self.sent]
            for line in new:
                self.sent.add(line.number)
                yield self._event("logs", write.said(job, line))
            if new:
                pulse.beat()
            elif pulse.due():
                yield sse.ALIVE
        if job is not None:
            async for event in self._end(job):
                yield event

    async def _end(self, job: Job) -> AsyncGenerator[str]:
        output = await write.output(self.service, job, self.base, self.data)
        for each in output if isinstance(output, list) else [output]:
            if each is not None:
                yield self._event("output", each)
        failure = dict(write.failure(job) or {})
        if detail := failure.pop("detail", None):
            yield self._event("error", {"detail": detail})
        yield self._event("done", failure)

    def _event(self, name: str, body: Any) -> str:
        self.count += 1
        at = int(self.service.now() * 1000)
        return sse.event(body, name, f"{at}:{self.count}")
