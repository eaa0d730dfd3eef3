"""Applications of fal's that frameworks name in their code: a row for each.

Fields, defaults and choices are those of the types in fal's own client, @fal-ai/client 1.10.1;
what a field means is said once, in `usual`. A test holds the rows to them.
"""

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, create_model

from imagemill.dialects.fal.pages import recraft, usual
from imagemill.dialects.fal.pages.model_page import ModelPage
from imagemill.dialects.fal.pages.types import (
    Acceleration,
    ExpandPrompt,
    FalFile,
    FileUrl,
    Guidance,
    Image,
    Loras,
    Negative,
    NumImages,
    Output,
    OutputFormat,
    PageInput,
    Prompt,
    SafetyChecker,
    Seed,
    Size,
    Steps,
    SyncMode,
    TextToImageOutput,
    optional,
    said,
)
from imagemill.generation import Draft, Format

MUST: Any = ...  # in the place of a default
PAINTED = "https://example.com/picture.jpg"
IMAGE = "https://example.com/image.png"


AnyFormat = Annotated[Literal["jpeg", "png", "webp"], said("The format of the picture's file.")]
Share = Annotated[float, said("How much of the image is repainted.", ge=0, le=1)]
Tolerance = Annotated[
    Literal["1", "2", "3", "4", "5", "6"], said("Read; the safety checker has one threshold.")
]
Read = Annotated[bool, said("Read, and nothing is done with it.")]
HalfAcceleration = Annotated[
    Literal["none", "regular"], said("How much of steps that change little may be saved.")
]
Words = Annotated[str, said("Read, and nothing is done with it.")]

# How a field is taken, where a row says its default alone.
FIELDS: dict[str, Any] = {
    "prompt": Prompt,
    "negative_prompt": Negative,
    "image_url": Annotated[FileUrl, said("The image to paint over.")],
    "image_size": Size,
    "num_inference_steps": Steps,
    "guidance_scale": Guidance,
    "strength": Share,
    "seed": Seed,
    "num_images": NumImages,
    "output_format": OutputFormat,
    "format": OutputFormat,
    "acceleration": Acceleration,
    "loras": Loras,
    "expand_prompt": ExpandPrompt,
    "enhance_prompt": ExpandPrompt,
    "enable_prompt_expansion": ExpandPrompt,
    "prompt_enhancer": ExpandPrompt,
    "sync_mode": SyncMode,
    "enable_safety_checker": SafetyChecker,
    "safety_tolerance": Tolerance,
    "safety_checker_version": Annotated[Literal["v1", "v2"], said("As safety_tolerance.")],
    "limit_generations": Read,
    "enable_web_search": Read,
    "truncate_prompt": Read,
    "raw": Read,
    "use_turbo": Read,
    "request_id": Words,
    "thinking_level": Annotated[
        Literal["minimal", "high"] | None, said("Read, and nothing is done with it.")
    ],
    "embeddings": Annotated[list[Any], said("Not served yet.")],
}
LACKING = {
    "embeddings": "textual inversions are not served here yet; leave embeddings out",
}


class SeededOutput(Output):
    images: list[Image]
    seed: int


class DescribedOutput(Output):
    images: list[FalFile]
    description: str


class OneImageOutput(Output):
    image: Image


PRINTED: dict[type[BaseModel], dict[str, Any]] = {
    TextToImageOutput: {"images": [{"url": PAINTED}], "prompt": "a red cat"},
    SeededOutput: {"images": [{"url": PAINTED}], "seed": 42},
    DescribedOutput: {"images": [{"url": PAINTED}], "description": ""},
    OneImageOutput: {"image": {"url": PAINTED}},
}


def _page(
    id: str,
    description: str,
    output: type[BaseModel] = TextToImageOutput,
    file_format: Format = "jpeg",
    **defaults: Any,
) -> ModelPage[Any]:
    """defaults: by field, its default, or a type and its default. file_format: of the files, where
    no field says it.
    """
    rows: dict[str, Any] = {name: _row(name, row) for name, row in defaults.items()}
    rows = {"prompt": (Prompt, MUST)} | rows
    edits = defaults.get("image_url") is MUST
    name = "".join(part.title() for part in id.replace(".", "").replace("/", "-").split("-"))
    return ModelPage(
        id=id,
        description=description,
        Input=create_model(f"{name}Input", __base__=PageInput, **rows),
        Output=output,
        example={"prompt": "a red cat"} | ({"image_url": IMAGE} if edits else {}),
        output_example=PRINTED[output],
        read=partial(_draft, format=file_format),
        lacking={name: why for name, why in LACKING.items() if name in rows},
        task="image-to-image" if edits else "text-to-image",
    )


def _row(name: str, default: Any) -> tuple[Any, Any]:
    """A field's type and its default."""
    type, default = default if isinstance(default, tuple) else (FIELDS[name], default)
    return optional(type) if default is None else (type, default)


def _draft(body: BaseModel, format: Format) -> Draft:
    return usual.draft(dict(body), format)


_LITERAL: Any = Literal


def _ratios(*ratios: str) -> Any:
    return Annotated[_LITERAL[ratios], said("Width to height, of about a megapixel.")]


def _resolutions(*names: str) -> Any:
    return Annotated[_LITERAL[names], said("Of a square's side: 1K is 1024 px; at most 2048.")]


FLUX_RATIOS = _ratios("21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21")
IMAGEN_RATIOS = _ratios("1:1", "16:9", "9:16", "4:3", "3:4")
BANANA = ("21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16")
BRIA_RATIOS = _ratios("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9")
KONTEXT_MODES = _ratios(
    "auto", "match_input", "1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16",
    "9:21",
)  # fmt: skip
BRIA_NEGATIVE = (
    "Logo,Watermark,Ugly,Morbid,Extra fingers,Poorly drawn hands,Mutation,Blurry,Extra limbs,"
    "Gross proportions,Missing arms,Mutated hands,Long neck,Duplicate,Mutilated,Mutilated hands,"
    "Poorly drawn face,Deformed,Bad anatomy,Cloned face,Malformed limbs,Missing legs,"
    "Too many fingers"
)
PRO: dict[str, Any] = {
    "seed": None, "num_images": 1, "output_format": "jpeg", "safety_tolerance": "2",
    "enhance_prompt": False, "sync_mode": False,
}  # fmt: skip
OPEN: dict[str, Any] = {
    "guidance_scale": 3.5, "seed": None, "num_images": 1, "output_format": "jpeg",
    "acceleration": "none", "enable_safety_checker": True, "sync_mode": False,
}  # fmt: skip
FROM_WORDS: dict[str, Any] = {"image_size": "landscape_4_3", "num_inference_steps": 28, **OPEN}
OVER_IMAGE: dict[str, Any] = {
    "image_url": MUST, "strength": 0.95, "num_inference_steps": 40, **OPEN
}  # fmt: skip
LORA: dict[str, Any] = FROM_WORDS | {"loras": [], "acceleration": (HalfAcceleration, "none")}
KONTEXT: dict[str, Any] = {
    "image_url": MUST, "aspect_ratio": (FLUX_RATIOS, None), "guidance_scale": 3.5, **PRO
}  # fmt: skip
GOOGLE: dict[str, Any] = {
    "num_images": 1, "seed": None, "output_format": (AnyFormat, "png"), "safety_tolerance": "4",
    "sync_mode": False,
}  # fmt: skip
NANO: dict[str, Any] = GOOGLE | {
    "aspect_ratio": (_ratios(*BANANA), "1:1"), "limit_generations": False,
}  # fmt: skip
NANO_PRO: dict[str, Any] = NANO | {
    "aspect_ratio": (_ratios("auto", *BANANA), "1:1"),
    "resolution": (_resolutions("1K", "2K", "4K"), "1K"), "enable_web_search": False,
}  # fmt: skip
NANO_2: dict[str, Any] = NANO_PRO | {
    "aspect_ratio": (_ratios("auto", *BANANA, "4:1", "1:4", "8:1", "1:8"), "auto"),
    "resolution": (_resolutions("0.5K", "1K", "2K", "4K"), "1K"),
    "limit_generations": True, "thinking_level": None,
}  # fmt: skip
SEED: dict[str, Any] = {"image_size": None, "num_images": 1, "seed": None, "sync_mode": False}

PAGES: tuple[ModelPage[Any], ...] = (
    _page(
        "fal-ai/flux-pro/v1.1",
        "FLUX1.1 [pro], whose weights are closed.",
        image_size="landscape_4_3",
        **PRO,
    ),
    _page(
        "fal-ai/flux-pro/v1.1-ultra",
        "FLUX1.1 [pro] ultra: a ratio instead of a size, and an image beside the prompt.",
        aspect_ratio=(FLUX_RATIOS, "16:9"),
        image_url=None,
        image_prompt_strength=(Share, 0.1),
        raw=False,
        **PRO,
    ),
    _page("fal-ai/flux-pro/kontext", "FLUX.1 Kontext [pro]: an image changed by words.", **KONTEXT),
    _page(
        "fal-ai/flux-pro/kontext/max", "FLUX.1 Kontext [max]: an image changed by words.", **KONTEXT
    ),
    _page("fal-ai/flux/dev/image-to-image", "FLUX.1 [dev] over an image.", **OVER_IMAGE),
    _page("fal-ai/flux/krea", "FLUX.1 Krea [dev], of plain photographs.", **FROM_WORDS),
    _page("fal-ai/flux/krea/image-to-image", "FLUX.1 Krea [dev] over an image.", **OVER_IMAGE),
    _page("fal-ai/flux-lora", "FLUX.1 [dev] with LoRAs.", **LORA),
    _page(
        "fal-ai/flux-lora/image-to-image",
        "FLUX.1 [dev] with LoRAs, over an image.",
        **LORA | {"image_url": MUST, "strength": 0.85, "image_size": None},
    ),
    _page(
        "fal-ai/flux-2",
        "FLUX.2 [dev], from words.",
        **FROM_WORDS
        | {
            "guidance_scale": 2.5,
            "acceleration": "regular",
            "output_format": (AnyFormat, "png"),
            "enable_prompt_expansion": False,
        },
    ),
    _page(
        "fal-ai/flux-kontext/dev",
        "FLUX.1 Kontext [dev]: an image changed by words.",
        image_url=MUST,
        num_inference_steps=28,
        resolution_mode=(KONTEXT_MODES, "match_input"),
        enhance_prompt=False,
        **OPEN | {"guidance_scale": 2.5},
    ),
    _page(
        "fal-ai/fast-sdxl",
        "Stable Diffusion XL.",
        negative_prompt="",
        image_size="square_hd",
        num_inference_steps=25,
        guidance_scale=7.5,
        seed=None,
        num_images=1,
        loras=[],
        embeddings=[],
        expand_prompt=False,
        format="jpeg",
        enable_safety_checker=True,
        safety_checker_version="v1",
        request_id="",
        sync_mode=False,
    ),
    _page(
        "fal-ai/qwen-image",
        "Qwen-Image, strong in lettering.",
        **FROM_WORDS
        | {
            "negative_prompt": " ",
            "num_inference_steps": 30,
            "guidance_scale": 2.5,
            "output_format": "png",
            "loras": [],
            "use_turbo": False,
        },
    ),
    _page(
        "fal-ai/qwen-image-edit",
        "Qwen-Image-Edit: an image changed by words.",
        **OPEN
        | {
            "image_url": MUST,
            "image_size": None,
            "negative_prompt": " ",
            "num_inference_steps": 30,
            "guidance_scale": 4.0,
            "acceleration": "regular",
            "output_format": "png",
        },
    ),
    _page(
        "fal-ai/stable-diffusion-v35-medium",
        "Stable Diffusion 3.5 Medium, an open model of 2.5 billion parameters.",
        **{name: row for name, row in FROM_WORDS.items() if name != "acceleration"}
        | {"negative_prompt": "", "num_inference_steps": 50},
    ),
    _page(
        "fal-ai/imagen4/preview/ultra",
        "Google's model, at its most careful.",
        DescribedOutput,
        aspect_ratio=(IMAGEN_RATIOS, "1:1"),
        resolution=(_resolutions("1K", "2K"), "1K"),
        **GOOGLE,
    ),
    _page("fal-ai/nano-banana", "Google's Gemini 2.5 Flash Image.", DescribedOutput, **NANO),
    _page(
        "fal-ai/gemini-25-flash-image",
        "Google's Gemini 2.5 Flash Image, at its other address.",
        DescribedOutput,
        **NANO,
    ),
    _page("fal-ai/nano-banana-pro", "Google's Gemini 3 Pro Image.", DescribedOutput, **NANO_PRO),
    _page("fal-ai/nano-banana-2", "Google's Gemini 3.1 Flash Image.", DescribedOutput, **NANO_2),
    _page(
        "fal-ai/bytedance/seedream/v3/text-to-image",
        "ByteDance's Seedream 3.0.",
        SeededOutput,
        guidance_scale=2.5,
        enable_safety_checker=True,
        **SEED,
    ),
    _page(
        "fal-ai/bytedance/dreamina/v3.1/text-to-image",
        "ByteDance's Dreamina 3.1.",
        SeededOutput,
        enhance_prompt=False,
        **SEED,
    ),
    _page(
        "bria/text-to-image/3.2",
        "Bria 3.2, trained on licensed pictures; one picture, always of one seed.",
        OneImageOutput,
        "png",
        negative_prompt=BRIA_NEGATIVE,
        aspect_ratio=(BRIA_RATIOS, "1:1"),
        num_inference_steps=30,
        guidance_scale=5.0,
        seed=5555,
        prompt_enhancer=True,
        truncate_prompt=True,
        sync_mode=False,
    ),
    recraft.V3,
)
