"""A bot that borrows and repays because a person says so: at a local Bybit, over real sockets, with its own record."""

import asyncio
from pathlib import Path

import pytest

from abidance.journal.store import read
from abidance.model.errors import ConfigError
from abidance.model.event import ControlAction, DebtChanged
from abidance.model.loan import LoanState
from abidance.portfolio.ledger import AccountKind
from abidance.risk.config import BreakersConfig, LimitsConfig, RiskConfig
from abidance.run.bot import JOURNAL
from abidance.run.door import Answer, Wish, ask
from abidance.run.killing import Extent, kill
from abidance.run.owing import Owed, owed_of
from abidance.run.reconciling import differences, replica_of
from abidance.run.trading import LiveTrading
from abidance.testing.exchange import Fault, Wrong
from abidance.venues.net.real import AiohttpTransport
from abidance.venues.trading.lending import LOAN
from abidance.venues.trading.scales import BOOKS
from tests.integration.live_bench import breathe
from tests.integration.test_live_venues import D, Elsewhere

ASK = "/v5/account/borrow"
MAY_BORROW = RiskConfig(
    limits=LimitsConfig(duplicate_window=0, max_borrowed=0.3),
    breakers=BreakersConfig(daily_loss=None, max_drawdown=None),
)


class Debtor(Elsewhere):
    """A bot at a local Bybit, and a person who asks it for loans."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "BYBIT")
        self.answers: list[Answer] = []

    async def wishes(self, action: ControlAction, amount: str, asset: str = "USDT") -> list[str]:
        """Ask the bot as the command does and return the codes of what it says."""
        wish = Wish(action, "a person", values={"venue": "BYBIT", "asset": asset, "amount": amount})
        asking = asyncio.ensure_future(asyncio.to_thread(ask, self.folder, wish))
        while not asking.done():
            await breathe(20)
        self.answers.append(asking.result())
        await self.pass_time(2)
        return [word.code for word in self.answers[-1].notices]

    def lent(self) -> list[str]:
        return [str(line.amount) for line in self.account.ledger if line.why in ("loan", "repayment")]

    def agrees(self, bot: LiveTrading) -> None:
        """Compare the exchange's books, debts included, with ours, which share no code."""
        ledger = bot.engine.state.portfolio.ledger
        there, ours = self.account.totals(), ledger.balances("BYBIT")
        assert ledger.debts("BYBIT").keys() == self.account.debts.keys()
        for asset, owed in self.account.debts.items():
            assert abs(ledger.owed["BYBIT", asset] - owed) < D("1e-8")
        assert ours.get("BTC", D(0)) == there.get("BTC", D(0))
        assert ours["USDT"] - D(10_000) == there["USDT"] - D(20_000)
        assert not any(ledger.totals().values())


@pytest.fixture
async def place(tmp_path: Path) -> Debtor:
    return Debtor(tmp_path / "bot")


async def test_nothing_is_borrowed_unless_the_configuration_says_how_much(place: Debtor) -> None:
    codes: list[str] = []

    async def person(_: LiveTrading) -> None:
        codes.extend(await place.wishes(ControlAction.BORROW, "100"))

    async with place:
        bot = await place.live(5, person=person)

    assert codes == ["loan_refused"]
    assert "`risk.limits.max_borrowed`" in place.answers[0].notices[0].text
    assert place.lent() == []
    place.agrees(bot)


async def test_a_loan_is_booked_bears_interest_and_is_repaid_and_both_books_agree(place: Debtor) -> None:
    seen: dict[str, float] = {}

    async def person(bot: LiveTrading) -> None:
        equity = bot.engine.state.equity
        seen["before"] = equity()
        assert await place.wishes(ControlAction.BORROW, "1500.5") == ["loan_asked"]
        seen["after"] = equity()
        assert await place.wishes(ControlAction.BORROW, "2000") == ["loan_refused"]  # beyond 30 %
        kill(place.folder, "tester", Extent.FLATTEN)
        await place.pass_time(60 * 13)  # over the fifth minute of an hour
        assert await place.wishes(ControlAction.BORROW, "1") == ["loan_refused"]
        seen["interest"] = float(bot.engine.state.debts.owed("BYBIT", "USDT")) - 1500.5
        assert BOOKS not in bot.gateways[0].doubts
        place.agrees(bot)
        assert await place.wishes(ControlAction.REPAY, "all") == ["loan_asked"]  # also while killed
        place.agrees(bot)

    async with place:
        await place.live(5, person=person, risk=MAY_BORROW)
        again = await place.live(2, risk=MAY_BORROW)
        place.agrees(again)

    record = [each.event for each in read(place.folder / JOURNAL).records]
    told = [(each.reason, each.loan_id != "") for each in record if isinstance(each, DebtChanged)]
    replica = replica_of(place.folder)
    costs = [each.amount for each in replica.entries if each.account.kind is AccountKind.INTEREST]
    assert seen["after"] == pytest.approx(seen["before"], abs=20)
    assert told == [("borrowed", True), ("interest", False), ("repaid", True)]
    assert place.lent()[0] == "1500.5"
    assert len(place.lent()) == 2
    assert seen["interest"] == pytest.approx(0.015005, rel=1e-3)
    assert sum(costs) == pytest.approx(D("0.015005"), rel=D("1e-6"))
    assert replica.portfolio.ledger.owed == {}


async def test_a_bot_that_is_killed_while_a_loan_is_under_way_finds_out_and_asks_for_nothing_again(
    place: Debtor,
) -> None:
    doubts: list[bool] = []

    async def person(bot: LiveTrading) -> None:
        place.exchange.faults.add(Fault(Wrong.LATE, ASK, seconds=60))
        await place.wishes(ControlAction.BORROW, "700")
        assert place.lent() == ["700"]
        (loan,) = bot.engine.state.debts.loans.open()
        assert loan.state is LoanState.SENT

    async def looks(bot: LiveTrading) -> None:
        doubts.append(LOAN in bot.gateways[0].doubts)

    async with place:
        await place.live(5, person=person, risk=MAY_BORROW)
        bot = await place.live(30, person=looks, risk=MAY_BORROW)

        async with AiohttpTransport(heartbeat=0) as transport:
            found = await differences(replica_of(place.folder), place.access, transport, place.pulse)
            owed = await owed_of(replica_of(place.folder), place.access, transport, place.pulse)
        place.agrees(bot)

    assert doubts == [False]
    assert place.lent() == ["700"]
    assert bot.engine.state.debts.loans.open() == []
    assert [each.text for each in found if each.is_money] == []
    assert owed == [Owed("BYBIT", "USDT", D(700), D(700), D(0))]


async def test_a_debt_that_no_record_knows_keeps_a_bot_to_exits_until_a_person_accepts_it(
    place: Debtor,
) -> None:
    told: list[str] = []

    async def person(bot: LiveTrading) -> None:
        place.exchange.desk.transfer(place.account, "USDT", D(300), place.exchange.now, "loan")
        place.account.debts["USDT"] = D(300)
        await place.pass_time(70)
        told.append(bot.gateways[0].doubts[BOOKS])
        wish = Wish(ControlAction.ADJUST, "a person", values={"seen": told[0], "reason": "by hand"})
        asking = asyncio.ensure_future(asyncio.to_thread(ask, place.folder, wish))
        while not asking.done():
            await breathe(20)
        await place.pass_time(2)
        told.append(bot.gateways[0].doubts.get(BOOKS, ""))

    async with place:
        bot = await place.live(5, person=person, risk=MAY_BORROW)
        place.agrees(bot)

    assert told == ["USDT owed: the venue says 300, our books 0.", ""]


async def test_no_run_begins_on_an_account_that_owes(place: Debtor) -> None:
    place.account.debts["USDT"] = D("0.5")

    async with place:
        with pytest.raises(ConfigError, match=r"owes 0\.5 USDT, which is on no record"):
            await place.live(1, risk=MAY_BORROW)

    assert place.exchange.desk.orders == {}
