"""What a file is, by its keys and never by its name."""

from dataclasses import dataclass
from typing import Literal

from imagemill.pipelines.weights.headers import Header

Layout = Literal["unet", "sd3", "flux"]

# Where in a file the denoiser lies; the longest first.
PREFIXES = ("model.diffusion_model.", "diffusion_model.", "")


@dataclass(frozen=True)
class FileKind:
    """keys: names that the denoiser must have, without prefix, and where a tuple of an axis and a
    length is given, how long that axis is. unlike: names that it must not have. layout: how its
    weights are named, None for what is no model on its own. config: what describes it, None where
    none comes with the package. advice: what to do with it where it cannot be a source."""

    name: str
    keys: tuple[tuple[str, tuple[int, int] | None], ...]
    unlike: tuple[str, ...] = ()
    layout: Layout | None = None
    config: str | None = None
    advice: str = ""


_LDM = ("input_blocks.0.0.weight", None)
_XL = ("label_emb.0.0.weight", None)
_JOINT = ("joint_blocks.0.context_block.attn.qkv.weight", None)
_DOUBLE = ("double_blocks.0.img_attn.qkv.weight", None)
_SD1 = ("input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", (1, 768))
_SD2 = ("input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", (1, 1024))
_REFINED = ("input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight", (1, 1280))
_GUIDED = ("guidance_in.in_layer.weight", None)
_OTHER_FLUX = ("distilled_guidance_layer.in_proj.weight", "double_stream_modulation_img.lin.weight")


def _channels(key: str, count: int) -> tuple[str, tuple[int, int]]:
    return key, (1, count)


_FOLDER = "give the whole folder or Hub id that it is from"
# The first that fits; what is more special comes first.
KINDS: tuple[FileKind, ...] = (
    FileKind(
        "an SDXL refiner", (_LDM, _XL, _REFINED), layout="unet",
        advice="name a folder that describes it by `config`",
    ),
    FileKind(
        "an SDXL inpainting model", (_LDM, _XL, _channels(_LDM[0], 9)), layout="unet",
        config="sdxl-inpainting",
    ),
    FileKind("an SDXL model", (_LDM, _XL, _channels(_LDM[0], 4)), layout="unet", config="sdxl"),
    FileKind(
        "a Stable Diffusion 2 model", (_LDM, _SD2), ("label_emb.0.0.weight",), layout="unet",
        advice="its keys do not tell whether it predicts v: name a folder that does by `config`",
    ),
    FileKind(
        "a Stable Diffusion 1 inpainting model", (_LDM, _SD1, _channels(_LDM[0], 9)),
        layout="unet", config="sd15-inpainting",
    ),
    FileKind(
        "a Stable Diffusion 1 model", (_LDM, _channels(_LDM[0], 4)), ("label_emb.0.0.weight",),
        layout="unet", config="sd15",
    ),
    FileKind(
        "a UNet of the Stable Diffusion kind", (_LDM,), layout="unet",
        advice="name a folder that describes it by `config`",
    ),
    FileKind(
        "a Stable Diffusion 3.5 medium model",
        (_JOINT, ("joint_blocks.0.x_block.attn2.qkv.weight", None)), layout="sd3",
        config="sd35-medium",
    ),
    FileKind(
        "a Stable Diffusion 3.5 large model",
        (_JOINT, ("joint_blocks.37.x_block.mlp.fc1.weight", None)),
        layout="sd3", config="sd35-large",
    ),
    FileKind("a Stable Diffusion 3 model", (_JOINT,), layout="sd3", config="sd3-medium"),
    FileKind(
        "a FLUX.1 Fill model", (_DOUBLE, _channels("img_in.weight", 384)), _OTHER_FLUX,
        layout="flux", config="flux-fill",
    ),
    FileKind(
        "a FLUX.1 control model", (_DOUBLE, _channels("img_in.weight", 128)), _OTHER_FLUX,
        layout="flux", config="flux-control",
    ),
    FileKind(
        "a FLUX.1 dev model", (_DOUBLE, _GUIDED), _OTHER_FLUX, layout="flux", config="flux-dev",
    ),
    FileKind(
        "a FLUX.1 schnell model", (_DOUBLE,), _OTHER_FLUX, layout="flux", config="flux-schnell",
    ),
    FileKind("a Chroma model", ((_OTHER_FLUX[0], None),), advice=_FOLDER),
    FileKind("a FLUX.2 model", ((_OTHER_FLUX[1], None),), advice=_FOLDER),
)  # fmt: skip

_LORA = ("lora_A", "lora_down", "lora.down", "lora_B", "hada_w1", "lokr_w1")
_LORA_ADVICE = "name it under `loras` of a model"
# What is a part of a model, or goes with one: by a piece of one of its names.
PIECES: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (_LORA, "a LoRA", _LORA_ADVICE),
    (("emb_params", "clip_g", "string_to_param"), "a textual inversion",
     "name it under `textual_inversions` of a model"),
    (("control_model.", "controlnet_cond_embedding."), "a ControlNet", "it is no model on its own"),
    (("encoder.block.0.layer.0.SelfAttention.",), "a T5 text encoder",
     "name it as `text_encoder_2` of FLUX or `text_encoder_3` of SD3"),
    (("text_model.encoder.layers.",), "a CLIP text encoder",
     "name it as `text_encoder` of a model"),
    (("decoder.conv_in.",), "a VAE", "name it as `vae` of a model"),
    (("down_blocks.", "transformer_blocks."), "a denoiser in diffusers' layout", _FOLDER),
)  # fmt: skip


def identify(header: Header) -> tuple[FileKind, str] | None:
    """What model the file is, and the prefix of its denoiser's names; None where it is none."""
    for prefix in PREFIXES:
        denoiser = header.under(prefix)
        kind = next((each for each in KINDS if denoiser.tensors and _fits(each, denoiser)), None)
        if kind is not None:
            return kind, prefix
    return None


def seems(header: Header) -> tuple[str, str]:
    """What a file that is no model seems to be, and what to do with it."""
    for pieces, name, advice in PIECES:
        if any(piece in key for key in header.tensors for piece in pieces):
            return name, advice
    example = next(iter(header.tensors), "")
    return f"of no kind that is known here ({example:.80} for one)", _FOLDER


def _fits(kind: FileKind, denoiser: Header) -> bool:
    tensors = denoiser.tensors
    if any(name in tensors for name in kind.unlike):
        return False
    for name, length in kind.keys:
        shape = tensors[name].shape if name in tensors else None
        if shape is None or (length and (len(shape) <= length[0] or shape[length[0]] != length[1])):
            return False
    return True
