"""Commands about strategies: write a new one, list what is there."""

from pathlib import Path
from typing import Annotated

import typer

from abidance.cli.data import DEFAULT_USERDIR, UserDir
from abidance.cli.options import strategies_folder


def new_strategy(
    name: Annotated[str, typer.Argument(help="Class name, such as MyTrend.")], userdir: UserDir = DEFAULT_USERDIR
) -> None:
    """Write a runnable strategy file to start from."""
    from abidance.run.plugins import write_strategy

    path: Path = write_strategy(name, strategies_folder(userdir))
    typer.echo(f"Wrote {path}")
    typer.echo(f"Try it: abidance backtest -s {name} -p BTC/USDT")


def list_strategies(userdir: UserDir = DEFAULT_USERDIR) -> None:
    """List the shipped strategies and your own, with their parameters."""
    from rich.console import Console
    from rich.table import Table

    from abidance.model.errors import StrategyError
    from abidance.run.plugins import available
    from abidance.strategy.parameters import parameters_of

    table = Table(box=None, pad_edge=False)
    for heading in ("Strategy", "Idea", "Parameters"):
        table.add_column(heading, overflow="fold")
    for name, found in available(strategies_folder(userdir)).items():
        if isinstance(found, StrategyError):
            table.add_row(name, f"[red]{found.found}[/]", "")
            continue
        idea = (found.__doc__ or "").strip().splitlines()
        values = ", ".join(f"{key}={parameter.default}" for key, parameter in parameters_of(found).items())
        table.add_row(name, idea[0] if idea else "", values)
    Console(highlight=False).print(table)
