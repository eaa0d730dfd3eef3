#!/bin/sh
# diffusers 0.42.1: whether a pipeline's folder can be loaded depends on the names that the module of a
# part's class has imported.
#
# Guessed: a subclass of a diffusers model, in a module of one's own that model_index.json names, is
# loaded as its base class is: from_pretrained is inherited.
# Seen: "cannot be loaded as it does not seem to have any of the loading methods defined". The loader
# looks for ModelMixin, PreTrainedModel and others among the attributes of the subclass's own module. A
# module that imports no more than the base class has none of them; `import ModelMixin` beside it, used
# or not, mends it. Saving works in both cases.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 numpy==2.3.4 diffusers==0.42.1 transformers==5.23.0 accelerate==1.15.0

cd "$folder"
mkdir ours
touch ours/__init__.py
cat >ours/lone.py <<'PYTHON'
from diffusers import UNet2DModel


class Ours(UNet2DModel):
    pass
PYTHON
{ echo "from diffusers import ModelMixin"; cat ours/lone.py; } >ours/beside.py
cat >load.py <<'PYTHON'
import sys

import diffusers
from diffusers import DDPMPipeline, DDPMScheduler

from ours import beside, lone

assert diffusers.__version__ == "0.42.1"
told = {}
for module in (lone, beside):
    unet = module.Ours(
        sample_size=8, block_out_channels=(4,), norm_num_groups=4, layers_per_block=1,
        down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
    )
    name = module.__name__
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(name)
    try:
        told[name] = type(DDPMPipeline.from_pretrained(name).unet).__name__ + " is loaded"
    except ValueError as error:
        told[name] = "ValueError" if "loading methods" in str(error) else str(error)
    print(name, told[name])
# The output seen:
# ours.lone ValueError
# ours.beside Ours is loaded
assert told == {"ours.lone": "ValueError", "ours.beside": "Ours is loaded"}
PYTHON
venv/bin/python load.py 2>stderr || { cat stderr; exit 1; }
