"""`imagemill models`: what is configured, what lies on the disk, and whether it works."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagemill.cli_faults import one_line_errors
from imagemill.errors import Fault, Kind, invalid
from imagemill.garbage import lasting

if TYPE_CHECKING:
    from imagemill.model_spec import ModelSpec

models = typer.Typer(
    help="See, fetch, check and configure models.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@models.callback()
def root() -> None:
    import logging  # here and below: what is slow to import waits for its command

    # What is wrong is told in a line; a server's log has the rest.
    logging.getLogger("imagemill").addHandler(logging.NullHandler())


CONFIG = Path("imagemill.toml")
Config = Annotated[Path, typer.Option(help="The TOML file of settings.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The model's id, as owner/name.")]
_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


@models.command("list")
@one_line_errors()
def list_models(config: Config = CONFIG) -> None:
    """List the configured models, where they lie and what they take of the disk."""
    with lasting():
        from imagemill.pipelines.weights.inventory import take_inventory

    configured, total = _configured(config), 0
    for id, spec in configured.items():
        files = take_inventory(spec)
        total += files.bytes
        names = ", ".join((id, *spec.aliases))
        typer.echo(f"{names}  {_size(files.bytes)}  {files.place}  {spec.source}")
    typer.echo(f"{len(configured)} models, {_size(total)}")


@models.command()
@one_line_errors()
def show(id: Id, config: Config = CONFIG) -> None:
    """Show what is said of a model, and what is in its files, without loading them."""
    import json

    with lasting():
        from imagemill.model_spec import ModelSpec
        from imagemill.pipelines.weights.inventory import take_inventory

    spec = _find(id, _configured(config))
    files = take_inventory(spec)
    usual = asdict(ModelSpec("-")) | {"source": None}
    said = {name: value for name, value in asdict(spec).items() if value != usual[name]}
    for name, value in said.items():
        typer.echo(f"{name}: {value if isinstance(value, str) else json.dumps(value)}")
    typer.echo(f"{files.place}: {files.title}, {_size(files.bytes)}")
    for part in files.parts:
        typer.echo(f"  {part.name}  {part.kind}  {', '.join(part.dtypes)}  {_size(part.bytes)}")


@models.command()
@one_line_errors()
def check(
    id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A model's id, a folder, a file or a "
                                   "Hub id; all configured models if it is left out.")
    ] = None,
    config: Config = CONFIG,
) -> None:  # fmt: skip
    """Load a model, paint one step at a small size, and tell what it is and takes."""
    configured = _configured(config)
    chosen = configured if id is None else {id: _find(id, configured)}
    failed = [name for name, spec in chosen.items() if not _checked(name, spec)]
    if failed:
        raise Fault(Kind.FAILED, f"{len(failed)} of {len(chosen)} models do not work")


@models.command()
@one_line_errors()
def pull(
    source: Annotated[str, typer.Argument(metavar="HUB_ID", help="As owner/name.")],
    revision: Annotated[str | None, typer.Option(help="A branch, a tag or a commit.")] = None,
    variant: Annotated[str | None, typer.Option(help="As fp16.")] = None,
) -> None:
    """Fetch a model from the Hub into its cache; what is there already is not fetched again."""
    with lasting():
        from imagemill.model_spec import ModelSpec
        from imagemill.pipelines.weights.inventory import take_inventory
        from imagemill.pipelines.weights.places import pulled

    spec = ModelSpec(source, revision=revision, variant=variant)
    place = pulled(spec)
    files = take_inventory(spec)
    typer.echo(f"{source}: {files.title}, {_size(files.bytes)}, {place}")


@models.command()
@one_line_errors()
def add(
    id: Id,
    source: Annotated[str, typer.Argument(help="A folder, a file or a Hub id.")],
    option: Annotated[
        list[str] | None,
        typer.Option("--set", help="As dtype=float16, or keep=true; may be repeated."),
    ] = None,
    config: Config = CONFIG,
) -> None:
    """Write a model into the configuration, whose comments stay."""
    import tomlkit

    document = _document(config)
    table = document.setdefault("models", tomlkit.table())
    if id in table:
        raise invalid("id", f"{id} is configured already; remove it first")
    options = dict(_option(each) for each in option or ())
    table[id] = {"source": source, **options} if options else source
    _write(config, document)
    typer.echo(f"{id} is in {config}; check it with: imagemill models check {id}")


@models.command()
@one_line_errors()
def remove(id: Id, config: Config = CONFIG) -> None:
    """Take a model out of the configuration; its files stay where they are."""
    document = _document(config)
    if id not in document.get("models", {}):
        raise _unknown(id, _configured(config))
    del document["models"][id]
    _write(config, document)
    typer.echo(f"{id} is no longer in {config}")


def _configured(config: Path) -> dict[str, "ModelSpec"]:
    from imagemill.settings import load

    if not config.exists() and config == CONFIG:
        return {}
    return dict(load(config).models)


def _find(id: str, configured: dict[str, "ModelSpec"]) -> "ModelSpec":
    """The model that is configured under a name, or whose source is named itself."""
    from imagemill.model_spec import ModelSpec

    for name, spec in configured.items():
        if id in (name, *spec.aliases):
            return spec
    if Path(id).expanduser().exists() or id == "pico" or "/" in id:
        return ModelSpec(id)
    raise _unknown(id, configured)


def _unknown(id: str, configured: dict[str, "ModelSpec"]) -> Fault:
    there = ", ".join(configured) or "none"
    return Fault(Kind.NOT_FOUND, f"no model {id} is configured; there are {there}")


def _checked(id: str, spec: "ModelSpec") -> bool:
    from imagemill.upstream_spec import upstream_of

    if name := upstream_of(spec.source):
        typer.echo(f"{id}: is painted by the upstream {name}, and not checked: that may cost")
        return True
    return _checked_here(id, spec)


def _checked_here(id: str, spec: "ModelSpec") -> bool:
    import logging

    with lasting():
        from imagemill.engine.checks import Causes
        from imagemill.engine.checks import check as run

    causes = Causes()
    logging.getLogger("imagemill").addHandler(causes)
    try:
        report = run(spec.address)
    except Fault as fault:
        typer.echo(f"{id}: does not work: {fault}")
        for cause in causes.lines[-1:]:
            typer.echo(f"  cause      {cause}")
        return False
    typer.echo(f"{id}: works")
    typer.echo(f"  family     {report.family}")
    typer.echo(f"  precision  {report.precision} on {report.device}")
    typer.echo(f"  memory     {_size(report.bytes)} of weights")
    typer.echo(f"  tasks      {', '.join(report.tasks)}")
    typer.echo(f"  batches    {_BATCHES[report.batches]}")
    typer.echo(f"  took       {report.loading:.1f} s to load, {report.painting:.1f} s to paint")
    return True


_BATCHES = {True: "yes: requests share forwards", False: "no: requests are painted one by one"}


def _document(config: Path) -> Any:
    import tomlkit

    return tomlkit.parse(config.read_text("utf-8")) if config.exists() else tomlkit.document()


def _write(config: Path, document: Any) -> None:
    """Replaces the file, once what it would say is known to be right."""
    import tomlkit

    from imagemill.catalog import Catalog
    from imagemill.settings import load

    fresh = config.with_name(f".{config.name}.new")
    fresh.write_text(tomlkit.dumps(document), "utf-8")
    try:
        Catalog(load(fresh).models, stand_ins=True)
        fresh.replace(config)
    finally:
        fresh.unlink(missing_ok=True)


def _option(text: str) -> tuple[str, Any]:
    """A value as TOML has it; what is none is a string, so that quotes can be left out."""
    import tomllib

    name, equals, value = text.partition("=")
    if not equals:
        raise invalid("set", f"{text!r:.80} has no value; write it name=value")
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name, value


def _size(count: int) -> str:
    fitting: Iterator[str] = (
        f"{count / unit:.1f} {name}" for unit, name in _UNITS if count >= unit
    )
    return next(fitting, f"{count} B")
