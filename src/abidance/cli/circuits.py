"""`abidance circuits`: what a bot does not rely on now, and closing that by hand."""

from typing import Annotated

import typer

from abidance.cli.data import DEFAULT_USERDIR, UserDir
from abidance.cli.tables import table_of
from abidance.run.folders import folder_of


def circuits(
    name: Annotated[str, typer.Argument(help="The bot's name: its folder under runs/.")],
    reset: Annotated[
        bool, typer.Option("--reset", help="Close them in the running bot; your name is on record.")
    ] = False,
    venue: Annotated[str, typer.Option("--venue", help="With --reset: those of this venue only.")] = "",
    part: Annotated[str, typer.Option("--part", help="With --reset: those of this kind only.")] = "",
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """List the circuits of a bot that are not closed: where it takes no new risk, why, and since when.

    They close by themselves once it is proven that all is well. One that is reset opens again if the trouble lasts.
    """
    from getpass import getuser

    from rich.console import Console

    from abidance.cli.terminal import visible
    from abidance.market.store import show
    from abidance.model.errors import UsageError
    from abidance.model.event import ControlAction, Part
    from abidance.run.bot import JOURNAL
    from abidance.run.circuits import open_circuits
    from abidance.run.door import Wish, ask

    folder = folder_of(userdir, name)
    if part and part not in tuple(Part):
        raise UsageError(f"There is no circuit {part!r}.", f"There are: {', '.join(Part)}.")
    if reset:
        actor = f"{getuser()} in a terminal"
        wish = Wish(
            ControlAction.RESET_CIRCUITS,
            actor,
            values={"venue": venue.strip().upper(), "part": part},
        )
        answer = ask(folder, wish)
        if answer.error:
            raise UsageError(answer.error, answer.remedy)
        typer.echo(visible(" ".join(word.text for word in answer.notices)))
        return
    if not (folder / JOURNAL).is_file():
        raise UsageError(f"There is no bot in {folder}.", "See runs/ in the user directory for their names.")
    found = open_circuits(folder / JOURNAL)
    if not found:
        typer.echo(f"Every circuit of {visible(name)} is closed.")
        return
    table = table_of("venue", "circuit", "state", "since", "why")
    for each in found:
        since = show(each.ts)
        table.add_row(each.venue or "every one", each.part, each.state, since, visible(each.reason))
    Console(highlight=False).print(table)


__all__ = ["circuits"]
