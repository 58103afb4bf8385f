"""`abidance kill`: the switch that stops a bot, whatever state it is in."""

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from abidance.cli.data import DEFAULT_USERDIR, UserDir
from abidance.run.folders import folder_of
from abidance.run.killing import Extent

if TYPE_CHECKING:
    from pathlib import Path

Name = Annotated[str, typer.Argument(help="The bot's name: its folder under runs/.")]

_NOBODY = (
    "No process of {} runs now. What it left at a venue stands there until the bot is started, which takes that back first"
    " and enters nothing, or until you take it back at the venue."
)


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
    release: Annotated[bool, typer.Option("--release", help="End a halt, of a breaker too.")] = False,
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Stop a bot at once: what rests to enter is taken back, and nothing is entered until you release it.

    The switch is a file on the disk: it works while nothing else does, and stays thrown over restarts. Whether the bot
    has seen it is asked, and told.
    """
    from abidance.model.errors import UsageError
    from abidance.run import releasing

    folder = folder_of(userdir, name)
    if release:
        found = releasing.release(folder, f"{getpass.getuser()} in a terminal")
        if not found.is_ended:
            raise UsageError(f"{name} is not halted.", "There is nothing to release.")
        if found.silence:
            typer.echo(f"The kill switch of {name} is taken back. The bot does not answer: {found.silence}")
        else:
            typer.echo(f"Released: {name} may enter again as soon as its accounts are compared.")
        return
    _throw(name, folder, extent)


def _throw(name: str, folder: "Path", extent: Extent) -> None:
    """Throw the switch, and say what becomes of that. Raises AbidanceError where a bot runs and has not seen it."""
    from abidance.cli.trade import is_running
    from abidance.model.errors import AbidanceError, DataError
    from abidance.run import killing
    from abidance.run.door import NotRunningError, heed

    fault: OSError | None = None
    is_new, answer = True, None
    try:
        is_new = killing.kill(folder, getpass.getuser(), extent)
    except OSError as error:
        fault = error
    if fault is None and is_new:
        typer.echo(
            f"Killed ({extent.value}): {name} enters nothing any more. Release it with: abidance kill {name} --release"
        )
    elif fault is None:
        typer.echo(f"The kill switch of {name} is thrown already.")
    try:
        answer = heed(folder, extent, is_unwritten=fault is not None)
    except NotRunningError:
        if fault is not None:
            told = f"The kill switch of {name} could not be thrown: {fault.strerror}."
            raise DataError(told, "Nothing answers at its door. Make room, then throw it again.") from fault
    if answer is None and is_running(folder):
        typer.echo(
            f"{name} runs without a door, so that it cannot be asked: it looks for the switch by itself."
        )
    elif answer is None:
        typer.echo(_NOBODY.format(name))
    elif answer.error:
        raise AbidanceError(answer.error, answer.remedy)
    elif fault is not None:
        raise DataError(
            f"The disk did not take it ({fault.strerror}): the bot keeps to it only until its process ends.",
            "Make room, then throw it again.",
        )
