"""Every code block of the documents, as it is printed, under `imagemill exec`.

Filled in are credentials, ids and the two addresses that the flat endpoint's page leaves open; what
a page does not show (the picture) is asked for in lines behind it. Two faults of the pages are
mended: an argument that was left out, and bare quotation marks within quotation marks. Nebius is
printed for clients that have dropped it since; its blocks are run with the last that had it.

This module is the wrapped program, too: one `exec` runs it, and it runs all the others.
"""

import base64
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from PIL import Image

from conformance.generations import PINS, folder
from conformance.snippets import SEEDS, WHOLE_STRINGS, filled
from conformance.test_fal_snippets import PAGES, PRINTED_ID, STREAMING, snippet
from conformance.wrapping import under_exec, with_path

HERE = Path(__file__).parent
FLAT_HOST = "my-endpoint.example.com"
AT_ONCE = 2
Done = subprocess.CompletedProcess[str]

# What is printed by lines behind a snippet: a picture in base64, alone on the last line.
SHOW_IMAGE = """
import base64, io
_file = io.BytesIO()
image.save(_file, "png")
print(base64.b64encode(_file.getvalue()).decode())
"""
SHOW_RESULT = """
import base64, requests
print(base64.b64encode(requests.get(result["images"][0]["url"]).content).decode())
"""
SHOW_REPLY = "\nprint(response.json()['image'])\n"
WRITE_BLOB = (
    "response.arrayBuffer().then((b) => console.log(Buffer.from(b).toString('base64')));",
    "\nconsole.log(Buffer.from(await image.arrayBuffer()).toString('base64'));",
)
FETCH = """
const _picture = await (await fetch({url})).arrayBuffer();
console.log(Buffer.from(_picture).toString("base64"));
"""
FIRST = FETCH.format(url="result.data.images[0].url")
STREAMED = FETCH.format(url="result.images[0].url")
UPLOADED = "\nconsole.log(await (await fetch(url)).text());"
WAIT = 'await fal.queue.subscribeToStatus("{page}", {{ requestId: "{id}" }});\n'
FAL = 'import { fal } from "@fal-ai/client";\n'


@dataclass(frozen=True)
class Program:
    """code: Python or a JavaScript module. pin: an earlier release. after: who prints its id."""

    name: str
    language: str
    code: str
    pin: str = ""
    after: str = ""
    shows: tuple[str, str, str] | tuple[()] = ()  # client, door and call
    told: str = field(default="picture", compare=False)  # or what its last line is

    def run(self, id: str, nebius: Path) -> Done:
        code = self.code.replace(PRINTED_ID, id) if self.after else self.code
        environment = dict(os.environ)
        if self.language == "python":
            if self.pin:
                environment = with_path(folder(self.pin))
            command, place = [sys.executable, "-c", code], HERE
        else:
            command = ["node", "--import", WHOLE_STRINGS, "--input-type=module", "--eval", code]
            place = nebius if self.pin else HERE
        return subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip


_FENCED = re.compile(
    r'<snippet provider="(?P<provider>[^"]+)" language="(?P<language>[^"]+)" '
    r'client="(?P<client>[^"]+)">\s*```\w+\n(?P<code>.*?)```',
    re.DOTALL,
)
CLIENTS = {"fetch": "fetch of Node", "huggingface.js": "@huggingface/inference"}
PRINTED = "printed snippets"
OLD = {"python": "huggingface_hub==1.20.0", "js": "huggingface-inference-4.13.21"}


def fenced() -> Iterator[Program]:
    """The page of the router's providers, in all its languages."""
    for document in sorted(SEEDS.glob("*.txt")):
        for block in _FENCED.finditer(document.read_text("utf-8")):
            provider, language, client, code = block.groups()
            code = code.replace("hf_***", "hf_abc").replace("inputs:  })", 'inputs: "A horse" })')
            if client == "fetch":
                code = filled(code, {"// Use image": WRITE_BLOB[0]})
            elif client == "huggingface.js":
                code += WRITE_BLOB[1]
            else:
                code += SHOW_RESULT if client == "fal_client" else SHOW_IMAGE
            named = client in ("huggingface_hub", "huggingface.js")
            pin = OLD[language] if provider == "nebius" and named else ""
            caller = " ".join([CLIENTS.get(client, client), *re.findall(r"[\d.]+$", pin)])
            routed = (caller, "router", f"{PRINTED} ({provider})")
            shows = (caller, "fal", PRINTED) if client == "fal_client" else routed
            yield Program(f"{provider} {client}", language, code, pin, shows=shows)


def flat() -> Iterator[Program]:
    """The flat endpoint's page; and the page of the providers as it is shown, without margins."""
    whole = (SEEDS / "flat.txt").read_text("utf-8")
    _, python, javascript = re.split(r"^.*example request using \w+:\n", whole, flags=re.MULTILINE)
    blanks = {"<hf_endpoint_url>": f"https://{FLAT_HOST}", "<hf_token>": "hf_abc"}
    shown = "const picture = (data) => data.image;\n"
    shows = ("requests", "flat", PRINTED)
    yield Program("flat requests", "python", filled(python, blanks) + SHOW_REPLY, shows=shows)
    printed = filled(javascript, blanks | {"console.log(data)": "console.log(picture(data))"})
    shows = ("fetch of Node", "flat", PRINTED)
    yield Program("flat fetch", "js", shown + printed, shows=shows)
    for page in SEEDS.glob("providers.txt"):
        code = page.read_text("utf-8") + SHOW_IMAGE
        shows = ("huggingface_hub", "router", f"{PRINTED} (fal-ai)")
        yield Program("providers huggingface_hub", "python", code, shows=shows)


def fal() -> Iterator[Program]:
    """fal's ten pages."""
    for page in PAGES:
        name = f"{page} submit"
        yield Program(f"{page} subscribe", "js", snippet(page, "subscribe") + FIRST)
        submitted = snippet(page, "submit") + "\nconsole.log(request_id);"
        yield Program(name, "js", submitted, told="id")
        status = snippet(page, "status") + "\nconsole.log(status.status);"
        yield Program(f"{page} status", "js", status, after=name, told="status")
        wait = WAIT.format(page=page, id=PRINTED_ID) + "const result"
        result = filled(snippet(page, "result"), {"const result": wait}) + FIRST
        yield Program(f"{page} result", "js", result, after=name)
    for page in STREAMING:
        yield Program(f"{page} stream", "js", snippet(page, "stream") + STREAMED)
    config = snippet(PAGES[0], "config") + "\n"
    yield Program("fal config", "js", config + snippet(PAGES[0], "subscribe")[len(FAL) :] + FIRST)
    upload = snippet(PAGES[0], "upload")
    yield Program("fal upload", "js", FAL * (FAL not in upload) + upload + UPLOADED, told="upload")


UNDER = "under exec"
# 128 px, all of one colour.
_PAINTED = io.BytesIO()
Image.new("RGB", (128, 128), "teal").save(_PAINTED, "png")
PNG = base64.b64encode(_PAINTED.getvalue()).decode()
SMALL = '"prompt": "a cat", "width": 128, "height": 128'
FLUX = "black-forest-labs/flux-schnell"
OWN_ADDRESS: tuple[Program, ...] = (
    Program("replicate-python", "python", f"""
import base64, replicate
output = replicate.run("{FLUX}", input={{"prompt": "a cat", "megapixels": "0.25"}})
print(base64.b64encode(output[0].read()).decode())
""", shows=("replicate (Python)", "replicate", UNDER)),
    Program("replicate-javascript", "js", f"""
import Replicate from "replicate";
const input = {{ prompt: "a cat", megapixels: "0.25" }};
const [image] = await new Replicate().run("{FLUX}", {{ input }});
{WRITE_BLOB[1].replace("image.arrayBuffer()", "(await image.blob()).arrayBuffer()")}
""", shows=("replicate (JavaScript)", "replicate", UNDER)),
    Program("together-python", "python", f"""
from together import Together
asked = {{"model": "black-forest-labs/FLUX.1-schnell", {SMALL}, "response_format": "base64"}}
print(Together().images.generate(**asked).data[0].b64_json)
""", shows=("together (Python)", "together", UNDER)),
    Program("together-javascript", "js", f"""
import Together from "together-ai";
const asked = {{ model: "black-forest-labs/FLUX.1-schnell", {SMALL}, response_format: "base64" }};
const reply = await new Together().images.generate(asked);
console.log(reply.data[0].b64_json);
""", shows=("together (JavaScript)", "together", UNDER)),
    Program("openai-python", "python", """
from openai import OpenAI
print(OpenAI().images.generate(prompt="a cat", model="gpt-image-1").data[0].b64_json)
""", shows=("openai (Python)", "openai", UNDER)),
    Program("openai-javascript", "js", """
import OpenAI from "openai";
const reply = await new OpenAI().images.generate({ prompt: "a cat", model: "gpt-image-1" });
console.log(reply.data[0].b64_json);
""", shows=("openai (JavaScript)", "openai", UNDER)),
    Program("nebula requests", "python", f"""
import os, requests
reply = requests.post(
    "https://api.nebulablock.com/api/v1/images/generation",
    headers={{"Authorization": "Bearer " + os.environ["NEBULA_API_KEY"]}},
    json={{"model": "black-forest-labs/FLUX.1-schnell", "num_steps": 4, "seed": -1, {SMALL}}},
)
print(reply.json()["data"][0]["b64_json"])
""", shows=("requests", "nebula", UNDER)),
)  # fmt: skip
# What goes from one host to another, and what knows nothing of proxies.
ACROSS = (
    Program("fal blob, and its own output", "js", f"""
import {{ fal }} from "@fal-ai/client";
const image_url = new Blob([Buffer.from("{PNG}", "base64")], {{ type: "image/png" }});
const size = {{ image_size: {{ width: 128, height: 128 }}, rendering_speed: "TURBO" }};
const app = "fal-ai/ideogram/v3/remix";
const input = {{ prompt: "a cat", image_url, ...size }};
const {{ data }} = await fal.run(app, {{ input }});
const again = {{ ...input, image_url: data.images[0].url }};
const result = await fal.subscribe(app, {{ input: again }});
{FIRST}"""),
    Program("from fal to Replicate to Together", "python", f"""
import base64, fal_client, replicate, together
url = fal_client.upload(base64.b64decode("{PNG}"), "image/png")
asked = {{"prompt": "a cat", "image": url, "num_inference_steps": 2}}
(image,) = replicate.run("black-forest-labs/flux-dev", input=asked)
assert image.url.startswith("https://"), image.url
asked = {{"model": "imagemill/pico", "image_url": image.url, {SMALL}}}
reply = together.Together().images.generate(**asked, response_format="base64")
print(reply.data[0].b64_json)
"""),
    Program("replicate 2.0.0b4", "python", f"""
import base64, replicate
asked = {{"prompt": "a cat", "width": 128, "height": 128}}
(image,) = replicate.run("{FLUX}", input=asked)
assert image.url.startswith("https://api.replicate.com/"), image.url
(path,) = replicate.use("{FLUX}")(**asked)
assert open(path, "rb").read()[8:12] == b"WEBP"
print(base64.b64encode(image.read()).decode())
""", pin="replicate==2.0.0b4"),
    Program("aiohttp", "python", """
import aiohttp, asyncio, base64
async def main():
    url = "https://router.huggingface.co/hf-inference/models/black-forest-labs/FLUX.1-dev"
    asked = {"inputs": "a cat", "parameters": {"width": 128, "height": 128}}
    async with aiohttp.ClientSession() as session, session.post(url, json=asked) as reply:
        print(base64.b64encode(await reply.read()).decode())
asyncio.run(main())
""", pin="aiohttp==3.14.5"),
)  # fmt: skip
NEWEST = OWN_ADDRESS[2]
EARLIER = [
    replace(NEWEST, name=pin, pin=pin, shows=(f"together (Python) {pin[10:]}", "together", UNDER))
    for pin in PINS
    if pin.startswith("together==")
]
FAL_PAGES = [replace(each, shows=("@fal-ai/client", "fal", PRINTED)) for each in fal()]
PROGRAMS = (*fenced(), *flat(), *FAL_PAGES, *OWN_ADDRESS, *EARLIER, *ACROSS)
NAMES = [program.name for program in PROGRAMS]


def main(work: Path) -> None:
    """Runs all programs, and writes what became of each: this runs inside of `exec`."""
    done: dict[str, Done] = {}

    def run(program: Program) -> None:
        before = done.get(program.after)
        id = before.stdout.split()[-1] if before and before.stdout else ""
        try:
            done[program.name] = program.run(id, work / "nebius")
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            done[program.name] = Done((), 1, "", repr(error))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for after in (False, True):
            list(pool.map(run, [each for each in PROGRAMS if bool(each.after) is after]))
    results = {name: [each.returncode, each.stdout, each.stderr] for name, each in done.items()}
    (work / "results.json").write_text(json.dumps(results))


@dataclass(frozen=True)
class Run:
    results: dict[str, tuple[int, str, str]]
    summary: str


@pytest.fixture(scope="module")
def whole(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    work = tmp_path_factory.mktemp("exec")
    # The name that the printed code imports, for the last release that had Nebius.
    scope = work / "nebius" / "node_modules" / "@huggingface"
    scope.mkdir(parents=True)
    (scope / "inference").symlink_to(packages / "node_modules" / OLD["js"])
    summary = under_exec("conformance.test_exec", work, "--host", FLAT_HOST)
    found = json.loads((work / "results.json").read_text())
    return Run({name: tuple(each) for name, each in found.items()}, summary)


def opened(text: str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(text, validate=True)))
    image.load()
    return image


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(each.name, marks=[pytest.mark.cell(*each.shows)] if each.shows else [])
        for each in PROGRAMS
    ],
)
def test_each_block_gets_a_real_picture_from_the_address_that_it_names(
    name: str, whole: Run
) -> None:
    program = PROGRAMS[NAMES.index(name)]
    code, output, errors = whole.results[name]
    assert code == 0, errors
    last = output.splitlines()[-1]
    match program.told:
        case "id":
            assert re.fullmatch(r"[0-9a-f-]{36}", last)
        case "status":
            assert last in ("IN_QUEUE", "IN_PROGRESS", "COMPLETED")
        case "upload":
            assert last == "Hello, World!"
        case _:
            assert min(opened(last).size) >= 128


def test_no_block_of_the_documents_is_left_out() -> None:
    documents = {path.name: path.read_text("utf-8") for path in SEEDS.glob("*.txt")}
    printed = sum(text.count("</snippet>") for text in documents.values())
    assert len(list(fenced())) == printed == 17
    pages = re.findall(r"^=== ", documents["fal.txt"], re.MULTILINE)
    assert len(list(fal())) == len(pages) == 44
    assert len(list(flat())) == 3  # of two short pages
    assert len(NAMES) == len(set(NAMES))


def test_the_summary_tells_who_was_asked_for_what(whole: Run) -> None:
    assert re.search(r"^imagemill: \d+ calls answered$", whole.summary, re.MULTILINE)
    for row in (
        r"fal +POST +/fal/queue/fal-ai/hidream-i1-full +200",
        r"hf-inference +POST +/hf-inference/models/black-forest-labs/FLUX.1-dev +200",
        r"api +GET +/api/models/black-forest-labs/FLUX.1-dev +200",
    ):
        assert re.search(row, whole.summary), whole.summary
    assert "refused" not in whole.summary  # nothing that the blocks name is left to the internet


if __name__ == "__main__":
    main(Path(sys.argv[1]))
