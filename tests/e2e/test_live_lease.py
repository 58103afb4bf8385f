"""Two machines, one account: real processes, a real database of leases, and one of them that is killed."""

import sys
from decimal import Decimal
from pathlib import Path

import pytest

from abidance.kernel.clock import WallClock
from abidance.testing.exchange import Account, LocalExchange, generated
from tests.e2e.program import Program, assert_refused
from tests.e2e.test_live_books import Person
from tests.e2e.test_live_kill import BTC, configured
from tests.postgres import server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

ELSEWHERE = (
    "import abidance.run.golive as golive; golive._hold_name = lambda *_: None\n"
    "import abidance.run.lease as lease; lease.lock_of = golive.lock_of = lambda _: ''\n"
    "from abidance.cli.main import main; main()"
)
"""The program on a machine that shares neither names nor locks with this one."""


class Machine(Program):
    """A machine of its own, as far as the program can tell."""

    def command(self, *typed: str) -> list[str]:
        return [sys.executable, "-c", ELSEWHERE, *typed]


def at(program: Program, exchange: LocalExchange, url: str) -> Person:
    program.home.mkdir()
    typed = configured(program, exchange)
    path = Path(typed[1])
    path.write_text(f'lease = "{url}"\n' + path.read_text())
    return Person(program, typed)


def row(url: str) -> tuple[int, bool]:
    """Return how many holders the account has had, and whether it has one now."""
    import psycopg

    with psycopg.connect(url) as link:
        found = link.execute("SELECT max(fence), bool_or(expires > clock_timestamp()) FROM abidance.leases")
        fence, is_held = found.fetchone() or (0, False)
        return fence, is_held


async def test_an_account_is_for_one_machine_whatever_becomes_of_the_other(tmp_path: Path) -> None:
    account, clock = Account("a-key", "a-secret"), WallClock()
    market = generated(BTC, 5, clock.now(), pace=40.0, past_seconds=3_600)
    with server() as url:
        async with LocalExchange([market], start=clock.now(), clock=clock, accounts=[account]) as exchange:
            desk = exchange.desk
            desk.transfer(account, "USDT", Decimal(20_000), exchange.now)
            here, there = (
                at(Program(tmp_path / "here"), exchange, url),
                at(Machine(tmp_path / "there"), exchange, url),
            )
            for each in (here, there):
                await each.types("keys", "add", "BINANCE", *each.typed, given=b"a-key\na-secret\n")
            trade = ("trade", "--live", "--confirm", "BINANCE", "--plain", *there.typed)

            async with here.trading():
                await here.until(lambda: len(desk.orders) >= 2)
                second = await there.types(*trade)
                here.kill()
                killed = await there.types(*trade)
                orders = len(desk.orders)
            after_kill = row(url)
            async with here.trading():  # its own lock proves that the killed one is gone
                await here.until(lambda: len(desk.orders) > orders)
                after_start = row(url)
            given_back = row(url)

    assert_refused(second, 6, "Another bot trades on the account BINANCE main: churn on ", "process")
    assert_refused(
        killed, 6, "Another bot trades on the account BINANCE main: churn on ", "its lease ends in"
    )
    assert "secret@" not in second.err + killed.err
    assert not there.journal.exists()
    assert (after_kill, after_start, given_back) == ((1, True), (2, True), (2, False))
