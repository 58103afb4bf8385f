"""From a strategy's opinion to what an executor reads: `decide` checks `Signals` and lays them out as columns.

This is the only way from a `BarStrategy` to an executor, so that every one of them reads the same decisions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from abidance.indicators.volatility import atr_distance
from abidance.market.bars import Bars, FloatArray
from abidance.model.errors import StrategyError
from abidance.strategy.base import BarStrategy, Changes, Signals
from abidance.strategy.config import ExitsConfig
from abidance.strategy.mistakes import FAILURES, strategy_error

DISTANCES = ("stop", "take_profit", "trailing", "break_even")


@dataclass(frozen=True, slots=True)
class Decisions:
    """What a strategy wishes after each bar's close: read-only columns of one length, checked.

    NaN means no new opinion in `target`, and none in a distance (`stop`, `take_profit`, `trailing`, `break_even`).
    Rows before the strategy's warm-up hold nothing. `tags` is one text for all rows, or one a row.
    """

    target: FloatArray
    confidence: FloatArray
    stop: FloatArray
    take_profit: FloatArray
    trailing: FloatArray
    break_even: FloatArray
    max_bars: int | None = None
    tags: str | Sequence[str] = ""

    def __len__(self) -> int:
        """Return the number of bars."""
        return len(self.target)

    def tag(self, row: int) -> str:
        """Return the tag of one row."""
        return self.tags if isinstance(self.tags, str) else self.tags[row]


@dataclass(frozen=True, slots=True)
class Turns:
    """The same decisions, but only at the `rows` where a strategy changes its mind: what a sweep reads.

    `follow` is the trailing distance of every bar: a column, a share of the close, or None where nothing trails.
    """

    rows: NDArray[np.int64]
    target: FloatArray
    confidence: FloatArray
    stop: FloatArray
    take_profit: FloatArray
    trailing: FloatArray
    break_even: FloatArray
    follow: FloatArray | float | None
    max_bars: int | None

    @property
    def breaks_even(self) -> bool:
        """Say whether any turn asks for a stop at the entry price."""
        return bool((self.break_even == self.break_even).any())


def decide(strategy: BarStrategy, bars: Bars, exits: ExitsConfig) -> Decisions:
    """Ask a strategy for its signals and return them checked, with the exits of `exits` where it gives none.

    A strategy is not asked while there are no more bars than it needs to warm up. Raises StrategyError, naming the
    file and line, when its code fails or its answer does not fit.
    """
    warmup = warmup_of(strategy)
    if len(bars) <= warmup:
        return nothing(len(bars), exits)
    try:
        # A division by zero in an indicator gives inf or NaN; what comes of it is checked below, row by row.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            answer = strategy.signals(bars)
        return _checked(answer, bars, exits, warmup)
    except FAILURES as error:
        raise strategy_error(strategy, error, "signals") from error


@dataclass(frozen=True)
class Opinion:
    """What a strategy answered over a tape, and the rows where that changes; exits are still to be laid over it."""

    bars: Bars
    signals: Signals
    rows: NDArray[np.int64]
    target: FloatArray

    def turns(self, exits: ExitsConfig) -> Turns:
        """Return what `decide` would with these exits, at the rows where the opinion changes."""
        stop, goal, trailing, even = (self._distance(name, exits) for name in DISTANCES)
        given, follow = self.signals.trailing, _follow(self.bars, exits)
        if isinstance(given, np.ndarray) and not np.isnan(given).all():
            if isinstance(follow, float):
                follow = np.where(self.bars.close > 0, self.bars.close * follow, np.nan)
            follow = given if follow is None else np.where(np.isnan(given), follow, given)
        max_bars = _max_bars(self.signals.max_bars, exits)
        return Turns(self.rows, self.target, self._confidence, stop, goal, trailing, even, follow, max_bars)

    @cached_property
    def _close(self) -> FloatArray:
        return self.bars.close[self.rows]

    @cached_property
    def _is_priced(self) -> bool:
        """Say whether every close at the rows is a price that a share can be taken of."""
        return bool(self._close.min(initial=math.inf) > 0)

    @cached_property
    def _confidence(self) -> FloatArray:
        confidence = np.asarray(self.signals.confidence, np.float64)
        return confidence[self.rows] if confidence.ndim else np.full(len(self.rows), confidence)

    @cached_property
    def _unsaid(self) -> FloatArray:
        return np.full(len(self.rows), np.nan)

    def _distance(self, name: str, exits: ExitsConfig) -> FloatArray:
        """Return a distance at the rows: as given, or as the configuration asks for it."""
        wished, given = self._unsaid, getattr(self.signals, name)
        share = getattr(exits, _SHARES[name])
        if share is not None:
            wished = self._close * share
            if not self._is_priced:
                wished[~(self._close > 0)] = np.nan
        if name in _MULTIPLES and (multiple := getattr(exits, _MULTIPLES[name])) is not None:
            wished = np.fmin(wished, _ranges(self.bars, exits, multiple)[self.rows])
        if given is None:
            return wished
        column: FloatArray = given[self.rows]
        return np.where(np.isnan(column), wished, column)


_SHARES = dict(zip(DISTANCES, ("stop_loss", "take_profit", "trailing_stop", "break_even"), strict=True))
_MULTIPLES = {"stop": "stop_atr", "trailing": "trailing_atr"}


def opinion(strategy: BarStrategy, bars: Bars, first: int = 0) -> Opinion:
    """Return what `decide` would, from row `first` on, before exits; columns that nobody looks at are never made.

    Raises StrategyError as `decide` does.
    """
    warmup = warmup_of(strategy)
    if len(bars) <= warmup:
        return Opinion(bars, Signals(_UNREAD), np.empty(0, np.int64), np.empty(0))
    try:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            answer = strategy.signals(bars)
        start = max(first, warmup)
        if _is_plain(answer, bars):
            rows, target = turning(answer.changes or answer.target, start)
            if (np.abs(target) <= 1).all():
                return Opinion(bars, Signals(_UNREAD, answer.confidence), rows, target)
        checked = _checked(answer, bars, ExitsConfig(), warmup)
    except FAILURES as error:
        raise strategy_error(strategy, error, "signals") from error
    columns = (checked.stop, checked.take_profit, checked.trailing, checked.break_even)
    signals = Signals(checked.target, checked.confidence, *columns, max_bars=checked.max_bars)
    return Opinion(bars, signals, *turning(checked.target, start))


_UNREAD = np.empty(0)
"""Stands for a target of which its turns are all that anybody reads."""


def _is_plain(answer: object, bars: Bars) -> bool:
    """Say whether an answer is a target and nothing else that has to be looked through."""
    return (
        isinstance(answer, Signals) and _is_target(answer.changes or answer.target, len(bars))
        and isinstance(answer.confidence, int | float) and 0 <= answer.confidence <= 1
        and all(getattr(answer, name) is None for name in DISTANCES)
        and isinstance(answer.tag, str) and answer.max_bars is None
    )  # fmt: skip


def _is_target(target: object, length: int) -> bool:
    if isinstance(target, Changes):
        return target.length == length and _are_clean(target)
    return isinstance(target, np.ndarray) and target.dtype == np.float64 and target.shape == (length,)


def _are_clean(changes: Changes) -> bool:
    """Say whether changes can be read as they are; others are laid out as a column first, which tells what is wrong."""
    rows, values = np.asarray(changes.rows), np.asarray(changes.values)
    return (
        rows.dtype == np.int64 and values.dtype == np.float64 and rows.ndim == 1 and rows.shape == values.shape
        and (not len(rows) or bool(rows[0] >= 0 and rows[-1] < changes.length and (rows[1:] > rows[:-1]).all()))
        and not np.isnan(values).any()
    )  # fmt: skip


def turning(target: FloatArray | Changes, first: int) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the rows from `first` on whose target is known and differs from the last known one, and the targets."""
    if isinstance(target, Changes):
        start = int(np.searchsorted(target.rows, first))
        rows, values = target.rows[start:], target.values[start:]
    else:
        part = target[first:]
        differs = np.ones(len(part), dtype=bool)
        np.not_equal(part[1:], part[:-1], out=differs[1:])
        differs &= part == part
        rows = np.flatnonzero(differs) + first
        values = target[rows]
    kept = np.ones(len(rows), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=kept[1:])
    return rows[kept], values[kept]  # copies: a strategy may use its own arrays again


def _follow(bars: Bars, exits: ExitsConfig) -> FloatArray | float | None:
    """Return how far a stop trails by configuration: a share of the close, or a column of distances."""
    share, multiple = exits.trailing_stop, exits.trailing_atr
    if multiple is None:
        return share
    ranges = _ranges(bars, exits, multiple)
    return ranges if share is None else np.fmin(np.where(bars.close > 0, bars.close * share, np.nan), ranges)


def _ranges(bars: Bars, exits: ExitsConfig, multiple: float) -> FloatArray:
    return atr_distance(bars.high, bars.low, bars.close, exits.atr_period, multiple)


def warmup_of(strategy: BarStrategy) -> int:
    """Return how many bars a strategy waits for. Raises StrategyError, naming the file and line, if it is no count."""
    try:
        return _count(strategy.warmup)
    except FAILURES as error:
        raise strategy_error(strategy, error, "warmup") from error


def _count(warmup: object) -> int:
    if not isinstance(warmup, int | np.integer) or warmup < 0:
        raise StrategyError(
            f"The warm-up is {warmup!r}.", "Return the number of bars to wait for, 0 or more."
        )
    return int(warmup)


def nothing(length: int, exits: ExitsConfig) -> Decisions:
    """Return decisions without a single opinion."""
    none = _sealed(np.full(length, np.nan))
    return Decisions(none, _sealed(np.ones(length)), none, none, none, none, exits.max_bars)


def _checked(answer: object, bars: Bars, exits: ExitsConfig, warmup: int) -> Decisions:
    if not isinstance(answer, Signals):
        remedy = "End with `return Signals(target)`."
        raise StrategyError(f"signals() returned {type(answer).__name__} instead of Signals.", remedy)
    target = _column("target", answer.target, bars, scalar=False)
    target[:warmup] = np.nan
    _refuse("target", target, np.abs(target) > 1, bars, "Keep it in [-1, 1], or NaN for no new opinion.")
    confidence = _column("confidence", answer.confidence, bars)
    confidence[np.isnan(target)] = 1.0  # nobody reads it there, and an indicator may still be warming up
    bad = ~((confidence >= 0) & (confidence <= 1))
    _refuse("confidence", confidence, bad, bars, "Keep it in [0, 1] wherever there is a target.")
    distances = {name: _distance(name, getattr(answer, name), bars, warmup) for name in DISTANCES}
    for name, column in _framework_exits(bars, exits).items():
        gaps = np.isnan(distances[name])
        gaps[:warmup] = False
        distances[name][gaps] = column[gaps]
    return Decisions(
        target=_sealed(target),
        confidence=_sealed(confidence),
        **{name: _sealed(column) for name, column in distances.items()},
        max_bars=_max_bars(answer.max_bars, exits),
        tags=_tags(answer.tag, len(bars)),
    )


def _column(name: str, values: ArrayLike, bars: Bars, *, scalar: bool = True) -> FloatArray:
    """Return a fresh float64 column with one value per bar; a single number is repeated."""
    try:
        column = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise StrategyError(
            f"{name} is no column of numbers ({error}).", "Give a numpy array of floats."
        ) from None
    if scalar and column.ndim == 0:
        return np.full(len(bars), column)
    if column.shape != (len(bars),):
        shape = "a single number" if column.ndim == 0 else f"of shape {column.shape}"
        raise StrategyError(
            f"{name} is {shape} for {len(bars)} bars.", f"Give {len(bars)} values, one per bar."
        )
    return column


def _distance(name: str, values: ArrayLike | None, bars: Bars, warmup: int) -> FloatArray:
    column = _column(name, np.nan if values is None else values, bars)
    column[:warmup] = np.nan
    bad = ~(np.isnan(column) | ((column > 0) & (column < np.inf)))
    _refuse(name, column, bad, bars, "A distance is above 0, or NaN for none.")
    return column


def _refuse(name: str, column: FloatArray, bad: np.ndarray, bars: Bars, remedy: str) -> None:
    """Raise StrategyError for the first bad row, if there is one."""
    if bad.any():
        row = int(np.argmax(bad))
        opened = np.datetime_as_string(bars.ts[row].astype("datetime64[ns]"), unit="m").replace("T", " ")
        more = f" ({int(bad.sum())} such rows)" if bad.sum() > 1 else ""
        raise StrategyError(f"{name} is {column[row]} in row {row}, the bar of {opened} UTC{more}.", remedy)


def _framework_exits(bars: Bars, exits: ExitsConfig) -> dict[str, FloatArray]:
    """Return the distances that the configuration asks for; of two, the nearer."""
    found: dict[str, FloatArray] = {}
    shares = (exits.stop_loss, exits.take_profit, exits.trailing_stop, exits.break_even)
    for name, share in zip(DISTANCES, shares, strict=True):
        if share is not None:
            found[name] = np.where(bars.close > 0, bars.close * share, np.nan)
    for name, multiple in (("stop", exits.stop_atr), ("trailing", exits.trailing_atr)):
        if multiple is not None:
            ranges = _ranges(bars, exits, multiple)
            found[name] = np.fmin(found[name], ranges) if name in found else ranges
    return found


def _max_bars(value: object, exits: ExitsConfig) -> int | None:
    if value is None:
        return exits.max_bars
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise StrategyError(f"max_bars is {value!r}.", "Give a whole number of bars, 1 or more, or None.")
    return int(value)


def _tags(tags: str | Sequence[str], length: int) -> str | Sequence[str]:
    if isinstance(tags, str):
        tags.encode()  # raises, here and below, for what cannot be recorded
        return tags
    column = tuple(map(str, tags))
    "".join(column).encode()
    if len(column) != length:
        raise StrategyError(
            f"tag has {len(column)} texts for {length} bars.", "Give one text, or one per bar."
        )
    return column


def _sealed(column: FloatArray) -> FloatArray:
    column.flags.writeable = False
    return column
