"""Many generations at a time, whose results come in the order of their prompts.

It decides alone; who waits for events, and how, is the engine's that drives it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from imagemill.engine import events
from imagemill.engine.events import Event, Failed, Finished
from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import Generation
from imagemill.library.failures import public
from imagemill.library.params import Params, Request
from imagemill.library.results import GenerationProgress, GenerationResult, result_of

Item = str | Mapping[str, Any]  # a prompt, or a mapping with it and what differs from the rest
OnProgress = Callable[[GenerationProgress], None]
Outcome = GenerationResult | Fault


class Batch:
    """prompts: read one by one, as places become free. common: what is said of all of them."""

    def __init__(self, prompts: Iterable[Item], common: Params, at_once: int) -> None:
        if at_once < 1:
            raise public(invalid("at_once", f"at_once {at_once} is out of range; give 1 or more"))
        self._prompts, self._common, self._at_once = enumerate(prompts), common, at_once
        self._ended, self._next = False, 0
        self._outcomes = dict[int, Outcome]()
        self._generations = dict[int, Generation]()
        self.running = dict[int, str]()  # ids, by place

    @property
    def over(self) -> bool:
        """Whether every outcome has been taken."""
        return self._ended and not self.running and not self._outcomes

    def due(self) -> tuple[int, dict[str, Any]] | None:
        """The place and arguments of one more that may begin; None where none may."""
        waiting = len(self.running) + len(self._outcomes)
        if self._ended or len(self.running) >= self._at_once or waiting >= 4 * self._at_once:
            return None
        index, item = next(self._prompts, (-1, ""))
        if index < 0:
            self._ended = True
            return None
        own = {"prompt": item} if isinstance(item, str) else dict(item)
        return index, {**self._common, **own}

    def begun(self, index: int, id: str, request: Request) -> None:
        """The generation at this place is under way."""
        self.running[index], self._generations[index] = id, request.generation

    def refused(self, index: int, fault: Fault) -> None:
        """The generation at this place was never begun."""
        self._outcomes[index] = fault

    def heard(self, index: int, event: Event) -> GenerationProgress | None:
        """Notes what happened at a place; gives its progress where that is all."""
        match event:
            case events.Progress(step, steps):
                return GenerationProgress(step, steps, index)
            case Finished():
                self._end(index, result_of(self._generations[index], event))
            case Failed(fault):
                self._end(index, public(fault))
        return None

    def ready(self) -> Iterator[Outcome]:
        """The outcomes whose turn it is."""
        while self._next in self._outcomes:
            self._next += 1
            yield self._outcomes.pop(self._next - 1)

    def _end(self, index: int, outcome: Outcome) -> None:
        if index in self.running:
            del self.running[index], self._generations[index]
            self._outcomes[index] = outcome


def unless_raised(outcome: Outcome, return_exceptions: bool) -> Outcome:
    """Raises a fault, unless the program wants it in the place of its result."""
    if isinstance(outcome, Fault) and not return_exceptions:
        raise outcome
    return outcome


def cancelled() -> Fault:
    """Of what is given up."""
    return public(Fault(Kind.CANCELLED, "the work was cancelled"))
