"""Faults: what went wrong, for the one who must act. They know a kind, never an HTTP status."""

from enum import StrEnum


class Kind(StrEnum):
    INVALID = "invalid"  # the caller's input; `field` tells which
    NOT_FOUND = "not_found"
    TOO_LARGE = "too_large"  # the body, before it was read
    ENCODED = "encoded"  # the body is packed in a way that is not read here
    SLOW = "slow"  # the body stopped coming, or came too slowly
    BUSY = "busy"  # the queue is full; `retry_after` tells when to come again
    LOADING = "loading"  # the model is not ready yet
    CANCELLED = "cancelled"
    DENIED = "denied"  # the credential is not one
    UNPAID = "unpaid"  # the account has fewer credits than this costs
    CONFLICT = "conflict"  # the name of the call is another's
    EARLY = "early"  # a result that is not there yet
    TIMEOUT = "timeout"  # not begun by the time the caller set
    NO_PATH = "no_path"  # no such path
    NO_VERB = "no_verb"  # not with this verb
    MALFORMED = "malformed"  # no request that HTTP allows
    MISDIRECTED = "misdirected"  # called by a name that is not this server's
    FOREIGN = "foreign"  # a web page that may not call
    FORBIDDEN = "forbidden"  # a place that nobody is led to from here
    UNREACHABLE = "unreachable"  # a file that the caller named could not be fetched
    UNREADABLE = "unreadable"  # a file that the caller gave is not what it should be
    UNSUPPORTED = "unsupported"  # a feature that the model at hand does not have
    UNAVAILABLE = "unavailable"  # what the server stands on is away: its database, its files
    FULL = "full"  # there is no room to keep more
    UNSAFE = "unsafe"  # what the operator's terms or the safety checker refuse
    FAILED = "failed"  # our fault


class Fault(Exception):
    """Raised anywhere, answered by each dialect in its own words.

    message: the value, the limit and the way out, without paths or secrets.
    field: the canonical name of the offending field, where there is one.
    retry_after: seconds after which another try makes sense.
    """

    def __init__(
        self, kind: Kind, message: str, field: str | None = None, retry_after: float | None = None
    ) -> None:
        # All of it, so that faults survive pickling between processes.
        super().__init__(kind, message, field, retry_after)
        self.kind, self.message, self.field, self.retry_after = kind, message, field, retry_after

    def __str__(self) -> str:
        return self.message


def invalid(field: str, message: str) -> Fault:
    return Fault(Kind.INVALID, message, field)
