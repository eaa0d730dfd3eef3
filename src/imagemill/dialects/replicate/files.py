"""Replicate's files: uploads that predictions name as inputs, kept for a day."""

import asyncio
import hashlib
import hmac
import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from imagemill.dialects.replicate import ids
from imagemill.dialects.replicate.read import credential
from imagemill.dialects.replicate.write import PREFIX, moment
from imagemill.errors import Fault, Kind, invalid
from imagemill.files.keys import UNTOLD
from imagemill.files.objects import Objects, StoredFile
from imagemill.http import file_responses, json_body, multipart, operation
from imagemill.http.context import AppContext
from imagemill.http.identity import caller_of, own
from imagemill.http.multipart import Part
from imagemill.jobs.input_files import STORED

KEPT = 86_400.0  # seconds that a file lives
LISTED = 100
OWNER = "imagemill"  # whose everything is said to be
MAX_METADATA = 2**14  # characters
UNKNOWN_TYPE = "application/octet-stream"

_URL = re.compile(
    r"https?://(?P<place>[^?#]+?)(?:/replicate)?/v1/files/(?P<id>[a-z2-7]{26})(?:/download)?",
    re.ASCII,
)
_GONE = Fault(Kind.NOT_FOUND, "there is no such file, or no longer")


@dataclass(frozen=True)
class Record:
    """What is known of a file."""

    #: 26 characters, as Replicate's.
    id: str
    #: Of its content.
    key: str
    #: As it was uploaded.
    name: str
    #: As it was uploaded.
    content_type: str
    #: In bytes.
    size: int
    #: Of its content, in hexadecimal digits.
    sha256: str
    #: The caller's own.
    metadata: dict[str, Any]
    #: Seconds since 1970.
    created: float
    #: Seconds since 1970.
    expires: float
    #: Whose it is; empty where no credential came.
    caller: str


@dataclass
class FileIndex:
    """Every file has a record beside it, and every caller a list of theirs, but for nobody: who
    sends no credential would read all the others' who send none.

    Two servers on one store may each forget in the list what the other adds at the same moment; the
    files themselves are found by their ids all the same.
    """

    #: Where files and records are kept.
    objects: Objects
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def add(self, part: Part, metadata: dict[str, Any], caller: str) -> Record:
        name, type = part.filename or "file", part.content_type or UNKNOWN_TYPE
        file = await self.objects.put(
            part.content, type, name, caller=caller, keep=KEPT, public=False, shelf=UNTOLD
        )
        digest = await operation.reading(part.content, hashlib.sha256, part.content)
        record = Record(
            id=ids.new(),
            key=file.key,
            name=file.name,
            content_type=file.content_type,
            size=file.size,
            sha256=digest.hexdigest(),
            metadata=metadata,
            created=file.created,
            expires=file.created + KEPT,
            caller=caller,
        )
        await self._write(_place(record.id), asdict(record), caller)
        if not caller:
            return record
        async with self._lock:
            listed = [record.id, *await self._listed(caller)]
            await self._write(_list_place(caller), listed[:LISTED], caller)
        return record

    async def find(self, id: str, caller: str | None = None) -> tuple[Record, StoredFile]:
        """A file with its record. caller: whose it has to be, None for anybody's."""
        row = await self._read(_place(id)) if ids.FORM.fullmatch(id) else None
        if row is None or caller not in (None, row["caller"]):
            raise _GONE
        file = await self.objects.get(row["key"])
        if file is None:
            raise _GONE
        return Record(**row), file

    async def of(self, caller: str) -> list[Record]:
        """A caller's files, the newest first."""
        records = []
        for id in await self._listed(caller) if caller else ():
            try:
                records.append((await self.find(id, caller))[0])
            except Fault:
                continue  # deleted, or too old
        return records

    async def remove(self, id: str, caller: str) -> None:
        record, _ = await self.find(id, caller)
        for key in (record.key, _place(id)):
            await self.objects.delete(key)

    async def named(self, url: str | None, base: str) -> str | None:
        """A file of ours by its name instead of its address, so that it is read without HTTP."""
        match = _URL.fullmatch(url or "")
        if match is None or match["place"] not in (base.partition("://")[2], "api.replicate.com"):
            return own(url, base)
        record, _ = await self.find(match["id"])
        return STORED + record.key

    async def _listed(self, caller: str) -> list[str]:
        return list(await self._read(_list_place(caller)) or [])

    async def _read(self, key: str) -> Any:
        if await self.objects.get(key) is None:
            return None
        return json.loads(await self.objects.read(key))

    async def _write(self, key: str, value: Any, caller: str) -> None:
        content = json.dumps(value).encode()
        await self.objects.put(
            content, "application/json", key=key, caller=caller, keep=KEPT, public=False
        )


def _place(id: str) -> str:
    return f"files/r/{id}.json"


def _list_place(caller: str) -> str:
    return f"files/r/of_{caller}.json"


@dataclass(frozen=True)
class Files:
    """The routes of files."""

    #: Of the server.
    context: AppContext
    #: Of all files.
    index: FileIndex

    async def create(self, request: Request) -> Response:
        """Takes a file: a part `content`, and perhaps a part `metadata` with JSON."""
        body = await operation.read_body(request, self.context.input_limit)
        credential(request.headers)
        parts = await multipart.parts(request.headers.get("content-type", ""), body)
        by_name = {part.name: part for part in parts}
        if unknown := by_name.keys() - {"content", "metadata"}:
            message = f"unknown part {min(unknown)!r:.80}; known are content and metadata"
            raise invalid("body", message)
        if "content" not in by_name:
            raise invalid("body", "there is no part content; send the file in it")
        if len(by_name) < len(parts):
            raise invalid("body", "a part comes twice; send one file at a time")
        metadata = _metadata(by_name.get("metadata"))
        record = await self.index.add(by_name["content"], metadata, caller_of(request.headers))
        return JSONResponse(self._body(request, record), 201)

    async def list(self, request: Request) -> Response:
        """The caller's files, the newest first: at most the last hundred."""
        credential(request.headers)
        records = await self.index.of(caller_of(request.headers))
        results = [self._body(request, record) for record in records]
        return JSONResponse({"previous": None, "next": None, "results": results})

    async def get(self, request: Request, file_id: str) -> Response:
        """What is known of a file."""
        credential(request.headers)
        record, _ = await self.index.find(file_id, caller_of(request.headers))
        return JSONResponse(self._body(request, record))

    async def delete(self, request: Request, file_id: str) -> Response:
        """Deletes a file."""
        credential(request.headers)
        await self.index.remove(file_id, caller_of(request.headers))
        return Response(status_code=204)

    async def download(self, request: Request, file_id: str) -> Response:
        """The content of a file, for its owner or for who has a signed address."""
        credential(request.headers)
        record, file = await self.index.find(file_id)
        if caller_of(request.headers) != record.caller and not self._signed(request, record):
            raise _GONE
        return await file_responses.serve(self.index.objects, file, request)

    def _signed(self, request: Request, record: Record) -> bool:
        """Whether the address carries what the owner's signing key makes of it, in time."""
        query = request.query_params
        owner, expiry, signature = (
            query.get(name, "") for name in ("owner", "expiry", "signature")
        )
        if not (expiry.isascii() and expiry.isdigit() and len(expiry) < 16):
            return False
        key = ids.signing_key(self.context.service.signing_secret(), record.caller)
        right = ids.signature(key, f"{owner} {record.id} {expiry}".encode())
        in_time = int(expiry) >= self.context.service.now()
        return in_time and hmac.compare_digest(signature.encode(), right.encode())

    def _body(self, request: Request, record: Record) -> dict[str, Any]:
        base = self.context.base(request)
        return {
            "id": record.id,
            "name": record.name,
            "content_type": record.content_type,
            "size": record.size,
            "etag": record.sha256[:32],
            "checksums": {"sha256": record.sha256},
            "metadata": record.metadata,
            "created_at": moment(record.created),
            "expires_at": moment(record.expires),
            "urls": {"get": f"{base}{PREFIX}/files/{record.id}"},
        }


def _metadata(part: Part | None) -> dict[str, Any]:
    if part is None or not part.content.strip():
        return {}
    text = multipart.text(part)
    if len(text) > MAX_METADATA:
        message = f"metadata has {len(text)} characters; at most {MAX_METADATA} are kept"
        raise invalid("metadata", message)
    value = json_body.parse(text)
    if not isinstance(value, dict):
        raise invalid("metadata", f"metadata is {json_body.shown(value)}; give an object")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise invalid(
            "metadata", "metadata has half of a surrogate pair; send whole ones"
        ) from None
    return value
