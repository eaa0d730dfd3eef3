"""The tables of docs/compatibility.md: which call of which client was seen to work at which door.

A test says what it shows with `@pytest.mark.cell(client, door, *calls)`. The suite itself writes
the tables: `python -m pytest conformance --compatibility`.
"""

import json
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from conformance import frameworks
from conformance.generations import READERS

HERE = Path(__file__).parent
DOCUMENT = HERE.parent / "docs" / "compatibility.md"

PYTHON = {
    "fal_client": "fal-client",
    "httpx": "httpx",
    "huggingface_hub": "huggingface-hub",
    "openai (Python)": "openai",
    "replicate (Python)": "replicate",
    "requests": "requests",
    "together (Python)": "together",
    "webuiapi": "webuiapi",
}
JAVASCRIPT = {
    "@fal-ai/client": "@fal-ai/client",
    "@huggingface/inference": "@huggingface/inference",
    "exifr": "exifr",
    "openai (JavaScript)": "openai",
    "replicate (JavaScript)": "replicate",
    "together (JavaScript)": "together-ai",
}
# Laid over the environment of the suite.
FRAMEWORKS = {
    "agno": "agno",
    "gradio": "gradio",
    "Haystack": "haystack-ai",
    "LangChain": "langchain-community",
    "LiteLLM": "litellm",
    "LlamaIndex": "llama-index-tools-openai-image-generation",
    "pipecat": "pipecat-ai",
    "pydantic-ai": "pydantic-ai-slim",
}
AI_SDK = "Vercel AI SDK"
PROGRAMS = {"curl": "curl", "fetch of Node": "node"}
# Nobody pins these: the suite runs those that it finds.
UNPINNED = ("curl", "fetch of Node", "httpx", "huggingface_hub", "requests")

# The sections, in their order: each door, what it is called, and the page about it.
DOORS = {
    "hf-inference": ("Hugging Face: hf-inference, by URL", "serving.md"),
    "router": ("Hugging Face: the router, by the name of a provider", "router.md"),
    "flat": ("A flat endpoint", "serving.md"),
    "fal": ("fal", "fal.md"),
    "replicate": ("Replicate", "replicate.md"),
    "openai": ("OpenAI Images", "openai.md"),
    "together": ("Together", "together.md"),
    "nebius": ("Nebius", "nebius.md"),
    "nebula": ("Nebula Block", "nebula.md"),
    "sdapi": ("AUTOMATIC1111's API", "sdapi.md"),
    "metadata": ("What is written into files", "serving.md"),
}
# The calls that most come for; the others follow by their names.
FIRST = ("text to image", "image to image", "inpainting")

# What cannot be, and why; all of it was tried.
CANNOT: tuple[tuple[str, str, str], ...] = (
    (
        "huggingface_hub, @huggingface/inference",
        "router",
        "Pointed here by a setting, by the name of a provider: the router's address is fixed in "
        "them. `imagemill exec` or a line of code leads them here.",
    ),
    (
        "huggingface_hub 2.4.0, @huggingface/inference 4.13.30",
        "router",
        "The provider `nebius`: they have dropped it, and refuse its name before they send "
        "anything. The earlier releases above have it.",
    ),
    (
        "huggingface_hub 0.28.1",
        "router",
        "The provider `nebius`: this release does not have it yet, and refuses its name.",
    ),
    (
        "huggingface_hub 0.28.1",
        "router",
        "Text to image by the provider `together`: this release leaves out the model, and is told "
        "`model: is required`.",
    ),
    (
        "replicate (JavaScript) 1.4.0",
        "replicate",
        'Files given with `fileEncodingStrategy: "data-uri"`: this release sends its own settings '
        "in place of the input, its token among them. Without the option files are uploaded.",
    ),
    (
        "replicate (Python) 2.0.0b4",
        "replicate",
        "`use()` of a client of one's own: this pre-release raises `TypeError: issubclass() arg 1 "
        "must be a class` before it asks anything. `replicate.use()`, of the module, works.",
    ),
    (
        "together (Python) 3.1.1",
        "together",
        "`models.list()`: it asks for a project, which nothing here has, and for Together's "
        "catalog. Earlier releases list the models.",
    ),
    (
        "exifr 7.1.3",
        "metadata",
        "WebP, which it does not read, and a PNG whose prompt is not ASCII: it takes tEXt, which "
        "is Latin-1, for UTF-8, and passes over iTXt, where all else stands.",
    ),
    (
        "LiteLLM 1.110.2",
        "openai",
        "Its proxy: the extra `proxy` asks for `litellm-proxy` of the same release, which could "
        "not be had. The proxy makes the library's calls, which are above.",
    ),
    (
        "Vercel AI SDK",
        "",
        "Its providers `deepinfra` and `black-forest-labs`: nothing here speaks those APIs. "
        "`huggingface` has no image models, and says so.",
    ),
    (
        "Vercel AI SDK",
        "fal, replicate, together",
        "Several images in one call without `maxImagesPerCall`: it sends as many calls of one "
        "image with the same seed, so that they are the same image.",
    ),
    (
        "Vercel AI SDK",
        "together",
        "Masks: refused before anything is sent.",
    ),
    (
        "LiteLLM 1.110.2",
        "replicate, hf-inference",
        "`replicate/` and `huggingface/` in `image_generation`: it sends nothing, raises nothing "
        "and returns no image.",
    ),
    (
        "LiteLLM 1.110.2",
        "openai",
        "`stream=True`: it takes the events for one text and raises an error of its own.",
    ),
    (
        "LiteLLM 1.110.2",
        "fal",
        "Ids that it does not know: they are sent to the bare address without a model.",
    ),
    (
        "LangChain",
        "openai",
        "Models of the names `gpt-image-*`: it reads addresses alone, and those answer in base64, "
        "at OpenAI as well.",
    ),
    (
        "LlamaIndex",
        "openai",
        "Models but `dall-e-3`: the tool looks sizes up by names, and always sends `style`, which "
        "`dall-e-2` does not take, at OpenAI neither.",
    ),
    (
        "pydantic-ai",
        "openai",
        "`dall-e-2` and `dall-e-3`: refused before anything is sent.",
    ),
    (
        "agno",
        "openai",
        "Images by its agents' models for chat: there is no chat here, only its tools ask for "
        "images.",
    ),
    (
        "webuiapi 0.9.17",
        "sdapi",
        "`extra_single_image` and its like: nothing here enlarges pictures, and the error says so.",
    ),
)

HEAD = """# Compatibility

Written by the conformance suite: `python -m pytest conformance --compatibility`. Every row is a
client as it was published, unmodified, and the calls that it made against a live server with the
embedded model; a call is named if all its tests passed. The page of each door says how to point
clients here.

- *under exec*: the program named no address of ours; [`imagemill exec`](exec.md) ran it.
- *printed snippets*: the code blocks of the hosted APIs' own documents, all under exec. Filled in
  are credentials, ids and addresses that they leave open; an argument that one leaves out and
  quotation marks that some do not escape are mended. What they do not show is printed by lines
  behind them.
- *printed body*: what those documents send to each provider with `fetch`.
- *as X asks*: the requests that the application X sends, sent by another client.
- *any model*: a name that only this server knows, where the framework has a list of its own.
- [Frameworks](frameworks.md) are run at their newest releases: Vercel's AI SDK 7 on Node 24, and 6
  on Node 20; LangChain by langchain-community, LlamaIndex by its tool for OpenAI's images.
"""
SECTION = """
## {title} ([how]({page}))

| client | release | calls |
| --- | --- | --- |
"""
FOOT = """
## What cannot be

| client | door | what, and why |
| --- | --- | --- |
"""
_DETAILED = re.compile(r"(?P<call>.*) \((?P<detail>.*)\)")


@dataclass(frozen=True, order=True)
class Cell:
    """client: a name of the tables above, or one with its release after the last space.

    call: a few words; what stands in brackets behind it is gathered: "a (x)" and "a (y)" are
    written "a (x, y)".
    """

    door: str
    client: str
    call: str

    def named(self, releases: Mapping[str, str]) -> tuple[str, str]:
        """The client and its release."""
        if self.client in releases:
            return self.client, releases[self.client]
        name, _, release = self.client.rpartition(" ")
        assert name in releases, f"{self.client} is not in the tables of matrix.py"
        return name, release


@dataclass
class Matrix:
    seen: dict[Cell, bool] = field(default_factory=dict)

    def record(self, cell: Cell, worked: bool) -> None:
        """A cell works where all its tests do."""
        self.seen[cell] = worked and self.seen.get(cell, True)

    @property
    def works(self) -> set[Cell]:
        return {cell for cell, worked in self.seen.items() if worked}


def installed() -> dict[str, str]:
    """The release of every client, as the suite runs it here."""
    found = {name: version(package) for name, package in PYTHON.items()}
    found |= dict(pin.split("==") for pin in READERS)
    for name, package in JAVASCRIPT.items():
        file = HERE / "node_modules" / package / "package.json"
        found[name] = str(json.loads(file.read_text("utf-8"))["version"])
    laid_over = frameworks.python_releases()
    found |= {name: laid_over[package] for name, package in FRAMEWORKS.items()}
    found[AI_SDK] = frameworks.ai_sdk_release(frameworks.NEWEST)
    for name, program in PROGRAMS.items():
        command = [program, "--version"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found[name] = re.findall(r"[\d.]+", told)[0]
    return found


def rows(cells: Iterable[Cell], releases: Mapping[str, str]) -> dict[tuple[str, str, str], str]:
    """By door, client and release: the calls, as they are written."""
    found = defaultdict[tuple[str, str, str], list[str]](list)
    for cell in cells:
        found[cell.door, *cell.named(releases)].append(cell.call)
    return {row: ", ".join(_gathered(found[row])) for row in sorted(found, key=_place)}


def told(cells: Iterable[Cell], releases: Mapping[str, str]) -> str:
    """The whole document."""
    parts, written = [HEAD], rows(cells, releases)
    for door, (title, page) in DOORS.items():
        parts.append(SECTION.format(title=title, page=page))
        parts += [
            f"| {client} | {release} | {calls} |\n"
            for (at, client, release), calls in written.items()
            if at == door
        ]
    cannot = [f"| {client} | {door} | {why} |\n" for client, door, why in CANNOT]
    return "".join([*parts, FOOT, *cannot])


def _place(row: tuple[str, str, str]) -> tuple[int, str, tuple[int, ...]]:
    """Doors in their order, the newest release of a client first."""
    door, client, release = row
    newest = tuple(-int(part) for part in re.findall(r"\d+", release))
    return list(DOORS).index(door), client.lower().lstrip("@"), newest


def _gathered(calls: Iterable[str]) -> list[str]:
    found = defaultdict[str, list[str]](list)
    for call in sorted(set(calls)):
        detailed = _DETAILED.fullmatch(call)
        found[detailed["call"] if detailed else call] += [detailed["detail"]] if detailed else []
    order = sorted(found, key=lambda call: ((*FIRST, call).index(call), call.lower()))
    return [f"{call} ({', '.join(found[call])})" if found[call] else call for call in order]
