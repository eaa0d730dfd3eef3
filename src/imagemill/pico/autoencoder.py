"""The autoencoder of pico: pictures as 16 px patches, all work at a sixteenth of the resolution.

A convolutional autoencoder of the usual shape spends its time on full-resolution layers, which a
CPU pays for dearly. Here a patch becomes one vector at once (`pixel_unshuffle`), a few
ConvNeXt-style blocks mix neighbours, and a linear layer gives the latents; the decoder is the
mirror. Decoding a 1024 px picture therefore stays cheap. The class speaks the interface that
diffusers' pipelines expect of a VAE.
"""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    """Depthwise 3x3 convolution, then a two-layer perceptron per place, around a residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (n, c, h, w)
        y = self.norm(self.mix(x).permute(0, 2, 3, 1))
        y = self.down(F.gelu(self.up(y))).permute(0, 3, 1, 2)
        return x.add(y)


class PatchAutoencoder(ModelMixin, ConfigMixin):
    """Encodes (n, 3, h, w) pictures in -1..1 to (n, 16, h/16, w/16) latents and back.

    `latent_std` is the fixed standard deviation of the posterior: the decoder is trained to bear
    that much noise, which a small denoiser needs. `block_out_channels` is read by pipelines for the
    factor alone (two to the number of entries less one).
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        latent_channels: int = 16,
        width: int = 256,
        encoder_blocks: int = 3,
        decoder_blocks: int = 4,
        block_out_channels: tuple[int, ...] = (16, 16, 16, 16, 256),
        latent_std: float = 0.1,
        scaling_factor: float = 1.0,
        shift_factor: float = 0.0,
    ) -> None:
        super().__init__()
        self.patch = 2 ** (len(block_out_channels) - 1)
        pixels = in_channels * self.patch**2
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(self.patch),
            nn.Conv2d(pixels, width, 1),
            *(Block(width) for _ in range(encoder_blocks)),
            nn.Conv2d(width, latent_channels, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(latent_channels, width, 1),
            *(Block(width) for _ in range(decoder_blocks)),
            nn.Conv2d(width, pixels, 1),
            nn.PixelShuffle(self.patch),
        )

    def encode(
        self, x: torch.Tensor, return_dict: bool = True
    ) -> AutoencoderKLOutput | tuple[DiagonalGaussianDistribution]:
        mean = self.encoder(x)
        logvar = torch.full_like(mean, self.config.latent_std).log().mul(2)
        posterior = DiagonalGaussianDistribution(torch.cat([mean, logvar], dim=1))
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    def decode(
        self, z: torch.Tensor, return_dict: bool = True, generator: torch.Generator | None = None
    ) -> DecoderOutput | tuple[torch.Tensor]:
        sample = self.decoder(z)
        return DecoderOutput(sample=sample) if return_dict else (sample,)

    def forward(self, sample: torch.Tensor) -> torch.Tensor:
        picture: torch.Tensor = self.decoder(self.encoder(sample))
        return picture
