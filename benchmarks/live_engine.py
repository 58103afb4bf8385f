"""How a live run stands a market that shouts: messages over loopback through the whole engine, decision by decision.

    python benchmarks/live_engine.py                        # 10,000 messages/s for 10 minutes, as promised
    python benchmarks/live_engine.py --seconds 60 --rate 20000

A process of its own plays four Binance markets over a WebSocket: half quotes, three tenths book updates, one fifth
trades, every message with the moment at which it was made. The other process is a whole paper bot: aiohttp, the Binance
decoder, order books, certificates, the inbox, the journal on disk, the engine, a strategy that hears everything and
sends an order a second, risk, the simulated venue. Tick to decision is from the moment the message was made to the
moment the strategy has seen it. An account event is lost when what the venue answered is not what the journal and the
engine hold. Memory is that of the whole process; an order costs some 2.7 kB for ever (ledger, fill, round trip), a
message nothing. The end of a run prints one JSON line; the exit code says whether the promise was kept. On a machine
that does other work too, `chrt -r 10` before the command measures the program and not its neighbours.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

COINS = ("BTC", "ETH", "SOL", "XRP")
WARM_UP = 60.0
PROMISE = {"p99_ms": 10.0, "growth_mb": 5.0}
TICK = 0.01
_BATCH = 0.005


# --- the venue


class Market:
    """One symbol: a mid that walks, a ladder around it, numbers that follow each other."""

    def __init__(self, coin: str, draw: random.Random) -> None:
        self.symbol = f"{coin}USDT"
        self._draw = draw
        self._mid = 10_000
        self._sequence = 1_000
        self._trades = 0
        self._levels: dict[int, float] = {
            k: 1.0 for k in range(self._mid - 200, self._mid + 201) if k != self._mid
        }

    def ladder(self) -> dict[str, Any]:
        """Return the whole ladder as REST answers it."""
        bids = [
            [f"{k * TICK:.2f}", f"{s:.3f}"]
            for k, s in sorted(self._levels.items(), reverse=True)
            if k < self._mid
        ]
        asks = [[f"{k * TICK:.2f}", f"{s:.3f}"] for k, s in sorted(self._levels.items()) if k > self._mid]
        return {"lastUpdateId": self._sequence, "bids": bids, "asks": asks}

    def quote(self, at: float) -> str:
        """Return a best quote made `at` seconds after the start: the ask's size tells."""
        bid, ask = (self._mid - 1) * TICK, (self._mid + 1) * TICK
        body = f'"u":1,"s":"{self.symbol}","b":"{bid:.2f}","B":"1.0","a":"{ask:.2f}","A":"{at:.6f}"'
        return f'{{"stream":"{self.symbol.lower()}@bookTicker","data":{{{body}}}}}'

    def trade(self, at: float) -> str:
        """Return a trade; its size tells when it was made."""
        self._trades += 1
        now = time.time_ns() // 1_000_000
        body = (
            f'"e":"aggTrade","E":{now},"s":"{self.symbol}","a":{self._trades},"p":"{self._mid * TICK:.2f}",'
            f'"q":"{at:.6f}","f":1,"l":1,"T":{now},"m":false'
        )
        return f'{{"stream":"{self.symbol.lower()}@aggTrade","data":{{{body}}}}}'

    def bar(self, opened: int, *, closed: bool) -> str:
        """Return the minute's bar that opened at `opened`, in ms."""
        price = f"{self._mid * TICK:.2f}"
        body = (
            f'"t":{opened},"T":{opened + 59_999},"s":"{self.symbol}","i":"1m","o":"{price}","c":"{price}",'
            f'"h":"{price}","l":"{price}","v":"1.0","x":{str(closed).lower()}'
        )
        return f'{{"stream":"{self.symbol.lower()}@kline_1m","data":{{"e":"kline","s":"{self.symbol}","k":{{{body}}}}}}}'

    def change(self) -> str:
        """Return an update of four levels."""
        self._sequence += 1
        draw, bids, asks = self._draw, [], []
        for _ in range(2):
            for side, sign in ((bids, -1), (asks, 1)):
                key, size = self._mid + sign * draw.randint(1, 200), draw.randint(1, 5_000) / 1000
                self._levels[key] = size
                side.append(f'["{key * TICK:.2f}","{size:.3f}"]')
        now = time.time_ns() // 1_000_000
        body = (
            f'"e":"depthUpdate","E":{now},"s":"{self.symbol}","U":{self._sequence},"u":{self._sequence},'
            f'"b":[{",".join(bids)}],"a":[{",".join(asks)}]'
        )
        return f'{{"stream":"{self.symbol.lower()}@depth@100ms","data":{{{body}}}}}'


async def serve(rate: float, seconds: float, pipe: Connection) -> None:
    """Play the markets to whoever subscribes, then tell how much was sent."""
    from aiohttp import WSMsgType, web

    draw = random.Random(1)
    markets = {f"{coin}USDT": Market(coin, draw) for coin in COINS}
    sent, over, origin = {"count": 0, "late": 0.0}, asyncio.Event(), time.time()

    async def depth(request: web.Request) -> web.Response:
        return web.json_response(markets[request.query["symbol"]].ladder())

    async def stream(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        message = await socket.receive()
        assert message.type is WSMsgType.TEXT
        await socket.send_json({"result": None, "id": json.loads(message.data)["id"]})
        with suppress(ConnectionError):
            await shout(socket)
        over.set()
        async for _ in socket:  # stay, in silence, until the bot leaves
            pass
        return socket

    async def shout(socket: web.WebSocketResponse) -> None:
        names, started, made, told = list(markets.values()), time.monotonic(), 0, int(time.time())
        while (elapsed := time.monotonic() - started) < seconds:
            due = int(elapsed * rate)
            sent["late"] = max(sent["late"], (due - made) / rate)
            for number in range(made, due):
                market, turn = names[number % 4], number % 10
                at = time.time() - origin
                text = market.quote(at) if turn < 5 else market.change() if turn < 8 else market.trade(at)
                await socket.send_str(text)
            if (second := int(time.time())) > told:
                told = second
                closed = second % 60 == 0
                for market in names:
                    opened = (second // 60 - closed) * 60_000
                    await socket.send_str(market.bar(opened, closed=closed))
            sent["count"], sent["seconds"] = (made := due), elapsed
            await asyncio.sleep(_BATCH)

    app = web.Application()
    app.add_routes([web.get("/api/v3/depth", depth), web.get("/stream", stream)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    pipe.send((runner.addresses[0][1], origin))
    await over.wait()
    pipe.send(sent)
    await asyncio.sleep(1.0)
    await runner.cleanup()


def play(rate: float, seconds: float, pipe: Connection) -> None:
    """Run the venue in a process of its own."""
    import uvloop

    uvloop.run(serve(rate, seconds, pipe))


# --- the bot

STRATEGY = '''
import time
from array import array
from decimal import Decimal

from abidance.model.order import OrderRequest, Side
from abidance.strategy.base import EventStrategy

ORIGIN = float(__import__("os").environ["LIVE_ENGINE_ORIGIN"])
SEEN = {"quotes": 0, "trades": 0, "books": 0, "fills": 0}
ROOM = int(__import__("os").environ["LIVE_ENGINE_ROOM"])
DELAYS = array("d", [0.0]) * ROOM  # whole from the start: the measurement itself must not grow


def note(delay):
    count = SEEN["quotes"] + SEEN["trades"]
    if count < ROOM:
        DELAYS[count] = delay


class Listener(EventStrategy):
    """Hears everything, and sends an order a second."""

    timeframe = "1m"

    def on_quote(self, quote, view):
        note(time.time() - ORIGIN - quote.ask_size)
        SEEN["quotes"] += 1

    def on_book(self, book, view):
        SEEN["books"] += 1

    def on_fill(self, fill, view):
        SEEN["fills"] += 1

    def on_trade(self, trade, view):
        note(time.time() - ORIGIN - trade.size)
        SEEN["trades"] += 1
        if SEEN["trades"] % 2_000:
            return None
        held = view.position(trade.instrument).quantity
        side, quantity = (Side.SELL, held) if held > 0 else (Side.BUY, Decimal("0.5"))
        return [OrderRequest(self.name, trade.instrument, side, quantity, reduce_only=held > 0)]
'''


def resident_mb() -> float:
    """Return this process's resident memory."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


def configured(folder: Path, port: int) -> Any:
    """Return the configuration of the bot."""
    from abidance.engine.config import StrategyConfig
    from abidance.risk.config import BreakersConfig, LimitsConfig, RiskConfig
    from abidance.run.config import RunConfig
    from abidance.venues.net.config import AddressConfig, FeedConfig

    path = folder / "listener.py"
    path.write_text(STRATEGY, encoding="utf-8")
    limits = LimitsConfig(
        max_exposure=1.0, max_asset_exposure=1.0, max_venue_exposure=1.0, max_orders_per_minute=100_000,
        duplicate_window=0.0,
    )  # fmt: skip
    address = AddressConfig(rest_url=f"http://127.0.0.1:{port}", stream_url=f"ws://127.0.0.1:{port}")
    return RunConfig(
        name="live-engine",
        instruments=tuple(f"{coin}/USDT@BINANCE" for coin in COINS),
        timeframe="1m",
        strategies=(StrategyConfig(strategy=f"{path}:Listener", name="listener", timeframe="1m"),),
        risk=RiskConfig(limits=limits, breakers=BreakersConfig(daily_loss=None, max_drawdown=None)),
        feed=FeedConfig(addresses={"BINANCE": address}, history=False),
    )


class Watch:
    """Looks at memory while the bot runs. `cold` is how many decisions the warm-up held."""

    def __init__(self, warm_up: float) -> None:
        self.started = time.monotonic()
        self.sizes: list[tuple[float, float]] = []
        self.cold: int | None = None
        self.doubted: dict[str, str] = {}
        self._warm_up = warm_up

    def look(self, paper: Any) -> None:
        """Note the memory once a second, and what is not certified."""
        now = time.monotonic() - self.started
        if self.sizes and now - self.sizes[-1][0] < 1.0:
            return
        self.sizes.append((now, resident_mb()))
        if self.cold is None and now >= self._warm_up:
            self.cold = decisions(paper)

    def judge(self, paper: Any) -> None:
        """Note what is not certified at the end."""
        states = paper.feed.certificates.all().items()
        self.doubted = {f"{id} {kind}": str(state) for (id, kind), state in states if state != "certified"}

    def growth(self) -> float:
        """Return by how many MB memory grew after the warm-up."""
        after = [size for at, size in self.sizes if at >= self._warm_up]
        if len(after) < 20:
            return 0.0
        tenth = max(1, len(after) // 10)
        return float(np.median(after[-tenth:]) - np.median(after[:tenth]))


def heard_by(paper: Any) -> Any:
    """Return the module of the strategy, where it keeps what it heard."""
    return sys.modules[type(paper.engine.runners[0].strategy).__module__]


def decisions(paper: Any) -> int:
    """Return how many decisions were timed so far."""
    seen = heard_by(paper).SEEN
    return min(seen["quotes"] + seen["trades"], heard_by(paper).ROOM)


async def run_bot(folder: Path, port: int, pipe: Connection, warm_up: float) -> dict[str, Any]:
    """Run the bot until the venue has said all; return what came of it."""
    from abidance.kernel.log import logger
    from abidance.run.live import open_live
    from abidance.venues.net.budget import Budgets
    from abidance.venues.net.line import World
    from abidance.venues.net.real import AiohttpTransport, RealPulse

    pulse = RealPulse()
    paper = await open_live(configured(folder, port), None, None, folder / "runs" / "listener", pulse.wall())
    watch, done, sent = Watch(warm_up), [0.0], dict[str, Any]()

    def stop() -> bool:
        watch.look(paper)
        if not done[0] and pipe.poll():
            sent.update(pipe.recv())
            watch.judge(paper)
            done[0] = time.monotonic() + 0.8  # what is on its way arrives before the bot leaves
        return bool(done[0]) and time.monotonic() > done[0]

    with paper:
        processor = time.process_time()
        async with AiohttpTransport() as transport:
            world = World(transport, pulse, Budgets(pulse), random.random, logger("feed"))
            await paper.run(world, stop, lambda _: None)
        used = time.process_time() - processor
        return told(paper, watch, sent, used)


def told(paper: Any, watch: Watch, sent: dict[str, Any], used: float) -> dict[str, Any]:
    """Return the figures of a finished run; delays are those after the warm-up."""
    module, feed = heard_by(paper), paper.feed
    delays = np.frombuffer(module.DELAYS, dtype=np.float64)[watch.cold or 0 : decisions(paper)] * 1e3
    seen, length = dict(module.SEEN), watch.sizes[-1][0]
    return {
        "sent": sent["count"],
        "venue_late_ms": round(sent["late"] * 1e3, 1),
        "heard": seen,
        "merged": feed.inbox.merged,
        "rate": round(sent["count"] / sent["seconds"]),
        "account_events_lost": lost(paper, seen["fills"]),
        "fills": len(paper.engine.fills),
        **{f"p{share:g}_ms": round(float(np.percentile(delays, share)), 3) for share in (50, 99, 99.9, 100)},
        "growth_mb": round(watch.growth(), 2),
        "resident_mb": round(watch.sizes[-1][1], 1),
        "processor_share": round(used / length, 3),
        "journal_mb": round(paper.journal.path.stat().st_size / 2**20),
        "doubted": watch.doubted,
    }


def lost(paper: Any, heard: int) -> int:
    """Return how many account events the engine, the journal or the strategy has not, against the simulated venue."""
    from abidance.journal.store import read
    from abidance.model.event import OrderAccepted, OrderFilled

    paper.journal.sync()
    kinds = [type(record.event) for record in read(paper.journal.path).records]
    orders = paper.engine.state.orders.all()
    venue = {place: each.quantity for place, each in paper._core.venue.positions().items()}
    differing = sum(
        paper.engine.state.position(strategy, id).quantity != quantity
        for (strategy, id), quantity in venue.items()
    )
    balances = paper._core.venue.balances()
    portfolio = paper.engine.state.portfolio
    differing += sum(portfolio.balance(*place) != balance.total for place, balance in balances.items())
    return (
        abs(kinds.count(OrderFilled) - len(paper.engine.fills))
        + abs(kinds.count(OrderAccepted) - len(orders))
        + abs(heard - len(paper.engine.fills))
        + differing
    )


def measure(seconds: float, rate: float, warm_up: float = WARM_UP) -> dict[str, Any]:
    """Run venue and bot for so long and return the figures."""
    import uvloop

    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    venue = context.Process(target=play, args=(rate, seconds, theirs), daemon=True)
    venue.start()
    try:
        port, origin = ours.recv()
        os.environ["LIVE_ENGINE_ORIGIN"] = repr(origin)
        os.environ["LIVE_ENGINE_ROOM"] = str(int(seconds * rate * 0.75) + 1_000)
        gc.collect()
        with tempfile.TemporaryDirectory() as folder:
            return uvloop.run(run_bot(Path(folder), port, ours, warm_up))
    finally:
        venue.terminate()
        venue.join()


def broken(found: dict[str, Any], rate: float) -> Iterable[str]:
    """Yield each promise that was not kept."""
    if found["account_events_lost"]:
        yield f"{found['account_events_lost']} account events were lost"
    if found["doubted"]:
        yield f"streams ended without a certificate: {found['doubted']}"
    if found["p99_ms"] > PROMISE["p99_ms"]:
        yield f"99 of 100 decisions took up to {found['p99_ms']} ms, more than {PROMISE['p99_ms']}"
    if found["growth_mb"] > PROMISE["growth_mb"]:
        yield f"memory grew by {found['growth_mb']} MB, more than {PROMISE['growth_mb']}"
    if found["rate"] < 0.97 * rate:
        yield f"the venue could only send {found['rate']} messages a second"


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--rate", type=float, default=10_000.0)
    parser.add_argument("--warm-up", type=float, default=WARM_UP)
    given = parser.parse_args()
    found = measure(given.seconds, given.rate, given.warm_up)
    print(json.dumps(found))
    failures = list(broken(found, given.rate))
    for failure in failures:
        print(f"NOT KEPT: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
