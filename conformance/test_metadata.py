"""Readers of what is written into files, as they were published: programs to which people hand the
pictures that they were given.
"""

import base64
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from conformance import generations

HERE = Path(__file__).parent
FORMATS = ("png", "jpeg", "webp")
# A prompt in Latin-1, one that is not, and one that has the readers' own labels within it.
PROMPTS = ("une église", "教堂 🐱", "a cat\nNegative prompt: dogs\nSteps: 7")
Read = dict[str, dict[str, str]]  # by the name of a file, what was read

# Each prints a JSON object: by file, its prompts, its sampler and its seed.
SD_PARSERS = """
import json, sys
from sd_parsers import ParserManager
read = {}
for path in sys.argv[1:]:
    info = ParserManager().parse(path)
    (sampler,) = info.samplers
    read[path] = {
        "prompt": info.full_prompt, "negative": info.full_negative_prompt,
        "sampler": sampler.name, "seed": sampler.parameters["seed"],
    }
print(json.dumps(read))
"""
SD_PROMPT_READER = """
import json, sys
from sd_prompt_reader.image_data_reader import ImageDataReader
read = {}
for path in sys.argv[1:]:
    reader = ImageDataReader(path)
    read[path] = {
        "prompt": reader.positive, "negative": reader.negative,
        "sampler": reader.parameter["sampler"], "seed": reader.parameter["seed"],
    }
print(json.dumps(read))
"""
EXIFR = """
import { readFileSync } from "node:fs";
import exifr from "exifr";
const read = {};
for (const path of process.argv.slice(1)) {
    const metadata = await exifr.parse(readFileSync(path), { userComment: true });
    const { parameters, userComment } = metadata;
    const bytes = Buffer.from(userComment ?? []).subarray(8);  // behind "UNICODE"
    const text = parameters ?? bytes.swap16().toString("utf16le");
    read[path] = {
        prompt: text.split("\\nNegative prompt: ")[0],
        negative: text.split("\\nNegative prompt: ")[1].split("\\n")[0],
        sampler: /Sampler: ([^,]*)/.exec(text)[1],
        seed: /Seed: (\\d+)/.exec(text)[1],
    };
}
console.log(JSON.stringify(read));
"""


@dataclass(frozen=True)
class Reader:
    """pins: the folders where it is, none for Node's. lacks: files that it cannot read."""

    name: str
    program: str
    pins: tuple[str, ...] = ()
    lacks: frozenset[str] = frozenset()

    def read(self, paths: list[Path]) -> Read:
        environment = dict(os.environ)
        command = ["node", "--input-type=module", "--eval", self.program, "--"]
        if self.pins:
            folders = [str(generations.folder(pin)) for pin in self.pins]
            environment["PYTHONPATH"] = os.pathsep.join(folders)
            command = [sys.executable, "-c", self.program]
        done = subprocess.run(
            [*command, *map(str, paths)], cwd=HERE, env=environment, capture_output=True,
            text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.stdout, done.stderr
        return {Path(path).name: each for path, each in json.loads(done.stdout).items()}


READERS = (
    Reader("sd-parsers", SD_PARSERS, ("sd-parsers==0.6",)),
    Reader("sd-prompt-reader", SD_PROMPT_READER, ("sd-prompt-reader==1.3.5",)),
    Reader("exifr", EXIFR, lacks=frozenset({"0.webp", "1.webp", "2.webp", "0.png", "1.png"})),
)


@pytest.fixture(scope="module")
def files(server: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What was painted, by its name: the number of its prompt, and its format."""
    folder, files = tmp_path_factory.mktemp("painted"), dict[str, Path]()
    for number, prompt in enumerate(PROMPTS):
        for format in FORMATS:
            body: dict[str, Any] = {
                "prompt": prompt, "negative_prompt": "green", "output_format": format, "seed": 9,
                "width": 64, "height": 64, "num_inference_steps": 1,
            }  # fmt: skip
            reply = requests.post(f"{server}/openai/v1/images/generations", json=body, timeout=60)
            path = files[f"{number}.{format}"] = folder / f"{number}.{format}"
            path.write_bytes(base64.b64decode(reply.json()["data"][0]["b64_json"]))
    return files


@pytest.fixture(scope="module")
def read(files: dict[str, Path], packages: Path) -> dict[str, Read]:
    """By reader: what it read of those files that it can read."""
    return {
        each.name: each.read([path for name, path in files.items() if name not in each.lacks])
        for each in READERS
    }


def with_each_file() -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("reader", "number", "format"),
        [
            pytest.param(
                each.name,
                number,
                format,
                id=f"{each.name} {number}.{format}",
                marks=pytest.mark.cell(each.name, "metadata", f"prompts and settings ({format})"),
            )
            for each in READERS
            for number in range(len(PROMPTS))
            for format in FORMATS
            if f"{number}.{format}" not in each.lacks
        ],
    )


@with_each_file()
def test_readers_of_metadata_find_how_a_picture_was_made(
    read: dict[str, Read], reader: str, number: int, format: str
) -> None:
    fields = read[reader][f"{number}.{format}"]
    assert fields["prompt"].replace(" :", ":") == PROMPTS[number]
    assert (fields["negative"], fields["sampler"], fields["seed"]) == ("green", "Euler", "9")
