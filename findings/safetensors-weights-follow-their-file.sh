#!/bin/sh
# safetensors 0.8.0, under diffusers 0.42.1 and transformers 5.23.0: a model that was loaded on the
# CPU in the precision of its file still is that file. Other weights written over the file in place,
# a minute or a week later, are what the loaded model computes with; no error, no warning.
#
# Guessed: load_file may map the file, but from_pretrained copies into parameters, so that a model in
# memory is its own. Seen: the parameters are the mapped pages, also those that were read before. Only
# what is converted on loading (another dtype) or given as bytes is a copy. save_file itself does no
# harm: it makes a new file (guessed: writes into the old one). rsync --inplace, dd, mounted volumes
# and scripts that open a file with "r+b" do.
#
# So a server that keeps models for days on a CPU must own its files, or copy (clone) what it loads:
# else a new version of the weights arrives in the middle of a picture.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 \
    safetensors==0.8.0 diffusers==0.42.1 transformers==5.23.0 accelerate==1.15.0

cd "$folder"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON' 2>"$folder/log" | tee "$folder/seen"
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors.torch import load, load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

TEXT = CLIPTextConfig(
    hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
    vocab_size=64, bos_token_id=0, eos_token_id=1, pad_token_id=2,
)  # fmt: skip
SAVED = {"AutoencoderKL": "diffusion_pytorch_model", "CLIPTextModel": "model"}


def written_over(path, other):
    """In place, as `dd conv=notrunc` or `rsync --inplace` do it."""
    assert path.stat().st_size == other.stat().st_size
    with path.open("r+b") as file:
        file.write(other.read_bytes())


def kept(kind, dtype):
    for name in ("old", "new"):
        torch.manual_seed(name == "new")
        (AutoencoderKL(norm_num_groups=8, block_out_channels=(8,)) if kind is AutoencoderKL
         else CLIPTextModel(TEXT)).save_pretrained(name)  # fmt: skip
    loaded = kind.from_pretrained("old", dtype=dtype)
    before = [each.detach().clone() for each in loaded.parameters()]
    files = [Path(name, f"{SAVED[kind.__name__]}.safetensors") for name in ("old", "new")]
    written_over(*files)
    return all(map(torch.equal, before, loaded.parameters()))


for kind in (AutoencoderKL, CLIPTextModel):
    for dtype in (torch.float32, torch.bfloat16):
        print(kind.__name__, "saved in float32, loaded in", dtype, "keeps:", kept(kind, dtype))

save_file({"w": torch.zeros(4)}, "a.safetensors")
save_file({"w": torch.ones(4)}, "b.safetensors")
mapped = load_file("a.safetensors")["w"]
read = load(Path("a.safetensors").read_bytes())["w"]
written_over(Path("a.safetensors"), Path("b.safetensors"))
print("load_file:", mapped.tolist(), "load of bytes:", read.tolist())

inode = Path("b.safetensors").stat().st_ino
save_file({"w": torch.zeros(4)}, "b.safetensors")
print("save_file keeps the inode:", Path("b.safetensors").stat().st_ino == inode)
PYTHON

# The output seen:
cat >"$folder/expected" <<'EXPECTED'
AutoencoderKL saved in float32, loaded in torch.float32 keeps: False
AutoencoderKL saved in float32, loaded in torch.bfloat16 keeps: True
CLIPTextModel saved in float32, loaded in torch.float32 keeps: False
CLIPTextModel saved in float32, loaded in torch.bfloat16 keeps: True
load_file: [1.0, 1.0, 1.0, 1.0] load of bytes: [0.0, 0.0, 0.0, 0.0]
save_file keeps the inode: False
EXPECTED
diff "$folder/expected" "$folder/seen"
