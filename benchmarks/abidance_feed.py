"""Abidance on the feed workloads: every frame is decoded, made into our own values and put into the book.

python abidance_feed.py binance
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from decimal import Decimal

from feed_frames import frames, spread
from harness import Phases, emit

NAMES = {"binance": "BTC/USDT@BINANCE", "bybit": "BTC/USDT:USDT@BYBIT"}


def main() -> None:
    """Run the workload and print the result."""
    phases = Phases()
    venue = sys.argv[1]
    with phases.measure("import"):
        import abidance
        from abidance.market.book import OrderBook, Taken
        from abidance.model.instrument import Instrument
        from abidance.model.market import BarUpdate, BookDelta, DataKind, Trade
        from abidance.venues.dialect import Channel
        from abidance.venues.dialects import dialect_of
    with phases.measure("read"):
        recorded = frames(venue)
    step = Decimal("0.00001")
    instrument = Instrument(NAMES[venue], Decimal("0.01"), step, step, Decimal(1))
    dialect = dialect_of(instrument)
    book, decode = OrderBook(instrument, dialect.books), dialect.decoder([instrument]).decode
    if not dialect.books.snapshot_in_stream:
        body = recorded.pop(0)

        async def fetch(_method: str, _path: str, _query: Mapping[str, str]) -> bytes:
            return body

        book.apply(asyncio.run(dialect.snapshot(fetch, Channel(instrument.id, DataKind.BOOK))))
    apply, clock, applied = book.apply, time.perf_counter_ns, Taken.APPLIED
    taken, updates, trades, bars = [0] * len(recorded), 0, 0, 0
    began = time.process_time()
    for at, frame in enumerate(recorded):
        start = clock()
        for value in decode(frame):
            kind = type(value)
            if kind is BookDelta:
                updates += apply(value) is applied  # type: ignore[arg-type]
            elif kind is Trade:
                trades += 1
            elif kind is BarUpdate:
                bars += 1
        taken[at] = clock() - start
    seconds = time.process_time() - began
    best, top = book.quote(), book.top()
    assert best is not None
    outcome = {
        "bid": best.bid,
        "bid_size": best.bid_size,
        "ask": best.ask,
        "ask_size": best.ask_size,
        "bids": len(top.bids),
        "asks": len(top.asks),
        "updates": updates,
        "trades": trades,
        "bars": bars,
        **spread(taken),
    }
    emit("abidance", abidance.__version__, len(recorded), seconds, phases, outcome)


if __name__ == "__main__":
    main()
