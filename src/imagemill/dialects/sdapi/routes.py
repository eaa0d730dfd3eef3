"""AUTOMATIC1111's API, under `/sdapi/v1`."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from imagemill import infotext
from imagemill.catalog import EMBEDDED
from imagemill.dialects.sdapi import (
    active_calls,
    bodies,
    checkpoints,
    init_images,
    inpainting,
    lists,
    options,
    read,
    vocabulary,
    write,
)
from imagemill.dialects.sdapi.vocabulary import DIALECT, InvalidBody, detail
from imagemill.dialects.sdapi.write import SdapiResponse
from imagemill.errors import Fault, Kind
from imagemill.http import json_body, operation, replies
from imagemill.http.context import AppContext
from imagemill.http.identity import named_by, person_of
from imagemill.http.unknown_fields import everywhere, unknown_fields_of
from imagemill.images.decode import texts_of
from imagemill.images.provenance import provenance
from imagemill.job import FINAL, Submission
from imagemill.jobs.places import Place
from imagemill.threads import DECODING, ENCODING

Handler = Callable[..., Awaitable[Response]]

QUEUE = "/queue/status"  # of A1111's page, which Krita's plug-in asks to learn whether it lives


class Sdapi:
    """The dialect at work for one server. Options and calls under way are of this process alone."""

    def __init__(self, context: AppContext) -> None:
        self.context, self.service = context, context.service
        self.options, self.calls = options.CallerOptions(), active_calls.ActiveCalls()

    def painting(self, model: type[bodies.SdapiBody]) -> Handler:
        """What answers calls whose body is a `model`."""
        paint = operation.Operation(
            DIALECT,
            _check,
            partial(self._read, model),
            self._reply,
            lambda _, fault: refuse(fault),
            passes=everywhere,
        )
        return paint.handler(self.context)

    async def _read(self, model: type[bodies.SdapiBody], call: operation.Call) -> Submission:
        def parsed(body: bytes) -> bodies.SdapiBody:
            return bodies.take(model, read.value(body), call.unknown)

        body = await operation.reading(call.body, parsed, call.body)
        call.admit()
        sources = init_images.InitImages(self.service, call.base(), named_by(call.request))
        kept = self.options.of(person_of(call.request))
        plan = await read.plan(self.context, body, sources, kept, call.unknown)
        call.images, call.state = init_images.inline(plan.canvas), read.lightened(plan)
        return plan.submission

    async def _reply(self, call: operation.Call, submission: Submission) -> Response:
        assert isinstance(call.state, read.Plan), "as read leaves it"
        plan, person = replace(call.state, submission=submission), person_of(call.request)
        await operation.hold(call.request, plan.memory)
        if plan.body.override_settings_restore_afterwards is False:
            self.options.set(person, plan.overrides)
        work = partial(self._painted, person, plan, call.base(), call.place)
        body, headers = await self.service.share(submission, work)
        return SdapiResponse(body, headers=headers)

    async def _painted(
        self, person: str, plan: read.Plan, base: str, place: Place | None
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """The body and the headers of a reply that somebody waits for."""
        submission = replace(plan.submission, repeat=None)  # this work is shared
        job = await self.service.begin(submission, place=place)
        current = active_calls.ActiveCall(job, plan.body.force_task_id or f"task({job.id})")
        self.calls.add(person, current)
        try:
            async for item in self.service.watch(job.id):
                current.update(item)
        finally:
            self.calls.remove(person, current)
            await asyncio.shield(self.service.leave(job))
        return await self._body_of(plan, current, base)

    async def _body_of(
        self, plan: read.Plan, current: active_calls.ActiveCall, base: str
    ) -> tuple[dict[str, Any], dict[str, str]]:
        job, stopped = current.job, current.stopped or current.skipped
        if stopped and job.fault is not None and job.fault.kind is Kind.CANCELLED:
            there, served_by = await _so_far(plan, current), _served_by(plan)
            return write.painted(plan, job, there, served_by, base), {}
        if job.status not in FINAL:
            raise Fault(Kind.NOT_FOUND, "the request was removed")
        painted = await self.service.painted(job)
        answer = job.answer(painted)
        operation.report(plan.submission, answer)
        format = plan.submission.generation.format
        whole = [
            await ENCODING.run(inpainting.finished, each, plan.canvas, format)
            for each in painted.pictures
        ]
        body = write.painted(plan, job, whole, painted.served_by, base)
        return body, replies.headers(answer)

    async def progress(self, request: Request, skip_current_image: bool = False) -> Response:
        person = self._person(request)
        current = self.calls.current(person)
        shown = self.options.of(person)[options.PREVIEWS] and not skip_current_image
        newest = current.newest if current is not None and shown else None
        image = None if newest is None else await ENCODING.run(inpainting.as_png, newest)
        now, count = self.service.now(), self.calls.count(person)
        return SdapiResponse(write.progress(current, count, now, image))

    async def interrupt(self, request: Request) -> Response:
        if (current := self.calls.current(self._person(request))) is not None:
            current.stopped = True
            await self.service.cancel(current.job)
        return SdapiResponse({})

    async def skip(self, request: Request) -> Response:
        """All pictures of a call are painted together, so there is no next one to go on with."""
        if (current := self.calls.current(self._person(request))) is not None:
            current.skipped = True
            await self.service.cancel(current.job)
        return SdapiResponse(None)

    async def get_options(self, request: Request) -> Response:
        kept = self.options.of(self._person(request))
        title = kept[options.CHECKPOINT] or self.context.catalog.default
        return SdapiResponse(write.options(kept, title))

    async def set_options(self, request: Request) -> Response:
        unknown = unknown_fields_of(request.scope, everywhere, self.context.strict)
        values = options.checked(await self._body(request), unknown)
        if name := values.get(options.CHECKPOINT):
            values[options.CHECKPOINT] = checkpoints.find(self.context.catalog, name).id
        self.options.set(person_of(request), values)
        return SdapiResponse(None)

    async def png_info(self, request: Request) -> Response:
        image = (await self._body(request)).get("image")
        if not isinstance(image, str) or not image.strip():
            raise InvalidBody([detail("png", "the image is missing", "missing")])
        with self.service.admit(person_of(request)):
            return SdapiResponse(await DECODING.run(_png_info, image))

    def _person(self, request: Request) -> str:
        """Whose progress, interrupts and options these are."""
        read.credential(request.headers)
        return person_of(request)

    async def _body(self, request: Request) -> dict[str, Any]:
        body = await operation.read_body(request, self.context.input_limit)
        read.credential(request.headers)
        return await operation.reading(body, _object, body)

    def listing(self, name: str) -> Handler:
        async def listed(request: Request) -> Response:
            self._person(request)
            return SdapiResponse(lists.LISTS[name](self.context.catalog))

        return listed

    def nothing(self, name: str) -> Handler:
        async def done(request: Request) -> Response:
            self._person(request)
            return SdapiResponse(lists.DONE[name])

        return done

    def refusing(self, name: str) -> Handler:
        async def refused(request: Request) -> Response:
            self._person(request)
            raise Fault(Kind.UNSUPPORTED, f"{name}: {lists.REFUSED[name]}")

        return refused

    async def queue_status(self, request: Request) -> Response:
        waiting = await self.service.waiting()
        return SdapiResponse(
            {"msg": "estimation", "queue_size": waiting, "rank": None, "rank_eta": None}
        )


def _check(request: Request) -> None:
    read.credential(request.headers)
    operation.fields_in_query(request)


async def _so_far(plan: read.Plan, current: active_calls.ActiveCall) -> list[bytes]:
    """What there is of an interrupted call: the last preview of each image."""
    generation, images = current.job.generation, list[bytes]()
    for index, preview in sorted(current.previews.items()):
        seed = generation.seed_of(index)
        facts = provenance(generation, seed, _served_by(plan), plan.sampler.name)
        size, format = (generation.width, generation.height), generation.format
        images.append(
            await ENCODING.run(inpainting.unfinished, preview, size, plan.canvas, format, facts)
        )
    return images


def _served_by(plan: read.Plan) -> str:
    submission = plan.submission
    return EMBEDDED if submission.source == EMBEDDED else submission.generation.model


def _object(body: bytes) -> dict[str, Any]:
    content = read.value(body)
    if not isinstance(content, dict):
        raise InvalidBody([detail(None, "the body is not an object", "dict_type")])
    return content


def _png_info(image: str) -> dict[str, Any]:
    text, items = texts_of(init_images.decoded(image, "png"), "png")
    return {"info": text, "items": items, "parameters": infotext.read(text)}


def refuse(fault: Fault) -> Response:
    headers = replies.fault_headers(fault)
    if fault.kind is Kind.DENIED:
        headers["www-authenticate"] = "Basic"
    return SdapiResponse(vocabulary.error_body(fault), vocabulary.STATUSES[fault.kind], headers)


def _request(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


_ERROR = {"type": "object", "required": ["detail"], "properties": {"detail": {}}}
_PNG = {"type": "object", "required": ["image"], "properties": {"image": {"type": "string"}}}
_SETTING = {"type": "object", "properties": {name: {} for name in options.DEFAULTS}}


def routes(context: AppContext) -> APIRouter:
    router, sdapi = APIRouter(tags=["sdapi"]), Sdapi(context)
    answering = partial(operation.answering, context, DIALECT, refuse)
    images = [
        (name, sdapi.painting(model), json_body.schema(model))
        for name, model in (("txt2img", bodies.Txt2imgBody), ("img2img", bodies.Img2imgBody))
    ]
    others: list[tuple[str, str, Handler, dict[str, Any] | None]] = [
        ("GET", "progress", sdapi.progress, None),
        ("POST", "interrupt", sdapi.interrupt, None),
        ("POST", "skip", sdapi.skip, None),
        ("GET", "options", sdapi.get_options, None),
        ("POST", "options", sdapi.set_options, _SETTING),
        ("POST", "png-info", sdapi.png_info, _PNG),
        *(("GET", name, sdapi.listing(name), None) for name in lists.LISTS),
        *(("POST", name, sdapi.nothing(name), None) for name in lists.DONE),
        *(("POST", name, sdapi.refusing(name), None) for name in lists.REFUSED),
        ("GET", QUEUE, sdapi.queue_status, None),
    ]
    for verb, name, handler, schema in (
        *(("POST", *each) for each in images),
        *((verb, name, answering(handler), schema) for verb, name, handler, schema in others),
    ):
        spoken = name.strip("/").replace("-", " ").replace("/", " ")
        router.add_api_route(
            name if name == QUEUE else f"/sdapi/v1/{name}",
            handler,
            methods=[verb],
            response_class=SdapiResponse,
            summary=spoken.capitalize(),
            operation_id=f"sdapi_{verb.lower()}_{spoken.replace(' ', '_')}",
            openapi_extra=_request(schema) if schema else None,
            responses=replies.responses(vocabulary.STATUSES, _ERROR),
        )
    return router
