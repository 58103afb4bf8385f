"""Money that is gone and that nothing explains, as a person meets it: told, looked at, accepted, and traded on."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from abidance.journal.store import read
from abidance.kernel.clock import WallClock
from abidance.model.event import BalanceChanged, Control, ControlAction, VenueStatus
from abidance.model.outcome import Decided
from abidance.run.bot import JOURNAL
from abidance.testing.exchange import Account, LocalExchange, generated
from tests.e2e.program import Outcome, Program
from tests.e2e.test_live_kill import BTC, configured, enough

PATIENCE = 100.0

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


class Person:
    """Somebody with a terminal, a vault and a bot."""

    venue = "BINANCE"

    def __init__(self, program: Program, typed: list[str]) -> None:
        self.program = program
        self.typed = typed
        self.journal = program.userdir / "runs" / "churn" / JOURNAL
        self.bot: asyncio.subprocess.Process | None = None

    @property
    def environ(self) -> dict[str, str]:
        return self.program.environ | {"ABIDANCE_PASSPHRASE": "a passphrase", "COLUMNS": "200"}

    async def types(self, *typed: str, given: bytes = b"") -> Outcome:
        """Run a command to its end."""
        more = dict(self.environ.items() - self.program.environ.items())
        return await asyncio.to_thread(partial(self.program, *typed, env=more, given=given))

    @asynccontextmanager
    async def trading(self) -> AsyncIterator[None]:
        """Let the bot run with real orders."""
        log = (self.program.home / "said.log").open("ab")
        command = self.program.command("trade", "--live", "--confirm", self.venue, "--plain", *self.typed)
        bot = self.bot = await asyncio.create_subprocess_exec(
            *command, env=self.environ, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            if bot.returncode is None:
                bot.send_signal(signal.SIGTERM)
            await asyncio.wait_for(bot.wait(), PATIENCE)
            log.close()

    def kill(self) -> None:
        """Let the bot end where it is."""
        assert self.bot is not None
        self.bot.kill()

    def record(self) -> list[object]:
        """Return what is on record."""
        found = [each.event for each in read(self.journal).records] if self.journal.exists() else []
        return [each for each in found if each is not None]

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for what another process does."""
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < deadline, (self.program.home / "said.log").read_text()[-2000:]
            await asyncio.sleep(0.2)


async def test_money_that_nothing_explains_keeps_a_bot_to_exits_until_a_person_accepts_it(
    tmp_path: Path,
) -> None:
    program, account, clock = Program(tmp_path), Account("a-key", "a-secret"), WallClock()
    market = generated(BTC, 5, clock.now(), pace=40.0, past_seconds=3_600)
    async with LocalExchange([market], start=clock.now(), clock=clock, accounts=[account]) as exchange:
        desk = exchange.desk
        desk.transfer(account, "USDT", Decimal(20_000), exchange.now)
        person = Person(program, configured(program, exchange))
        await person.types("keys", "add", "BINANCE", *person.typed, given=b"a-key\na-secret\n")

        def entered() -> int:
            return sum(order.ticket.side > 0 for order in desk.orders.values())

        def doubts() -> list[str]:
            told = [each for each in person.record() if isinstance(each, VenueStatus)]
            return [*told[-1].reasons] if told else []

        async with person.trading():
            await person.until(lambda: entered() >= 2)
        before = entered()
        desk.transfer(account, "USDT", Decimal(-16_000), exchange.now)  # while nobody listens
        async with person.trading():
            await person.until(lambda: any("USDT: the venue has" in each for each in doubts()))
            await asyncio.sleep(3.0)  # quotes go on, and the strategy wishes to enter with each sixth
            shut = entered()
            looked = await person.types(
                "reconcile", "churn", "--dry-run", "--accept", "in cold storage", "--confirm", "churn"
            )
            still = doubts()
            accepted = await person.types(
                "reconcile", "churn", "--accept", "in cold storage", "--confirm", "churn"
            )
            await person.until(lambda: entered() > before)
            await enough(exchange, 0, person.journal)
        agreed = await person.types("reconcile", "churn")

    record = person.record()
    notices = [word.code for each in record if isinstance(each, Decided) for word in each.notices]
    (adjusted,) = [
        each for each in record if isinstance(each, Control) and each.action is ControlAction.ADJUST
    ]
    booked = [each for each in record if isinstance(each, BalanceChanged) and "adjustment" in each.reason]
    assert shut == before
    assert "venue_not_trusted" in notices
    assert looked.code == 1
    assert "USDT: the venue has" in looked.out
    assert still
    assert accepted.code == 0, accepted
    assert "in cold storage" in accepted.out
    assert adjusted.values["reason"] == "in cold storage"
    assert adjusted.actor.endswith("in a terminal")
    assert sum(each.amount for each in booked) < -900
    assert agreed.code == 0, agreed
