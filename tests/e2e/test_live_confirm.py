"""`abidance trade --live` at a terminal: what stands where is shown, and the venue's name must be typed back."""

import asyncio
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from abidance.kernel.clock import WallClock
from abidance.testing.exchange import Account, LocalExchange, generated
from tests.e2e.program import Program
from tests.e2e.test_live_kill import BTC, configured

QUESTION = "Type BINANCE to trade there with real money"
PATIENCE = 60.0
SECRETS = {"ABIDANCE_PASSPHRASE": "a passphrase", "COLUMNS": "200"}

pytestmark = pytest.mark.e2e


class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self.program = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
        )
        os.close(theirs)
        self.shown = ""

    def read(self, text: str = "") -> None:
        """Take what is shown until some text is there, or the program has ended."""
        deadline = time.monotonic() + PATIENCE
        while not text or text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            if not select.select([self._ours], [], [], 0.2)[0]:
                continue
            try:
                part = os.read(self._ours, 4096)
            except OSError:  # how a terminal says that nobody is at its other end
                part = b""
            if not part:
                break
            self.shown += part.decode(errors="replace")

    def type(self, line: str) -> None:
        os.write(self._ours, f"{line}\n".encode())

    def end(self) -> int:
        """Read to the end, and return the exit code."""
        self.read()
        os.close(self._ours)
        return self.program.wait(PATIENCE)


async def test_the_venues_name_must_be_typed_back_under_what_is_at_stake(tmp_path: Path) -> None:
    program, clock = Program(tmp_path), WallClock()
    account = Account("a-key", "a-secret")
    market = generated(BTC, 5, clock.now(), pace=40.0, past_seconds=3_600)
    async with LocalExchange([market], start=clock.now(), clock=clock, accounts=[account]) as exchange:
        exchange.desk.transfer(account, "USDT", Decimal(20_000), exchange.now)
        typed = configured(program, exchange)
        environ = program.environ | SECRETS
        await asyncio.to_thread(
            subprocess.run,
            program.command("keys", "add", "BINANCE", *typed),
            input=b"a-key\na-secret\n",
            env=environ,
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=60,
        )

        def asked(answer: str) -> Terminal:
            terminal = Terminal(program.command("trade", "--live", "--plain", *typed), environ)
            terminal.read(QUESTION)
            terminal.type(answer)
            return terminal

        wrong = await asyncio.to_thread(asked, "KRAKEN")
        refused = await asyncio.to_thread(wrong.end)
        none_yet = not exchange.desk.orders
        right = await asyncio.to_thread(asked, "BINANCE")
        reading = asyncio.ensure_future(asyncio.to_thread(right.end))
        async with asyncio.timeout(PATIENCE):
            while not exchange.desk.orders and not reading.done():  # noqa: ASYNC110 (by another process)
                await asyncio.sleep(0.1)
        right.program.send_signal(signal.SIGINT)
        done = await reading

    assert refused == 2
    assert "Trading at BINANCE was not confirmed: no order was sent." in wrong.shown
    assert none_yet
    assert exchange.desk.orders, right.shown
    assert done == 0, right.shown
    before = wrong.shown.partition(QUESTION)[0]
    for told in (
        f"BINANCE main (account {account.number}): up to 5,000 USDT of what is there is used",
        "It may: read, trade spot",
        f": {BTC} on 1m",
        "No stop is configured",
        "At most 50% of it in the market, 25% in one asset and 50% at one venue, in up to 10 positions; leverage up",
        "to 3; the value of one order: no limit of its own; to be owed: nothing.",
        "Entries stop after a day's loss of 5.0% and a fall of 25.0%.",
        "abidance kill churn",
    ):
        assert told in before
