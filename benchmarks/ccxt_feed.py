"""ccxt.pro on the feed workloads: orjson, then its own `handle_message`, as its client does for every frame.

Nobody waits for what it resolves, which is its cheapest case. Binance's frames come without the wrapper of a combined
stream, as ccxt subscribes to them.

    python ccxt_feed.py binance
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from feed_frames import frames, spread
from harness import Phases, emit

SYMBOLS = {"binance": "BTC/USDT", "bybit": "BTC/USDT:USDT"}


class Client:
    """What handlers talk to in place of a connection; it counts what would be handed over."""

    verbose = False
    error = None
    keepAlive = 0  # noqa: N815 (ccxt's name)

    def __init__(self, url: str) -> None:
        self.url = url
        self.subscriptions: dict[str, Any] = {}
        self.futures: dict[str, Any] = {}
        self.rejections: dict[str, Any] = {}
        self.options: dict[str, Any] = {}
        self.lastPong = 0
        self.bars = 0

    def resolve(self, result: Any, name: str) -> Any:
        self.bars += name.startswith("ohlcv")
        return result

    def reject(self, error: Exception, _name: str | None = None) -> None:
        raise error


def market(symbol: str, is_swap: bool) -> dict[str, Any]:
    """Return the least that ccxt wants to know of a market."""
    nothing = dict.fromkeys(("expiry", "strike", "optionType", "inverse", "margin", "future", "option"))
    limit = {"min": None, "max": None}
    return {
        **nothing,
        "id": "BTCUSDT",
        "symbol": symbol,
        "base": "BTC",
        "quote": "USDT",
        "settle": "USDT" if is_swap else None,
        "type": "swap" if is_swap else "spot",
        "spot": not is_swap,
        "swap": is_swap,
        "contract": is_swap,
        "linear": is_swap or None,
        "contractSize": 1.0 if is_swap else None,
        "active": True,
        "taker": 0.001,
        "maker": 0.001,
        "precision": {"amount": 1e-5, "price": 0.01},
        "limits": dict.fromkeys(("amount", "price", "cost", "leverage"), limit),
        "info": {},
    }


async def run() -> None:
    """Run the workload and print the result."""
    phases = Phases()
    venue = sys.argv[1]
    with phases.measure("import"):
        import ccxt.pro
        import orjson
    with phases.measure("read"):
        recorded = frames(venue)
    symbol = SYMBOLS[venue]
    exchange = getattr(ccxt.pro, venue)({"newUpdates": True})
    exchange.set_markets([market(symbol, is_swap=venue == "bybit")])
    if venue == "binance":
        client = Client("wss://stream.binance.com:9443/ws/0")
        snapshot = orjson.loads(recorded.pop(0))
        ladder = exchange.parse_order_book(snapshot, symbol)
        ladder["nonce"] = snapshot["lastUpdateId"]
        book = exchange.order_book({})
        book.reset(ladder)
        exchange.orderbooks[symbol] = book
        recorded = [orjson.dumps(orjson.loads(each)["data"]) for each in recorded]
    else:
        client = Client("wss://stream.bybit.com/v5/public/linear")
    handle, loads, clock = exchange.handle_message, orjson.loads, time.perf_counter_ns
    taken = [0] * len(recorded)
    began = time.process_time()
    for at, frame in enumerate(recorded):
        start = clock()
        handle(client, loads(frame))
        taken[at] = clock() - start
    seconds = time.process_time() - began
    book = exchange.orderbooks[symbol]
    (bid, bid_size), (ask, ask_size) = book["bids"][0][:2], book["asks"][0][:2]
    outcome = {"bid": bid, "bid_size": bid_size, "ask": ask, "ask_size": ask_size}
    trades = exchange.trades[symbol].getLimit(symbol, None)
    counts = {"bids": len(book["bids"]), "asks": len(book["asks"]), "trades": trades, "bars": client.bars}
    outcome |= {**counts, **spread(taken)}
    emit("ccxt.pro", ccxt.pro.__version__, len(recorded), seconds, phases, outcome)
    await exchange.close()


if __name__ == "__main__":
    asyncio.run(run())
