#!/bin/sh
# transformers 5.23.0: from an empty folder come tokenizers, without an error or a warning.
#
# Guessed: CLIPTokenizer.from_pretrained and T5Tokenizer.from_pretrained of a folder without any file
# raise OSError, as they did when they needed vocab.json, merges.txt or spiece.model.
# Seen: CLIP's knows two tokens, its start and its end, and reads every prompt as a row of ends; T5's
# knows 104, and reads each word as "unknown".
#
# It bites who copies or downloads a diffusers folder in part: the pipeline loads, and pictures do not
# follow their prompts.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    transformers==5.23.0 sentencepiece==0.2.1 protobuf==6.33.0

mkdir "$folder/empty"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - "$folder/empty" <<'PYTHON'
import sys
import warnings

warnings.simplefilter("error")
import transformers

assert transformers.__version__ == "5.23.0"
prompts = "a photo of a cat", "seven large dogs"
for kind, unknown in ((transformers.CLIPTokenizer, 2), (transformers.T5Tokenizer, 2)):
    found = kind.from_pretrained(sys.argv[1])
    told = [set(found(prompt).input_ids) for prompt in prompts]
    print(kind.__name__, len(found), "tokens; two prompts in", [sorted(each) for each in told])
    assert told[0] == told[1]
    assert unknown in told[0]
# The output seen:
# CLIPTokenizer 2 tokens; two prompts in [[0, 2], [0, 2]]
# T5Tokenizer 104 tokens; two prompts in [[1, 2, 3], [1, 2, 3]]
PYTHON
