"""Imagen 4, preview and fast: closed weights, and few settings."""

from typing import Annotated, Any, Literal

from pydantic import Field

from imagemill.dialects.fal.pages.model_page import ModelPage
from imagemill.dialects.fal.pages.types import (
    RATIOS,
    FileWithData,
    Negative,
    NumImages,
    Output,
    PageInput,
    Prompt,
    Seed,
)
from imagemill.generation import Draft

STEPS_OF_FAST = 12  # for whatever serves it; the page has no such setting

FLOUR = (
    "Capture an intimate close-up bathed in warm, soft, late-afternoon sunlight filtering into a "
    "quintessential 1960s kitchen. The focal point is a charmingly designed vintage package of "
    "all-purpose flour, resting invitingly on a speckled Formica countertop. The packaging itself "
    "evokes pure nostalgia: perhaps thick, slightly textured paper in a warm cream tone, adorned "
    "with simple, bold typography (a friendly serif or script) in classic red and blue "
    '"ALL-PURPOSE FLOUR", featuring a delightful illustration like a stylized sheaf of wheat or a '
    'cheerful baker character. In smaller bold print at the bottom of the package: "NET WT 5 LBS '
    '(80 OZ) 2.27kg". Focus sharply on the package details \u2013 the slightly soft edges of the '
    'paper bag, the texture of the vintage printing, the inviting "All-Purpose Flour" text. Subtle '
    "hints of the 1960s kitchen frame the shot \u2013 the chrome edge of the counter gleaming "
    "softly, a blurred glimpse of a pastel yellow ceramic tile backsplash, or the corner of a "
    "vintage metal canister set just out of focus. The shallow depth of field keeps attention "
    "locked on the beautifully designed package, creating an aesthetic rich in warmth, "
    "authenticity, and nostalgic appeal."
)
DINER = (
    "Atmospheric narrative illustration depicting a young woman with dark hair styled with a "
    "single star clip, eating dumplings at a small round table in a bustling, late-night eatery "
    "reminiscent of a vintage Hong Kong diner. The style blends clean linework with textured color "
    "fields, evoking a sense of place and story. The mood is intimate contentment amidst vibrant "
    "surroundings. Soft, warm overhead lighting from unseen hanging lamps casts gentle highlights "
    "on her face and the porcelain plate of dumplings, creating soft-edged shadows on the tiled "
    "tabletop and floor. The background features detailed elements like wall menus with stylized "
    "illustrations, a retro wall clock, steam rising from a soup bowl, and glimpses of other "
    "patrons blurred slightly for depth. The woman, viewed from a slightly high angle, crouches "
    "slightly on her chair, intensely focused on her food, rendered with expressive linework "
    "defining her pose and features. The color palette mixes muted teal wall tiles and green "
    "chairs with pops of warm yellow in her top, pink trousers, red chili oil dish, and ambient "
    "light, creating a cozy yet lively feel. Subtle paper texture or digital grain is visible "
    "throughout. Focus is sharp on the character and her immediate table setting"
)


class TextToImageInput(PageInput):
    prompt: Prompt
    negative_prompt: Negative = ""
    aspect_ratio: Annotated[
        Literal["1:1", "16:9", "9:16", "3:4", "4:3"],
        Field(description="Width to height, of about a megapixel."),
    ] = "1:1"
    num_images: NumImages = 1
    seed: Seed = None


class TextToImageOutput(Output):
    images: list[FileWithData]
    seed: int


def _page(
    id: str, description: str, prompt: str, painted: str, steps: int | None
) -> ModelPage[TextToImageInput]:
    def draft(body: TextToImageInput) -> Draft:
        width, height = RATIOS[body.aspect_ratio]
        return Draft(
            prompt=body.prompt,
            negative_prompt=body.negative_prompt,
            width=width,
            height=height,
            steps=steps,
            seed=body.seed,
            num_images=body.num_images,
            format="png",
        )

    return ModelPage(
        id=id,
        description=description,
        Input=TextToImageInput,
        Output=TextToImageOutput,
        example={"prompt": prompt, "aspect_ratio": "1:1", "num_images": 1},
        output_example={"images": [{"url": painted}], "seed": 42},
        read=draft,
    )


PAGES: tuple[ModelPage[Any], ...] = (
    _page(
        "fal-ai/imagen4/preview",
        "Google's model for fine detail, light and many styles.",
        FLOUR,
        "https://v3.fal.media/files/rabbit/rmgBxhwGYb2d3pl3x9sKf_output.png",
        None,
    ),
    _page(
        "fal-ai/imagen4/preview/fast",
        "Google's model, in fewer steps.",
        DINER,
        "https://v3.fal.media/files/elephant/MNWc2sdR8v_VLWqVp7ag8_output.png",
        STEPS_OF_FAST,
    ),
)
