"""What is said of a model: its address keeps all that the engine has to know, and no more."""

import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest

from imagemill.errors import Fault
from imagemill.model_spec import PARTS, QUANTIZERS, Attention, FixedLora, ModelDefaults, ModelSpec
from imagemill.settings import load

# Every option, once, as it may be said.
SAID: dict[str, Any] = {
    "variant": "fp16",
    "revision": "main",
    "dtype": "float16",
    "device": "cuda:1",
    "offload": "group",
    "attention": "native",
    "keep": True,
    "pickles": True,
    "config": "/models/sdxl",
    "loras": (FixedLora("a.safetensors", 0.5), FixedLora("a/b", weight_name="c.safetensors")),
    "textual_inversions": ("cat.safetensors",),
    **{part: f"the {part}" for part in PARTS},
}
APART: dict[str, Any] = {"compile": True}  # what cannot stand beside the others
QUANTIZED = {"quantize"}  # needs a package that is not installed everywhere


def test_a_source_alone_is_its_own_address() -> None:
    assert ModelSpec("a/b").address == "a/b"
    assert ModelSpec.at("a/b") == ModelSpec("a/b")


def test_everything_that_the_engine_has_to_know_is_in_the_address() -> None:
    spec = ModelSpec("/models/x", **SAID)
    assert ModelSpec.at(spec.address) == spec
    compiled = ModelSpec("/models/x", **APART)
    assert ModelSpec.at(compiled.address) == compiled
    outside = {"source", "aliases", "defaults"}
    assert set(SAID) | set(APART) | QUANTIZED | outside == {each.name for each in fields(ModelSpec)}


@pytest.mark.parametrize("option", [*SAID, *APART])
def test_two_models_whose_options_differ_are_two(option: str) -> None:
    spec = ModelSpec("a/b", **{option: (SAID | APART)[option]})
    assert spec.address != ModelSpec("a/b").address


def test_names_and_defaults_make_no_other_model() -> None:
    spec = ModelSpec("a/b", aliases=("c/d",), defaults=ModelDefaults(width=512))
    assert spec.address == "a/b"


def test_a_folder_whose_name_looks_like_options_is_still_a_folder() -> None:
    spec = ModelSpec('{"source": "x"}')
    assert ModelSpec.at(spec.address) == spec


def test_the_attention_backends_are_those_of_diffusers() -> None:
    from diffusers.models.attention_dispatch import AttentionBackendName

    known = {each.value for each in AttentionBackendName}
    assert set(get_args(Attention)) - {"auto"} <= known


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('source = " "', "source is empty; give a folder, a file or a Hub id"),
        ('dtype = "float16"', "models.a/b.source is missing"),
        ('source = "x"\ndtype = "fp16"', "'auto', 'bfloat16', 'float16' or 'float32'"),
        ('source = "x"\ndevice = "gpu"', "device 'gpu' is none; one of auto, cpu, mps, cuda"),
        ('source = "x"\noffload = "disk"', "'none', 'model', 'group' or 'sequential'"),
        ('source = "x"\noffload = "model"\ndevice = "cpu"', "leave it out on the cpu"),
        ('source = "x"\noffload = "model"\ncompile = true', "leave out compile or offload"),
        ('source = "x.gguf"\nquantize = "4bit"', "quantized as it is; leave out quantize"),
        ('source = "x"\nquantize = "2bit"', "'none', '8bit' or '4bit'"),
        ('source = "x"\nattention = "fast"', "'auto', 'native'"),
        ('source = "x"\nvea = "y"', "unknown setting models.a/b.vea; one of source, variant"),
        ('source = "x"\nloras = [{ file = "y" }]', "loras.0.file; one of path, scale, weight_name"),
        ('source = "x"\nloras = [{ path = "y", scale = 11 }]', "scale 11.0 is beyond 10.0"),
        ('source = "x"\ndefaults = { width = 8 }', "width 8 is not between 64 and 2048"),
        ('source = "x"\ndefaults = { size = 8 }', "one of width, height, steps, guidance_scale"),
        ('source = "x"\ncompile = "often"', "valid boolean"),
    ],
)
def test_what_is_wrong_in_a_table_is_told_at_the_start(
    table: str, message: str, tmp_path: Path
) -> None:
    config = tmp_path / "imagemill.toml"
    config.write_text(f'[models."a/b"]\n{table}\n', "utf-8")
    with pytest.raises(Fault) as raised:
        load(config)
    assert message in str(raised.value)


def test_a_quantizer_that_is_not_installed_is_told_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in QUANTIZERS:
        monkeypatch.setitem(sys.modules, package, None)  # as where it is not installed
    with pytest.raises(ValueError, match="needs the package torchao or bitsandbytes"):
        ModelSpec("x", quantize="8bit")
    monkeypatch.undo()
    (tmp_path / "torchao").mkdir()
    (tmp_path / "torchao" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = ModelSpec("x", quantize="8bit")
    assert ModelSpec.at(spec.address) == spec != replace(spec, quantize="4bit")
