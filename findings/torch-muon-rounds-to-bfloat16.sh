#!/bin/sh
# torch 2.13.0: torch.optim.Muon orthogonalises every update in bfloat16, whatever the weights and the
# device are.
#
# Guessed: it computes in the weights' own precision, and bfloat16 is for who trains under autocast.
# Seen: an update of float64 weights is a bfloat16 number in each place. There is no option for it.
#
# It bites who trains on a processor without bfloat16 arithmetic: there a step of one matrix of 256 by
# 1,024 took 0.77 s, and 0.03 s with the same products in float32; a small model's optimizer took
# ten times as long as its forward and backward.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.4

"$folder/venv/bin/python" - <<'PYTHON'
import torch

assert torch.__version__.split("+")[0] == "2.13.0"
torch.manual_seed(0)
weight = torch.nn.Parameter(torch.zeros(64, 256, dtype=torch.float64))
weight.grad = torch.randn(64, 256, dtype=torch.float64)
torch.optim.Muon([weight], lr=1.0, weight_decay=0.0, momentum=0.0, nesterov=False).step()
exact = (weight.detach() == weight.detach().bfloat16().double()).float().mean().item()
print(f"{exact:.0%} of the updates of float64 weights are bfloat16 numbers")
# The output seen: 100% of the updates of float64 weights are bfloat16 numbers
assert exact == 1
PYTHON
