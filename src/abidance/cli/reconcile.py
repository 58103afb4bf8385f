"""`abidance reconcile`: in what an account differs from the record of its bot."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from abidance.cli.data import DEFAULT_USERDIR, UserDir
from abidance.cli.keys import KeyFile, Keyring, unlocking_of
from abidance.cli.tables import table_of
from abidance.run.folders import folder_of, only_bot

if TYPE_CHECKING:
    from abidance.run.reconciling import Difference


def reconcile(
    name: Annotated[
        str,
        typer.Argument(
            help="The bot's name: its folder under runs/. May be left out where there is one bot.",
            show_default=False,
        ),
    ] = "",
    accept: Annotated[
        str,
        typer.Option(
            "--accept", help="Bring the books of the running bot in line with its accounts; say why."
        ),
    ] = "",
    confirm: Annotated[
        str, typer.Option("--confirm", help="With --accept: the bot's name, where nobody types.")
    ] = "",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the differences and change nothing, whatever else is said."),
    ] = False,
    account: Annotated[str, typer.Option("--account", help="Which account, as named in the vault.")] = "main",
    key_file: KeyFile = None,
    keyring: Keyring = False,
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Compare a bot's record with its account and print the differences; nothing is changed without --accept.

    Open orders, executions and balances are asked of the venue. A running bot finds and books orders and executions by
    itself within a minute. A balance or position that nothing explains, or a fill that is listed nowhere, keeps it to
    exits until --accept books an adjustment, with your name and reason on record. Exit code 1 when differences
    remain.
    """
    import asyncio

    from rich.console import Console

    from abidance.cli.terminal import visible
    from abidance.run.golive import access_of
    from abidance.run.keys import open_keys
    from abidance.run.reconciling import differences, replica_of
    from abidance.venues.net.real import AiohttpTransport, RealPulse

    name = name or only_bot(userdir)
    replica = replica_of(folder_of(userdir, name))
    access = access_of(replica.config, open_keys(userdir, unlocking_of(key_file, keyring=keyring)), account)

    async def ask() -> "list[Difference]":
        async with AiohttpTransport() as transport:
            return await differences(replica, access, transport, RealPulse())

    console, found = Console(highlight=False), asyncio.run(ask())
    if not found:
        console.print(f"Record and account of {visible(name)} agree.", markup=False)
        return
    table = table_of("venue", "about", "difference")
    for each in found:
        table.add_row(each.venue, visible(each.about), visible(each.text))
    console.print(table)
    if dry_run or not accept:
        raise typer.Exit(1)
    seen = " ".join(each.text for each in found if each.is_money)
    told = _accepted(userdir, name, seen, accept, confirm)
    console.print(visible(told), markup=False, soft_wrap=True)


def _accepted(userdir: Path, name: str, seen: str, reason: str, confirm: str) -> str:
    """Let the running bot book an adjustment for what was seen and return what it says. Raises UsageError."""
    from getpass import getuser

    from abidance.model.errors import UsageError
    from abidance.model.event import ControlAction
    from abidance.run.door import Wish, ask

    if not seen:
        raise UsageError(
            "Orders and executions need no adjustment: a running bot books them by itself.",
            f"Start it, or look again in a minute: abidance reconcile {name}",
        )
    if not confirm and sys.stdin.isatty():
        confirm = typer.prompt(f"Type {name} to bring its books in line", default="", show_default=False)
    if confirm != name:
        raise UsageError(
            "The adjustment was not confirmed: nothing was changed.",
            f"Type the bot's name when asked, or give --confirm {name}",
        )
    wish = Wish(ControlAction.ADJUST, f"{getuser()} in a terminal", values={"seen": seen, "reason": reason})
    answer = ask(folder_of(userdir, name), wish)
    if answer.error:
        raise UsageError(answer.error, answer.remedy)
    return " ".join(word.text for word in answer.notices)
