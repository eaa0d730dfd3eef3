"""Fields of a body that its dialect does not know: passed over and named, or refused, as the API
does that the dialect answers for.
"""

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.types import Scope

Body = TypeVar("Body", bound=BaseModel)
Place = tuple[int | str, ...]
Passes = Callable[[Any, Place], bool]  # a body and where in it

NAMES = "imagemill.unknown_fields"  # of what was passed over, in the scope of its request
LONGEST = 80  # characters of a name that are told


def everywhere(body: Any, place: Place) -> bool:
    """Whatever is unknown is passed over."""
    return True


def nowhere(body: Any, place: Place) -> bool:
    """Whatever is unknown is refused."""
    return False


def within(name: str) -> Passes:
    """What is unknown in the field `name` is passed over, and beside it refused."""
    return lambda _, place: place[0] == name and len(place) > 1


def outside(name: str) -> Passes:
    """What is unknown in the field `name` is refused, and beside it passed over."""
    return lambda _, place: place[0] != name or len(place) == 1


@dataclass(frozen=True)
class UnknownFields:
    """What becomes of the unknown fields of one call."""

    #: Tells of a body and a place in it whether it is passed over.
    passes: Passes = nowhere
    #: Of those that were passed over, with dots between.
    names: list[str] = field(default_factory=list)

    def take(self, model: type[Body], value: Any, *above: str) -> Body:
        """`value` as a `model`, without what is passed over; raises pydantic's ValidationError for
        all else. above: where in the body the value stands.
        """
        try:
            return model.model_validate(value)
        except ValidationError as error:
            passed = self._passed(error, value, above)
            if not passed:
                raise
        self._note(passed)
        return model.model_validate(_without(value, (place[len(above) :] for place in passed)))

    def pass_over(self, body: Any, *place: str) -> bool:
        """Whether the unknown field at a place is passed over, which is noted then."""
        passed = self.passes(body, place)
        if passed:
            self._note([place])
        return passed

    def _note(self, places: Iterable[Place]) -> None:
        self.names.extend(".".join(f"{part!s:.{LONGEST}}" for part in place) for place in places)

    def _passed(self, error: ValidationError, value: Any, above: Place) -> list[Place]:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        if any(each["type"] == "missing" for each in errors):
            return []  # an unknown one may be the missing one, misspelt: all is told together
        places = [(*above, *each["loc"]) for each in errors if each["type"] == "extra_forbidden"]
        return [place for place in dict.fromkeys(places) if self.passes(value, place)]


def unknown_fields_of(scope: Scope, passes: Passes, strict: bool) -> UnknownFields:
    """Those of a request, whose reply will name what is passed over. strict: nothing is."""
    return UnknownFields(nowhere if strict else passes, scope.setdefault(NAMES, []))


def _without(value: Any, places: Iterable[Place]) -> Any:
    kept = deepcopy(value)
    for place in places:
        part: Any = kept
        for step in place[:-1]:
            if isinstance(part, dict) and step not in part:
                continue  # it names the member of a union
            part = part[step]
        part.pop(place[-1], None)
    return kept
