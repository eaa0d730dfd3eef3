"""Which models an engine process has, and how long the others take. No torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from imagemill.errors import Fault

LOADING_SECONDS = 20.0  # that a model takes of which nothing is known
LEAST_SECONDS = 1.0  # that one still takes which takes longer than it did before


@dataclass
class ModelsThere:
    """Which models the process has, and how long they take to be loaded."""

    clock: Callable[[], float]
    held: frozenset[str] = frozenset()
    refused: Mapping[str, Fault] = field(default_factory=dict)  # that have no room, and why
    took: dict[str, float] = field(default_factory=dict)  # seconds, by source
    loads: int = 0  # that have ended, with or without a model
    _loading: tuple[str, float] | None = None  # and since when

    def loading(self, source: str | None) -> None:
        """The model at `source` is being loaded; None: no more."""
        if self._loading is not None:
            before, since = self._loading
            self.took[before] = self.clock() - since
            self.loads += 1
        self._loading = None if source is None else (source, self.clock())

    def has(self, source: str) -> bool:
        """Whether it is there, or on its way."""
        return source in self.held or (self._loading is not None and self._loading[0] == source)

    def died(self) -> None:
        self.held, self.refused, self._loading = frozenset(), {}, None

    def seconds(self, source: str) -> float:
        """Until it is there, about; 0 where it is, or never will be."""
        if source in self.held or source in self.refused:
            return 0.0
        passed = 0.0
        if self._loading is not None and self._loading[0] == source:
            passed = self.clock() - self._loading[1]
        return max(LEAST_SECONDS, self.took.get(source, LOADING_SECONDS) - passed)
