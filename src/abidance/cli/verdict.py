"""`abidance verdict`: say whether what a backtest shows is more than luck."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from abidance.cli import options, paths
from abidance.cli.backtest import Bar
from abidance.cli.data import DEFAULT_USERDIR, UserDir
from abidance.cli.options import RunOptions
from abidance.cli.terminal import visible
from abidance.cli.trials import NoCount, trial_counter

if TYPE_CHECKING:
    from rich.console import RenderableType

    from abidance.research.validate import Verdict

_STYLES = {"pass": "green", "warn": "yellow", "fail": "bold red", "skip": "dim"}

HtmlFile = Annotated[
    Path | None, typer.Option("--html", callback=paths.output, help="Write the verdict as one HTML page.")
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", callback=paths.output, help="Write the verdict as JSON.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with code 1 when a check fails.")]
Trials = Annotated[
    int, typer.Option("--trials", min=1, help="How often the idea was tried in all, elsewhere too.")
]
Metric = Annotated[
    str, typer.Option("--metric", help="Choose settings by: sharpe, return, sortino or calmar.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Equal seeds give equal verdicts.")]
Variants = Annotated[
    int | None, typer.Option("--variants", min=0, max=1_000, help="Neighbouring settings to run.")
]
Permutations = Annotated[
    int | None,
    typer.Option("--permutations", min=0, max=10_000, help="Runs with the decisions moved in time."),
]
Folds = Annotated[
    int,
    typer.Option(
        "--folds", min=2, max=20, help="Tests of a walk forward, and folds of the cross-validation."
    ),
]
Groups = Annotated[
    int, typer.Option("--groups", min=3, max=12, help="Groups of the combinatorial splits; two are tested.")
]
Purged = Annotated[
    int | None,
    typer.Option("--purge", min=0, help="Days left out beside what is judged (default: a round trip)."),
]
Embargoed = Annotated[
    int | None,
    typer.Option("--embargo", min=0, help="Days left out after what is judged (default: 1 % of all)."),
]
Noise = Annotated[int | None, typer.Option("--noise", min=0, max=1_000, help="Runs on disturbed prices.")]


def verdict(
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
    metric: Metric = "sharpe",
    trials: Trials = 1,
    no_count: NoCount = False,
    variants: Variants = None,
    permutations: Permutations = None,
    noise: Noise = None,
    folds: Folds = 5,
    groups: Groups = 8,
    purge: Purged = None,
    embargo: Embargoed = None,
    seed: Seed = 1,
    strict: Strict = False,
    html_file: HtmlFile = None,
    json_file: JsonFile = None,
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Say whether what a backtest shows is more than luck, check by check, with a plain sentence for each.

    A strategy that fails is a result, not an error: the exit code is 0 unless --strict is given.
    """
    from rich.console import Console

    from abidance.run.verdict import Settings, judge

    typed = RunOptions(
        config, strategy, pairs, timeframe, detail_timeframe, timerange, fee, slippage, stake_amount,
        dry_run_wallet, setting, parameter, store,
    )  # fmt: skip
    loaded = typed.load()
    # The folder of compiled code is asked for when a kernel is imported.
    os.environ["ABIDANCE_HOME"] = str(userdir.expanduser())
    with Bar(loaded, "Judging") as bar:
        found = judge(
            loaded,
            options.catalog_of(userdir, loaded.store),
            options.strategies_folder(userdir),
            counter=None if no_count else trial_counter(userdir),
            settings=Settings(
                seed, variants, permutations, noise, metric, trials, folds, groups, purge, embargo
            ),
            progress=bar.advance,
            say=bar.say,
        )
    console, written = Console(highlight=False), []
    try:  # what took a minute is shown, whatever becomes of the files
        written = _write(found, html_file, json_file)
    finally:
        console.print(_shown(found))
    for line in written:
        console.print(visible(line), soft_wrap=True, markup=False)
    if strict and found.mark == "fail":
        raise typer.Exit(1)


def _write(found: "Verdict", html_file: Path | None, json_file: Path | None) -> list[str]:
    """Write what was asked for and return a line about each file."""
    from abidance.backtest.export import write_whole

    written = []
    if json_file is not None:
        from abidance.research.page import to_json

        written.append(f"Result:  {write_whole(json_file, to_json(found))}")
    if html_file is not None:
        from abidance.research.page import render

        page = render(found, shlex.join(["abidance", *sys.argv[1:]])).encode("utf-8", "replace")
        written.append(f"Page:    {write_whole(html_file, page)}")
    return written


def _shown(found: "Verdict") -> "RenderableType":
    from rich import box
    from rich.console import Group
    from rich.constrain import Constrain
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("Check", min_width=22)
    table.add_column("Mark")
    table.add_column("What was found", overflow="fold")
    for check in found.checks:
        mark = Text(str(check.mark), style=_STYLES[check.mark])
        table.add_row(check.name, mark, visible(check.sentence))
    title = Text(visible(f"{found.strategy} on {', '.join(found.instruments)}"), style="bold")
    period = Text(f"{' to '.join(found.period)} UTC, {found.details['runs']:,} runs", style="dim")
    if fallback := found.details["fallback"]:
        period.append(visible(f"\nThe event engine made runs, which takes longer: {fallback}"))
    last = Text.assemble((f"{found.mark.upper()}  ", _STYLES[found.mark]), visible(found.sentence))
    note = Text(
        "docs/validation.md says what each check asks, and why its thresholds are where they are.", "dim"
    )
    return Constrain(Group(title, period, Text(), table, Text(), last, note), 110)
