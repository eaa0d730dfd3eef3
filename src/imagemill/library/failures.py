"""What the library raises: classes to catch, as Python has them, for the kinds of fault."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from imagemill.errors import Fault, Kind


class InvalidInputError(Fault, ValueError):
    """An argument is wrong; `field` is its name, and the message says what would be right."""


class ModelNotFoundError(Fault, LookupError):
    """There is no model of that name, or nothing at its source."""


class UnsupportedError(Fault):
    """The model at hand cannot do what is asked of it."""


class GenerationCancelledError(Fault):
    """The work was cancelled, or its engine was closed."""


class GenerationFailedError(Fault, RuntimeError):
    """It could not be painted; the program's log tells more."""


CLASSES: Mapping[Kind, type[Fault]] = {
    Kind.INVALID: InvalidInputError,
    Kind.TOO_LARGE: InvalidInputError,
    Kind.UNREADABLE: InvalidInputError,
    Kind.UNREACHABLE: InvalidInputError,
    Kind.NOT_FOUND: ModelNotFoundError,
    Kind.UNSUPPORTED: UnsupportedError,
    Kind.CANCELLED: GenerationCancelledError,
}


def public(fault: Fault) -> Fault:
    """The same of the class that stands for its kind."""
    kind = CLASSES.get(fault.kind, GenerationFailedError)
    return kind(fault.kind, fault.message, fault.field, fault.retry_after)


@contextmanager
def public_errors() -> Iterator[None]:
    """Raises every fault as the class that stands for its kind."""
    try:
        yield
    except Fault as fault:
        raise public(fault) from None
