"""Bodies that come packed: gzip is unpacked as it comes; other codings are refused."""

import zlib
from collections.abc import Iterator, Mapping

from starlette.datastructures import Headers

from imagemill.errors import Fault, Kind, invalid

READ = "gzip"  # what `accept-encoding` of a refusal names
MOST_PACKED = 2  # times the limit of a body, that its packed form may have
# Of one body. Each costs as much as a few kilobytes, whatever is in it: a body of many megabytes
# may have millions of empty ones. Who packs blocks of 64 KiB apart, as bgzip does, stays far below.
MOST_MEMBERS = 4096
PIECE = 2**18  # bytes that are unpacked at a time: the work of about a millisecond

_WAY_OUT = "send it whole, or leave out content-encoding"
_GZIP = 16 + zlib.MAX_WBITS  # of the window, and that there are gzip's head and sum around it


class Plain:
    """The content of a body that is not packed."""

    def pieces(self, packed: bytes) -> Iterator[bytes]:
        """The bytes as they came."""
        yield packed

    def end(self) -> None:
        """It may end anywhere."""


class Gzip:
    """The content of a gzip body, which may have several members one behind the other."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._begun = False  # anything of the member has come
        self._ended = 0  # members that are whole

    def pieces(self, packed: bytes) -> Iterator[bytes]:
        """What comes of the next bytes, in pieces of at most PIECE bytes: who has enough takes no
        more. Raises a Fault where it is not gzip.
        """
        while packed:
            if self._member.eof:
                self._next_member()
            self._begun = True
            try:
                piece = self._member.decompress(packed, PIECE)
            except zlib.error:
                raise invalid("body", f"the body is not gzip; {_WAY_OUT}") from None
            packed = self._member.unconsumed_tail or self._member.unused_data
            if piece:
                yield piece

    def _next_member(self) -> None:
        self._ended += 1
        if self._ended >= MOST_MEMBERS:
            message = f"the body has more than {MOST_MEMBERS} members of gzip; pack it as one"
            raise invalid("body", message)
        self._member, self._begun = zlib.decompressobj(_GZIP), False

    def end(self) -> None:
        """Raises a Fault where the last member is not whole."""
        if self._begun and not self._member.eof:
            raise invalid("body", f"the body ends within its gzip; {_WAY_OUT}")


CODINGS: Mapping[str, type[Plain | Gzip]] = {
    "gzip": Gzip,
    "x-gzip": Gzip,
    "": Plain,
    "identity": Plain,
}


def unpacker(headers: Headers) -> Plain | Gzip:
    """What unpacks the body of a request; raises a Fault of the kind ENCODED where nothing does."""
    said = headers.get("content-encoding", "")
    coding = CODINGS.get(said.strip().lower())
    if coding is None:
        message = f"bodies packed as {said!r:.80} are not read; send gzip, or leave it as it is"
        raise Fault(Kind.ENCODED, message, "body")
    return coding()
