"""A person borrows and repays in a terminal while a bot runs; it is killed in between, and nothing is owed twice."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from abidance.kernel.clock import WallClock
from abidance.model.event import VenueStatus
from abidance.testing.exchange import Account, LocalExchange, generated, lending
from tests.e2e.program import Outcome, Program
from tests.e2e.test_live_books import PATIENCE, Person

D = Decimal
STREAMS = {"BYBIT": "/v5/public/spot", "BINANCE": "", "KUCOIN": ""}
MARGIN = ("BINANCE", "KUCOIN")
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def configured(program: Program, venue: str, exchange: LocalExchange) -> list[str]:
    more = {"risk.limits": "max_borrowed = 0.2"}
    if venue in MARGIN:
        more["spot_wallets"] = f'{venue} = "cross_margin"'
    return program.live("EmaCross", venue, exchange.rest_url, exchange.stream_url + STREAMS[venue], more)


class Borrower(Person):
    """Somebody with a terminal, and a bot at a local exchange."""

    def __init__(self, program: Program, venue: str, typed: list[str]) -> None:
        super().__init__(program, typed)
        self.venue = venue

    async def repays(self) -> Outcome:
        """Repay all, once interest that was charged a moment ago is booked."""
        until = time.monotonic() + PATIENCE
        while True:
            told = await self.types("loans", "repay", "churn", "USDT", "all", "--confirm", "churn")
            if "Try again in a few minutes" not in told.out + told.err or time.monotonic() > until:
                return told
            await asyncio.sleep(1)

    @asynccontextmanager
    async def lending(self, end: signal.Signals = signal.SIGTERM) -> AsyncIterator[None]:
        """Let the bot run until it was trusted, then do something, then end it."""
        log = (self.program.home / "said.log").open("ab")
        command = self.program.command("trade", "--live", "--confirm", self.venue, "--plain", *self.typed)
        before = len(self.record())
        bot = await asyncio.create_subprocess_exec(*command, env=self.environ, stdout=log, stderr=log)
        try:
            await self.until(
                lambda: any(isinstance(e, VenueStatus) and e.is_trusted for e in self.record()[before:])
            )
            yield
        finally:
            bot.send_signal(end)
            await asyncio.wait_for(bot.wait(), PATIENCE)
            log.close()


@pytest.mark.parametrize("venue", sorted(STREAMS))
async def test_a_person_borrows_lists_and_repays_and_a_kill_in_between_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, venue: str
) -> None:
    program, owner, clock = Program(tmp_path), Account("a-key", "a-secret", "a-phrase"), WallClock()
    account = owner.open_margin() if venue in MARGIN else owner
    monkeypatch.setattr(lending, "CHARGED_AT", (clock.now() + lending.HOUR // 2) % lending.HOUR)
    monkeypatch.setattr(lending, "RECKONING", (0, 0))  # whenever this runs, that is far
    market = generated(f"BTC/USDT@{venue}", 5, clock.now(), pace=10.0, past_seconds=3_600)
    async with LocalExchange([market], start=clock.now(), clock=clock, accounts=[owner]) as exchange:
        exchange.desk.transfer(account, "USDT", D(20_000), exchange.now)
        person = Borrower(program, venue, configured(program, venue, exchange))
        added = await person.types("keys", "add", venue, *person.typed, given=b"a-key\na-secret\na-phrase\n")
        async with person.lending(signal.SIGKILL):
            lent = await person.types("loans", "borrow", "churn", "USDT", "500", "--confirm", "churn")
            beyond = await person.types("loans", "borrow", "churn", "USDT", "600", "--confirm", "churn")
        asleep = await person.types("loans", "repay", "churn", "USDT", "all", "--confirm", "churn")
        listed = await person.types("loans", "list", "churn")
        async with person.lending():
            repaid = await person.repays()
        agreed = await person.types("reconcile", "churn")

    said = (program.home / "said.log").read_text()[-2000:]
    moved = [line.why for line in account.ledger if line.why in ("loan", "repayment")]
    assert added.code == 0, added
    assert (lent.code, beyond.code, asleep.code) == (0, 2, 2), (lent, beyond, asleep, said)
    assert f"USDT at {venue}" in lent.out
    assert "`risk.limits.max_borrowed`" in beyond.err
    assert "is not running" in asleep.err
    assert "500" in listed.out
    assert (listed.code, repaid.code, agreed.code) == (0, 0, 0), (listed, repaid, agreed, said)
    assert moved == ["loan", "repayment"]
    assert account.debts == {}
