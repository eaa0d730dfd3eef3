"""`from imagemill import Engine`: programs that paint without a server."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pytest
from PIL import Image as Pillow

import imagemill
from imagemill import (
    AsyncEngine,
    Engine,
    GenerationCancelledError,
    GenerationProgress,
    GenerationResult,
    ImagemillError,
    InvalidInputError,
    Lora,
    ModelNotFoundError,
    ModelSpec,
    UnsupportedError,
)
from imagemill.engine.inline import paint
from imagemill.generation import Generation
from tests.checkpoints import lora
from tests.lora_files import kept
from tests.studio import png


class Size(TypedDict):
    width: int
    height: int
    steps: int


SMALL: Size = {"width": 64, "height": 96, "steps": 2}
LONG: Size = {"width": 1024, "height": 1024, "steps": 150}
PIXELS = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
LEFT = np.repeat([[255] * 64 + [0] * 64], 96, axis=0).astype(np.uint8)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


def test_the_import_of_the_library_leaves_torch_alone() -> None:
    code = (
        "import sys, imagemill\n"
        "assert 'pydantic' not in sys.modules\n"
        "from imagemill import Engine\n"
        "Engine().request('a cat')\n"
        "print(*{'torch', 'diffusers', 'transformers', 'fastapi', 'pytest'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


def test_every_public_name_is_there() -> None:
    assert all(getattr(imagemill, name) for name in imagemill.__all__)
    assert set(imagemill.__all__) <= set(dir(imagemill))
    with pytest.raises(AttributeError, match="nonesuch"):
        _ = imagemill.nonesuch


def test_type_checkers_are_told_that_the_package_has_types() -> None:
    assert (Path(imagemill.__file__).parent / "py.typed").is_file()


def test_the_image_is_what_the_same_generation_is_anywhere(engine: Engine) -> None:
    result = engine.generate("a red cat", seed=5, guidance_scale=4.0, **SMALL)
    generation = Generation("a red cat", "imagemill/pico", 64, 96, 2, 4.0, seed=5)
    assert result.generation == generation
    painted = paint(generation, "pico", lambda step, steps: None)
    assert tuple(image.data for image in result.images) == painted.pictures


def test_a_result_tells_how_it_came_to_be(engine: Engine, tmp_path: Path) -> None:
    result = engine.generate("a corgi", seed=7, num_images=2, format="webp", **SMALL)
    assert [image.seed for image in result.images] == [7, 8]
    assert (result.served_by, result.ignored) == ("pico", ("corgi: drawn as dog",))
    first = result.images[0]
    assert (first.size, first.to_pil().size, first.format) == ((64, 96), (64, 96), "webp")
    assert first.provenance["prompt"] == "a corgi"
    assert first.save(tmp_path / "corgi.webp").read_bytes() == first.data
    assert first._repr_mimebundle_(include=None) == {"image/webp": first.data}
    with pytest.raises(InvalidInputError, match="ask for format='png'"):
        first.save(tmp_path / "corgi.png")


def test_a_drawing_has_no_pixels(engine: Engine) -> None:
    [drawing] = engine.generate("a red circle", format="svg", seed=1, **SMALL).images
    assert str(drawing._repr_mimebundle_()["image/svg+xml"]).startswith("<svg")
    with pytest.raises(UnsupportedError, match="format='png'"):
        drawing.to_pil()


def test_progress_is_heard_in_the_calling_thread(engine: Engine) -> None:
    heard: list[tuple[GenerationProgress, threading.Thread]] = []
    engine.generate(
        "a cat", num_images=2, on_progress=lambda each: heard.append((each, here())), **SMALL
    )
    assert [progress for progress, _ in heard] == [
        GenerationProgress(step, 4) for step in (1, 2, 3, 4)
    ]
    assert {thread for _, thread in heard} == {here()}


def here() -> threading.Thread:
    return threading.current_thread()


@pytest.mark.parametrize(
    ("params", "kind", "field"),
    [
        ({"prompt": " "}, InvalidInputError, "prompt"),
        ({"prompt": 5}, InvalidInputError, "prompt"),
        ({"width": 63}, InvalidInputError, "width"),
        ({"steps": 2.5}, InvalidInputError, "steps"),
        ({"guidance_scale": "much"}, InvalidInputError, "guidance_scale"),
        ({"seed": -1}, InvalidInputError, "seed"),
        ({"num_images": 11}, InvalidInputError, "num_images"),
        ({"scheduler": "Nonesuch"}, InvalidInputError, "scheduler"),
        ({"format": "gif"}, InvalidInputError, "format"),
        ({"style": "nonesuch"}, InvalidInputError, "style"),
        ({"mask": png(LEFT)}, InvalidInputError, "mask"),
        ({"image": png(PIXELS), "mask": png(LEFT[:64])}, InvalidInputError, "mask"),
        ({"image": b"%PDF-"}, InvalidInputError, "image"),
        ({"image": "https://example.com/cat.png"}, InvalidInputError, "image"),
        ({"image": 5}, InvalidInputError, "image"),
        ({"loras": ["nonesuch"]}, InvalidInputError, "loras"),
        ({"loras": ["https://example.com/a.safetensors"]}, InvalidInputError, "loras"),
        ({"model": "owner/nonesuch"}, ModelNotFoundError, None),
    ],
)
def test_wrong_arguments_are_told_before_anything_is_painted(
    engine: Engine, params: dict[str, Any], kind: type[ImagemillError], field: str | None
) -> None:
    with pytest.raises(kind) as raised:
        engine.submit(**{"prompt": "a cat", **params})
    assert raised.value.field == field


def test_a_model_that_is_not_there_is_told(tmp_path: Path) -> None:
    with (
        Engine(models={"my/model": ModelSpec(str(tmp_path))}) as engine,
        pytest.raises(ImagemillError, match="model"),
    ):
        engine.generate("a cat", **SMALL)


def test_the_first_of_the_models_is_meant_where_none_is_named() -> None:
    engine = Engine(models={"my/model": "pico", "my/other": "pico"})
    assert engine.request("a cat").generation.model == "my/model"
    assert engine.request("a cat", model="pico").generation.model == "imagemill/pico"
    assert Engine({"pico": "elsewhere"}).request("a cat", model="pico").source == "elsewhere"
    with pytest.raises(InvalidInputError, match="not a model id"):
        Engine(models={"my own model": "pico"})


def test_many_come_in_order_with_what_each_says_itself(engine: Engine) -> None:
    prompts: list[Any] = ["a cat", {"prompt": "a dog", "seed": 3, "steps": 1}, "a bird"]
    heard: list[GenerationProgress] = []
    results = list(engine.generate_many(prompts, on_progress=heard.append, **SMALL))
    assert [result.generation.prompt for result in results] == ["a cat", "a dog", "a bird"]
    assert (results[1].generation.seed, results[1].generation.steps) == (3, 1)
    assert sorted((each.index, each.step, each.steps) for each in heard) == [
        (0, 1, 2), (0, 2, 2), (1, 1, 1), (2, 1, 2), (2, 2, 2)
    ]  # fmt: skip


def test_an_error_ends_all_unless_it_is_wanted_in_its_place(engine: Engine) -> None:
    prompts = ["a cat", " ", "a bird"]
    kinds = [type(each) for each in engine.generate_many(prompts, return_exceptions=True, **SMALL)]
    assert kinds == [GenerationResult, InvalidInputError, GenerationResult]
    results = engine.generate_many(prompts, **SMALL)
    assert isinstance(next(results), GenerationResult)
    with pytest.raises(InvalidInputError, match="the prompt is empty"):
        next(results)
    with pytest.raises(InvalidInputError, match="at_once 0"):
        engine.generate_many(prompts, at_once=0)


def test_who_stops_iterating_cancels_the_rest(engine: Engine) -> None:
    read: list[int] = []

    def prompts() -> Iterator[str]:
        for number in count():
            read.append(number)
            yield "a cat"

    results = engine.generate_many(prompts(), at_once=2, **SMALL)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(read) <= 8
    assert engine.generate("a dog", **SMALL).images


def test_a_task_is_cancelled_within_two_steps(engine: Engine) -> None:
    task = engine.submit("a cat", **LONG)
    progress = iter(task)
    next(progress)
    task.cancel()
    later = list(progress)
    assert len(later) <= 2
    with pytest.raises(GenerationCancelledError):
        task.result()
    assert task.done()
    assert list(task) == []


def test_what_a_callback_raises_cancels_the_work(engine: Engine) -> None:
    steps: list[GenerationProgress] = []

    def enough(progress: GenerationProgress) -> None:
        steps.append(progress)
        raise StopAsyncIteration

    with pytest.raises(StopAsyncIteration):
        engine.generate("a cat", on_progress=enough, **LONG)
    assert engine.generate("a dog", **SMALL).images
    assert len(steps) == 1


def test_threads_share_an_engine_and_get_what_each_would_alone(engine: Engine) -> None:
    alone = [engine.generate("a cat", seed=seed, **SMALL).images[0].data for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda seed: engine.generate("a cat", seed=seed, **SMALL), range(4))
        assert [result.images[0].data for result in together] == alone


def test_an_image_is_given_in_any_form(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "image.png"
    file.write_bytes(png(PIXELS))
    mine = Pillow.open(BytesIO(png(PIXELS)))
    forms: list[Any] = [file, str(file), file.read_bytes(), mine]
    results = [
        engine.generate("a cat", image=each, mask=png(LEFT), seed=1, steps=2) for each in forms
    ]
    first = results[0].images[0]
    assert first.size == (128, 96)  # the image's own
    assert {result.images[0].data for result in results} == {first.data}
    pixels = np.asarray(first.to_pil())
    assert np.array_equal(pixels[:, 64:], PIXELS[:, 64:])
    assert not np.array_equal(pixels[:, :64], PIXELS[:, :64])
    again = engine.generate("a dog", image=first, strength=0.5, seed=1, steps=2)
    assert again.images[0].size == (128, 96)


def test_a_lora_is_a_file_of_this_machine(engine: Engine) -> None:
    from imagemill.pipelines.loading import load

    file = kept(lora(load("pico", "cpu").pipe, 1)).path
    plain, adapted, off = (
        engine.generate("a cat", seed=1, loras=loras, **SMALL).images[0].data
        for loras in ([], [file], [Lora(str(file), 0.0)])
    )
    assert plain == off != adapted


def test_a_closed_engine_says_so_and_its_work_is_cancelled() -> None:
    engine = Engine()
    engine.load()
    task = engine.submit("a cat", **LONG)
    next(iter(task))
    engine.close()
    engine.close()
    with pytest.raises(GenerationCancelledError):
        task.result(timeout=0)
    with pytest.raises(GenerationCancelledError, match="make another"):
        engine.generate("a cat")


def test_an_engine_that_is_never_used_starts_nothing() -> None:
    before = threading.active_count()
    with Engine():
        assert threading.active_count() == before


def test_a_program_that_ends_early_ends_quietly() -> None:
    code = (
        "from imagemill import Engine\n"
        "task = Engine().submit('a cat', steps=150, width=256, height=256)\n"
        "print(next(iter(task)).step)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "1\n", "")


@pytest.mark.anyio
async def test_the_same_from_an_event_loop(engine: Engine) -> None:
    heard: list[GenerationProgress] = []
    async with AsyncEngine() as painter:
        one, other = await asyncio.gather(
            painter.generate("a cat", seed=1, on_progress=heard.append, **SMALL),
            painter.generate("a dog", seed=2, **SMALL),
        )
        many = [each async for each in painter.generate_many(["a cat", "a dog"], seed=1, **SMALL)]
        with pytest.raises(InvalidInputError, match="steps 0"):
            await painter.generate("a cat", steps=0)
    assert heard == [GenerationProgress(1, 2), GenerationProgress(2, 2)]
    assert many[0].images[0].data == one.images[0].data
    # A notebook has a loop that runs; the engine for programs without one works there, too.
    assert engine.generate("a dog", seed=2, **SMALL).images[0].data == other.images[0].data


@pytest.mark.anyio
async def test_who_is_cancelled_stops_the_work() -> None:
    steps: list[GenerationProgress] = []
    begun = asyncio.Event()

    def note(progress: GenerationProgress) -> None:
        steps.append(progress)
        begun.set()

    async with AsyncEngine() as painter:
        painting = asyncio.create_task(painter.generate("a cat", on_progress=note, **LONG))
        await begun.wait()
        painting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await painting
        assert len(steps) <= 3
        assert (await painter.generate("a dog", **SMALL)).images
