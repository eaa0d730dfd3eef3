"""Jobs, in OpenAI's words."""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from imagemill.catalog import Catalog
from imagemill.dialects.openai.capabilities import MODELS
from imagemill.dialects.openai.read import ReplyTerms, endpoint_of
from imagemill.dialects.openai.usage import PARTIAL, Usage, of_output_image, of_text
from imagemill.dialects.openai.vocabulary import error_body
from imagemill.errors import Fault
from imagemill.generation import Answer
from imagemill.http import sse
from imagemill.images.encode import QUALITY, compressed, converted
from imagemill.job import File, Job
from imagemill.jobs.job_events import Preview
from imagemill.jobs.service import Service
from imagemill.threads import ENCODING

BORN = 0  # when a model came to be, which nobody knows here
# By how many previews are wanted: the quarters that must be done before each is sent.
LEAST: tuple[tuple[int, ...], ...] = ((), (2,), (1, 3), (1, 2, 3))


async def finished(service: Service, job: Job, terms: ReplyTerms) -> Answer:
    """The images as they are to be sent; raises the job's Fault."""
    painted = await service.painted(job)
    if terms.compression < QUALITY:
        images = [
            await ENCODING.run(compressed, each, terms.format, terms.compression)
            for each in painted.pictures
        ]
        painted = replace(painted, pictures=tuple(images))
    return job.answer(painted)


async def reply(
    service: Service, job: Job, terms: ReplyTerms, answer: Answer, base: str
) -> dict[str, Any]:
    """The whole answer to a call that is not streamed."""
    assert job.result is not None
    files, data = job.result.files, list[dict[str, Any]]()
    for index, (file, image) in enumerate(zip(files, answer.painted.pictures, strict=True)):
        item: dict[str, Any] = {"index": index, "type": "url" if terms.urls else "b64_json"}
        if terms.urls:
            item["url"] = f"{base}/{await _key(service, job, file, image, terms)}"
        if terms.base64:
            item["b64_json"] = b64encode(image).decode()
        if job.result.prompt != terms.prompt:
            item["revised_prompt"] = job.result.prompt
        data.append(item)
    body = {
        "created": int(job.finished or job.created),
        "id": job.id,
        "object": "list",
        "model": job.generation.model,
        "data": data,
        "size": _size(files[0]),
    } | _described(terms)
    if terms.tokens:
        output = sum(of_output_image(file.width, file.height, terms.quality) for file in files)
        body["usage"] = Usage(of_text(terms.prompt), terms.image_tokens, output).body()
    return body


def wanted(terms: ReplyTerms, item: Preview, sent: int) -> bool:
    """Whether a preview is the next that is wanted; of several images the first is shown."""
    least = LEAST[terms.partials]
    quarters = item.step * 4 // item.steps
    return item.index == 0 and sent < len(least) and quarters >= least[sent]


def partial(terms: ReplyTerms, item: Preview, number: int, now: float) -> str:
    image = converted(item.picture, terms.format)
    more = {"partial_image_index": number, "size": terms.size}
    return _event(terms, "partial_image", image, now, more)


def completed(job: Job, terms: ReplyTerms, answer: Answer, partials: int) -> Iterator[str]:
    """An event for each image; what came in is counted with the first."""
    assert job.result is not None
    pairs = zip(job.result.files, answer.painted.pictures, strict=True)
    for index, (file, image) in enumerate(pairs):
        output = of_output_image(file.width, file.height, terms.quality)
        usage = Usage(0, 0, output)
        if index == 0:
            output += PARTIAL * partials
            usage = Usage(of_text(terms.prompt), terms.image_tokens, output)
        more = {"size": _size(file), "usage": usage.body()}
        yield _event(terms, "completed", image, job.finished or job.created, more)


def failed(fault: Fault) -> str:
    return sse.event({"type": "error"} | error_body(fault), "error")


def _event(terms: ReplyTerms, name: str, image: bytes, at: float, more: dict[str, Any]) -> str:
    type = f"{terms.event}.{name}"
    body = {"type": type, "b64_json": b64encode(image).decode(), "created_at": int(at)}
    return sse.event(body | _described(terms) | more, type)


def _described(terms: ReplyTerms) -> dict[str, Any]:
    fields = {"background": "opaque", "quality": terms.quality, "output_format": terms.format}
    named = terms.safety_identifier
    return fields if named is None else fields | {"safety_identifier": named}


def _size(file: File) -> str:
    return f"{file.width}x{file.height}"


async def _key(service: Service, job: Job, file: File, image: bytes, terms: ReplyTerms) -> str:
    """Of the file as it is sent: compressed, it lies beside the first, under the same key each time
    that a call is repeated.
    """
    if terms.compression >= QUALITY:
        return file.key
    return await service.store_variant(job, file, image, str(terms.compression))


def models(catalog: Catalog, base: str) -> dict[str, Any]:
    """All that can be asked for: as OpenAI lists it, and as Replicate does."""
    names = dict.fromkeys([*MODELS, *catalog.names(), *catalog.models()])
    ids = [id for id in names if _served(catalog, id)]
    owned = [_of_replicate(id, base) for id in ids if id.count("/") == 1]
    return {
        "object": "list",
        "data": [model(id) for id in ids],
        "results": owned,
        "next": None,
        "previous": None,
    }


def model(id: str) -> dict[str, Any]:
    owner = id.partition("/")[0] if "/" in id else "openai" if id in MODELS else "imagemill"
    return {"id": id, "object": "model", "created": BORN, "owned_by": owner}


def _served(catalog: Catalog, id: str) -> bool:
    try:
        endpoint_of(catalog, id)
    except Fault:
        return False
    return True


def _of_replicate(id: str, base: str) -> dict[str, Any]:
    owner, name = id.split("/")
    fields = {"url": f"{base}/openai/v1/models/{id}", "owner": owner, "name": name}
    empty = ("description", "github_url", "paper_url", "license_url", "cover_image_url",
             "default_example", "latest_version")  # fmt: skip
    more = {"visibility": "public", "run_count": 0}
    return model(id) | fields | more | dict.fromkeys(empty)
