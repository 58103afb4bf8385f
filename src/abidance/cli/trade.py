"""`abidance trade`: run a bot on paper, watch it, stop it, and go on later where it was."""

import fcntl
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from abidance.cli import options
from abidance.cli.data import DEFAULT_USERDIR, UserDir
from abidance.cli.keys import KeyFile, Keyring
from abidance.cli.options import RunOptions
from abidance.run.folders import aside_of, folder_of

if TYPE_CHECKING:
    from rich.console import Console

    from abidance.backtest.result import BacktestResult
    from abidance.cli.view import View
    from abidance.run.bot import Bot
    from abidance.run.config import RunConfig
    from abidance.run.paper import Paper

SPEED = 86_400.0
"""One day a second: hourly bars move visibly, and a year is over in six minutes."""
_OWN_NAME = "Give this one its own name: --set name=NAME"


class FeedKind(StrEnum):
    """Where the market comes from."""

    REPLAY = "replay"
    LIVE = "live"


def trade(
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
    feed: Annotated[
        FeedKind,
        typer.Option(
            "--feed", help="Where the market comes from: stored data, or the exchanges' live streams."
        ),
    ] = FeedKind.REPLAY,
    live: Annotated[
        bool,
        typer.Option("--live", help="Send real orders with the keys of the vault: this is about your money."),
    ] = False,
    account: Annotated[
        str, typer.Option("--account", help="Real orders: which of your accounts, as named in the vault.")
    ] = "main",
    confirm: Annotated[
        str | None,
        typer.Option(
            "--confirm",
            help="Real orders: the venue's name, or several by commas, in place of typing it when asked.",
            show_default=False,
        ),
    ] = None,
    key_file: KeyFile = None,
    keyring: Keyring = False,
    speed: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Replay: seconds of market time in one second: 1 is real time, 86400 (the default) a day a second, 0 as"
            " fast as possible.",
            show_default=False,
        ),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Start anew; what the bot has on record is moved aside, never deleted."),
    ] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Lines of text in place of the live view.")] = False,
    dashboard: Annotated[
        bool,
        typer.Option(
            "--dashboard",
            help="Serve the API and the dashboard beside the bot, for this machine and whoever logs in.",
        ),
    ] = False,
    json_file: options.JsonFile = None,
    report: options.ReportFile = None,
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Run a bot on paper: real rules and costs, no real orders. With --live it sends real ones.

    The market is a replay of stored data (the bundled sample, or yours) at the speed you choose, or with --feed live
    what happens now: no account is needed for it. Ctrl-C stops the bot cleanly; the same command goes on where it was.
    The bot lives in runs/NAME under the user directory, where NAME is the configuration's `name` (--set name=NAME).
    """
    from rich.console import Console

    from abidance.cli.backtest import present
    from abidance.cli.view import view_of
    from abidance.model.errors import UsageError
    from abidance.run.killing import thrown_by_signals

    loaded = RunOptions(
        config, strategy, pairs, timeframe, detail_timeframe, timerange, fee, slippage, stake_amount,
        dry_run_wallet, setting, parameter, store,
    ).load()  # fmt: skip
    console = Console(highlight=False)
    folder = folder_of(userdir, loaded.name)
    serving = partial(_serving, loaded, userdir, console, is_wanted=dashboard)
    trading = partial(
        _trade_live, loaded, userdir, folder, console, plain=plain, json_file=json_file, report=report
    )
    feed = FeedKind.LIVE if live else feed
    if feed is FeedKind.LIVE and (speed is not None or loaded.timerange):
        raise UsageError(
            "Live data has neither a speed nor a time range.", "Leave out --speed and --timerange."
        )
    if fresh:
        _check_released(folder)
    try:
        if live:
            from abidance.cli.golive import confirmed
            from abidance.cli.keys import unlocking_of
            from abidance.run.golive import Owned, alone, dear_fees_of, make_ready, run_trading, strangers_of
            from abidance.run.keys import open_keys

            unlocking = unlocking_of(key_file, keyring=keyring)
            keys = open_keys(userdir, unlocking)
            accounts = make_ready(loaded, keys, account)
            told = [*strangers_of(loaded, accounts, folder, anew=fresh), *dear_fees_of(loaded, accounts)]
            confirmed(loaded, accounts, confirm, console, told)
            with alone(userdir, accounts, loaded.lease, loaded.name) as doubt, serving():
                if fresh:  # not before it is confirmed: what is on record protects positions
                    _set_aside(folder, console, for_money=True)
                trading(partial(run_trading, owned=Owned(accounts, keys, doubt)))
            return
        if fresh:
            _set_aside(folder, console, for_money=False)
        if feed is FeedKind.LIVE:
            from abidance.run.live import run_live

            with serving():
                trading(run_live)
            return
        with serving(), Stop() as stop, thrown_by_signals(folder), _open(loaded, userdir, folder) as paper:
            _tell_torn(paper, console)
            view = view_of(paper.material.config, console, plain=plain)
            is_over = follow(paper, view, stop, SPEED if speed is None else speed)
            result = paper.result()
    except KeyboardInterrupt:
        typer.echo("Interrupted at once; nothing is lost. To go on: run the same command again.", err=True)
        raise typer.Exit(130) from None
    present(result, console, json_file, report)
    _conclude(console, result, folder, is_over=is_over)
    _refuse_failures(result)


@contextmanager
def _serving(config: "RunConfig", userdir: Path, console: "Console", *, is_wanted: bool) -> Iterator[None]:
    """Serve beside the bot, in another process, where it is asked for; a bot trades on when that fails.

    Raises UsageError when what serves is not installed.
    """
    if not is_wanted:
        yield
        return
    from abidance.api.place import served_at
    from abidance.cli.dashboard import Dashboard, missing
    from abidance.cli.serve import EXTRA, first_admin
    from abidance.model.errors import UsageError

    if (remedy := missing()) == EXTRA:
        raise UsageError("The dashboard cannot be served without the extra `api`.", f"Install it: {EXTRA}")
    if address := served_at(userdir.expanduser()):
        console.print(f"Dashboard:  {address}  (it runs already)", soft_wrap=True, markup=False)
        yield
        return
    with Dashboard(userdir.expanduser(), options.store_of(userdir, config.store), demo=False) as found:
        lines = [f"Dashboard:  {found.address}  (for this machine, while the bot runs)"]
        if not found.address:
            lines = ["The dashboard could not be started: `abidance serve` says why."]
        elif remedy:
            lines.append(f"Its pages are not built here ({remedy} does it): the API is there all the same.")
        if found.setup_token:
            lines.append(first_admin(found.setup_token))
        for line in lines:
            console.print(line, soft_wrap=True, markup=False)
        yield


def _trade_live(
    config: "RunConfig",
    userdir: Path,
    folder: Path,
    console: "Console",
    run: Callable[..., "Bot"],
    *,
    plain: bool,
    json_file: Path | None,
    report: Path | None,
) -> None:
    """Run a bot on live data until it is told to stop, then tell what came of it."""
    from abidance.cli.backtest import present
    from abidance.cli.view import view_of
    from abidance.market.store import open_tables
    from abidance.model.errors import DataError
    from abidance.run.killing import thrown_by_signals

    tables = open_tables(options.store_of(userdir, config.store))
    with Stop() as stop, thrown_by_signals(folder):
        view = view_of(config, console, plain=plain)
        with view, _telling_apart(config, folder):
            paper = run(config, tables, options.strategies_folder(userdir), folder, stop, view.watch)
    with paper:
        _tell_torn(paper, console)
        try:
            result = paper.result()
        except DataError as error:
            for text in (*paper.material.notices, f"{error.found} Everything is on record in {folder}"):
                console.print(text, soft_wrap=True, markup=False)
            return
    present(result, console, json_file, report)
    _tell_bare(paper, console)
    _tell_unguarded(paper, console)
    _conclude(console, result, folder, is_over=False)
    _refuse_failures(result, is_real=paper.material.mode == "live")


def _tell_bare(bot: "Bot", console: "Console") -> None:
    """Say how long positions stood without their whole stops."""
    for (strategy, instrument), each in bot.engine.vigil.past.items():
        if each.total:
            total, longest = (f"{ns / 1e9:.3f} s" for ns in (each.total, each.longest))
            told = f"{instrument} of {strategy} stood without its whole stop for {total} in all, {longest} at most."
            console.print(told, soft_wrap=True, markup=False)


def _tell_unguarded(bot: "Bot", console: "Console") -> None:
    """Say which positions are without their stops now that the bot has stopped."""
    from abidance.run.trading import LiveTrading

    if not (isinstance(bot, LiveTrading) and (found := bot.unguarded())):
        return
    told = "Nobody watches these now: the venue does not keep them, and this program has stopped. Start it soon, or place them there by hand."
    console.print(told, style="bold yellow", soft_wrap=True, markup=False)
    for each in found:
        console.print(f"  {each}", style="yellow", soft_wrap=True, markup=False)


def follow(paper: "Paper", view: "View", stop: Callable[[], bool], speed: float) -> bool:
    """Run a bot in a view until its replay is over (True) or it is told to stop (False)."""
    try:
        with view:
            return paper.run(speed, stop, view.watch)
    except (
        BrokenPipeError,
        SystemExit,
    ):  # nobody reads any more, and rich leaves: this is not the end of the run
        raise KeyboardInterrupt from None


class Stop:
    """Whether somebody asked us to stop: the first Ctrl-C or SIGTERM asks, the second one does not wait.

    A signal that is ignored when we start, as in a shell's background job, stays ignored.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Say whether to stop."""
        return self.asked

    def __enter__(self) -> "Stop":
        for number in self._SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def _open(config: "RunConfig", userdir: Path, folder: Path) -> "Paper":
    from abidance.run.paper import Paper

    with _telling_apart(config, folder):
        return Paper(
            config, options.catalog_of(userdir, config.store), options.strategies_folder(userdir), folder
        )


@contextmanager
def _telling_apart(config: "RunConfig", folder: Path) -> Iterator[None]:
    """Say what to do when another bot of the same name is on record."""
    from abidance.model.errors import JournalError

    try:
        yield
    except JournalError as error:
        if not any(word in error.found for word in ("configuration", "another mode")):
            raise
        if "another mode" in error.found:
            found = f"What a bot named {config.name} did on paper and with real orders is never on one record: {error.found}"
            raise JournalError(found, _OWN_NAME) from error
        raise JournalError(
            f"A bot named {config.name} with other settings or other data is on record in {folder}.",
            "Start anew with --fresh (the record is moved aside), or give this one its own name: --set name=NAME",
        ) from error


def _tell_torn(paper: "Bot", console: "Console") -> None:
    if (torn := paper.journal.torn) is not None:
        console.print(
            f"The last record was cut off by a crash and never acted on: it is now in {torn.saved}. The run goes on.",
            soft_wrap=True,
            markup=False,
        )


def _refuse_failures(result: "BacktestResult", *, is_real: bool = False) -> None:
    """Raise StrategyError when a strategy failed on the way: the run went on without it."""
    from abidance.model.errors import StrategyError

    if failed := [notice.text for notice in result.notices if notice.code == "strategy_failed"]:
        before = "close at the venue what it holds, which no other record knows of, and " if is_real else ""
        raise StrategyError(
            failed[0],
            f"Mend it, {before or 'then '}start anew with --fresh: what is on record was decided without it.",
        )


def _check_released(folder: Path) -> None:
    """Raise UsageError where a bot is killed: to begin anew is no way around its switch."""
    from abidance.model.errors import UsageError
    from abidance.run.killing import killed

    if killed(folder) is not None:
        raise UsageError(
            f"The kill switch of {folder.name} is thrown.",
            f"Release it first: abidance kill {folder.name} --release",
        )


def _set_aside(folder: Path, console: "Console", *, for_money: bool) -> None:
    """Move a bot's folder out of the way. Raises JournalError while it runs, and on paper where it has real orders."""
    from abidance.model.errors import JournalError
    from abidance.run.golive import is_about_money

    if not folder.exists():
        return
    if is_running(folder):
        raise JournalError(
            f"The bot in {folder} is running.", "Stop it first, or give this one its own name."
        )
    if not for_money and is_about_money(folder):
        raise JournalError(
            f"What is on record in {folder} has real orders, or may have: it stays where it is.", _OWN_NAME
        )
    aside = aside_of(folder, datetime.now(UTC))
    _check_released(folder)  # it may have been thrown while a person was asked
    folder.rename(aside)
    console.print(f"What was on record is now in {aside}", soft_wrap=True)


def is_running(folder: Path) -> bool:
    """Say whether a process holds the journal's lock; a damaged journal must not stand in the way."""
    from abidance.run.paper import JOURNAL

    try:
        with (folder / f"{JOURNAL}.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _conclude(console: "Console", result: "BacktestResult", folder: Path, *, is_over: bool) -> None:
    from abidance.backtest.wording import short_time

    moment = short_time(int(result.ts[-1])) if len(result.ts) else "its start"
    if is_over:
        text = f"The replay is over, at {moment} UTC. To start anew: the same command with --fresh"
    else:
        text = f"Stopped at {moment} UTC, nothing is lost. To go on: run the same command again."
    console.print(f"\n{text}\nEverything is on record in {folder}", soft_wrap=True, markup=False)
