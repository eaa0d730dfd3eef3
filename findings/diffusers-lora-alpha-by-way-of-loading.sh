#!/bin/sh
# diffusers 0.42.1, peft 0.21.2: how strong a LoRA is depends on the way it is handed over. With alpha
# in the header of the safetensors file, as diffusers' own training scripts write it, the file by its
# path is four times as strong (alpha 16, rank 4) as the same file's tensors as a dict, without a word.
# With alpha as tensors beside lora_A and lora_B, FLUX takes it and all others refuse the file or look
# for layers that are not there.
#
# Guessed: path and dict differ (right, and worth a test in every server that reads uploads into
# memory); alpha tensors under PEFT's names are read everywhere, as they are under kohya's. Seen: only
# FLUX and Chroma have that conversion; Stable Diffusion 1.5, XL and 3, Lumina2, AuraFlow, Sana, FLUX.2:
# ValueError that the names lack 'lora'; Qwen-Image and Z-Image: target modules not found.
#
# So a server that takes LoRAs as bytes must read lora_adapter_metadata from the header itself and hand
# it on (load_lora_into_transformer's metadata=), or scale lora_B by alpha / rank before loading; the
# latter settles alpha tensors in the same stroke.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 \
    safetensors==0.8.0 diffusers==0.42.1 accelerate==1.15.0 transformers==5.23.0 peft==0.21.2

cd "$folder"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON' 2>"$folder/log" | tee "$folder/seen"
import inspect
import logging

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import load_file

logging.disable(logging.WARNING)
SD3 = SD3Transformer2DModel(
    sample_size=32, num_layers=2, attention_head_dim=16, num_attention_heads=2,
    joint_attention_dim=32, caption_projection_dim=32, pooled_projection_dim=32,
)  # fmt: skip
FLUX = FluxTransformer2DModel(
    in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
    num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=(4, 4, 8),
)  # fmt: skip


def strength(kind, transformer, lora):
    parts = dict.fromkeys(inspect.signature(kind).parameters)
    parts |= {"transformer": transformer, "scheduler": FlowMatchEulerDiscreteScheduler()}
    pipe = kind(**parts)
    try:
        pipe.load_lora_weights(lora, adapter_name="a")
    except ValueError as error:
        return f"ValueError: {error}"
    modules = [each for each in transformer.modules() if "a" in getattr(each, "scaling", {})]
    found = {float(each.scaling["a"]) for each in modules}
    pipe.unload_lora_weights()
    return f"{found} in {len(modules)} layers"


for kind, transformer in ((StableDiffusion3Pipeline, SD3), (FluxPipeline, FLUX)):
    targets = ["to_q", "to_v"]
    transformer.add_adapter(LoraConfig(r=4, lora_alpha=16, target_modules=targets))
    layers = get_peft_model_state_dict(transformer, adapter_name="default")
    header = transformer.peft_config["default"].to_dict()
    transformer.delete_adapters("default")
    kind.save_lora_weights(
        "lora", transformer_lora_layers=layers, transformer_lora_adapter_metadata=header
    )
    file = "lora/pytorch_lora_weights.safetensors"
    tensors = load_file(file)
    names = [name for name in tensors if name.endswith(".lora_A.weight")]
    alphas = {name.replace("lora_A.weight", "alpha"): torch.tensor(16.0) for name in names}
    print(kind.__name__)
    print("  alpha in the header, by path:", strength(kind, transformer, file))
    print("  the same file as a dict:", strength(kind, transformer, tensors))
    print("  a dict with alpha tensors:", strength(kind, transformer, tensors | alphas))
PYTHON

# The output seen:
cat >"$folder/expected" <<'EXPECTED'
StableDiffusion3Pipeline
  alpha in the header, by path: {4.0} in 4 layers
  the same file as a dict: {1.0} in 4 layers
  a dict with alpha tensors: ValueError: Invalid LoRA checkpoint. Make sure all LoRA param names contain `'lora'` substring.
FluxPipeline
  alpha in the header, by path: {4.0} in 4 layers
  the same file as a dict: {1.0} in 4 layers
  a dict with alpha tensors: {4.0} in 4 layers
EXPECTED
diff "$folder/expected" "$folder/seen"
