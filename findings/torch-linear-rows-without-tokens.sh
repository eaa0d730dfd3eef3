#!/bin/sh
# torch 2.13.0 on x86-64 with AVX2: in float32 a Linear layer gives a row of (8, 192) other last bits
# than it gives the same row in (2, 192); with an axis of four tokens, (8, 4, 192) against
# (2, 4, 192), every bit is the same, and so it is from (4, 192) on.
#
# Guessed: float32 depends on the batch everywhere, or, since both are one matrix product of more
# rows, nowhere from two rows on. Seen: of a whole diffusers transformer (SD3Transformer2DModel) only
# the layers on pooled vectors and timesteps differ; all layers on tokens agree in any batch.
#
# So a server that must give the same picture in any company need not compute row by row: it is
# enough to run the layers without tokens two rows at a time.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.4

"$folder/venv/bin/python" - <<'PYTHON' | tee "$folder/seen"
import torch

torch.set_num_threads(1)
torch.manual_seed(0)
linear = torch.nn.Linear(192, 192)
print(torch.__version__.partition("+")[0])
with torch.no_grad():
    for shape in ((8, 192), (8, 4, 192), (8, 64, 192)):
        rows = torch.randn(shape)
        whole = linear(rows)
        same = {
            n: torch.equal(torch.cat([linear(part) for part in rows.split(n)]), whole)
            for n in (1, 2, 4)
        }
        print(shape, "equal in parts of:", same)
PYTHON

# The output seen, on a processor with AVX2 and without AVX-512:
cat >"$folder/expected" <<'EXPECTED'
2.13.0
(8, 192) equal in parts of: {1: False, 2: False, 4: True}
(8, 4, 192) equal in parts of: {1: True, 2: True, 4: True}
(8, 64, 192) equal in parts of: {1: True, 2: True, 4: True}
EXPECTED
diff "$folder/expected" "$folder/seen"
