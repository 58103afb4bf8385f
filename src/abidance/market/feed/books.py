"""Recorded order books of one instrument replayed: snapshots and changes in, the ladder after each update out.

A source is one as for trades: Parquet files or columns, a row for each level that an update names: time, `side` (bid or
ask), `price`, `size` (0 removes the level), `is_snapshot` (the update is the whole ladder), perhaps the venue's ids of
the first and last change of an update and of the last one before it, `U`, `u` and `pu`. Rows of one update stand
together; a snapshot that came later than changes which it does not hold yet is taken before them. Nothing is given out
before the first snapshot, nor after a gap in the ids before the next one. Ladders are kept in compiled code, twice: one
runs ahead and notes the best prices, the other follows to where somebody wants to see the levels.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from abidance.market.bars import FloatArray, IntArray
from abidance.market.feed.stream import TickEvent, TickStream
from abidance.market.feed.ticks import Source, book_chunks, ladder_chunks
from abidance.model.errors import DataError
from abidance.model.market import BookSnapshot

if TYPE_CHECKING:
    import polars as pl

_ROOM = 1_024
_LATE = 64
"""Updates that a snapshot may come too late."""
Rows = tuple[IntArray, FloatArray, FloatArray]


class BookReplay:
    """A feed of one instrument's order book, the best `depth` levels of each side."""

    kind: type[TickEvent] = BookSnapshot
    reach = ("bid", "ask")

    def __init__(self, instrument: str, source: Source, depth: int = 20) -> None:
        if depth < 1:
            raise DataError(f"A book of {depth} levels has no price.", "Ask for one level or more.")
        self.instrument = instrument
        self._source = source
        self._depth = depth
        self._follower = _Follower()

    def events(self, after: int | None = None) -> TickStream:
        """Yield the book after each update later than `after` (ns UTC)."""
        return TickStream([((0, 0), self)], iter(()), after)

    def frames(self, after: int | None) -> "Iterator[pl.DataFrame]":
        """Yield chunks of updates later than `after`: time, best bid and ask (NaN for none), and their number."""
        self._follower = follower = _Follower()
        leader, chain, number = _Ladder(), _Chain(), 0
        for frame in _whole_updates(book_chunks(self._source)):
            rows = _rows(frame)
            starts, is_snapshot, ts = _updates(frame)
            use, fresh = chain.judge(frame, starts, is_snapshot)
            follower.feed(number, rows, starts, use, fresh)
            best = leader.lead(rows, starts, use, fresh)
            seen = use & (ts > after if after is not None else True)
            numbers = number + np.flatnonzero(seen)
            number += len(use)
            if seen.any():
                yield _framed(ts[seen], best[:, seen], numbers)
        if not chain.has_begun:
            raise DataError(
                f"The books of {self.instrument} hold no snapshot to begin a ladder with.",
                "Give the file before this one, too.",
            )

    def make(self, *columns: Iterable[Any]) -> Iterable[BookSnapshot]:
        """Return the books of some updates; never of one before the last that was asked for."""
        ts, _, _, numbers = columns
        follower, depth = self._follower, self._depth
        for moment, number in zip(ts, numbers, strict=True):
            yield BookSnapshot(moment, self.instrument, *follower.at(number, depth))


class LadderReplay:
    """A feed of one instrument's whole ladders as they were recorded, one a row.

    `bid_prices`, `bid_sizes`, `ask_prices` and `ask_sizes` are lists, best first; a side may be empty.
    """

    kind: type[TickEvent] = BookSnapshot
    reach = ("bid", "ask")

    def __init__(self, instrument: str, source: Source) -> None:
        self.instrument = instrument
        self._source = source

    def events(self, after: int | None = None) -> TickStream:
        """Yield the ladders later than `after` (ns UTC)."""
        return TickStream([((0, 0), self)], iter(()), after)

    def frames(self, after: int | None) -> "Iterator[pl.DataFrame]":
        """Yield chunks of ladders later than `after`: time, best bid and ask (null for none), and the four lists."""
        return ladder_chunks(self._source, after)

    def make(self, *columns: Iterable[Any]) -> Iterable[BookSnapshot]:
        """Return the books of some rows."""
        ts, _, _, *sides = columns
        for moment, bid_prices, bid_sizes, ask_prices, ask_sizes in zip(ts, *sides, strict=True):
            bids = tuple(zip(bid_prices, bid_sizes, strict=True))
            asks = tuple(zip(ask_prices, ask_sizes, strict=True))
            yield BookSnapshot(moment, self.instrument, bids, asks)


def _framed(ts: IntArray, best: FloatArray, numbers: IntArray) -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame({"ts": ts, "bid": best[0], "ask": best[1], "number": numbers})


def _whole_updates(frames: "Iterator[pl.DataFrame]") -> "Iterator[pl.DataFrame]":
    """Hand the last updates of each chunk to the next one, where the last goes on or a snapshot of them stands."""
    import polars as pl

    rest: pl.DataFrame | None = None
    for frame in frames:
        frame = _in_place(frame if rest is None else pl.concat([rest, frame]))
        last = int(np.flatnonzero(_begins(frame))[-_LATE:][0])
        rest = frame.slice(last)
        if last:
            yield frame.slice(0, last)
    if rest is not None:
        yield rest


def _in_place(frame: "pl.DataFrame") -> "pl.DataFrame":
    """Put each snapshot before the changes that it does not hold yet, at their time."""
    import polars as pl

    starts = np.flatnonzero(_begins(frame))
    whole, last = (frame[name].to_numpy()[starts] for name in ("is_snapshot", "u"))
    for at in np.flatnonzero(whole & (last >= 0)).tolist():
        to = at
        while to and not whole[to - 1] and last[to - 1] > last[at]:
            to -= 1
        if to < at:
            ends = [0, *(int(starts[n]) for n in (to, at)), int(np.r_[starts, frame.height][at + 1])]
            before, late, moved = (frame.slice(a, b - a) for a, b in pairwise(ends))
            moved = moved.with_columns(ts=pl.lit(late["ts"][0], dtype=pl.Int64))
            return _in_place(pl.concat([before, moved, late, frame.slice(ends[-1])]))
    return frame


def _begins(frame: "pl.DataFrame") -> Any:
    """Return for each row whether it begins an update."""
    begins = np.zeros(frame.height, dtype=np.bool_)
    begins[0] = True
    for name in ("ts", "is_snapshot", "u"):
        column = frame[name].to_numpy()
        begins[1:] |= column[1:] != column[:-1]
    return begins


def _rows(frame: "pl.DataFrame") -> Rows:
    side = (frame["side"] == "ask").cast(int).to_numpy()
    price = frame["price"].to_numpy()
    return side, np.where(side == 1, -price, price), np.ascontiguousarray(frame["size"].to_numpy())


def _updates(frame: "pl.DataFrame") -> tuple[IntArray, Any, IntArray]:
    starts = np.flatnonzero(_begins(frame))
    whole = frame["is_snapshot"].to_numpy()[starts]
    return starts, whole, frame["ts"].to_numpy()[starts]


class _Chain:
    """Which updates follow one another without a gap."""

    def __init__(self) -> None:
        self.has_begun = False
        self._last: int | None = None
        """The id up to which the ladder is known; None while there is no ladder."""

    def judge(self, frame: "pl.DataFrame", starts: IntArray, is_snapshot: Any) -> tuple[Any, Any]:
        """Return per update whether it is taken, and whether it begins a ladder anew."""
        use = np.zeros(len(starts), dtype=np.bool_)
        firsts, lasts, befores = (frame[name].to_numpy()[starts].tolist() for name in ("U", "u", "pu"))
        for at, whole in enumerate(is_snapshot.tolist()):
            first, last = firsts[at], lasts[at]
            if whole:
                use[at], self._last, self.has_begun = True, last, True
            elif self._last is not None and (last < 0 or self._last < 0):
                use[at] = True  # no ids: taken on trust
            elif self._last is not None and last > self._last:
                if first > self._last + 1 and befores[at] != self._last:
                    self._last = None
                else:
                    use[at], self._last = True, last
        return use, use & is_snapshot


class _Ladder:
    """Both sides of a book in arrays that grow when they must."""

    def __init__(self) -> None:
        self.keys, self.sizes = np.empty((2, _ROOM)), np.empty((2, _ROOM))
        self.counts = np.zeros(2, dtype=np.int64)

    def lead(self, rows: Rows, starts: IntArray, use: Any, fresh: Any) -> FloatArray:
        """Take the updates that are used and return the best bid and ask after each."""
        from abidance.market.scan import lead

        best = np.full((2, len(starts)), np.nan)
        kept, bounds = _kept(rows, starts, use)
        self.make_room(len(kept[0]))
        found = np.empty((2, int(use.sum())))
        lead(self.keys, self.sizes, self.counts, (bounds, fresh[use].astype(np.int64)), kept, found)
        best[:, use] = found
        return best

    def make_room(self, more: int) -> None:
        """Make sure that so many levels fit beside those that are there."""
        needed = int(self.counts.max()) + more
        if needed > self.keys.shape[1]:
            wider = ((0, 0), (0, 2 * needed - self.keys.shape[1]))
            self.keys, self.sizes = np.pad(self.keys, wider), np.pad(self.sizes, wider)


def _kept(rows: Rows, starts: IntArray, use: Any) -> tuple[Rows, IntArray]:
    """Return the rows of the updates that are used, and where each of these begins and the last ends."""
    lengths = np.diff(np.r_[starts, len(rows[0])])
    mask = np.repeat(use, lengths)
    side, key, size = rows
    return (side[mask], key[mask], size[mask]), np.r_[0, np.cumsum(lengths[use])].astype(np.int64)


class _Follower:
    """A ladder that goes from update to update as somebody looks; it keeps the rows until then."""

    def __init__(self) -> None:
        self._ladder = _Ladder()
        self._waiting: deque[tuple[Rows, IntArray, IntArray, Any]] = deque()
        self._next = 0

    def feed(self, number: int, rows: Rows, starts: IntArray, use: Any, fresh: Any) -> None:
        """Keep updates, of which the first has this number, for later."""
        kept, bounds = _kept(rows, starts, use)
        self._waiting.append((kept, bounds, number + np.flatnonzero(use), fresh[use]))

    def at(self, number: int, depth: int) -> tuple[Any, Any]:
        """Return the levels of both sides after an update, best first."""
        while self._waiting and int(self._waiting[0][2][-1] if len(self._waiting[0][2]) else -1) <= number:
            self._go(self._waiting[0], len(self._waiting[0][2]))
            self._waiting.popleft()
            self._next = 0
        if self._waiting:
            self._go(self._waiting[0], int(np.searchsorted(self._waiting[0][2], number, side="right")))
        ladder = self._ladder
        found = []
        for side, sign in ((0, 1.0), (1, -1.0)):
            count = int(ladder.counts[side])
            part = slice(max(0, count - depth), count)
            prices = (sign * ladder.keys[side, part][::-1]).tolist()
            found.append(tuple(zip(prices, ladder.sizes[side, part][::-1].tolist(), strict=True)))
        return found[0], found[1]

    def _go(self, part: tuple[Rows, IntArray, IntArray, Any], stop: int) -> None:
        """Take the updates of a part up to `stop`; of those before the last new beginning nothing is left."""
        from abidance.market.scan import apply

        rows, bounds, _, fresh = part
        if stop <= self._next:
            return
        anew = np.flatnonzero(fresh[self._next : stop])
        if len(anew):
            self._next += int(anew[-1])
            self._ladder.counts[:] = 0
        start, end = int(bounds[self._next]), int(bounds[stop])
        self._ladder.make_room(end - start)
        apply(self._ladder.keys, self._ladder.sizes, self._ladder.counts, start, end, rows)
        self._next = stop
