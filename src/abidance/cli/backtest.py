"""`abidance backtest`: run strategies over stored bars and show what came of it."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from abidance.cli import options
from abidance.cli.data import DEFAULT_USERDIR, UserDir
from abidance.cli.options import RunOptions
from abidance.cli.terminal import visible
from abidance.cli.trials import NoCount, count_trial

DIFFERENT = "different"
Engine = Annotated[
    Literal["event", "compiled", "both"],
    typer.Option(
        "--engine", help="What runs it: event by event, compiled, or both, which are then compared."
    ),
]

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from abidance.backtest.result import BacktestResult
    from abidance.run.config import RunConfig


def backtest(
    config: options.Configs = None,
    strategy: options.Strategies = None,
    pairs: options.Pairs = None,
    timeframe: options.Timeframe = None,
    detail_timeframe: options.Detail = None,
    timerange: options.Timerange = None,
    fee: options.Fee = None,
    slippage: options.Slippage = None,
    stake_amount: options.Stake = None,
    dry_run_wallet: options.Wallet = None,
    parameter: options.Parameters = None,
    setting: options.Settings = None,
    store: options.Store = "",
    json_file: options.JsonFile = None,
    report: options.ReportFile = None,
    engine: Engine = "event",
    no_count: NoCount = False,
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Run strategies over stored bars and show what came of it.

    With no data of your own the bundled sample is used: BTC ETH BNB SOL XRP ADA DOGE /USDT@BINANCE, 1h, 2023-01 to
    2025-06.
    """
    from rich.console import Console

    typed = RunOptions(
        config, strategy, pairs, timeframe, detail_timeframe, timerange, fee, slippage, stake_amount,
        dry_run_wallet, setting, parameter, store,
    )  # fmt: skip
    loaded = typed.load()
    console = Console(highlight=False)
    with Bar(loaded, "Backtesting") as bar:
        result, told = _run(engine, loaded, userdir, bar)
    if not no_count:
        count_trial(result, userdir)
    present(result, console, json_file, report)
    for line in told:
        console.print(visible(line), soft_wrap=True, markup=False)
    if any(line.startswith(DIFFERENT) for line in told):
        raise typer.Exit(1)


def _run(engine: str, config: "RunConfig", userdir: Path, bar: "Bar") -> "tuple[BacktestResult, list[str]]":
    """Return the result of an executor, and what is to be said about it; `both` is that of the event engine."""
    source, folder = options.catalog_of(userdir, config.store), options.strategies_folder(userdir)
    if engine == "event":
        from abidance.run.backtest import backtest as run

        return run(config, source, folder, bar.advance), []
    # The folder of compiled code is asked for when a kernel is imported.
    os.environ["ABIDANCE_HOME"] = str(userdir.expanduser())
    from abidance.backtest.parity import TOLERANCE, first_difference
    from abidance.run.compiled import compiled_backtest, fallback_of

    result = compiled_backtest(config, source, folder, bar.advance, bar.say)
    if (reason := fallback_of(result)) or engine == "compiled":
        return result, [f"Note: {reason}"] if reason else []
    from abidance.run.backtest import backtest as run

    truth = run(config, source, folder, bar.advance)
    if (difference := first_difference(truth, result)) is not None:
        return truth, [f"{DIFFERENT} (event engine, then compiled): {difference}"]
    return truth, [f"identical: {len(truth.fills):,} fills, equity equal to {TOLERANCE:g}"]


def present(
    result: "BacktestResult",
    console: "Console",
    json_file: Path | None,
    report: Path | None,
    command: str = "",
) -> None:
    """Print the results table and write the files that were asked for."""
    from abidance.backtest.breakdown import metrics_of
    from abidance.cli.results import results_table

    metrics = metrics_of(result)
    written = []
    try:  # the files come first, so that a reader who leaves costs none of them; the table comes in any case
        if json_file is not None:
            from abidance.backtest.export import write_json

            written.append(f"Result:  {write_json(result, json_file, metrics)}")
        if report is not None:
            from abidance.backtest.report import write_report

            page = write_report(result, report, metrics=metrics, command=command or _command())
            written.append(f"Report:  {page}")
    finally:
        console.print(results_table(result, *metrics))
    for line in written:
        console.print(visible(line), soft_wrap=True, markup=False)


def _command() -> str:
    return shlex.join(["abidance", *sys.argv[1:]])


class Bar:
    """A progress bar on the error stream while a run goes on; silent when nobody watches."""

    def __init__(self, config: "RunConfig", text: str) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        names = ", ".join(each.name or each.strategy for each in config.strategies)
        self._progress = _progress(self._console, f"{text} {names}") if self._console.is_terminal else None

    def __enter__(self) -> "Bar":
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def say(self, text: str) -> None:
        """Show a line above the bar."""
        self._console.print(visible(text), markup=False)

    def advance(self, done: int, total: int) -> None:
        """Show that `done` of `total` are through."""
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], completed=done, total=total)


def _progress(console: "Console", text: str) -> "Progress":
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    progress = Progress(
        TextColumn(text), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), console=console, transient=True
    )  # fmt: skip
    progress.add_task(text, total=None)
    return progress
