#!/bin/sh
# diffusers 0.42.1: with two prompts and num_images_per_prompt=2, Sana, Lumina2 and Qwen-Image repeat
# the embeddings as A A B B and their attention masks as A B A B. The second picture of the first
# prompt is painted with the mask of the second prompt, and the other way round: words are cut off, or
# padding is read. Shapes fit, so nothing is said.
#
# Guessed: [a, b] times two is equal to four calls, in every pipeline. Seen: so in SD 1.5, SDXL, SD3,
# FLUX, Z-Image, Chroma; in these three, rows 0 and 3 are right and rows 1 and 2 are not. One prompt,
# or prompts of one length in tokens, hide it.
#
# So batches of several prompts and several pictures each are to be laid out by the caller: repeat the
# prompts in the list oneself and leave num_images_per_prompt at 1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 \
    safetensors==0.8.0 diffusers==0.42.1 accelerate==1.15.0 transformers==5.23.0

cd "$folder"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON' 2>"$folder/log" | tee "$folder/seen"
import inspect

import torch
from diffusers import Lumina2Pipeline, QwenImagePipeline, SanaPipeline

# Prompt "1" has one token and prompt "2" has three; the embeddings say whose they are.
embeddings = torch.stack([torch.full((3, 8), 1.0), torch.full((3, 8), 2.0)])
mask = torch.tensor([[1, 0, 0], [1, 1, 1]])

for kind in (SanaPipeline, Lumina2Pipeline, QwenImagePipeline):
    parts = {name: None for name in list(inspect.signature(kind).parameters)}
    pipe = kind(**parts)
    name = "prompt_embeds_mask" if kind is QwenImagePipeline else "prompt_attention_mask"
    options = {"prompt": None, "num_images_per_prompt": 2, "prompt_embeds": embeddings, name: mask}
    if kind is not QwenImagePipeline:
        options["do_classifier_free_guidance"] = False
    encoded = pipe.encode_prompt(**options, device="cpu")
    prompts, tokens = encoded[0][:, 0, 0].int().tolist(), encoded[1].sum(1).tolist()
    print(kind.__name__, "prompts", prompts, "tokens", tokens)
PYTHON

# The output seen:
cat >"$folder/expected" <<'EXPECTED'
SanaPipeline prompts [1, 1, 2, 2] tokens [1, 3, 1, 3]
Lumina2Pipeline prompts [1, 1, 2, 2] tokens [1, 3, 1, 3]
QwenImagePipeline prompts [1, 1, 2, 2] tokens [1, 3, 1, 3]
EXPECTED
diff "$folder/expected" "$folder/seen"
