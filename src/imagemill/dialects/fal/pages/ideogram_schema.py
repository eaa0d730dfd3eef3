"""What Ideogram V2 and V3 take and answer, field by field in the order of their pages."""

from typing import Annotated, Literal

from pydantic import Field

from imagemill.dialects.fal.pages.palettes import ColorPalette
from imagemill.dialects.fal.pages.types import (
    ExpandPrompt,
    FalFile,
    FileUrl,
    Negative,
    NumImages,
    Output,
    PageInput,
    Prompt,
    Seed,
    Size,
    SyncMode,
)
from imagemill.generation import MAX_REFERENCES

RenderingSpeed = Annotated[
    Literal["TURBO", "BALANCED", "QUALITY"], Field(description="Fewer steps or more.")
]
Palette = Annotated[ColorPalette | None, Field(description="Colours to come close to.")]
StyleImages = Annotated[
    list[FileUrl] | None,
    Field(
        max_length=MAX_REFERENCES,
        description="Images whose style is taken on: JPEG, PNG or WebP, 10 MB in all.",
    ),
]
StyleCodes = Annotated[
    list[Annotated[str, Field(pattern="^[0-9A-Fa-f]{8}$")]] | None,
    Field(max_length=16, description="Styles, eight hexadecimal digits each; alone."),
]
Style = Annotated[
    Literal["AUTO", "GENERAL", "REALISTIC", "DESIGN"] | None, Field(description="A preset.")
]
ImageUrl = Annotated[FileUrl, Field(description="The image that is worked on.")]


class TextToImageInputV2(PageInput):
    prompt: Prompt
    aspect_ratio: Annotated[
        Literal["10:16", "16:10", "9:16", "16:9", "4:3", "3:4", "1:1", "1:3", "3:1", "3:2", "2:3"],
        Field(description="Width to height, of about a megapixel."),
    ] = "1:1"
    expand_prompt: ExpandPrompt = True
    seed: Seed = None
    style: Annotated[
        Literal["auto", "general", "realistic", "design", "render_3D", "anime"],
        Field(description="A preset."),
    ] = "auto"
    sync_mode: SyncMode = False
    negative_prompt: Negative = ""


class BaseTextToImageInputV3(PageInput):
    image_urls: StyleImages = None
    rendering_speed: RenderingSpeed = "BALANCED"
    color_palette: Palette = None
    style_codes: StyleCodes = None
    style: Style = None
    expand_prompt: ExpandPrompt = True
    num_images: NumImages = 1
    seed: Seed = None
    sync_mode: SyncMode = False
    prompt: Prompt
    image_size: Size = "square_hd"
    negative_prompt: Negative = ""


class RemixImageInputV3(PageInput):
    image_urls: StyleImages = None
    rendering_speed: RenderingSpeed = "BALANCED"
    color_palette: Palette = None
    style_codes: StyleCodes = None
    style: Style = None
    expand_prompt: ExpandPrompt = True
    num_images: NumImages = 1
    seed: Seed = None
    sync_mode: SyncMode = False
    prompt: Prompt
    image_url: ImageUrl
    strength: Annotated[
        float, Field(ge=0.01, le=1, description="How much of the image stays: 1 is nearly all.")
    ] = 0.8
    image_size: Size = "square_hd"
    negative_prompt: Negative = ""


class EditImageInputV3(PageInput):
    image_urls: StyleImages = None
    rendering_speed: RenderingSpeed = "BALANCED"
    color_palette: Palette = None
    style_codes: StyleCodes = None
    expand_prompt: ExpandPrompt = True
    num_images: NumImages = 1
    seed: Seed = None
    sync_mode: SyncMode = False
    prompt: Prompt
    image_url: ImageUrl
    mask_url: Annotated[FileUrl, Field(description="Of the image's size, white where to paint.")]


class ReframeImageInputV3(PageInput):
    image_urls: StyleImages = None
    rendering_speed: RenderingSpeed = "BALANCED"
    color_palette: Palette = None
    style_codes: StyleCodes = None
    style: Style = None
    num_images: NumImages = 1
    seed: Seed = None
    sync_mode: SyncMode = False
    image_url: ImageUrl
    image_size: Size


class ReplaceBackgroundInputV3(PageInput):
    image_urls: StyleImages = None
    rendering_speed: RenderingSpeed = "BALANCED"
    color_palette: Palette = None
    style_codes: StyleCodes = None
    style: Style = None
    expand_prompt: ExpandPrompt = True
    num_images: NumImages = 1
    seed: Seed = None
    sync_mode: SyncMode = False
    prompt: Prompt
    image_url: ImageUrl


class TextToImageOutputV2(Output):
    images: list[FalFile]
    seed: Annotated[int, Field(description="Given or drawn: gives these pictures again.")]


class BaseTextToImageOutputV3(TextToImageOutputV2):
    pass


class RemixOutputV3(TextToImageOutputV2):
    pass


class EditOutputV3(TextToImageOutputV2):
    pass


class ReframeOutputV3(TextToImageOutputV2):
    pass


class ReplaceBackgroundOutputV3(TextToImageOutputV2):
    pass
