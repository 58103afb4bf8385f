"""`abidance loans`: what a bot owes to venues, and borrowing and repaying by hand."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from abidance.cli.data import DEFAULT_USERDIR, UserDir
from abidance.cli.keys import KeyFile, Keyring, unlocking_of
from abidance.cli.tables import table_of
from abidance.run.folders import folder_of

if TYPE_CHECKING:
    from abidance.run.owing import Owed

PATIENCE = 20.0
"""Seconds for which the venue's answer is waited for."""
Name = Annotated[str, typer.Argument(help="The bot's name: its folder under runs/.")]
Asset = Annotated[str, typer.Argument(help="What is lent, such as USDT.")]
Venue = Annotated[str, typer.Option("--venue", help="Who lends, where more than one venue of the bot does.")]
Confirm = Annotated[str, typer.Option("--confirm", help="The bot's name, where nobody types.")]

app = typer.Typer(no_args_is_help=True, help="See what a bot owes; borrow and repay by hand.")


@app.command("list")
def list_loans(
    name: Name,
    account: Annotated[str, typer.Option("--account", help="Which account, as named in the vault.")] = "main",
    key_file: KeyFile = None,
    keyring: Keyring = False,
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """List what is owed: as the venue says and as the record says, with the interest so far.

    Nothing is changed. Exit code 1 when the two differ by more than interest that was not booked yet.
    """
    import asyncio

    from rich.console import Console

    from abidance.cli.terminal import visible
    from abidance.run.golive import access_of
    from abidance.run.keys import open_keys
    from abidance.run.owing import owed_of
    from abidance.run.reconciling import replica_of
    from abidance.venues.net.real import AiohttpTransport, RealPulse
    from abidance.venues.trading.books import slack

    replica = replica_of(folder_of(userdir, name))
    access = access_of(replica.config, open_keys(userdir, unlocking_of(key_file, keyring=keyring)), account)

    async def ask() -> "list[Owed]":
        async with AiohttpTransport() as transport:
            return await owed_of(replica, access, transport, RealPulse())

    found = asyncio.run(ask())
    if not found:
        typer.echo(f"{visible(name)} owes nothing.")
        return
    table = table_of("venue", "asset", "owed there", "on record", "interest so far")
    for each in found:
        amounts = (each.there, each.ours, each.interest)
        table.add_row(each.venue, each.asset, *(f"{amount.normalize():f}" for amount in amounts))
    Console(highlight=False).print(table)
    if any(abs(each.there - each.ours) > slack(each.there, each.ours) for each in found):
        typer.echo(f"They differ: abidance reconcile {visible(name)}")
        raise typer.Exit(1)


@app.command("borrow")
def borrow(
    name: Name,
    asset: Asset,
    amount: Annotated[str, typer.Argument(help="How much, such as 250.5.")],
    venue: Venue = "",
    confirm: Confirm = "",
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Let the running bot borrow: the loan is on its record before it is asked for, and once.

    It is refused beyond `risk.limits.max_borrowed`, which is 0 unless you set it. Interest is charged each hour.
    """
    _ask("borrow", name, venue, asset, amount, confirm, userdir)


@app.command("repay")
def repay(
    name: Name,
    asset: Asset,
    amount: Annotated[str, typer.Argument(help="How much, or all.")],
    venue: Venue = "",
    confirm: Confirm = "",
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Let the running bot repay with what it has of the asset: nothing is sold for it, coins of strategies stay."""
    _ask("repay", name, venue, asset, amount, confirm, userdir)


def _ask(action: str, name: str, venue: str, asset: str, amount: str, confirm: str, userdir: Path) -> None:
    """Hand a wish to the running bot and tell what comes of it. Raises UsageError."""
    from getpass import getuser
    from uuid import uuid4

    from abidance.cli.terminal import visible
    from abidance.model.errors import AbidanceError, UsageError
    from abidance.model.event import ControlAction
    from abidance.model.money import is_plain
    from abidance.run.door import Wish, ask
    from abidance.run.owing import outcome_of

    asset, venue, amount = asset.strip().upper(), venue.strip().upper(), amount.strip().lower()
    if not (is_plain(amount) or (action, amount) == ("repay", "all")):
        raise UsageError(f"{amount!r} is no amount.", "Write plain digits, such as 250.5.")
    if not confirm and sys.stdin.isatty():
        deed = f"{action} {amount} {asset}"
        confirm = typer.prompt(f"Type {name} to {visible(deed)}", default="", show_default=False)
    if confirm != name:
        raise UsageError(
            f"To {action} was not confirmed: nothing was asked for.",
            f"Type the bot's name when asked, or give --confirm {name}",
        )
    values = {"venue": venue, "asset": asset, "amount": amount}
    folder = folder_of(userdir, name)
    actor, id = f"{getuser()} in a terminal", uuid4().hex
    wish = Wish(ControlAction(action), actor, values=dict(values), id=id)
    try:
        answer = ask(folder, wish)
    except UsageError:
        raise
    except AbidanceError:
        answer = ask(folder, wish)  # under its id it is obeyed once
    told = [word for word in answer.notices if word.code.startswith("loan_")]
    if answer.error or not told:
        raise UsageError(answer.error or "The bot said nothing.", answer.remedy or "Look at its log.")
    if told[0].code == "loan_refused":
        raise UsageError(told[0].text, "Nothing was asked for.")
    typer.echo(visible(told[0].text))
    for notice in outcome_of(folder, answer.seq, PATIENCE):
        typer.echo(visible(notice.text))
        if notice.code == "loan_done":
            return
        if notice.code == "loan_refused":
            raise typer.Exit(1)
    typer.echo(f"The bot goes on to find out: abidance loans list {visible(name)}")
    raise typer.Exit(1)


__all__ = ["app"]
