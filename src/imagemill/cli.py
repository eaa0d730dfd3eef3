"""The command line. What is slow to import waits for the command that needs it."""

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated

import typer

from imagemill import __version__
from imagemill.accounts_commands import accounts, credits, keys
from imagemill.cli_faults import EXIT_FAILED, one_line_errors
from imagemill.errors import invalid
from imagemill.garbage import lasting
from imagemill.generation import FORMATS, Format
from imagemill.models_commands import models
from imagemill.scheduler_names import SCHEDULERS

if TYPE_CHECKING:
    from imagemill.library import Engine, GeneratedImage, GenerationProgress
    from imagemill.library.params import Request

app = typer.Typer(
    name="imagemill",
    help="Paint pictures from text, and serve the image APIs that applications already use.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich takes longer to import than all the rest
    pretty_exceptions_enable=False,
)

app.add_typer(models, name="models")
app.add_typer(accounts, name="accounts")
app.add_typer(keys, name="keys")
app.add_typer(credits, name="credits")

_NO_NAME = re.compile(r"[^\w.-]+", re.ASCII)  # what no model's name has
LONGEST_STEM = 60  # characters of a file name

OnProgress = Callable[["GenerationProgress"], None]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"imagemill {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


@app.command()
@one_line_errors()
def generate(
    prompt: Annotated[
        list[str],
        typer.Argument(metavar="PROMPT", help="What to paint; words need no quotes."),
    ],
    negative_prompt: Annotated[str, typer.Option(help="What to leave out.")] = "",
    width: Annotated[int | None, typer.Option(help="Pixels, 64 to 2048.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels, 64 to 2048.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps, 1 to 150.")] = None,
    guidance_scale: Annotated[
        float | None, typer.Option(help="How closely to follow the prompt, 0 to 50.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same picture; drawn if absent.")
    ] = None,
    num_images: Annotated[int, typer.Option(help="Pictures to paint, 1 to 10.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help=f"The model's own, or one of {', '.join(SCHEDULERS)}.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="The embedded model, a folder of weights, or a Hub id.")
    ] = "pico",
    format: Annotated[
        str | None, typer.Option(help=f"One of {', '.join(FORMATS)}; png if nothing tells.")
    ] = None,
    output: Annotated[
        Path, typer.Option(help="A file to write, or a folder in which a free name is found.")
    ] = Path("."),
) -> None:
    """Paint pictures of PROMPT, and print where they are and from which seed they came.

    Sizes, steps and guidance that are not given are the model's own.
    """
    with lasting():
        from imagemill.library import Engine

    name, served = _named(model)
    with Engine(served) as engine:
        request = engine.request(
            " ".join(prompt),
            model=name,
            format=_format(format, output),
            negative_prompt=negative_prompt,
            width=width,
            height=height,
            steps=steps,
            guidance_scale=guidance_scale,
            scheduler=scheduler,
            seed=seed,
            num_images=num_images,
        )
        _paint(engine, request, output)


@app.command()
@one_line_errors()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder for what is kept.")] = None,
    tls: Annotated[
        bool | None, typer.Option("--tls", help="Serve https, and print what clients must export.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings.")] = None,
    until_eof: Annotated[
        bool, typer.Option("--until-eof", help="Stop when standard input ends.")
    ] = False,
) -> None:
    """Serve the image APIs over HTTP until stopped."""
    from imagemill.settings import load

    # Before the slow imports.
    settings = load(config, host=host, port=port, data_dir=data_dir, tls=tls)

    with lasting():
        import asyncio

        from imagemill.app import exports, make_server
        from imagemill.authentication import check_open

    asyncio.run(check_open(settings))
    if settings.tls:
        typer.echo(exports(settings))
    server = make_server(settings)
    if until_eof:
        threading.Thread(target=stop_at_eof, daemon=True).start()
    server.run()
    if not server.started:  # why was logged
        raise typer.Exit(EXIT_FAILED)


@app.command("exec", context_settings={"allow_interspersed_args": False})
@one_line_errors()
def execute(
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND...", help="The program and its arguments.")
    ],
    url: Annotated[
        str | None, typer.Option(help="A server that runs already; else one is started.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Refuse other hosts instead of passing them through.")
    ] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder for what is kept, of no other server; else a temporary one."),
    ] = None,
    host: Annotated[
        list[str] | None, typer.Option(help="Answer for this host, too; may be repeated.")
    ] = None,
) -> None:
    """Run COMMAND with the hosted image APIs that it calls answered here.

    The program is not changed: imagemill exec -- python paint.py
    """
    with lasting():
        from imagemill.exec import ExecOptions, run

    raise typer.Exit(run(ExecOptions(command, url, offline, data_dir, host or ())))


@app.command()
@one_line_errors()
def webhooks(
    retry: Annotated[
        list[str] | None, typer.Option(help="Send this dead one again; may be repeated.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the server.")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings.")] = None,
) -> None:
    """List the webhooks that could not be delivered, or send some of them again."""
    import asyncio

    from imagemill.settings import load
    from imagemill.store import dead_letters

    settings = load(config, data_dir=data_dir)
    letters, unknown = asyncio.run(
        dead_letters(settings.database, settings.data_dir, retry or (), time.time())
    )
    for letter in letters:
        typer.echo(f"{letter.job}  {letter.attempts} attempts  {letter.url}  {letter.error}")
    if unknown:
        raise invalid("retry", f"no dead webhook of {', '.join(unknown)}")


def stop_at_eof() -> None:
    """For who starts a server and may die: the system closes what it held open."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _named(model: str) -> tuple[str, dict[str, str]]:
    """The name of a model, and what serves it where it is not the embedded one.

    Nothing stands in here: whoever names a model on their own machine wants that one.
    """
    from imagemill.catalog.models import OWN
    from imagemill.pipelines.families import EMBEDDED

    if model in (EMBEDDED, *OWN):
        return model, {}
    # What lies here goes by its name, so that no path of this machine is written into the picture.
    place = Path(model).expanduser()
    if not place.exists():
        return model, {model: model}
    name = _NO_NAME.sub("-", place.resolve().name).strip("._-")[:96] or "model"
    return name, {name: model}


def _paint(engine: "Engine", request: "Request", output: Path) -> None:
    folder = output if _is_folder(output) else output.parent
    folder.mkdir(parents=True, exist_ok=True)  # before the work, so that a bad place costs nothing

    with _bar() as on_progress:
        task = engine.start(request)
        for progress in task:
            on_progress(progress)
    result = task.result()
    if result.ignored:
        words = ", ".join(result.ignored)
        typer.echo(
            f"imagemill: ignored, or drawn as something near: {words}",
            err=True,
        )
    if any(result.flagged):
        message = "a black image is one that the safety checker of the model's weights flagged"
        typer.echo(f"imagemill: {message}", err=True)
    for i, image in enumerate(result.images):
        path = _write(image, i, request, output)
        typer.echo(f"{path}  seed {image.seed}")


@contextmanager
def _bar() -> Iterator[OnProgress]:
    """A progress bar on stderr, where a person is watching."""
    if not sys.stderr.isatty():
        yield lambda progress: None
        return

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("loading", total=None)
        yield lambda progress: shown.update(
            task, description="painting", completed=progress.step, total=progress.steps
        )


def _format(format_name: str | None, output: Path) -> Format:
    """The format asked for, or told by the suffix of the file to write."""
    from imagemill.library.results import SUFFIXES

    suffix = "" if _is_folder(output) else output.suffix.lower()
    if suffix and suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise invalid("output", f"{output.name} is no picture's name; end it in {known}")
    by_suffix = SUFFIXES.get(suffix)
    if format_name is None:
        return by_suffix or "png"
    chosen = next((format for format in FORMATS if format == format_name), None)
    if chosen is None:
        raise invalid("format", f"unknown format {format_name!r:.80}; one of {', '.join(FORMATS)}")
    if by_suffix not in (None, chosen):
        raise invalid("format", f"{output.name} is not a name for {chosen}; leave out --format")
    return chosen


def _is_folder(output: Path) -> bool:
    return output.is_dir() or not output.suffix


def _write(image: "GeneratedImage", index: int, request: "Request", output: Path) -> Path:
    """A file that was named is replaced; in a folder nothing is."""
    generation = request.generation
    if _is_folder(output):
        return _write_new(image.data, output / f"{_stem(generation.prompt)}.{generation.format}")
    several = generation.num_images > 1
    path = output.with_stem(f"{output.stem}-{index + 1}") if several else output
    path.write_bytes(image.data)
    return path


def _write_new(picture: bytes, path: Path) -> Path:
    """Writes to `path`, or with the next free number behind its name."""
    names = chain([path], (path.with_stem(f"{path.stem}-{number}") for number in count(2)))
    for name in names:
        with suppress(FileExistsError), name.open("xb") as file:  # two may write at once
            file.write(picture)
            return name
    raise AssertionError("numbers have no end")


def _stem(prompt: str) -> str:
    """The beginning of the prompt as a file name: letters, digits and hyphens."""
    words = re.findall(r"[a-z0-9]+", prompt.lower())
    whole = shorten(" ".join(words), LONGEST_STEM, placeholder="")
    return whole.replace(" ", "-") or "picture"
