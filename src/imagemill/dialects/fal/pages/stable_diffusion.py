"""Stable Diffusion 3.5 Large: open weights, LoRAs, ControlNets and IP-Adapters."""

from typing import Annotated, Any

from pydantic import Field

from imagemill.conditions import Control, ImagePrompt
from imagemill.dialects.fal.pages.model_page import ModelPage
from imagemill.dialects.fal.pages.types import (
    OUTPUT_EXAMPLE,
    FileUrl,
    Guidance,
    Loras,
    Negative,
    NumImages,
    OutputFormat,
    PageInput,
    Prompt,
    SafetyChecker,
    Seed,
    Size,
    Steps,
    SyncMode,
    TextToImageOutput,
    said,
    sides,
)
from imagemill.generation import Draft

Share = Annotated[float, Field(ge=0, le=1)]
Scale = Annotated[float, Field(ge=0, le=2, description="How strongly it is applied.")]


class ControlNet(PageInput):
    path: Annotated[
        str, Field(min_length=1, description="An address, a Hub id, or an alias of the operator's.")
    ]
    control_image_url: Annotated[FileUrl, said("The image that controls.")]
    conditioning_scale: Scale = 1.0
    start_percentage: Annotated[Share, said("From which share of the steps on.")] = 0.0
    end_percentage: Annotated[Share, said("To which share of the steps.")] = 1.0

    def control(self) -> Control:
        """Raises a Fault where it starts after its end."""
        return Control(
            self.control_image_url,
            self.path,
            self.conditioning_scale,
            self.start_percentage,
            self.end_percentage,
        )


class PageIPAdapter(PageInput, title="IPAdapter"):
    path: Annotated[
        str, Field(min_length=1, description="An address, a Hub id, or an alias of the operator's.")
    ]
    subfolder: Annotated[str | None, said("Where in it the weights are.")] = None
    weight_name: Annotated[str | None, said("Which file the weights are in.")] = None
    image_encoder_path: Annotated[
        str, Field(min_length=1, description="The same of the image encoder.")
    ]
    image_encoder_subfolder: Annotated[str | None, said("Where in it the weights are.")] = None
    image_encoder_weight_name: Annotated[str | None, said("Which file they are in.")] = None
    image_url: Annotated[FileUrl, said("The image that serves as a prompt.")]
    mask_image_url: Annotated[FileUrl | None, said("Where in the picture it counts.")] = None
    mask_threshold: Annotated[Share, said("From which brightness the mask counts.")] = 0.5
    scale: Scale

    def prompt(self) -> ImagePrompt:
        return ImagePrompt(
            self.image_url,
            self.path,
            subfolder=self.subfolder,
            weight_name=self.weight_name,
            encoder_path=self.image_encoder_path,
            encoder_subfolder=self.image_encoder_subfolder,
            encoder_weight_name=self.image_encoder_weight_name,
            mask=self.mask_image_url,
            mask_threshold=self.mask_threshold,
            scale=self.scale,
        )


class TextToImageInput(PageInput):
    prompt: Prompt
    negative_prompt: Negative = ""
    num_inference_steps: Steps = 28
    seed: Seed = None
    guidance_scale: Guidance = 3.5
    sync_mode: SyncMode = False
    num_images: NumImages = 1
    enable_safety_checker: SafetyChecker = True
    output_format: OutputFormat = "jpeg"
    controlnet: Annotated[
        ControlNet | None, said("What steers the composition, where the model's weights allow it.")
    ] = None
    image_size: Size = "landscape_4_3"
    loras: Loras = Field(default=[])
    ip_adapter: Annotated[
        PageIPAdapter | None,
        said("A reference that is taken up, where the model's weights allow it."),
    ] = None


def _draft(body: TextToImageInput) -> Draft:
    control = None if body.controlnet is None else body.controlnet.control()
    like_control = control is not None and "image_size" not in body.model_fields_set
    width, height = (None, None) if like_control else sides(body.image_size)
    return Draft(
        prompt=body.prompt,
        negative_prompt=body.negative_prompt,
        width=width,
        height=height,
        steps=body.num_inference_steps,
        guidance_scale=body.guidance_scale,
        seed=body.seed,
        num_images=body.num_images,
        format=body.output_format,
        image_sized=like_control,
        control=control,
        ip_adapter=None if body.ip_adapter is None else body.ip_adapter.prompt(),
        loras=tuple(each.lora() for each in body.loras),
    )


PROMPT = (
    "A dreamlike Japanese garden in perpetual twilight, bathed in bioluminescent cherry blossoms "
    "that emit a soft pink-purple glow. Floating paper lanterns drift lazily through the scene, "
    "their warm light creating dancing reflections in a mirror-like koi pond. Ethereal mist weaves "
    "between ancient stone pathways lined with glowing mushrooms in pastel blues and purples. A "
    "traditional wooden bridge arches gracefully over the water, dusted with fallen petals that "
    "sparkle like stardust. The scene is captured through a cinematic lens with perfect bokeh, "
    "creating an otherworldly atmosphere. In the background, a crescent moon hangs impossibly "
    "large in the sky, surrounded by a sea of stars and auroral wisps in teal and violet. Crystal "
    "formations emerge from the ground, refracting the ambient light into rainbow prisms. The "
    "entire composition follows the golden ratio, with moody film-like color grading reminiscent "
    "of Studio Ghibli, enhanced by volumetric god rays filtering through the luminous foliage. 8K "
    "resolution, masterful photography, hyperdetailed, magical realism."
)

PAGES: tuple[ModelPage[Any], ...] = (
    ModelPage(
        id="fal-ai/stable-diffusion-v35-large",
        description="An open model of 8 billion parameters, strong in lettering and long prompts.",
        Input=TextToImageInput,
        Output=TextToImageOutput,
        example={
            "prompt": PROMPT,
            "negative_prompt": "",
            "num_inference_steps": 28,
            "guidance_scale": 3.5,
            "num_images": 1,
            "enable_safety_checker": True,
            "output_format": "jpeg",
        },
        output_example=OUTPUT_EXAMPLE,
        read=_draft,
    ),
)
