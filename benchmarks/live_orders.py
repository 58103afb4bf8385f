"""How fast a real order leaves, and how fast the kill switch takes orders back: a whole bot at a local exchange.

    python benchmarks/live_orders.py                             # 2,000 decisions, 200 + 50 + 50 kills
    python benchmarks/live_orders.py --decisions 500 --kills 20 --dead 5 --hung 5

A process of its own plays Binance spot over HTTP and WebSocket, in real time. The other process is a whole bot with
real orders: streams, engine, risk, the journal on disk and synced before anything leaves, ccxt's signing, aiohttp.
Decision to wire is from the return of the strategy's callback to the moment at which the request's head is written to
the socket; beside it stands the same without the time for which the disk was waited for. Kill to wire is from before
the switch is thrown, by another thread as by `abidance kill`, to the head of the first cancel, with 200 orders at the
venue; dead is the same while every write to the journal fails as on a full disk, hung while the disk answers no sync.
The end of a run prints one JSON line; the exit code says whether the promise was kept. On a machine that does other
work too, `chrt -r 10` before the command measures the program and not its neighbours.

How far it is stands on stderr. A decision takes two quotes (0.15 s), a kill up to a second, one without a journal a bot
of its own (1.5 s): the whole takes about ten minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

PROMISE = {"decision": (2.0, 10.0), "kill": (None, 250.0), "dead": (None, 250.0), "hung": (None, 250.0)}
"""The promised median and 99th percentile of each, in ms."""
ORDERS = 200
PATIENCE = 60.0
TELL_EVERY = 50
PAIR = "BTC/USDT@BINANCE"

STRATEGY = '''
import time
from decimal import Decimal

from abidance.model.intent import CancelRequest
from abidance.model.order import OrderRequest, OrderType, Side
from abidance.strategy.base import EventStrategy

STATE = {"most": 0, "pause": 0.0}
DECIDED = []
SMALL = Decimal("0.0002")


class Resting(EventStrategy):
    """Keeps so many small orders far below the market; one of them is sent and taken back by turns."""

    timeframe = "1m"

    def __init__(self):
        self.next = 0.0

    def on_quote(self, quote, view):
        now = time.monotonic()
        if now < self.next:
            return None
        self.next = now + STATE["pause"]
        resting = list(view.orders())
        low = Decimal(round(quote.bid * 0.8))
        if STATE["most"] <= 1 and resting:
            return [CancelRequest(order.id) for order in resting]
        missing = STATE["most"] - len(resting)
        if missing <= 0:
            return None
        found = [
            OrderRequest(self.name, quote.instrument, Side.BUY, SMALL, OrderType.LIMIT, price=low - n)
            for n in range(missing)
        ]
        DECIDED.append(time.perf_counter())
        return found
'''


class Exchange:
    """A local Binance in a process of its own, with an account that has money."""

    def __init__(self, pairs: str = "BTC/USDT", pace: float = 100) -> None:
        self._pairs, self._pace = pairs, pace

    def __enter__(self) -> Exchange:
        command = [
            sys.executable, "-m", "abidance.testing.exchange", "-p", self._pairs, "--fund", "1000000",
            "--until-closed", "--pace", str(self._pace),
        ]  # fmt: skip
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        _, self.rest_url, self.stream_url = self._process.stdout.readline().split()
        self.key, self.secret = self._process.stdout.readline().split()[2:4]
        self.pid = self._process.pid
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


def configured(folder: Path, exchange: Exchange) -> Any:
    """Return the configuration of the bot."""
    from abidance.engine.config import StrategyConfig
    from abidance.risk.config import BreakersConfig, CircuitsConfig, LimitsConfig, RiskConfig
    from abidance.run.config import RunConfig
    from abidance.venues.net.config import AddressConfig, FeedConfig

    path = folder / "resting.py"
    path.write_text(STRATEGY, encoding="utf-8")
    # A disk that is slow, because of neighbours, is measured: it is not to end the measuring.
    limits = LimitsConfig(
        max_exposure=1.0, max_asset_exposure=1.0, max_venue_exposure=1.0, max_orders_per_minute=1_000_000,
        duplicate_window=0.0, price_collar=1.0, max_positions=1_000,
    )  # fmt: skip
    address = AddressConfig(rest_url=exchange.rest_url, stream_url=exchange.stream_url)
    return RunConfig(
        name="live-orders",
        instruments=(PAIR,),
        timeframe="1m",
        dry_run_wallet=500_000,
        strategies=(StrategyConfig(strategy=f"{path}:Resting", name="resting", timeframe="1m"),),
        risk=RiskConfig(
            limits=limits,
            breakers=BreakersConfig(daily_loss=None, max_drawdown=None),
            circuits=CircuitsConfig(requests=None, latency=None, orders=None, journal=None),
        ),
        feed=FeedConfig(addresses={"BINANCE": address}, history=False),
    )


class Bot:
    """A running bot with real orders, and when the heads of its requests were written."""

    def __init__(self, folder: Path, exchange: Exchange, config: Any = None) -> None:
        self.folder = folder
        self._config = configured(folder, exchange) if config is None else config
        self.sent: dict[str, list[float]] = {"POST": [], "DELETE": []}
        self.syncs: list[tuple[float, float]] = []
        self._exchange = exchange
        self._over = False

    async def __aenter__(self) -> Bot:
        from abidance.kernel.log import logger
        from abidance.run.live import gather_begun
        from abidance.run.trading import Access, LiveTrading
        from abidance.venues.account import Credentials
        from abidance.venues.net.budget import Budgets
        from abidance.venues.net.line import World
        from abidance.venues.net.real import AiohttpTransport, RealPulse

        pulse, exchange, run = RealPulse(), self._exchange, self.folder / "run"
        material = await gather_begun(self._config, None, None, run, pulse.wall())
        keys = Credentials(exchange.key, exchange.secret)
        self.trading = LiveTrading(
            material, run, {"BINANCE": Access(keys, exchange.rest_url, exchange.stream_url)}
        )
        self._transport = AiohttpTransport()
        await self._transport.__aenter__()
        self._trace()
        self._time_syncs()
        # The venue's limits on how often may be asked are not what is measured.
        budgets = Budgets(pulse)
        budgets.of = lambda *_: _Unlimited()  # type: ignore[method-assign,assignment]
        world = World(self._transport, pulse, budgets, random.random, logger("feed"))
        self._running = asyncio.ensure_future(self.trading.run(world, lambda: self._over, lambda _: None))
        return self

    def _trace(self) -> None:
        import aiohttp

        async def written(_session: object, _context: object, found: Any) -> None:
            if found.method in self.sent and "/order" in found.url.path.lower():
                self.sent[found.method].append(time.perf_counter())

        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(written)
        trace.freeze()
        self._transport._session.trace_configs.append(trace)  # type: ignore[union-attr]

    def _time_syncs(self) -> None:
        journal = self.trading.journal
        put_on_disk = journal.put_on_disk

        def timed() -> None:
            began = time.perf_counter()
            put_on_disk()
            self.syncs.append((began, time.perf_counter()))

        journal.put_on_disk = timed  # type: ignore[method-assign]

    async def __aexit__(self, *_: object) -> None:
        from abidance.model.errors import JournalError

        self._over = True
        with suppress(JournalError):
            await self._running
        await self._transport.__aexit__()
        self.trading.__exit__()

    @property
    def strategy(self) -> Any:
        """Return the module of the strategy, where it keeps its state."""
        return sys.modules[type(self.trading.engine.runners[0].strategy).__module__]

    @property
    def open(self) -> int:
        """Return how many orders stand at the venue, acknowledged."""
        orders = self.trading.engine.state.orders.open()
        return sum(order.state.value == "open" for order in orders)

    async def until(self, name: str, what: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Wait until something holds. Raises RuntimeError when it takes too long, or when the bot has ended."""
        deadline = time.monotonic() + patience
        while not what():
            if self._running.done():
                self._running.result()
                raise RuntimeError(f"The bot ended before {name}. {self._told()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"Not within {patience:g} s: {name}. {self._told()}")
            await asyncio.sleep(0.01)

    def _told(self) -> str:
        """Return how things stand."""
        orders, sent = self.trading.engine.state.orders, {name: len(each) for name, each in self.sent.items()}
        states = dict(Counter(each.state.value for each in orders.all()))
        doubts = [text for each in self.trading.gateways for text in each.doubts.values()]
        shut = self.trading.engine.state.feeds.circuits.values()
        doubts += [f"{each.part} {each.state}: {each.reason}" for each in shut if not each.is_closed]
        waited = max((ended - began for began, ended in self.syncs[-20:]), default=0.0)
        return f"Orders: {states}; requests: {sent}; doubts: {doubts or 'none'}; longest sync of late: {waited:.1f} s."

    async def kill(self) -> float:
        """Throw the switch and return how long the first cancel took, in ms."""
        from abidance.run.killing import kill

        before, begun = len(self.sent["DELETE"]), time.perf_counter()
        await asyncio.to_thread(kill, self.folder / "run", "benchmark")
        await self.until("a cancel leaves", lambda: len(self.sent["DELETE"]) > before)
        return (self.sent["DELETE"][before] - begun) * 1e3

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Let the disk answer no sync that begins meanwhile."""
        released, sync = threading.Event(), os.fdatasync

        def hang(fd: Any) -> None:
            released.wait()
            sync(fd)

        os.fdatasync = hang
        try:
            yield
        finally:
            os.fdatasync = sync
            released.set()

    def unplug(self) -> None:
        """Let every write to the journal fail as on a full disk."""
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, self.trading.journal._fd)
        os.close(full)


class _Unlimited:
    """A venue that may be asked as often as one likes."""

    def weight(self, *_: object) -> float:
        return 0.0

    def delay(self, *_: object, **__: object) -> float:
        return 0.0

    async def take(self, *_: object, **__: object) -> None:
        return None

    def heed(self, *_: object) -> None:
        return None


def _has(found: list[float], count: int) -> bool:
    return len(found) >= count


async def decide(exchange: Exchange, folder: Path, count: int) -> tuple[list[float], list[float]]:
    """Return how long so many decisions took to the wire, and without what the disk took of that, in ms."""
    async with Bot(folder, exchange) as bot:
        bot.strategy.STATE.update(most=1, pause=0.02)
        bot.strategy.DECIDED.clear()
        posts = bot.sent["POST"]
        await bot.until("20 orders leave", lambda: len(posts) >= 20)  # connections are open, code is warm
        began = len(posts)
        for part in range(0, count, TELL_EVERY):
            tell("decisions", part, count)
            more = began + min(part + TELL_EVERY, count)
            await bot.until(f"{more} orders leave", partial(_has, posts, more), PATIENCE * 2)
        bot.strategy.STATE.update(most=0)  # one that rests would be one too many for those who come after
        await bot.until("nothing is open", lambda: not bot.trading.engine.state.orders.open())
        sent = posts[began : began + count]
        decided = [at for at in bot.strategy.DECIDED if at < sent[-1]]
        # A decision that risk refused has no request: each request belongs to the last decision before it.
        places = np.searchsorted(decided, sent) - 1
        whole = [(at - decided[place]) * 1e3 for at, place in zip(sent, places, strict=True)]
        begun, ended = np.array(bot.syncs).T
        synced = [
            float(np.clip(np.minimum(ended, at) - np.maximum(begun, decided[place]), 0, None).sum())
            for at, place in zip(sent, places, strict=True)
        ]
        return whole, [each - disk * 1e3 for each, disk in zip(whole, synced, strict=True)]


async def drill(exchange: Exchange, folder: Path, count: int, *, hangs: bool = False) -> list[float]:
    """Return how long so many kills of a bot took to the wire, in ms; its disk is healthy, or hangs meanwhile."""
    from abidance.run.killing import release

    async with Bot(folder, exchange) as bot:
        bot.strategy.STATE.update(most=ORDERS, pause=0.5)
        found = []
        for number in range(count):
            tell("kills of a hanging disk" if hangs else "kills", number, count)
            await bot.until(f"{ORDERS} orders are open", lambda: bot.open == ORDERS)
            with bot.hanging() if hangs else nullcontext():
                found.append(await bot.kill())
            await bot.until("nothing is open", lambda: not bot.trading.engine.state.orders.open())
            release(folder / "run")
        return found


async def drill_dead(exchange: Exchange, folder: Path) -> float:
    """Return how long the kill of a bot took whose journal has just failed, in ms."""
    async with Bot(folder, exchange) as bot:
        bot.strategy.STATE.update(most=ORDERS, pause=0.5)
        await bot.until(f"{ORDERS} orders are open", lambda: bot.open == ORDERS)
        bot.unplug()
        return await bot.kill()


def tell(what: str, done: int, of: int) -> None:
    """Say how far it is, to whoever watches."""
    if done % TELL_EVERY == 0 or of <= TELL_EVERY:
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {what}: {done} of {of}\n")


def figures(found: list[float]) -> dict[str, float]:
    """Return what is told of delays in ms."""
    return {
        "count": len(found),
        **{f"p{share:g}_ms": round(float(np.percentile(found, share)), 3) for share in (50, 90, 99, 100)},
    }


def kept(name: str, told: dict[str, float]) -> bool:
    """Say whether a promise was kept."""
    median, tail = PROMISE[name]
    return (median is None or told["p50_ms"] <= median) and told["p99_ms"] <= tail


def main() -> int:
    """Measure what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--decisions", type=int, default=2_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--dead", type=int, default=50)
    parser.add_argument("--hung", type=int, default=50)
    parser.add_argument("--save", type=Path, help="write the figures to this file, too")
    asked = parser.parse_args()
    import uvloop

    told: dict[str, Any] = {"orders": ORDERS, "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as place, Exchange() as exchange:
        root = Path(place)

        def folder(name: str) -> Path:
            path = root / name
            path.mkdir()
            return path

        if asked.decisions:
            whole, ours = uvloop.run(decide(exchange, folder("decide"), asked.decisions))
            told["decision"], told["decision_without_disk"] = figures(whole), figures(ours)
        if asked.kills:
            told["kill"] = figures(uvloop.run(drill(exchange, folder("kill"), asked.kills)))
        if asked.hung:
            told["hung"] = figures(uvloop.run(drill(exchange, folder("hung"), asked.hung, hangs=True)))
        if asked.dead:
            dead = []
            for number in range(asked.dead):
                tell("kills of a bot without its journal", number, asked.dead)
                dead.append(uvloop.run(drill_dead(exchange, folder(f"dead{number}"))))
            told["dead"] = figures(dead)
    told["kept"] = {name: kept(name, told[name]) for name in PROMISE if name in told}
    text = json.dumps(told)
    sys.stdout.write(text + "\n")
    if asked.save:
        asked.save.write_text(text + "\n", encoding="utf-8")
    return 0 if all(told["kept"].values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
