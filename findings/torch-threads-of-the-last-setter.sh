#!/bin/sh
# torch 2.13.0: a thread that has called torch.set_num_threads(1), and computed nothing yet, computes
# with the number that another thread set after it. Threads that have computed keep theirs.
#
# Guessed: either the number is the process's, and every thread sees the last one, or it is the
# thread's, and the main thread keeps 1. Seen: both, by whether the thread was used before. The first
# use takes the last number that anybody set, over the thread's own.
#
# It bites where one thread of a server computes with all processors and the others with one: who
# sets a number must ask for it once (torch.get_num_threads) before it sets it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.4

"$folder/venv/bin/python" - <<'PYTHON' | tee "$folder/seen"
import threading

import torch

seen, ready, go = {}, threading.Event(), threading.Event()


def used_before():
    seen["used before, then"] = torch.get_num_threads()
    ready.set()
    go.wait()
    seen["used before, now"] = torch.get_num_threads()


def sets_two():
    torch.set_num_threads(2)


torch.set_num_threads(1)  # the main thread, which computes nothing
used = threading.Thread(target=used_before)
used.start()
ready.wait()
setter = threading.Thread(target=sets_two)
setter.start()
setter.join()
seen["main, which set 1"] = torch.get_num_threads()
go.set()
used.join()
print(torch.__version__.partition("+")[0], dict(sorted(seen.items())))
PYTHON

# The output seen:
cat >"$folder/expected" <<'EXPECTED'
2.13.0 {'main, which set 1': 2, 'used before, now': 1, 'used before, then': 1}
EXPECTED
diff "$folder/expected" "$folder/seen"
