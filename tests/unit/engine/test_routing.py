"""Entries over several venues in a whole core: which venue takes them, what follows when one cannot, where exits go."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from abidance.execution.config import ExecutionConfig, RoutingConfig
from abidance.model.errors import UsageError
from abidance.model.event import (
    ControlAction,
    OrderAbandoned,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderUnknown,
    VenueStatus,
)
from abidance.model.instrument import SECOND_NS, Instrument
from abidance.model.market import Anomaly, BookSnapshot, DataKind, FeedState, FeedStatus, Quote
from abidance.model.order import OrderType, Purpose, Side
from abidance.model.outcome import RefusalCode
from abidance.risk.config import BreakersConfig, RiskConfig, SizingConfig
from abidance.run.compiled import unsupported
from abidance.run.config import load
from abidance.strategy.config import ExitsConfig
from abidance.venues.sim.config import FeeTier, SlippageConfig, VenueConfig
from tests.unit.engine.rig import LOOSE, START, D, Rig, Scripted, bars_of, fill_of, flat, material_of

NAN = float("nan")
HOME = Instrument("BTC/USDT@HOME", D("0.1"), D("0.001"), D("0.001"), D(1))
AWAY = Instrument("BTC/USDT@AWAY", D("0.5"), D("0.01"), D("0.01"), D(1))
HOUR = 3_600 * SECOND_NS


def venue(taker: float = 0.001) -> VenueConfig:
    return VenueConfig(
        fees=(FeeTier(volume=0, maker=taker, taker=taker),),
        slippage=SlippageConfig(spread=0, fixed=0, volume_share=0),
        max_volume_share=1.0,
    )


def rig(
    targets: Sequence[float] = (NAN, 1.0),
    rows: Sequence[Sequence[float]] = (),
    away: Sequence[Sequence[float]] = (),
    fees: tuple[float, float] = (0.001, 0.001),
    routing: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] | None = None,
    **run: Any,
) -> Rig:
    rows = rows or flat(*[100.0] * 8)
    config = {"instruments": (HOME.id,), **(more or {})}
    routes = RoutingConfig(routes={HOME.id: (AWAY.id,)}, **(routing or {}))
    made = material_of(
        {"one": Scripted(list(targets))},
        {HOME: bars_of(HOME.id, rows), AWAY: bars_of(AWAY.id, away or rows)},
        configs={"one": config},
        routing=routes,
        venues={"HOME": venue(fees[0]), "AWAY": venue(fees[1])},
        **run,
    )
    found = Rig(made, venue=run.pop("venue", True))
    found.step()
    return found


def sent(found: Rig) -> list[tuple[str, str]]:
    return [
        (each.request.instrument[-4:], f"{each.request.quantity.normalize():f}") for each in found.submits
    ]


def show(found: Rig, id: str, ask: float, size: float, deeper: Sequence[tuple[float, float]] = ()) -> None:
    ts = START + 2 * HOUR - SECOND_NS
    asks = ((ask, size), *deeper)
    found.engine.process(BookSnapshot(ts, id, ((ask - 0.2, size),), asks))


def status(found: Rig, *reasons: str, venue: str = "HOME") -> None:
    found.engine.process(VenueStatus(found.ts, venue, reasons))


@pytest.mark.parametrize(
    ("fees", "taken"), [((0.002, 0.001), "AWAY"), ((0.001, 0.002), "HOME"), ((0.0, 0.0), "HOME")]
)
def test_an_entry_goes_where_it_costs_least_with_fees(fees: tuple[float, float], taken: str) -> None:
    found = rig(fees=fees)
    found.step(2)

    assert sent(found) == [(taken, "1")]
    assert found.fills[0].instrument.endswith(taken)


def test_the_better_price_is_seen_in_books() -> None:
    found = rig()
    show(found, HOME.id, 100.5, 50.0)
    show(found, AWAY.id, 100.0, 50.0)
    found.step()

    assert sent(found) == [("AWAY", "1")]


def test_a_large_entry_is_parted_by_depth_where_that_saves_enough() -> None:
    parted, whole = rig(), rig(routing={"split_saving": 0.1})
    for each in (parted, whole):
        show(each, HOME.id, 100.1, 0.6, [(104.0, 10.0)])
        show(each, AWAY.id, 100.2, 0.7, [(104.0, 10.0)])
        each.step()

    assert sent(parted) == [("HOME", "0.6"), ("AWAY", "0.4")]
    assert sent(whole) == [("AWAY", "1")]


@pytest.mark.parametrize("trouble", ["doubt", "feed", "unknown", "resting"])
def test_a_venue_that_may_not_be_traded_on_is_passed_over(trouble: str) -> None:
    watchful = RiskConfig(limits=LOOSE.limits, breakers=BreakersConfig(daily_loss=None))
    found = rig(fees=(0.0, 0.002), risk=watchful)
    if trouble == "doubt":
        status(found, "its private stream is down")
    elif trouble == "feed":
        found.engine.process(FeedStatus(found.ts, HOME.id, DataKind.QUOTES, FeedState.STALE))
    elif trouble == "unknown":
        found.state.unknown_open = lambda instrument: instrument == HOME.id  # type: ignore[method-assign]
    else:
        found.engine.process(Anomaly(found.ts, HOME.id, "price_jump", 9.0, "jumped"))
    found.step()

    assert sent(found) == [("AWAY", "1")]
    assert found.refusals == []


def test_when_no_venue_may_be_traded_on_the_home_says_why() -> None:
    found = rig()
    status(found, "it is silent")
    status(found, "it is silent", venue="AWAY")
    found.step()

    assert [(each.code, each.request.instrument) for each in found.refusals] == [
        (RefusalCode.VENUE_NOT_TRUSTED, HOME.id)
    ]


def test_money_on_two_venues_is_used_together_and_never_more_than_there_is() -> None:
    both = rig(dry_run_wallet={"HOME": 60.0, "AWAY": 60.0})
    both.step(2)
    neither = rig(dry_run_wallet={"HOME": 40.0, "AWAY": 40.0})
    neither.step(2)

    assert {place for place, _ in sent(both)} == {"HOME", "AWAY"}
    assert 1 - sum(D(quantity) for _, quantity in sent(both)) < AWAY.lot
    assert sent(neither) == []
    assert [each.code for each in neither.refusals] == [RefusalCode.INSUFFICIENT_FUNDS]


def test_exits_go_where_the_position_is() -> None:
    found = rig((NAN, 1.0, NAN, 0.0), fees=(0.002, 0.001))
    found.step(5)

    assert [(f.instrument, f.side) for f in found.fills] == [(AWAY.id, Side.BUY), (AWAY.id, Side.SELL)]
    assert not found.state.portfolio.open_positions()


def test_a_parted_position_is_left_on_both_venues_and_grows_and_shrinks_as_one() -> None:
    found = rig((NAN, 1.0, 0.4, 1.0, 0.0), more={"rebalance_threshold": 0.1})
    show(found, HOME.id, 100.1, 0.6, [(104.0, 10.0)])
    show(found, AWAY.id, 100.2, 0.7, [(104.0, 10.0)])
    held = []
    for _ in range(5):
        found.step()
        held.append((found.position(HOME), found.position(AWAY)))

    assert held[1] == (D("0.6"), D("0.4"))
    assert held[2] == (D("0.4"), D(0))
    assert sum(held[3]) == 1
    assert held[4] == (D(0), D(0))


def test_each_venue_has_its_own_stop_and_a_touched_one_leaves_the_other() -> None:
    rows = flat(*[100.0] * 6)
    away = [*flat(100.0, 100.0, 100.0), (100.0, 100.0, 90.0, 95.0), *flat(95.0, 95.0)]
    found = rig(rows=rows, away=away, more={"exits": ExitsConfig(stop_loss=0.05)})
    show(found, HOME.id, 100.1, 0.6, [(104.0, 10.0)])
    show(found, AWAY.id, 100.2, 0.7, [(104.0, 10.0)])
    found.step(4)

    assert [(f.instrument, f.purpose) for f in found.fills if f.side is Side.SELL] == [
        (AWAY.id, Purpose.STOP_LOSS)
    ]
    assert (found.position(HOME), found.position(AWAY)) == (D("0.6"), D(0))


def test_a_trailing_stop_follows_the_bars_of_the_venue_that_holds_the_position() -> None:
    away = [
        *flat(100.0, 100.0, 100.0),
        (100.0, 120.0, 100.0, 120.0),
        (120.0, 120.0, 105.0, 105.0),
        *flat(105.0),
    ]
    found = rig(
        rows=flat(*[100.0] * 6), away=away, fees=(0.002, 0.0), more={"exits": ExitsConfig(trailing_stop=0.1)}
    )
    found.step(5)

    assert [f.purpose for f in found.fills] == [Purpose.ENTRY, Purpose.TRAILING_STOP]
    assert found.fills[-1].price == D("110")


def quiet(**more: Any) -> Rig:
    """Return a rig whose venue says nothing: the test does."""
    found = rig(fees=(0.0, 0.002), **more)
    found.venue = False
    found.step()
    assert [place for place, _ in sent(found)] == ["HOME"]
    return found


def test_a_refused_entry_goes_to_the_next_best_venue_once() -> None:
    found = quiet()
    found.tell(OrderRejected(found.ts, found.submits[0].order_id, "maintenance"))
    second = sent(found)
    found.tell(OrderRejected(found.ts, found.submits[1].order_id, "maintenance"))

    assert second == [("HOME", "1"), ("AWAY", "1")]
    assert sent(found) == second
    assert [notice.code for notice in found.notices][-1] == "not_routed"


def test_an_entry_that_its_venue_refuses_after_it_took_it_goes_to_the_next_best_venue() -> None:
    found = quiet()
    first = found.submits[0].order_id
    found.tell(OrderAccepted(found.ts, first))
    found.tell(OrderRejected(found.ts, first, "EC_Others"))

    assert sent(found) == [("HOME", "1"), ("AWAY", "1")]


def test_what_has_filled_in_part_goes_nowhere_whatever_its_venue_says_later() -> None:
    found = quiet()
    first = found.submits[0]
    found.tell(OrderAccepted(found.ts, first.order_id))
    found.tell(OrderFilled(found.ts, fill_of(first, "0.5", "100", found.ts)))
    found.tell(OrderRejected(found.ts, first.order_id, "EC_Others"))

    assert [each.request.instrument for each in found.submits if not each.request.reduce_only] == [HOME.id]


@pytest.mark.parametrize("ends", [OrderCancelled, OrderExpired])
def test_what_its_venue_took_and_ended_goes_nowhere(ends: Any) -> None:
    found = quiet()
    first = found.submits[0].order_id
    found.tell(OrderAccepted(found.ts, first))
    found.tell(ends(found.ts, first, "by the venue"))
    found.tell(OrderRejected(found.ts, first, "said late"))

    assert len(found.submits) == 1


@pytest.mark.parametrize("was_taken", [False, True])
@pytest.mark.parametrize("proof", [OrderAbandoned, OrderRejected])
def test_an_order_of_unknown_outcome_never_goes_elsewhere(proof: Any, was_taken: bool) -> None:
    found = quiet()
    first = found.submits[0].order_id
    if was_taken:
        found.tell(OrderAccepted(found.ts, first))
    found.tell(OrderUnknown(found.ts, first, "no answer"))
    found.tell(proof(found.ts, first, "not there"))

    assert len(found.submits) == 1


def test_what_is_no_longer_wished_goes_nowhere_when_it_is_refused() -> None:
    found = quiet()
    found.control(ControlAction.FLATTEN)
    found.tell(OrderRejected(found.ts, found.submits[0].order_id, "maintenance"))

    assert len(found.submits) == 1


def test_a_slow_venue_is_passed_over_when_time_counts() -> None:
    found = rig((NAN, 1.0, 0.0, 1.0), fees=(0.0, 0.0001), routing={"latency_cost": 0.001})
    found.venue = False
    found.step()
    first = found.submits[0]
    found.tell(OrderAccepted(found.ts + 2 * SECOND_NS, first.order_id))
    found.tell(OrderFilled(found.ts, fill_of(first, "1", "100", found.ts)))
    found.step()
    leaving = found.submits[-1]
    found.tell(OrderFilled(found.ts, fill_of(leaving, "1", "100", found.ts)))
    found.step()

    assert [each.request.instrument for each in found.submits] == [HOME.id, HOME.id, AWAY.id]


def test_a_worked_entry_is_worked_at_the_venue_that_was_chosen() -> None:
    found = rig(fees=(0.002, 0.0), more={"execution": ExecutionConfig(algo="twap", duration=60, slices=4)})
    found.step()
    for second in range(1, 62):
        found.pump.market(Quote(found.ts + second * SECOND_NS, HOME.id, 99.9, 9.0, 100.1, 9.0))

    assert sent(found) == [("AWAY", "0.25")] * 4


def test_a_limit_entry_is_worded_in_the_steps_of_its_venue() -> None:
    found = rig(rows=flat(*[100.3] * 5), fees=(0.002, 0.0), more={"order_type": "limit"})
    found.step()

    assert [(each.request.type, each.request.price) for each in found.submits] == [
        (OrderType.LIMIT, D("100.5"))
    ]


def test_flatten_and_kill_reach_every_venue() -> None:
    found = rig()
    show(found, HOME.id, 100.1, 0.6, [(104.0, 10.0)])
    show(found, AWAY.id, 100.2, 0.7, [(104.0, 10.0)])
    found.step(2)
    found.control(ControlAction.KILL, flatten=True)
    found.step(2)

    assert (found.position(HOME), found.position(AWAY)) == (D(0), D(0))


def test_a_routed_run_is_not_compiled_and_says_so() -> None:
    assert "routing.routes" in str(unsupported(rig().material))


@pytest.mark.parametrize(
    ("routes", "found"),
    [
        ({HOME.id: ("ETH/USDT@AWAY",)}, "another pair"),
        ({HOME.id: ("BTC/USDT:USDT@AWAY",)}, "another pair"),
        ({HOME.id: (HOME.id,)}, "listed twice"),
        ({HOME.id: ("BTC/USDT@TOO",)}, "trades BTC/USDT@TOO itself"),
        ({HOME.id: ("btc",)}, "btc"),
    ],
)
def test_routes_that_cannot_be_are_refused(routes: dict[str, tuple[str, ...]], found: str) -> None:
    given = {
        "instruments": (HOME.id, "BTC/USDT@TOO"),
        "strategies": [{"strategy": "EmaCross"}],
        "routing": {"routes": routes},
    }

    with pytest.raises(UsageError, match=found) as caught:
        load([], given, {})
    assert caught.value.remedy


def test_sizes_come_from_the_whole_equity_of_the_strategy() -> None:
    sizing = SizingConfig(method="fixed_fraction", fraction=0.5)
    found = rig(more={"sizing": sizing}, dry_run_wallet={"HOME": 5_000.0, "AWAY": 5_000.0})
    found.step(2)

    assert sum(D(quantity) for _, quantity in sent(found)) == pytest.approx(D(50), abs=D("0.2"))
