#!/bin/sh
# transformers 5.23.0 with diffusers 0.42.1: a textual inversion of several vectors whose name has a
# capital letter (EasyNegative, BadDream, <Cat-Toy>) is used by its first vector alone. So is one in
# small letters when the prompt writes it with a capital.
#
# Guessed: the name must be written as it was loaded, else it is read as ordinary words. Seen: CLIP's
# tokenizer knows added tokens in any case, and tokenize() answers them in small letters; diffusers
# looks that answer up among the names as they were loaded, finds nothing and leaves the prompt alone.
# So the token is there, its other vectors are not, and no warning either.
#
# So load embeddings under names in small letters, write prompts in small letters before
# maybe_convert_prompt, and test with the number of tokens that come out.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 \
    safetensors==0.8.0 diffusers==0.42.1 accelerate==1.15.0 transformers==5.23.0

cd "$folder"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON' 2>"$folder/log" | tee "$folder/seen"
import json
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from tokenizers import pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

letters = sorted(pre_tokenizers.ByteLevel.alphabet())
words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
Path("vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
Path("merges.txt").write_text("#version: 0.2\n")
config = CLIPTextConfig(
    vocab_size=len(words), hidden_size=32, intermediate_size=32, num_hidden_layers=1,
    num_attention_heads=2, bos_token_id=len(words) - 2, eos_token_id=len(words) - 1,
)  # fmt: skip


def vectors(name, prompt):
    """How many of the three are in the prompt as the text encoder gets it."""
    pipe = StableDiffusionPipeline(
        tokenizer=CLIPTokenizer("vocab.json", "merges.txt"), text_encoder=CLIPTextModel(config),
        vae=None, unet=None, scheduler=None, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipe.load_textual_inversion({name: torch.randn(3, 32)}, token=name)
    converted = pipe.maybe_convert_prompt(prompt, pipe.tokenizer)
    return sum(token >= len(words) for token in pipe.tokenizer(converted).input_ids)


for name in ("easynegative", "EasyNegative", "<Cat-Toy>"):
    for written in dict.fromkeys([name, name.lower(), name.title()]):
        print(f"loaded as {name}, written {written}: {vectors(name, f'a {written} b')} of 3 vectors")
PYTHON

# The output seen:
cat >"$folder/expected" <<'EXPECTED'
loaded as easynegative, written easynegative: 3 of 3 vectors
loaded as easynegative, written Easynegative: 1 of 3 vectors
loaded as EasyNegative, written EasyNegative: 1 of 3 vectors
loaded as EasyNegative, written easynegative: 1 of 3 vectors
loaded as EasyNegative, written Easynegative: 1 of 3 vectors
loaded as <Cat-Toy>, written <Cat-Toy>: 1 of 3 vectors
loaded as <Cat-Toy>, written <cat-toy>: 1 of 3 vectors
EXPECTED
diff "$folder/expected" "$folder/seen"
