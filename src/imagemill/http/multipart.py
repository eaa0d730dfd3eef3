"""Bodies of the type multipart/form-data, which clients send files in."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from email.utils import quote

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from imagemill.errors import invalid

MOST_PARTS = 100
PIECE = 2**16  # bytes that are read at a time

_WAY_OUT = "send multipart/form-data as a client's library writes it"


@dataclass(frozen=True)
class Part:
    """filename, content_type: None where the part is no file."""

    name: str
    filename: str | None
    content_type: str | None
    content: bytes

    @property
    def is_file(self) -> bool:
        """Whether it came with the name of a file."""
        return self.filename is not None

    @property
    def is_unchosen(self) -> bool:
        """Whether it is what browsers send for a file that nobody chose."""
        return self.filename == "" and not self.content


def is_form(content_type: str) -> bool:
    return content_type.strip().lower().startswith("multipart/")


async def parts(content_type: str, body: bytes) -> list[Part]:
    """The parts of a form, in order, without files that nobody chose; a Fault where it is none."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        message = f"the content type {content_type!r:.80} is no multipart/form-data with a boundary"
        raise invalid("body", f"{message}; {_WAY_OUT}")
    reader = _Reader(options[b"boundary"].decode("latin-1"), body)
    try:
        form = await reader.parse()
    except MultiPartException as error:
        why = str(error.__cause__ or error.message).rstrip(".")
        raise invalid("body", f"the form cannot be read: {why}; {_WAY_OUT}") from None
    try:
        if not reader.ended:
            raise invalid("body", "the form ends before its last boundary; send it again, whole")
        read = [await _part(name, value) for name, value in form.multi_items()]
        return [part for part in read if not part.is_unchosen]
    finally:
        await form.close()


def text(part: Part) -> str:
    """What a field says; a Fault that names it where that is no text."""
    try:
        return part.content.decode()
    except UnicodeDecodeError as error:
        came = f", which came as a file, {part.filename!r:.80}" if part.is_file else ""
        message = f"the field {part.name!r:.80}{came}: byte {error.start} is no UTF-8; send text"
        raise invalid(f"{part.name:.80}", message) from None


def digest(parts: list[Part]) -> bytes:
    """The same for the same form: each time it is sent it has another boundary."""
    whole = hashlib.sha256()
    for part in parts:
        for piece in (part.name.encode(), part.content):
            whole.update(hashlib.sha256(piece).digest())
    return whole.digest()


class _Reader(MultiPartParser):
    """Sees to what the library leaves open: how many parts there are, and that the form ends."""

    def __init__(self, boundary: str, body: bytes) -> None:
        # As UTF-8, values would be told without the bytes that it has no meaning for.
        kind = f'multipart/form-data; charset=latin-1; boundary="{quote(boundary)}"'
        super().__init__(Headers({"content-type": kind}), _pieces(body), max_part_size=len(body))
        self.spool_max_size = len(body)  # files stay in memory, which has held them already
        self.begun, self.ended = 0, False

    def on_part_begin(self) -> None:
        super().on_part_begin()
        self.begun += 1
        if self.begun > MOST_PARTS:
            raise invalid("body", f"the form has more than {MOST_PARTS} parts; send fewer")

    def on_end(self) -> None:
        self.ended = True


async def _pieces(body: bytes) -> AsyncGenerator[bytes]:
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE]
        await asyncio.sleep(0)  # others are served while a large form is read


async def _part(name: str, value: UploadFile | str) -> Part:
    if isinstance(value, str):
        return Part(_text(name), None, None, value.encode("latin-1"))
    return Part(_text(name), _text(value.filename or ""), value.content_type, await value.read())


def _text(latin: str) -> str:
    """A name as its sender meant it: browsers and clients write UTF-8."""
    return latin.encode("latin-1").decode("utf-8", "replace")
