#!/bin/sh
# torch 2.13.0 on x86-64 with AMX: in bfloat16 a Linear layer of 512 inputs and more gives a row
# other last bits in a batch of eight than in one of two, with hundreds of tokens, too; layers of
# fewer inputs give the same bits in any batch, whatever their outputs.
#
# Guessed: as on the same processor without AMX (ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16), where all even
# numbers of rows agree; and if not, that every layer differs and so much that the first comparison
# shows it. Seen: sums of 512 and more are made in parts whose order depends on the number of rows,
# and after rounding to bfloat16 one value in some ten thousand differs. A whole transformer of six
# layers, of which one in ten is that long, gave equal outputs in two of three comparisons.
#
# So whoever proves "same bytes alone and in company" by comparing outputs must compare millions of
# values, or run such layers two rows at a time, which makes them equal.
#
# Needs a processor with AMX.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.4

cat >"$folder/rows.py" <<'PYTHON'
import torch

torch.set_num_threads(1)
torch.manual_seed(0)
print(torch.__version__.partition("+")[0], "AMX:", torch.cpu.get_capabilities()["amx_bf16"])
for inputs in (256, 384, 512, 768, 1536):
    linear = torch.nn.Linear(inputs, 768, dtype=torch.bfloat16)
    for tokens in (16, 300):
        differing = values = 0
        with torch.no_grad():
            for _ in range(10):
                rows = torch.randn(8, tokens, inputs, dtype=torch.bfloat16)
                pairs = torch.cat([linear(pair) for pair in rows.split(2)])
                differing += (linear(rows) != pairs).sum().item()
                values += pairs.numel()
        rare = "less than 1 in 1000 differ" if differing < values / 1000 else "many differ"
        print(f"{inputs} inputs, {tokens} tokens:", rare if differing else "equal")
PYTHON
"$folder/venv/bin/python" "$folder/rows.py" | tee "$folder/seen"
echo without AMX | tee -a "$folder/seen"
ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 "$folder/venv/bin/python" "$folder/rows.py" | tail -n +2 |
    tee -a "$folder/seen"

# The output seen, on an Intel Xeon with AMX:
cat >"$folder/expected" <<'EXPECTED'
2.13.0 AMX: True
256 inputs, 16 tokens: equal
256 inputs, 300 tokens: equal
384 inputs, 16 tokens: equal
384 inputs, 300 tokens: equal
512 inputs, 16 tokens: less than 1 in 1000 differ
512 inputs, 300 tokens: less than 1 in 1000 differ
768 inputs, 16 tokens: less than 1 in 1000 differ
768 inputs, 300 tokens: less than 1 in 1000 differ
1536 inputs, 16 tokens: less than 1 in 1000 differ
1536 inputs, 300 tokens: less than 1 in 1000 differ
without AMX
256 inputs, 16 tokens: equal
256 inputs, 300 tokens: equal
384 inputs, 16 tokens: equal
384 inputs, 300 tokens: equal
512 inputs, 16 tokens: equal
512 inputs, 300 tokens: equal
768 inputs, 16 tokens: equal
768 inputs, 300 tokens: equal
1536 inputs, 16 tokens: equal
1536 inputs, 300 tokens: equal
EXPECTED
diff "$folder/expected" "$folder/seen"
