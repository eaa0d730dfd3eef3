"""A page: one public endpoint, its schemas and how it is read. A wish: its input in our words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel

from imagemill.catalog.endpoints import Endpoint
from imagemill.errors import Fault, Kind
from imagemill.generation import Acceleration, Format, Generation, Lora, Swatch

Category = Literal["text-to-image", "image-to-image"]
Loc = tuple[str | int, ...]
Asked = TypeVar("Asked", bound=BaseModel)

# What pages take and nothing is done with: there is no checker to switch off, and the weight of
# input images means nothing where none may be given.
IGNORED = ("enable_safety_checker", "image_guidance_scale")


@dataclass(frozen=True)
class Wish:
    """What a caller wants, in the words of a Generation; None leaves it to what serves the page.

    keep_size_of: "image" where the picture has the size of the image, width and height being None.
    outpaint: the image goes in the middle of the picture, and what lies around it is painted.
    expand: the prompt is to be enriched. sync: the pictures go into the answer itself.
    """

    prompt: str
    negative_prompt: str = ""
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    seed: int | None = None
    num_images: int = 1
    format: Format = "jpeg"
    scheduler: str | None = None
    guidance_range: tuple[float, float] = (0.0, 1.0)
    image: str | None = None
    mask: str | None = None
    strength: float = 0.8
    loras: tuple[Lora, ...] = ()
    style: str | None = None
    palette: tuple[Swatch, ...] = ()
    expand: bool = False
    acceleration: Acceleration = "none"
    sync: bool = False
    keep_size_of: Literal["image"] | None = None
    outpaint: bool = False

    def generation(self, endpoint: Endpoint) -> Generation:
        """What `endpoint` is to paint."""
        asked = {each.name: getattr(self, each.name) for each in fields(self)}
        sized = asked.pop("keep_size_of") == "image"
        del asked["sync"]
        return endpoint.generation(**asked, image_sized=sized)


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
    read: Callable[[Asked], Wish]
    weights: str | None = None
    streams: bool = False
    lacking: Mapping[str, str] = field(default_factory=dict)

    def unsupported(self, asked: Asked) -> list[tuple[Loc, str]]:
        """Where and why `asked` cannot be honoured; empty lists and defaults ask for nothing."""
        return [((name,), why) for name, why in self.lacking.items() if _given(asked, name)]

    def wish(self, asked: Asked) -> Wish:
        if found := self.unsupported(asked):
            raise Fault(Kind.UNSUPPORTED, "; ".join(why for _, why in found))
        return self.read(asked)


def _given(asked: BaseModel, name: str) -> bool:
    value = getattr(asked, name)
    return value not in (None, []) and value != type(asked).model_fields[name].default
