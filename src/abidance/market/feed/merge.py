"""Several feeds as one, in an order that depends on nothing but their content."""

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from operator import itemgetter
from typing import cast

from abidance.kernel.ports import Feed
from abidance.market.feed.books import BookReplay, LadderReplay
from abidance.market.feed.stream import Lane, TickStream
from abidance.market.feed.ticks import Replay
from abidance.market.store.timerange import show
from abidance.model.errors import DataError
from abidance.model.market import (
    Anomaly,
    BarSlice,
    BookSnapshot,
    FeedStatus,
    FundingRate,
    MarketEvent,
    MarkPrice,
    Quote,
    Trade,
)

# Funding comes last: whoever holds at its moment pays, and what a bar filled is only known when the bar has closed.
# What a stream's data may be trusted for is known before the data of the same moment.
_PRIORITY: dict[type, int] = {
    FeedStatus: -1,
    Trade: 0,
    Quote: 1,
    BookSnapshot: 2,
    MarkPrice: 2,
    BarSlice: 3,
    FundingRate: 4,
    Anomaly: 5,
}


_LANES = (Replay, BookReplay, LadderReplay)


class _Merged:
    def __init__(self, feeds: Sequence[Feed]) -> None:
        self.feeds: Sequence[Feed] = [
            inner for feed in feeds for inner in (feed.feeds if isinstance(feed, _Merged) else (feed,))
        ]

    def events(self, after: int | None = None) -> Iterator[MarketEvent]:
        """Yield the events of all feeds; of equal times, trades before quotes, books, bars and funding."""
        numbered = list(enumerate(self.feeds))
        lanes = [
            ((_PRIORITY[feed.kind], n), cast(Lane, feed)) for n, feed in numbered if isinstance(feed, _LANES)
        ]
        others = _ordered([(n, feed) for n, feed in numbered if not isinstance(feed, _LANES)], after)
        return TickStream(lanes, others, after) if lanes else map(itemgetter(1), others)


def _ordered(
    feeds: Sequence[tuple[int, Feed]], after: int | None
) -> Iterator[tuple[tuple[int, tuple[int, int]], MarketEvent]]:
    """Yield the events of feeds, which stand at numbered places, in order and with what orders them."""
    heap = []
    for number, feed in feeds:
        events = feed.events(after)
        first = next(events, None)
        if first is not None:
            heap.append(((first.ts, (_PRIORITY[type(first)], number)), first, events))
    heapify(heap)
    counts = dict.fromkeys((number for number, _ in feeds), 1)
    while heap:
        key, event, events = heap[0]
        number = key[1][1]
        rival = min(heap[1:3])[0] if len(heap) > 1 else None
        # Stay with one feed for as long as it leads: data comes in bursts, and the heap costs more than a look.
        while True:
            yield key, event
            following = next(events, None)
            if following is None:
                heappop(heap)
                break
            event, last, ts = following, key[0], following.ts
            if ts < last:
                raise _backwards(number, counts[number] + 1, ts, last)
            counts[number] += 1
            key = (ts, (_PRIORITY[type(event)], number))
            if rival is not None and key > rival:
                heapreplace(heap, (key, event, events))
                break


def merge(*feeds: Feed) -> Feed:
    """Return one feed of all `feeds`, ordered by time, then kind (trade, quote, book, bars, funding), then argument.

    Its iterator raises DataError, naming the feed and the position, when one of them goes backwards in time.
    """
    return _Merged(feeds)


def _backwards(number: int, position: int, ts: int, last: int) -> DataError:
    return DataError(
        f"Feed {number + 1} goes backwards in time: its event {position} is of {show(ts)}, the one before of {show(last)}"
        f" ({(last - ts) / 1e9:g} s later).",
        "Sort the data by time.",
    )
