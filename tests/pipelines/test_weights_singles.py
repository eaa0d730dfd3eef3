"""Single files: what they are is found by their keys, and they paint what the folder paints."""

import gzip
import json
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file, save_file
from tokenizers import pre_tokenizers

from imagemill.errors import Fault
from imagemill.model_spec import PARTS, ModelSpec
from imagemill.pipelines.loading import load
from imagemill.pipelines.weights.headers import Header, Tensor
from imagemill.pipelines.weights.kinds import KINDS, identify
from imagemill.pipelines.weights.parts import make
from imagemill.pipelines.weights.singles import described
from imagemill.pipelines.weights.tokenizers import MERGES, tokenizer
from tests.checkpoints import Checkpoint
from tests.checkpoints.singles import flux_transformer, single, write_gguf

LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
# What the families are known to have, in parameters.
SIZES = {
    "sd15": {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480},
    "sdxl": {"unet": 2_567_463_684, "text_encoder_2": 694_659_840},
    "sd3-medium": {"transformer": 2_028_328_000},
    "sd35-medium": {"transformer": 2_243_171_520},
    "sd35-large": {"transformer": 8_056_627_520},
    "flux-dev": {"transformer": 11_901_408_320, "vae": 83_819_683},
    "flux-schnell": {"transformer": 11_891_178_560},
}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def without_weights(checkpoint: Checkpoint, tmp_path: Path) -> Any:
    """`without_weights(family)` describes it: its JSON and tokenizer files alone."""

    def made(family: str) -> Path:
        folder = tmp_path / f"{family}-described"
        ignored = shutil.ignore_patterns("*.safetensors")
        shutil.copytree(checkpoint(family), folder, ignore=ignored, dirs_exist_ok=True)
        return folder

    return made


def loaded(spec: ModelSpec) -> DiffusionPipeline:
    return load(spec.address, "cpu").pipe


def states(pipe: DiffusionPipeline) -> dict[str, torch.Tensor]:
    return {
        f"{part}.{name}": tensor
        for part in PARTS
        if isinstance(module := getattr(pipe, part, None), torch.nn.Module)
        for name, tensor in module.state_dict().items()
    }


def same(one: DiffusionPipeline, other: DiffusionPipeline) -> bool:
    ours, theirs = states(one), states(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


@pytest.mark.parametrize("family", ["sd15", "sdxl", "flux-dev"])
def test_a_single_file_has_the_weights_of_its_folder(
    family: str, checkpoint: Checkpoint, without_weights: Any, tmp_path: Path
) -> None:
    path = single(family, checkpoint(family), tmp_path / "model.safetensors")
    spec = ModelSpec(str(path), config=str(without_weights(family)))
    folder = loaded(ModelSpec(str(checkpoint(family))))
    pipe = loaded(spec)
    assert type(pipe) is type(folder)
    assert {name.split(".")[0] for name in states(pipe)} >= {"vae", "text_encoder"}
    ours, theirs = states(pipe), states(folder)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert pipe.tokenizer("a cat").input_ids == folder.tokenizer("a cat").input_ids


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn])
def test_a_flux_transformer_takes_its_other_parts_from_where_they_are_named(
    prefix: str, dtype: torch.dtype, checkpoint: Checkpoint, without_weights: Any, tmp_path: Path
) -> None:
    folder = checkpoint("flux-dev")
    tensors = flux_transformer(folder, prefix)
    save_file({name: x.to(dtype) for name, x in tensors.items()}, tmp_path / "a.safetensors")
    apart: dict[str, Any] = {
        name: str(folder) for name in ("vae", "text_encoder", "text_encoder_2")
    }
    pipe = loaded(
        ModelSpec(str(tmp_path / "a.safetensors"), config=str(without_weights("flux-dev")), **apart)
    )
    # As the file's were rounded: once, from float32.
    expected = loaded(ModelSpec(str(folder), dtype="float32")).transformer.state_dict()
    got = pipe.transformer.state_dict()
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[n], expected[n].to(dtype).to(got[n].dtype)) for n in expected)


def test_a_gguf_transformer_stays_quantized_and_paints(
    checkpoint: Checkpoint, without_weights: Any, tmp_path: Path
) -> None:
    folder = checkpoint("flux-dev")
    path = write_gguf(flux_transformer(folder), tmp_path / "flux.gguf")
    apart: dict[str, Any] = {
        name: str(folder) for name in ("vae", "text_encoder", "text_encoder_2")
    }
    pipe = loaded(ModelSpec(str(path), config=str(without_weights("flux-dev")), **apart))
    kinds = {type(each).__name__ for each in pipe.transformer.parameters()}
    assert "GGUFParameter" in kinds
    image = pipe("a cat", width=64, height=64, num_inference_steps=1, output_type="np").images
    assert image.shape == (1, 64, 64, 3)


def test_parts_of_single_files_may_be_single_files(
    checkpoint: Checkpoint, without_weights: Any, tmp_path: Path
) -> None:
    folder, path = checkpoint("flux-dev"), tmp_path / "flux.safetensors"
    save_file(flux_transformer(folder), path)
    whole = load_file(single("flux-dev", folder, tmp_path / "whole.safetensors"))
    prefixes = {
        "vae": "vae.",
        "text_encoder": "text_encoders.clip_l.transformer.",
        "text_encoder_2": "text_encoders.t5xxl.transformer.",
    }
    apart: dict[str, Any] = {}
    for name, prefix in prefixes.items():
        part = {n.removeprefix(prefix): x for n, x in whole.items() if n.startswith(prefix)}
        apart[name] = str(tmp_path / f"{name}.safetensors")
        save_file(part, apart[name])
    pipe = loaded(ModelSpec(str(path), config=str(without_weights("flux-dev")), **apart))
    assert same(pipe, loaded(ModelSpec(str(folder))))


def test_a_file_without_a_part_says_which_and_how_to_name_it(
    checkpoint: Checkpoint, without_weights: Any, tmp_path: Path
) -> None:
    whole = load_file(single("sd15", checkpoint("sd15"), tmp_path / "whole.safetensors"))
    pruned = {n: x for n, x in whole.items() if not n.startswith("cond_stage_model.")}
    save_file(pruned, tmp_path / "pruned.safetensors")
    spec = ModelSpec(str(tmp_path / "pruned.safetensors"), config=str(without_weights("sd15")))
    with pytest.raises(Fault, match=r"without text_encoder \(CLIPTextModel\); name it apart") as it:
        loaded(spec)
    assert str(tmp_path) not in str(it.value)


def test_a_tokenizer_that_is_nowhere_is_named_and_nothing_hangs(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    path = single("sdxl", checkpoint("sdxl"), tmp_path / "model.safetensors")
    with pytest.raises(Fault, match=r"brings no tokenizer \(CLIPTokenizer\).* by `tokenizer`"):
        loaded(ModelSpec(str(path)))


def test_clip_reads_its_vocabulary_from_a_package_that_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "__init__.py").write_text("raise ImportError('is not imported')")
    pairs = (f"{one} {other}" for one in LETTERS for other in LETTERS)
    filler = list(islice((pair for pair in pairs if pair != "c a"), MERGES - 2))
    lines = ["version", "c a", "ca t</w>", *filler, "past the end"]
    packed = gzip.compress("\n".join(lines).encode())
    (tmp_path / "clip" / "bpe_simple_vocab_16e6.txt.gz").write_bytes(packed)
    monkeypatch.syspath_prepend(str(tmp_path))
    config = {"kind": "clip", "pad_token": "!", "model_max_length": 77}
    made = tokenizer("tokenizer_2", config, ModelSpec("x"))
    assert len(made) == 49408
    assert made("cat a").input_ids == [49406, 513, 320, 49407]
    assert made.pad_token == "!"


@pytest.mark.parametrize("name", SIZES)
def test_what_describes_a_family_has_the_size_that_the_family_has(name: str) -> None:
    import diffusers
    import transformers

    description = described(name)
    for part, expected in SIZES[name].items():
        kind, config = description.parts[part]
        module = make(getattr(diffusers, kind, None) or getattr(transformers, kind), config)
        assert sum(each.numel() for each in module.parameters()) == expected


def test_every_kind_that_comes_with_a_description_has_one() -> None:
    for kind in KINDS:
        if kind.config is not None:
            assert described(kind.config).pipeline is not None
        else:
            assert kind.advice


def keys_of(name: str) -> Header:
    kind = next(each for each in KINDS if each.name == name)
    tensors: dict[str, Tensor] = {}
    for key, length in kind.keys:
        shape = [1, 1]
        if length is not None:
            shape[length[0]] = length[1]
        if key not in tensors or length is not None:
            tensors[key] = Tensor("F16", tuple(shape))
    return Header(tensors)


@pytest.mark.parametrize("name", [each.name for each in KINDS])
def test_a_kind_is_found_by_its_keys(name: str) -> None:
    found = identify(keys_of(name))
    assert found is not None
    assert found[0].name == name


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["lora_unet_x.lora_down.weight"], "it seems to be a LoRA; name it under `loras`"),
        (["transformer.a.lora_A.weight"], "it seems to be a LoRA"),
        (["clip_l", "clip_g"], "a textual inversion; name it under `textual_inversions`"),
        (["first_stage_model.decoder.conv_in.weight"], "a VAE; name it as `vae`"),
        (["text_model.encoder.layers.0.x"], "a CLIP text encoder; name it as `text_encoder`"),
        (["encoder.block.0.layer.0.SelfAttention.q.weight"], "a T5 text encoder"),
        (["down_blocks.0.x"], "a denoiser in diffusers' layout; give the whole folder"),
        (["model.layers.0.mlp"], r"of no kind that is known here \(model.layers.0.mlp for one\)"),
        (["double_blocks.0.img_attn.qkv.weight", "distilled_guidance_layer.in_proj.weight"],
         "a Chroma model; give the whole folder"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_model_says_what_it_seems_to_be(
    keys: list[str], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "some-sdxl-model.safetensors"  # a name is no proof
    save_file({name: torch.zeros(1, 1) for name in keys}, path)
    with pytest.raises(Fault, match=message):
        loaded(ModelSpec(str(path)))


def test_scaled_fp8_is_told(checkpoint: Checkpoint, without_weights: Any, tmp_path: Path) -> None:
    tensors = flux_transformer(checkpoint("flux-dev"))
    save_file(tensors | {"scaled_fp8": torch.zeros(1)}, tmp_path / "a.safetensors")
    apart: dict[str, Any] = {
        n: str(checkpoint("flux-dev")) for n in ("vae", "text_encoder", "text_encoder_2")
    }
    spec = ModelSpec(
        str(tmp_path / "a.safetensors"), config=str(without_weights("flux-dev")), **apart
    )
    with pytest.raises(Fault, match="scaled fp8 as ComfyUI has it"):
        loaded(spec)


def test_a_file_of_another_size_than_what_describes_it_is_told(
    checkpoint: Checkpoint, without_weights: Any, tmp_path: Path
) -> None:
    path = single("sd15", checkpoint("sd15"), tmp_path / "model.safetensors")
    folder = without_weights("sd15")
    config = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").write_text(json.dumps(config | {"cross_attention_dim": 32}))
    with pytest.raises(Fault, match=r"unet of model.safetensors does not fit"):
        loaded(ModelSpec(str(path), config=str(folder)))
