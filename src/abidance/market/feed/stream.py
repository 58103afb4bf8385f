"""Ticks of several lanes in one order, read in blocks, of which whole stretches can be passed over in compiled code.

A lane is one instrument's trades, quotes or books in columns. A stretch that nobody could notice is never made into
events; everything else comes as if the lanes had been merged event by event. What may be noticed is told by a `Watch`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from abidance.market.bars import FloatArray, IntArray
from abidance.model.market import BookSnapshot, MarketEvent, Quote, Trade

if TYPE_CHECKING:
    import polars as pl

TickEvent = Trade | Quote | BookSnapshot
Rank = tuple[int, int]
NEVER = 2**63 - 1
HIGHEST = 1e18
"""A price from here on is a fault in the data, and nothing to be passed over."""
LEAST = 4_096
"""Rows of a block below which passing over in compiled code is not worth loading the compiler."""


class Lane(Protocol):
    """One instrument's ticks of one kind, in columns."""

    instrument: str
    kind: type[TickEvent]
    reach: tuple[str, str]
    """The columns that hold the lower and the higher of a tick's two prices."""

    def frames(self, after: int | None) -> Iterator["pl.DataFrame"]:
        """Yield chunks of the ticks later than `after`; the first column is the time, `ts`, in ns."""
        ...

    def make(self, *columns: Iterable[Any]) -> Iterable[TickEvent]:
        """Return the events of some rows, later ones than at the last call (or again the last)."""
        ...


@dataclass
class Watch:
    """What in a stretch of ticks could be noticed.

    `reach` holds, per lane, between which prices a tick touches nothing (bounds excluded) and from when on every tick
    matters; `bands` the prices of an instrument at which a look at the equity leads to nothing (bounds included). Looks
    are taken at the first tick from `check_at` on, then `check_step` later, and are to be seen from `check_until` on.
    """

    until: int
    reach: Sequence[tuple[float, float, int]]
    check_at: int = NEVER
    check_until: int = NEVER
    check_step: int = 0
    bands: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    has_looks: bool = True
    """Whether a look does anything, and its ticks are to be told."""


@dataclass(frozen=True)
class Passed:
    """A stretch that was passed over: its ticks counted, the newest of each lane at the last look and at the end.

    `since` are those of the newest that no look has seen.
    """

    count: int
    seen: Sequence[TickEvent]
    since: Sequence[TickEvent]
    newest: Sequence[TickEvent]
    checked_at: int
    check_at: int


class _Source:
    """A lane being read: what was loaded of it and not merged yet."""

    def __init__(self, lane: Lane, rank: Rank, after: int | None) -> None:
        self.lane, self.rank = lane, rank
        self.frame: pl.DataFrame | None = None
        self.is_done = False
        self.ts: IntArray = np.empty(0, dtype=np.int64)
        self._frames = lane.frames(after)

    def load(self) -> None:
        """Read one chunk more."""
        import polars as pl

        more = next(self._frames, None)
        if more is None:
            self.is_done = True
            return
        self.frame = more if self.frame is None or not len(self.ts) else pl.concat([self.frame, more])
        self.ts = self.frame["ts"].to_numpy()

    def cut(self, count: int) -> "pl.DataFrame":
        """Take the first rows out."""
        assert self.frame is not None
        taken, self.frame = self.frame.slice(0, count), self.frame.slice(count)
        self.ts = self.ts[count:]
        return taken


@dataclass(frozen=True)
class _Block:
    """Merged rows: time, lane, the two prices, and each row's place in its lane's frame."""

    frames: Sequence["pl.DataFrame"]
    tape: tuple[IntArray, IntArray, FloatArray, FloatArray]
    place: IntArray

    @property
    def rows(self) -> int:
        return len(self.place)


class TickStream(Iterator[MarketEvent]):
    """One pass over ticks in lanes and whatever else happens between them.

    `others` yields (time, rank) and event, in order; a rank is the place of a kind and of a feed among equal times.
    """

    def __init__(
        self,
        lanes: Sequence[tuple[Rank, Lane]],
        others: Iterator[tuple[tuple[int, Rank], MarketEvent]],
        after: int | None,
        least: int | None = None,
    ) -> None:
        ordered = sorted(lanes, key=lambda each: each[0])
        # A lane may remember where it is: each pass has its own.
        self.lanes: Sequence[Lane] = [copy(lane) for _, lane in ordered]
        ranks = [rank for rank, _ in ordered]
        self._sources = [_Source(*each, after) for each in zip(self.lanes, ranks, strict=True)]
        self._others = others
        self._pending = next(others, None)
        self._block: _Block | None = None
        self._at = self._stop = 0
        self._least = LEAST if least is None else least
        self._walk: Iterator[MarketEvent] | None = None

    # --- one by one

    def __next__(self) -> MarketEvent:
        """Return the next event."""
        if self._walk is None:
            self._walk = self._walked()
        return next(self._walk)

    def __iter__(self) -> Iterator[MarketEvent]:
        """Iterate over what is left; not to be mixed with `take` and `skip`."""
        if self._walk is None:
            self._walk = self._walked()
        return self._walk

    def _walked(self) -> Iterator[MarketEvent]:
        size = 64
        while batch := self.take(size):
            yield from batch
            size = min(2 * size, 8_192)

    def take(self, most: int) -> Sequence[MarketEvent]:
        """Return the next events, up to `most`; none at the end."""
        if not self._ready():
            return ()
        if self._at < self._stop:
            stop = min(self._stop, self._at + most)
            events = self._events(self._at, stop)
            self._at = stop
            return events
        assert self._pending is not None
        event = self._pending[1]
        self._pending = next(self._others, None)
        self._stop = self._limit()
        return (event,)

    # --- passing over

    def skip(self, watch: Watch) -> Passed | None:
        """Pass over ticks for as long as nobody could notice; None when the next event is to be taken."""
        if not self._ready() or self._at >= self._stop:
            return None
        block = self._block
        assert block is not None
        if (
            block.rows < self._least
            or watch.reach[int(block.tape[1][self._at])][2] <= block.tape[0][self._at]
        ):
            return None
        from abidance.market.scan import pass_over

        bands = [watch.bands.get(lane.instrument, (-np.inf, np.inf)) for lane in self.lanes]
        columns = zip(*((max(low, 0.0), min(high, HIGHEST)) for low, high, _ in watch.reach), strict=True)
        lowest, highest = (np.array(column) for column in columns)
        band_low, band_high = (np.array(column) for column in zip(*bands, strict=True))
        wake = np.array([wake for _, _, wake in watch.reach], dtype=np.int64)
        newest = np.full(len(self.lanes), -1, dtype=np.int64)
        seen = newest.copy()
        check = np.array([watch.check_at, watch.check_until, watch.check_step, -1], dtype=np.int64)
        row = int(
            pass_over(
                self._at, self._stop, watch.until, block.tape, (lowest, highest, wake, band_low, band_high),
                newest, seen, check,
            )
        )  # fmt: skip
        count, self._at = row - self._at, row
        if not count:
            return None
        if not watch.has_looks:
            seen[:] = -1
        at_look, at_end = self._ticks(seen), self._ticks(newest)
        since = [
            tick for row, tick in zip(sorted(newest[newest >= 0]), at_end, strict=True) if row not in seen
        ]
        return Passed(count, at_look, since, at_end, int(check[3]), int(check[0]))

    def _ticks(self, rows: IntArray) -> Sequence[TickEvent]:
        """Return the events of some rows, oldest first; -1 stands for none."""
        return [event for row in sorted(rows.tolist()) if row >= 0 for event in self._one(row)]

    def _one(self, row: int) -> Iterable[TickEvent]:
        block = self._block
        assert block is not None
        own = int(block.tape[1][row])
        return self.lanes[own].make(*((value,) for value in block.frames[own].row(int(block.place[row]))))

    # --- blocks

    def _ready(self) -> bool:
        """Make sure that something comes next: rows before `_stop`, or the pending event."""
        if self._block is not None and self._at < self._block.rows:
            return True
        self._block, self._at = self._merged(), 0
        self._stop = self._limit()
        return self._block is not None or self._pending is not None

    def _limit(self) -> int:
        """Return the first row that comes after the pending event."""
        block = self._block
        if block is None:
            return 0
        if self._pending is None:
            return block.rows
        ts, rank = self._pending[0]
        row = max(self._at, int(np.searchsorted(block.tape[0], ts)))
        while row < block.rows and block.tape[0][row] == ts and self._sources[block.tape[1][row]].rank < rank:
            row += 1
        return row

    def _merged(self) -> _Block | None:
        """Return the rows of all lanes up to where one of them would have to be read on."""
        for source in self._sources:
            if not len(source.ts) and not source.is_done:
                source.load()
        counts = self._counts()
        while not sum(counts):
            short = [source for source in self._sources if not source.is_done]
            if not short:
                return None
            edge = min(int(source.ts[-1]) for source in short)
            for source in short:
                if source.ts[-1] == edge:
                    source.load()
            counts = self._counts()
        parts = [(n, count) for n, count in enumerate(counts) if count]
        times = [self._sources[n].ts[:count] for n, count in parts]
        frames: list[Any] = [None] * len(self._sources)
        for n, count in parts:
            frames[n] = self._sources[n].cut(count)
        return _block(self.lanes, frames, parts, times)

    def _counts(self) -> list[int]:
        """Return how many loaded rows of each lane no row to come can precede."""
        unread = [source for source in self._sources if not source.is_done]
        if not unread or len(self._sources) == 1:
            return [len(source.ts) for source in self._sources]
        edge = min(source.ts[-1] for source in unread)
        return [int(np.searchsorted(source.ts, edge)) for source in self._sources]

    def _events(self, start: int, stop: int) -> Sequence[MarketEvent]:
        block = self._block
        assert block is not None
        own = block.tape[1][start:stop]
        made: dict[int, Iterator[TickEvent]] = {}
        for n in np.unique(own).tolist():
            places = block.place[start:stop][own == n]
            part = block.frames[n].slice(int(places[0]), len(places))
            made[n] = iter(self.lanes[n].make(*(column.to_list() for column in part.get_columns())))
        if len(made) == 1:
            return list(*made.values())
        return [next(made[n]) for n in own.tolist()]


def _block(
    lanes: Sequence[Lane], frames: Sequence[Any], parts: Sequence[tuple[int, int]], times: Sequence[IntArray]
) -> _Block:
    pairs = [_prices(frames[n], lanes[n].reach) for n, _ in parts]
    if len(parts) == 1:
        n, count = parts[0]
        own = np.full(count, n, dtype=np.int64)
        return _Block(frames, (np.ascontiguousarray(times[0]), own, *pairs[0]), np.arange(count))
    ts = np.concatenate(times)
    order = np.argsort(ts, kind="stable")
    own = np.repeat([n for n, _ in parts], [count for _, count in parts])
    place = np.concatenate([np.arange(count) for _, count in parts])
    low, high = (np.concatenate(columns) for columns in zip(*pairs, strict=True))
    return _Block(frames, (ts[order], own[order], low[order], high[order]), place[order])


def _prices(frame: "pl.DataFrame", reach: tuple[str, str]) -> tuple[FloatArray, FloatArray]:
    one, two = (np.ascontiguousarray(frame[name].to_numpy()) for name in reach)
    return (one, one) if reach[0] == reach[1] else (np.minimum(one, two), np.maximum(one, two))
