"""The two kinds of strategy that a user writes, and what they answer with.

A `BarStrategy` looks at columns of closed bars and returns `Signals`. An `EventStrategy` is called for each event and
returns intents. Neither sends anything: risk answers, execution acts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from abidance.indicators.trend import crossings
from abidance.market.bars import Bars, FloatArray
from abidance.model.account import Position
from abidance.model.errors import StrategyError
from abidance.model.event import BookSnapshot, Quote, Timer, Trade
from abidance.model.instrument import Instrument
from abidance.model.intent import Intent
from abidance.model.market import Bar, DataKind, FeedState, MarkPrice
from abidance.model.order import Fill, Order

Number = float | FloatArray


@dataclass(frozen=True, slots=True)
class Changes:
    """A target that is known at some rows only, ascending: what would otherwise be a column of NaN between them."""

    rows: NDArray[np.int64]
    values: FloatArray
    length: int

    def column(self) -> FloatArray:
        """Return the target of every row."""
        target = np.full(self.length, np.nan)
        target[self.rows] = self.values
        return target


@dataclass(frozen=True)
class Signals:
    """A strategy's opinion after each bar's close.

    `target` has one value per bar: the wished position in [-1, 1] (sign = direction, size = share of a full stake),
    0 = flat, NaN = no new opinion. An order follows only when the wish changes: a state repeated on each bar trades
    once, and a position that was stopped out is entered again only by a new signal.

    Distances are in quote units per base unit, one number or one per bar, NaN = none: `stop` and `take_profit` are
    measured from the entry price, `trailing` from the best price since the entry (re-read at each close, so that it
    follows volatility; the stop never moves away), `break_even` is the gain at which the stop moves to the entry.
    `max_bars` leaves after so many bars. `confidence` in [0, 1] scales the stake.
    """

    target: FloatArray
    confidence: Number = 1.0
    stop: Number | None = None
    take_profit: Number | None = None
    trailing: Number | None = None
    break_even: Number | None = None
    max_bars: int | None = None
    tag: str | Sequence[str] = ""
    changes: Changes | None = field(default=None, init=False, repr=False, compare=False)
    """The target as it was given, until somebody asks for its column."""

    def __post_init__(self) -> None:
        given: object = self.target
        if isinstance(given, Changes):
            object.__setattr__(self, "changes", given)
            object.__delattr__(self, "target")

    def __getattr__(self, name: str) -> FloatArray:
        """Return the column of a target that was given as changes; whoever has it may write into it."""
        changes = self.__dict__.get("changes")
        if name != "target" or changes is None:
            raise AttributeError(name)
        column: FloatArray = changes.column()
        object.__setattr__(self, "target", column)
        object.__setattr__(self, "changes", None)
        return column

    @classmethod
    def at(cls, rows: NDArray[np.int64], targets: FloatArray, length: int, tag: str = "") -> "Signals":
        """Return signals whose target is known at some rows of `length` only: quicker than a column of NaN."""
        return cls(Changes(rows, targets, length), tag=tag)  # type: ignore[arg-type]

    @staticmethod
    def crossing(fast: FloatArray, slow: FloatArray, *, short: bool = False) -> FloatArray:
        """Return a target: 1 where `fast` crosses above `slow`, 0 (or -1 with `short`) where it crosses below."""
        rows, above = crossings(np.asarray(fast, dtype=np.float64), np.asarray(slow, dtype=np.float64))
        target = np.full(len(fast), np.nan)
        target[rows] = 2 * above - 1 if short else above
        return target

    @staticmethod
    def entries(
        enter_long: np.ndarray,
        exit_long: np.ndarray,
        enter_short: np.ndarray | None = None,
        exit_short: np.ndarray | None = None,
    ) -> FloatArray:
        """Return a target from columns of true and false: 1 or -1 on entry, 0 on exit, NaN between.

        Entry wins over exit, long over short. An exit concerns its own side: it is passed over when the last entry
        was on the other one.
        """
        into_long, out_of_long = _flags("enter_long", enter_long), _flags("exit_long", exit_long)
        nothing = np.zeros(len(into_long), dtype=bool)
        into_short = nothing if enter_short is None else _flags("enter_short", enter_short)
        out_of_short = nothing if exit_short is None else _flags("exit_short", exit_short)
        target = np.full(len(into_long), np.nan)
        target[into_short] = -1.0
        target[into_long] = 1.0
        entered = ~np.isnan(target)
        last = np.maximum.accumulate(np.where(entered, np.arange(len(target)), -1))
        side = np.where(last >= 0, target[last], 0.0)
        target[((out_of_long & (side >= 0)) | (out_of_short & (side <= 0))) & ~entered] = 0.0
        return target


def _flags(name: str, column: np.ndarray) -> NDArray[np.bool_]:
    """Return a column of true and false; whole numbers count as true unless 0.

    Raises StrategyError for fractions, whose NaN would count as true.
    """
    flags = np.asarray(column)
    if flags.dtype.kind not in "biu":
        raise StrategyError(
            f"{name} holds {flags.dtype} instead of true and false.", "Compare first, for example `rsi < 30`."
        )
    return flags.astype(bool)


class BarStrategy:
    """A strategy over columns of closed bars; runs unchanged in every mode.

    Declare parameters as class attributes with `Parameter`, and say in `warmup` after how many bars the first signal
    can be trusted. Row t of what `signals` returns may depend on bars 0..t only.
    """

    timeframe: ClassVar[str] = "1h"
    references: ClassVar[tuple[str, ...]] = ()

    def check_parameters(self) -> None:
        """Raise StrategyError for values that do not belong together, each of which fits by itself."""

    @property
    def warmup(self) -> int:
        """Return the number of bars needed before the first signal."""
        return 0

    def signals(self, bars: Bars) -> Signals:
        """Return the opinion after each bar."""
        raise NotImplementedError


class View(Protocol):
    """The read-only state that a strategy sees; its own positions and orders only."""

    @property
    def now(self) -> int:
        """Return the time of the event in hand, ns UTC."""
        ...

    def price(self, instrument: str) -> float | None:
        """Return the last known price, or None before the first."""
        ...

    def position(self, instrument: str) -> Position:
        """Return the strategy's own position (flat when it has none)."""
        ...

    def orders(self, instrument: str | None = None) -> Iterable[Order]:
        """Return the strategy's own open orders."""
        ...

    def equity(self) -> float:
        """Return the equity allotted to the strategy, in the run's currency."""
        ...

    def instrument(self, instrument: str) -> Instrument:
        """Return an instrument's steps and minima."""
        ...

    def bars(self, instrument: str, timeframe: str) -> Bars:
        """Return the closed bars so far."""
        ...

    def feed(self, instrument: str, kind: DataKind) -> FeedState | None:
        """Return whether a live stream may be acted on; None where no feed says so, as in a backtest."""
        ...

    def mark(self, instrument: str) -> MarkPrice | None:
        """Return a perpetual's last mark price, None before the first or without a live feed."""
        ...


Intents = Iterable[Intent] | None


class EventStrategy:
    """A strategy that is called for each event and answers with intents (None means nothing).

    Override what you need; what is not overridden is not even called. `view` is valid during the call only.
    `name` is set by the run: put it into the intents you make.
    """

    name: str = ""
    timeframe: ClassVar[str] = "1m"
    references: ClassVar[tuple[str, ...]] = ()

    def check_parameters(self) -> None:
        """Raise StrategyError for values that do not belong together, each of which fits by itself."""

    def on_start(self, view: View) -> Intents:
        """Called once, before the first market event."""

    def on_bar(self, bar: Bar, view: View) -> Intents:
        """Called for each closed bar of the strategy's instruments and timeframe."""

    def on_trade(self, trade: Trade, view: View) -> Intents:
        """Called for each public trade."""

    def on_quote(self, quote: Quote, view: View) -> Intents:
        """Called for each change of the best bid or ask."""

    def on_book(self, book: BookSnapshot, view: View) -> Intents:
        """Called for each book."""

    def on_fill(self, fill: Fill, view: View) -> Intents:
        """Called for each of the strategy's own fills."""

    def on_timer(self, timer: Timer, view: View) -> Intents:
        """Called when a timer asked for by `TimerRequest` is due."""


Strategy = BarStrategy | EventStrategy
