"""Predictions: created, waited for, asked after, listed, cancelled."""

import asyncio
import base64
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from imagemill.dialects.replicate import ids, read, write
from imagemill.dialects.replicate.files import FileIndex
from imagemill.dialects.replicate.progress_webhooks import Watchers, overdue, watched
from imagemill.dialects.replicate.read import DIALECT, Create, CreateByVersion
from imagemill.dialects.replicate.streams import Stream
from imagemill.dialects.replicate.targets import Target, by_model, by_version
from imagemill.dialects.replicate.vocabulary import STATUSES, refuse
from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import Draft
from imagemill.http import operation, sse
from imagemill.http.context import AppContext
from imagemill.http.identity import caller_of, of_hugging_face
from imagemill.http.operation import Call, Operation
from imagemill.http.unknown_fields import within
from imagemill.job import Job, Status, Submission

PAGE = 100  # predictions of one page
DEEPEST = 100  # pages that lead back
STOPPING = 5.0  # seconds in which cancelled work may come to its end
SOURCES = ("api", "web")
Body = TypeVar("Body", bound=Create)

_NONE = Fault(Kind.NOT_FOUND, "there is no such prediction, or no longer")


@dataclass(frozen=True)
class Predictions:
    """The routes of predictions."""

    #: Of the server.
    context: AppContext
    #: Knows the files that inputs name.
    file_index: FileIndex
    #: Look after predictions while nobody waits.
    watchers: Watchers

    async def by_version(self, request: Request) -> Response:
        """Creates a prediction with a version."""

        def target(body: CreateByVersion) -> Target:
            return by_version(self._catalog, body.version)

        return await self._creation(CreateByVersion, target).run(self.context, request)

    async def by_model(self, request: Request, owner: str, name: str) -> Response:
        """Creates a prediction with a model."""

        def target(_: Create) -> Target:
            return by_model(self._catalog, f"{owner}/{name}")

        return await self._creation(Create, target).run(self.context, request)

    async def get(self, request: Request, prediction_id: str) -> Response:
        """A prediction as it is."""
        job = await self._job(request, prediction_id)
        if overdue(job, self.context.service.now()):
            job = await self._stop(job)
        return await self._answer(request, job)

    async def cancel(self, request: Request, prediction_id: str) -> Response:
        """Cancels a prediction; one that has ended stays as it is."""
        job = await self._stop(await self._job(request, prediction_id))
        return await self._answer(request, job)

    async def list(self, request: Request) -> Response:
        """The caller's predictions, the newest first; none where no credential tells whose."""
        read.credential(request.headers)
        query, base = request.query_params, self.context.base(request)
        trail, caller = _trail(query.get("cursor")), caller_of(request.headers)
        after, before = _time(query, "created_after"), _time(query, "created_before")
        jobs = list[Job]()
        if _source(query) != "web" and caller:
            earliest = min([*trail[-1:], *([before] if before is not None else [])], default=None)
            service = self.context.service
            jobs = await service.jobs_of(caller, DIALECT, earliest, after, PAGE + 1)
        onward = [*trail, jobs[PAGE - 1].created] if len(jobs) > PAGE else None
        body = {
            "previous": _page(request, base, trail[:-1]) if trail else None,
            "next": _page(request, base, onward) if onward else None,
            "results": [await self._listed(job, base) for job in jobs[:PAGE]],
        }
        return JSONResponse(body)

    async def stream(self, request: Request, token: str) -> Response:
        """What happens to a prediction; the address alone admits, as some clients send no token."""
        base, service = self.context.base(request), self.context.service
        id = ids.unsealed(service.signing_secret(), token)
        data = read.wants_data(request.headers, base)
        return sse.Events(Stream(service, base, data).run(id), {})

    @property
    def _catalog(self) -> Any:
        return self.context.catalog

    def _creation(self, model: type[Body], target_of: Callable[[Body], Target]) -> Operation:
        return Operation(
            DIALECT,
            _check,
            partial(self._read, model, target_of),
            self._reply,
            lambda _, fault: refuse(fault),
            waits=_waits,
            finishes=True,
            listens=False,  # by its own terms: Prefer tells for how long
            passes=within(read.INPUT),
        )

    async def _read(
        self, model: type[Body], target_of: Callable[[Body], Target], call: Call
    ) -> Submission:
        body = await operation.reading(call.body, read.parsed, model, call.body, call.unknown)
        base, target = call.base(), target_of(body)
        draft, remarks = await operation.reading(
            call.body, read.draft, target, body.input, call.unknown
        )
        remarks += [f"{name} is not known" for name in call.unknown.names]
        draft = await self._by_key(draft, base)
        return read.submission(target, body, draft, remarks, call.headers, base)

    async def _reply(self, call: Call, submission: Submission) -> Response:
        request = call.request
        seconds = read.waits(request.headers)
        if of_hugging_face(request.headers):  # whose clients take any status for the last word
            job = await self._finished(request, submission)
            if job.fault is not None:
                raise job.fault
            return await self._answer(request, job, 201)
        job = await self._submit(submission)
        if seconds is None:
            return await self._answer(request, job, 201)
        job = await self._wait(request, submission, job, seconds)
        if write.ended(job):
            return await self._answer(request, job, 201)
        # Any other word would make clients take the prediction for done, without an output.
        return await self._answer(request, job, 202, status=STATUSES[Status.QUEUED])

    async def _finished(self, request: Request, submission: Submission) -> Job:
        """The job at its end, for clients that ask only once."""
        if not watched(submission.dialect_state):
            return await operation.while_listening(
                request, self.context.service.wait_for(submission)
            )
        return await self._wait(request, submission, await self._submit(submission), None)

    async def _by_key(self, draft: Draft, base: str) -> Draft:
        """The draft with files of ours by their names."""
        image, mask = [
            await self.file_index.named(read.reference(each, name), base)
            for name, each in (("image", draft.image), ("mask", draft.mask))
        ]
        references = [
            await self.file_index.named(read.reference(each, "image"), base)
            for each in draft.references
        ]
        loras = [
            replace(lora, path=await self.file_index.named(lora.path, base) or lora.path)
            for lora in draft.loras
        ]
        whole = replace(draft, image=image, mask=mask, loras=tuple(loras))
        return replace(whole, references=tuple(filter(None, references)))

    async def _submit(self, submission: Submission) -> Job:
        """The job of a call, or of the one that it repeats."""
        service, url = self.context.service, submission.dialect_state["webhook"]
        if url is not None and submission.webhook_url is None:
            await service.check_receiver(url, submission.local, submission.caller)
        job, new = await service.once(self.watchers.admit(submission))
        if new:
            self.watchers.begin(job)
        return job

    async def _wait(
        self, request: Request, submission: Submission, job: Job, seconds: float | None
    ) -> Job:
        try:
            return await operation.while_listening(request, self._within(job, seconds))
        except operation.Gone:
            if not self.context.finishes(DIALECT, usual=True) and submission.repeat is None:
                await self.context.service.cancel(job)
            raise

    async def _within(self, job: Job, seconds: float | None) -> Job:
        """The job when it has ended, or as it is after so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self.context.service.ended(job.id)
        return await self.context.service.job(job.id, job.submission.caller)

    async def _job(self, request: Request, id: str) -> Job:
        read.credential(request.headers)
        try:
            job = await self.context.service.job(ids.decode(id), caller_of(request.headers))
        except Fault:
            raise _NONE from None
        if job.submission.dialect != DIALECT:
            raise _NONE
        return job

    async def _stop(self, job: Job) -> Job:
        """Running work stops within two steps, which are waited for."""
        return await self._within(await self.context.service.cancel(job), STOPPING)

    async def _answer(
        self, request: Request, job: Job, code: int = 200, status: str | None = None
    ) -> Response:
        base = self.context.base(request)
        data = read.wants_data(request.headers, base)
        body = await write.prediction(self.context.service, job, base, data)
        headers = {"location": body["urls"]["get"]}
        if job.result is not None:
            headers["x-imagemill-model"] = job.result.served_by
        return JSONResponse(body | ({"status": status} if status else {}), code, headers)

    async def _listed(self, job: Job, base: str) -> dict[str, Any]:
        """Without the log and with addresses, so that a page stays small."""
        output = await write.output(self.context.service, job, base, data=False)
        return write.facts(self.context.service, job, base) | {"output": output}


def _check(request: Request) -> None:
    read.credential(request.headers)
    operation.fields_in_query(request)


def _waits(call: Call, submission: Submission) -> bool:
    """Whether nobody but the caller, who asks only once, looks after the prediction."""
    return of_hugging_face(call.headers) and not watched(submission.dialect_state)


def _source(query: Any) -> str | None:
    source = query.get("source")
    if source is not None and source not in SOURCES:
        raise invalid("query", f"source {source!r:.80} is none; one of {', '.join(SOURCES)}")
    return str(source) if source is not None else None


def _time(query: Any, name: str) -> float | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        # A plus that was not escaped comes as a space.
        moment = datetime.fromisoformat(text.strip().replace(" ", "+"))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        way_out = "write 2026-01-31T12:00:00Z"
        raise invalid("query", f"{name} {text!r:.80} is no time; {way_out}") from None


def _trail(cursor: str | None) -> list[float]:
    """The times that pages ended with, from the first page to the one before this."""
    if cursor is None:
        return []
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        times = [float(each) for each in text.split(",")]
    except ValueError:
        times = [math.nan]
    if not all(math.isfinite(each) for each in times):
        raise invalid("cursor", f"cursor {cursor!r:.80} was not given here; begin without one")
    return times


def _page(request: Request, base: str, trail: list[float]) -> str:
    kept = {name: each for name, each in request.query_params.items() if name != "cursor"}
    if trail:
        text = ",".join(map(repr, trail[-DEEPEST:]))
        kept["cursor"] = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    query = f"?{urlencode(kept)}" if kept else ""
    return f"{base}{write.PREFIX}/predictions{query}"
