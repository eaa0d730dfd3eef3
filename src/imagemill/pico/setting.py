"""The setting of a scene, as words that pico learns: place, time, weather,
style and whether it is a close-up.
"""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn
from transformers.models.clip.modeling_clip import CLIPTextModelOutput

from imagemill.pico.layout import place_of
from imagemill.pico.scene import PLACES, STYLES, TIMES, WEATHERS, Scene

# By position; the first of each is for a prompt that says nothing at all.
POSITIONS: dict[str, tuple[str, ...]] = {
    "place": ("unsaid", *PLACES),
    "time": ("unsaid", *TIMES),
    "weather": ("unsaid", *(each or "dry" for each in WEATHERS)),
    "style": ("unsaid", *STYLES),
    "shown": ("unsaid", "closeup", "things", "empty"),
}
WORDS = tuple(f"{kind} {word}" for kind, words in POSITIONS.items() for word in words)
RESERVED = 96  # rows of the embedding, so that words can be added without changing shapes
NOTHING = tuple(WORDS.index(f"{kind} unsaid") for kind in POSITIONS)


def setting(scene: Scene) -> tuple[int, ...]:
    """A number for each position."""
    shown = "closeup" if scene.closeup else "things" if scene.things or scene.title else "empty"
    said = (place_of(scene), scene.time, scene.weather or "dry", scene.style, shown)
    return tuple(WORDS.index(f"{kind} {word}") for kind, word in zip(POSITIONS, said, strict=True))


class SettingEncoder(ModelMixin, ConfigMixin):
    """Stands in the place of a CLIP text encoder: (n, positions) words to `width` numbers each."""

    @register_to_config
    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.embedding = nn.Embedding(RESERVED, width)

    def forward(
        self, input_ids: torch.Tensor, output_hidden_states: bool = True
    ) -> CLIPTextModelOutput:
        states = self.embedding(input_ids)
        pooled = states.sum(1) / len(POSITIONS) ** 0.5
        return CLIPTextModelOutput(text_embeds=pooled, hidden_states=(states, states))
