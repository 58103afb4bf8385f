"""The bars of a scene, laid before kernels piece by piece: in memory are those of a stretch of time, not of a run.

Pieces end with months where they can, as files of the store do. Few bars are one piece, and columns that lie side by
side in memory are not even copied then.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abidance.backtest.tables import World
from abidance.market.bars import FIELDS, Bars
from abidance.market.stored import StoredBars
from abidance.model.instrument import timeframe_ns

ROWS = 1 << 19
"""Bars that a piece holds, or a few more: a moment is not cut."""
_COLUMNS = ("ts", *FIELDS)
_NEVER = -1
"""The time of the row after a series' last in a piece: no bar's."""


class Reel:
    """Series of bars and the moments at which any of their bars close, `when`.

    The fast lane goes to and fro: it gets one piece, whatever its size, and of that only the columns `for_lane`.
    """

    def __init__(self, series: Sequence[Bars], *, for_lane: Sequence[str] = ()) -> None:
        self._series = series
        self._names = for_lane or _COLUMNS
        self._spans = [timeframe_ns(bars.timeframe) for bars in series]
        self.when = _moments(series, self._spans)
        stays = any(isinstance(bars, StoredBars) for bars in series)
        few = len(series) == 1 or sum(map(len, series)) <= 2 * ROWS
        self._ends = [len(self.when)] if for_lane or (few and not stays) else self._pieces()
        self._at = 0
        self._rows = [0] * len(series)
        self._room: dict[str, NDArray[Any]] = {}

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns of a world; those of several pieces are empty until the first is laid."""
        found = _room(0)
        if len(self._ends) == 1:
            for name in self._names:
                found[name] = joined(getattr(bars, name) for bars in self._series)
        return found

    def lay(self, world: World) -> bool:
        """Lay the next piece before the kernels; after the last one let go of all bars and return False."""
        if self._at == len(self._ends):
            self._room = {}
            for name, room in _room(0).items():
                world.lend(name, room)
            return False
        end = self._ends[self._at]
        self._at += 1
        if len(self._ends) == 1:
            world.series["first"] = np.cumsum([0, *map(len, self._series)])[:-1]
        else:
            self._fill(world, int(self.when[end - 1]))
        world.lend("when", self.when[:end])
        return True

    def _fill(self, world: World, until: int) -> None:
        """Copy the bars that close up to `until` where kernels look for them."""
        stops = [
            int(np.searchsorted(bars.ts, until - span, side="right"))
            for bars, span in zip(self._series, self._spans, strict=True)
        ]
        rows = sum(stops) - sum(self._rows) + len(stops)
        if rows > len(self._room.get("ts", ())):
            self._room = _room(rows)
            for name, room in self._room.items():
                world.lend(name, room)
        at = 0
        for number, (bars, stop) in enumerate(zip(self._series, stops, strict=True)):
            start = self._rows[number]
            part, after = bars.slice(start, stop), at + stop - start
            for name in _COLUMNS:
                self._room[name][at:after] = getattr(part, name)
            self._room["ts"][after] = _NEVER
            world.series["first"][number] = at - start
            at = after + 1
        self._rows = stops

    def _pieces(self) -> list[int]:
        """Return before which moments pieces end: with months, as many as fit, or within a month that does not."""
        month = (self.when - 1).astype("datetime64[ns]").astype("datetime64[M]")
        months = np.append(np.flatnonzero(month[1:] != month[:-1]) + 1, len(month))
        ends = [0]
        for end, rows in zip(months.tolist(), np.diff(self._taken(months), prepend=0).tolist(), strict=True):
            parts = min(-(-rows // ROWS), end - ends[-1])
            ends += np.linspace(ends[-1], end, parts + 1).astype(np.int64)[1:].tolist()
        taken = self._taken(np.array(ends[1:])).tolist()
        kept, before = [], 0
        for end, rows, after in zip(ends[1:], taken, taken[1:], strict=False):
            if after - before > ROWS:
                kept.append(end)
                before = rows
        return [*kept, len(self.when)]

    def _taken(self, ends: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many bars close before each of `ends`."""
        last = self.when[ends - 1]
        return sum(
            (
                np.searchsorted(bars.ts, last - span, side="right")
                for bars, span in zip(self._series, self._spans, strict=True)
            ),
            start=np.zeros(len(ends), dtype=np.int64),
        )


def _room(rows: int) -> dict[str, NDArray[Any]]:
    """Return columns for so many bars."""
    return {name: np.empty(rows, dtype=np.int64 if name == "ts" else np.float64) for name in _COLUMNS}


def _moments(series: Sequence[Bars], spans: Sequence[int]) -> NDArray[np.int64]:
    """Return the moments at which bars close, each once."""
    known: list[tuple[NDArray[np.int64], int]] = []
    for bars, span in zip(series, spans, strict=True):
        if not any(span == own and (bars.ts is ts or np.array_equal(bars.ts, ts)) for ts, own in known):
            known.append((bars.ts, span))
    known.sort(key=lambda each: -len(each[0]))
    found = known[0][0] + known[0][1]
    for ts, span in known[1:]:
        closes = ts + span
        at = np.minimum(np.searchsorted(found, closes), len(found) - 1)
        if len(missing := closes[found[at] != closes]):
            found = np.sort(np.concatenate((found, missing)), kind="stable")
    found.flags.writeable = False
    return found


def joined(parts: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """Return columns in one read-only piece; one alone, and those that lie side by side, are not copied."""
    columns = [np.ascontiguousarray(part) for part in parts]
    if len(columns) == 1:
        return sealed(columns[0])
    begins = [column.ctypes.data for column in columns]
    ends = [begin + column.nbytes for begin, column in zip(begins, columns, strict=True)]
    whole = columns[0]
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    first = begins[0] - whole.ctypes.data
    if (
        ends[:-1] == begins[1:]
        and whole.flags.c_contiguous
        and 0 <= first <= first + ends[-1] - begins[0] <= whole.nbytes
    ):
        return sealed(np.frombuffer(whole.data, columns[0].dtype, sum(map(len, columns)), first))
    return sealed(np.concatenate(columns))


def sealed(column: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only view of a column."""
    view = column.view()
    view.flags.writeable = False
    return view
