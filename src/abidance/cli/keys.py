"""`abidance keys`: exchange keys in the vault. Secrets are asked for unseen or read from standard input.

They are never arguments: those stand in the shell's history and in the list of processes.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from abidance.cli import options
from abidance.cli.data import DEFAULT_USERDIR, UserDir
from abidance.cli.terminal import visible

if TYPE_CHECKING:
    from abidance.security.keys import ExchangeKey, Keys
    from abidance.security.permissions import Verdict
    from abidance.security.unlocking import Unlocking
    from abidance.venues.net.config import FeedConfig

_STRAY = {"allow_extra_args": True, "ignore_unknown_options": True}

Venue = Annotated[str, typer.Argument(help="For example BINANCE.")]
Account = Annotated[str, typer.Argument(help="Your name for the account.")]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file", envvar="ABIDANCE_KEY_FILE", help="Unlock by this file; nobody else may read it."
    ),
]
Keyring = Annotated[bool, typer.Option("--keyring", help="Unlock by the keyring of the system.")]
Unchecked = Annotated[bool, typer.Option("--unchecked", help="Do not ask the venue what the key may do.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

app = typer.Typer(no_args_is_help=True, help="Keep the keys of exchanges in an encrypted vault.")


@app.command("add", context_settings=_STRAY)
def add(
    context: typer.Context,
    venue: Venue,
    account: Account = "main",
    unchecked: Unchecked = False,
    key_file: KeyFile = None,
    keyring: Keyring = False,
    config: options.Configs = None,
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Take a key in: it is asked for unseen, checked at its venue, and refused when it can withdraw.

    From standard input come the key, the secret and, for KuCoin, the passphrase: one a line.
    """
    from abidance.model.errors import ConfigError
    from abidance.run.keys import check_venue, vault_path
    from abidance.security.keys import Keys, checked_name

    _refuse_strays(context)
    venue, account = checked_name(venue, account)
    check_venue(venue)
    unlocking, path = unlocking_of(key_file, keyring=keyring), vault_path(userdir)
    keys = Keys(unlocking.unlock(path)) if path.exists() else None
    if keys and keys.has(venue, account):
        raise ConfigError(
            f"There is a key of {venue} {account} already.",
            f"Replace it with: abidance keys rotate {venue} {account}",
        )
    key = _asked_for(venue, account)
    key = key if unchecked else _judged(key, config)
    keys = keys or Keys(unlocking.create(path))
    keys.add(key)
    typer.echo(f"Added the key of {key.name}.")


@app.command("list")
def list_keys(
    as_json: AsJson = False,
    key_file: KeyFile = None,
    keyring: Keyring = False,
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """List the keys: venue, account, the key's last characters, when it was added and last checked."""
    from rich.console import Console

    from abidance.cli.tables import table_of

    found = _keys(userdir, key_file, keyring=keyring).all()
    if as_json:
        rows = [
            {
                "venue": k.venue,
                "account": k.account,
                "ends_in": k.tail,
                "added": k.added,
                "checked": k.checked,
            }
            for k in found
        ]
        typer.echo(json.dumps(rows, indent=2))
        return
    table = table_of("venue", "account", "ends in", "added", "last check")
    for key in found:
        table.add_row(key.venue, key.account, key.tail and f"…{key.tail}", _day(key.added), _day(key.checked))
    Console(highlight=False).print(table)


@app.command("check")
def check(
    venue: Annotated[str, typer.Argument(help="One venue; all by default.")] = "",
    account: Annotated[str, typer.Argument(help="One account; all by default.")] = "",
    as_json: AsJson = False,
    key_file: KeyFile = None,
    keyring: Keyring = False,
    config: options.Configs = None,
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Ask venues what keys may do. Exit code 3 when a key is refused, 8 when a venue does not tell."""
    from abidance.model.errors import ConfigError

    keys = _keys(userdir, key_file, keyring=keyring)
    chosen = [
        key
        for key in keys.all()
        if (not venue or key.venue == venue.upper()) and (not account or key.account == account)
    ]
    if not chosen:
        raise ConfigError("There is no such key in the vault.", "See what there is: abidance keys list")
    checked = list(_checked(keys, chosen, config))
    if as_json:
        typer.echo(json.dumps([row for row, _ in checked], indent=2))
    else:
        for row, _ in checked:
            _show(f"{row['venue']} {row['account']}", row)
    if worst := max(code for _, code in checked):
        raise typer.Exit(worst)


@app.command("rotate", context_settings=_STRAY)
def rotate(
    context: typer.Context,
    venue: Venue,
    account: Account = "main",
    unchecked: Unchecked = False,
    key_file: KeyFile = None,
    keyring: Keyring = False,
    config: options.Configs = None,
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Put a new key in the place of the one an account has; the old one stays until the new one is safe."""
    from abidance.security.keys import checked_name

    _refuse_strays(context)
    venue, account = checked_name(venue, account)
    keys = _keys(userdir, key_file, keyring=keyring)
    keys.of(venue, account)
    key = _asked_for(venue, account)
    key = key if unchecked else _judged(key, config)
    keys.replace(key)
    typer.echo(f"Replaced the key of {key.name}. Delete the old one at the venue.")


@app.command("remove")
def remove(
    venue: Venue,
    account: Account = "main",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    key_file: KeyFile = None,
    keyring: Keyring = False,
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Forget a key."""
    from abidance.security.keys import checked_name

    venue, account = checked_name(venue, account)
    keys = _keys(userdir, key_file, keyring=keyring)
    key = keys.of(venue, account)
    if not yes:
        typer.confirm(f"Forget the key of {key.name}?", abort=True)
    keys.remove(key.venue, key.account)
    typer.echo(f"Forgot the key of {key.name}. Delete it at the venue, too, if it is not used elsewhere.")


@app.command("change-passphrase")
def change_passphrase(
    key_file: KeyFile = None,
    keyring: Keyring = False,
    new_key_file: Annotated[
        Path | None, typer.Option("--new-key-file", help="Unlock by this file from now on.")
    ] = None,
    new_keyring: Annotated[
        bool, typer.Option("--new-keyring", help="Unlock by the system's keyring from now on.")
    ] = False,
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Seal the vault anew: for another passphrase, a key file or the keyring."""
    from abidance.run.keys import vault_path
    from abidance.security.unlocking import NEW_PASSPHRASE
    from abidance.security.vault import salt_of

    path = vault_path(userdir)
    before = unlocking_of(key_file, keyring=keyring)
    after = unlocking_of(new_key_file, keyring=new_keyring, variable=NEW_PASSPHRASE)
    vault = before.unlock(path)
    salt = salt_of(path)
    after.change(vault)
    before.forget(salt)
    typer.echo("The vault is sealed anew. Copies of the old one still open with the old passphrase.")


# --- what the commands share


def _refuse_strays(context: typer.Context) -> None:
    """Refuse what was typed besides, without repeating it: it may be the secret."""
    from abidance.kernel.log import PROCESS
    from abidance.model.errors import UsageError

    if context.args:
        for stray in context.args:
            PROCESS.hide(stray)
        raise UsageError(
            "More was typed than a venue, an account and options that there are.",
            "Keys and secrets are never arguments: they are asked for, or read from standard input. If you typed one, "
            "take it out of the shell's history and make a new key.",
        )


def unlocking_of(key_file: Path | None, *, keyring: bool, variable: str = "") -> "Unlocking":
    """Return the way to unlock the vault that was asked for on the command line."""
    from abidance.security.unlocking import PASSPHRASE, Unlocking

    ask = _unseen if sys.stdin.isatty() else None
    return Unlocking(key_file, keyring=keyring, ask=ask, variable=variable or PASSPHRASE)


def _keys(userdir: Path, key_file: Path | None, *, keyring: bool) -> "Keys":
    from abidance.run.keys import open_keys

    return open_keys(userdir, unlocking_of(key_file, keyring=keyring))


def _unseen(question: str) -> str:
    from getpass import getpass

    return getpass(question, stream=sys.stderr)


def _asked_for(venue: str, account: str) -> "ExchangeKey":
    """Return a key as it is typed unseen, or read from standard input."""
    from abidance.kernel.clock import WallClock
    from abidance.security.keys import ExchangeKey, typed
    from abidance.security.secret import Secret
    from abidance.venues.trading.permissions import wants_passphrase

    wanted = ["key", "secret", *(["passphrase"] if wants_passphrase(venue) else [])]
    if sys.stdin.isatty():
        given = iter([_unseen(f"{what.capitalize()} of {venue} {account}: ") for what in wanted])
    else:
        given = _lines()
    found = [typed(next(given, ""), what) for what in wanted]
    return ExchangeKey(venue, account, found[0], found[1], (*found, Secret(""))[2], WallClock().now())


def _lines() -> Iterator[str]:
    """Yield the lines of standard input, a private key with all of its lines as one."""
    whole: list[str] = []
    for line in sys.stdin.read(1 << 16).splitlines():
        whole.append(line)
        if whole[0].startswith("-----BEGIN") and not line.startswith("-----END"):
            continue
        if line.strip():
            yield "\n".join(whole)
        whole = []
    if whole:
        yield "\n".join(whole)


def _judged(key: "ExchangeKey", config: list[Path] | None) -> "ExchangeKey":
    """Return the key with the time of its check; says what to mind. Raises ConfigError when it is refused."""
    import asyncio

    from abidance.kernel.clock import WallClock
    from abidance.run.keys import judged_now
    from abidance.venues.trading.permissions import is_asked

    verdict = asyncio.run(judged_now(key, _feed(config)))
    verdict.enforce(key.name)
    _show(key.name, _told(verdict))
    return key._replace(checked=WallClock().now()) if is_asked(key.venue) else key


def _checked(
    keys: "Keys", chosen: "list[ExchangeKey]", config: list[Path] | None
) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield what is to be told of each key, and the exit code that it asks for."""
    import asyncio

    from abidance.model.errors import AbidanceError, ConfigError
    from abidance.run.keys import checked_now

    feed = _feed(config)
    for key in chosen:
        row: dict[str, Any] = {"venue": key.venue, "account": key.account}
        try:
            verdict = asyncio.run(checked_now(keys, key, feed))
        except AbidanceError as error:
            yield row | {"error": str(error)}, error.exit_code
            continue
        yield row | _told(verdict), ConfigError.exit_code if verdict.refusals else 0


def _feed(config: list[Path] | None) -> "FeedConfig":
    import os

    from abidance.run import config as settings

    return settings.trace(config or [], {}, os.environ).config.feed


def _told(verdict: "Verdict") -> dict[str, Any]:
    return {
        "refused": list(verdict.refusals),
        "warnings": list(verdict.warnings),
        "facts": list(verdict.facts),
    }


def _show(name: str, row: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False, soft_wrap=True)
    marks = {"refused": "[red]Refused:[/]", "warnings": "[yellow]Mind:[/]", "facts": ""}
    console.print(f"[bold]{escape(name)}[/]")
    if "error" in row:
        console.print(f"  [red]Not checked:[/] {escape(visible(row['error']))}")
    for kind, mark in marks.items():
        for sentence in row.get(kind, ()):
            console.print(f"  {mark} {escape(visible(sentence))}".replace("   ", "  "))


def _day(ts: int) -> str:
    from abidance.market.store import show

    return show(ts)[:16] if ts else "never"
