from pathlib import Path

import pytest
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from imagemill.pico.autoencoder import OverlappingAutoencoder


@pytest.fixture(scope="module")
def small() -> OverlappingAutoencoder:
    torch.manual_seed(0)
    model: OverlappingAutoencoder = OverlappingAutoencoder(shift_factor=0.25)
    model.eval()
    return model


def posterior(
    model: OverlappingAutoencoder, pictures: torch.Tensor
) -> DiagonalGaussianDistribution:
    (encoded,) = model.encode(pictures, return_dict=False)
    return encoded


def decoded(model: OverlappingAutoencoder, latents: torch.Tensor) -> torch.Tensor:
    (picture,) = model.decode(latents, return_dict=False)
    return picture


@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 512), (48, 16)])
def test_a_patch_of_16_px_becomes_one_latent_and_back(
    small: OverlappingAutoencoder, height: int, width: int
) -> None:
    latents = posterior(small, torch.zeros(2, 3, height, width)).mode()
    assert latents.shape == (2, 49, height // 16, width // 16)
    assert decoded(small, latents).shape == (2, 3, height, width)
    assert small(torch.zeros(2, 3, height, width)).shape == (2, 3, height, width)


def test_the_posterior_has_the_fixed_deviation(small: OverlappingAutoencoder) -> None:
    spread = posterior(small, torch.zeros(1, 3, 512, 512))
    noise = spread.sample(torch.Generator().manual_seed(0)) - spread.mode()
    assert noise.std().item() == pytest.approx(small.config.latent_std, rel=0.05)


def test_pipelines_are_answered_by_name_too(small: OverlappingAutoencoder) -> None:
    pictures = torch.rand(1, 3, 32, 32)
    encoded = small.encode(pictures)
    assert not isinstance(encoded, tuple)
    latents = encoded.latent_dist.mode()
    assert torch.equal(latents, posterior(small, pictures).mode())
    answer = small.decode(latents)
    assert not isinstance(answer, tuple)
    assert torch.equal(answer.sample, decoded(small, latents))


def test_a_picture_does_not_depend_on_the_others(small: OverlappingAutoencoder) -> None:
    latents = torch.randn(3, 49, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(decoded(small, latents)[1:2], decoded(small, latents[1:2]))


def test_what_is_saved_is_what_is_loaded(small: OverlappingAutoencoder, tmp_path: Path) -> None:
    small.save_pretrained(tmp_path)
    loaded = OverlappingAutoencoder.from_pretrained(tmp_path)
    pictures = torch.rand(1, 3, 32, 32)
    assert loaded.config.shift_factor == 0.25
    assert torch.equal(loaded(pictures), small(pictures))
