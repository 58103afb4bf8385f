"""Commands about strategies: write a new one, list what is there."""

import shlex
from typing import Annotated

import typer

from abidance.cli.data import DEFAULT_USERDIR, UserDir
from abidance.cli.options import strategies_folder
from abidance.cli.terminal import visible


def new_strategy(
    name: Annotated[str, typer.Argument(help="Class name, such as MyTrend.")],
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Write a runnable strategy file to start from."""
    from abidance.run.plugins import write_strategy

    path, cls = write_strategy(name, strategies_folder(userdir))
    home = "" if userdir == DEFAULT_USERDIR else f" --userdir {shlex.quote(str(userdir))}"
    typer.echo(f"Wrote {visible(str(path))}")
    typer.echo(f"Try it: abidance backtest -s {cls} -p BTC/USDT{visible(home)}")


def list_strategies(userdir: UserDir = DEFAULT_USERDIR) -> None:
    """List the shipped strategies and your own, with their parameters."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from abidance.model.errors import StrategyError
    from abidance.run.plugins import available
    from abidance.strategy.parameters import parameters_of

    table = Table(box=None, pad_edge=False)
    for heading in ("Strategy", "Idea", "Parameters"):
        table.add_column(heading, overflow="fold")
    for name, found in available(strategies_folder(userdir)).items():
        if isinstance(found, StrategyError):
            table.add_row(Text(visible(name)), Text(visible(found.found), style="red"), "")
            continue
        idea = (found.__doc__ or "").strip().splitlines()
        values = ", ".join(f"{key}={parameter.default}" for key, parameter in parameters_of(found).items())
        table.add_row(*map(Text, map(visible, (name, idea[0] if idea else "", values))))
    Console(highlight=False).print(table)
