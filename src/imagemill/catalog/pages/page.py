"""A page: one public endpoint, its schemas and how it is read. A draft: its input in our words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel

from imagemill.errors import Fault, Kind
from imagemill.generation import Draft

Category = Literal["text-to-image", "image-to-image"]
Loc = tuple[str | int, ...]
Asked = TypeVar("Asked", bound=BaseModel)

# What pages take and nothing is done with: there is no checker to switch off, and the weight of
# input images means nothing where none may be given.
IGNORED = ("enable_safety_checker", "image_guidance_scale")


@dataclass(frozen=True)
class Page(Generic[Asked]):
    """One endpoint of the catalog.

    example, output_example: as the endpoint's documentation prints them. read: an Input without
    what is lacking. weights: the Hub id of open weights. streams: whether its clients may ask for
    previews. lacking: by field, why it cannot be honoured yet and what to do instead.
    """

    id: str
    title: str
    description: str
    category: Category
    Input: type[Asked]
    Output: type[BaseModel]
    example: dict[str, Any]
    output_example: dict[str, Any]
    read: Callable[[Asked], Draft]
    weights: str | None = None
    streams: bool = False
    lacking: Mapping[str, str] = field(default_factory=dict)

    def unsupported(self, asked: Asked) -> list[tuple[Loc, str]]:
        """Where and why `asked` cannot be honoured; empty lists and defaults ask for nothing."""
        return [((name,), why) for name, why in self.lacking.items() if _given(asked, name)]

    def draft(self, asked: Asked) -> Draft:
        if found := self.unsupported(asked):
            raise Fault(Kind.UNSUPPORTED, "; ".join(why for _, why in found))
        return self.read(asked)


def _given(asked: BaseModel, name: str) -> bool:
    value = getattr(asked, name)
    return value not in (None, []) and value != type(asked).model_fields[name].default
