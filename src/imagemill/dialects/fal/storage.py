"""fal's storage: what its clients do to upload a file, and the files under `/fal/cdn`.

Python's client asks for a token and sends a file, or its parts, to the CDN; where that fails it
asks for an upload URL, as the JavaScript client always does. Who has an upload URL needs nothing
else: fal's clients send no credential there.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field, ValidationError

from imagemill.dialects.fal import upload_body, vocabulary
from imagemill.dialects.fal.lifecycle import bearer, check_form, file_lifecycle
from imagemill.dialects.fal.upload_body import UploadLimits
from imagemill.errors import Fault, Kind, invalid
from imagemill.files import keys
from imagemill.files.objects import Objects
from imagemill.http import file_responses, json_body
from imagemill.http.identity import base_of, caller_of

STORAGE_TYPES = ("fal-cdn-v3", "gcs")

_NO_FILE = Fault(Kind.NOT_FOUND, "there is no such file, or no longer")
_NO_UPLOAD = Fault(Kind.NOT_FOUND, "there is no such upload, or no longer; begin a new one")


class AnnouncedFile(json_body.Strict):
    file_name: str | None = None
    content_type: str | None = None


class UploadedPart(json_body.Strict):
    number: Annotated[int, Field(alias="partNumber")]
    etag: str


class UploadedParts(json_body.Strict):
    parts: list[UploadedPart]


@dataclass(frozen=True)
class Storage:
    """The handlers of uploads and of files."""

    #: Where files are kept.
    objects: Objects
    #: Of what is sent.
    limits: UploadLimits

    async def token(self, request: Request) -> Response:
        """A token for uploads to the CDN."""
        check_form(request.headers)
        ends = int(self.objects.clock()) + self.limits.token
        body = {
            "token": await self.objects.ticket(caller_of(request.headers), ends),
            "token_type": "Bearer",
            "base_url": f"{self._base(request)}/fal/cdn",
            "expires_at": datetime.fromtimestamp(ends, UTC).isoformat(),
        }
        return JSONResponse(body)

    async def upload(self, request: Request) -> Response:
        """Takes a whole file."""
        file = await self.objects.put(self._body(request), **await self._announced(request))
        return JSONResponse({"access_url": self._url(request, file.key)})

    async def upload_multipart(self, request: Request) -> Response:
        """Announces a file that comes in parts."""
        begun = await self.objects.begin(**await self._announced(request))
        return JSONResponse({"access_url": self._url(request, begun.key), "uploadId": begun.id})

    async def initiate(self, request: Request) -> Response:
        """An address that takes a whole file."""
        return await self._initiate(request, parts=False)

    async def initiate_multipart(self, request: Request) -> Response:
        """An address below which the parts of a file go."""
        return await self._initiate(request, parts=True)

    async def put(self, request: Request, id: str) -> Response:
        """Takes a whole file that was announced."""
        file = await self.objects.fill(id, self._body(request))
        return JSONResponse({"access_url": self._url(request, file.key)})

    async def put_part(self, request: Request, id: str, number: int) -> Response:
        """Takes one part of a file; in any order, several at a time."""
        whole = self.limits.multipart
        room = whole - await self.objects.held(id, besides=number)
        if room <= 0:
            raise Fault(Kind.TOO_LARGE, f"the parts are larger than {whole} bytes together")
        etag = f'"{await self.objects.put_part(id, number, self._body(request, room))}"'
        return JSONResponse({"partNumber": number, "etag": etag}, headers={"etag": etag})

    async def put_part_at(self, request: Request, rest: str, id: str, number: int) -> Response:
        """Takes one part, below the address that the file will have."""
        await self._check_place(rest, id)
        return await self.put_part(request, id, number)

    async def complete(self, request: Request, id: str) -> Response:
        """Makes one file of its parts."""
        parts = _parts(await upload_body.json(request, self.limits))
        file = await self.objects.complete(id, parts, self.limits.multipart)
        return JSONResponse({"access_url": self._url(request, file.key)})

    async def complete_at(self, request: Request, rest: str, id: str) -> Response:
        """Makes one file of its parts, below the address that it will have."""
        await self._check_place(rest, id)
        return await self.complete(request, id)

    async def file(self, request: Request, rest: str) -> Response:
        """A file; one that is not public only with the credential that it was made with."""
        key = f"files/{rest}"
        file = await self.objects.get(key) if file_responses.KEY.fullmatch(key) else None
        if file is None:
            raise _NO_FILE
        if file.open_to(await self._reader(request)):
            return await file_responses.serve(self.objects, file, request)
        if not keys.guarded(key):
            raise _NO_FILE
        message = "this file is private; send the credential that it was made with"
        return JSONResponse(vocabulary.in_words(message), 403)

    async def _initiate(self, request: Request, parts: bool) -> Response:
        kind = request.query_params.get("storage_type", STORAGE_TYPES[0])
        if kind not in STORAGE_TYPES:
            known = ", ".join(STORAGE_TYPES)
            raise invalid("storage_type", f"storage_type {kind!r:.80} is not one of {known}")
        check_form(request.headers)
        caller = caller_of(request.headers)
        lifecycle = file_lifecycle(request.headers, caller)
        announced = json_body.take(AnnouncedFile, await upload_body.json(request, self.limits))
        begun = await self.objects.begin(
            announced.content_type or "",
            announced.file_name or "",
            caller=caller,
            keep=lifecycle.ttl_seconds,
            public=lifecycle.public,
            listed=lifecycle.listed,
            parts=parts,
        )
        upload_url = f"{self._base(request)}/fal/cdn/uploads/{begun.id}"
        body = {"upload_url": upload_url, "file_url": self._url(request, begun.key)}
        return JSONResponse(body)

    async def _announced(self, request: Request) -> dict[str, Any]:
        """What the headers of an upload to the CDN say of the file."""
        caller = await self._uploader(request)
        lifecycle = file_lifecycle(request.headers, caller)
        return {
            "content_type": request.headers.get("content-type", ""),
            "name": _text(request.headers.get("x-fal-file-name", "")),
            "caller": caller,
            "keep": lifecycle.ttl_seconds,
            "public": lifecycle.public,
            "listed": lifecycle.listed,
        }

    async def _uploader(self, request: Request) -> str:
        """The holder of a token, or of a key; whether the key opens was seen before."""
        check_form(request.headers)
        token = bearer(request.headers)
        if token is None:
            return caller_of(request.headers)
        holder = await self.objects.holder(token)
        if holder is None:
            raise Fault(Kind.DENIED, "the token is not valid, or no longer; ask for a new one")
        return holder

    async def _reader(self, request: Request) -> str:
        token = bearer(request.headers)
        holder = None if token is None else await self.objects.holder(token)
        return caller_of(request.headers) if holder is None else holder

    async def _check_place(self, rest: str, id: str) -> None:
        if (await self.objects.upload(id)).key != f"files/{rest}":
            raise _NO_UPLOAD

    def _base(self, request: Request) -> str:
        return base_of(request)

    def _url(self, request: Request, key: str) -> str:
        return f"{self._base(request)}/fal/cdn/{key}"

    def _body(self, request: Request, room: int | None = None) -> AsyncIterator[bytes]:
        limit = self.limits.upload if room is None else min(room, self.limits.upload)
        return upload_body.pieces(request, limit, self.limits.silence)


def routes(objects: Objects, limits: UploadLimits | None = None) -> APIRouter:
    limits = limits or UploadLimits()
    router, storage = APIRouter(tags=["fal storage"]), Storage(objects, limits)
    rest, uploads, files = (
        "/fal/rest/storage",
        "/fal/cdn/uploads/{id}",
        "/fal/cdn/files/{rest:path}",
    )
    for verb, path, handler in (
        ("POST", f"{rest}/auth/token", storage.token),
        ("POST", f"{rest}/upload/initiate", storage.initiate),
        ("POST", f"{rest}/upload/initiate-multipart", storage.initiate_multipart),
        ("POST", "/fal/cdn/files/upload", storage.upload),
        ("POST", "/fal/cdn/files/upload/multipart", storage.upload_multipart),
        ("PUT", uploads, storage.put),
        ("PUT", uploads + "/{number:int}", storage.put_part),
        ("POST", uploads + "/complete", storage.complete),
        ("PUT", files + "/multipart/{id}/{number:int}", storage.put_part_at),
        ("POST", files + "/multipart/{id}/complete", storage.complete_at),
        ("GET", files, storage.file),
        ("HEAD", files, storage.file),
    ):
        router.add_api_route(
            path,
            upload_body.answering(handler, limits, shown=path == files),
            methods=[verb],
            response_class=Response,
            operation_id=f"fal_storage_{handler.__name__}",
            include_in_schema=verb != "HEAD",
        )
    return router


def _parts(value: Any) -> list[tuple[int, str]]:
    try:
        named = UploadedParts.model_validate(value).parts
    except ValidationError:
        message = (
            'the body is not of the form {"parts": [{"partNumber": 1, "etag": "..."}]}; send that'
        )
        raise invalid("parts", message) from None
    return [(part.number, part.etag) for part in named]


def _text(header: str) -> str:
    """A header that may be UTF-8, where the standard has Latin-1."""
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return header
