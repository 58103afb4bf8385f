"""`abidance reconcile`: in what an account differs from the record of its bot."""

from typing import TYPE_CHECKING, Annotated

import typer

from abidance.cli.data import DEFAULT_USERDIR, UserDir
from abidance.cli.keys import KeyFile, Keyring, unlocking_of

if TYPE_CHECKING:
    from abidance.run.reconciling import Difference


def reconcile(
    name: Annotated[str, typer.Argument(help="The bot's name: its folder under runs/.")],
    account: Annotated[str, typer.Option("--account", help="Which account, as named in the vault.")] = "main",
    key_file: KeyFile = None,
    keyring: Keyring = False,
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Compare a bot's record with its account and print the differences; nothing is changed.

    Open orders, executions and balances are asked of the venue. A bot that runs finds and books the same differences by
    itself within a minute. Exit code 1 when there are any.
    """
    import asyncio

    from rich.console import Console

    from abidance.cli.data import _table
    from abidance.cli.terminal import visible
    from abidance.run.golive import access_of
    from abidance.run.keys import open_keys
    from abidance.run.reconciling import differences, replica_of
    from abidance.venues.net.real import AiohttpTransport, RealPulse

    replica = replica_of(userdir.expanduser() / "runs" / name)
    access = access_of(replica.config, open_keys(userdir, unlocking_of(key_file, keyring=keyring)), account)

    async def ask() -> "list[Difference]":
        async with AiohttpTransport() as transport:
            return await differences(replica, access, transport, RealPulse())

    console, found = Console(highlight=False), asyncio.run(ask())
    if not found:
        console.print(f"Record and account of {visible(name)} agree.", markup=False)
        return
    table = _table("venue", "about", "difference")
    for each in found:
        table.add_row(each.venue, visible(each.about), visible(each.text))
    console.print(table)
    raise typer.Exit(1)
