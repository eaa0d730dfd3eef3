"""The transformer of pico: Stable Diffusion 3's, beside a sketch."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import blake2b
from threading import Lock
from typing import Any

import torch
from diffusers import ModelMixin, SD3Transformer2DModel
from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from torch import nn
from torch.nn import functional as F

from imagemill.pico.autoencoder import PATCH
from imagemill.pico.looks import CELLS, CODES, FIELDS, ROWS, Choice, Sketcher
from imagemill.pico.reference import acting_in
from imagemill.pico.reference_scene import sketched

COVER = 16  # numbers that tell how far a position is covered, each of a square of 4 px
AROUND = (-5.0, 3.0)  # what is told of deviations, at the least and at the most
# Of the variance that the network tells, what a picture is painted with. Less of the noise is kept:
# edges and grounds come out cleaner, half a decibel nearer to the teacher's pictures.
CALM = 0.25
WAYS = 4  # linear ones from what is read to what is told
PLACE = 4  # how far down and across, the height and the width
Draw = Callable[[], torch.Tensor]
KEPT = 32  # sketches, for the steps to come
REFERENCE = "ip_adapter_image_embeds"  # the keyword that has what `reference.acting` gives
LOOK_DIM = FIELDS + CELLS * CODES


class Sketches:
    """The last KEPT sketches, by what they show: all steps of a picture have the same."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.drawn: OrderedDict[tuple[Any, ...], torch.Tensor] = OrderedDict()

    def of(
        self, looks: torch.Tensor, choice: Choice, size: tuple[int, int], draw: Draw
    ) -> torch.Tensor:
        """looks: all that decides what is drawn, beside the choice and the size."""
        digest = blake2b(looks.detach().float().cpu().numpy().tobytes()).digest()
        key = (digest, choice, size, looks.device)
        with self.lock:
            kept = self.drawn.pop(key, None)
        sketch = draw() if kept is None else kept
        with self.lock:
            self.drawn[key] = sketch
            if len(self.drawn) > KEPT:
                self.drawn.popitem(last=False)
        return sketch

    def __deepcopy__(self, _: object) -> "Sketches":
        return Sketches()


def choices(plane: torch.Tensor) -> list[Choice]:
    """What the noise of the latents' last channel decides for each row; plane: (n, 1, h, w)."""
    signs = (plane[:, 0, :2, :2] > 0).flatten(1).tolist()
    return [Choice(2 * high + low, *others) for high, low, *others in signs]


def controlled(
    looks: torch.Tensor, control: Sequence[torch.Tensor] | None
) -> tuple[torch.Tensor, list[torch.Tensor] | None]:
    """Looks with their placements changed by what `control.PlacementControlNet` gives, a single
    tensor (n, ROWS, FIELDS + 1), and no hidden states; what any other ControlNet gives is these.
    """
    if not control:
        return looks, None
    if control[0].shape[1:] != (ROWS, FIELDS + 1):
        return looks, list(control)
    change, scale = control[0].split((FIELDS, 1), -1)
    numbers = looks[..., :FIELDS] + change / scale.clamp(min=1)
    return torch.cat([numbers, looks[..., FIELDS:]], -1), None


# Pipelines load what is of a class that this module has by the name ModelMixin.
class SketchTransformer(SD3Transformer2DModel, ModelMixin):
    """Reads, beside noisy latents, a sketch of the place and the things that the prompt asks for.

    The last ROWS rows of `encoder_hidden_states` are what `LookEncoder` gives: they are drawn as a
    sketch, encoded as the autoencoder does, and joined to the latents. The rows before them are
    words, `words_dim` numbers each. The network tells how the picture differs from the sketch, and
    how sure that is; what is returned is the velocity, as of every model of flow.

    The last channel of the latents is none of the picture. Signs of its noise choose among what a
    sketch can show (`choices`), and its velocity leads to them, so that they stay to the end.
    """

    @register_to_config
    def __init__(
        self,
        sample_size: int = 32,
        patch_size: int = 2,
        in_channels: int = 49,
        num_layers: int = 6,
        attention_head_dim: int = 32,
        num_attention_heads: int = 6,
        joint_attention_dim: int = LOOK_DIM,
        caption_projection_dim: int = 192,
        pooled_projection_dim: int = 64,
        out_channels: int = 49,
        pos_embed_max_size: int = 64,
        dual_attention_layers: tuple[int, ...] = (),
        qk_norm: str | None = "rms_norm",
        words_dim: int = 64,
    ) -> None:
        super().__init__(
            pos_embed_max_size * patch_size, patch_size, in_channels - 1, num_layers,
            attention_head_dim, num_attention_heads, joint_attention_dim, caption_projection_dim,
            pooled_projection_dim, 2 * (out_channels - 1), pos_embed_max_size,
            dual_attention_layers, qk_norm,
        )  # fmt: skip
        self.register_to_config(
            sample_size=sample_size, in_channels=in_channels, out_channels=out_channels
        )
        in_channels, out_channels = in_channels - 1, 2 * (out_channels - 1)
        self.sketcher, self.sketches = Sketcher(), Sketches()
        # By how much a picture differs from its sketch, the usual deviation of each channel.
        self.spreads = nn.Parameter(torch.ones(in_channels), requires_grad=False)
        # The autoencoder's, with its scale: a sketch becomes latents as the pipeline has them.
        self.encoder = nn.Conv2d(3 * PATCH**2, in_channels, 1).requires_grad_(False)
        channels = 2 * in_channels + COVER + PLACE
        self.pos_embed.proj = nn.Conv2d(channels, self.inner_dim, patch_size, patch_size)
        self.context_embedder = nn.Linear(words_dim, caption_projection_dim)
        # What is told is for a part a linear function of what is read, by the level of noise: it
        # need not pass through the network, whose width is less than what a token tells.
        self.linear = nn.Conv2d(channels, WAYS * out_channels, 3, padding=1)
        self.weighing = nn.Linear(self.inner_dim, WAYS)
        for part in (self.proj_out, self.linear):  # it begins with what the spreads tell
            for parameter in part.parameters():
                nn.init.zeros_(parameter)

    def sketch(
        self,
        looks: torch.Tensor,
        choices: Sequence[Choice],
        height: int,
        width: int,
        reference: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """(n, in_channels - 1 + COVER + PLACE, height, width), in latent positions. reference: of
        all rows, (2, LOOK_DIM).
        """
        drawn = self._drawn(looks, choices, (height * PATCH, width * PATCH), reference)
        pixels = F.pixel_unshuffle(drawn[:, :3], PATCH)
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
        words, looks = (
            encoder_hidden_states[:, :-ROWS, : self.config.words_dim],
            encoder_hidden_states[:, -ROWS:],
        )
        looks, control = controlled(looks, block_controlnet_hidden_states)
        noisy, plane = hidden_states[:, :-1], hidden_states[:, -1:].float()
        keywords = dict(joint_attention_kwargs or {})
        references = keywords.pop(REFERENCE, None)
        sketch = self._sketches(looks, choices(plane), noisy.shape[-2:], references)
        differing = self.differing(
            noisy, sketch, words, pooled_projections, timestep, control, keywords or None,
            skip_layers,
        )  # fmt: skip
        sigma = (timestep.float() / 1000)[:, None, None, None]
        velocity = self.velocity(noisy.float(), sketch, differing, sigma, CALM)
        kept = (plane - torch.where(plane > 0, 1.0, -1.0)) / sigma.clamp(min=1e-3)
        sample = torch.cat([velocity, kept], 1).to(differing.dtype)
        return Transformer2DModelOutput(sample=sample) if return_dict else (sample,)

    def _drawn(
        self,
        looks: torch.Tensor,
        choices: Sequence[Choice],
        size: tuple[int, int],
        reference: torch.Tensor | None,
    ) -> torch.Tensor:
        """As the sketcher draws scenes, in px."""
        if reference is None:
            drawn: torch.Tensor = self.sketcher(looks, choices, *size)
            return drawn
        scenes = zip(looks.float(), choices, strict=True)
        own = reference.float()
        return torch.stack([sketched(self.sketcher, *each, own, size) for each in scenes])

    def _sketches(
        self,
        looks: torch.Tensor,
        chosen: Sequence[Choice],
        size: Sequence[int],
        references: torch.Tensor | None,
    ) -> torch.Tensor:
        """As `sketch` gives them, drawn once for all steps of a picture."""
        sketches = []
        for i, (row, choice) in enumerate(zip(looks, chosen, strict=True)):
            reference = None if references is None else acting_in(references[i])
            decisive = row if reference is None else torch.cat([row, reference])
            draw = partial(self.sketch, row[None], [choice], size[0], size[1], reference)
            sketches.append(self.sketches.of(decisive, choice, (size[0], size[1]), draw))
        return torch.cat(sketches)

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
        """What the network itself tells, for `velocity`: (n, 2 * (out_channels - 1), h, w)."""
        sigma = (timestep.float() / 1000)[:, None, None, None]
        base, spread = sketch[:, : noisy.shape[1]], self.spreads.float()[:, None, None]
        apart = noisy.float() - (1 - sigma) * base
        apart = apart / (((1 - sigma) * spread).square() + sigma.square()).sqrt()
        read = torch.cat([apart, sketch], 1).to(noisy.dtype)
        parts: torch.Tensor = super().forward(
            read, words, pooled, timestep, control, keywords, False, skipped
        )[0]
        weights = self.weighing(F.silu(self.time_text_embed(timestep, pooled)))
        ways = self.linear(read).unflatten(1, (WAYS, -1))  # (n, ways, channels, h, w)
        mixed: torch.Tensor = parts + (ways * weights[:, :, None, None, None]).sum(1)
        return mixed

    def velocity(
        self,
        noisy: torch.Tensor,
        sketch: torch.Tensor,
        predicted: torch.Tensor,
        sigma: torch.Tensor,
        share: float = 1,
    ) -> torch.Tensor:
        """noise - picture, where the picture is mean + kept (noisy - (1 - sigma) mean): the first
        half of what is told is by how much the mean differs from the sketch, in `spreads`; the
        second how far around it a picture may be, as the logarithm of a deviation in `spreads`.
        What is kept of the noise follows from that, as Wiener's filter has it. share: of the
        variance.
        """
        base, spread = sketch[:, : noisy.shape[1]], self.spreads.float()[:, None, None]
        differing, around = predicted.float().chunk(2, 1)
        mean = base + spread * differing
        variance = share * (spread * around.clamp(*AROUND).exp()).square()
        total = (1 - sigma).square() * variance + sigma.square()
        velocity: torch.Tensor = (sigma - (1 - sigma) * variance) * noisy - sigma * mean
        return velocity / total
