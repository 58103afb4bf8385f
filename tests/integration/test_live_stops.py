"""Stops of a live bot: how long a position had none, and more strategies on a pair than its venue takes stops there."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from abidance.api.views import risk
from abidance.cli.trade import _tell_bare
from abidance.engine.vigil import Bareness
from abidance.journal.store import read
from abidance.model.event import OrderAccepted, OrderFilled
from abidance.model.order import OrderState, Purpose
from abidance.model.outcome import RefusalCode
from abidance.risk.config import LimitsConfig, RiskConfig
from abidance.run.bot import JOURNAL, LOG
from abidance.run.config import RunConfig
from abidance.run.replica import Replica
from abidance.testing.exchange import Fault, Wrong
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


class One(Market):
    """A strategy that buys once, with a stop."""

    def guarded(self, **more: object) -> RunConfig:
        return self.config(strategies=(once(self.folder, "Protection(stop=bar.close * 0.1)"),), **more)


async def test_how_long_a_position_had_no_stop_is_in_the_log_on_record_and_in_the_api(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = One(tmp_path / "bot")
    place.exchange.faults.add(Fault(Wrong.GAP, "account executionReport", times=0))
    lost = place.exchange.faults.add(Fault(Wrong.LOST, "/api/v3/order", after=1))  # the answer to the stop

    async with place:
        bot = await place.live(120)

    found = read(place.folder / JOURNAL)
    records = [*found.records]
    events = [record.event for record in records]
    filled_at = next(each.ts for each in events if isinstance(each, OrderFilled))
    (stop,) = [each.id for each in bot.engine.state.orders.open()]
    (stood_at,) = [each.ts for each in events if isinstance(each, OrderAccepted) and each.order_id == stop]
    lasted, where = stood_at - filled_at, ("once", BTC)
    replica = Replica(found.header)
    replica.take(records)
    (told,) = [line for line in _lines(place.folder / LOG) if line["event"] == "stopped"]
    _tell_bare(bot, Console(width=300))
    assert lost.hits == 1
    assert lasted > 0
    assert bot.engine.vigil.past == {where: Bareness(1, lasted, lasted)}
    assert told["without_stop_ns"] == {" ".join(where): {"count": 1, "total": lasted, "longest": lasted}}
    (shown,) = risk(replica).without_stop
    assert (shown.strategy, shown.instrument, shown.times) == (*where, 1)
    assert (shown.total, shown.longest) == pytest.approx((lasted / 1e9, lasted / 1e9), abs=0.001)
    assert (
        f"{BTC} of once stood without its whole stop for {lasted / 1e9:.3f} s in all"
        in capsys.readouterr().out
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


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
