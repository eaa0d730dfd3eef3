"""Recraft V2: closed weights, many styles; vector styles come as SVG."""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, create_model

from imagemill.conditions import Swatch
from imagemill.dialects.fal.pages.model_page import ModelPage
from imagemill.dialects.fal.pages.types import (
    FileWithData,
    Output,
    PageInput,
    Prompt,
    RGBColor,
    SafetyChecker,
    Size,
    sides,
)
from imagemill.generation import MAX_SWATCHES, Draft

Style = Literal[
    "any",
    "realistic_image",
    "digital_illustration",
    "vector_illustration",
    "realistic_image/b_and_w",
    "realistic_image/enterprise",
    "realistic_image/hard_flash",
    "realistic_image/hdr",
    "realistic_image/motion_blur",
    "realistic_image/natural_light",
    "realistic_image/studio_portrait",
    "digital_illustration/2d_art_poster",
    "digital_illustration/2d_art_poster_2",
    "digital_illustration/3d",
    "digital_illustration/80s",
    "digital_illustration/engraving_color",
    "digital_illustration/glow",
    "digital_illustration/grain",
    "digital_illustration/hand_drawn",
    "digital_illustration/hand_drawn_outline",
    "digital_illustration/handmade_3d",
    "digital_illustration/infantile_sketch",
    "digital_illustration/kawaii",
    "digital_illustration/pixel_art",
    "digital_illustration/psychedelic",
    "digital_illustration/seamless",
    "digital_illustration/voxel",
    "digital_illustration/watercolor",
    "vector_illustration/cartoon",
    "vector_illustration/doodle_line_art",
    "vector_illustration/engraving",
    "vector_illustration/flat_2",
    "vector_illustration/kawaii",
    "vector_illustration/line_art",
    "vector_illustration/line_circuit",
    "vector_illustration/linocut",
    "vector_illustration/seamless",
    "icon/broken_line",
    "icon/colored_outline",
    "icon/colored_shapes",
    "icon/colored_shapes_gradient",
    "icon/doodle_fill",
    "icon/doodle_offset_fill",
    "icon/offset_fill",
    "icon/outline",
    "icon/outline_gradient",
    "icon/uneven_fill",
]
NO_STYLE = "any"
VECTOR = ("vector_illustration", "icon")  # the first words of styles that come as SVG


class TextToImageInput(PageInput):
    prompt: Prompt
    image_size: Size = "square_hd"
    style: Annotated[Style, Field(description="Vector and icon styles come as SVG.")] = (
        "realistic_image"
    )
    colors: Annotated[
        list[RGBColor],
        Field(max_length=MAX_SWATCHES, description="Colours to come close to, all alike."),
    ] = Field(default=[])
    style_id: Annotated[
        str | None, Field(description="A style made of images, in the place of a named one.")
    ] = None
    enable_safety_checker: SafetyChecker = False


class TextToImageOutput(Output):
    images: list[FileWithData]


def preset(style: str) -> str:
    return f"recraft/{style}"


def _draft(body: TextToImageInput) -> Draft:
    width, height = sides(body.image_size)
    return Draft(
        prompt=body.prompt,
        width=width,
        height=height,
        format="svg" if body.style.partition("/")[0] in VECTOR else "webp",
        style=None if body.style == NO_STYLE or body.style_id else preset(body.style),
        style_id=body.style_id or None,
        palette=tuple(Swatch(each.r, each.g, each.b) for each in body.colors),
    )


def _page(id: str, description: str, input: type[TextToImageInput]) -> ModelPage[Any]:
    return ModelPage(
        id=id,
        description=description,
        Input=input,
        Output=TextToImageOutput,
        example={
            "prompt": "a red panda in Kyoto",
            "image_size": "square_hd",
            "style": "realistic_image",
            "colors": [],
        },
        output_example={
            "images": [{"url": "https://fal.media/files/penguin/852yy3l5DGLmrwAK42RTB_image.webp"}]
        },
        read=_draft,
    )


_V2: tuple[str, ...] = get_args(Style)
_LITERAL: Any = Literal
# As the types of fal's own client have them: those of V2 without icons.
_StyleV3: Any = _LITERAL[tuple(style for style in _V2 if not style.startswith("icon/"))]

_V3_ROW: Any = (
    Annotated[_StyleV3, Field(description="Vector styles come as SVG.")],
    "realistic_image",
)
V3 = _page(
    "fal-ai/recraft/v3/text-to-image",
    "A designers' model, strong in long texts; raster and vector styles.",
    create_model("TextToImageInputV3", __base__=TextToImageInput, style=_V3_ROW),
)
PAGES: tuple[ModelPage[Any], ...] = (
    _page(
        "fal-ai/recraft/v2/text-to-image",
        "A designers' model: raster and vector styles, and colours of one's own.",
        TextToImageInput,
    ),
)
