"""Whether people who look slow a bot down: tick to order, with 50 clients who poll the API and without.

    chrt -r 15 python benchmarks/api_engine.py --pin            # 40 pairs of turns, some nine minutes

One whole bot with real orders runs all the time: a market of its own shouts 500 messages a second, each with the
moment at which it was made; an order leaves for a local exchange soon after the one before is closed, and is taken
back. Tick to order is from the moment the message was made to the head of the request on the socket: decoding,
engine, strategy, risk, the journal on disk and synced, signing. Beside it `abidance serve` follows the bot's journal
and 50 clients each ask once a second. These, server and clients, are stopped (SIGSTOP) and let go on (SIGCONT) in turns
of some seconds, in pairs whose order alternates: what else the machine does meets both alike. A turn counts after it
has settled. Told is by how much a turn's 99th percentile grew from alone to polled in the middle pair, with the
interval that holds this in 95 of 100 draws of as many pairs (bootstrap). The exit code says whether that is kept.

With `--pin` the bot has the first core and everything else the second, as a scheduler parts two busy programs; market
and exchange, which are elsewhere in life, go ahead there. `chrt -r 15` before it keeps neighbours out; who looks then
has the highest priority that common programs have, for one above the kernel's own would keep the disk waiting, which no
program does in life. `--folder /dev/shm` takes a disk out of it that others share: the server writes nothing for those
who look, and how long a disk takes to sync says nothing about them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from api_load import processor_s, served
from live_engine import COINS, play
from live_orders import Bot, Exchange

from abidance.security.database import USERS, open_database
from abidance.security.roles import Role
from abidance.security.sessions import Tokens
from abidance.security.users import Users

PROMISE = 0.10
"""The 99th percentile may grow by so much."""
DRAWS = 2_000
RUN = "run"
"""The bot's name."""

STRATEGY = '''
import os
import time
from decimal import Decimal

from abidance.model.intent import CancelRequest
from abidance.model.order import OrderRequest, OrderType, Side
from abidance.strategy.base import EventStrategy

ORIGIN = float(os.environ["API_ENGINE_ORIGIN"]) + time.perf_counter() - time.time()
DECIDED = []  # when the order was stated, and when the tick was made on which it was
PLACE = "BTC/USDT@BINANCE"
PAUSE = 0.015


class Quick(EventStrategy):
    """Sends a small order far below the market some time after the one before is gone, and takes it back."""

    timeframe = "1m"

    def __init__(self):
        self.next = 0.0

    def on_quote(self, quote, view):
        if quote.instrument != PLACE:
            return None
        resting = list(view.orders())
        if resting:
            return [CancelRequest(order.id) for order in resting if order.state.value in ("open", "partial")]
        if time.perf_counter() < self.next:
            return None
        self.next = time.perf_counter() + PAUSE
        low = Decimal(round(quote.bid * 0.5))  # the exchange's own market wanders
        found = [OrderRequest(self.name, PLACE, Side.BUY, Decimal(1), OrderType.LIMIT, price=low)]
        DECIDED.append((time.perf_counter(), ORIGIN + quote.ask_size))
        return found
'''


def configured(folder: Path, port: int) -> Any:
    """Return the configuration of the bot, whose market data come from `port`."""
    from abidance.engine.config import StrategyConfig
    from abidance.risk.config import BreakersConfig, LimitsConfig, RiskConfig
    from abidance.run.config import RunConfig
    from abidance.venues.net.config import AddressConfig, FeedConfig

    path = folder / "quick.py"
    path.write_text(STRATEGY, encoding="utf-8")
    limits = LimitsConfig(
        max_exposure=1.0, max_asset_exposure=1.0, max_venue_exposure=1.0, max_orders_per_minute=1_000_000,
        duplicate_window=0.0, price_collar=1.0, max_positions=1_000,
    )  # fmt: skip
    address = AddressConfig(rest_url=f"http://127.0.0.1:{port}", stream_url=f"ws://127.0.0.1:{port}")
    return RunConfig(
        name="api-engine",
        instruments=tuple(f"{coin}/USDT@BINANCE" for coin in COINS),
        timeframe="1m",
        dry_run_wallet=500_000,
        strategies=(StrategyConfig(strategy=f"{path}:Quick", name="quick", timeframe="1m"),),
        risk=RiskConfig(limits=limits, breakers=BreakersConfig(daily_loss=None, max_drawdown=None)),
        feed=FeedConfig(addresses={"BINANCE": address}, history=False),
    )


class Onlookers:
    """The server and the clients who poll it, stopped and let go on together."""

    def __init__(self, server: int, clients: subprocess.Popen[str]) -> None:
        self._server, self._clients = server, clients
        self.used = 0.0
        """Processor seconds of the server while it went on."""
        self._since = processor_s(server)

    def let(self, go_on: bool) -> None:
        """Stop them, or let them go on."""
        if go_on:
            self._since = processor_s(self._server)
        else:
            self.used += processor_s(self._server) - self._since
        for pid in (self._server, self._clients.pid):
            os.kill(pid, signal.SIGCONT if go_on else signal.SIGSTOP)

    @property
    def gone(self) -> bool:
        """Say whether the clients have ended."""
        return self._clients.poll() is not None


@contextlib.contextmanager
def onlookers(userdir: Path, clients: int, told: dict[str, Any], core: int | None) -> Iterator[Onlookers]:
    """Serve a user directory and poll it, each client with a token of its own; `told` gets the answers' statuses."""
    tokens = userdir / "tokens"
    tokens.write_text("\n".join(admitted(userdir, clients)))
    with served(userdir, core, demo=False) as (base, pid):
        typed = [sys.executable, str(Path(__file__).with_name("api_load.py")), "poll", "--base", base]
        typed += ["--run", RUN, "--tokens", str(tokens)]
        typed = typed if core is None else ["taskset", "-c", str(core), *typed]
        process = subprocess.Popen(typed, stdout=subprocess.PIPE, text=True)
        hurry(pid, process.pid)
        found = Onlookers(pid, process)
        try:
            yield found
        finally:
            for each in (pid, process.pid):
                os.kill(each, signal.SIGCONT)
            process.send_signal(signal.SIGINT)
            told.update(json.loads(process.communicate(timeout=30)[0] or "{}"))


def admitted(userdir: Path, count: int) -> list[str]:
    """Add a viewer and return the secrets of so many tokens."""
    with contextlib.closing(open_database(userdir / USERS)) as database:
        Users(database).add("looker", "four unrelated words", "", Role.VIEWER)
        tokens = Tokens(database)
        return [tokens.make("looker", f"client{number}", Role.VIEWER, 1)[0] for number in range(count)]


def hurry(*processes: int) -> None:
    """Let those who look go ahead of neighbours as a common program may: the kernel's own work is not kept waiting."""
    if not os.sched_getparam(0).sched_priority:
        return
    for pid in processes:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setscheduler(int(task.name), os.SCHED_OTHER, os.sched_param(0))
            os.setpriority(os.PRIO_PROCESS, int(task.name), -20)


async def take_turns(
    bot: Bot, looking: Onlookers, given: argparse.Namespace
) -> list[tuple[int, bool, float, float]]:
    """Return each turn that was taken: its pair, whether anybody looked, and when it counted."""
    found = []
    for pair in range(given.pairs):
        for looked_at in (False, True) if pair % 2 == 0 else (True, False):
            looking.let(looked_at)
            await asyncio.sleep(given.settle)
            began = time.perf_counter()
            await asyncio.sleep(given.turn)
            found.append((pair, looked_at, began, time.perf_counter()))
            if not looked_at:
                looking.let(True)  # so that `let` counts what it uses, whatever the order of turns
                looking.let(False)
            sent = sum(at >= began for at in bot.sent["POST"])
            print(
                f"pair {pair}, {'polled' if looked_at else 'alone'}: {sent} orders",
                file=sys.stderr,
                flush=True,
            )
            if looking.gone or bot._running.done() or not sent:
                state = bot.trading.engine.state
                found = [*state.orders.open(), *state.feeds.circuits.values(), *state.feeds.known.values()]
                raise SystemExit(f"The clients or the bot have ended, or nothing was sent: {found}")
    looking.let(True)
    return found


async def watched(
    exchange: Exchange, folder: Path, port: int, given: argparse.Namespace, told: dict[str, Any]
) -> tuple[list[tuple[int, bool, float, float]], list[tuple[float, float, float]]]:
    """Run the bot through all turns; return these, and for each order when its tick was made, when it
    was decided, and when it left."""
    async with Bot(folder / "runs", exchange, configured(folder, port)) as bot:
        await bot.until(
            "200 orders leave", lambda: len(bot.sent["POST"]) >= 200
        )  # connections are open, code is warm
        with onlookers(folder, given.clients, told, 1 if given.pin else None) as looking:
            await asyncio.sleep(given.settle + 5.0)  # the server has started, and read what is on record
            turns = await take_turns(bot, looking, given)
        told["server_share_of_one_core"] = round(
            looking.used / (given.pairs * (given.turn + given.settle)), 3
        )
        decided, sent = bot.strategy.DECIDED, bot.sent["POST"]
        # A decision that risk refused has no request: each request belongs to the last decision before it.
        places = np.searchsorted([at for at, _ in decided], sent) - 1
        return turns, [
            (decided[place][1], decided[place][0], at)
            for at, place in zip(sent, places, strict=True)
            if place >= 0
        ]


def judged(
    turns: list[tuple[int, bool, float, float]], orders: list[tuple[float, float, float]], pairs: int
) -> dict[str, Any]:
    """Return how long orders took with and without, and how much longer, with the interval over pairs."""
    made, decided, left = (np.array(each) for each in zip(*orders, strict=True))
    counted = {(pair, looked_at): (made >= began) & (made < ended) for pair, looked_at, began, ended in turns}
    parts = {
        "tick_to_order": left - made,
        "tick_to_decision": decided - made,
        "decision_to_order": left - decided,
    }
    counts = {each: sum(int(counted[pair, each].sum()) for pair in range(pairs)) for each in (False, True)}
    return {"orders": {"alone": counts[False], "polled": counts[True]}} | {
        name: {
            f"p{share}_ms": compared(
                [[spent[counted[pair, each]] * 1e3 for pair in range(pairs)] for each in (False, True)], share
            )
            for share in (50, 99)
        }
        for name, spent in parts.items()
    }


def compared(spent: list[list[Any]], share: int) -> dict[str, Any]:
    """Return a percentile of each turn, alone and polled: the medians over turns, and that of its growth in a pair."""
    off, on = ([float(np.percentile(each, share)) for each in turns] for turns in spent)
    growth = np.array(on) / np.array(off) - 1
    draws = np.random.default_rng(1).integers(0, len(growth), (DRAWS, len(growth)))
    low, high = np.percentile(np.median(growth[draws], axis=1), (2.5, 97.5))
    return {
        "alone": round(float(np.median(off)), 3),
        "polled": round(float(np.median(on)), 3),
        "growth": round(float(np.median(growth)), 4),
        "growth_95": [round(float(low), 4), round(float(high), 4)],
        "of_all": [round(float(np.percentile(np.concatenate(each), share)), 3) for each in spent],
        "of_pairs": [round(float(each), 3) for each in growth],
    }


def apart(*elsewhere: int) -> None:
    """Give this process the first core; what is elsewhere in life goes ahead on the second."""
    os.sched_setaffinity(0, {0})
    for pid in elsewhere:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {1})
            if priority := os.sched_getparam(0).sched_priority:
                os.sched_setscheduler(int(task.name), os.SCHED_RR, os.sched_param(priority + 10))


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--turn", type=float, default=5.0, help="Seconds of a turn that count.")
    parser.add_argument("--settle", type=float, default=1.5, help="Seconds of a turn before they count.")
    parser.add_argument("--rate", type=float, default=500.0, help="Market messages a second.")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--folder", type=Path, help="Where the user directory is made.")
    parser.add_argument("--pin", action="store_true", help="Give the bot a core of its own.")
    given = parser.parse_args()
    import uvloop

    seconds = given.pairs * 2 * (given.turn + given.settle) + 90.0
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    market = context.Process(target=play, args=(given.rate, seconds, theirs), daemon=True)
    market.start()
    told: dict[str, Any] = {}
    pairs = ",".join(f"{coin}/USDT" for coin in COINS)
    try:
        port, origin = ours.recv()
        os.environ["API_ENGINE_ORIGIN"] = repr(origin)
        with tempfile.TemporaryDirectory(dir=given.folder) as place, Exchange(pairs, pace=1) as exchange:
            if given.pin:
                apart(market.pid or 0, exchange.pid)
            (Path(place) / "runs").mkdir()
            turns, orders = uvloop.run(watched(exchange, Path(place), port, given, told))
    finally:
        market.terminate()
        market.join()
    found = {
        "clients": given.clients,
        "pairs": given.pairs,
        **judged(turns, orders, given.pairs),
        "answers": told,
    }
    print(json.dumps(found))
    return 0 if found["tick_to_order"]["p99_ms"]["growth"] < PROMISE else 1


if __name__ == "__main__":
    sys.exit(main())
