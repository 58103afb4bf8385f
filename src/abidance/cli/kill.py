"""`abidance kill`: the switch that stops a bot, whatever state it is in."""

import getpass
from typing import Annotated

import typer

from abidance.cli.data import DEFAULT_USERDIR, UserDir
from abidance.run.killing import Extent

Name = Annotated[str, typer.Argument(help="The bot's name: its folder under runs/.")]


def kill(
    name: Name,
    extent: Annotated[
        Extent,
        typer.Option(
            "--extent",
            help="entries: enter nothing any more, keep what protects positions; all: take back protection too; flatten:"
            " close all positions at market.",
        ),
    ] = Extent.ENTRIES,
    release: Annotated[bool, typer.Option("--release", help="Take the switch back.")] = False,
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Stop a bot at once: what rests to enter is taken back, and nothing is entered until you release it.

    The switch is a file on the disk: it works while nothing else does, and stays thrown over restarts.
    """
    from abidance.model.errors import UsageError
    from abidance.run import killing

    folder = userdir.expanduser() / "runs" / name
    if release:
        if not killing.release(folder):
            raise UsageError(f"The kill switch of {name} is not thrown.", "There is nothing to release.")
        typer.echo(f"Released: {name} may enter again as soon as its accounts are compared.")
        return
    if killing.kill(folder, getpass.getuser(), extent):
        typer.echo(
            f"Killed ({extent.value}): {name} enters nothing any more. Release it with: abidance kill {name} --release"
        )
    else:
        typer.echo(f"The kill switch of {name} is thrown already.")
