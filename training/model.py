"""What learns: the transformer and the words of a setting."""

from pathlib import Path

import torch
from torch import nn

from imagemill.pico.autoencoder import OverlappingAutoencoder
from imagemill.pico.denoiser import SketchTransformer
from imagemill.pico.setting import SettingEncoder
from training.looks import Looks

WIDTHS = (48, 16)  # of the two text encoders; together `words_dim`


class Pico(nn.Module):
    def __init__(self, **sizes: int) -> None:
        super().__init__()
        self.transformer = SketchTransformer(**sizes)
        self.encoders = nn.ModuleList(SettingEncoder(width) for width in WIDTHS)

    def words(self, setting: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, positions) to what the transformer reads, (n, positions, 64), and pooled (n, 64)."""
        said = [encoder(setting) for encoder in self.encoders]
        states = torch.cat([each.hidden_states[-2] for each in said], -1)
        return states, torch.cat([each.text_embeds for each in said], -1)


def prepare(model: Pico, autoencoder: OverlappingAutoencoder, looks: Looks) -> None:
    """Gives the transformer what does not learn: how looks are drawn, and how they are encoded."""
    transformer, config = model.transformer, autoencoder.config
    transformer.sketcher.load_state_dict(looks.sketcher.state_dict())
    encode = autoencoder.encoder.components
    assert encode.bias is not None
    transformer.encoder.weight.data.copy_(encode.weight * config.scaling_factor)
    shifted = (encode.bias - config.shift_factor) * config.scaling_factor
    transformer.encoder.bias.data.copy_(shifted)


def parameters(model: nn.Module) -> int:
    return sum(each.numel() for each in model.parameters() if each.requires_grad)


def loaded(path: Path) -> OverlappingAutoencoder:
    autoencoder: OverlappingAutoencoder = OverlappingAutoencoder.from_pretrained(path)
    autoencoder.requires_grad_(False)
    return autoencoder
