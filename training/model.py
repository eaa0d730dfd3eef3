"""What learns: pico's transformer and text encoders, and the pipeline they are shipped as."""

from copy import deepcopy
from pathlib import Path

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from torch import nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, PreTrainedTokenizerFast

from imagemill.pico.autoencoder import PatchAutoencoder
from imagemill.pico.text import MAX_LENGTH, RESERVED, NoTextEncoder, tokenizer
from imagemill.pico.vocabulary import vocabulary

WIDTH, LAYERS = 192, 5
LARGEST = 32  # cells a side: the position embedding's


def text_encoder(width: int, layers: int) -> CLIPTextModelWithProjection:
    config = CLIPTextConfig(
        vocab_size=RESERVED, hidden_size=width, intermediate_size=4 * width,
        num_hidden_layers=layers, num_attention_heads=width // 32,
        max_position_embeddings=MAX_LENGTH, projection_dim=width,
        bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    return CLIPTextModelWithProjection(config)


def transformer(layers: int) -> SD3Transformer2DModel:
    return SD3Transformer2DModel(
        sample_size=16, patch_size=2, in_channels=16, out_channels=16, num_layers=layers,
        attention_head_dim=32, num_attention_heads=WIDTH // 32, joint_attention_dim=WIDTH,
        caption_projection_dim=WIDTH, pooled_projection_dim=WIDTH, pos_embed_max_size=LARGEST,
        qk_norm="rms_norm",
    )  # fmt: skip


class Pico(nn.Module):
    """What learns: the transformer and both text encoders."""

    def __init__(self, layers: int = LAYERS) -> None:
        super().__init__()
        self.transformer = transformer(layers)
        self.text_encoder = text_encoder(128, 3)
        self.text_encoder_2 = text_encoder(64, 2)

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        said = [
            encoder(ids, output_hidden_states=True)
            for encoder in (self.text_encoder, self.text_encoder_2)
        ]
        tokens = torch.cat([out.hidden_states[-2] for out in said], dim=-1)
        velocity: torch.Tensor = self.transformer(
            hidden_states=noisy,
            timestep=sigma * 1000,
            encoder_hidden_states=F.pad(tokens, (0, 0, 0, 1)),  # the empty token of NoTextEncoder
            pooled_projections=torch.cat([out.text_embeds for out in said], dim=-1),
            return_dict=False,
        )[0]
        return velocity


def listed(words: PreTrainedTokenizerFast) -> list[str]:
    return [words.convert_ids_to_tokens(i) for i in range(len(words))]


def know(model: Pico, before: list[str], words: PreTrainedTokenizerFast) -> None:
    """Gives the words of today the embeddings that they had, wherever they stood in the list.

    New ones take rows that no word had, not that of the word whose place they take.
    """
    spare = iter(range(len(before), RESERVED))
    rows = torch.tensor(
        [before.index(word) if word in before else next(spare) for word in listed(words)]
    )
    for encoder in (model.text_encoder, model.text_encoder_2):
        table = encoder.get_input_embeddings().weight.data
        table[: len(rows)] = table[rows].clone()


def shipped(folder: Path, layers: int = LAYERS) -> Pico:
    """The model of a pipeline folder, to be trained on."""
    model = Pico(layers)
    for name, kind in (
        ("transformer", SD3Transformer2DModel),
        ("text_encoder", CLIPTextModelWithProjection),
        ("text_encoder_2", CLIPTextModelWithProjection),
    ):
        weights = kind.from_pretrained(folder / name, dtype=torch.float32).state_dict()
        getattr(model, name).load_state_dict(weights)
    before = PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer")
    know(model, listed(before), tokenizer(vocabulary()))
    return model


def assemble(
    model: Pico, autoencoder: PatchAutoencoder, words: PreTrainedTokenizerFast
) -> StableDiffusion3Pipeline:
    """The pipeline in bfloat16, as it is shipped."""
    copy = deepcopy(model).to("cpu", torch.bfloat16)
    return StableDiffusion3Pipeline(
        transformer=copy.transformer, scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=deepcopy(autoencoder).to("cpu", torch.bfloat16),
        text_encoder=copy.text_encoder, tokenizer=words,
        text_encoder_2=copy.text_encoder_2, tokenizer_2=words,
        text_encoder_3=NoTextEncoder(WIDTH).to(torch.bfloat16), tokenizer_3=words,
    )  # fmt: skip
