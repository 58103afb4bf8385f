"""A bot with real orders that is killed without warning, again and again: nothing is lost, nothing is doubled."""

import asyncio
import os
import random
import signal
import subprocess
from collections.abc import Awaitable
from decimal import Decimal
from pathlib import Path

import pytest

from abidance.journal.store import read
from abidance.kernel.clock import WallClock
from abidance.model.command import Submit
from abidance.model.event import OrderFilled, OrderUnknown
from abidance.model.outcome import Decided
from abidance.run.bot import JOURNAL
from abidance.testing.exchange import Account, Fault, LocalExchange, Wrong, generated
from tests.benchmark import load_benchmark
from tests.e2e.program import UNHINDERED, Program

BTC = "BTC/USDT@BINANCE"
KILLS = int(os.environ.get("ABIDANCE_KILLS", "8"))
STRATEGY = '''
from decimal import Decimal

from abidance.strategy.base import EventStrategy
from abidance.model.order import OrderRequest, Protection, Purpose, Side


class Churn(EventStrategy):
    """Go in and out as often as quotes come: it only makes orders."""

    def __init__(self):
        self.seen = 0

    def on_quote(self, quote, view):
        self.seen += 1
        if self.seen % 6:
            return None
        held = view.position(quote.instrument).quantity
        price = Decimal(str(quote.ask))
        if held > Decimal("0.00001"):
            return [OrderRequest(self.name, quote.instrument, Side.SELL, held.quantize(Decimal("0.00001"), "ROUND_DOWN"),
                                 reduce_only=True, purpose=Purpose.SIGNAL, decision_price=price)]
        return [OrderRequest(self.name, quote.instrument, Side.BUY, Decimal("0.005"), decision_price=price,
                             protection=Protection(stop=500.0))]
'''

pytestmark = pytest.mark.e2e


def configured(program: Program, exchange: LocalExchange) -> list[str]:
    program.file("abidance/strategies/churn.py", STRATEGY)
    limits = {"risk.limits": UNHINDERED}
    return program.live("Churn", "BINANCE", exchange.rest_url, exchange.stream_url, limits)


def grown(journal: Path, size: int) -> bool:
    return journal.exists() and journal.stat().st_size > size


def filled(exchange: LocalExchange) -> list[str]:
    """Return every fill that the exchange knows."""
    return sorted(str(part.id) for order in exchange.desk.orders.values() for part in order.parts)


def heard(journal: Path) -> list[str]:
    """Return every fill that the bot has on record."""
    records = read(journal).records
    return sorted(record.event.fill.id for record in records if isinstance(record.event, OrderFilled))


def unproven(journal: Path) -> set[str]:
    """Return the orders whose outcome the record does not tell: a killed process left them behind."""
    last: dict[str, object] = {}
    for record in read(journal).records:
        event = record.event
        if isinstance(event, OrderFilled):
            last[event.fill.order_id] = event
        elif isinstance(order_id := getattr(event, "order_id", None), str):
            last[order_id] = event
    return {order_id for order_id, event in last.items() if isinstance(event, OrderUnknown)}


async def enough(exchange: LocalExchange, orders: int, journal: Path) -> None:
    """Wait until so many orders were placed; then let no quotes come, and wait until the bot has heard of them all."""
    async with asyncio.timeout(60):
        while len(exchange.desk.orders) < orders:  # noqa: ASYNC110 (by another process)
            await asyncio.sleep(0.05)
    silence = exchange.faults.add(Fault(Wrong.GAP, "bookTicker", times=0))
    await asyncio.sleep(1.0)  # what was decided before is placed
    async with asyncio.timeout(60):
        while unproven(journal) or heard(journal) != filled(exchange):  # noqa: ASYNC110 (by another process)
            await asyncio.sleep(0.1)
    assert silence.hits


async def run(program: Program, life: Awaitable[None], end: signal.Signals, *typed: str) -> str:
    """Let the program run for a life from the moment that it trades, end it with a signal, return what it said."""
    log = (program.home / "said.log").open("ab")
    env = program.environ | {"ABIDANCE_PASSPHRASE": "a passphrase", "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(*program.command(*typed), env=env, stdout=log, stderr=log)
    journal = program.userdir / "runs" / "churn" / JOURNAL
    size = journal.stat().st_size if journal.exists() else 0
    async with asyncio.timeout(60):
        while process.returncode is None and not grown(journal, size):  # noqa: ASYNC110 (by another process)
            await asyncio.sleep(0.05)
    await life
    if process.returncode is None:
        process.send_signal(end)
    await asyncio.wait_for(process.wait(), 60)
    log.close()
    return (program.home / "said.log").read_text(errors="replace")


LENIENT = 15.0
"""Seconds, whatever else the machine does, within which a start has its next order at the venue: 5 on a quiet one."""


async def test_a_killed_bot_with_fifty_open_orders_is_ready_again_within_five_seconds_of_work(
    tmp_path: Path,
) -> None:
    found = await load_benchmark("restart").measure(max(1, KILLS // 4), 50, tmp_path)

    assert found["cpu"]["p100_s"] <= 5.0
    assert found["wall"]["p100_s"] <= LENIENT or found["in_doubt"]  # where an order may have left and has not
    assert len(found["in_doubt"]) <= 1  # a kill hits that moment once in a thousand


@pytest.mark.slow
async def test_a_live_bot_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    draw, program = random.Random(7), Program(tmp_path)
    account, clock = Account("a-key", "a-secret"), WallClock()
    market = generated(BTC, 5, clock.now(), pace=40.0, past_seconds=3_600)
    async with LocalExchange([market], start=clock.now(), clock=clock, accounts=[account]) as exchange:
        exchange.desk.transfer(account, "USDT", Decimal(20_000), exchange.now)
        typed = configured(program, exchange)
        await asyncio.to_thread(
            subprocess.run,
            program.command("keys", "add", "BINANCE", *typed),
            input=b"a-key\na-secret\n",
            env=program.environ | {"ABIDANCE_PASSPHRASE": "a passphrase"},
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=60,
        )
        command = ("trade", "--live", "--confirm", "BINANCE", "--plain", *typed)
        for _ in range(KILLS):
            await run(program, asyncio.sleep(draw.uniform(0.1, 2.5)), signal.SIGKILL, *command)

        journal = program.userdir / "runs" / "churn" / JOURNAL
        said = await run(program, enough(exchange, 12, journal), signal.SIGTERM, *command)

        placed = [order.ticket.client_id for order in exchange.desk.orders.values()]
        records = [record.event for record in read(journal).records]
        intended = {
            command.order_id
            for event in records
            if isinstance(event, Decided)
            for command in event.commands
            if isinstance(command, Submit)
        }
        assert len(placed) >= 12, said[-2000:]
        assert len(placed) == len(set(placed))
        assert set(placed) <= intended
        assert heard(journal) == filled(exchange)
        outcome = await asyncio.to_thread(
            subprocess.run,
            program.command("reconcile", "churn"),
            env=program.environ | {"ABIDANCE_PASSPHRASE": "a passphrase"},
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert outcome.returncode == 0, outcome.stdout.decode() + outcome.stderr.decode()
