"""Bring stored history up to what is wanted: ask a source for what is missing, store it, remember what is whole.

It asks for nothing twice: bars that are there, and times that a source has told all about, are passed over, so that an
interrupted download goes on where it was. The bar that is still open is never stored. Where a source tells too few of
its bars, they are built from its trades.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from abidance.market.bars import Bars, grid_offset
from abidance.market.build import build_time_bars
from abidance.market.funding import Funding
from abidance.market.quality import first_fault
from abidance.market.store import BarStore, FundingStore, Hole, Place, Spans, Tables, TradeStore
from abidance.market.store.spans import complement, union
from abidance.market.store.tables import tape_schema
from abidance.market.store.timerange import show
from abidance.model.errors import DataError
from abidance.model.instrument import SECOND_NS, timeframe_ns

if TYPE_CHECKING:
    import polars as pl

SETTLING = 2 * SECOND_NS
"""So long after its close a bar may still change at the venue, in ns."""
LATENESS = 300 * SECOND_NS
"""What is younger than this, in ns, may still be told: that there is nothing of it yet proves nothing."""
FUNDING_LATENESS = 3_600 * SECOND_NS
_ROWS = 5_000
"""So many rows are stored together: more would be lost by a crash, fewer would rewrite files too often."""
_DAY = 86_400 * SECOND_NS
_MOST_HOLES = 1_000

TradeRow = tuple[int, float, float, bool, str]
"""Time (ns UTC), price, size, whether the buyer was the taker, the venue's id or nothing."""


class BarPage(NamedTuple):
    """Some bars, and up to where (ns UTC) everything is told."""

    rows: Bars
    until: int


class TradePage(NamedTuple):
    """Some trades, and up to where (ns UTC) everything is told."""

    rows: list[TradeRow]
    until: int


class FundingPage(NamedTuple):
    """Some funding rates, and up to where (ns UTC) everything is told."""

    rows: Funding
    until: int


class Source(Protocol):
    """Who can be asked for the past of one venue's market. Pages come oldest first; each is whole up to its `until`."""

    @property
    def newest_bars(self) -> int:
        """Return how many of the newest bars are told; 0 when all are."""
        ...

    @property
    def tells_trades(self) -> bool:
        """Return whether trades of any time can be asked for."""
        ...

    async def now(self) -> int:
        """Return the source's time in ns UTC."""
        ...

    def bars(self, instrument: str, timeframe: str, start: int, end: int) -> AsyncIterator[BarPage]:
        """Yield the bars that open from `start` up to `end` (ns UTC)."""
        ...

    def trades(self, instrument: str, start: int, end: int) -> AsyncIterator[TradePage]:
        """Yield the trades from `start` up to `end` (ns UTC)."""
        ...

    def funding(self, instrument: str, start: int, end: int) -> AsyncIterator[FundingPage]:
        """Yield the funding rates due from `start` up to `end` (ns UTC)."""
        ...


class Step(NamedTuple):
    """How far a download is: `what` in words, the share that is done, and how many rows were new so far."""

    what: str
    share: float
    added: int


Watch = Callable[[Step], None]


class Backfill:
    """Downloads of one instrument into a store. With `replace` stored bars are asked for again."""

    def __init__(
        self, source: Source, tables: Tables, watch: Watch = lambda _: None, *, replace: bool = False
    ) -> None:
        self._source, self._tables, self._watch, self._replace = source, tables, watch, replace

    async def bars(self, instrument: str, timeframe: str, start: int, end: int) -> int:
        """Store the closed bars that open from `start` up to `end` (ns UTC) and return how many are new.

        Raises what the source raises; everything that was told before is stored by then.
        """
        step = timeframe_ns(timeframe)
        offset = grid_offset(step)
        closed = (await self._source.now() - SETTLING - offset) // step * step + offset
        start, end = (-((offset - at) // step) * step + offset for at in (start, end))
        end = min(end, closed)
        newest = self._source.newest_bars
        # One bar less than there is: while we ask, another one opens.
        told_from = closed - (newest - 1) * step if newest else start
        ripe, added = closed - max(2 * step, LATENESS), 0
        missing = missing_bars(self._tables, instrument, timeframe, start, end)
        for low, high in ((start, end),) if self._replace and start < end else missing:
            if low < told_from:
                added += await self._built(instrument, timeframe, low, min(high, told_from))
            if high > told_from:
                added += await self._told(instrument, timeframe, (max(low, told_from), high), ripe)
        return added

    async def _told(self, instrument: str, timeframe: str, between: tuple[int, int], ripe: int) -> int:
        store, place = BarStore(self._tables), Place(instrument, "bars", timeframe)
        start, end = between
        waiting: list[Bars] = []
        kept = done = start
        refused, added, what = False, 0, f"{instrument} {timeframe}"

        def keep() -> int:
            nonlocal kept, refused
            bars = joined(instrument, timeframe, waiting)
            refused = True  # until it is stored: what a store refuses is not tried again
            count = store.write(bars, replace=self._replace) if len(bars) else 0
            last = int(bars.ts_close[-1]) if len(bars) else kept
            sure = min(done, max(last, ripe))
            if sure > kept:
                self._tables.note(place, Spans(((kept, sure),), bar_holes(bars, kept, sure)))
            waiting.clear()
            kept, refused = done, False
            return count

        pages = self._source.bars(instrument, timeframe, start, end)
        async with aclosing(pages):  # type: ignore[type-var]
            try:
                async for page in pages:
                    if fault := first_fault(page.rows):
                        raise DataError(
                            f"The source told an impossible bar of {what} at {show(fault.ts)}: {fault.bar}.",
                            "Nothing of its page was stored; try again later, or import a file.",
                        )
                    waiting.append(page.rows)
                    done = max(done, min(page.until, end))
                    if sum(map(len, waiting)) >= _ROWS:
                        added += keep()
                    self._watch(Step(what, (done - start) / (end - start), added + sum(map(len, waiting))))
            finally:
                if done > kept and not refused:
                    added += keep()
        return added

    async def _built(self, instrument: str, timeframe: str, start: int, end: int) -> int:
        """Build what the source no longer tells from its trades, a month at a time."""
        if not self._source.tells_trades:
            raise DataError(
                f"Bars of {instrument} {timeframe} before {show(end)} are not told any more, and neither are trades.",
                "Import them from a file.",
            )
        await self.trades(instrument, start, end)
        step, store, tapes = timeframe_ns(timeframe), BarStore(self._tables), TradeStore(self._tables)
        place = Place(instrument, "bars", timeframe)
        length, added = max(step, 28 * _DAY // step * step), 0
        for low in range(start, end, length):
            high = min(end, low + length)
            bars = build_time_bars(
                instrument, timeframe, tapes.read(instrument, low, high), since=low, until=high
            )
            if len(bars):
                added += store.write(bars, replace=self._replace)
            if store.holds(instrument, timeframe):
                self._tables.note(place, Spans(((low, high),), bar_holes(bars, low, high)))
        return added

    async def trades(self, instrument: str, start: int, end: int) -> int:
        """Store the trades from `start` up to `end` (ns UTC) and return how many are new."""
        place, added = Place(instrument, "trades"), 0
        now = await self._source.now()
        for low, high in self._tables.spans(place).missing(start, min(end, now - SETTLING)):
            added += await self._trades(place, low, high, now - LATENESS)
        if added:
            self._tables.compact(place)
        return added

    async def _trades(self, place: Place, start: int, end: int, ripe: int) -> int:
        waiting: list[TradeRow] = []
        kept = done = start
        refused, added = False, 0

        def keep() -> int:
            nonlocal kept, refused
            refused = True
            count = self._tables.append(place, trade_frame(waiting)) if waiting else 0
            newest = max((row[0] + 1 for row in waiting), default=kept)
            self._tables.note(place, Spans(((kept, min(done, max(newest, ripe))),)))
            waiting.clear()
            kept, refused = done, False
            return count

        async with aclosing(self._source.trades(place.instrument, start, end)) as pages:  # type: ignore[type-var]
            try:
                async for page in pages:
                    waiting.extend(page.rows)
                    done = max(done, min(page.until, end))
                    if len(waiting) >= _ROWS:
                        added += keep()
                    share = (done - start) / (end - start)
                    self._watch(Step(f"{place.instrument} trades", share, added + len(waiting)))
            finally:
                if done > kept and not refused:
                    added += keep()
        return added

    async def funding(self, instrument: str, start: int, end: int) -> int:
        """Store the funding rates due from `start` up to `end` (ns UTC) and return how many are new."""
        place, store, added = Place(instrument, "funding"), FundingStore(self._tables), 0
        now = await self._source.now()
        for low, high in self._tables.spans(place).missing(start, min(end, now - SETTLING)):
            kept = low
            async with aclosing(self._source.funding(instrument, low, high)) as pages:  # type: ignore[type-var]
                async for page in pages:
                    if len(page.rows):
                        added += store.write(page.rows, replace=self._replace)
                    done = min(page.until, high)
                    newest = int(page.rows.ts[-1]) + 1 if len(page.rows) else kept
                    self._tables.note(place, Spans(((kept, min(done, max(newest, now - FUNDING_LATENESS))),)))
                    kept = done
                    self._watch(Step(f"{instrument} funding", (done - low) / (high - low), added))
        return added


def missing_bars(
    tables: Tables, instrument: str, timeframe: str, start: int, end: int
) -> tuple[tuple[int, int], ...]:
    """Return the stretches from `start` up to `end` of which bars are neither stored nor known not to exist."""
    if start >= end:
        return ()
    step = timeframe_ns(timeframe)
    ts = BarStore(tables).read(instrument, timeframe, start, end).ts
    edges = np.flatnonzero(np.diff(ts) != step)
    first, last = np.r_[0, edges + 1], np.r_[edges, len(ts) - 1]
    there = [(int(ts[a]), int(ts[b]) + step) for a, b in zip(first, last, strict=True)] if len(ts) else []
    known = tables.spans(Place(instrument, "bars", timeframe)).whole
    return complement(union((*there, *known)), start, end)


def bar_holes(bars: Bars, start: int, end: int) -> tuple[Hole, ...]:
    """Return where bars are missing between two moments between which all are told; the ends count too."""
    step = timeframe_ns(bars.timeframe)
    opens = np.r_[start - step, bars.ts, end]
    wide = np.flatnonzero(np.diff(opens) > step)[:_MOST_HOLES]
    reason = "The venue has no bars."
    return tuple(Hole(int(opens[at]) + step, int(opens[at + 1]), reason) for at in wide)


def joined(instrument: str, timeframe: str, parts: list[Bars]) -> Bars:
    """Return the bars of parts that follow one another as one."""
    columns = [np.concatenate(column) for column in zip(*(part.columns() for part in parts), strict=True)]
    if not columns:
        return Bars(instrument, timeframe, np.empty(0, np.int64), [np.empty(0)] * 5)
    return Bars(instrument, timeframe, np.concatenate([part.ts for part in parts]), columns)


def trade_frame(rows: list[TradeRow]) -> "pl.DataFrame":
    """Return trades as the store keeps them."""
    import polars as pl

    names = ("ts", "price", "size", "buyer_is_taker", "id", "received")
    return pl.DataFrame(
        [(*row, 0) for row in rows], schema={n: tape_schema("trades")[n] for n in names}, orient="row"
    )
