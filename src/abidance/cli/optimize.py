"""`abidance optimize`: search a strategy's parameters, and show what was found and how firm it is."""

import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from abidance.cli import options, paths, terminal
from abidance.cli.data import DEFAULT_USERDIR, UserDir
from abidance.cli.options import RunOptions
from abidance.cli.terminal import visible
from abidance.cli.trials import NoCount, trial_counter
from abidance.model.errors import ConfigError, StrategyError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from abidance.research.findings import Findings
    from abidance.research.optimise import Standing
    from abidance.run.optimising import Optimisation
    from abidance.run.recipe import Executor

SHOWN = 10
"""Rows of the table of trials."""
_COLUMNS = ("total_return", "sharpe", "max_drawdown", "trades")

Objectives = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        "--objective",
        help="sharpe, calmar, turnover:min, path.py:function ...; repeatable (default: sharpe).",
    ),
]
Requirements = Annotated[
    list[str] | None,
    typer.Option("--require", help='What the choice must fulfil: "max_drawdown > -0.3". Repeatable.'),
]
Spaces = Annotated[
    list[str] | None,
    typer.Option("--space", help="Range of a parameter: fast=5:50:5, fast=10,20 or fast=20. Repeatable."),
]
Tunes = Annotated[
    list[str] | None,
    typer.Option("--tune", help="Search exits or sizing too: exits.stop_loss=0.01:0.1. Repeatable."),
]
Sampler = Annotated[
    str | None, typer.Option("--sampler", help="tpe, cmaes, nsga2, qmc, grid or random (default: tpe).")
]
Epochs = Annotated[
    int | None,
    typer.Option("-e", "--epochs", min=1, help="Trials in the whole study (default: 100, or the grid)."),
]
Patience = Annotated[
    int | None, typer.Option("--patience", min=1, help="Stop after so many trials without a better one.")
]
Jobs = Annotated[int | None, typer.Option("-j", "--jobs", min=1, help="Processes (default: one a core).")]
Engine = Annotated[
    Literal["event", "compiled"],
    typer.Option("--engine", help="What runs the trials; what compiled code lacks, the event engine runs."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="With -j 1, equal seeds give equal searches.")]
TrainUntil = Annotated[
    str | None,
    typer.Option("--train-until", help="Recommended: search before this date, judge on what comes after."),
]
Name = Annotated[str, typer.Option("--name", help="Name of the study (default: the strategy's).")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Forget the study of that name and begin anew.")]
StorageUrl = Annotated[
    str | None, typer.Option("--storage", help="postgresql://user:password@host/database, for several hosts.")
]
ClusterUrl = Annotated[str | None, typer.Option("--cluster", help="Dask scheduler: tcp://host:8786.")]
Apply = Annotated[bool, typer.Option("--apply", help="Write the choice beside the strategy.")]
TrialNumber = Annotated[int | None, typer.Option("--trial", min=0, help="Apply this trial, not the best.")]
JsonFile = Annotated[
    Path | None, typer.Option("--json", callback=paths.output, help="Write everything as JSON.")
]
HtmlFile = Annotated[
    Path | None, typer.Option("--html", callback=paths.output, help="Write the findings as one HTML page.")
]


def optimize(
    config: options.Configs = None,
    strategy: options.Strategies = None,
    pairs: options.Pairs = None,
    timeframe: options.Timeframe = None,
    detail_timeframe: options.Detail = None,
    timerange: options.Timerange = None,
    objective: Objectives = None,
    require: Requirements = None,
    space: Spaces = None,
    tune: Tunes = None,
    sampler: Sampler = None,
    epochs: Epochs = None,
    patience: Patience = None,
    jobs: Jobs = None,
    seed: Seed = 0,
    train_until: TrainUntil = None,
    name: Name = "",
    fresh: Fresh = False,
    storage: StorageUrl = None,
    cluster: ClusterUrl = None,
    apply: Apply = False,
    trial: TrialNumber = None,
    fee: options.Fee = None,
    slippage: options.Slippage = None,
    stake_amount: options.Stake = None,
    dry_run_wallet: options.Wallet = None,
    setting: options.Settings = None,
    store: options.Store = "",
    param: options.Parameters = None,
    json_file: JsonFile = None,
    html: HtmlFile = None,
    engine: Engine = "compiled",
    no_count: NoCount = False,
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Search a strategy's parameters; the study goes on where it was left, by as many processes as you start.

    The best of many tries looks better than it is: hold bars back with --train-until, and ask `abidance verdict`.
    """
    if find_spec("optuna") is None:
        raise UsageError(
            "Optimisation needs the extra `optimise`.", "Install it: pip install 'abidance[optimise]'"
        )
    # The folder of compiled code is asked for when a kernel is imported, here and in workers.
    os.environ["ABIDANCE_HOME"] = str(userdir.expanduser())
    from rich.console import Console

    from abidance.run.optimising import Home, Optimisation, Request

    typed = RunOptions(
        config, strategy, pairs, timeframe, detail_timeframe, timerange, fee, slippage, stake_amount, dry_run_wallet,
        setting, param, store,
    )  # fmt: skip
    loaded = typed.load()
    request = Request(
        name=name,
        objectives=objective or ("sharpe",),
        requirements=require or (),
        spaces=space or (),
        tunes=tune or (),
        sampler=sampler,
        epochs=epochs,
        patience=patience,
        jobs=jobs or _cores(),
        seed=seed,
        train_until=train_until,
        fresh=fresh,
        storage=storage,
        cluster=cluster,
    )
    counter = None if no_count else trial_counter(userdir)
    folder = options.strategies_folder(userdir)
    home = Home(options.catalog_of(userdir, loaded.store), folder, userdir.expanduser() / "studies", counter)
    search = Optimisation(loaded, home, request, _executor(engine))
    console = Console(highlight=False)
    said = _compile(search) if engine == "compiled" else ""
    if search.resumed:
        console.print(
            visible(f"The study {search.name} goes on: it has {search.resumed:,} trials."), markup=False
        )
    with _Live(search) as live:
        findings = search.run(live.show)
    if search.uncounted is not None:
        terminal.complain(search.uncounted.found, search.uncounted.remedy)
    for reason, count in findings.fallbacks.items():
        if reason != said:
            told = f"Note: The event engine made {count:,} of the runs, which takes longer: {reason}"
            typer.echo(visible(told), err=True)
    _present(findings, console, json_file, html)
    if findings.ending == "interrupted":
        console.print("Interrupted: the study is kept; the same command goes on with it.", soft_wrap=True)
        raise typer.Exit(130)
    if apply or trial is not None:
        _apply(search, findings, trial, userdir, console)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _executor(engine: str) -> "Executor":
    if engine == "compiled":
        from abidance.run.compiled import compiled_backtest

        return compiled_backtest
    from abidance.run.backtest import backtest

    return backtest


def _compile(search: "Optimisation") -> str:
    """Run the search's starting point once: what must be compiled is then ready for all workers, and told once.

    Return why the event engine is needed for it, which is told too; empty where it is not.
    """
    from abidance.backtest import native
    from abidance.run.compiled import compiled_backtest, reason_of
    from abidance.run.recipe import first_time

    told = set[str]()

    def say(text: str) -> None:
        if text not in told:
            told.add(text)
            typer.echo(visible(text), err=True)

    with suppress(
        StrategyError, UsageError, ConfigError
    ):  # it is no setting to start from, and that is told later
        result = compiled_backtest(
            search.tuning.config, search.recipe.source, search.recipe.folder, None, say
        )
        if reason := reason_of(result):
            say(f"Note: The event engine makes the runs, which takes longer: {reason}")
        elif text := first_time(search.recipe):
            say(text)
            native.run_lane.prepare()
        return reason
    return ""


def _apply(
    search: "Optimisation", findings: "Findings", trial: int | None, userdir: Path, console: "Console"
) -> None:
    row = search.chosen(findings, trial)
    path = search.apply(row, options.strategies_folder(userdir))
    command = ["abidance", "backtest", "-c", str(path)]
    if whole := (search.after or search.tuning.config).timerange:
        command += ["--timerange", whole]
    if userdir != DEFAULT_USERDIR:
        command += ["--userdir", str(userdir)]
    console.print(visible(f"Applied: {path} (trial {row.number})"), soft_wrap=True, markup=False)
    console.print(visible(f"Use it:  {shlex.join(command)}"), soft_wrap=True, markup=False)


class _Live:
    """The progress of a search with its best so far, on the error stream; silent when nobody watches."""

    def __init__(self, search: "Optimisation") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._aim = search.aim
        console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("Searching"), BarColumn(bar_width=20), MofNCompleteColumn(), TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._progress.add_task("", total=search.effort.epochs, completed=search.resumed)

    def __enter__(self) -> "_Live":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, standing: "Standing") -> None:
        """Show how the search stands."""
        told = f"{standing.front} on the front" if not self._aim.is_one else "nothing yet"
        if standing.best is not None:
            values = " ".join(f"{name}={value}" for name, value in standing.best.values.items())
            told = f"best {self._aim.objectives[0].name} {standing.best.scores[0]:.4g} {values}"
        if standing.failed:
            told += f" ({standing.failed} failed)"
        if standing.elsewhere:
            told += f" (waiting for {standing.elsewhere} of other hosts)"
        self._progress.update(
            self._task,
            completed=standing.done,
            total=max(standing.total, standing.done),
            description=visible(told),
        )


def _present(findings: "Findings", console: "Console", json_file: Path | None, html: Path | None) -> None:
    """Write the files that were asked for and print the findings."""
    from abidance.backtest.export import write_whole
    from abidance.research.study_page import render_study

    written = []
    try:
        if json_file is not None:
            written.append(f"Findings: {write_whole(json_file, findings.to_json())}")
        if html is not None:
            page = render_study(findings, shlex.join(["abidance", *map(_unsecret, sys.argv[1:])]))
            written.append(f"Page:     {write_whole(html, page.encode('utf-8', 'replace'))}")
    finally:
        _print(findings, console)
    for line in written:
        console.print(visible(line), soft_wrap=True, markup=False)


def _unsecret(argument: str) -> str:
    """Return an argument without the password of a database."""
    from abidance.research.storage import masked

    return masked(argument) if "://" in argument else argument


def _print(findings: "Findings", console: "Console") -> None:
    def line(text: str, style: str = "") -> None:
        console.print(visible(text), style=style, soft_wrap=True, markup=False)

    counts = [(findings.count("complete"), "scored"), (findings.count("refused"), "without a score")]
    counts.append((findings.count("failed"), "ended without an answer"))
    told = ", ".join(f"{count:,} {words}" for count, words in counts if count)
    line(f"Study {findings.study}: {told or 'no trials'} ({findings.where})", "bold")
    reasons = [row.reason for row in findings.rows if row.state in {"refused", "failed"} and row.reason]
    if reasons:
        line(f"The last without a score: {reasons[-1]}", "dim")
    if findings.ending == "settled":
        line("It stopped early: nothing better was found for as long as --patience says.")
    if not findings.top:
        line("No trial has a score.")
        return
    if findings.plan.aim.is_one and findings.best is None:
        line("No trial fulfils the requirements; the nearest are shown.", "yellow")
    console.print(_trials(findings))
    if findings.importance:
        shares = sorted(findings.importance.items(), key=lambda item: -item[1])
        line("Importance: " + ", ".join(f"{name} {share:.0%}" for name, share in shares))
    if findings.ground is not None:
        line(findings.ground.sentence, "yellow" if findings.ground.shape == "peak" else "")
    if findings.judged:
        line(f"On bars that the search never saw ({findings.periods[1]}):", "bold")
        console.print(_judged(findings))
    else:
        line(
            "Chosen and measured on the same bars; --train-until DATE shows what is left of it later.", "dim"
        )


def _trials(findings: "Findings") -> Any:
    from rich.table import Table
    from rich.text import Text

    from abidance.research.study_page import figure_text

    aim = findings.plan.aim
    figures = [name for name in _COLUMNS if name not in {each.name for each in aim.objectives}]
    table = Table(box=None, pad_edge=False, header_style="bold")
    headings = ["Trial", *(each.name for each in aim.objectives), *findings.plan.space.dimensions, *figures]
    for heading in headings:
        table.add_column(Text(visible(heading)), justify="right", overflow="fold")
    for row in findings.top[:SHOWN]:
        values = [f"{row.values[name]}" for name in findings.plan.space.dimensions]
        cells = [str(row.number), *(f"{score:.4g}" for score in row.scores), *values]
        cells += [figure_text(name, row.metrics) for name in figures]
        table.add_row(*(Text(visible(cell)) for cell in cells), style="" if row.is_eligible else "dim")
    return table


def _judged(findings: "Findings") -> Any:
    from rich.table import Table
    from rich.text import Text

    from abidance.research.study_page import figure_text

    names = list(
        dict.fromkeys([*(o.name for o in findings.plan.aim.objectives if not o.is_function), *_COLUMNS])
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in names:
        table.add_column(Text(name), justify="right")
    for judged in findings.judged:
        for when, metrics in (("searched", judged.before), ("after", judged.after)):
            cells: Sequence[str] = [figure_text(name, metrics) for name in names]
            table.add_row(Text(visible(f"{judged.label}, {when}")), *map(Text, cells))
            if isinstance(metrics, str):
                table.add_row(Text(visible(metrics), style="dim"))
    return table
