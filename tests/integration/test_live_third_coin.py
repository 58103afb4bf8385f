"""The venue takes its fees in a coin that the run does not trade."""

from decimal import Decimal
from pathlib import Path

from abidance.model.event import ControlAction
from abidance.run.reconciling import replica_of
from abidance.run.trading import LiveTrading
from tests.integration.test_live_by_hand import Spot


async def test_fees_in_a_coin_without_a_price_are_booked_and_told_once(tmp_path: Path) -> None:
    place = Spot(tmp_path / "bot")
    place.account.fee_asset = "BNB"
    place.exchange.desk.transfer(place.account, "BNB", Decimal(1), place.exchange.now)

    async def person(bot: LiveTrading) -> None:
        bot.control(ControlAction.FLATTEN, "tester")
        await place.pass_time(70)

    async with place:
        bot = await place.live(130, person=person)

    portfolio = bot.engine.state.portfolio
    (told,) = [each.text for each in bot._recorder.notices if each.code == "fee_unpriced"]
    fees = [
        part.fee
        for order in place.exchange.desk.orders.values()
        for part in order.parts
        if order.account is place.account
    ]
    assert "BNB" in told
    assert len(fees) >= 2
    assert portfolio.unpriced == {"BNB": sum(fees)}
    assert portfolio.balance("BINANCE", "BNB") == place.account.totals()["BNB"] - 1  # which is its owner's
    assert bot.engine.state.feeds.venues["BINANCE"].is_trusted
    assert replica_of(place.folder).portfolio.unpriced == portfolio.unpriced
