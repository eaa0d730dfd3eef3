"""`imagemill accounts` and `imagemill keys`: who may call."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from imagemill.accounts import MAX_NAME, SHAPES, Account, ApiKey, KeyLimits, new_account, new_key
from imagemill.cli_faults import one_line_errors
from imagemill.credits import read, shown
from imagemill.errors import Fault, Kind, invalid

if TYPE_CHECKING:
    from imagemill.store import Database
    from imagemill.store.accounts import AccountTable
    from imagemill.store.ledger import LedgerEntry, LedgerTable

T = TypeVar("T")

PLAIN: dict[str, Any] = {
    "no_args_is_help": True,
    "add_completion": False,
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
}
accounts = typer.Typer(help="See and make accounts: who may call this server.", **PLAIN)
keys = typer.Typer(help="See, make and revoke the keys of accounts.", **PLAIN)
credits = typer.Typer(help="Fill the purses of accounts, and see what they spent.", **PLAIN)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The account's name.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder of the server.")]
Config = Annotated[Path | None, typer.Option(help="A TOML file of settings.")]
DAY = 86_400.0  # seconds


@accounts.command()
@one_line_errors()
def create(name: Name, data_dir: DataDir = None, config: Config = None) -> None:
    """Make an account. From then on every call needs a key."""
    name = name.strip()
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise invalid("name", f"{name!r:.80} is no name; give 1 to {MAX_NAME} characters")
    account = new_account(name, time.time())
    if not _run(data_dir, config, lambda table: table.add(account)):
        raise invalid("name", f"there is an account {name!r} already; give another name")
    typer.echo(f"{account.name}  {account.id}")
    typer.echo(f"its first key: imagemill keys create {account.name}", err=True)


@accounts.command("list")
@one_line_errors()
def list_accounts(data_dir: DataDir = None, config: Config = None) -> None:
    """List the accounts."""
    for account in _run(data_dir, config, lambda table: table.listed()):
        typer.echo(_line(account))


@accounts.command()
@one_line_errors()
def show(name: Name, data_dir: DataDir = None, config: Config = None) -> None:
    """Show an account and its keys, without what opens."""

    async def both(table: "AccountTable") -> tuple[Account, list[ApiKey]]:
        account = await _named(table, name)
        return account, await table.keys_of(account.id)

    account, held = _run(data_dir, config, both)
    typer.echo(_line(account))
    for key in held:
        typer.echo(_key_line(key))


@accounts.command()
@one_line_errors()
def disable(name: Name, data_dir: DataDir = None, config: Config = None) -> None:
    """Let the keys of an account open nothing, until it is enabled."""
    _change(name, time.time(), data_dir, config)


@accounts.command()
@one_line_errors()
def enable(name: Name, data_dir: DataDir = None, config: Config = None) -> None:
    """Let the keys of a disabled account open again."""
    _change(name, None, data_dir, config)


@keys.command("create")
@one_line_errors()
def create_key(
    name: Name,
    like: Annotated[
        str, typer.Option(help=f"How it looks, for clients that insist: {', '.join(SHAPES)}.")
    ] = "imagemill",
    dialect: Annotated[
        list[str] | None, typer.Option(help="Good for this API alone; may be repeated.")
    ] = None,
    address: Annotated[
        list[str] | None, typer.Option(help="Good from this network alone; may be repeated.")
    ] = None,
    days: Annotated[float | None, typer.Option(help="For how long it is good.")] = None,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Make a key, and print it once: it is not kept."""
    if like not in SHAPES:
        raise invalid("like", f"unknown shape {like!r:.80}; one of {', '.join(SHAPES)}")
    now = time.time()
    limits = KeyLimits(_dialects(dialect or ()), _networks(address or ()), _expiry(days, now))

    async def make(table: "AccountTable") -> str:
        account = await _named(table, name)
        key, secret = new_key(account.id, like, limits, now)
        await table.add_key(key)
        return secret

    typer.echo(_run(data_dir, config, make))


@keys.command("list")
@one_line_errors()
def list_keys(name: Name, data_dir: DataDir = None, config: Config = None) -> None:
    """List the keys of an account, without what opens."""

    async def held(table: "AccountTable") -> list[ApiKey]:
        return await table.keys_of((await _named(table, name)).id)

    for key in _run(data_dir, config, held):
        typer.echo(_key_line(key))


@keys.command()
@one_line_errors()
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key's id, as keys list has it.")],
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Let a key open nothing any more; a server that runs hears of it within two seconds."""
    if not _run(data_dir, config, lambda table: table.revoke(key, time.time())):
        raise invalid("key", f"there is no key {key!r:.80} that opens; see imagemill keys list")


@credits.command()
@one_line_errors()
def grant(
    name: Name,
    amount: Annotated[str, typer.Argument(metavar="CREDITS", help="How many, as 12 or 0.5.")],
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Fill the purse of an account."""
    import uuid

    micro = _credits(amount)

    async def fill(ledger: "LedgerTable", account: str) -> str:
        await ledger.grant(account, micro, uuid.uuid4().hex, time.time())
        return shown((await ledger.balance(account)).purse)

    typer.echo(f"{name}  {_of_ledger(name, data_dir, config, fill)}")


@credits.command("show")
@one_line_errors()
def show_credits(name: Name, data_dir: DataDir = None, config: Config = None) -> None:
    """Show what an account has, and what is held for its jobs."""
    now = _of_ledger(name, data_dir, config, lambda ledger, account: ledger.balance(account))
    typer.echo(f"{name}  {shown(now.purse)}  held {shown(now.held)}")


@credits.command()
@one_line_errors()
def entries(
    name: Name,
    limit: Annotated[int, typer.Option(min=1, help="Of so many at most, the newest first.")] = 100,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """List what came into an account's purse and went out of it."""

    def own(ledger: "LedgerTable", account: str) -> "Awaitable[list[LedgerEntry]]":
        return ledger.entries(account, limit)

    for each in _of_ledger(name, data_dir, config, own):
        kind = each.ledger.partition(":")[0]
        typer.echo(f"{_day(each.created)}  {each.transaction}  {kind}  {shown(each.amount)}")


def _credits(text: str) -> int:
    try:
        amount = read(text)
    except ValueError:
        message = f"{text!r:.80} is no amount; give one as 12 or 0.5, of at most six decimals"
        raise invalid("credits", message) from None
    if amount == 0:
        raise invalid("credits", "0 credits are none; give more")
    return amount


def _run(
    data_dir: Path | None, config: Path | None, work: "Callable[[AccountTable], Awaitable[T]]"
) -> T:
    from imagemill.store.accounts import AccountTable

    return _with_database(data_dir, config, lambda database: work(AccountTable(database)))


def _of_ledger(
    name: str,
    data_dir: Path | None,
    config: Path | None,
    work: "Callable[[LedgerTable, str], Awaitable[T]]",
) -> T:
    """work: of the ledger and the id of the account of that name."""
    from imagemill.store.accounts import AccountTable
    from imagemill.store.ledger import LedgerTable

    async def named(database: "Database") -> T:
        account = await _named(AccountTable(database), name)
        return await work(LedgerTable(database), account.id)

    return _with_database(data_dir, config, named)


def _with_database(
    data_dir: Path | None, config: Path | None, work: "Callable[[Database], Awaitable[T]]"
) -> T:
    from imagemill.settings import load
    from imagemill.store import opened

    settings = load(config, data_dir=data_dir)

    async def done() -> T:
        async with opened(settings.database, settings.data_dir) as database:
            return await work(database)

    return asyncio.run(done())


def _change(name: str, now: float | None, data_dir: Path | None, config: Path | None) -> None:
    async def change(table: "AccountTable") -> None:
        await table.disable((await _named(table, name)).id, now)

    _run(data_dir, config, change)


async def _named(table: "AccountTable", name: str) -> Account:
    account = await table.named(name)
    if account is None:
        message = f"there is no account {name!r:.80}; make it with imagemill accounts create"
        raise Fault(Kind.NOT_FOUND, message, "name")
    return account


def _dialects(names: "list[str] | tuple[str, ...]") -> tuple[str, ...]:
    from imagemill.doors import DIALECTS

    known = [each.name for each in DIALECTS]
    for name in names:
        if name not in known:
            raise invalid("dialect", f"unknown API {name!r:.80}; one of {', '.join(known)}")
    return tuple(names)


def _networks(texts: "list[str] | tuple[str, ...]") -> tuple[str, ...]:
    for text in texts:
        try:
            ip_network(text, strict=False)
        except ValueError:
            message = f"{text!r:.80} is no network; give one as 10.0.0.0/8 or 192.0.2.7"
            raise invalid("address", message) from None
    return tuple(texts)


def _expiry(days: float | None, now: float) -> float | None:
    if days is not None and not days > 0:
        raise invalid("days", f"{days:g} days are none; give more than 0")
    return None if days is None else now + days * DAY


def _line(account: Account) -> str:
    return f"{account.name}  {account.id}{'' if account.disabled is None else '  disabled'}"


def _key_line(key: ApiKey) -> str:
    limits = key.limits
    said = [*limits.dialects, *limits.addresses]
    if limits.expires is not None:
        said.append(f"until {_day(limits.expires)}")
    if key.revoked is not None:
        said.append("revoked")
    return "  ".join([key.id, f"{key.beginning}…", _day(key.created), *said])


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(at))
