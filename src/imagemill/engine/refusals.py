"""What callers are told whose work killed the engine, or would; for everybody to read."""

from imagemill.errors import Fault, Kind

KILLED = "the engine stopped whenever it used this model"


def gone() -> Fault:
    return Fault(Kind.FAILED, "the engine stopped while painting; try again")


def killed(seconds: float) -> Fault:
    """seconds: after which the same may be tried again."""
    return Fault(
        Kind.FAILED,
        "the engine stopped whenever it painted this, so it is not tried again for "
        f"{seconds:.0f} seconds; ask for a smaller size, other inputs or another model",
        retry_after=seconds,
    )


def struck(why: str, seconds: float) -> Fault:
    """Of a model, and seconds after which it may be tried again."""
    return Fault(
        Kind.LOADING,
        f"{why}, so it is set aside; try again in {seconds:.0f} seconds, or ask for another model",
        retry_after=seconds,
    )


def overdue(limit: float) -> str:
    """Of a model that took longer than `limit` seconds."""
    return (
        f"the model was not loaded within the {limit:g} seconds that the setting load_timeout "
        "gives it"
    )
