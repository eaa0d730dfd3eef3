#!/bin/sh
# torch 2.13.0 (its libgomp): once one thread of a process has computed with as many threads as there
# are processors, whoever computes with several in another thread has them sleep and wake at every
# operation.
#
# Guessed: a thread that has set its number of threads computes as quickly as the first one does.
# Seen: alone it does, with no context switch to speak of; after another thread has computed with
# several there are two voluntary ones for every operation. The helpers of the other thread live on,
# asleep; the runtime counts them, finds more threads than processors, and lets nobody spin any more.
#
# It bites servers that compute in a pool of threads: measured on two processors, a forward of a
# small transformer took 25 ms with two threads where one thread alone made them, 40 ms where two had
# made them in turn, and 29 ms with a single thread. GOMP_SPINCOUNT does not help; always computing
# in the same thread does.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.4

cat >"$folder/switches.py" <<'PYTHON'
import os
import resource
import sys
import threading

import torch

OPERATIONS = 2000
processors = len(os.sched_getaffinity(0))
assert processors > 1, "one processor has nobody to wait for"


def switches():
    torch.set_num_threads(processors)
    x = torch.ones(2**17)
    for _ in range(100):
        x = x * 1.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    for _ in range(OPERATIONS):
        x = x * 1.0
    print(resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before)


if sys.argv[1] == "after another":
    torch.ones(2**17) * 1.0  # in the first thread, with all processors
other = threading.Thread(target=switches)
other.start()
other.join()
PYTHON

alone=$("$folder/venv/bin/python" "$folder/switches.py" "alone")
after=$("$folder/venv/bin/python" "$folder/switches.py" "after another")
echo "2000 operations: $alone voluntary context switches alone, $after after another thread"
# The output seen: 2000 operations: 3 voluntary context switches alone, 3999 after another thread
[ "$after" -gt $((10 * (alone + 10))) ]
