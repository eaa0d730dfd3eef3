"""What a caller wants of any model, in our own words."""

from dataclasses import dataclass, fields
from typing import Literal

from imagemill.catalog.endpoints import Endpoint
from imagemill.generation import Acceleration, Format, Generation, Lora, Swatch


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
