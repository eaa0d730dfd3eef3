"""OpenAI Images, under `/openai/v1`."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response

from imagemill.dialects.openai import bodies, write
from imagemill.dialects.openai.image_inputs import ImageInputs
from imagemill.dialects.openai.read import DOOR, Terms, endpoint_of, read
from imagemill.dialects.openai.words import STATUSES, Told, Wrong, credential, refuse
from imagemill.errors import Fault
from imagemill.http import json_body, operation, replies, sse
from imagemill.http.context import AppContext
from imagemill.http.identity import named_by, person_of
from imagemill.job import FINAL, Job, Submission
from imagemill.news import Preview
from imagemill.threads import ENCODING

PREFIX = "/openai/v1"
Reading = Callable[[bytes, str], Awaitable[bodies.Sent]]


class OpenAI:
    """The dialect at work for one server."""

    def __init__(self, context: AppContext) -> None:
        self.context, self.service = context, context.service

    async def generations(self, request: Request) -> Response:
        return await self._paint(request, "generations", bodies.generate, self.context.body_limit)

    async def edits(self, request: Request) -> Response:
        return await self._paint(request, "edits", bodies.edit, self.context.input_limit)

    async def variations(self, request: Request) -> Response:
        return await self._paint(request, "variations", bodies.vary, self.context.input_limit)

    async def models(self, request: Request) -> Response:
        credential(request.headers)
        return Told(write.models(self.context.catalog, self.context.base(request)))

    async def model(self, request: Request, id: str) -> Response:
        credential(request.headers)
        endpoint_of(self.context.catalog, id)
        return Told(write.model(id))

    async def _paint(self, request: Request, task: str, reading: Reading, limit: int) -> Response:
        body = await operation.read_body(request, limit)
        credential(request.headers)
        if request.url.query:
            raise Wrong("Parameters in the URL are not read; put them into the body.", None)
        answer = self._answer(request, task, reading, body)
        del body  # which is not kept while the picture is painted
        return await operation.while_listening(request, answer)

    async def _submission(
        self, request: Request, task: str, reading: Reading, body: bytes, base: str
    ) -> tuple[Submission, Terms]:
        sent = await reading(body, request.headers.get("content-type", ""))
        inputs = ImageInputs(self.service, named_by(request), base)
        submission, terms = await read(self.context.catalog, task, sent, inputs)
        return await operation.called(self.context, request, sent.identity, submission), terms

    async def _answer(self, request: Request, task: str, reading: Reading, body: bytes) -> Response:
        began, base = time.monotonic(), self.context.base(request)
        with self.service.admit(person_of(request)) as place:
            submission, terms = await self._submission(request, task, reading, body, base)
            del body
            if terms.stream:
                job = await self.service.begin(submission, terms.partials > 0, place)
                told = self._events(job, terms)
                return sse.Watched(told, {}, lambda: self.service.leave(job))
            job = await self.service.wait_for(submission, place)
        answer = await write.finished(self.service, job, terms)
        operation.report(submission, answer)
        whole = await write.reply(self.service, job, terms, answer, base)
        taken = round((time.monotonic() - began) * 1000)
        headers = replies.headers(answer) | {"openai-processing-ms": str(taken)}
        return Told(whole, headers=headers)

    async def _events(self, job: Job, terms: Terms) -> AsyncGenerator[str]:
        """Pictures on their way, at last the finished ones."""
        pulse, sent = sse.Pulse(), 0
        async for item in self.service.watch(job.id):
            if isinstance(item, Preview):
                if write.wanted(terms, item, sent):
                    now = self.service.now()
                    yield await ENCODING.run(write.partial, terms, item, sent, now)
                    sent += 1
                    pulse.beat()
            elif isinstance(item, Job) and item.status in FINAL:
                async for told in self._last(item, terms, sent):
                    yield told
            elif pulse.due():
                yield sse.ALIVE

    async def _last(self, job: Job, terms: Terms, sent: int) -> AsyncGenerator[str]:
        try:
            answer = await write.finished(self.service, job, terms)
        except Fault as fault:
            yield write.failed(fault)
            return
        for event in write.completed(job, terms, answer, sent):
            yield event


_TEXT: dict[str, Any] = {"type": "string"}
_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": _TEXT,
                "type": _TEXT,
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_ITEM = {"type": "object", "properties": {"url": _TEXT, "b64_json": _TEXT, "revised_prompt": _TEXT}}
_PAINTED: dict[str, Any] = {
    "description": "The pictures, as URLs or in base64; with `stream`, events",
    "headers": replies.HEADERS,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["created", "data"],
                "properties": {
                    "created": {"type": "integer"},
                    "data": {"type": "array", "items": _ITEM},
                },
            }
        },
        "text/event-stream": {"schema": _TEXT},
    },
}
_MODELS = {"description": "What can be asked for", "content": {"application/json": {}}}
_FILE = {"type": "string", "format": "binary"}


def _form(model: type[bodies.Painting], *lists: str) -> dict[str, Any]:
    """The fields of a body as the parts of a form, with its files."""
    whole = json_body.schema(model)
    fields = {name: each for name, each in whole["properties"].items() if name != "images"}
    files: dict[str, Any] = {"image": _FILE} | {
        name: {"type": "array", "items": _FILE} if name.endswith("[]") else _FILE for name in lists
    }
    return whole | {"properties": fields | files}


def _request(**schemas: dict[str, Any]) -> dict[str, Any]:
    types = {"json": "application/json", "form": "multipart/form-data"}
    content = {types[kind]: {"schema": schema} for kind, schema in schemas.items()}
    return {"requestBody": {"required": True, "content": content}}


def routes(context: AppContext) -> APIRouter:
    router, openai = APIRouter(tags=["openai"]), OpenAI(context)
    generate, edit = json_body.schema(bodies.Generate), json_body.schema(bodies.Edit)
    refused = replies.responses(STATUSES, _ERROR)
    for path, handler, summary, asked in (
        ("generations", openai.generations, "Text to image", _request(json=generate)),
        ("edits", openai.edits, "Images and text to image",
         _request(form=_form(bodies.Edit, "image[]", "mask"), json=edit)),
        ("variations", openai.variations, "Another like this image",
         _request(form=_form(bodies.Vary))),
    ):  # fmt: skip
        router.add_api_route(
            f"{PREFIX}/images/{path}",
            operation.answering(context, DOOR, refuse, handler),
            methods=["POST"],
            response_class=Told,
            summary=summary,
            operation_id=f"openai_{path}",
            openapi_extra=asked,
            responses={200: _PAINTED, **refused},
        )
    for path, found, summary in (
        ("/models", openai.models, "All models"),
        ("/models/{id:path}", openai.model, "One model"),
    ):
        router.add_api_route(
            PREFIX + path,
            operation.answering(context, DOOR, refuse, found),
            methods=["GET"],
            response_class=Told,
            summary=summary,
            operation_id=f"openai_{found.__name__}",
            responses={200: _MODELS, **refused},
        )
    return router
