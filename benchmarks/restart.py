"""How soon a bot with real orders trades again after it was killed without warning: `abidance trade --live` itself.

    python benchmarks/restart.py                     # 20 kills with 50 open orders
    python benchmarks/restart.py --kills 5 --orders 200

A local Binance runs here; the bot is a process of its own, as a user starts it. It keeps so many orders resting far
below the market and sends a probe, an order that is taken back at once, whenever risk lets it. Each round kills it with
SIGKILL at a random moment and starts it again. It is ready when the venue has its next probe: the interpreter was
started, the record repeated, every open order asked for, account and streams proven. Wall time is from the start of the
process; CPU time, which neighbours on the machine hardly change, is what the process and its children used until then.
One JSON line tells the percentiles; the exit code says whether it was ready within 5 s each time. No order may be lost
or doubled on the way, and the orders at rest must be the same ones throughout.

A kill in the moment (about 0.1 ms) between the note that an order leaves and its first byte makes an order that may
have left and never arrives: the bot proves first that it is absent, which takes about 18 s. Such starts count in all
figures, and are told once more by themselves (`in_doubt`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PROMISE = 5.0
"""Seconds."""
PAIR = "BTC/USDT@BINANCE"
PATIENCE = 60.0

STRATEGY = '''
from decimal import Decimal

from abidance.model.order import OrderRequest, OrderType, Side, TimeInForce
from abidance.strategy.base import EventStrategy


class Resting(EventStrategy):
    """Keeps orders far below the market, and probes whether orders may leave."""

    timeframe = "1m"

    def on_quote(self, quote, view):
        low, small = Decimal(round(quote.bid * 0.8)), Decimal("0.0002")
        resting = [order for order in view.orders() if order.request.time_in_force is TimeInForce.GTC]
        if len(resting) < {orders}:
            return [self._order(quote, low - n, small, TimeInForce.GTC) for n in range({orders} - len(resting))]
        if len(list(view.orders())) > len(resting):
            return None
        return [self._order(quote, low, small, TimeInForce.IOC)]

    def _order(self, quote, price, quantity, force):
        return OrderRequest(
            self.name, quote.instrument, Side.BUY, quantity, OrderType.LIMIT, price=price, time_in_force=force
        )
'''

CONFIG = """
name = "resting"
instruments = ["{pair}"]
timeframe = "1m"
dry_run_wallet = 50000

[[strategies]]
strategy = "Resting"
timeframe = "1m"

[risk.limits]
duplicate_window = 0
max_orders_per_minute = 1000000
price_collar = 1.0
max_positions = 1000

[feed]
anomalies = false

[feed.addresses.BINANCE]
rest_url = "{rest}"
stream_url = "{stream}"
"""


class Bot:
    """`abidance trade --live` in a home of its own."""

    def __init__(self, home: Path, exchange: Any, orders: int) -> None:
        self._home = home
        self._config = home / "live.toml"
        self._config.write_text(
            CONFIG.format(pair=PAIR, rest=exchange.rest_url, stream=exchange.stream_url), encoding="utf-8"
        )
        strategies = home / "strategies"
        strategies.mkdir()
        (strategies / "resting.py").write_text(STRATEGY.replace("{orders}", str(orders)), encoding="utf-8")
        self._environ = os.environ | {"ABIDANCE_HOME": str(home), "ABIDANCE_PASSPHRASE": "a passphrase"}
        self._process: subprocess.Popen[bytes] | None = None

    def _command(self, *typed: str) -> list[str]:
        return [sys.executable, "-m", "abidance", *typed, "-c", str(self._config)]

    def add_key(self, key: str, secret: str) -> None:
        """Put the account's key into the vault."""
        subprocess.run(
            self._command("keys", "add", "BINANCE"), input=f"{key}\n{secret}\n".encode(), env=self._environ,
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self) -> None:
        """Start the process."""
        with (self._home / "said.log").open("ab") as said:
            self._process = subprocess.Popen(
                self._command("trade", "--live", "--confirm", "BINANCE", "--plain"),
                env=self._environ, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            )  # fmt: skip

    def check(self) -> None:
        """Raise RuntimeError when it has ended by itself."""
        assert self._process is not None
        if self._process.poll() is not None:
            said = (self._home / "said.log").read_text(errors="replace")
            raise RuntimeError(f"The bot ended by itself: {said[-1_000:]}")

    @property
    def used(self) -> float:
        """Return how many seconds of CPU the process has used."""
        assert self._process is not None
        text = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii")
        ticks = text.rpartition(")")[2].split()[
            11:15
        ]  # its own and its children's, in user and in kernel mode
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    def end(self, how: signal.Signals) -> None:
        """Send a signal and wait for the end."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(PATIENCE)


class Start(NamedTuple):
    """When the process was started (ns UTC), and how many seconds later the venue had its next order."""

    began: int
    seconds: float

    @property
    def ended(self) -> int:
        """Return when that was, in ns UTC."""
        return self.began + round(self.seconds * 1e9)


async def measure(kills: int, orders: int, home: Path) -> dict[str, Any]:
    """Return how long so many starts took, and what stood at the venue then. Raises RuntimeError for a lost order."""
    from abidance.journal.store import read
    from abidance.kernel.clock import WallClock
    from abidance.model.event import OrderAbandoned
    from abidance.testing.exchange import Account, LocalExchange, generated

    draw, account, clock = random.Random(7), Account("a-key", "a-secret"), WallClock()
    market = generated(PAIR, 5, clock.now(), pace=40.0, past_seconds=3_600)
    async with LocalExchange([market], start=clock.now(), clock=clock, accounts=[account]) as exchange:
        exchange.desk.transfer(account, "USDT", Decimal(100_000), exchange.now)
        bot = Bot(home, exchange, orders)
        await asyncio.to_thread(bot.add_key, "a-key", "a-secret")
        placed = exchange.desk.orders

        def resting() -> set[str]:
            return {each.ticket.client_id for each in placed.values() if each.state.is_working}

        async def probed() -> float:
            """Wait for the next order; return how long that took (s)."""
            before, began = len(placed), time.perf_counter()
            while len(placed) == before:
                bot.check()
                if time.perf_counter() - began > PATIENCE:
                    raise RuntimeError(f"No order has come for {PATIENCE:g} s.")
                await asyncio.sleep(0.005)
            return time.perf_counter() - began

        bot.start()
        while len(resting()) < orders:
            await probed()
        first, starts, cpu = resting(), list[Start](), []
        for _ in range(kills):
            await asyncio.sleep(draw.uniform(0.2, 2.0))
            bot.end(signal.SIGKILL)
            await asyncio.sleep(0.1)  # what had left arrives
            if not first <= resting():
                raise RuntimeError("An order at rest is gone.")
            began = clock.now()
            bot.start()
            starts.append(Start(began, await probed()))
            cpu.append(bot.used)
        bot.end(signal.SIGTERM)
        ids = [each.ticket.client_id for each in placed.values()]
        if len(ids) != len(set(ids)) or not first <= resting():
            raise RuntimeError("An order was doubled or lost.")
        events = [record.event for record in read(home / "runs" / "resting" / "journal.abj").records]
    proofs = [event.ts for event in events if isinstance(event, OrderAbandoned)]
    in_doubt = [each.seconds for each in starts if any(each.began < ts < each.ended for ts in proofs)]
    return {
        "kills": kills,
        "orders": orders,
        "records": len(events),
        "wall": figures([each.seconds for each in starts]),
        "cpu": figures(cpu),
        "in_doubt": [round(each, 2) for each in in_doubt],
    }


def figures(found: list[float]) -> dict[str, float]:
    """Return what is told of seconds."""
    return {f"p{share:g}_s": round(float(np.percentile(found, share)), 2) for share in (50, 90, 99, 100)}


def main() -> int:
    """Measure what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--orders", type=int, default=50)
    parser.add_argument("--save", type=Path, help="write the figures to this file, too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        told = asyncio.run(measure(asked.kills, asked.orders, Path(place)))
    told["kept"] = told["wall"]["p100_s"] <= PROMISE
    text = json.dumps(told)
    sys.stdout.write(text + "\n")
    if asked.save:
        asked.save.write_text(text + "\n", encoding="utf-8")
    return 0 if told["kept"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
