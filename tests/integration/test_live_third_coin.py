"""The venue takes its fees in a coin that the run does not trade."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from abidance.journal.store import read
from abidance.model.event import ControlAction, OrderFilled
from abidance.run import hearing, trading
from abidance.run.bot import JOURNAL
from abidance.run.checkpoint import CHECKPOINT
from abidance.run.reconciling import replica_of
from abidance.run.trading import LiveTrading
from tests.integration.test_live_by_hand import Spot

PRICE = 500
"""What one BNB costs at the local exchange, in USDT."""


class Coins(Spot):
    """An account that pays its fees with BNB of its owner's."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.account.fee_asset = "BNB"
        self.exchange.desk.transfer(self.account, "BNB", Decimal(1), self.exchange.now)

    async def leave(self, bot: LiveTrading) -> None:
        """Sell what is held."""
        bot.control(ControlAction.FLATTEN, "tester")
        await self.pass_time(70)

    def fees(self) -> list[Decimal]:
        orders = [each for each in self.exchange.desk.orders.values() if each.account is self.account]
        return [part.fee for order in orders for part in order.parts]


def price_told(text: str) -> float:
    """Return what one coin is said to cost."""
    found = re.search(r"one BNB costs ([0-9.]+) USDT", text)
    return float(found[1]) if found else 0.0


def told_of_fees(bot: LiveTrading) -> list[str]:
    return [each.text for each in bot._recorder.notices if each.code == "fee_unpriced"]


async def test_fees_in_a_coin_without_a_price_are_booked_in_it_counted_and_told_once(tmp_path: Path) -> None:
    place = Coins(tmp_path / "bot")

    async with place:
        bot = await place.live(130, person=place.leave)

    portfolio, fees = bot.engine.state.portfolio, place.fees()
    (told,) = told_of_fees(bot)
    replica = replica_of(place.folder)
    bought = portfolio.bought["BINANCE", "BNB"]
    cash = float(portfolio.balance("BINANCE", "USDT"))
    assert len(fees) >= 2
    assert price_told(told) == pytest.approx(PRICE, rel=1e-4)
    assert bought["BNB"] == sum(fees)
    assert -bought["USDT"] == pytest.approx(sum(fees) * PRICE, abs=Decimal("0.0001"))
    assert portfolio.unpriced == {}
    assert portfolio.balance("BINANCE", "BNB") == place.account.totals()["BNB"] - 1  # which is its owner's
    assert bot.engine.state.feeds.venues["BINANCE"].is_trusted
    assert bot.engine.state.equity() == pytest.approx(cash - float(sum(fees)) * PRICE, abs=0.01)
    assert replica.portfolio.bought == portfolio.bought
    assert replica.state.equity() == bot.engine.state.equity()


async def test_who_pays_more_than_is_configured_has_his_fees_count_for_what_the_venue_says(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = Coins(tmp_path / "bot")
    place.account.maker = place.account.taker = Decimal("0.003")  # three times what is configured

    async with place:
        bot = await place.live(130, person=place.leave)

    bought, fees = bot.engine.state.portfolio.bought["BINANCE", "BNB"], place.fees()
    assert len(fees) >= 2
    assert bought["BNB"] == sum(fees)
    assert -bought["USDT"] == pytest.approx(sum(fees) * PRICE, abs=Decimal("0.0001"))
    assert "costs this account 0.3000% as a maker where 0.1000% is configured" in caplog.text


async def test_a_record_from_before_fees_in_a_coin_counted_is_gone_on_with_and_counts_later_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Coins(tmp_path / "bot")

    async with place:
        with monkeypatch.context() as before:
            before.setattr(trading, "as_recorded", lambda event, *_: hearing.as_recorded(event, {}))
            older = await place.live(130)
        first = place.fees()
        (place.folder / CHECKPOINT).unlink(missing_ok=True)
        seen: list[float] = []

        async def look(bot: LiveTrading) -> None:
            seen.append(float(bot.engine.state.portfolio.funds()))
            await place.leave(bot)

        bot = await place.live(5, person=look)

    later = place.fees()[len(first) :]
    portfolio = bot.engine.state.portfolio
    (earlier, now) = told_of_fees(bot)
    fills = [
        each.event.fill
        for each in read(place.folder / JOURNAL).records
        if isinstance(each.event, OrderFilled)
    ]
    assert first
    assert later
    assert seen == [older.engine.state.portfolio.funds()]
    assert "as nothing" in earlier
    assert price_told(now) == pytest.approx(PRICE, rel=1e-4)
    assert portfolio.unpriced == {"BNB": sum(first)}
    assert portfolio.bought["BINANCE", "BNB"]["BNB"] == sum(later)
    assert [bool(each.fee_worth) for each in fills] == [False] * len(first) + [True] * len(later)
