"""The ids of image models that frameworks carry in their code, as files beside this one.

`python -m tests.framework_ids` asks npm and PyPI for the packages named below, reads their code
without running it, and writes `framework_ids.json` (which framework names which id, and in which
dialect it asks) and `fal_types.json` (what the types in fal's own client say of its applications).
"""

import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imagemill.dialects.fal.pages import listed

IDS = Path(__file__).with_suffix(".json")
TYPES = Path(__file__).with_name("fal_types.json")

NPM = {
    "@ai-sdk/fal": "3.0.41",
    "@ai-sdk/replicate": "3.0.46",
    "@ai-sdk/togetherai": "3.0.54",
    "@ai-sdk/openai": "4.0.118",
    "@fal-ai/client": "1.10.1",
}
PYPI = {"litellm": "1.110.2"}
# By package, the dialect that it asks in, and where its declarations name image models.
DECLARED = {
    "@ai-sdk/fal": ("fal", r"type FalImageModelId = ([^;]*);"),
    "@ai-sdk/replicate": ("replicate", r"type ReplicateImageModelId = ([^;]*);"),
    "@ai-sdk/togetherai": ("together", r"type TogetherAIImageModelId = ([^;]*);"),
    "@ai-sdk/openai": (
        "openai",
        r"const (?:openaiImageModelEntries|imageModelAliases): (\{.*?\n\});",
    ),
}
# By provider of LiteLLM's, the dialect that it is asked in; the others have APIs of their own.
PROVIDERS = {"fal_ai": "fal", "openai": "openai", "recraft": "openai", "aiml": "openai",
             "xai": "openai", "nscale": "openai"}  # fmt: skip
PRICES = "litellm/model_prices_and_context_window_backup.json"
# What stands before an id where a price depends on a quality, a size or a number of steps.
PRICED = re.compile(r"^(?:(?:low|medium|high|xhigh|max|auto|standard|hd)/)?(?:[\w-]+-x-[\w-]+/)?")


def unpacked(folder: Path) -> Iterator[tuple[str, Path]]:
    """The packages, each with the folder of its files."""
    for name, version in NPM.items():
        pack = ["npm", "pack", "--silent", "--pack-destination", str(folder), f"{name}@{version}"]
        archive = folder / subprocess.check_output(pack, text=True).strip()
        target = folder / name.replace("/", "-")
        with tarfile.open(archive) as content:
            content.extractall(target, filter="data")
        yield name, target / "package"
    for name, version in PYPI.items():
        target = folder / name
        download = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(target)]
        subprocess.run([*download, f"{name}=={version}"], check=True, stdout=subprocess.DEVNULL)
        (wheel,) = target.glob("*.whl")
        zipfile.ZipFile(wheel).extractall(target)
        yield name, target


def declared(folder: Path, pattern: str) -> list[str]:
    """The names that a package's declarations list: members of a union, or keys of an object."""
    text = (folder / "dist/index.d.ts").read_text("utf-8")
    names = [
        name
        for part in re.findall(pattern, text, re.DOTALL)
        for name in re.findall(r"(?m)^  '([^']+)'|\| '([^']+)'|^'([^']+)'", part)
    ]
    return list(dict.fromkeys("".join(each) for each in names))


def priced(folder: Path) -> Iterator[tuple[str, str]]:
    """By dialect, the ids of image models that LiteLLM knows the prices of."""
    prices = json.loads((folder / PRICES).read_text("utf-8"))
    for key, facts in prices.items():
        provider = facts.get("litellm_provider")
        if provider in PROVIDERS and facts.get("mode") in ("image_generation", "image_edit"):
            id = PRICED.sub("", key.removeprefix(f"{provider}/"))
            # As its code does before it asks fal for a model that has no owner.
            alone = provider == "fal_ai" and "/" not in id
            yield PROVIDERS[provider], f"openai/{id}" if alone else id


class Client:
    """The types of fal's own client."""

    def __init__(self, folder: Path) -> None:
        text = (folder / "src/types/endpoints.d.ts").read_text("utf-8")
        self._same = dict(re.findall(r"export type (\w+) = (\w+);", text))
        self._types = dict(re.findall(r"export type (\w+) = \{\n(.*?)\n\};", text, re.DOTALL))
        rows = re.findall(r'"([^"]+)": \{\s*input: ([^;]+);\s*output: ([^;]+);', text)
        self.applications = {id: (input, output) for id, input, output in rows}

    def fields(self, type: str) -> dict[str, dict[str, Any]]:
        """By name: its type, whether it may be left open, and the default that is told."""
        while type in self._same and type not in self._types:
            type = self._same[type]
        rows = re.findall(
            r"(?:    /\*\*((?:(?!\*/).)*)\*/\s*)?^    (\w+)(\??): (.*?);$",
            self._types.get(type, ""),
            re.DOTALL | re.MULTILINE,
        )
        return {name: _field(*row) for *row, name in ((d, o, t, n) for d, n, o, t in rows)}

    def makes_images(self, id: str) -> bool:
        return not {"image", "images"}.isdisjoint(self.fields(self.applications[id][1]))


def _field(description: str, open_: str, type: str) -> dict[str, Any]:
    default = re.search(r"Default value: `\"?(.*?)\"?`", description, re.DOTALL)
    return {"type": type, "required": not open_} | ({"default": default[1]} if default else {})


def types(client: Client) -> dict[str, Any]:
    """What tests ask of fal's client: every application by what it makes, and some whole."""
    made = {id: client.makes_images(id) for id in client.applications}
    return {
        "images": [id for id, images in made.items() if images],
        "other": [id for id, images in made.items() if not images],
        "pages": {page.id: client.fields(client.applications[page.id][0]) for page in listed.PAGES},
        "required": {
            id: needs
            for id, (input, _) in client.applications.items()
            if made[id]
            and (needs := {n: f["type"] for n, f in client.fields(input).items() if f["required"]})
        },
    }


def main() -> None:
    ids: dict[str, dict[str, list[str]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, folder in unpacked(Path(scratch)):
            if name in DECLARED:
                dialect, pattern = DECLARED[name]
                ids[f"{name} {NPM[name]}"] = {dialect: declared(folder, pattern)}
            elif name in PYPI:
                by_dialect = ids[f"{name} {PYPI[name]}"] = {}
                for dialect, id in priced(folder):
                    if id not in by_dialect.setdefault(dialect, []):
                        by_dialect[dialect].append(id)
            else:
                TYPES.write_text(json.dumps(types(Client(folder)), indent=1) + "\n", "utf-8")
    IDS.write_text(json.dumps(ids, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
