"""Ideogram V2 and V3: closed weights; text to image, edit, remix, reframe and new backgrounds."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from imagemill.dialects.fal.pages.ideogram_schema import (
    BaseTextToImageInputV3,
    BaseTextToImageOutputV3,
    EditImageInputV3,
    EditOutputV3,
    ReframeImageInputV3,
    ReframeOutputV3,
    RemixImageInputV3,
    RemixOutputV3,
    ReplaceBackgroundInputV3,
    ReplaceBackgroundOutputV3,
    TextToImageInputV2,
    TextToImageOutputV2,
)
from imagemill.dialects.fal.pages.model_page import Apart, ModelPage
from imagemill.dialects.fal.pages.types import (
    LEAST_REPAINTED,
    RATIOS,
    Output,
    PageInput,
    sides,
)
from imagemill.finishing.style_vectors import from_code, mean
from imagemill.generation import Draft

STEPS: dict[str, int] = {"TURBO": 12, "BALANCED": 28, "QUALITY": 50}
# Canonical presets by either version's word; auto and general ask for none.
STYLES: dict[str, str] = {
    "realistic": "ideogram/realistic",
    "design": "ideogram/design",
    "render_3d": "ideogram/render_3d",
    "anime": "ideogram/anime",
}
# A reframed picture has no prompt of its own.
REFRAMED = "the same scene, continued beyond its edges in the same manner"

InputV3 = (
    BaseTextToImageInputV3
    | RemixImageInputV3
    | EditImageInputV3
    | ReframeImageInputV3
    | ReplaceBackgroundInputV3
)
TakenInput = TypeVar("TakenInput", bound=PageInput)


def _v2(body: TextToImageInputV2) -> Draft:
    width, height = RATIOS[body.aspect_ratio]
    return Draft(
        prompt=body.prompt,
        negative_prompt=body.negative_prompt,
        width=width,
        height=height,
        steps=STEPS["BALANCED"],
        seed=body.seed,
        format="png",
        style=STYLES.get(body.style.lower()),
        expand=body.expand_prompt,
    )


def _v3(body: InputV3, prompt: str, style: str | None, expand: bool) -> Draft:
    """What all of V3 share."""
    return Draft(
        prompt=prompt,
        steps=STEPS[body.rendering_speed],
        seed=body.seed,
        num_images=body.num_images,
        format="png",
        style=STYLES.get(style.lower()) if style else None,
        palette=body.color_palette.swatches() if body.color_palette else (),
        expand=expand,
        style_images=tuple(body.image_urls or ()),
        style_vector=mean(list(map(from_code, codes))) if (codes := body.style_codes) else None,
    )


def _text_to_image(body: BaseTextToImageInputV3) -> Draft:
    width, height = sides(body.image_size)
    return replace(
        _v3(body, body.prompt, body.style, body.expand_prompt),
        width=width,
        height=height,
        negative_prompt=body.negative_prompt,
    )


def _remix(body: RemixImageInputV3) -> Draft:
    width, height = sides(body.image_size)
    return replace(
        _v3(body, body.prompt, body.style, body.expand_prompt),
        width=width,
        height=height,
        negative_prompt=body.negative_prompt,
        image=body.image_url,
        # The page's strength is the image's own; a Generation's is that of the repainting.
        strength=max(round(1 - body.strength, 6), LEAST_REPAINTED),
    )


def _edit(body: EditImageInputV3) -> Draft:
    return replace(
        _v3(body, body.prompt, None, body.expand_prompt),
        image=body.image_url,
        mask=body.mask_url,
        strength=1.0,
        image_sized=True,
    )


def _reframe(body: ReframeImageInputV3) -> Draft:
    width, height = sides(body.image_size)
    return replace(
        _v3(body, REFRAMED, body.style, expand=False),
        width=width,
        height=height,
        image=body.image_url,
        strength=1.0,
        outpaint=True,
    )


def _replace_background(body: ReplaceBackgroundInputV3) -> Draft:
    return replace(
        _v3(body, body.prompt, body.style, body.expand_prompt),
        image=body.image_url,
        strength=1.0,
        image_sized=True,
        keep_foreground=True,
    )


# In the words of the pages; what they call style_reference_images is image_urls.
APART: dict[str, Apart] = {
    "style_codes": Apart(
        ("image_urls", "style"),
        "Cannot be used in conjunction with style_reference_images or style",
    )
}
SKELETON = (
    "A comic style illustration of a skeleton sitting on a toilet in a bathroom. The bathroom has "
    "a Halloween decoration with a pumpkin jack-o-lantern and bats flying around. There is a text "
    'above the skeleton that says "Just Waiting for Halloween with Ideogram 2.0 at fal.ai"'
)
IMAGE = "https://example.com/image.png"
MASK = "https://example.com/mask.png"
PAINTED = "https://example.com/picture.png"


def _page(
    name: str,
    description: str,
    input: type[TakenInput],
    output: type[Output],
    example: dict[str, Any],
    read: Callable[[TakenInput], Draft],
    painted: str = PAINTED,
) -> ModelPage[TakenInput]:
    return ModelPage(
        id=f"fal-ai/ideogram/{name}",
        description=description,
        Input=input,
        Output=output,
        example=example,
        output_example={"images": [{"url": painted}], "seed": 123456},
        read=read,
        apart=APART,
    )


PAGES: tuple[ModelPage[Any], ...] = (
    _page(
        "v2",
        "A model known for lettering, with presets of style.",
        TextToImageInputV2,
        TextToImageOutputV2,
        {
            "prompt": SKELETON,
            "aspect_ratio": "1:1",
            "expand_prompt": True,
            "style": "auto",
        },
        _v2,
        painted="https://fal.media/files/monkey/cNaoxPl0YAWYb-QVBvO9F_image.png",
    ),
    _page(
        "v3",
        "A model known for lettering, with palettes and a choice of speed.",
        BaseTextToImageInputV3,
        BaseTextToImageOutputV3,
        {
            "prompt": 'A poster with the word "HARVEST" above a field of barley',
            "rendering_speed": "BALANCED",
            "expand_prompt": True,
            "num_images": 1,
            "image_size": "square_hd",
            "negative_prompt": "",
        },
        _text_to_image,
    ),
    _page(
        "v3/edit",
        "Paints what a mask leaves open, and keeps the rest.",
        EditImageInputV3,
        EditOutputV3,
        {"prompt": "a green bicycle", "image_url": IMAGE, "mask_url": MASK},
        _edit,
    ),
    _page(
        "v3/remix",
        "Paints over an image, keeping as much of it as asked.",
        RemixImageInputV3,
        RemixOutputV3,
        {
            "prompt": "the same street in winter",
            "image_url": IMAGE,
            "strength": 0.8,
            "image_size": "square_hd",
        },
        _remix,
    ),
    _page(
        "v3/reframe",
        "Continues an image beyond its edges, to another size.",
        ReframeImageInputV3,
        ReframeOutputV3,
        {"image_url": IMAGE, "image_size": "landscape_16_9"},
        _reframe,
    ),
    _page(
        "v3/replace-background",
        "Keeps what stands in front and paints all else anew.",
        ReplaceBackgroundInputV3,
        ReplaceBackgroundOutputV3,
        {"prompt": "a harbour in the morning", "image_url": IMAGE},
        _replace_background,
    ),
)
