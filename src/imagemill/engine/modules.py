"""Facts per module class: which arguments of a call have a batch axis. Data, never a guess.

A class that is not listed runs call by call: correct, only not shared. Read in diffusers 0.42.1 and
transformers 5 (forward signatures and what the pipelines pass).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rows:
    """rowed: arguments whose tensors (nested ones too) have the batch as axis 0; all others must be
    equal.

    timestep: an argument that pipelines pass as a number, a 0-d or a 1-d tensor of any dtype; it
    becomes a float32 row per picture, as the modules' own first step makes it. least: the smallest
    number of rows that is run. Linear layers take another kernel for a single row, with other last
    bits, so a lone row is padded to two where the network has layers on pooled vectors. unused:
    arguments that the method takes and never reads. places: so many positions of its largest tensor
    cost as much as one of a latent or a token; pixels are cheaper.
    """

    rowed: frozenset[str]
    timestep: str | None = None
    least: int = 2
    unused: frozenset[str] = frozenset()
    places: int = 1


def rows(*rowed: str, timestep: str | None = None, least: int = 2) -> Rows:
    return Rows(frozenset(rowed), timestep, least)


_TEXT = rows("input_ids", "attention_mask", "position_ids")
_ENCODE = Rows(frozenset({"x"}), least=1, places=16 * 16)
_DECODE = Rows(frozenset({"z"}), least=1, unused=frozenset({"generator"}))

FACTS: dict[tuple[str, str], Rows] = {
    ("SD3Transformer2DModel", "forward"): rows(
        "hidden_states", "encoder_hidden_states", "pooled_projections",
        "block_controlnet_hidden_states",
        timestep="timestep",
    ),
    ("FluxTransformer2DModel", "forward"): rows(
        "hidden_states", "encoder_hidden_states", "pooled_projections", "guidance",
        "controlnet_block_samples", "controlnet_single_block_samples", timestep="timestep",
    ),
    ("UNet2DConditionModel", "forward"): rows(
        "sample", "encoder_hidden_states", "timestep_cond", "attention_mask",
        "encoder_attention_mask", "added_cond_kwargs", "down_block_additional_residuals",
        "mid_block_additional_residual",
        timestep="timestep",
    ),
    ("CLIPTextModel", "forward"): _TEXT,
    ("CLIPTextModelWithProjection", "forward"): _TEXT,
    ("T5EncoderModel", "forward"): _TEXT,
    ("NoTextEncoder", "forward"): _TEXT,
    ("PatchAutoencoder", "encode"): _ENCODE,
    ("AutoencoderKL", "encode"): _ENCODE,
    ("PatchAutoencoder", "decode"): _DECODE,
    ("AutoencoderKL", "decode"): _DECODE,
}  # fmt: skip

# Which methods of a pipeline's components park. Schedulers, tokenizers and image processors stay
# per request.
PARKED: dict[str, tuple[str, ...]] = {
    "transformer": ("forward",),
    "transformer_2": ("forward",),
    "unet": ("forward",),
    "controlnet": ("forward",),
    "text_encoder": ("forward",),
    "text_encoder_2": ("forward",),
    "text_encoder_3": ("forward",),
    "image_encoder": ("forward",),
    "vae": ("encode", "decode"),
}
