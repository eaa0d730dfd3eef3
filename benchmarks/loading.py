"""How much memory does a model take while it is loaded?

`python -m benchmarks.loading` writes an SDXL of true shape with random weights as one file
(float16, 6.9 GB, into `--folder`), loads it in a process of its own without a network, paints
256 px on the CPU, and prints the peak of the process' memory against the weights; `--write` puts
it into RESULTS.md. The file is removed afterwards. By hand: it takes minutes, 16 GB of memory and
7 GB of disk.
"""

import argparse
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.results import machine, write
from imagemill.model_spec import Dtype

STEPS, SIDE = 2, 256
AIM = 1.15  # times the weights
# And whether it is painted in: most processors take a hundred times longer in float16.
PRECISIONS: dict[Dtype, bool] = {"float32": True, "float16": False}
SEED, SPREAD = 0, 0.02  # of the weights
CHUNK = 2**24  # numbers drawn at a time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="with room for 7 GB")
    parser.add_argument("--write", action="store_true", help="into RESULTS.md")
    parser.add_argument("--load", nargs=3, metavar=("FILE", "TOKENIZERS", "DTYPE"))
    options = parser.parse_args()
    if options.load:
        _load(*options.load)
        return
    with TemporaryDirectory(dir=options.folder) as folder:
        table = _measured(Path(folder))
    text = f"{machine()}\n\n{table}\n"
    sys.stdout.write(text)
    if options.write:
        write("loading", f"## Loading\n\n{_ABOUT}\n\n{text}")


_ABOUT = (
    "An SDXL of true shape with random weights, one file in float16, loaded offline by "
    "`python -m benchmarks.loading` in a process of its own. Peak is its resident memory, mapped "
    "pages of the file and the libraries included."
)


def _measured(folder: Path) -> str:
    path = folder / "sdxl.safetensors"
    size = _written(path)
    tokenizers = _tokenizers(folder / "tokenizers")
    rows = ["| in | file | weights | peak | of the weights | aim | load | paint |"]
    rows += ["| --- |" + " --- |" * 7]
    for dtype in PRECISIONS:
        found = _child(path, tokenizers, dtype)
        weights, peak = found["weights"], found["peak"]
        cells = [
            dtype, _gb(size), _gb(weights), _gb(peak), f"{peak / weights:.2f}", f"{AIM}",
            f"{found['loading']:.0f} s", f"{found['painting']:.0f} s" if PRECISIONS[dtype] else "",
        ]  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _gb(count: float) -> str:
    return f"{count / 1e9:.2f} GB"


def _written(path: Path) -> int:
    """Writes the file, a piece at a time; returns its size."""
    shapes = dict(_shapes())
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
    content = json.dumps(header).encode()
    draw = np.random.default_rng(SEED)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(content)) + content)
        for shape in shapes.values():
            left = prod(shape)
            while left:
                count = min(left, CHUNK)
                numbers = draw.standard_normal(count, np.float32) * SPREAD
                file.write(numbers.astype(np.float16).tobytes())
                left -= count
    return path.stat().st_size


def _shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """The names and shapes of the file, by what describes SDXL; nothing is allocated."""
    import diffusers
    import transformers

    from imagemill.pipelines.weights.parts import make
    from imagemill.pipelines.weights.singles import described
    from tests.checkpoints.singles import sdxl_names

    parts = {}
    for name, (kind, config) in described("sdxl").parts.items():
        if name != "scheduler":
            module = make(getattr(diffusers, kind, None) or getattr(transformers, kind), config)
            parts[name] = {key: each.to("meta") for key, each in module.state_dict().items()}
    for name, tensor in sdxl_names(parts).items():
        yield name, tuple(tensor.shape)


def _tokenizers(folder: Path) -> Path:
    """Of few words, for CLIP's own come with no package."""
    from tests.checkpoints.tokenizers import clip_files

    for name in ("tokenizer", "tokenizer_2"):
        (folder / name).mkdir(parents=True)
        clip_files(folder / name)
    return folder


def _child(path: Path, tokenizers: Path, dtype: Dtype) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.loading", "--load"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(
        [*command, str(path), str(tokenizers), dtype], env=environment, stdout=subprocess.PIPE
    ) as process:
        output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"the process ended with {process.returncode}")
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def _load(path: str, tokenizers: str, dtype: Dtype) -> None:
    """In the process that is measured."""
    from imagemill.engine.checks import check
    from imagemill.model_spec import ModelSpec

    spec = ModelSpec(path, tokenizer=tokenizers, tokenizer_2=tokenizers, dtype=dtype)
    found = check(spec.address, STEPS if PRECISIONS[dtype] else 0)
    report = {
        "weights": found.bytes, "peak": _peak(), "loading": found.loading,
        "painting": found.painting,
    }  # fmt: skip
    sys.stdout.write(json.dumps(report) + "\n")


def _peak() -> int:
    """Bytes of this process that were in memory at most."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
