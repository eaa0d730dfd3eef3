"""Files as HTTP gives them: whole or a range, and never as a page of our own."""

import hashlib
import re
from email.utils import formatdate
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from imagemill.files import keys
from imagemill.files.objects import Objects, StoredFile
from imagemill.http.context import AppContext
from imagemill.http.identity import caller_of

YEAR = 31_536_000  # seconds; a key never gets another content
# Shown by browsers without running anything. All else may bring scripts, and is shown in a sandbox.
INERT = re.compile(r"image/(?!svg)[\w.+-]+|(audio|video|font)/[\w.+-]+|application/pdf")
SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'"

KEY = re.compile(r"files/[\w./-]{1,240}", re.ASCII)
OPEN = {"access-control-allow-origin": "*"}  # a page of any origin may show it

_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))", re.ASCII)


def routes(context: AppContext) -> APIRouter:
    """Every file that is public at its own address, others for who made them."""
    router, objects = APIRouter(tags=["files"]), context.files

    async def file(request: Request, rest: str) -> Response:
        stored = await objects.get(f"files/{rest}") if KEY.fullmatch(f"files/{rest}") else None
        if stored is None or not stored.open_to(caller_of(request.headers)):
            return JSONResponse({"error": "there is no such file, or no longer"}, 404, OPEN)
        response = await serve(objects, stored, request)
        response.headers.update(OPEN)
        return response

    for verb in ("GET", "HEAD"):
        router.add_api_route(
            "/files/{rest:path}",
            file,
            methods=[verb],
            response_class=Response,
            summary="A file",
            operation_id="file",
            include_in_schema=verb == "GET",
            responses={404: {"description": "There is none, or it is somebody else's"}},
        )
    return router


async def serve(objects: Objects, file: StoredFile, request: Request) -> Response:
    """A file that the caller may read."""
    headers = _headers(file, objects.clock())
    if _known(request.headers.get("if-none-match"), headers["etag"]):
        return Response(status_code=304, headers=_of_cache(headers))
    start, end, status = _wanted(request, file.size, headers)
    if status == 416:
        range_headers = {"content-range": f"bytes */{file.size}", "content-length": "0"}
        return Response(status_code=416, headers=headers | range_headers)
    if status == 206:
        headers["content-range"] = f"bytes {start}-{end - 1}/{file.size}"
    headers["content-length"] = str(end - start)
    if request.method == "HEAD" or start == end:
        return Response(status_code=status, headers=headers)
    pieces = await objects.stream(file, start, end)
    return StreamingResponse(pieces, status, headers)


def _headers(file: StoredFile, now: float) -> dict[str, str]:
    headers = {
        "content-type": file.content_type,
        "content-disposition": _disposition(file.name),
        "etag": _etag(file),
        "last-modified": formatdate(file.created, usegmt=True),
        "cache-control": _cache_control(file, now),
        "accept-ranges": "bytes",
        "x-content-type-options": "nosniff",
    }
    if not INERT.fullmatch(file.content_type.partition(";")[0].strip().lower()):
        headers["content-security-policy"] = SANDBOX
    return headers


def _of_cache(headers: dict[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in ("etag", "last-modified", "cache-control")}


def _etag(file: StoredFile) -> str:
    version = f"{file.key} {file.size} {file.created}"
    return f'"{hashlib.sha256(version.encode()).hexdigest()[:32]}"'


def _cache_control(file: StoredFile, now: float) -> str:
    if not file.public:
        return "private, no-store"
    age = YEAR if file.expires is None else max(0, min(YEAR, int(file.expires - now)))
    return f"public, max-age={age}, immutable"


def _disposition(name: str) -> str:
    safe = keys.safe_name(name) or "file"
    return f"inline; filename=\"{safe}\"; filename*=UTF-8''{quote(name, safe='')}"


def _known(header: str | None, etag: str) -> bool:
    """Whether If-None-Match names the file."""
    tags = [each.strip().removeprefix("W/") for each in (header or "").split(",")]
    return "*" in tags or etag in tags


def _wanted(request: Request, size: int, headers: dict[str, str]) -> tuple[int, int, int]:
    """First byte, the byte after the last, and the status. Several ranges give the whole file."""
    match = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    changed = request.headers.get("if-range", headers["etag"]) not in (
        headers["etag"],
        headers["last-modified"],
    )
    if match is None or changed or request.method != "GET":
        return 0, size, 200
    first, last, suffix = match.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < int(first):
            return 0, size, 200
    return start, end, 206 if start < end else 416
