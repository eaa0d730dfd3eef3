"""Weights that are wrong: one sentence that names what it is and the way out, and no half-random
picture.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from imagemill.errors import Fault
from imagemill.model_spec import ModelSpec
from imagemill.pipelines.loading import Loaded, load
from tests.checkpoints import Checkpoint

UNET = "unet/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"


@pytest.fixture
def broken(checkpoint: Checkpoint, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a family's checkpoint, to be broken."""

    def copied(family: str) -> Path:
        folder = tmp_path / family
        shutil.copytree(checkpoint(family), folder)
        return folder

    return copied


def loaded(source: Path, **options: Any) -> Loaded:
    return load(ModelSpec(str(source), **options).address, "cpu")


def refused(source: Path, **options: Any) -> str:
    """What is said of a model that is not loaded: one sentence without a folder of this machine."""
    with pytest.raises(Fault) as raised:
        loaded(source, **options)
    message = str(raised.value)
    assert str(source.parent) not in message
    assert "\n" not in message
    return message


def without(path: Path, *names: str) -> None:
    tensors = load_file(path)
    for name in names:
        del tensors[name]
    save_file(tensors, path, {"format": "pt"})


def edited(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), "utf-8")


def test_a_part_that_is_absent_is_told(broken: Callable[[str], Path]) -> None:
    folder = broken("sdxl")
    shutil.rmtree(folder / "vae")
    assert "vae (AutoencoderKL) is absent" in refused(folder)


def test_a_part_without_weights_is_told(broken: Callable[[str], Path]) -> None:
    folder = broken("sdxl")
    (folder / TEXT).unlink()
    assert "text_encoder (CLIPTextModel) is absent: text_encoder holds no weights" in refused(
        folder
    )


def test_a_part_that_is_absent_may_be_named_apart(
    broken: Callable[[str], Path], checkpoint: Checkpoint
) -> None:
    folder = broken("sdxl")
    shutil.rmtree(folder / "vae")
    whole = checkpoint("sdxl")
    for place in (whole, whole / "vae", whole / "vae" / "diffusion_pytorch_model.safetensors"):
        if place.is_file():  # what describes it has to be there
            (folder / "vae").mkdir()
            shutil.copy(whole / "vae" / "config.json", folder / "vae")
        assert loaded(folder, vae=str(place)).pipe.vae.config.latent_channels == 4


@pytest.mark.parametrize("file", [UNET, TEXT])
def test_a_file_that_was_cut_off_is_told(file: str, broken: Callable[[str], Path]) -> None:
    folder = broken("sdxl")
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[:-1000])
    expected = f"ends after {len(content) - 1000} of {len(content)} bytes: its download was cut off"
    assert expected in refused(folder)


@pytest.mark.parametrize(
    ("content", "nature"),
    [
        (b"", "is empty; download it anew"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "run `git lfs pull`"),
        (b"<!DOCTYPE html><html>", "a web page in place of the weights"),
        (b"PK\x03\x04 and so on and so on", "a pickle; of single files safetensors alone are read"),
        (b"\x00" * 100, "no safetensors or GGUF file, or a damaged one"),
        ((2).to_bytes(8, "little") + b"{]" + bytes(50), "has a damaged header"),
    ],
)
def test_what_is_no_file_of_weights_is_told(
    content: bytes, nature: str, broken: Callable[[str], Path]
) -> None:
    folder = broken("sdxl")
    (folder / UNET).write_bytes(content)
    message = refused(folder)
    assert nature in message
    assert "diffusion_pytorch_model.safetensors" in message


@pytest.mark.parametrize(
    ("file", "tensor"),
    [
        (UNET, "conv_in.weight"),
        (TEXT, "text_model.final_layer_norm.weight"),
        ("vae/diffusion_pytorch_model.safetensors", "decoder.conv_out.bias"),
    ],
)
def test_weights_that_lack_a_tensor_are_told_and_never_made_up(
    file: str, tensor: str, broken: Callable[[str], Path]
) -> None:
    folder = broken("sdxl")
    without(folder / file, tensor)
    assert "lacks 1 of" in (message := refused(folder))
    assert tensor.removeprefix("text_model.") in message


def test_a_file_of_another_model_is_told(
    broken: Callable[[str], Path], checkpoint: Checkpoint
) -> None:
    folder = broken("sdxl")
    shutil.copy(checkpoint("sd15") / UNET, folder / UNET)
    assert "mix no files of two models" in refused(folder)


def test_a_config_that_wants_less_than_the_file_has_is_told(broken: Callable[[str], Path]) -> None:
    folder = broken("flux-dev")
    edited(folder / "transformer" / "config.json", num_layers=1)
    assert "tensors that its config.json has no place for (transformer_blocks.1." in refused(folder)


def test_a_config_of_another_family_is_told(
    broken: Callable[[str], Path], checkpoint: Checkpoint
) -> None:
    folder = broken("sdxl")
    shutil.copy(checkpoint("sd15") / "unet" / "config.json", folder / "unet" / "config.json")
    assert refused(folder).startswith("unet (UNet2DConditionModel) ")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("file", [UNET, TEXT])
def test_weights_that_are_no_numbers_are_told(
    number: float, file: str, broken: Callable[[str], Path]
) -> None:
    folder = broken("sdxl")
    tensors = load_file(folder / file)
    next(iter(tensors.values())).view(-1)[0] = number
    save_file(tensors, folder / file, {"format": "pt"})
    assert "weights that are not finite numbers" in refused(folder)


def test_a_shard_that_is_absent_is_told(checkpoint: Checkpoint, tmp_path: Path) -> None:
    pipe = load(str(checkpoint("flux-dev")), "cpu").pipe
    pipe.save_pretrained(tmp_path / "sharded", max_shard_size="200KB")
    shards = sorted((tmp_path / "sharded" / "transformer").glob("*-of-*.safetensors"))
    shards[1].unlink()
    message = refused(tmp_path / "sharded")
    assert f"transformer lacks 1 of {len(shards)} files, {shards[1].name} for one" in message


def test_a_shard_that_was_cut_off_is_told(checkpoint: Checkpoint, tmp_path: Path) -> None:
    pipe = load(str(checkpoint("flux-dev")), "cpu").pipe
    pipe.save_pretrained(tmp_path / "sharded", max_shard_size="200KB")
    shard = sorted((tmp_path / "sharded" / "transformer").glob("*-of-*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:-10])
    assert refused(tmp_path / "sharded").startswith(f"{shard.name} ends after")


def test_pickles_are_read_only_where_the_operator_allows_it(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = tmp_path / "pickled"
    load(str(checkpoint("sd15")), "cpu").pipe.save_pretrained(folder, safe_serialization=False)
    text = folder / "text_encoder"
    if not list(text.glob("*.bin")):  # transformers 5 writes none any more
        torch.save(load_file(text / "model.safetensors"), text / "pytorch_model.bin")
        (text / "model.safetensors").unlink()
    assert "set `pickles = true` in the model's table" in refused(folder)
    assert loaded(folder, pickles=True).pipe.unet is not None


def test_a_folder_of_a_variant_alone_loads_without_naming_it(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    whole = load(str(checkpoint("sdxl")), "cpu").pipe
    whole.save_pretrained(tmp_path / "half", variant="fp16")
    assert not (tmp_path / "half" / UNET).exists()
    for options in ({}, {"variant": "fp16"}, {"variant": "ema"}):
        weight = loaded(tmp_path / "half", **options).pipe.unet.conv_in.weight
        assert torch.equal(weight, whole.unet.conv_in.weight)


def test_a_home_folder_may_be_written_as_people_write_it(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(checkpoint("sd3").parent))
    assert load("~/sd3", "cpu").pipe.transformer is not None


def test_sd3_paints_without_its_t5(broken: Callable[[str], Path]) -> None:
    folder = broken("sd3")
    shutil.rmtree(folder / "text_encoder_3")
    shutil.rmtree(folder / "tokenizer_3")
    edited(folder / "model_index.json", text_encoder_3=[None, None], tokenizer_3=[None, None])
    pipe = loaded(folder).pipe
    assert (pipe.text_encoder_3, pipe.tokenizer_3) == (None, None)
    image = pipe("a cat", width=64, height=64, num_inference_steps=1, output_type="np").images
    assert image.shape == (1, 64, 64, 3)


def test_hidream_without_its_llama_says_what_is_missing_and_takes_it_apart(
    broken: Callable[[str], Path],
) -> None:
    folder = broken("hidream-full")
    for name in ("text_encoder_4", "tokenizer_4"):
        (folder / name).rename(folder.parent / name)
    edited(folder / "model_index.json", text_encoder_4=[None, None], tokenizer_4=[None, None])
    message = refused(folder)
    assert "HiDreamImagePipeline needs a text_encoder_4" in message
    assert 'text_encoder_4 = "/models/text_encoder_4"' in message
    apart = {name: str(folder.parent / name) for name in ("text_encoder_4", "tokenizer_4")}
    assert type(loaded(folder, **apart).pipe.text_encoder_4).__name__ == "LlamaForCausalLM"


def test_what_is_no_model_is_told(tmp_path: Path, checkpoint: Checkpoint) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "empty is no model's folder: it has no model_index.json" in refused(empty)
    assert "one part of a model; give the folder above it" in refused(checkpoint("sd3") / "vae")
    (empty / "sdxl.safetensors").touch()
    assert "to serve a single file give its own path, as .../sdxl.safetensors" in refused(empty)
    assert "there is no folder or file absent" in refused(tmp_path / "absent")


def test_an_index_that_is_damaged_or_of_another_library_is_told(
    broken: Callable[[str], Path],
) -> None:
    folder = broken("sd3")
    edited(folder / "model_index.json", _class_name="NewestPipeline")
    assert "the model is of the class NewestPipeline, which diffusers" in refused(folder)
    (folder / "model_index.json").write_text("{", "utf-8")
    assert "model_index.json of sd3 is damaged" in refused(folder)


def test_a_tokenizer_that_is_damaged_is_told(broken: Callable[[str], Path]) -> None:
    folder = broken("sdxl")
    (folder / "tokenizer_2" / "vocab.json").write_text("{", "utf-8")
    assert "tokenizer_2 of the model is damaged or incomplete" in refused(folder)
    (folder / "tokenizer_2" / "vocab.json").unlink()
    assert "tokenizer_2 of the model has no words" in refused(folder)


@pytest.mark.parametrize("family", ["pixart-sigma"])
def test_a_tokenizer_of_sentencepiece_alone_is_read(family: str, checkpoint: Checkpoint) -> None:
    folder = checkpoint(family)
    assert not (folder / "tokenizer" / "tokenizer.json").exists()
    assert (folder / "tokenizer" / "spiece.model").exists()
    assert len(load(str(folder), "cpu").pipe.tokenizer("a cat").input_ids) > 1


def test_a_package_that_is_missing_is_named(
    broken: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = broken("sd15")
    edited(folder / "model_index.json", scheduler=["diffusers", "DPMSolverSDEScheduler"])
    monkeypatch.setitem(sys.modules, "torchsde", None)
    assert "DPMSolverSDEScheduler needs the package torchsde (`pip install" in refused(folder)


def test_a_hub_id_that_is_not_cached_is_told_without_a_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Fault, match=r"HF_HUB_OFFLINE is set.*imagemill models pull no/such"):
        load("no/such", "cpu")


def test_a_device_that_is_not_there_is_told(checkpoint: Checkpoint) -> None:
    message = refused(checkpoint("sd3"), device="cuda:7")
    assert message.startswith("device cuda:7 is not in this machine; one of cpu")
    assert "no GPU is here" in refused(checkpoint("sd3"), offload="model")
