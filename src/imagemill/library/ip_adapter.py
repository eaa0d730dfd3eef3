"""A reference image whose look is taken on, and the IP-Adapter that reads it, for a call."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imagemill.conditions import ImagePrompt
from imagemill.errors import invalid
from imagemill.generation import Input
from imagemill.library.files import content_of
from imagemill.library.results import GeneratedImage
from imagemill.model_spec import AdapterPlace, ModelSpec, image_prompted
from imagemill.pipelines.families import EMBEDDED

if TYPE_CHECKING:
    from PIL import Image as Pillow

# What the generation calls the images that it was given.
IMAGE, MASK = "ip_adapter_image", "ip_adapter_mask"


@dataclass(frozen=True)
class IPAdapter:
    """A reference image that takes part in what is painted, and the weights that read it."""

    #: The reference: a GeneratedImage, one of Pillow, a file's bytes or its path.
    image: "GeneratedImage | Pillow.Image | bytes | str | Path"
    #: The adapter's safetensors file; the embedded model needs none.
    path: str | Path | None = None
    #: The image encoder's folder or file; the embedded model needs none.
    encoder: str | Path | None = None
    #: White where it acts; None for everywhere.
    mask: "GeneratedImage | Pillow.Image | bytes | str | Path | None" = None
    #: From which brightness on the mask counts, 0 to 1.
    mask_threshold: float = 0.5
    #: How strongly the reference is followed, 0 to 2; 0 changes nothing.
    scale: float = 1.0

    def contents(self) -> dict[str, Input]:
        """The images, by what the generation calls them."""
        named = {IMAGE: self.image, MASK: self.mask}
        return {name: content_of(each, name) for name, each in named.items() if each is not None}

    def prompt(self) -> ImagePrompt:
        """As a generation has it; raises a Fault where a value is out of range."""
        mask = None if self.mask is None else MASK
        path, encoder = str(self.path or EMBEDDED), str(self.encoder or EMBEDDED)
        return ImagePrompt(
            IMAGE, path, encoder_path=encoder, mask=mask, mask_threshold=self.mask_threshold,
            scale=self.scale,
        )  # fmt: skip

    def source(self, source: str) -> str:
        """The address of what paints with it, where `source` is that of the plain model."""
        if self.scale == 0:
            return source
        if ModelSpec.at(source).source == EMBEDDED:
            return image_prompted(source, AdapterPlace(EMBEDDED, EMBEDDED))
        places = {"ip_adapter.path": self.path, "ip_adapter.encoder_path": self.encoder}
        for field, place in places.items():
            if place is None or not Path(place).expanduser().exists():
                what = "no place" if place is None else f"{str(place)!r:.80}, which is not there"
                message = f"the IP-Adapter has {what} for its {field.partition('.')[2]}"
                raise invalid(field, f"{message}; give a safetensors file, or an encoder's folder")
        return image_prompted(source, AdapterPlace(str(self.path), str(self.encoder)))
