"""A page: one public endpoint of fal's, its schemas and how its input is read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from imagemill.catalog.models import ENDPOINTS, Model, Task
from imagemill.errors import Fault, Kind
from imagemill.generation import Draft

Loc = tuple[str | int, ...]
TakenInput = TypeVar("TakenInput", bound=BaseModel)

# What pages take and nothing is done with: the safety checker has one threshold, no model here
# thinks, searches or has a turbo, and a request has an id of ours.
IGNORED = (
    "safety_tolerance", "safety_checker_version",
    "enable_safety_checks", "enable_output_safety_checker", "limit_generations", "request_id",
    "truncate_prompt", "raw", "use_turbo", "enable_web_search", "thinking_level",
)  # fmt: skip


def as_it_is(value: Any) -> tuple[Any, tuple[str, ...]]:
    """An input whose every field its page takes or refuses."""
    return value, ()


@dataclass(frozen=True)
class Apart:
    """Fields that another cannot be used with."""

    #: Their names.
    fields: tuple[str, ...]
    #: How the page says it.
    why: str

    def message(self, beside: Sequence[str]) -> str:
        """What is wrong, and the way out."""
        names = " and ".join(beside)
        return f"{self.why}; {names} came beside it, leave one or the other out"


@dataclass(frozen=True)
class ModelPage(Generic[TakenInput]):
    """One endpoint, as fal has it; what is known of its model is the catalog's."""

    #: The endpoint's name, as fal-ai/flux/dev.
    id: str
    #: A sentence.
    description: str
    #: What it takes.
    Input: type[TakenInput]
    #: What comes out.
    Output: type[BaseModel]
    #: An input, as the endpoint's documentation prints it.
    example: dict[str, Any]
    #: An output, as the endpoint's documentation prints it.
    output_example: dict[str, Any]
    #: Of an Input without what is lacking.
    read: Callable[[TakenInput], Draft]
    #: Whether its clients may ask for previews.
    streams: bool = False
    #: By field, why it cannot be honoured yet and what to do instead.
    lacking: Mapping[str, str] = field(default_factory=dict)
    #: By field, what it cannot be used with.
    apart: Mapping[str, Apart] = field(default_factory=dict)
    #: What it does, where that is not what its model does.
    task: Task | None = None
    #: What of an input it reads, and the names of the fields that it drops.
    understand: Callable[[Any], tuple[Any, tuple[str, ...]]] = as_it_is
    #: It is not one of the endpoint's own, but fits any.
    general: bool = False

    @property
    def model(self) -> Model:
        return ENDPOINTS.get(self.id) or Model(self.id, title=self.id)

    @property
    def title(self) -> str:
        return self.model.title

    @property
    def category(self) -> Task:
        return self.task or self.model.task

    def unsupported(self, body: TakenInput) -> list[tuple[Loc, str]]:
        """Where and why `taken` cannot be honoured; empty lists and defaults ask for nothing."""
        return [((name,), why) for name, why in self.lacking.items() if _is_set(body, name)]

    def at_odds(self, body: TakenInput) -> list[tuple[Loc, str]]:
        """Where fields were given that exclude each other, and how that is said."""
        return [
            ((name,), apart.message(beside))
            for name, apart in self.apart.items()
            if _has(body, name)
            and (beside := [other for other in apart.fields if _has(body, other)])
        ]

    def draft(self, body: TakenInput) -> Draft:
        """What `taken` says; raises a Fault where it cannot be honoured."""
        if lacking := self.unsupported(body):
            raise Fault(Kind.UNSUPPORTED, "; ".join(why for _, why in lacking))
        return self.read(body)


def _has(body: BaseModel, name: str) -> bool:
    return name in type(body).model_fields and _is_set(body, name)


def _is_set(body: BaseModel, name: str) -> bool:
    value = getattr(body, name)
    return value not in (None, []) and value != type(body).model_fields[name].default
