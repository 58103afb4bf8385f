"""cryptofeed on the feed workloads: its own `message_handler` with a callback for every channel.

python cryptofeed_feed.py binance
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from feed_frames import frames, spread
from harness import Phases, emit


class Connection:
    """What Bybit's handler asks of a connection."""

    uuid = "linear"
    address = "wss://stream.bybit.com/v5/public/linear"


async def run() -> None:
    """Run the workload and print the result."""
    phases = Phases()
    venue = sys.argv[1]
    with phases.measure("import"):
        from cryptofeed.defines import CANDLES, L2_BOOK, TRADES
        from cryptofeed.exchanges import Binance, Bybit
        from cryptofeed.symbols import Symbols
        from cryptofeed.types import OrderBook
    with phases.measure("read"):
        recorded = [each.decode() for each in frames(venue)]
    told: Counter[str] = Counter()

    def counting(name: str) -> Any:
        async def count(_value: Any, _received: float) -> None:
            told[name] += 1

        return count

    callbacks = {L2_BOOK: counting("updates"), TRADES: counting("trades"), CANDLES: counting("bars")}
    if venue == "binance":
        pair, kinds = "BTC-USDT", {"BTC-USDT": "spot"}
        Symbols.set("BINANCE", {pair: "BTCUSDT"}, {"instrument_type": kinds, "tick_size": {pair: "0.01"}})
        exchange = Binance(
            symbols=[pair],
            channels=list(callbacks),
            callbacks=callbacks,
            max_depth=0,
            candle_closed_only=False,
        )
        exchange._reset()
        snapshot = json.loads(recorded.pop(0))
        sides = {
            side: {Decimal(price): Decimal(size) for price, size in snapshot[side]}
            for side in ("bids", "asks")
        }
        exchange.last_update_id[pair] = snapshot["lastUpdateId"]
        exchange._l2_book[pair] = OrderBook(exchange.id, pair, max_depth=0, **sides)
        connection = None
    else:
        pair, kinds = "BTC-USDT-PERP", {"BTC-USDT-PERP": "perpetual"}
        Symbols.set("BYBIT", {pair: "BTCUSDT"}, {"instrument_type": kinds, "tick_size": {pair: "0.01"}})
        callbacks.pop(CANDLES)
        exchange = Bybit(symbols=[pair], channels=list(callbacks), callbacks=callbacks)
        connection = Connection()
    handle, clock = exchange.message_handler, time.perf_counter_ns
    taken = [0] * len(recorded)
    began = time.process_time()
    for at, frame in enumerate(recorded):
        start = clock()
        await handle(frame, connection, 0.0)
        taken[at] = clock() - start
    seconds = time.process_time() - began
    book = exchange._l2_book[pair].book
    (bid, bid_size), (ask, ask_size) = book.bids.index(0), book.asks.index(0)
    outcome = {"bid": float(bid), "bid_size": float(bid_size), "ask": float(ask), "ask_size": float(ask_size)}
    counts = {"bids": len(book.bids), "asks": len(book.asks), "trades": told["trades"], "bars": told["bars"]}
    outcome |= {**counts, **spread(taken)}
    emit("cryptofeed", version("cryptofeed"), len(recorded), seconds, phases, outcome)


if __name__ == "__main__":
    asyncio.run(run())
