"""`abidance demo`: what this program does, shown on the bundled market data in under half a minute."""

import shlex
import shutil
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from abidance.cli import options
from abidance.cli.data import DEFAULT_USERDIR, UserDir
from abidance.cli.trade import Stop, follow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from rich.console import Console

    from abidance.backtest.result import BacktestResult
    from abidance.cli.dashboard import Dashboard
    from abidance.market.bars import Bars
    from abidance.market.funding import Funding
    from abidance.model.order import Fill
    from abidance.run.config import RunConfig
    from abidance.run.setup import BarSource

PAPER = "20250501-"
"""What the paper bot trades: the last two months of the bundled data."""
HISTORY = "20250315-"
"""Where the bars begin that it knows at its start: enough for its slowest average, and quick to evaluate."""
SECONDS, WATCHED = 9.0, 240.0
"""How long the paper bot trades: in a terminal or a script, and for somebody who watches it in a browser."""


def demo(
    fast: Annotated[bool, typer.Option("--fast", help="Let the paper bot run as fast as it can.")] = False,
    live_like: Annotated[
        bool,
        typer.Option(
            "--live-like", help="Watch a paper bot on the live path, for a minute, on a local exchange."
        ),
    ] = False,
    dashboard: Annotated[
        bool | None,
        typer.Option(
            "--dashboard/--no-dashboard",
            help="Show it in a browser as well; by default where the pages were built, unless --fast.",
            show_default=False,
        ),
    ] = None,
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """See a backtest and a paper bot at work on bundled market data.

    Without a terminal it ends by itself after some 20 seconds. In one, the dashboard stays until Ctrl-C.
    """
    from rich.console import Console

    console = Console(highlight=False)
    folder = userdir.expanduser() / "demo"
    with _friendly(console):
        if live_like:
            from abidance.cli import livelike

            folder.mkdir(parents=True, exist_ok=True)
            livelike.live_like(console, folder)
            return
        console.print(
            "Two trend strategies on seven coins: first 30 months of real hourly prices in a backtest, then a bot that"
            " trades the last two of them on paper. No account, no network. Ctrl-C leaves at any time."
        )
        config = _settings(folder)
        wanted = not fast if dashboard is None else dashboard
        with (
            tempfile.TemporaryDirectory(prefix="paper-", dir=folder) as place,
            _beside(Path(place), userdir, console, is_wanted=wanted) as beside,
        ):
            _backtest(config, console, folder, userdir)
            is_watched = beside is not None and console.is_terminal
            seconds = 0.0 if fast else WATCHED if is_watched else SECONDS
            _conclude(console, folder, _paper(config, console, Path(place), userdir, seconds, beside))
            if beside is not None and is_watched:
                console.print(f"\nThe dashboard stays at {beside.address} until Ctrl-C.")
                with suppress(KeyboardInterrupt):
                    beside.wait()


@contextmanager
def _beside(
    place: Path, userdir: Path, console: "Console", *, is_wanted: bool
) -> "Iterator[Dashboard | None]":
    """Serve the dashboard over what the demo does, where it is wanted and there; say what is missing."""
    from abidance.cli.dashboard import Dashboard, missing

    if not is_wanted:
        yield None
        return
    if remedy := missing():
        console.print(f"The dashboard is not built here ({remedy} does it): this is the terminal alone.")
        yield None
        return
    with Dashboard(place, options.store_of(userdir), demo=True) as found:
        yield found


@contextmanager
def _friendly(console: "Console") -> "Iterator[None]":
    try:
        yield
    except KeyboardInterrupt:
        console.print(
            f"\nStopped; nothing is left running. To see all of it: {executable()} demo", soft_wrap=True
        )
        raise typer.Exit(130) from None


def _settings(folder: Path) -> "RunConfig":
    """Return the demo's configuration, and leave a copy of it where a user can find and change it."""
    from abidance.backtest.export import write_whole
    from abidance.run.config import load

    text = files("abidance").joinpath("data", "demo.toml").read_bytes()
    note = b"# Written by `abidance demo`, anew each time: copy it before you change it.\n#\n"
    # What is in the environment is for the user's own runs: the demo is the same everywhere.
    return load([write_whole(folder / "demo.toml", note + text)], {}, {})


def _backtest(config: "RunConfig", console: "Console", folder: Path, userdir: Path) -> None:
    from abidance.backtest.breakdown import metrics_of
    from abidance.backtest.report import write_report
    from abidance.cli.backtest import Bar
    from abidance.cli.results import results_table
    from abidance.run.backtest import backtest

    _heading(
        console,
        "1  Backtest",
        "Donchian breakouts and an EMA cross, half of the money each, all risk rules on",
    )
    with Bar(config, "Backtesting") as bar:
        result = backtest(config, options.catalog_of(userdir), progress=bar.advance)
    metrics = metrics_of(result)
    console.print(results_table(replace(result, refusals=(), notices=()), *metrics))
    bars = sum(map(len, result.bars.values()))
    console.print(
        f"\nRisk refused {len(result.refusals):,} orders, and breakers tripped {len(result.notices):,} times: the report"
        f" says when and why.\n{bars:,} bars took {result.elapsed:.1f} s: {bars / max(result.elapsed, 1e-9):,.0f}"
        " a second."
    )
    command = f"abidance backtest -c {typed(folder / 'demo.toml')}"
    path = write_report(result, folder / "report.html", metrics=metrics, command=command)
    console.print(f"Report:  {path}", soft_wrap=True, markup=False)


@dataclass(frozen=True)
class _Outcome:
    """What the paper bot did, beside a backtest of the same months."""

    paper: "BacktestResult"
    backtest: "BacktestResult"
    is_steered: bool
    """Whether somebody gave the bot orders."""

    @property
    def agreeing(self) -> int:
        """Return how many fills agree, in order, before the first that does not."""
        return agreeing(self.paper.fills, self.backtest.fills)


def _paper(
    config: "RunConfig",
    console: "Console",
    place: Path,
    userdir: Path,
    seconds: float,
    beside: "Dashboard | None",
) -> _Outcome:
    from abidance.cli.view import view_of
    from abidance.market.store import parse_timerange
    from abidance.run.backtest import backtest
    from abidance.run.paper import Paper

    _heading(console, "2  Paper trading", "the same strategies, bar by bar, from 1 May to 30 June 2025")
    config = config.model_copy(update={"timerange": PAPER, "journal_sync": "never"})
    since, _ = parse_timerange(HISTORY)
    assert since is not None
    source = Recent(options.catalog_of(userdir), since)
    with Stop() as stop, Paper(config, source, None, place / "runs" / config.name) as paper:
        if beside is not None:
            _point_at(beside, console)
        speed = _span(paper.material.bars.values()) / seconds if seconds else 0.0
        is_over = follow(paper, view_of(paper.material.config, console, plain=False), stop, speed)
        result, is_steered = paper.result(), paper.obeyed > 0
    if not is_over:
        raise KeyboardInterrupt
    return _Outcome(result, backtest(config, source), is_steered)


def _point_at(beside: "Dashboard", console: "Console") -> None:
    from abidance.cli.dashboard import show

    if not beside.address:
        console.print("The dashboard could not be started: `abidance serve --demo` says why.")
        return
    console.print(f"Dashboard:  {beside.address}  (no login, for this machine alone)", soft_wrap=True)
    if console.is_terminal:
        show(beside.address)


class Recent:
    """Bars since a moment: a bot that decides bar by bar looks at all bars it knows each time."""

    def __init__(self, source: "BarSource", since: int) -> None:
        self._source = source
        self._since = since

    def read(
        self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None
    ) -> "Bars":
        """Return the bars that open from `start` up to, not including, `end`."""
        return self._source.read(instrument, timeframe, max(self._since, start or 0), end)

    def funding(self, instrument: str, start: int | None = None, end: int | None = None) -> "Funding | None":
        """Return the funding rates due from `start` up to, not including, `end`."""
        return self._source.funding(instrument, max(self._since, start or 0), end)


def _span(series: "Collection[Bars]") -> float:
    """Return how many seconds of market time the bars cover."""
    first = min(int(bars.ts[0]) for bars in series)
    return float(max(int(bars.ts_close[-1]) for bars in series) - first) / 1e9


def agreeing(ours: "Sequence[Fill]", theirs: "Sequence[Fill]") -> int:
    """Return how many fills are equal, in order, before the first that is not; order ids are each run's own."""
    count = 0
    for one, other in zip(ours, theirs, strict=False):
        if _essence(one) != _essence(other):
            break
        count += 1
    return count


def _essence(fill: "Fill") -> tuple[object, ...]:
    return (
        fill.ts, fill.instrument, fill.strategy, fill.side, fill.quantity, fill.price, fill.fee, fill.fee_asset,
        fill.is_maker, fill.purpose,
    )  # fmt: skip


def _conclude(console: "Console", folder: Path, outcome: _Outcome) -> None:
    from abidance.backtest.breakdown import metrics_of
    from abidance.backtest.wording import format_money, format_percent

    result = outcome.paper
    ours, benchmark = metrics_of(result)
    most = max(len(result.fills), len(outcome.backtest.fills))
    is_same = outcome.agreeing == most and result.equity.tolist() == outcome.backtest.equity.tolist()
    console.print(
        f"The bot ended with {format_money(ours.final_equity, result.currency)}"
        f" ({format_percent(ours.total_return, 2, signed=True)}; buying and holding:"
        f" {format_percent(benchmark.total_return, 2, signed=True)}), at worst {format_percent(abs(ours.max_drawdown or 0.0))}"
        " below its peak."
    )
    console.print(
        f"It closed {ours.trades} round trips at a cost of {format_money(ours.fees, result.currency)} in fees;"
        f" risk refused {len(result.refusals)} orders."
    )
    if outcome.is_steered:
        console.print("You gave the bot orders, so it is not compared with a backtest of these months.")
        _what_next(console, folder)
        return
    console.print(
        f"Paper decided the same as a backtest of these months: [green]{outcome.agreeing} of {most} fills[/] are equal,"
        " and so is each hour's equity."
        if is_same
        else f"[bold red]Paper and backtest differ after {outcome.agreeing} of {most} fills: please report this.[/]"
    )
    _what_next(console, folder)


def _what_next(console: "Console", folder: Path) -> None:
    name = executable()
    settings = typed(folder / "demo.toml")
    _heading(console, "What next", f"the report lies in {folder / 'report.html'}")
    for command, what in (
        (f"{name} backtest -c {settings} --set risk.limits.max_exposure=0.8", "the same with more at risk"),
        (f"{name} backtest -s Supertrend -p BTC/USDT,ETH/USDT -i 4h", "another strategy"),
        (f"{name} trade -s EmaCross -p BTC/USDT,SOL/USDT", "a paper bot of your own"),
        (f"{name} new-strategy MyIdea", "write a strategy"),
    ):
        console.print(f"  {command}", style="bold", soft_wrap=True, markup=False)
        console.print(f"      {what}", style="dim")


def _heading(console: "Console", title: str, text: str) -> None:
    console.print(f"\n[bold]{title}[/]  {text}", soft_wrap=True)


def typed(path: Path) -> str:
    """Return a path as one types it into a shell."""
    home = Path.home()
    return (
        f"~/{shlex.quote(str(path.relative_to(home)))}"
        if path.is_relative_to(home)
        else shlex.quote(str(path))
    )


def executable() -> str:
    """Return what to type to call this program from where the user is."""
    called = Path(sys.argv[0])
    if called.stem != "abidance":
        return f"{shlex.quote(sys.executable)} -m abidance"
    found = shutil.which("abidance")
    if found is not None and Path(found).resolve() == called.resolve():
        return "abidance"
    absolute = called.absolute()
    here = Path.cwd()
    return shlex.quote(str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute))
