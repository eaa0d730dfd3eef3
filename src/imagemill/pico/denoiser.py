"""The transformer of pico's second generation: Stable Diffusion 3's, beside a sketch."""

from typing import Any

import torch
from diffusers import ModelMixin, SD3Transformer2DModel
from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from torch import nn
from torch.nn import functional as F

from imagemill.pico.looks import CELLS, CODES, FIELDS, Sketcher
from imagemill.pico.scene import PLACEMENTS

PATCH = 16  # px of a latent position
COVER = 16  # numbers that tell how far a position is covered, each of a square of 4 px
WAYS = 4  # linear ones from what is read to what is told
PLACE = 4  # how far down and across, the height and the width
LOOK_DIM = FIELDS + CELLS * CODES


# Pipelines load what is of a class that this module has by the name ModelMixin.
class SketchTransformer(SD3Transformer2DModel, ModelMixin):
    """Reads, beside noisy latents, a sketch of the things that the prompt places.

    The last PLACEMENTS rows of `encoder_hidden_states` are what `LookEncoder` gives: they are drawn
    as a sketch, encoded as the autoencoder does, and joined to the latents. The rows before them
    are words, `words_dim` numbers each. The network tells how the picture differs from the sketch,
    in units of `spread`; what is returned is the velocity, as of every model of flow.
    """

    @register_to_config
    def __init__(
        self,
        sample_size: int = 32,
        patch_size: int = 2,
        in_channels: int = 48,
        num_layers: int = 6,
        attention_head_dim: int = 32,
        num_attention_heads: int = 6,
        joint_attention_dim: int = LOOK_DIM,
        caption_projection_dim: int = 192,
        pooled_projection_dim: int = 64,
        out_channels: int = 48,
        pos_embed_max_size: int = 64,
        dual_attention_layers: tuple[int, ...] = (),
        qk_norm: str | None = "rms_norm",
        words_dim: int = 64,
        spread: float = 0.7,
    ) -> None:
        super().__init__(
            sample_size, patch_size, in_channels, num_layers, attention_head_dim,
            num_attention_heads, joint_attention_dim, caption_projection_dim,
            pooled_projection_dim, out_channels, pos_embed_max_size, dual_attention_layers, qk_norm,
        )  # fmt: skip
        self.sketcher = Sketcher()
        # The autoencoder's, with its scale: a sketch becomes latents as the pipeline has them.
        self.encoder = nn.Conv2d(3 * PATCH**2, in_channels, 1).requires_grad_(False)
        channels = 2 * in_channels + COVER + PLACE
        self.pos_embed.proj = nn.Conv2d(channels, self.inner_dim, patch_size, patch_size)
        self.context_embedder = nn.Linear(words_dim, caption_projection_dim)
        # What is told is for a part a linear function of what is read, by the level of noise: it
        # need not pass through the network, whose width is less than what a token tells.
        self.linear = nn.Conv2d(channels, WAYS * out_channels, 3, padding=1)
        self.weighing = nn.Linear(self.inner_dim, WAYS)

    def sketch(self, placements: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """(n, in_channels + COVER + PLACE, height, width), in latent positions."""
        drawn = self.sketcher(placements, height * PATCH, width * PATCH)
        pixels = F.pixel_unshuffle(2 * drawn[:, :3] - drawn[:, 3:], PATCH)
        bias = self.encoder.bias
        assert bias is not None
        latents = F.conv2d(pixels, self.encoder.weight.float(), bias.float())
        cover = F.pixel_unshuffle(F.avg_pool2d(drawn[:, 3:], 4), PATCH // 4)
        down = torch.linspace(-1, 1, height, device=drawn.device)[:, None].expand(height, width)
        across = torch.linspace(-1, 1, width, device=drawn.device).expand(height, width)
        size = [torch.full_like(down, n / self.config.sample_size - 1) for n in (height, width)]
        place = torch.stack([down, across, *size]).expand(len(drawn), -1, -1, -1)
        return torch.cat([latents, cover, place], 1)

    def forward(
        self,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        pooled_projections: torch.Tensor,
        timestep: torch.Tensor,
        block_controlnet_hidden_states: list[torch.Tensor] | None = None,
        joint_attention_kwargs: dict[str, Any] | None = None,
        return_dict: bool = True,
        skip_layers: list[int] | None = None,
    ) -> Transformer2DModelOutput | tuple[torch.Tensor]:
        words, placements = (
            encoder_hidden_states[:, :-PLACEMENTS, : self.config.words_dim],
            encoder_hidden_states[:, -PLACEMENTS:],
        )
        sketch = self.sketch(placements, *hidden_states.shape[-2:])
        found = self.differing(
            hidden_states, sketch, words, pooled_projections, timestep,
            block_controlnet_hidden_states, joint_attention_kwargs, skip_layers,
        )  # fmt: skip
        sigma = (timestep.float() / 1000)[:, None, None, None]
        velocity = self.velocity(hidden_states.float(), sketch, found, sigma).to(found.dtype)
        return Transformer2DModelOutput(sample=velocity) if return_dict else (velocity,)

    def differing(
        self,
        noisy: torch.Tensor,
        sketch: torch.Tensor,
        words: torch.Tensor,
        pooled: torch.Tensor,
        timestep: torch.Tensor,
        control: list[torch.Tensor] | None = None,
        keywords: dict[str, Any] | None = None,
        skipped: list[int] | None = None,
    ) -> torch.Tensor:
        """What the network itself tells, of unit variance: (n, out_channels, h, w)."""
        read = torch.cat([noisy, sketch.to(noisy.dtype)], 1)
        told: torch.Tensor = super().forward(
            read, words, pooled, timestep, control, keywords, False, skipped
        )[0]
        weights = self.weighing(F.silu(self.time_text_embed(timestep, pooled)))
        ways = self.linear(read).unflatten(1, (WAYS, -1))  # (n, ways, out_channels, h, w)
        found: torch.Tensor = told + (ways * weights[:, :, None, None, None]).sum(1)
        return found

    def velocity(
        self, noisy: torch.Tensor, sketch: torch.Tensor, told: torch.Tensor, sigma: torch.Tensor
    ) -> torch.Tensor:
        """noise - picture, where the picture is

            sketch + c_skip (noisy - (1 - sigma) sketch) + c_out told

        with the factors of Karras et al. 2022 (EDM) for a difference of deviation `spread`.
        """
        base, spread = sketch[:, : noisy.shape[1]], float(self.config.spread)
        total = ((1 - sigma) * spread).square() + sigma.square()
        kept = (sigma - (1 - sigma) * spread**2) / total
        velocity: torch.Tensor = kept * noisy - sigma / total * base
        return velocity - spread / total.sqrt() * told.float()
