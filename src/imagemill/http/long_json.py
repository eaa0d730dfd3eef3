"""JSON of many megabytes, read in short spells.

Python's reader goes through a text in one call, during which no other thread runs: 64 MB hold up
every caller for a tenth of a second and, full of escapes, for most of one. What makes a body so
long is pictures in base64. So long strings are taken out first and read piece by piece, and the
rest, which is short, is read as usual.
"""

import codecs
import json
import re
import secrets
from collections.abc import Callable
from typing import Any

from imagemill.errors import invalid

SHORT = 2**18  # characters of a text that is read at once
LONG = 2**12  # characters of a string that is taken out
PIECE = 2**20  # characters that are read at a time
MOST_REST = 2**20  # characters of all that is no long string
MOST_QUOTES = 2**18
MOST_BACKSLASHES = 2**10  # in a row

_ESCAPE = 12  # characters of the longest escape, "\ud83d\ude00"
_HIGH = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}")  # the first half of a pair

Pairs = list[tuple[str, Any]]


def loads(
    text: str,
    object_pairs_hook: Callable[[Pairs], Any],
    parse_constant: Callable[[str], Any],
    short: int = SHORT,
    long: int = LONG,
    piece: int = PIECE,
) -> Any:
    """As json.loads; a Fault where there is too much beside long strings."""
    if len(text) <= short:
        return json.loads(text, object_pairs_hook=object_pairs_hook, parse_constant=parse_constant)
    return _Reader(text, long, piece).read(object_pairs_hook, parse_constant)


def decoded(body: bytes, piece: int = PIECE) -> str:
    """UTF-8 as text, without a mark at its beginning; raises UnicodeDecodeError."""
    if len(body) <= piece:
        return body.decode("utf-8-sig")
    decoder, pieces = codecs.getincrementaldecoder("utf-8-sig")(), list[str]()
    for start in range(0, len(body), piece):
        behind = len(decoder.getstate()[0])
        try:
            pieces.append(decoder.decode(body[start : start + piece], start + piece >= len(body)))
        except UnicodeDecodeError as error:
            at = start - behind + error.start
            raise UnicodeDecodeError("utf-8", body, at, at + 1, error.reason) from None
    return "".join(pieces)


def exceeds(text: str, signs: str, most: int, piece: int = PIECE) -> bool:
    """Whether a text has more than `most` of these signs; looked at in short spells."""
    count = 0
    for start in range(0, len(text), piece):
        count += sum(text.count(sign, start, start + piece) for sign in signs)
        if count > most:
            return True
    return False


class _Reader:
    def __init__(self, text: str, long: int, piece: int) -> None:
        self.text, self.long, self.piece = text, long, piece
        self.mark = secrets.token_hex(16)  # begins what stands for a string that was taken out
        self.strings, self.rest, self.length = list[str](), list[str](), 0
        self.moved = list[tuple[int, int]]()  # where the rest goes on, and where the text does

    def read(self, hook: Callable[[Pairs], Any], constant: Callable[[str], Any]) -> Any:
        if exceeds(self.text, '"', MOST_QUOTES):
            raise invalid("body", f"the body has more than {MOST_QUOTES} quotes; a few are enough")
        self._take_out()
        if self.length > MOST_REST:
            message = f"the body has {self.length} characters beside the pictures in it"
            raise invalid("body", f"{message}; at most {MOST_REST} are read")
        try:
            value = json.loads(
                "".join(self.rest),
                object_pairs_hook=lambda pairs: hook([*map(self._pair, pairs)]),
                parse_constant=constant,
            )
        except json.JSONDecodeError as error:
            raise json.JSONDecodeError(error.msg, self.text, self._place(error.pos)) from None
        return self._found(value)

    def _take_out(self) -> None:
        at, start = 0, self.text.find('"')
        while start >= 0 and (end := self._end(start + 1)) >= 0:
            if end - start > self.long:
                self._keep(at, start + 1)
                self._add(f"{self.mark}{len(self.strings)}")
                self.strings.append(self._string(start + 1, end))
                at = end
            start = self.text.find('"', end + 1)
        self._keep(at, len(self.text))

    def _keep(self, start: int, end: int) -> None:
        self.moved.append((self.length, start))
        self._add(self.text[start:end])

    def _add(self, text: str) -> None:
        self.rest.append(text)
        self.length += len(text)

    def _end(self, start: int) -> int:
        """Where the string ends that begins at `start`: its quote, -1 where there is none."""
        end = self.text.find('"', start)
        while end >= 0 and self._backslashes(start, end) % 2:
            end = self.text.find('"', end + 1)
        return end

    def _backslashes(self, start: int, end: int) -> int:
        """How many there are in a row before `end`, as far as `start`."""
        if end <= start or self.text[end - 1] != "\\":
            return 0
        before = self.text[max(start, end - MOST_BACKSLASHES) : end]
        count = len(before) - len(before.rstrip("\\"))
        if count == MOST_BACKSLASHES:
            message = f"the body has {count} backslashes in a row, or more"
            raise invalid("body", f"{message}; a few are enough")
        return count

    def _string(self, start: int, end: int) -> str:
        pieces = list[str]()
        while start < end:
            stop = self._stop(start, end)
            try:
                pieces.append(json.loads(f'"{self.text[start:stop]}"'))
            except json.JSONDecodeError as error:
                at = start + error.pos - 1
                raise json.JSONDecodeError(error.msg, self.text, at) from None
            start = stop
        return "".join(pieces)

    def _stop(self, start: int, end: int) -> int:
        """Where a piece may end that begins at `start`: not within an escape, or a pair of them."""
        stop = min(start + self.piece, end)
        last = self.text.rfind("\\", max(start, stop - _ESCAPE), stop)
        if stop == end or last < 0 or not self._begins(start, last):
            return stop
        if _HIGH.match(self.text, last - _ESCAPE // 2) and self._begins(start, last - _ESCAPE // 2):
            return last - _ESCAPE // 2
        length = _ESCAPE // 2 if self.text[last + 1] == "u" else 2
        return last if last + length > stop or _HIGH.match(self.text, last) else stop

    def _begins(self, start: int, at: int) -> bool:
        """Whether an escape begins at a backslash, rather than end there."""
        return at >= start and self._backslashes(start, at + 1) % 2 == 1

    def _pair(self, pair: tuple[str, Any]) -> tuple[str, Any]:
        return self._found(pair[0]), self._found(pair[1])

    def _found(self, value: Any) -> Any:
        """The value with the strings that were taken out of it; objects have theirs already."""
        if isinstance(value, list):
            return [self._found(each) for each in value]
        if isinstance(value, str) and value.startswith(self.mark):
            return self.strings[int(value.removeprefix(self.mark))]
        return value

    def _place(self, rest: int) -> int:
        """The place in the text, of one in the rest."""
        ours, theirs = next(each for each in reversed(self.moved) if each[0] <= rest)
        return theirs + rest - ours
