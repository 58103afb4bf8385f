"""Keep what live feeds say: a tap that gathers market events and stores them in pieces, on a thread of its own.

What was handed over to the disk survives a crash; what waited in memory, at most `EVERY` seconds or `MOST` events, does
not, and the next start writes down that hole. Events that were stored before are not stored twice. The loop that calls
is never held up: when the disk cannot follow, events are let go, counted, and the hole is on record.
"""

from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from abidance.kernel.log import logger
from abidance.market.bars import Bars
from abidance.market.live.gaps import Gaps, Mended
from abidance.market.store import BarStore, FundingStore, Hole, Place, Spans, Tables
from abidance.market.store.tables import tape_schema
from abidance.model.errors import AbidanceError
from abidance.model.instrument import SECOND_NS
from abidance.model.market import (
    Bar,
    BarSlice,
    BookSnapshot,
    DataKind,
    FeedState,
    FeedStatus,
    FundingRate,
    MarketEvent,
    MarkPrice,
    Quote,
    Trade,
)

MOST = 20_000
"""So many events wait in memory before they are stored."""
EVERY = 5 * SECOND_NS
"""So long they wait, in ns."""
BEHIND = 4
"""So many pieces may wait for the disk; what comes then is let go."""
SEAM = 2 * SECOND_NS
"""A start that comes later than this after the end of an earlier recording, in ns, leaves a hole on record."""
_TAPES = {
    DataKind.TRADES: "trades",
    DataKind.QUOTES: "quotes",
    DataKind.BOOK: "books",
    DataKind.MARK: "marks",
}

Piece = dict[Place, list[Any]]


class Recorder:
    """A `venues.net.feed.Tap` that stores everything it hears; `close` it to store the rest.

    `dropped` counts the events that were let go because the disk could not follow or refused.
    """

    def __init__(self, tables: Tables, *, most: int = MOST, every: int = EVERY) -> None:
        self.dropped = 0
        self._tables, self._most, self._every = tables, most, every
        self._waiting: Piece = defaultdict(list)
        self._count = 0
        self._since = 0
        self._newest = 0
        self._known: set[Place] = set()
        self._until: dict[Place, int] = {}
        self._gaps = Gaps()
        self._doubt: set[Place] = set()
        self._torn: set[Place] = set()
        self._gone: set[Place] = set()
        self._holes: list[tuple[Place, Hole]] = []
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="recorder")
        self._writing: list[Future[None]] = []
        self._log = logger("recorder")

    def __call__(self, event: MarketEvent | Mended, received: int) -> None:
        """Take an event that was received at `received` (ns UTC)."""
        self._newest = received
        if not self._count:
            self._since = received
        row = _ROWS.get(type(event))
        if row is not None:
            kind, values = row
            self._waiting[Place(event.instrument, kind)].append(values(event, received))  # type: ignore[union-attr]
            self._count += 1
        elif isinstance(event, BarSlice):
            for bar in event.bars:
                self._waiting[Place(bar.instrument, "bars", bar.timeframe)].append(bar)
                self._count += 1
        elif isinstance(event, FundingRate):
            self._waiting[Place(event.instrument, "funding")].append(event)
            self._count += 1
        elif isinstance(event, FeedStatus) and event.kind in _TAPES:
            self._on_status(event)
        elif isinstance(event, Mended) and event.kind in _TAPES:
            self._on_mended(event)
        if self._count >= self._most or (self._count and received - self._since >= self._every):
            self.flush()

    def _on_status(self, status: FeedStatus) -> None:
        """Let what came so far stand by itself: while a stream is in doubt, nothing of it is whole."""
        place = Place(status.instrument, _TAPES[status.kind])
        if (gap := self._gaps.take(status)) is not None:
            self._holes.append((place, Hole(gap.start, gap.end, f"{gap.state}: {gap.reason}")))
        self.flush()
        if place not in self._doubt:
            self._gone.discard(place)
        (self._doubt.discard if status.state is FeedState.CERTIFIED else self._doubt.add)(place)

    def _on_mended(self, mended: Mended) -> None:
        """Let the stretch be whole once what was missed is stored; where some of it was let go the hole stays."""
        place = Place(mended.instrument, _TAPES[mended.kind])
        self.flush()
        if place not in self._gone:
            self._gaps.mend(mended)
            self._writing.append(self._writer.submit(self._make_whole, place, mended.start, mended.end))

    def _make_whole(self, place: Place, start: int, end: int) -> None:
        if place in self._gone:
            return
        try:
            self._tables.note(place, Spans(((start, end),)))
        except AbidanceError as error:
            self._log.error("not_recorded", place=place, reason=error.found)
            return
        self._until[place] = end

    def flush(self) -> None:
        """Hand what waits over to the disk, without waiting for it."""
        self._writing = [each for each in self._writing if not each.done()]
        piece, holes, count = self._waiting, self._holes, self._count
        self._waiting, self._holes, self._count = defaultdict(list), [], 0
        if len(self._writing) >= BEHIND:
            self._holes = holes
            self._let_go(piece, count, "The disk could not follow.")
            self._torn.update(piece)
            return
        if count or holes:
            # After a piece that was let go, the next one must not be taken as the continuation of those before it.
            doubt = frozenset(self._doubt | self._torn)
            self._torn.clear()
            self._writing.append(self._writer.submit(self._store, piece, holes, doubt))

    def close(self) -> None:
        """Store the rest, and return once it is stored."""
        for gap in self._gaps.close(self._newest):
            if gap.kind in _TAPES and gap.start < gap.end:
                hole = Hole(gap.start, gap.end, f"{gap.state}: {gap.reason}")
                self._holes.append((Place(gap.instrument, _TAPES[gap.kind]), hole))
        for each in list(self._writing):
            each.result()
        self.flush()
        self._writer.shutdown(wait=True)

    def _store(self, piece: Piece, holes: list[tuple[Place, Hole]], doubt: frozenset[Place]) -> None:
        for place, rows in piece.items():
            try:
                self._keep(place, rows, is_whole=place not in doubt)
            except AbidanceError as error:
                self._log.error("not_recorded", place=place, reason=error.found)
                self._let_go({place: rows}, len(rows), "It could not be stored.")
        for place, hole in holes:
            try:
                self._tables.note(place, Spans(holes=(hole,)))
            except AbidanceError as error:
                self._log.error("hole_not_recorded", place=place, reason=error.found)

    def _keep(self, place: Place, rows: list[Any], *, is_whole: bool) -> None:
        if place.kind == "bars":
            BarStore(self._tables).write(_bars(place, rows), replace=True)
        elif place.kind == "funding":
            FundingStore(self._tables).write(_funding(place, rows), replace=True)
        else:
            self._append(place, rows, is_whole=is_whole)

    def _append(self, place: Place, rows: list[Any], *, is_whole: bool) -> None:
        import polars as pl

        frame = pl.DataFrame(rows, schema=tape_schema(place.kind), orient="row")
        times = frame["ts"].sort()
        first, last = int(times[0]), int(times[-1]) + 1
        if place not in self._known:
            self._known.add(place)
            self._note_absence(place, first)
        self._tables.append(place, frame)
        if not is_whole:
            self._until.pop(place, None)
            return
        # Pieces follow one another without a seam, however quiet the market was in between.
        self._tables.note(place, Spans(((min(first, self._until.get(place, first)), last),)))
        self._until[place] = last

    def _note_absence(self, place: Place, first: int) -> None:
        """Write down the time since an earlier recording ended, in which nobody listened."""
        whole = self._tables.spans(place).whole
        before = [end for _, end in whole if end <= first]
        if before and first - max(before) > SEAM:
            hole = Hole(max(before), first, "Nobody recorded.")
            self._tables.note(place, Spans(holes=(hole,)))

    def _let_go(self, piece: Piece, count: int, reason: str) -> None:
        self.dropped += count
        for place, rows in piece.items():
            if place.kind in ("bars", "funding"):
                continue
            self._until.pop(place, None)
            self._gone.add(place)
            self._holes.append((place, Hole(int(rows[0][0]), int(rows[-1][0]) + 1, reason)))
        self._log.warning("let_go", events=count, reason=reason)


def _bars(place: Place, rows: list[Bar]) -> Bars:
    import numpy as np

    newest = {bar.ts: bar for bar in rows}
    bars = [newest[ts] for ts in sorted(newest)]
    fields = ("open", "high", "low", "close", "volume")
    columns = [np.array([getattr(bar, name) for bar in bars]) for name in fields]
    ts = np.array([bar.ts for bar in bars], dtype=np.int64)
    return Bars(place.instrument, place.timeframe, ts, columns)


def _funding(place: Place, rows: list[FundingRate]) -> Any:
    import numpy as np

    from abidance.market.funding import Funding

    rates = {event.ts: event.rate for event in rows}
    ts = np.array(sorted(rates), dtype=np.int64)
    return Funding(place.instrument, ts // 1_000_000 * 1_000_000, np.array([rates[at] for at in ts.tolist()]))


def _levels(book: BookSnapshot, received: int) -> tuple[Any, ...]:
    sides = [
        [float(value) for value in column] for side in (book.bids, book.asks) for column in _columns(side)
    ]
    return (book.ts, *sides, received)


def _columns(side: tuple[tuple[float, float], ...]) -> tuple[tuple[float, ...], ...]:
    return tuple(zip(*side, strict=True)) or ((), ())


_ROWS: dict[type, tuple[str, Callable[[Any, int], tuple[Any, ...]]]] = {
    Trade: ("trades", lambda e, at: (e.ts, e.price, e.size, e.buyer_is_taker, e.id, at)),
    Quote: ("quotes", lambda e, at: (e.ts, e.bid, e.bid_size, e.ask, e.ask_size, at)),
    BookSnapshot: ("books", _levels),
    MarkPrice: ("marks", lambda e, at: (e.ts, e.mark, e.index, e.rate, e.ts_funding, at)),
}
