"""What the engine makes of certificates, mark prices and anomalies."""

from collections.abc import Iterable

import pytest

from abidance.model.event import Quote, Trade
from abidance.model.instrument import SECOND_NS
from abidance.model.intent import Intent
from abidance.model.market import Anomaly, DataKind, FeedState, FeedStatus, MarketEvent, MarkPrice
from abidance.model.order import OrderRequest, OrderType, Side
from abidance.model.outcome import RefusalCode
from abidance.risk.config import BreakersConfig, RiskConfig
from abidance.strategy.base import EventStrategy, View
from tests.unit.engine.rig import LOOSE, OTHER, SPOT, START, D, Rig, flat, rig_of


class Trader(EventStrategy):
    """Does with each quote what the test says, and notes what the view shows."""

    timeframe = "1h"

    def __init__(self, references: tuple[str, ...] = ()) -> None:
        self.references = references  # type: ignore[misc]
        self.wish: Side | None = None
        self.seen: list[object] = []

    def on_trade(self, trade: Trade, view: View) -> Iterable[Intent] | None:
        self.seen.append((view.feed(SPOT.id, DataKind.QUOTES), view.mark(SPOT.id)))
        if self.wish is None:
            return None
        side, self.wish = self.wish, None
        closes = side is Side.SELL
        return [OrderRequest(self.name, SPOT.id, side, D(1), OrderType.MARKET, reduce_only=closes)]


def status(
    state: FeedState, kind: DataKind = DataKind.QUOTES, at: int = 1, instrument: str = SPOT.id
) -> FeedStatus:
    return FeedStatus(START + at * SECOND_NS, instrument, kind, state, "no data for 5 s")


def tick(rig: Rig, at: int, wish: Side | None = None) -> None:
    strategy = rig.engine.runners[0].strategy
    assert isinstance(strategy, Trader)
    strategy.wish = wish
    rig.pump.market(Trade(START + at * SECOND_NS, SPOT.id, 100.0, 1.0, True))


@pytest.fixture
def rig() -> Rig:
    return rig_of(Trader(), flat(100.0, 100.0))


def codes(rig: Rig) -> list[RefusalCode]:
    return [refused.code for refused in rig.refusals]


def test_an_entry_on_a_stream_that_is_not_certified_is_refused_with_its_reason(rig: Rig) -> None:
    rig.pump.market(status(FeedState.STALE))

    tick(rig, 2, Side.BUY)

    assert codes(rig) == [RefusalCode.FEED_NOT_CERTIFIED]
    assert (
        "stream of quotes of BTC/USDT@SIM is not certified but stale: no data for 5 s"
        in rig.refusals[0].reason
    )


@pytest.mark.parametrize("state", [FeedState.STALE, FeedState.GAP, FeedState.CROSSED])
def test_every_state_but_certified_takes_no_new_risk(rig: Rig, state: FeedState) -> None:
    rig.pump.market(status(state, DataKind.BOOK))

    tick(rig, 2, Side.BUY)

    assert codes(rig) == [RefusalCode.FEED_NOT_CERTIFIED]


def test_an_exit_passes_whatever_the_certificate_says(rig: Rig) -> None:
    tick(rig, 1, Side.BUY)
    rig.step(2)
    rig.pump.market(status(FeedState.GAP, at=7_201))

    tick(rig, 7_202, Side.SELL)

    assert codes(rig) == []
    assert [submit.request.side for submit in rig.submits] == [Side.BUY, Side.SELL]


def test_entries_pass_again_once_every_stream_is_certified(rig: Rig) -> None:
    rig.pump.market(status(FeedState.STALE, DataKind.QUOTES))
    rig.pump.market(status(FeedState.GAP, DataKind.BOOK))
    rig.pump.market(status(FeedState.CERTIFIED, DataKind.QUOTES))
    tick(rig, 2, Side.BUY)

    rig.pump.market(status(FeedState.CERTIFIED, DataKind.BOOK, at=3))
    tick(rig, 4, Side.BUY)

    assert codes(rig) == [RefusalCode.FEED_NOT_CERTIFIED]
    assert len(rig.submits) == 1


def test_a_stream_that_a_strategy_refers_to_is_needed_too() -> None:
    rig = rig_of(Trader((OTHER.id,)), flat(100.0))
    rig.pump.market(status(FeedState.STALE, DataKind.BARS, instrument=OTHER.id))

    tick(rig, 2, Side.BUY)

    assert codes(rig) == [RefusalCode.FEED_NOT_CERTIFIED]


def test_a_stream_of_another_instrument_stops_nobody(rig: Rig) -> None:
    rig.pump.market(status(FeedState.STALE, instrument=OTHER.id))

    tick(rig, 2, Side.BUY)

    assert codes(rig) == []


def test_a_strategy_sees_certificates_and_marks_through_its_view(rig: Rig) -> None:
    mark = MarkPrice(START + SECOND_NS, SPOT.id, 100.5, 100.4, 0.0001, 0)
    tick(rig, 0)

    rig.pump.market(status(FeedState.CROSSED))
    rig.pump.market(mark)
    tick(rig, 2)

    strategy = rig.engine.runners[0].strategy
    assert isinstance(strategy, Trader)
    assert strategy.seen == [(None, None), (FeedState.CROSSED, mark)]


def test_people_are_told_once_when_a_certificate_is_lost(rig: Rig) -> None:
    rig.pump.market(status(FeedState.STALE, at=0))
    before = list(rig.notices)
    rig.pump.market(status(FeedState.CERTIFIED, at=1))
    for at in (2, 3, 4):
        rig.pump.market(status(FeedState.STALE, at=at))

    assert before == []
    assert [notice.code for notice in rig.notices] == ["feed_not_certified"]


def test_an_anomaly_lets_its_instrument_rest() -> None:
    rig = rig_of(
        Trader(), flat(100.0), risk=RiskConfig(limits=LOOSE.limits, breakers=BreakersConfig(cooldown_bars=2))
    )
    rig.pump.market(Anomaly(START + SECOND_NS, SPOT.id, "price_jump", 12.0, "The price jumped by 9 %."))

    tick(rig, 2, Side.BUY)

    assert codes(rig) == [RefusalCode.ENTRIES_PAUSED]
    assert [notice.code for notice in rig.notices] == ["data_anomaly"]


def test_a_burst_of_volume_is_told_and_stops_nobody() -> None:
    rig = rig_of(Trader(), flat(100.0), risk=RiskConfig(limits=LOOSE.limits))
    rig.pump.market(Anomaly(START, SPOT.id, "volume_burst", 9.0, "Ten times the usual volume."))

    tick(rig, 2, Side.BUY)

    assert codes(rig) == []
    assert [notice.level for notice in rig.notices] == ["info"]


def test_coasting_over_ticks_gives_the_same_as_stepping_when_certificates_come_between() -> None:
    events: list[MarketEvent] = [
        Quote(START + 1, SPOT.id, 99.0, 1.0, 101.0, 1.0),
        status(FeedState.STALE),
        Trade(START + 2 * SECOND_NS, SPOT.id, 100.0, 1.0, True),
        status(FeedState.CERTIFIED, at=3),
        MarkPrice(START + 4 * SECOND_NS, SPOT.id, 100.5, 100.4, 0.0001, 0),
        Trade(START + 5 * SECOND_NS, SPOT.id, 101.0, 1.0, True),
    ]
    stepped, coasted = rig_of(Trader(), flat(100.0)), rig_of(Trader(), flat(100.0))

    for event in events:
        stepped.pump.market(event)
    coasted.pump.run(events)

    assert stepped.notices == coasted.notices
    assert stepped.state.price(SPOT.id) == coasted.state.price(SPOT.id) == 101.0
