"""A clock for tests: time that passes only when one says so."""

from dataclasses import dataclass


@dataclass
class Clock:
    """now: in seconds."""

    now: float = 1e9

    def __call__(self) -> float:
        return self.now
