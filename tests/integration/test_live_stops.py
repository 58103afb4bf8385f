"""More strategies with stops on one pair than its venue takes stops there."""

from pathlib import Path

import pytest

from abidance.model.order import OrderState, Purpose
from abidance.model.outcome import RefusalCode
from abidance.risk.config import LimitsConfig, RiskConfig
from abidance.run.config import RunConfig
from abidance.testing.exchange.desk import State
from abidance.venues.ccxt.terms import fetch_terms
from abidance.venues.trading.room import UNSENT
from tests.integration.test_live_by_hand import once
from tests.integration.test_live_paper import BTC
from tests.integration.test_live_trading import Market
from tests.integration.test_live_trading import refused as refused_by_risk


class Six(Market):
    """Six strategies that buy once, each with a stop."""

    def guarded(self, **more: object) -> RunConfig:
        one = once(self.folder, "Protection(stop=bar.close * 0.1)")
        six = tuple(one.model_copy(update={"name": f"s{n}", "allocation": 0.16}) for n in range(6))
        limits = LimitsConfig(
            duplicate_window=0, max_exposure=1, max_asset_exposure=1, max_venue_exposure=1, max_positions=9
        )
        return self.config(strategies=six, risk=RiskConfig(limits=limits), **more)


async def test_the_sixth_stop_of_a_pair_is_never_refused_because_its_entry_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = Six(tmp_path / "bot")

    async with place:
        place.rules = lambda venue: fetch_terms(venue, place.config().feed)
        bots = [await place.live(100), await place.live(40)]

    stops = [o for o in place.exchange.desk.orders.values() if o.state is State.WAITING]
    for bot in bots:
        orders = bot.engine.state.orders.all()
        held = bot.engine.state.portfolio.open_positions()
        refused = [
            o.reason for o in orders if o.state is OrderState.REJECTED and not o.reason.startswith(UNSENT)
        ]
        assert refused == []
        assert len(held) == len(stops) == 5
        assert {each.request.purpose for each in orders} == {Purpose.ENTRY, Purpose.STOP_LOSS}
        assert bot.engine.state.instruments[BTC].max_stops == 5
    assert refused_by_risk(place.folder) == [RefusalCode.OPEN_ORDERS]
    assert "stops_are_scarce" in caplog.text
