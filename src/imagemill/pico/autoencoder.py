"""The autoencoder of pico: linear both ways, so that it costs little and what is pasted, tinted or
faded has the same sums of latents.
"""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from torch import nn

PATCH = 16  # px of a latent position


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
    eight neighbours.
    """

    def __init__(self, latents: int, pixels: int) -> None:
        super().__init__()
        self.linear = nn.Conv2d(latents, pixels * PATCH**2, 3, padding=1)
        self.squares = nn.PixelShuffle(PATCH)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        pixels: torch.Tensor = self.squares(self.linear(z))
        return pixels


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
