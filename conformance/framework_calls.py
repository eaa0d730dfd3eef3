"""What frameworks in Python paint, as one line of JSON: by framework and call, the files or error.

    python -m conformance.framework_calls {plain,wrapped} URL

runs in the environment of `conformance.frameworks`, all calls in one process, as the frameworks
take seconds to be imported. `wrapped` are those that know no address but their own: they run under
`imagemill exec`. Blocks that docs/frameworks.md prints run here as well.
"""

import base64
import io
import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

DOCUMENT = Path(__file__).parents[1] / "docs" / "frameworks.md"
PRINTED_ADDRESS = "http://127.0.0.1:8000"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
UNDER_EXEC = "## Under `imagemill exec`"
PROMPT, FLUX, SIZE = "a red cat", "black-forest-labs/FLUX.1-dev", "128x64"
Outcome = Mapping[str, Any]
Calls = Mapping[str, Callable[[], Outcome]]


def files(*images: bytes | str | None, **others: object) -> Outcome:
    """Images as bytes, in base64, or by an address."""
    return {"files": [base64.b64encode(_content(image)).decode() for image in images], **others}


def _content(image: bytes | str | None) -> bytes:
    assert image, "no image"
    if isinstance(image, bytes):
        return image
    if image.startswith("http"):
        import requests

        return bytes(requests.get(image, timeout=60).content)
    return base64.b64decode(image, validate=True)


def image_file(mode: str = "RGB", colour: str = "navy") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (128, 128), colour).save(file, "png")
    return file.getvalue()


def clear_on_the_left() -> bytes:
    mask, file = Image.new("RGBA", (128, 128), "black"), io.BytesIO()
    mask.paste((0, 0, 0, 0), (0, 0, 64, 128))
    mask.save(file, "png")
    return file.getvalue()


def litellm(url: str) -> Calls:
    import litellm

    image, mask = image_file(), clear_on_the_left()

    def read(reply: Any) -> Outcome:
        return files(*(each.b64_json or each.url for each in reply.data), kind=type(reply).__name__)

    def generate(place: str, model: str, **params: Any) -> Outcome:
        return read(
            litellm.image_generation(
                PROMPT, model=model, api_base=f"{url}/{place}", api_key="any", **params
            )
        )

    def edit(**params: Any) -> Outcome:
        at = {"api_base": f"{url}/openai/v1", "api_key": "any", "prompt": "a boat"}
        return read(litellm.image_edit(image=[image], **at, **params))

    def vary() -> Outcome:
        file = io.BytesIO(image)
        file.name = "image.png"
        return read(
            litellm.image_variation(
                model="openai/dall-e-2", image=file, n=1,
                api_base=f"{url}/openai/v1", api_key="any",
            )
        )  # fmt: skip

    few = {"num_inference_steps": 2, "seed": 7}
    fal, turbo = "fal_ai/fal-ai/flux/dev", "together_ai/black-forest-labs/FLUX.1-schnell"
    return {
        "fal": lambda: generate("fal/run", fal, n=2, size=SIZE, **few),
        "fal again": lambda: generate("fal/run", fal, n=2, size=SIZE, **few),
        "fal errors": lambda: generate("fal/run", fal, num_inference_steps=0),
        "openai": lambda: generate(
            "openai/v1", "openai/gpt-image-2", n=2, size=SIZE, quality="low"
        ),
        "openai any model": lambda: generate("openai/v1", f"openai/{FLUX}", size=SIZE, **few),
        "openai errors": lambda: generate("openai/v1", "openai/gpt-image-1", size="512x512"),
        "openai no model": lambda: generate("openai/v1", "openai/a//c"),
        "openai edit": lambda: edit(model="openai/gpt-image-2", mask=mask, quality="low"),
        "openai variation": vary,
        "together": lambda: generate("together/v1", turbo, n=2, width=128, height=64, steps=2),
        "together errors": lambda: generate("together/v1", turbo, steps=1000),
        "nebius": lambda: generate(
            "nebius/v1",
            "nebius/black-forest-labs/flux-schnell",
            extra_body={"width": 128, "height": 64, "num_inference_steps": 2},
        ),
        "together size": lambda: generate("together/v1", turbo, size=SIZE, steps=2),
        "nebius size": lambda: generate(
            "nebius/v1", "nebius/black-forest-labs/flux-schnell", size=SIZE, quality="standard"
        ),
        "replicate": lambda: generate("replicate/v1", "replicate/black-forest-labs/flux-dev"),
        "huggingface": lambda: generate("hf-inference", f"huggingface/{FLUX}"),
    }


def haystack(url: str) -> Calls:
    from haystack import Pipeline
    from haystack.components.generators import OpenAIImageGenerator
    from haystack.utils import Secret

    def run(model: str, size: Any) -> Outcome:
        pipeline = Pipeline()
        painter = OpenAIImageGenerator(
            model=model, size=size, quality="low", api_key=Secret.from_token("any"),
            api_base_url=f"{url}/openai/v1", max_retries=0,
        )  # fmt: skip
        pipeline.add_component("painter", painter)
        reply = pipeline.run({"painter": {"prompt": PROMPT}})["painter"]
        return files(*reply["images"])

    return {
        "openai": lambda: run("gpt-image-2", SIZE),
        "openai any model": lambda: run(FLUX, SIZE),
        "openai errors": lambda: run("gpt-image-1", "512x512"),
    }


def langchain(url: str) -> Calls:
    from langchain_community.utilities.dalle_image_generator import DallEAPIWrapper

    def run(model: str, size: str, n: int = 1) -> Outcome:
        painter = DallEAPIWrapper(
            model=model, size=size, n=n, api_key="any", base_url=f"{url}/openai/v1", max_retries=0
        )
        return files(*painter.run(PROMPT).split("\n"))

    return {
        "openai": lambda: run("dall-e-2", "256x256", 2),
        "openai any model": lambda: run(FLUX, SIZE),
        "openai errors": lambda: run("dall-e-2", "128x128"),
    }


def llama_index(url: str) -> Calls:
    from llama_index.tools.openai.image_generation.base import OpenAIImageGenerationToolSpec

    def run() -> Outcome:
        tool = OpenAIImageGenerationToolSpec(api_key="any", cache_dir=os.environ["WORK"])
        told: Any = tool.image_generation(PROMPT, download=True)
        return files(Path(told[0]).read_bytes())

    return {"openai": run}


def pydantic_ai(url: str) -> Calls:
    from pydantic_ai import BinaryImage
    from pydantic_ai.images import ImageGenerator
    from pydantic_ai.images.openai import OpenAIImageGenerationModel
    from pydantic_ai.providers.openai import OpenAIProvider

    image = BinaryImage(data=image_file(), media_type="image/png")

    def run(model: str, inputs: list[BinaryImage] | None = None, **settings: Any) -> Outcome:
        provider = OpenAIProvider(base_url=f"{url}/openai/v1", api_key="any")
        painter = ImageGenerator(OpenAIImageGenerationModel(model, provider=provider))
        reply = painter.generate_sync(PROMPT, images=inputs, settings=settings)
        return files(
            *(each.content.data for each in reply.images), tokens=reply.usage.output_tokens
        )

    own = {"width": 128, "height": 64, "num_inference_steps": 2, "seed": 7}
    return {
        "openai": lambda: run("gpt-image-2", openai_n=2, openai_size=SIZE, openai_quality="low"),
        "openai any model": lambda: run(FLUX, extra_body=own),
        "openai edit": lambda: run(
            "gpt-image-2", [image, image], openai_size="128x128", openai_quality="low"
        ),
        "openai errors": lambda: run("gpt-image-1", openai_size="512x512"),
    }


def pipecat(url: str) -> Calls:
    import asyncio

    import aiohttp
    from pipecat.services.openai.image import OpenAIImageGenService

    async def run(model: str, size: str) -> Outcome:
        async with aiohttp.ClientSession() as session:
            service = OpenAIImageGenService(
                api_key="any", base_url=f"{url}/openai/v1", aiohttp_session=session,
                settings=OpenAIImageGenService.Settings(
                    model=model, image_size=size, quality="low"
                ),
            )  # fmt: skip
            return _frames([frame async for frame in service.run_image_gen(PROMPT)])

    return {
        "openai": lambda: asyncio.run(run("gpt-image-2", SIZE)),
        "openai any model": lambda: asyncio.run(run(FLUX, SIZE)),
        "openai errors": lambda: asyncio.run(run("gpt-image-1", "512x512")),
    }


def _frames(frames: list[Any]) -> Outcome:
    """Frames have pixels, and an error of their own."""
    if errors := [frame for frame in frames if hasattr(frame, "error")]:
        return {"error": type(errors[0]).__name__, "message": errors[0].error}
    written = []
    for frame in frames:
        file = io.BytesIO()
        Image.frombytes(frame.format, frame.size, frame.image).save(file, "png")
        written.append(file.getvalue())
    return files(*written, kind=type(frames[0]).__name__)


def agno(url: str) -> Calls:
    from agno.tools.dalle import DalleTools
    from agno.tools.models.nebius import NebiusTools
    from agno.tools.openai import OpenAITools

    def gpt(model: str, **params: Any) -> Outcome:
        return _tool(OpenAITools(api_key="any", image_model=model, **params).generate_image(PROMPT))

    def dalle(**params: Any) -> Outcome:
        return _tool(DalleTools(api_key="any", **params).create_image(PROMPT))

    def nebius() -> Outcome:
        tools = NebiusTools(api_key="any", base_url=f"{url}/nebius/v1", image_size="256x256")
        return _tool(tools.generate_image(None, PROMPT))

    return {
        "nebius": nebius,
        "openai": lambda: gpt("gpt-image-2", image_size="256x256", image_quality="low"),
        "openai any model": lambda: gpt(FLUX, image_size="256x256", image_quality="low"),
        "openai dalle": lambda: dalle(model="dall-e-2", size="256x256", n=2),
        "openai errors": lambda: gpt("gpt-image-1", image_size="512x512"),
    }


def _tool(result: Any) -> Outcome:
    if not result.images:
        return {"error": type(result).__name__, "message": result.content}
    return files(*(each.content or each.url for each in result.images), kind=type(result).__name__)


def gradio(url: str) -> Calls:
    import gradio
    import requests

    def load(**params: Any) -> Outcome:
        app = gradio.load(FLUX, src="models", token="hf_abc", **params)
        return files(Path(app(PROMPT)).read_bytes(), kind=type(app).__name__)

    def openapi() -> Outcome:
        document = requests.get(f"{url}/openapi.json", timeout=60).json()
        app = gradio.load_openapi(document, base_url=url, paths=["/flat/.*"], methods=["post"])
        paint = next(each for each in app.fns.values() if each.name.startswith("post__flat"))
        body = {"prompt": PROMPT, "width": 128, "height": 64, "num_inference_steps": 2}
        return files(paint.fn(*FLUX.split("/"), json.dumps(body))["image"])

    return {
        "router (hf-inference)": lambda: load(provider="hf-inference"),
        "router (fal-ai)": lambda: load(provider="fal-ai"),
        "flat": openapi,
    }


def agno_wrapped(url: str) -> Calls:
    from agno.tools.fal import FalTools
    from agno.tools.replicate import ReplicateTools

    image = "data:image/png;base64," + base64.b64encode(image_file()).decode()
    slides = "black-forest-labs/flux-schnell"
    return {
        "fal edit": lambda: _tool(FalTools(api_key="any").image_to_image(None, PROMPT, image)),
        "replicate": lambda: _tool(
            ReplicateTools(api_key="any", model=slides).generate_media(None, PROMPT)
        ),
        "fal": lambda: _tool(
            FalTools(api_key="any", model="fal-ai/flux/dev").generate_media(None, PROMPT)
        ),
        "fal errors": lambda: _tool(
            FalTools(api_key="any", model="fal-ai/flux/dev").generate_media(None, "a" * 100_000)
        ),
    }


def pipecat_wrapped(url: str) -> Calls:
    import asyncio

    import aiohttp
    from pipecat.services.fal.image import FalImageGenService

    async def run(steps: int) -> Outcome:
        async with aiohttp.ClientSession() as session:
            service = FalImageGenService(
                key="any", aiohttp_session=session,
                settings=FalImageGenService.Settings(
                    image_size={"width": 128, "height": 64}, num_inference_steps=steps
                ),
            )  # fmt: skip
            return _frames([frame async for frame in service.run_image_gen(PROMPT)])

    return {
        "fal": lambda: asyncio.run(run(2)),
        "fal errors": lambda: asyncio.run(run(1000)),
    }


CALLS = {
    "plain": {
        "agno": agno,
        "Haystack": haystack,
        "LangChain": langchain,
        "LiteLLM": litellm,
        "LlamaIndex": llama_index,
        "pipecat": pipecat,
        "pydantic-ai": pydantic_ai,
    },
    "wrapped": {"agno": agno_wrapped, "gradio": gradio, "pipecat": pipecat_wrapped},
}


def blocks(which: str) -> list[str]:
    """The blocks in Python that the page prints, in their order."""
    plain, mark, rest = DOCUMENT.read_text("utf-8").partition(UNDER_EXEC)
    assert mark
    return BLOCK.findall(plain if which == "plain" else rest)


def outcome(call: Callable[[], Outcome]) -> Outcome:
    try:
        return call()
    except Exception as error:
        kinds = [kind.__name__ for kind in type(error).__mro__]
        trace = "".join(traceback.format_exception(error))
        return {"error": kinds[0], "kinds": kinds, "message": str(error), "trace": trace}


def printed(code: str, url: str) -> Callable[[], Outcome]:
    def run() -> Outcome:
        exec(compile(code.replace(PRINTED_ADDRESS, url), str(DOCUMENT), "exec"), {})
        return {}

    return run


def main(which: str, url: str) -> None:
    logging.disable(logging.CRITICAL)
    if which == "plain":  # the only way to point those that have no setting
        os.environ["OPENAI_BASE_URL"] = f"{url}/openai/v1"
    outcomes: dict[str, Outcome] = {}
    for name, calls in CALLS[which].items():
        for call, paint in calls(url).items():
            outcomes[f"{name} {call}"] = outcome(paint)
    for number, code in enumerate(blocks(which)):
        outcomes[f"printed {number}"] = outcome(printed(code, url))
    sys.stdout.write(f"\n{json.dumps(outcomes)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
