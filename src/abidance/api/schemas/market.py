"""Instruments, bars, strategies, backtests, data and logs on the wire."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from abidance.api.schemas.wire import Amount, Moment, Page, Schema, Share
from abidance.api.schemas.work import WorkOut


class InstrumentOut(Schema):
    """What can be traded, and in which steps."""

    id: str
    venue: str
    base: str
    quote: str
    kind: str
    tick: Amount
    lot: Amount
    min_quantity: Amount
    min_notional: Amount
    price: float | None
    price_ts: Moment | None


class BarsOut(Schema):
    """Bars in columns, oldest first; `ts` is when each opened."""

    instrument: str
    timeframe: str
    ts: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]


class BookOut(Schema):
    """The order book as the run last saw it: (price, size), best first. `source` says what it is made of."""

    instrument: str
    source: Literal["book", "quote", "none"]
    """A whole book; the best bid and ask alone; or nothing, where the run reads neither."""
    ts: Moment | None
    is_certified: bool | None
    """Whether the book's stream is whole now; null where there is none."""
    reason: str
    bids: list[list[float]]
    asks: list[list[float]]


class LineOut(Schema):
    """One line of an indicator; null while it is not known yet."""

    label: str
    values: list[float | None]


class IndicatorOut(Schema):
    """Indicators over a run's bars; `ts` is when each bar opened."""

    ts: list[int]
    lines: list[LineOut]


class StrategyOut(Schema):
    """A strategy that can be run: shipped, or from the user's own folder."""

    name: str
    kind: Literal["bars", "events"]
    summary: str
    is_own: bool
    parameters: dict[str, Any]
    """A JSON Schema of its parameters, with defaults."""
    problem: str = ""
    """Why its file cannot be loaded, if it cannot."""


class PerformanceOut(Schema):
    """What a strategy made of its closed round trips, in the run's currency at the rates of now."""

    capital: float
    """Its share of what the run began with: drawdowns are shares of that and of what was earned since."""
    figures: dict[str, float | None]
    """By the names that they have in the results of backtests; null is not known."""
    ts: list[int]
    """When the first was entered, then when trips were closed, thinned."""
    profit: list[float]
    """What had been earned by then."""


class BacktestIn(Schema):
    """What to test: the keys of a configuration file, as `abidance show-config` prints them."""

    config: dict[str, Any] = Field(
        default_factory=dict,
        max_length=64,
        examples=[{"instruments": ["BTC/USDT@BINANCE"], "strategies": [{"strategy": "EmaCross"}]}],
    )
    label: str = Field(default="", max_length=100)


class BacktestOut(WorkOut):
    """A backtest: waiting, running, or over, with its figures."""

    metrics: dict[str, float | int | None] | None = None
    """Figures of the run; null before it is done. Shares are fractions."""


class ComparisonOut(Schema):
    """Backtests side by side: figures by name, one value per backtest in the order asked for."""

    ids: list[str]
    labels: list[str]
    metrics: dict[str, list[float | int | None]]
    curves: dict[str, "CurveOut"]


class CurveOut(Schema):
    """An equity curve, and the currency of it and of its run's figures; empty before there is one."""

    ts: list[int]
    equity: list[float]
    currency: str


class Kind(StrEnum):
    """What is stored."""

    BARS = "bars"
    FUNDING = "funding"
    SENTIMENT = "sentiment"
    TRADES = "trades"
    QUOTES = "quotes"
    BOOKS = "books"
    MARKS = "marks"


class HoldingOut(Schema):
    """One stored series or tape: how much of it there is and how whole it is."""

    kind: Kind
    instrument: str
    timeframe: str
    rows: int
    first: Moment
    last: Moment
    missing: int | None
    """Bars between the first and the last that are not there; null where nobody can say how many rows should be."""
    quality: Share | None
    """Rows that are there, as a share of those that should be."""
    source: str
    problem: str = ""
    """Why it cannot be read, if it cannot."""


class HoleOut(Schema):
    """A stretch that is missing from a stored series."""

    start: Moment
    end: Moment
    rows: int | None = None
    """Bars that are missing."""
    reason: str = ""


class OddOut(Schema):
    """A place in a stored series that deserves a look: `bars` bars from `ts` on; `score` is the larger the odder."""

    ts: Moment
    kind: str
    bars: int
    score: float | None
    text: str


class MonthOut(Schema):
    """How much of a month's bars is there, as a share."""

    month: str
    share: Share


class QualityOut(Schema):
    """The judgement on a stored series, as `abidance check-data` gives it."""

    instrument: str
    timeframe: str
    grade: Literal["ok", "warning", "refused"]
    reasons: list[str]
    rows: int
    missing: int
    zero_volume: int
    flat: int
    outliers: int
    largest_move: float | None
    """Close to close, as a ratio."""
    largest_move_ts: Moment | None
    months: list[MonthOut]
    odd: int
    """Places that deserve a look."""
    oddest: list[OddOut]
    """The oddest of them, oldest first."""


class LogOut(Schema):
    """One line of a log; `at` is where it begins in its file, in bytes."""

    at: int
    ts: Moment | None
    level: str
    event: str
    data: dict[str, Any]


class LogFileOut(Schema):
    """A file of a log by its number on the disk; `changed` is when its last line was written."""

    file: str
    size: int
    changed: Moment


class LogPage(Page[LogOut]):
    """Lines of a log, newest first. `file` goes with `next`, and with `end`, after which the stream goes on."""

    file: str = ""
    end: int = 0
    files: list[LogFileOut] = Field(default_factory=list)
    """The one that grows, and those that were put away for it, which are read by their `file`."""


class ConfigOut(Schema):
    """The configuration that is in force, its file, and where each setting was given that has not its default."""

    values: dict[str, Any]
    sources: dict[str, str]
    path: str
    exists: bool
