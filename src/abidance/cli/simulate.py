"""`abidance simulate`: run strategies over markets that might have been, or under stress, and show the spread."""

import os
from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from abidance.cli import options
from abidance.cli.data import DEFAULT_USERDIR, UserDir
from abidance.cli.options import RunOptions
from abidance.cli.terminal import visible

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from abidance.run.outlook import Happening, Outlook
    from abidance.run.simulating import Simulation

WIDTH = 80
BINS = 15
"""The most rows of the histogram."""
_BAR = 40
CODES = 6
"""The most codes of refusals, and of breakers, that are shown; the JSON holds them all."""


def simulate(
    config: options.Configs = None,
    strategy: options.Strategies = None,
    pairs: options.Pairs = None,
    market: Annotated[
        str,
        typer.Option("--market", help="gbm, garch, regimes, bootstrap, or real for what happened."),
    ] = "bootstrap",
    stress: Annotated[
        str,
        typer.Option(
            "--stress",
            help="Comma-separated: crash:-0.4:24:0.5@2024-03-01 (depth, bars, recovery), gap:-0.2@50%, halt:12,"
            " volatility:2x, liquidity:0.1x, fees:2x, slippage:3x, latency:500ms.",
        ),
    ] = "",
    path_count: Annotated[int, typer.Option("--paths", help="How many markets to run.")] = 200,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same markets.")] = 1,
    bars: Annotated[
        int | None, typer.Option("--bars", help="Bars of a generated path.", show_default="2000")
    ] = None,
    drift: Annotated[
        float | None,
        typer.Option(
            "--drift", help="Yearly growth of generated prices, 0 for none.", show_default="as it was"
        ),
    ] = None,
    ruin: Annotated[float, typer.Option("--ruin", help="The loss, as a share, that counts as ruin.")] = 0.3,
    jobs: Annotated[
        int | None, typer.Option("-j", "--jobs", help="Processes.", show_default="one a core")
    ] = None,
    timeframe: options.Timeframe = None,
    detail_timeframe: options.Detail = None,
    timerange: options.Timerange = None,
    fee: options.Fee = None,
    slippage: options.Slippage = None,
    stake_amount: options.Stake = None,
    dry_run_wallet: options.Wallet = None,
    setting: options.Settings = None,
    parameter: options.Parameters = None,
    store: options.Store = "",
    json_file: options.JsonFile = None,
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Run strategies over markets that might have been, or under stress, and show how the outcomes are spread.

    Markets are fitted to the stored bars of --timerange and begin with the first of them. --market real runs over those
    bars themselves: with it, a stress without a date strikes at another moment on each path.
    """
    from rich.console import Console

    from abidance.cli.backtest import Bar
    from abidance.research.stress import parse
    from abidance.run.outlook import outlook, to_json
    from abidance.run.simulating import Plan
    from abidance.run.simulating import simulate as run

    plan = Plan(market, parse(stress), path_count, seed, bars, drift, ruin, jobs)
    typed = RunOptions(
        config, strategy, pairs, timeframe, detail_timeframe, timerange, fee, slippage, stake_amount,
        dry_run_wallet, setting, parameter, store,
    )  # fmt: skip
    loaded = typed.load()
    console = Console(highlight=False)
    # The folder of compiled code is asked for when a kernel is imported.
    os.environ["ABIDANCE_HOME"] = str(userdir.expanduser())
    began = perf_counter()
    with Bar(loaded, "Simulating") as bar:
        done = run(
            loaded,
            options.catalog_of(userdir, loaded.store),
            plan,
            options.strategies_folder(userdir),
            bar.advance,
            bar.say,
        )
    took = perf_counter() - began
    found = outlook(done)
    try:
        if json_file is not None:
            from abidance.backtest.export import write_whole

            write_whole(json_file, to_json(done, found))
    finally:
        console.print(shown(done, found, took, ascii_only=console.options.ascii_only))
    if json_file is not None:
        console.print(visible(f"Result:  {json_file}"), soft_wrap=True, markup=False)


def shown(
    simulation: "Simulation", found: "Outlook", seconds: float, *, ascii_only: bool = False
) -> "RenderableType":
    """Return what a simulation came to as one renderable no wider than 80 columns."""
    from rich.console import Group
    from rich.constrain import Constrain
    from rich.text import Text

    from abidance.run.outlook import sentence, title

    parts: list[RenderableType] = [
        Text(visible(f"Note: {note}"), style="yellow") for note in _notes(simulation)
    ]
    if parts:
        parts.append(Text())
    names = ", ".join(each.name for each in simulation.config.strategies)
    parts += [Text(visible(names), style="bold"), Text(visible(title(simulation)), style="dim")]
    parts += [Text(sentence(simulation, found)), Text()]
    if found.loss.total > 1:
        returns = [path.total_return for path in simulation.paths]
        parts += [_table(simulation, found), Text(), *_histogram(returns, "#" if ascii_only else "█"), Text()]
    parts += [Text(line) for line in _figures(simulation, found)]
    parts += _codes("Breakers and failures", found.breakers)
    parts += _codes("Refused orders", found.refusals)
    count = found.loss.total
    parts.append(Text(f"{count:,} path{'s' * (count != 1)} in {seconds:.1f} s.", style="dim"))
    return Constrain(Group(*parts), WIDTH)


def _notes(simulation: "Simulation") -> list[str]:
    from abidance.backtest.wording import format_percent

    notes = list(simulation.notes)
    growth = simulation.facts.get("yearly_growth")
    if simulation.plan.growth is None and isinstance(growth, list):
        rates = [format_percent(each, 0, signed=True) for each in sorted({min(growth), max(growth)})]
        notes.append(
            f"Prices grow by {' to '.join(rates)} a year, as they did; --drift 0 shows what is left without that."
        )
    return notes


def _table(simulation: "Simulation", found: "Outlook") -> "Table":
    from rich import box
    from rich.table import Table

    from abidance.backtest.wording import format_money
    from abidance.run.outlook import SHARES

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("Paths below")
    for name in ("Final equity", "Return", "Max drawdown", "Buy and hold"):
        table.add_column(name, justify="right", no_wrap=True)
    for at, share in enumerate(SHARES):
        table.add_row(
            f"{share:.0%}" if share != 0.5 else "50% (middle)",
            format_money(found.final_equity[at], simulation.config.currency),
            f"{found.total_return[at]:+,.1%}",
            f"{found.max_drawdown[at]:,.1%}",
            f"{found.buy_and_hold[at]:+,.1%}",
        )
    return table


def _histogram(returns: Sequence[float], block: str) -> "list[RenderableType]":
    import numpy as np
    from rich.text import Text

    from abidance.backtest.wording import format_percent

    counts, edges = np.histogram(returns, bins=min(BINS, max(2, len(returns) // 4)))
    if edges[-1] - edges[0] < 1e-9:
        return [Text(f"All paths return {format_percent(returns[0], signed=True)}.")]
    digits = 1 if edges[1] - edges[0] >= 0.002 else 3
    lines: list[RenderableType] = [Text("Returns of the paths", style="bold")]
    for low, high, count in zip(edges[:-1], edges[1:], counts.tolist(), strict=True):
        sides = " to ".join(f"{each:>+9,.{digits}%}" for each in (low, high))
        style = "red" if high <= 0 else "green" if low >= 0 else "yellow"
        bar = block * round(_BAR * count / counts.max()) or ("." if count else "")
        lines.append(Text.assemble(f"{sides} ", (f"{bar} ", style), (str(count or ""), "dim")))
    return lines


def _figures(simulation: "Simulation", found: "Outlook") -> list[str]:
    from abidance.backtest.wording import format_money, format_number, format_percent

    currency = simulation.config.currency
    mean = (
        f"{format_number(found.mean_trades, 1)} trades, {format_money(found.mean_costs, currency)} of costs"
    )
    if found.loss.total == 1:
        return [f"Traded: {mean}. Buy and hold: {format_percent(found.worst.buy_and_hold, signed=True)}."]
    chances = (
        ("Probability of loss", found.loss),
        (f"Risk of losing {format_percent(simulation.plan.ruin, 0)} or more", found.ruin),
        ("Behind buy and hold", found.behind_buy_and_hold),
    )
    lines = [
        f"{name + ':':<33}{format_percent(each.share):>7}   ({format_percent(each.low)} to"
        f" {format_percent(each.high)} with 95 % confidence)"
        for name, each in chances
    ]
    worst = found.worst
    fell = f"number {worst.number}, drawdown {format_percent(worst.max_drawdown)}"
    return [
        *lines,
        f"{'Mean of the paths:':<33}{format_percent(found.mean_return, signed=True):>7}   {mean}",
        f"{'Worst path:':<33}{format_percent(worst.total_return, signed=True):>7}   {fell}",
    ]


def _codes(name: str, happened: "dict[str, Happening]") -> "list[RenderableType]":
    from rich.text import Text

    if not happened:
        return []
    lines: list[RenderableType] = [Text(), Text(name, style="bold")]
    for code, each in list(happened.items())[:CODES]:
        lines.append(
            Text(visible(f"  {code:<24} {each.count:>9,} on {each.paths:,} path{'s' * (each.paths != 1)}"))
        )
    if len(happened) > CODES:
        lines.append(Text(f"  and {len(happened) - CODES} more", style="dim"))
    return [*lines, Text()]
