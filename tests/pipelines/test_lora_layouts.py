"""LoRAs in the layouts that people hold: each does what diffusers does with it, or what it says
where diffusers does not, or is refused by name. `docs/loras.md` has the table.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load, save

from imagemill.errors import Fault, Kind
from imagemill.pipelines.adapters import Adapters
from imagemill.pipelines.inputs import Weights
from imagemill.pipelines.lora.layers import Added, adding
from imagemill.pipelines.lora.names import TEXTS, places
from imagemill.pipelines.lora.reading import Pair, pairs
from tests.checkpoints import Checkpoint
from tests.lora_files import (
    ALPHA,
    LAYOUTS,
    RANK,
    Content,
    content,
    denoiser,
    described,
    file,
    kept,
    peft,
    without_out_proj,
)  # fmt: skip

DOCUMENT = Path(__file__).parents[2] / "docs" / "loras.md"
TITLES = {"sd15": "SD 1.5", "sdxl": "SDXL", "sd3": "SD 3", "flux-dev": "FLUX.1"}
SCALE = 0.7
ALIKE, NEAR = "as diffusers, to the bit", "as diffusers, within 1e-5"
PASSED_OVER, HALVED = "read; diffusers passes over it", "read; diffusers takes a part of it"
REFUSED_THERE, REFUSED = "read; diffusers refuses it", "refused"
CASES = [(family, layout) for family, layouts in LAYOUTS.items() for layout in layouts]

Outputs = list[torch.Tensor]


@dataclass(frozen=True)
class Bench:
    """A family's pipeline, and what its modules give without LoRAs."""

    folder: Path
    pipe: Any
    adapters: Adapters
    plain: Outputs

    def ours(self, made: bytes, scale: float = SCALE) -> Outputs:
        added = self.adapters.added([Weights(kept(made).digest, scale, kept(made))])
        return outputs(self.pipe, added)

    def theirs(self, made: bytes, where: Path) -> Outputs | None:
        """By diffusers, on modules of its own; None where it refuses the file."""
        pipe = opened(self.folder)
        (where / "lora.safetensors").write_bytes(made)
        try:
            pipe.load_lora_weights(where, weight_name="lora.safetensors", adapter_name="it")
        except Exception:  # of many kinds
            return None
        if any(pipe.get_list_adapters().values()):
            pipe.set_adapters("it", SCALE)
        return outputs(pipe, {})


def opened(folder: Path) -> Any:
    return DiffusionPipeline.from_pretrained(folder, dtype=torch.float32, local_files_only=True)


@pytest.fixture(scope="module", autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def benches(checkpoint: Checkpoint) -> Mapping[str, Bench]:
    made = {}
    for family in LAYOUTS:
        pipe = opened(checkpoint(family))
        made[family] = Bench(checkpoint(family), pipe, Adapters(pipe), outputs(pipe, {}))
    return made


def outputs(pipe: Any, added: Mapping[str, Added]) -> Outputs:
    """Of the denoiser and the text encoders, for the same inputs always."""
    part, tokens = denoiser(pipe), torch.arange(10)[None]
    with adding([(added.get(part), 2)], 2):
        out = [getattr(pipe, part)(**arguments(getattr(pipe, part)))[0]]
    for text in (each for each in TEXTS if getattr(pipe, each, None) is not None):
        with adding([(added.get(text), 1)], 1):
            out.append(getattr(pipe, text)(tokens)[0])
    return out


def arguments(model: Any) -> dict[str, Any]:
    config, generator = model.config, torch.Generator().manual_seed(5)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(2, *shape, generator=generator)

    time, kind = torch.tensor([0.3, 0.3]), type(model).__name__
    if kind == "UNet2DConditionModel":
        text = noise(7, config.cross_attention_dim)
        more = {"text_embeds": noise(config.projection_class_embeddings_input_dim
                                     - 6 * config.addition_time_embed_dim),
                "time_ids": torch.ones(2, 6)} if config.addition_embed_type else None  # fmt: skip
        return {"sample": noise(4, 16, 16), "timestep": time, "encoder_hidden_states": text,
                "added_cond_kwargs": more}  # fmt: skip
    shared = {
        "encoder_hidden_states": noise(7, config.joint_attention_dim),
        "pooled_projections": noise(config.pooled_projection_dim),
        "timestep": time,
    }
    if kind == "SD3Transformer2DModel":
        return shared | {"hidden_states": noise(16, 16, 16)}
    places = {"img_ids": torch.zeros(16, 3), "txt_ids": torch.zeros(7, 3)}
    guided = {"hidden_states": noise(16, config.in_channels), "guidance": torch.tensor([3.0, 3.0])}
    return shared | places | guided


def same(one: Outputs, other: Outputs, within: float = 0.0) -> bool:
    return all(
        torch.equal(x, y) if not within else torch.allclose(x, y, atol=within)
        for x, y in zip(one, other, strict=True)
    )


def outcome(bench: Bench, made: bytes, where: Path) -> str:
    try:
        ours = bench.ours(made)
    except Fault:
        return REFUSED
    assert not same(ours, bench.plain, within=1e-3)
    theirs = bench.theirs(made, where)
    if theirs is None:
        return REFUSED_THERE
    if same(ours, theirs):
        return ALIKE
    if same(ours, theirs, within=1e-5):
        return NEAR
    return PASSED_OVER if same(theirs, bench.plain) else HALVED


def documented() -> dict[tuple[str, str], str]:
    """The cells of the table, by family and layout."""
    rows = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in DOCUMENT.read_text("utf-8").splitlines()
        if line.startswith("| ") and not line.startswith("| Layout")
    ]
    families = list(LAYOUTS)
    return {
        (family, row[0]): cell
        for row in rows
        for family, cell in zip(families, row[1:], strict=True)
        if cell != "no such file"
    }


def test_the_table_has_every_layout_and_family() -> None:
    assert {*documented()} == {*CASES}


@pytest.mark.parametrize(("family", "layout"), CASES, ids=str)
def test_each_layout_does_what_the_table_says(
    family: str, layout: str, benches: Mapping[str, Bench], tmp_path: Path
) -> None:
    bench = benches[family]
    got = outcome(bench, file(family, layout, bench.pipe), tmp_path)
    assert documented()[family, layout].startswith(got)


def known(held: Content, layout: str, family: str) -> Content:
    """What a layout can say of the content."""
    if "out_proj" in layout:
        return without_out_proj(held.of("text_encoder"))
    if (
        layout.startswith(("kohya", "authors")) and family != "sd15"
    ):  # of layers that have such a name
        groups = (each for each in held.of(held.part).groups if each.original)
        return Content(held.pipe, tuple(groups))
    return held.of(held.part)


STRENGTHS = {
    "PEFT, no prefix": 1.0,
    "ComfyUI (diffusion_model.)": 1.0,
    "authors' names (fal)": 1.0,
    "authors' names (ComfyUI)": 1.0,
    "OneTrainer": ALPHA / RANK,
    "kohya": ALPHA / RANK,
    "kohya, text encoder without out_proj": ALPHA / RANK,
}
SAME = [each for each in CASES if each[1] in STRENGTHS]


@pytest.mark.parametrize(("family", "layout"), SAME, ids=str)
def test_other_words_for_the_same_do_the_same(
    family: str, layout: str, benches: Mapping[str, Bench]
) -> None:
    bench, alpha = benches[family], STRENGTHS[layout] * RANK
    wanted = bench.ours(described(known(content(bench.pipe), layout, family), alpha))
    assert same(bench.ours(file(family, layout, bench.pipe)), wanted)


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`:UserWarning")
def test_two_loras_do_what_diffusers_does_with_both(
    benches: Mapping[str, Bench], tmp_path: Path
) -> None:
    bench = benches["sd3"]
    held = content(bench.pipe)
    files = sorted(
        (save(peft(held.of(held.part, "text_encoder"))), described(held.of(held.part), ALPHA)),
        key=lambda each: sha256(each).hexdigest(),
    )
    both = zip(map(kept, files), (0.5, -0.3), strict=True)
    weights = [Weights(each.digest, scale, each) for each, scale in both]
    pipe = opened(bench.folder)
    for number, each in enumerate(files):
        name = f"lora{number}"
        (tmp_path / f"{name}.safetensors").write_bytes(each)
        pipe.load_lora_weights(tmp_path, weight_name=f"{name}.safetensors", adapter_name=name)
    pipe.set_adapters(["lora0", "lora1"], [0.5, -0.3])
    assert same(outputs(bench.pipe, bench.adapters.added(weights)), outputs(pipe, {}), 1e-5)


def test_a_layer_of_the_original_code_becomes_its_parts_in_order(
    benches: Mapping[str, Bench],
) -> None:
    pipe = benches["flux-dev"].pipe
    block = pipe.transformer.single_transformer_blocks[0]
    layers = (block.attn.to_q, block.attn.to_k, block.attn.to_v, block.proj_mlp)
    outs = sum(each.out_features for each in layers)
    down, up = torch.randn(2, block.attn.to_q.in_features), torch.randn(outs, 2)
    key = "lora_unet_single_blocks_0_linear1"
    tensors = {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}
    found = pairs(pipe, places(pipe), tensors, {})
    names = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
    split = [found["transformer", f"single_transformer_blocks.0.{name}"] for name in names]
    ups = [each.up for each in split if isinstance(each, Pair)]
    assert torch.equal(torch.cat(ups), up)
    assert all(torch.equal(each.down, down) for each in split if isinstance(each, Pair))


def test_where_the_original_has_shift_before_scale_the_halves_are_exchanged(
    benches: Mapping[str, Bench],
) -> None:
    pipe = benches["sd3"].pipe
    layer = pipe.transformer.norm_out.linear
    down, up = torch.randn(2, layer.in_features), torch.randn(layer.out_features, 2)
    for key, exchanged in (
        ("lora_unet_final_layer_adaLN_modulation_1", True),
        ("lora_transformer_norm_out_linear", False),
    ):
        tensors = {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}
        pair = pairs(pipe, places(pipe), tensors, {})["transformer", "norm_out.linear"]
        wanted = torch.cat(up.chunk(2)[::-1]) if exchanged else up
        assert isinstance(pair, Pair)
        assert torch.equal(pair.up, wanted)


# What is refused, and how it is told


def whole(bench: Bench) -> dict[str, torch.Tensor]:
    held = content(bench.pipe)
    return peft(held.of(held.part))


def sentence(bench: Bench, tensors: Mapping[str, torch.Tensor]) -> str:
    with pytest.raises(Fault) as raised:
        bench.ours(save(dict(tensors)))
    assert (raised.value.kind, raised.value.field) == (Kind.UNREADABLE, "loras")
    return raised.value.message


@pytest.fixture
def sd3(benches: Mapping[str, Bench]) -> Bench:
    return benches["sd3"]


def test_weights_without_a_place_are_counted_and_one_is_named(sd3: Bench) -> None:
    stem = "transformer.transformer_blocks.99.attn.to_q"
    strange = {f"{stem}.lora_A.weight": torch.ones(4, 4), f"{stem}.lora_B.weight": torch.ones(4, 4)}
    told = sentence(sd3, whole(sd3) | strange)
    assert "2 weights" in told
    assert stem in told


def test_a_lora_of_another_family_is_told_so(benches: Mapping[str, Bench]) -> None:
    for family, other in (("sd3", "sdxl"), ("sdxl", "flux-dev"), ("flux-dev", "sd15")):
        assert "this model has no place for" in sentence(benches[family], whole(benches[other]))


def test_half_of_a_pair_is_told(sd3: Bench) -> None:
    tensors = whole(sd3)
    name = next(iter(tensors))
    told = sentence(sd3, {other: each for other, each in tensors.items() if other != name})
    assert name.removesuffix(".lora_A.weight") in told


def test_another_shape_is_told_with_both(sd3: Bench) -> None:
    tensors = whole(sd3)
    name = next(iter(tensors))
    told = sentence(sd3, tensors | {name: torch.ones(RANK, 7)})
    assert f"[{RANK}, 7]" in told


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_told(sd3: Bench, value: float) -> None:
    tensors = whole(sd3)
    name = next(iter(tensors))
    told = sentence(sd3, tensors | {name: torch.full_like(tensors[name], value)})
    assert "1 tensors that are not finite" in told
    assert name in told


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("Black Forest Labs' control", "a control LoRA"),
    ],
)
def test_adapters_of_other_kinds_are_refused_by_name(
    layout: str, name: str, benches: Mapping[str, Bench]
) -> None:
    bench = benches["flux-dev"]
    assert f"is {name}" in sentence(bench, load(file("flux-dev", layout, bench.pipe)))


def test_the_last_layers_of_stable_diffusion_xl_have_kohyas_names(
    benches: Mapping[str, Bench],
) -> None:
    """The first up block has attention, so its upsampler is the third of its last layer."""
    pipe = benches["sdxl"].pipe
    layer = pipe.unet.up_blocks[0].upsamplers[0].conv
    down = torch.randn(2, layer.in_channels, 3, 3)
    up = torch.randn(layer.out_channels, 2, 1, 1)
    block = pipe.unet.config.layers_per_block
    key = f"lora_unet_output_blocks_{block}_2_conv"
    tensors = {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}
    assert ("unet", "up_blocks.0.upsamplers.0.conv") in pairs(pipe, places(pipe), tensors, {})


def test_kohyas_names_of_sd3_are_the_original_ones(sd3: Bench) -> None:
    attention = sd3.pipe.transformer.transformer_blocks[0].attn
    size = attention.add_q_proj.in_features
    outs = sum(each.out_features for each in (attention.add_q_proj, attention.add_k_proj)) + size
    key = "lora_unet_joint_blocks_0_context_block_attn_qkv"
    tensors = {
        f"{key}.lora_down.weight": torch.ones(2, size), f"{key}.lora_up.weight": torch.ones(outs, 2)
    }  # fmt: skip
    found = {name for _, name in pairs(sd3.pipe, places(sd3.pipe), tensors, {})}
    assert found == {f"transformer_blocks.0.attn.add_{each}_proj" for each in "qkv"}
