"""The autoencoders of pico: a latent position is 16 px, and most work is done at that resolution.

A convolutional autoencoder of the usual shape spends its time on full-resolution layers, which a
CPU pays for dearly. Here several pixels become one vector at once (`pixel_unshuffle`), and
ConvNeXt-style blocks mix neighbours. The classes speak the interface that diffusers' pipelines
expect of a VAE.
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


class _Autoencoder(ModelMixin, ConfigMixin):
    """What both generations share: `encoder` and `decoder` are sequences of layers."""

    config_name = "config.json"
    encoder: nn.Module
    decoder: nn.Module

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


class PatchAutoencoder(_Autoencoder):
    """Encodes (n, 3, h, w) pictures in -1..1 to (n, 16, h/16, w/16) latents and back.

    A patch of 16 px becomes one vector, and the decoder is the mirror: decoding stays cheap, and
    each square of 16 px is drawn from one vector without overlap.

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


class PatchEncoder(nn.Module):
    """(n, 3, 16 h, 16 w) to (n, latents, h, w): the share of each square's components."""

    def __init__(self, latents: int, pixels: int) -> None:
        super().__init__()
        self.squares = nn.PixelUnshuffle(16)
        self.components = nn.Conv2d(pixels * 16**2, latents, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        latents: torch.Tensor = self.components(self.squares(x))
        return latents


class OverlappingDecoder(nn.Module):
    """(n, latents, h, w) to (n, 3, 16 h, 16 w): a linear way, which begins as the best there is of
    a place and its eight neighbours, and one in steps of 1/16 and 1/8 of the resolution that mends
    what no linear one can.
    """

    def __init__(
        self, latents: int, pixels: int, widths: tuple[int, int], blocks: tuple[int, int]
    ) -> None:
        super().__init__()
        coarse, fine = widths
        self.linear = nn.Conv2d(latents, pixels * 16**2, 3, padding=1)
        self.large, self.small = nn.PixelShuffle(16), nn.PixelShuffle(8)
        self.mending = nn.Sequential(
            nn.Conv2d(latents, coarse, 1),
            *(Block(coarse) for _ in range(blocks[0])),
            nn.Conv2d(coarse, 4 * fine, 1),
            nn.PixelShuffle(2),
            *(Block(fine) for _ in range(blocks[1])),
        )
        self.mended = nn.Conv2d(fine, pixels * 8**2, 3, padding=1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        linear: torch.Tensor = self.large(self.linear(z))
        return linear.add(self.small(self.mended(self.mending(z))))


class OverlappingAutoencoder(_Autoencoder):
    """Encodes (n, 3, h, w) pictures in -1..1 to (n, 48, h/16, w/16) latents and back.

    The encoder is linear: the principal components of 16 px patches. So latents of what is pasted,
    tinted or faded are the same sums of latents, and the decoder alone must learn. It looks over
    the borders of a patch, so none shows. `widths` and `blocks`: of the decoder at 1/16 and 1/8 of
    the resolution. The other arguments are those of `PatchAutoencoder`.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        latent_channels: int = 48,
        widths: tuple[int, int] = (256, 128),
        blocks: tuple[int, int] = (3, 2),
        block_out_channels: tuple[int, ...] = (16, 16, 16, 16, 256),
        latent_std: float = 0.05,
        scaling_factor: float = 1.0,
        shift_factor: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder: PatchEncoder = PatchEncoder(latent_channels, in_channels)
        self.decoder: OverlappingDecoder = OverlappingDecoder(
            latent_channels, in_channels, widths, blocks
        )
