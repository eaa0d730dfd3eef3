"""Hugging Face's clients of every generation, as they are, by the name of every provider.

This module is the wrapped program, too: one `exec` runs it, and it runs all the releases. Nothing
in them is changed, neither constants nor addresses.
"""

import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

from conformance import generations
from conformance.matrix import installed
from conformance.wrapping import under_exec, with_path

HERE = Path(__file__).parent
AT_ONCE = 2
PROVIDERS = ("fal-ai", "hf-inference", "nebius", "replicate", "together")
SIZE = (96, 64)
Told = dict[str, str]

# Each tells its release and, for each provider, a picture in base64 or its own error.
PYTHON = """
import base64, io, json, sys
import huggingface_hub
from huggingface_hub import InferenceClient
told = {"release": huggingface_hub.__version__}
for provider in sys.argv[1:]:
    try:
        client = InferenceClient(provider=provider, api_key="hf_abc")
        image = client.text_to_image(
            "a red cat", model="black-forest-labs/FLUX.1-dev", width=96, height=64,
            num_inference_steps=2,
        )
        file = io.BytesIO()
        image.save(file, "png")
        told[provider] = base64.b64encode(file.getvalue()).decode()
    except Exception as error:
        told[provider] = f"{type(error).__name__}: {error}"
print(json.dumps(told))
"""
JAVASCRIPT = """
import { readFileSync } from "node:fs";
import { InferenceClient } from "PACKAGE";
const client = new InferenceClient("hf_abc");
const package_ = JSON.parse(readFileSync("node_modules/PACKAGE/package.json", "utf8"));
const told = { release: package_.version };
const parameters = { width: 96, height: 64, num_inference_steps: 2 };
for (const provider of process.argv.slice(1)) {
    try {
        const blob = await client.textToImage({
            provider, model: "black-forest-labs/FLUX.1-dev", inputs: "a red cat", parameters,
        });
        told[provider] = Buffer.from(await blob.arrayBuffer()).toString("base64");
    } catch (error) {
        told[provider] = `${error.name}: ${error.message}`;
    }
}
console.log(JSON.stringify(told));
"""


@dataclass(frozen=True)
class Generation:
    """release: none for the newest. lacks: providers that it cannot ask, and what it says then."""

    client: str
    release: str = ""
    lacks: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As in the table of docs/compatibility.md."""
        return f"{self.client} {self.release}".strip()

    def run(self) -> Told:
        environment = dict(os.environ)
        if self.client == "huggingface_hub":
            if self.release:
                environment = with_path(generations.folder(f"huggingface_hub=={self.release}"))
            command = [sys.executable, "-c", PYTHON]
        else:
            package = f"huggingface-inference-{self.release}" if self.release else self.client
            code = JAVASCRIPT.replace("PACKAGE", package)
            command = ["node", "--input-type=module", "--eval", code, "--"]
        done = subprocess.run(
            [*command, *PROVIDERS], cwd=HERE, env=environment, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
        told: Told = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
        return told | {"log": done.stderr}


NO_NEBIUS = {"nebius": "Provider 'nebius' not supported"}  # before anything is sent
NO_MODEL = {"together": "model: is required"}  # the server's: the client leaves it out
GENERATIONS = (
    Generation("huggingface_hub", lacks=NO_NEBIUS),
    Generation("huggingface_hub", "1.20.0"),
    Generation("huggingface_hub", "0.36.2"),
    Generation("huggingface_hub", "0.28.1", NO_NEBIUS | NO_MODEL),
    Generation("@huggingface/inference", lacks=NO_NEBIUS),
    Generation("@huggingface/inference", "4.13.21"),
    Generation("@huggingface/inference", "4.0.0"),
    Generation("@huggingface/inference", "3.6.0"),
)


def main(work: Path) -> None:
    """Runs all releases, and writes what each was given: this runs inside of `exec`."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        told = list(pool.map(Generation.run, GENERATIONS))
    (work / "told.json").write_text(json.dumps(told))


@pytest.fixture(scope="module")
def told(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    """By the name of each: what it tells."""
    work = tmp_path_factory.mktemp("generations")
    under_exec("conformance.test_generations", work)
    found = json.loads((work / "told.json").read_text())
    return {each.name: tells for each, tells in zip(GENERATIONS, found, strict=True)}


def with_each(lacking: bool) -> pytest.MarkDecorator:
    """A test for each release with each provider that it lacks, or has."""
    return pytest.mark.parametrize(
        ("each", "provider"),
        [
            pytest.param(
                each,
                provider,
                id=f"{each.name} {provider}",
                marks=[] if lacking else cell(each.name, provider),
            )
            for each in GENERATIONS
            for provider in PROVIDERS
            if (provider in each.lacks) is lacking
        ],
    )


def cell(name: str, provider: str) -> pytest.MarkDecorator:
    return pytest.mark.cell(name, "router", f"text to image ({provider})", "under exec")


@pytest.mark.parametrize("each", [pytest.param(each, id=each.name) for each in GENERATIONS])
def test_it_is_the_release_that_was_run(told: dict[str, Told], each: Generation) -> None:
    found = told[each.name]
    assert found.get("release") == (each.release or installed()[each.client]), found["log"]


@with_each(lacking=False)
def test_every_release_gets_a_picture_by_the_name_of_every_provider(
    told: dict[str, Told], each: Generation, provider: str
) -> None:
    picture = told[each.name][provider]
    assert ": " not in picture, picture
    assert Image.open(io.BytesIO(base64.b64decode(picture))).size == SIZE


@with_each(lacking=True)
def test_what_a_release_cannot_ask_for_is_told(
    told: dict[str, Told], each: Generation, provider: str
) -> None:
    assert each.lacks[provider] in told[each.name][provider]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
