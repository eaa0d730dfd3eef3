"""Named palettes, as swatches: the colour that leads comes first and weighs most."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from imagemill.conditions import Swatch
from imagemill.dialects.fal.pages.types import PageInput, RGBColor
from imagemill.generation import MAX_SWATCHES

Name = Literal["EMBER", "FRESH", "JUNGLE", "MAGIC", "MELON", "MOSAIC", "PASTEL", "ULTRAMARINE"]
COLOURS: dict[str, str] = {  # RRGGBB
    "EMBER": "D9441E F28A2E 8C1F14 F7C873 2B1512",
    "FRESH": "7BD389 D8F3A2 3AB0C4 F4FBF2 2F7F6B",
    "JUNGLE": "1F5B3A 6A9A3B 123024 C9B458 8A5A33",
    "MAGIC": "6C3BD1 D45BC8 2A1B5C F2A7E4 4FC3E8",
    "MELON": "FF7F6B 9EDB8F FFD3B8 E8475F F9F3DC",
    "MOSAIC": "1D6FA5 E3B23C C8432F 2F8F6B F1EDE1",
    "PASTEL": "F7C6D2 C9DCF5 D6F0D2 FBEFC4 DCCDF0",
    "ULTRAMARINE": "1B2A9B 4A6BE0 0B124A A9BFF7 E9EEFB",
}
WEIGHTS = (1.0, 0.7, 0.5, 0.35, 0.25)


class ColorPaletteMember(PageInput):
    rgb: Annotated[RGBColor, Field(description="The colour.")]
    color_weight: Annotated[
        float, Field(ge=0, le=1, description="Its share, against those of the others.")
    ] = 0.5


class ColorPalette(PageInput):
    members: Annotated[
        list[ColorPaletteMember] | None,
        Field(max_length=MAX_SWATCHES, description="Colours of one's own."),
    ] = None
    name: Annotated[Name | None, Field(description="A ready palette, instead of members.")] = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "ColorPalette":
        if self.name and self.members:
            raise PydanticCustomError(
                "one_of",
                "a palette goes by its name or by its members, and both came; leave one out",
                {"expected": ["name", "members"]},
            )
        return self

    def swatches(self) -> tuple[Swatch, ...]:
        if self.name:
            return PALETTES[self.name]
        return tuple(
            Swatch(each.rgb.r, each.rgb.g, each.rgb.b, each.color_weight)
            for each in self.members or []
        )


def _swatches(colours: str) -> Iterator[Swatch]:
    for colour, weight in zip(colours.split(), WEIGHTS, strict=True):
        red, green, blue = bytes.fromhex(colour)
        yield Swatch(red, green, blue, weight)


PALETTES: dict[str, tuple[Swatch, ...]] = {
    name: tuple(_swatches(colours)) for name, colours in COLOURS.items()
}
