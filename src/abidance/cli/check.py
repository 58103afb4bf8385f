"""`abidance check-strategy`: is a strategy honest? A verdict and a plain sentence for each check."""

import io
import json
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated

import typer

from abidance.cli import options
from abidance.cli.backtest import Bar
from abidance.cli.data import DEFAULT_USERDIR, UserDir
from abidance.cli.options import RunOptions
from abidance.cli.terminal import visible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from abidance.research.bias.report import Check, StrategyReport

_WIDTH = 100
_COLOURS = {"pass": "green", "warn": "yellow", "fail": "red", "unchecked": "dim"}
_CONCLUSIONS = {
    "pass": "Honest as far as this can tell: it decides by what was known at the time, always alike.",
    "warn": "Nothing is proven against it. Read the warnings.",
    "fail": "Do not trust its results before this is mended.",
    "unchecked": "Nothing could be checked.",
}


def check_strategy(
    config: options.Configs = None,
    strategy: options.Strategies = None,
    pairs: options.Pairs = None,
    timeframe: options.Timeframe = None,
    timerange: options.Timerange = None,
    setting: options.Settings = None,
    parameter: options.Parameters = None,
    store: options.Store = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the answers as JSON.")] = False,
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Check whether a strategy looks ahead, repaints, needs more warm-up or decides differently each time.

    Exit code 5 when a check fails. With no data of your own the bundled sample is used.
    """
    from rich.console import Console

    from abidance.model.errors import StrategyError
    from abidance.run.checking import check_strategies

    typed = RunOptions(
        config, strategy, pairs, timeframe,
        timerange=timerange, settings=setting, parameters=parameter, store=store,
    )  # fmt: skip
    loaded = typed.load()
    # A strategy that prints would do so some hundred times, and into the JSON.
    with Bar(loaded, "Checking") as bar, redirect_stdout(io.StringIO()):
        reports = check_strategies(
            loaded, options.catalog_of(userdir, loaded.store), options.strategies_folder(userdir), bar.advance
        )
    if as_json:
        typer.echo(json.dumps([report.plain() for report in reports], indent=2, allow_nan=False))
    else:
        present(reports, Console(highlight=False))
    if any(report.verdict == "fail" for report in reports):
        raise typer.Exit(StrategyError.exit_code)


def present(reports: "tuple[StrategyReport, ...]", console: "Console") -> None:
    """Print a table for each strategy, and what it comes to."""
    from rich.constrain import Constrain

    for number, report in enumerate(reports):
        if number:
            console.print()
        for part in _parts(report):
            console.print(Constrain(part, _WIDTH))


def _parts(report: "StrategyReport") -> "list[RenderableType]":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in report.checks:
        verdict = Text(check.verdict.value.upper(), style=_COLOURS[check.verdict])
        table.add_row(Text(check.name), verdict, _told(check))
    conclusion = Text(_CONCLUSIONS[report.verdict], style=_COLOURS[report.verdict])
    return [Text(_title(report), style="bold"), Text(), table, conclusion]


def _title(report: "StrategyReport") -> str:
    from abidance.research.bias.subject import moment

    where = ", ".join(report.instruments[:3])
    more = f" and {len(report.instruments) - 3} more" if len(report.instruments) > 3 else ""
    span = f"{moment(report.start)[:10]} to {moment(report.end)[:10]}"
    title = f"{report.strategy} on {where}{more}, {report.timeframe}, {report.bars:,} bars from {span}"
    if report.replayed < report.bars:
        title += f"; replayed were the latest {report.replayed:,}, from {moment(report.since)[:10]} on"
    return visible(title)


def _told(check: "Check") -> "Text":
    from rich.text import Text

    text = Text(visible(check.sentence))
    if check.remedy:
        text.append(f" {visible(check.remedy)}", style="dim")
    return text
