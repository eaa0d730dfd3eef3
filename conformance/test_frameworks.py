"""Frameworks in Python, each led here by its own setting, or under exec where it has none."""

import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conformance import frameworks
from conformance.framework_calls import blocks
from conformance.wrapping import ROOT

SIZE = (128, 64)
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "GRADIO_ANALYTICS_ENABLED": "False"}
Outcome = Mapping[str, Any]
Outcomes = dict[str, Outcome]


@pytest.fixture(scope="module")
def plain(server: str, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """By framework and call: what came, of all that take an address."""
    work = str(tmp_path_factory.mktemp("frameworks"))
    *_, line = frameworks.python("conformance.framework_calls", "plain", server, WORK=work, **QUIET)
    outcomes: Outcomes = json.loads(line)
    return outcomes


@pytest.fixture(scope="module")
def wrapped(server: str, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """By framework and call: what came, of those that know no address but the hosted one."""
    work = tmp_path_factory.mktemp("wrapped")
    command = [sys.executable, "-m", "imagemill", "exec", "--offline", "--url", server, "--"]
    program = [sys.executable, "-m", "conformance.framework_calls", "wrapped", server]
    overlay = str(frameworks.overlay())  # beside what `exec` has put there
    done = subprocess.run(
        [*command, "sh", "-c", 'PYTHONPATH="$0:$PYTHONPATH" exec "$@"', overlay, *program],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | QUIET | {"XDG_DATA_HOME": str(work), "GRADIO_TEMP_DIR": str(work)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcomes: Outcomes = json.loads(done.stdout.splitlines()[-1])
    return outcomes


def images(outcome: Outcome) -> list[Image.Image]:
    assert "files" in outcome, outcome.get("trace", outcome)
    return [Image.open(io.BytesIO(base64.b64decode(file))) for file in outcome["files"]]


def differ(first: Image.Image, second: Image.Image) -> bool:
    return bool((np.asarray(first) != np.asarray(second)).any())


def only_the_left_changed(image: Image.Image) -> bool:
    changed = np.abs(np.asarray(image.convert("RGB")).astype(int) - (0, 0, 128)).max(axis=-1)
    return bool(changed[:, 80:].mean() < 8 and changed[:, :48].mean() > 20)


@pytest.mark.parametrize(
    ("framework", "call", "sizes"),
    [
        pytest.param(
            name, call, sizes, id=f"{name} {call}", marks=pytest.mark.cell(name, "openai", *shows)
        )
        for name, call, sizes, *shows in [
            ("agno", "openai", [(256, 256)], "text to image"),
            ("agno", "openai any model", [(256, 256)], "any model"),
            ("agno", "openai dalle", [(256, 256)] * 2, "several images"),
            ("Haystack", "openai", [SIZE], "text to image"),
            ("Haystack", "openai any model", [SIZE], "any model"),
            ("LangChain", "openai", [(256, 256)] * 2, "text to image", "several images"),
            ("LangChain", "openai any model", [SIZE], "any model"),
            ("LiteLLM", "openai", [SIZE] * 2, "text to image", "several images"),
            ("LiteLLM", "openai any model", [SIZE], "any model"),
            ("LiteLLM", "openai variation", [(128, 128)], "variations"),
            ("LlamaIndex", "openai", [(1024, 1024)], "text to image"),
            ("pipecat", "openai", [SIZE], "text to image"),
            ("pipecat", "openai any model", [SIZE], "any model"),
            ("pydantic-ai", "openai", [SIZE] * 2, "text to image", "several images", "usage"),
            ("pydantic-ai", "openai any model", [SIZE], "any model"),
            ("pydantic-ai", "openai edit", [(128, 128)], "image to image", "several inputs"),
        ]
    ],
)
def test_openai_is_asked_through_a_framework(
    plain: Outcomes, framework: str, call: str, sizes: list[tuple[int, int]]
) -> None:
    painted = images(plain[f"{framework} {call}"])
    assert [image.size for image in painted] == sizes
    assert len(painted) == 1 or differ(*painted)


def test_usage_is_the_frameworks_own(plain: Outcomes) -> None:
    assert plain["pydantic-ai openai"]["tokens"] > 0


@pytest.mark.cell("LiteLLM", "openai", "inpainting")
def test_litellm_edits_where_the_mask_is_clear(plain: Outcomes) -> None:
    [image] = images(plain["LiteLLM openai edit"])
    assert only_the_left_changed(image)


@pytest.mark.cell("LiteLLM", "fal", "text to image", "several images", "seed")
def test_litellm_asks_fal_for_two_of_a_seed(plain: Outcomes) -> None:
    first, second = images(plain["LiteLLM fal"])
    assert (first.size, second.size) == (SIZE, SIZE)
    assert differ(first, second)
    assert plain["LiteLLM fal"]["files"] == plain["LiteLLM fal again"]["files"]


@pytest.mark.cell("LiteLLM", "together", "text to image", "several images")
def test_litellm_asks_together_for_two(plain: Outcomes) -> None:
    first, second = images(plain["LiteLLM together"])
    assert (first.size, second.size) == (SIZE, SIZE)
    assert differ(first, second)


@pytest.mark.cell("LiteLLM", "nebius", "text to image")
def test_litellm_asks_nebius(plain: Outcomes) -> None:
    assert [image.size for image in images(plain["LiteLLM nebius"])] == [SIZE]


@pytest.mark.cell("LiteLLM", "together", "size")
@pytest.mark.cell("LiteLLM", "nebius", "size")
@pytest.mark.parametrize("door", ["together", "nebius"])
def test_a_size_in_openais_words_is_no_fault(plain: Outcomes, door: str) -> None:
    assert len(images(plain[f"LiteLLM {door} size"])) == 1


@pytest.mark.cell("agno", "nebius", "text to image")
def test_agno_asks_nebius(plain: Outcomes) -> None:
    assert len(images(plain["agno nebius"])) == 1


@pytest.mark.cell("agno", "fal", "image to image", "under exec")
def test_agno_edits_at_fal(wrapped: Outcomes) -> None:
    assert len(images(wrapped["agno fal edit"])) == 1


@pytest.mark.cell("agno", "replicate", "text to image", "under exec")
def test_agno_asks_replicate(wrapped: Outcomes) -> None:
    [image] = images(wrapped["agno replicate"])
    assert image.format == "WEBP"


@pytest.mark.cell("pipecat", "fal", "text to image", "errors", "under exec")
def test_pipecat_asks_fal(wrapped: Outcomes) -> None:
    assert [image.size for image in images(wrapped["pipecat fal"])] == [SIZE]
    refused = wrapped["pipecat fal errors"]
    assert refused.get("error") == "ErrorFrame"
    assert "num_inference_steps" in refused["message"]


SIZES = "Supported values are: '1024x1024', '1024x1536', '1536x1024', 'auto'."


@pytest.mark.parametrize(
    ("framework", "call", "kind", "sentence"),
    [
        pytest.param(
            name, call, kind, sentence, id=f"{name} {call}",
            marks=pytest.mark.cell(name, call.split()[0], "errors"),
        )
        for name, call, kind, sentence in [
            ("agno", "openai errors", "ToolResult", SIZES),
            ("Haystack", "openai errors", "PipelineRuntimeError", SIZES),
            ("LangChain", "openai errors", "BadRequestError", "'128x128'"),
            ("LiteLLM", "openai errors", "BadRequestError", SIZES),
            ("LiteLLM", "openai no model", "NotFoundError", "ids look like owner/name"),
            ("LiteLLM", "fal errors", "BadRequestError", "greater than or equal to 1"),
            ("LiteLLM", "together errors", "BadRequestError", "steps 1000 is out of range"),
            ("pipecat", "openai errors", "BadRequestError", SIZES),
            ("pydantic-ai", "openai errors", "ModelHTTPError", SIZES),
        ]
    ],
)  # fmt: skip
def test_faults_are_the_frameworks_own_with_our_sentence(
    plain: Outcomes, framework: str, call: str, kind: str, sentence: str
) -> None:
    outcome = plain[f"{framework} {call}"]
    assert outcome.get("error") == kind, outcome
    assert sentence in outcome["message"]


@pytest.mark.parametrize("call", ["replicate", "huggingface"])
def test_litellm_sends_nothing_to_those_it_only_names(plain: Outcomes, call: str) -> None:
    assert plain[f"LiteLLM {call}"] == {"files": [], "kind": "ImageResponse"}


@pytest.mark.parametrize(
    ("call", "size"),
    [
        pytest.param(
            f"router ({provider})", size, id=provider,
            marks=pytest.mark.cell("gradio", "router", f"load ({provider})", "under exec"),
        )
        for provider, size in (("fal-ai", (1024, 768)), ("hf-inference", (512, 512)))
    ] + [
        pytest.param(
            "flat", SIZE, id="openapi", marks=pytest.mark.cell("gradio", "flat", "load_openapi")
        )
    ],
)  # fmt: skip
def test_gradio_makes_an_app_of_a_model(
    wrapped: Outcomes, call: str, size: tuple[int, int]
) -> None:
    assert [image.size for image in images(wrapped[f"gradio {call}"])] == [size]


@pytest.mark.cell("agno", "fal", "text to image", "errors", "under exec")
def test_agno_asks_fal(wrapped: Outcomes) -> None:
    [image] = images(wrapped["agno fal"])
    assert image.size == (1024, 768)
    refused = wrapped["agno fal errors"]
    assert refused.get("error") == "ToolResult"
    assert "prompt" in refused["message"]


@pytest.mark.parametrize("number", range(len(blocks("plain"))))
def test_a_printed_block_runs(plain: Outcomes, number: int) -> None:
    assert plain[f"printed {number}"] == {}


@pytest.mark.parametrize("number", range(len(blocks("wrapped"))))
def test_a_block_printed_for_exec_runs(wrapped: Outcomes, number: int) -> None:
    assert wrapped[f"printed {number}"] == {}


def test_a_block_in_javascript_runs(server: str) -> None:
    document = (ROOT / "docs" / "frameworks.md").read_text("utf-8")
    code = document.partition("```js\n")[2].partition("```")[0]
    assert frameworks.ai_sdk("7", code.replace("http://127.0.0.1:8000", server)) == []


def test_the_lock_is_what_was_run() -> None:
    lines = Path(frameworks.PYTHON_LOCK).read_text("utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert pins == frameworks.python_releases()
