"""What is measured, and who takes part. To add an engine, add a `Contestant`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cli_output import counted
from contest import OURS, SCRIPTS, Contestant, Workload
from feed_frames import COUNTS as FRAMES
from harness import (
    MAX_OPEN,
    MINUTES_OF_YEAR,
    PAIRS,
    PORTFOLIO_BARS,
    REPOSITORY,
    YEAR_PAIRS,
    cache_home,
    home_of,
)  # fmt: skip
from peers import PEERS
from sweep_grid import COMBINATIONS, STOP_NAMES

FULL = "abidance, all told"
WARM_COSTS = ("steady", "processor", "without metrics", "peak memory")
WHOLE_COSTS = ("whole process", "its processor time", "peak memory")


def _peer(name: str, script: str, *arguments: object) -> Contestant:
    return Contestant(name, name, PEERS[name].python, tuple(map(str, arguments)), script)


def _ours(python: Path, script: str, *arguments: object, name: str = OURS) -> Contestant:
    return Contestant(name, OURS, python, tuple(map(str, arguments)), script)


def bars(python: Path) -> Workload:
    """Return the bars workload; `python` is the interpreter that holds Abidance, here and below."""
    return Workload(
        key="bars",
        title="EMA 20/50 cross, long or flat, one unit, 0.1 % fee, event by event",
        unit="bars",
        count=200_000,
        contestants=(
            _peer("nautilus", "nautilus_bars.py", 200_000),
            _peer("backtesting", "backtesting_bars.py", 200_000),
            _ours(python, "abidance_bars.py", 200_000),
        ),
        data=("bars_200000",),
        exact=("trades", "closed"),
        shown=("pnl", "fill"),
    )


def ticks(python: Path) -> Workload:
    """Return the ticks workload."""
    return Workload(
        key="ticks",
        title="every trade tick enters a Python callback that keeps an average",
        unit="ticks",
        count=1_000_000,
        contestants=(
            _peer("nautilus", "nautilus_ticks.py", 1_000_000),
            _ours(python, "abidance_ticks.py", 1_000_000),
        ),
        data=("ticks_1000000",),
        exact=("ticks",),
        near={"average": 1e-9},
    )


def single(python: Path) -> Workload:
    """Return the single workload over a million bars, against those that take seconds for it."""
    return Workload(
        key="single",
        title="EMA 20/50 cross, long or flat, one unit, 0.1 % fee; compiled, warm, metrics included",
        unit="bars",
        count=1_000_000,
        contestants=(
            _peer("vectorbt", "vectorbt_single.py", 1_000_000),
            _peer("backtesting", "backtesting_bars.py", 1_000_000),
            _ours(python, "abidance_single.py", 1_000_000),
            _ours(python, "abidance_single.py", 1_000_000, "full", name=FULL),
        ),
        data=("bars_1000000",),
        exact=("closed",),
        near={"pnl": 1e-6, "max_drawdown": 1e-6},
        costs=("steady", "processor", "without metrics"),
        note=f"{FULL}: with a list of every order, fill and round trip, which a search does not need.",
    )


def single_short(python: Path) -> Workload:
    """Return the single workload over fewer bars, against those that take minutes for a million."""
    return Workload(
        key="single-short",
        title="the single workload over 200,000 bars",
        unit="bars",
        count=200_000,
        contestants=(
            _peer("nautilus", "nautilus_bars.py", 200_000),
            _peer("jesse", "jesse_single.py", 200_000),
            _peer("freqtrade", "freqtrade_single.py", 200_000),
            _ours(python, "abidance_single.py", 200_000),
            _ours(python, "abidance_single.py", 200_000, "full", name=FULL),
        ),
        data=("bars_200000",),
        exact=("closed",),
        near={"pnl": 1e-6},
        shown=("fill",),
        costs=("steady", "processor", "without metrics"),
        note="NautilusTrader and Jesse fill at the close that decides, freqtrade and Abidance at the next open, "
        "which in this data is the same price.",
    )


def _program(python: Path, name: str, count: int, *arguments: object) -> Contestant:
    """Return `abidance backtest` over the user directory of a set, as a user types it."""
    typed = ("backtest", "--engine", "compiled", "--userdir", home_of(name), *arguments)
    return Contestant(
        OURS, OURS, python.with_name(OURS), tuple(map(str, typed)), read=lambda text: counted(text, count)
    )


def whole(python: Path) -> Workload:
    """Return the single workload as whole processes."""
    return Workload(
        key="whole",
        title="the single workload as a whole process: `abidance backtest --engine compiled`, or a script that "
        "imports the peer, reads the bars, runs and prints",
        unit="bars",
        count=1_000_000,
        contestants=(
            _peer("vectorbt", "vectorbt_single.py", 1_000_000, "once"),
            _peer("backtesting", "backtesting_bars.py", 1_000_000),
            _program(python, "bars_1000000", 1_000_000, "-c", SCRIPTS / "configs" / "whole.toml"),
        ),
        data=("bars_1000000",),
        homes=("bars_1000000",),
        exact=("closed",),
        near={"pnl": 1e-6},
        costs=WHOLE_COSTS,
    )


def whole_short(python: Path) -> Workload:
    """Return the single workload over fewer bars as whole processes."""
    return Workload(
        key="whole-short",
        title="the whole-process workload over 200,000 bars",
        unit="bars",
        count=200_000,
        contestants=(
            _peer("nautilus", "nautilus_bars.py", 200_000),
            _peer("jesse", "jesse_single.py", 200_000),
            _peer("freqtrade", "freqtrade_single.py", 200_000),
            _program(python, "bars_200000", 200_000, "-c", SCRIPTS / "configs" / "whole.toml"),
        ),
        data=("bars_200000",),
        homes=("bars_200000",),
        exact=("closed",),
        near={"pnl": 1e-6},
        costs=WHOLE_COSTS,
    )


def cold(python: Path) -> Workload:
    """Return the first run of all: what is compiled is compiled in it."""
    ours = _program(python, "bars_1000000", 1_000_000, "-c", SCRIPTS / "configs" / "whole.toml")
    numba = cache_home() / "cold-vectorbt"
    peer = _peer("vectorbt", "vectorbt_single.py", 1_000_000, "once")
    return Workload(
        key="cold",
        title="the first whole process after an installation, in which code is compiled",
        unit="bars",
        count=1_000_000,
        contestants=(
            replace(peer, warms_up=False, cache=numba, environment={"NUMBA_CACHE_DIR": str(numba)}),
            replace(ours, warms_up=False, cache=home_of("bars_1000000") / "cache"),
        ),
        data=("bars_1000000",),
        homes=("bars_1000000",),
        exact=("closed",),
        near={"pnl": 1e-6},
        costs=WHOLE_COSTS,
    )


def sweep(python: Path) -> Workload:
    """Return the sweep workload on one thread each."""
    return Workload(
        key="sweep",
        title="1,000 combinations of two averages and a stop over 100,000 bars, with metrics; one thread",
        unit="combinations",
        count=COMBINATIONS,
        contestants=(
            _peer("vectorbt", "vectorbt_sweep.py", 100_000),
            _ours(python, "abidance_sweep.py", 100_000),
        ),
        data=("rough_1000000",),
        exact=("trades",),
        near={**dict.fromkeys(STOP_NAMES, 1e-4), "max_drawdown": 1e-3},
        costs=WARM_COSTS,
        note="Abidance rounds a stop to the price step, vectorbt does not; fees fall into the next bar's equity.",
    )


def long_sweep(python: Path) -> Workload:
    """Return the sweep over a million bars, which takes vectorbt minutes: it runs here alone, on all cores."""
    return Workload(
        key="long-sweep",
        title="the sweep's 1,000 combinations over 1,000,000 bars; two threads",
        unit="combinations",
        count=COMBINATIONS,
        contestants=(_ours(python, "abidance_sweep.py", 1_000_000, "--workers", 2),),
        data=("rough_1000000",),
        exact=("trades",),
        shown=STOP_NAMES,
        costs=WARM_COSTS,
    )


def portfolio(python: Path) -> Workload:
    """Return the portfolio workload without a limit on positions, which vectorbt does not have."""
    return Workload(
        key="portfolio",
        title="50 pairs that share cash, EMA 20/50 cross, target 3 %, trailing stop 1.5 %, any number of positions",
        unit="pair-bars",
        count=PAIRS * PORTFOLIO_BARS,
        contestants=(
            _peer("vectorbt", "vectorbt_portfolio.py"),
            _ours(python, "abidance_portfolio.py"),
            _ours(python, "abidance_portfolio.py", "--full", name=FULL),
        ),
        data=("portfolio",),
        exact=("closed",),
        near={"pnl": 5e-3, "max_drawdown": 5e-3},
        note="A trailing distance is a share of the best price for vectorbt, and of the last close for Abidance.",
        costs=WARM_COSTS,
    )


def portfolio_short(python: Path) -> Workload:
    """Return the portfolio workload over fewer bars, for freqtrade."""
    return Workload(
        key="portfolio-short",
        title="the portfolio workload over 20,000 bars",
        unit="pair-bars",
        count=PAIRS * 20_000,
        contestants=(
            _peer("freqtrade", "freqtrade_portfolio.py", 20_000, PAIRS),
            _ours(python, "abidance_portfolio.py", "--bars", 20_000),
        ),
        data=("portfolio",),
        exact=("closed",),
        near={"pnl": 0.05},
        note="freqtrade holds the low of a bar against a trailing stop that the same bar's high has raised, Abidance "
        "against the stop as it was when the bar began.",
        costs=WARM_COSTS,
    )


def portfolio_ten(python: Path) -> Workload:
    """Return the portfolio workload with ten positions at most."""
    return Workload(
        key="portfolio-ten",
        title="the portfolio workload over 20,000 bars, ten positions at most",
        unit="pair-bars",
        count=PAIRS * 20_000,
        contestants=(
            _peer("freqtrade", "freqtrade_portfolio.py", 20_000, MAX_OPEN),
            _ours(python, "abidance_portfolio.py", "--positions", MAX_OPEN, "--bars", 20_000),
        ),
        data=("portfolio",),
        near={"closed": 0.06, "pnl": 0.12},
        shown=("refused",),
        note="freqtrade fills a place in the bar that frees it, for pairs later in its list; Abidance takes a place as "
        "free once the position's exit is filled, and so refuses a few entries more.",
        costs=WARM_COSTS,
    )


def tape(python: Path) -> Workload:
    """Return the tape workload against NautilusTrader."""
    return Workload(
        key="tape",
        title="5,000,000 trade ticks to one-minute bars, EMA 5/20 cross on their closes, in at market, then a stop and a "
        "limit of 0.2 % that rest",
        unit="ticks",
        count=5_000_000,
        contestants=(
            _peer("nautilus", "nautilus_tape.py", 5_000_000),
            _ours(python, "abidance_tape.py", 5_000_000),
        ),
        data=("tape_5000000",),
        exact=("entries",),
        near={"stops": 0.02, "targets": 0.02, "left": 0.1, "pnl": 0.03},
        costs=WARM_COSTS,
        note="NautilusTrader fills a stop at its trigger and a market order at the last price, Abidance both at the "
        "next price that trades, so that an entry's stop and target may lie a step elsewhere.",
    )


def tape_events(python: Path) -> Workload:
    """Return the tape workload with a strategy in Python that words its own orders."""
    return Workload(
        key="tape-events",
        title="the same ticks and bars and a strategy in Python, called at every close and fill, whose entries are "
        "limits that rest 0.05 % below the close",
        unit="ticks",
        count=5_000_000,
        contestants=(
            _peer("nautilus", "nautilus_tape.py", 5_000_000, "limit"),
            _ours(python, "abidance_tape_events.py", 5_000_000),
        ),
        data=("tape_5000000",),
        exact=("bars", "entries", "stops", "targets", "left"),
        near={"pnl": 0.02},
        costs=WARM_COSTS,
        note="NautilusTrader fills a stop at its trigger and a market order at the last price, Abidance both at the "
        "next price that trades.",
    )


def tape_short(python: Path) -> Workload:
    """Return the tape workload over fewer ticks: hftbacktest needs 320 bytes for each."""
    return Workload(
        key="tape-short",
        title="the tape workload over 1,000,000 ticks",
        unit="ticks",
        count=1_000_000,
        contestants=(
            _peer("hftbacktest", "hftbacktest_tape.py", 1_000_000),
            _ours(python, "abidance_tape.py", 1_000_000),
        ),
        data=("tape_5000000",),
        near={"fills": 0.1, "pnl": 0.1},
        shown=("entries",),
        note="Not the same work: hftbacktest replays a book and a queue, and has no stop orders, so that its strategy "
        "looks once a minute, and it enters by limits. The ratio tells the speed of the replay.",
        costs=WARM_COSTS,
    )


def detail(python: Path) -> Workload:
    """Return the detail workload as whole processes."""
    freqtrade = replace(_peer("freqtrade", "freqtrade_detail.py"), warms_up=False)
    return Workload(
        key="detail",
        title="20 pairs, a year of bars of five minutes, EMA 20/50 cross, target 3 %, trailing stop 1.5 %, filled "
        "inside by bars of one minute; whole processes",
        unit="pair-bars",
        count=YEAR_PAIRS * MINUTES_OF_YEAR // 5,
        contestants=(
            replace(freqtrade, name="freqtrade, no detail"),
            replace(freqtrade, arguments=("detail",)),
            _program(
                python, "year", YEAR_PAIRS * MINUTES_OF_YEAR // 5, "-c", SCRIPTS / "configs" / "detail.toml"
            ),
        ),
        data=("year",),
        homes=("year",),
        near={"closed": 2e-3, "pnl": 0.12},
        costs=WHOLE_COSTS,
        most_rounds=1,
        note="freqtrade holds the low of a bar against a trailing stop that the same bar's high has raised, Abidance "
        "against the stop as it was when the bar began; a trailing distance is a share of the best price for "
        "freqtrade, and of the last close for Abidance. With inner bars freqtrade enters 0.1 % more often.",
    )


def feed(venue: str) -> Callable[[Path], Workload]:
    """Return the feed workload of a venue, to be given the interpreter."""
    told = {"binance": "changes of a deep ladder, trades and bars", "bybit": "50 levels and trades"}

    def workload(python: Path) -> Workload:
        return Workload(
            key=f"feed-{venue}",
            title=f"frames of {venue} ({told[venue]}) decoded, made into the engine's values, put into its book",
            unit="frames",
            count=FRAMES[venue],
            contestants=(
                _peer("ccxt", "ccxt_feed.py", venue),
                _peer("cryptofeed", "cryptofeed_feed.py", venue),
                _ours(python, "abidance_feed.py", venue),
            ),
            data=(),
            exact=("bid", "bid_size", "ask", "ask_size", "bids", "asks", "trades", "bars"),
            shown=("p50_us", "p99_us"),
            costs=("steady",),
            note="No sockets. The seconds are the processor's, so that a busy machine does not distort them.",
        )

    return workload


def store_read(python: Path) -> Workload:
    """Return the reading of stored bars; polars comes with Abidance, so that both run in one environment."""
    polars = {"zstd": "polars", "lz4": "polars, lz4", "plain": "polars, not compressed"}
    return Workload(
        key="store-read",
        title="1,000,000 bars of one minute, read from the store (files of one month each) into arrays",
        unit="bars",
        count=1_000_000,
        contestants=(
            *(_ours(python, "store_read.py", how, name=name) for how, name in polars.items()),
            _ours(python, "store_read.py", "store"),
        ),
        data=(),
        exact=("rows", "open", "high", "low", "close", "volume"),
        costs=("steady",),
        note="polars reads the same bars from one Parquet file, compressed as it compresses by default (zstd), with "
        "lz4, and not at all, and hands out its columns as arrays.",
    )


WORKLOADS: dict[str, Callable[[Path], Workload]] = {
    "bars": bars,
    "ticks": ticks,
    "single": single,
    "single-short": single_short,
    "whole": whole,
    "whole-short": whole_short,
    "cold": cold,
    "sweep": sweep,
    "long-sweep": long_sweep,
    "portfolio": portfolio,
    "portfolio-short": portfolio_short,
    "portfolio-ten": portfolio_ten,
    "tape": tape,
    "tape-events": tape_events,
    "tape-short": tape_short,
    "detail": detail,
    "feed-binance": feed("binance"),
    "feed-bybit": feed("bybit"),
    "store-read": store_read,
}


def default_python() -> Path:
    """Return the interpreter of the repository's own environment."""
    return REPOSITORY / ".venv" / "bin" / "python"
