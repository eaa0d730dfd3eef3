"""How commands tell what went wrong: in one line, with an exit code."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from imagemill.errors import Fault, Kind

EXIT_FAILED, EXIT_INVALID = 1, 2


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Tells a fault in a line on stderr, and leaves with its exit code."""
    try:
        yield
    except Fault as fault:
        typer.echo(f"imagemill: {fault}", err=True)
        code = EXIT_INVALID if fault.kind is Kind.INVALID else EXIT_FAILED
        raise typer.Exit(code) from None
    except OSError as error:  # a place that cannot be written to, a model that is not there
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        typer.echo(f"imagemill: {line}", err=True)
        raise typer.Exit(EXIT_FAILED) from None
