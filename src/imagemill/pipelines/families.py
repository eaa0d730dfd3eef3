"""What is to be known of each family of models, as data."""

from dataclasses import dataclass, replace
from typing import Literal

Task = Literal["paint", "repaint", "inpaint", "edit"]
Guidance = Literal["joined", "apart", "always", "embedded"]

OWN = "own"  # the class that was loaded
DENOISERS = ("transformer", "unet")  # parts of pipelines, of which each has one


@dataclass(frozen=True)
class Family:
    """Facts about one class of pipeline, or one model of it.

    multiple_of: px; a size between is painted larger and cut. min_pixels, max_pixels: of a canvas;
    a smaller picture is painted larger, a larger one smaller, and scaled. paints, repaints,
    inpaints, edits: the classes that paint from nothing, over a picture, over the masked part of
    one, and by words and pictures that these speak of; None where there is none. whole: the tasks
    that read the picture whole, as an example or a condition: they run all steps, and strength
    means nothing to them. references: how many pictures an edit reads at most. plans: whether an
    edit is planned before, as a repainting of what has changed (`pipelines.editing`). flow:
    trained by flow matching, so that other schedulers are given flow sigmas. negative_prompt:
    whether one has a meaning.

    guidance: "joined", rows against the prompt and for it in one call of the module; "apart", a
    call for the prompt and one against it; "always", rows for both that cannot be told apart here;
    "embedded", a number that a distilled model is told. Only the first two hear a guidance range.
    guidance_share: how much of what a guidance scale has above 1 is applied, by a model that wants
    little and is asked with the scales of others.
    unguided: what the pipeline is told for no guidance at all; None, what the caller said. floors:
    whether strength times steps is rounded down by the pipelines that paint over. latents: how they
    lie, "packed" for two by two in a token; None where that is not known, so that nothing can be
    shown before the end. own_area: whether the pipeline scales all sizes to an area of its own.
    filters: whether a style has to be made of the finished picture, since the model does not read a
    style's words.
    """

    multiple_of: int = 16
    min_pixels: int = 0
    max_pixels: int | None = None
    paints: str | None = OWN
    repaints: str | None = None
    inpaints: str | None = None
    edits: str | None = None
    whole: frozenset[Task] = frozenset()
    references: int = 1
    plans: bool = False
    flow: bool = True
    negative_prompt: bool = True
    guidance: Guidance = "embedded"
    guidance_share: float = 1.0
    #: Times the thresholds of the first-block cache, where more may change unseen.
    cache_tolerance: float = 1.0
    unguided: float | None = None
    floors: bool = False
    latents: Literal["plain", "packed"] | None = None
    own_area: bool = False
    filters: bool = False

    @property
    def guided_pairs(self) -> bool:
        """Whether guidance in some steps alone saves the rows against the prompt in the others."""
        return self.guidance in ("joined", "apart")

    @property
    def only_over(self) -> str | None:
        """What has to be sent for anything to be painted; None where words are enough."""
        if self.paints:
            return None
        return "an image" if self.repaints else "an image and a mask"

    @property
    def own_task(self) -> Task:
        """What the class that was loaded does itself."""
        if self.paints == OWN:
            return "paint"
        return "repaint" if self.repaints == OWN else "inpaint"

    def applied(self, guidance_scale: float) -> float:
        """What the pipeline is told for a guidance scale."""
        if guidance_scale <= 1:
            return guidance_scale
        return 1 + self.guidance_share * (guidance_scale - 1)

    def task(self, image: bool, mask: bool, references: bool = False) -> Task | None:
        """What paints over an image, or within its mask, or by references; None where nothing does.

        A class that knows masks alone repaints a whole image by a mask of white; what knows no
        masks repaints all, and what was to be kept is pasted over it. What edits nothing paints
        over a reference as over an image.
        """
        if references and self.edits:
            return "edit"
        if not image and not references:
            return "paint" if self.paints else None
        if self.inpaints and (mask or not self.repaints):
            return "inpaint"
        return "repaint" if self.repaints else None


_SD = Family(multiple_of=8, flow=False, floors=True, guidance="joined", latents="plain")
_SD3 = Family(
    guidance="joined",
    repaints="StableDiffusion3Img2ImgPipeline",
    inpaints="StableDiffusion3InpaintPipeline",
    latents="plain",
)
_XL = replace(
    _SD,
    repaints="StableDiffusionXLImg2ImgPipeline",
    inpaints="StableDiffusionXLInpaintPipeline",
)
_FLUX = Family(
    repaints="FluxImg2ImgPipeline",
    inpaints="FluxInpaintPipeline",
    negative_prompt=False,
    latents="packed",
)
_QWEN = Family(guidance="apart")
# By class of pipeline, diffusers 0.42.1. What their signatures and configurations tell is read
# from these (`pipelines.deriving`).
FAMILIES: dict[str, Family] = {
    "StableDiffusionPipeline": replace(
        _SD,
        repaints="StableDiffusionImg2ImgPipeline",
        inpaints="StableDiffusionInpaintPipeline",
    ),
    "StableDiffusionImg2ImgPipeline": replace(
        _SD, paints=None, repaints=OWN, inpaints="StableDiffusionInpaintPipeline"
    ),
    "StableDiffusionInpaintPipeline": replace(_SD, paints=None, inpaints=OWN),
    "StableDiffusionControlNetPipeline": replace(
        _SD, paints="StableDiffusionPipeline", repaints=OWN
    ),
    "LatentConsistencyModelPipeline": replace(
        _SD,
        repaints="LatentConsistencyModelImg2ImgPipeline",
        guidance="embedded",
        negative_prompt=False,
    ),
    "StableDiffusionXLPipeline": _XL,
    "StableDiffusionXLImg2ImgPipeline": replace(_XL, paints=None, repaints=OWN),
    "StableDiffusionXLInpaintPipeline": replace(_XL, paints=None, repaints=None, inpaints=OWN),
    "StableDiffusionXLControlNetPipeline": replace(
        _SD, paints="StableDiffusionXLPipeline", repaints=OWN
    ),
    "KolorsPipeline": replace(_SD, repaints="KolorsImg2ImgPipeline"),
    "PixArtAlphaPipeline": replace(_SD, multiple_of=16),
    "PixArtSigmaPipeline": replace(_SD, multiple_of=16),
    "StableDiffusion3Pipeline": _SD3,
    "FluxPipeline": _FLUX,
    "FluxFillPipeline": replace(_FLUX, paints=None, repaints=None, inpaints=OWN),
    "FluxKontextPipeline": replace(
        _FLUX, repaints=OWN, inpaints="FluxKontextInpaintPipeline", edits=OWN
    ),
    "FluxControlPipeline": replace(_FLUX, paints=None, repaints=OWN, inpaints=None),
    "Flux2Pipeline": Family(repaints=OWN, edits=OWN, references=10, negative_prompt=False),
    "Flux2KleinPipeline": Family(
        repaints=OWN,
        edits=OWN,
        references=10,
        inpaints="Flux2KleinInpaintPipeline",
        guidance="apart",
        negative_prompt=False,
    ),
    "HiDreamImagePipeline": Family(
        guidance="always", latents="plain", own_area=True, max_pixels=1024**2
    ),
    "OmniGenPipeline": Family(
        repaints=OWN, edits=OWN, references=3, guidance="always", negative_prompt=False
    ),
    "QwenImagePipeline": replace(
        _QWEN, repaints="QwenImageImg2ImgPipeline", inpaints="QwenImageInpaintPipeline"
    ),
    "QwenImageEditPipeline": replace(
        _QWEN, paints=None, repaints=OWN, inpaints="QwenImageEditInpaintPipeline", edits=OWN
    ),
    "QwenImageEditPlusPipeline": replace(_QWEN, paints=None, repaints=OWN, edits=OWN, references=3),
    "ZImagePipeline": Family(
        repaints="ZImageImg2ImgPipeline",
        inpaints="ZImageInpaintPipeline",
        guidance="always",
        unguided=0.0,
        latents="plain",
    ),
    "SanaPipeline": Family(multiple_of=32, guidance="joined", latents="plain"),
    "Lumina2Pipeline": Family(guidance="apart", latents="plain"),
    "ChromaPipeline": Family(
        repaints="ChromaImg2ImgPipeline",
        inpaints="ChromaInpaintPipeline",
        guidance="apart",
        latents="packed",
    ),
    "CogView4Pipeline": Family(guidance="apart", latents="plain", multiple_of=32),
    "AuraFlowPipeline": Family(guidance="joined", latents="plain"),
}
PICO = replace(
    _SD3,
    multiple_of=32,
    min_pixels=256**2,
    max_pixels=640**2,
    guidance_share=0.2,
    cache_tolerance=2.0,
    filters=True,
    edits="StableDiffusion3InpaintPipeline",
    references=3,
    plans=True,
)
EMBEDDED = "pico"  # the source that names the embedded model


@dataclass(frozen=True)
class ImageArgument:
    """How a class takes its pictures. listed: also a single one in a list. named: what stands for a
    picture in the prompt, by its number from 1, which has to name it.
    """

    name: str = "image"
    listed: bool = False
    named: str = ""

    def prompt(self, prompt: str, count: int) -> str:
        """The prompt, with the names of the pictures that it does not name before it."""
        names = [self.named.format(number) for number in range(1, count + 1) if self.named]
        missing = [name for name in names if name not in prompt]
        return " ".join([*missing, prompt])


IMAGE = ImageArgument()
IMAGES: dict[str, ImageArgument] = {
    "FluxControlPipeline": ImageArgument("control_image"),
    "OmniGenPipeline": ImageArgument("input_images", True, "<img><|image_{}|></img>"),
}
# What classes call the guidance towards their pictures.
IMAGE_GUIDANCE = ("img_guidance_scale", "image_guidance_scale")

# Decodes without adding the shift that its latents were encoded with (diffusers 0.42.1).
UNSHIFTED = frozenset({"StableDiffusion3InpaintPipeline"})
# Knows transformers of 16 channels and, with a mask among them, of 33, whatever the autoencoder has
# (diffusers 0.42.1): one of as many as its autoencoder is said to have 16.
SIXTEEN = frozenset({"StableDiffusion3InpaintPipeline"})
# What a pipeline reads of a module's configuration and is not there (diffusers 0.42.1): Chroma's
# for masks asks its transformer so.
MISSING_CONFIG: dict[str, dict[str, bool]] = {
    "ChromaTransformer2DModel": {"guidance_embeds": False}
}
# Arguments, where a class has them, that would paint another size than was asked for, or change
# the prompt.
PLAIN_ARGUMENTS: dict[str, bool] = {
    "use_resolution_binning": False,
    "_auto_resize": False,
    "clean_caption": False,
    "enable_prompt_rewrite": False,
}
