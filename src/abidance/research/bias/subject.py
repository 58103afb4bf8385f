"""What is examined: a strategy that can be made anew, and its bars as they were known at any moment.

Parts of the history are copies, so that no array reaches beyond its end; other instruments end and begin with them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from abidance.market.bars import Bars, FloatArray
from abidance.strategy.base import BarStrategy
from abidance.strategy.config import ExitsConfig
from abidance.strategy.decisions import DISTANCES, Decisions, decide

COLUMNS = ("target", "confidence", *DISTANCES)
TOLERANCE = 1e-9
"""The relative difference up to which two numbers are the same: summing in another order is no other opinion."""

_NO_EXITS = ExitsConfig()
Value = float | str | int | None


@dataclass(frozen=True)
class Subject:
    """A strategy to examine on `bars`; `make` returns a new, configured instance each time."""

    make: Callable[[], BarStrategy]
    bars: Bars
    exits: ExitsConfig = _NO_EXITS

    @cached_property
    def warmup(self) -> int:
        """Return the warm-up that the strategy declares."""
        return int(self.make().warmup)

    @cached_property
    def whole(self) -> Decisions:
        """Return what a new instance decides on all bars. Raises StrategyError when it cannot."""
        return self.decide(self.bars)

    @cached_property
    def again(self) -> "Difference | None":
        """Return where a second new instance decides otherwise on the same bars, or None as it should be."""
        return next(differences(self.whole, self.decide(self.bars)), None)

    def decide(self, bars: Bars) -> Decisions:
        """Return what a new instance decides. Raises StrategyError when it cannot."""
        return decide(self.make(), bars, self.exits)

    def known(self, stop: int, start: int = 0) -> Bars:
        """Return the rows from `start` up to, not including, `stop`, as known at the last one's close."""
        since = int(self.bars.ts[start]) if start else 0
        until = self.closes(stop - 1) if stop else 0
        return _copy(self.bars, start, stop, _Known(self.bars.universe, since, until))

    def closes(self, row: int) -> int:
        """Return when a row's bar closes, ns UTC."""
        return int(self.bars.ts_close[row])

    def turns(self) -> NDArray[np.int64]:
        """Return the rows at which all bars give another opinion than the one before, oldest first."""
        target = self.whole.target
        stated = np.flatnonzero(~np.isnan(target))
        turns: NDArray[np.int64] = stated[np.diff(target[stated], prepend=np.nan) != 0]
        return turns


class _Known(Mapping[str, Bars]):
    """The bars of all instruments that opened since a moment and had closed by another."""

    def __init__(self, whole: Mapping[str, Bars], since: int, until: int) -> None:
        self._whole = whole
        self._span = since, until
        self._seen: dict[str, Bars] = {}

    def __getitem__(self, instrument: str) -> Bars:
        if instrument not in self._seen:
            bars, (since, until) = self._whole[instrument], self._span
            start = int(np.searchsorted(bars.ts, since))
            stop = int(np.searchsorted(bars.ts_close, until, side="right"))
            self._seen[instrument] = _copy(bars, start, max(start, stop), self)
        return self._seen[instrument]

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole)

    def __len__(self) -> int:
        return len(self._whole)


def _copy(bars: Bars, start: int, stop: int, universe: Mapping[str, Bars]) -> Bars:
    part = slice(start, stop)
    columns = [column[part].copy() for column in bars.columns()]
    return Bars(bars.instrument, bars.timeframe, bars.ts[part].copy(), columns, universe)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two decisions on the same bars part: a row of the first, a column, and both values."""

    row: int
    column: str
    first: Value
    second: Value


def unlike(first: FloatArray, second: FloatArray) -> NDArray[np.bool_]:
    """Say row by row where two columns differ by more than rounding; NaN is like NaN."""
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(first - second) <= TOLERANCE * np.maximum(np.abs(first), np.abs(second))
    same: NDArray[np.bool_] = (first == second) | (np.isnan(first) & np.isnan(second)) | near
    return ~same


def differences(first: Decisions, second: Decisions, offset: int = 0) -> Iterator[Difference]:
    """Yield the first difference of each column: row k of `second` stands beside row `offset` + k of `first`."""
    count = min(len(second), len(first) - offset)
    for name in COLUMNS:
        one, other = getattr(first, name)[offset : offset + count], getattr(second, name)[:count]
        rows = np.flatnonzero(unlike(one, other))
        if len(rows):
            row = int(rows[0])
            yield Difference(offset + row, name, float(one[row]), float(other[row]))
    if first.tags != second.tags:
        for row in range(count):
            if first.tag(offset + row) != second.tag(row):
                yield Difference(offset + row, "tag", first.tag(offset + row), second.tag(row))
                break
    if first.max_bars != second.max_bars and count:
        yield Difference(offset + count - 1, "max_bars", first.max_bars, second.max_bars)


def shown(value: Value) -> str:
    """Return a value as sentences write it."""
    if value is None or value != value:
        return "nothing"
    return f"{value:.12g}" if isinstance(value, float) else repr(value)


def moment(ns: int) -> str:
    """Return a time to the minute, UTC."""
    text = str(np.datetime_as_string(np.datetime64(ns, "ns"), unit="m"))
    return text.replace("T", " ")
