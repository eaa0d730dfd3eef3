"""The autoencoder of pico: linear both ways, so that it costs little and what is pasted, tinted or
faded has the same sums of latents.
"""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from torch import nn
from torch.nn import functional as F

PATCH = 16  # px of a latent position
SMALL = 0.1  # of the 2 between black and white: from there on a step is the picture's own
REACH = 6  # px on each side of a border that are evened out


class PatchEncoder(nn.Module):
    """(n, pixels, 16 h, 16 w) to (n, latents, h, w): each square's share of so many components."""

    def __init__(self, latents: int, pixels: int) -> None:
        super().__init__()
        self.squares = nn.PixelUnshuffle(PATCH)
        self.components = nn.Conv2d(pixels * PATCH**2, latents, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        latents: torch.Tensor = self.components(self.squares(x))
        return latents


class OverlappingDecoder(nn.Module):
    """(n, latents, h, w) to (n, pixels, 16 h, 16 w): each square of its latents and those of its
    eight neighbours. What is painted is never quite the same on both sides of a border; such small
    steps are evened out, as decoders of video do.
    """

    def __init__(self, latents: int, pixels: int) -> None:
        super().__init__()
        self.linear = nn.Conv2d(latents, pixels * PATCH**2, 3, padding=1)
        self.squares = nn.PixelShuffle(PATCH)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        pixels: torch.Tensor = self.squares(self.linear(z))
        return evened(evened(pixels, -1), -2)


def evened(pixels: torch.Tensor, axis: int) -> torch.Tensor:
    """Without small steps across the borders of squares along an axis.

    How far a step goes beyond the slopes on its two sides is given back to both, the less the
    larger it is, and the less the further a pixel lies from the border.
    """
    squares = pixels.movedim(axis, -1).unflatten(-1, (-1, PATCH))
    before, after = squares[..., :-1, :], squares[..., 1:, :]
    slopes = (before[..., -1] - before[..., -2] + after[..., 1] - after[..., 0]) / 2
    excess = after[..., 0] - before[..., -1] - slopes
    given_back = (excess * (1 - excess.abs() / SMALL).clamp(min=0) / 2)[..., None]
    weights = (1 - torch.arange(PATCH, device=pixels.device) / REACH).clamp(min=0).to(pixels)
    change = F.pad(given_back * weights.flip(0), (0, 0, 0, 1))
    change = change - F.pad(given_back * weights, (0, 0, 1, 0))
    smooth: torch.Tensor = (squares + change).flatten(-2).movedim(-1, axis)
    return smooth


class OverlappingAutoencoder(ModelMixin, ConfigMixin):
    """Encodes (n, 3, h, w) pictures in -1..1 to (n, 49, h/16, w/16) latents and back; the last
    channel is none of the picture (see `denoiser.SketchTransformer`), and zero to a pipeline.

    The encoder gives the principal components of squares of 16 px, the decoder is the best that is
    linear (`training.autoencoder`). It speaks the interface that diffusers' pipelines expect of a
    VAE: `latent_std` is the fixed standard deviation of the posterior, and `block_out_channels` is
    read for the factor alone (two to the number of entries less one).
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        latent_channels: int = 49,
        block_out_channels: tuple[int, ...] = (16, 16, 16, 16, 256),
        latent_std: float = 0.05,
        scaling_factor: float = 1.0,
        shift_factor: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder: PatchEncoder = PatchEncoder(latent_channels - 1, in_channels)
        self.decoder: OverlappingDecoder = OverlappingDecoder(latent_channels - 1, in_channels)

    def encode(
        self, x: torch.Tensor, return_dict: bool = True
    ) -> AutoencoderKLOutput | tuple[DiagonalGaussianDistribution]:
        latents = self.encoder(x)
        plane = torch.full_like(latents[:, :1], self.config.shift_factor)
        mean = torch.cat([latents, plane], 1)
        logvar = torch.full_like(mean, self.config.latent_std).log().mul(2)
        posterior = DiagonalGaussianDistribution(torch.cat([mean, logvar], dim=1))
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    def decode(
        self, z: torch.Tensor, return_dict: bool = True, generator: torch.Generator | None = None
    ) -> DecoderOutput | tuple[torch.Tensor]:
        sample = self.decoder(z[:, :-1])
        return DecoderOutput(sample=sample) if return_dict else (sample,)

    def forward(self, sample: torch.Tensor) -> torch.Tensor:
        picture: torch.Tensor = self.decoder(self.encoder(sample))
        return picture
