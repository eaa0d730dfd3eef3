"""Which classes of diffusers take an IP-Adapter, and where it joins their attention, as data and of
a model that is there.
"""

from dataclasses import dataclass

from diffusers import DiffusionPipeline

from imagemill.pipelines.controls import family_beside

IMAGE_ARGUMENT = "ip_adapter_image"  # of the pipelines that take one
# In the place of what a denoiser is told of an image, where that is all that it was told: as its
# pipeline has it where there is no image.
_NONE, _EMPTY = None, dict[str, object]()


@dataclass(frozen=True)
class Attention:
    """Where an IP-Adapter joins an attention.

    read: the parts of the attention whose outputs it reads, the queries first. joins: the part
    to whose input it adds; empty for the output of the block that the attention is in.
    """

    read: tuple[str, ...]
    joins: str = ""


@dataclass(frozen=True)
class IPFamily:
    """Models that the same IP-Adapters are for.

    name: for sentences. argument, key: where the pipelines hand the image on to the denoiser. rest:
    the argument where it held nothing else. encoder: the class of the image encoder. masks: whether
    an IP-Adapter can act in a part of the image.
    """

    name: str
    argument: str
    key: str
    rest: dict[str, object] | None
    encoder: str
    attention: Attention
    masks: bool = False


_CROSS = Attention(("to_q",), "to_out.0")
SD = IPFamily(
    "Stable Diffusion", "added_cond_kwargs", "image_embeds", _NONE,
    "CLIPVisionModelWithProjection", _CROSS, masks=True,
)  # fmt: skip
XL = IPFamily(
    "SDXL", "added_cond_kwargs", "image_embeds", _NONE, "CLIPVisionModelWithProjection", _CROSS,
    masks=True,
)  # fmt: skip
SD3 = IPFamily(
    "Stable Diffusion 3", "joint_attention_kwargs", "ip_adapter_image_embeds", _NONE,
    "SiglipVisionModel", Attention(("to_q", "to_k", "to_v"), "to_out.0"),
)  # fmt: skip
FLUX = IPFamily(
    "FLUX.1", "joint_attention_kwargs", "ip_adapter_image_embeds", _EMPTY,
    "CLIPVisionModelWithProjection", Attention(("norm_q",)),
)  # fmt: skip
PICO = IPFamily(
    "the embedded model", "joint_attention_kwargs", "ip_adapter_image_embeds", _NONE,
    "ReferenceEncoder", Attention(()), masks=True,
)  # fmt: skip
# By the class that was loaded, diffusers 0.42.1.
PROMPTED: dict[str, IPFamily] = {
    "StableDiffusionPipeline": SD,
    "StableDiffusionImg2ImgPipeline": SD,
    "StableDiffusionInpaintPipeline": SD,
    "StableDiffusionXLPipeline": XL,
    "StableDiffusionXLImg2ImgPipeline": XL,
    "StableDiffusionXLInpaintPipeline": XL,
    "StableDiffusion3Pipeline": SD3,
    "FluxPipeline": FLUX,
}


def ip_family(pipe: DiffusionPipeline) -> IPFamily:
    """Raises a Fault where no IP-Adapter is for the model."""
    return family_beside(pipe, PROMPTED, PICO, "ip_adapter", "no IP-Adapter")
