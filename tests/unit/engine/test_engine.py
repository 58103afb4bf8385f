"""The one loop: orders from people, orders whose fate is not known, news that comes late, twice, or about others."""

import msgspec
import pytest

from abidance.model.event import (
    BalanceChanged,
    Control,
    ControlAction,
    FundingPaid,
    OrderAbandoned,
    OrderAccepted,
    OrderCancelled,
    OrderFilled,
    OrderRejected,
    OrderUnknown,
)
from abidance.model.order import Fill, OrderState, OrderType, Purpose, Side
from abidance.model.outcome import RefusalCode
from abidance.risk.config import BreakersConfig, LimitsConfig, RiskConfig
from tests.unit.engine.rig import (
    LOOSE,
    OTHER,
    PERP,
    SPOT,
    D,
    Rig,
    Scripted,
    bars_of,
    fill_of,
    flat,
    material_of,
    rig_of,
)

NAN = float("nan")
A = ControlAction


def alone(targets: list[float], bars: int = 1, **given: object) -> Rig:
    """Return a rig without a venue after the first bars of a still market."""
    rig = rig_of(Scripted(targets), flat(*[100] * 12), venue=False, **given)  # type: ignore[arg-type]
    rig.step(bars)
    return rig


# --- orders from people


def test_nothing_is_decided_before_the_start_and_after_a_stop() -> None:
    rig = rig_of(Scripted([NAN, 1, NAN, 0]), flat(*[100] * 6))
    rig.step()

    rig.control(A.STOP)
    rig.step(3)

    assert rig.fills == []
    assert rig.submits == []


def test_a_stop_takes_entries_back_and_keeps_exits() -> None:
    rig = rig_of(Scripted([1, NAN, -1], stop=5.0), flat(*[100] * 6), config={"order_type": "limit"})
    rig.step()

    rig.control(A.STOP)

    assert [type(command).__name__ for command in rig.commands] == ["Submit", "Cancel"]
    assert rig.open() == []


def test_paused_entries_are_refused_and_exits_pass() -> None:
    rig = rig_of(Scripted([1, NAN, 0, 1]), flat(*[100] * 8))
    rig.step(2)

    rig.control(A.PAUSE_ENTRIES, "one")
    rig.step(4)

    assert rig.trades[1:] == [("sell", "1.000", "100.0", "signal")]
    assert [each.code for each in rig.refusals] == [RefusalCode.ENTRIES_PAUSED]


def test_resumed_entries_wait_for_a_new_wish() -> None:
    rig = rig_of(Scripted([NAN, 1, NAN, NAN, 0, 1]), flat(*[100] * 8))
    rig.control(A.PAUSE_ENTRIES)
    rig.step(2)

    rig.control(A.RESUME_ENTRIES)
    rig.step(2)
    early = list(rig.fills)
    rig.run()

    assert early == []
    assert rig.trades == [("buy", "1.000", "100.0", "entry")]


def test_flatten_leaves_at_once_and_the_position_waits_for_a_new_wish() -> None:
    rig = rig_of(Scripted([1, NAN, NAN, 1, 0, 1]), flat(*[100] * 9))
    rig.step(2)

    outcome = rig.control(A.FLATTEN)
    rig.step(3)

    assert [command.request.purpose for command in outcome.commands] == [Purpose.FLATTEN]  # type: ignore[union-attr]
    assert rig.trades[1:] == [("sell", "1.000", "100.0", "flatten")]
    assert rig.run().trades[2:] == [("buy", "1.000", "100.0", "entry")]


def test_flatten_concerns_the_strategy_that_is_named() -> None:
    rig = rig_of({"one": Scripted([1]), "two": Scripted([1])}, flat(*[100] * 6))
    rig.step(2)

    rig.control(A.FLATTEN, "two")
    rig.step()

    assert (rig.position(), rig.position(strategy="two")) == (D(1), D(0))


def test_a_kill_halts_takes_entries_back_and_flattens_when_asked() -> None:
    rig = rig_of(Scripted([1, NAN, NAN, 0, 1]), flat(*[100] * 9))
    rig.step(2)

    rig.control(A.KILL, flatten=True)
    rig.run()

    assert rig.trades == [("buy", "1.000", "100.0", "entry"), ("sell", "1.000", "100.0", "flatten")]
    assert [each.code for each in rig.refusals] == [RefusalCode.HALTED]
    assert [each.code for each in rig.notices] == ["kill"]


def test_a_release_lets_the_next_wish_through() -> None:
    rig = rig_of(Scripted([NAN, 1, 0, 1]), flat(*[100] * 6))
    rig.control(A.KILL)
    rig.step(2)

    rig.control(A.RELEASE)
    rig.run()

    assert rig.trades == [("buy", "1.000", "100.0", "entry")]


def test_new_parameters_are_used_from_the_next_close_on() -> None:
    from abidance.strategy.library import EmaCross

    rig = rig_of(EmaCross(), flat(*range(100, 140)))
    rig.step(5)

    rig.control(A.SET_PARAMETERS, "one", fast=3, slow=6)

    assert (rig.engine.runners[0].strategy.fast, rig.engine.runners[0].strategy.slow) == (3, 6)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "values", [{"fast": 3, "nope": 1}, {"fast": 3, "slow": "six"}, {"fast": 100, "slow": 6}]
)
def test_parameters_that_do_not_fit_change_nothing_and_are_told(values: dict[str, object]) -> None:
    from abidance.strategy.library import EmaCross

    rig = rig_of(EmaCross(), flat(*range(100, 340)))
    rig.step(5)

    outcome = rig.control(A.SET_PARAMETERS, "one", **values)

    assert [notice.code for notice in outcome.notices] == ["parameters_refused"]
    assert (rig.engine.runners[0].strategy.fast, rig.engine.runners[0].strategy.slow) == (20, 50)  # type: ignore[union-attr]


@pytest.mark.parametrize("share", [None, 0, -1, 1.5, NAN, "much"])
def test_an_allocation_that_is_none_changes_nothing_and_is_told(share: object) -> None:
    rig = alone([])

    outcome = rig.control(A.SET_ALLOCATION, "one", **({} if share is None else {"allocation": share}))

    assert [notice.code for notice in outcome.notices] == ["allocation_refused"]
    assert rig.state.allocations == {"one": 1.0}


def test_a_new_allocation_sizes_the_next_entry() -> None:
    from abidance.risk.config import SizingConfig

    sizing = SizingConfig(method="fixed_fraction", fraction=0.1)
    rig = rig_of(Scripted([NAN, 1]), flat(*[100] * 4), config={"sizing": sizing})

    rig.control(A.SET_ALLOCATION, "one", allocation=0.5)
    rig.run()

    assert rig.trades == [("buy", "5.000", "100.0", "entry")]


def test_an_order_for_nobody_is_told() -> None:
    rig = alone([])

    outcome = rig.control(A.STOP, "nobody")

    assert [notice.code for notice in outcome.notices] == ["unknown_strategy"]


def test_starting_what_runs_changes_nothing() -> None:
    rig = alone([1])

    outcome = rig.tell(Control(rig.ts, A.START, actor="tester"))

    assert outcome.commands == ()


# --- wishes


def test_a_refused_entry_is_not_retried_until_there_is_a_new_wish() -> None:
    risk = RiskConfig(limits=LimitsConfig(max_order_value=50))
    rig = rig_of(Scripted([1, 1, 1, 0, 1]), flat(*[100] * 7), risk=risk).run()

    assert [each.code for each in rig.refusals] == [RefusalCode.MAX_ORDER_VALUE] * 2


def test_after_a_stop_out_only_a_new_wish_enters_again() -> None:
    rows = [*flat(100, 100), (100, 100, 90, 92), *flat(92, 92, 92, 92, 92)]

    rig = rig_of(Scripted([1, 1, 1, 1, 0, 1], stop=5.0), rows).run()

    assert [trade[3] for trade in rig.trades] == ["entry", "stop_loss", "entry"]
    assert rig.fills[2].ts == rig.fills[0].ts + 5 * 3_600_000_000_000


def test_a_reduction_under_way_does_not_keep_the_position_from_being_left() -> None:
    rows = [*flat(100, 100, 100), (100, 100, 100, 100, 0.1), *flat(100, 100, 100)]

    rig = rig_of(Scripted([NAN, 1, 0.5, 0]), rows, config={"rebalance_threshold": 0.1}).run()

    assert rig.position() == 0
    assert [trade[1] for trade in rig.trades] == ["1.000", "0.100", "0.400", "0.500"]


def test_an_exit_that_did_not_fill_is_called_back_when_the_wish_returns() -> None:
    rows = [*flat(100, 100), (100, 100, 100, 100, 0.0), *flat(100, 100, 100)]

    rig = rig_of(Scripted([1, 0, 1]), rows).run()

    assert rig.trades == [("buy", "1.000", "100.0", "entry")]
    assert rig.position() == D(1)


def test_a_wish_at_a_close_without_a_price_waits_for_one() -> None:
    rig = rig_of(Scripted([1, 1, 1]), [(NAN,) * 4, *flat(100, 100, 100)]).run()

    assert rig.trades == [("buy", "1.000", "100.0", "entry")]
    assert rig.refusals == []


def test_a_breaker_that_trips_takes_resting_entries_back() -> None:
    risk = RiskConfig(
        limits=LOOSE.limits, breakers=BreakersConfig(daily_loss=0.01, max_drawdown=None, data_anomaly=None)
    )
    tapes = {
        SPOT: bars_of(SPOT.id, flat(*[100] * 3, 80, 80)),
        OTHER: bars_of(OTHER.id, flat(50, 50, 51, 51, 51)),
    }
    resting = {"order_type": "limit"}
    strategies = {"one": Scripted([1]), "two": Scripted([NAN, 1])}
    material = material_of(
        strategies, tapes, configs={"one": {"instruments": (SPOT.id,)}, "two": {"instruments": (OTHER.id,), **resting}},
        risk=risk, dry_run_wallet=1000.0,
    )  # fmt: skip

    rig = Rig(material).run()

    assert [notice.code for notice in rig.notices] == ["daily_loss"]
    assert [order.state for order in rig.state.orders.all()] == [OrderState.FILLED, OrderState.CANCELLED]


# --- orders whose fate is not known


def test_an_unknown_order_holds_its_exposure_and_blocks_the_instrument() -> None:
    rig = alone([NAN, 1, 0, 1, NAN], bars=2)
    rig.tell(OrderUnknown(rig.ts, rig.submits[0].order_id, "timeout"))

    held = rig.state.exposure()
    rig.step(2)

    assert held == 100.0
    assert [each.code for each in rig.refusals] == [RefusalCode.UNKNOWN_ORDER_OPEN]
    assert rig.cancels != []


def test_an_abandoned_order_frees_the_instrument() -> None:
    rig = alone([NAN, 1, 0, 1, NAN], bars=2)
    rig.tell(OrderUnknown(rig.ts, rig.submits[0].order_id, "timeout"))

    rig.tell(OrderAbandoned(rig.ts, rig.submits[0].order_id, "absent everywhere"))
    rig.step(2)

    assert rig.state.exposure() == 100.0
    assert len(rig.submits) == 2


def test_an_entry_that_fills_after_the_wish_was_given_up_is_sold_again() -> None:
    rig = alone([1, 0])
    entry = rig.submits[0]
    rig.accept(entry)
    rig.step()

    rig.fill(entry, "1.000", "100")

    assert [cancel.order_id for cancel in rig.cancels] == [entry.order_id]
    exit = rig.submits[1].request
    assert (exit.side, exit.quantity, exit.type, exit.reduce_only) == (
        Side.SELL,
        D("1.000"),
        OrderType.MARKET,
        True,
    )


def test_an_entry_that_fills_after_it_was_cancelled_is_sold_again_when_nobody_wants_it() -> None:
    rig = alone([1, 0])
    entry = rig.submits[0]
    rig.accept(entry)
    rig.step()
    rig.tell(OrderCancelled(rig.ts, entry.order_id))

    rig.fill(entry, "0.400", "100")

    assert rig.submits[1].request.quantity == D("0.400")
    assert rig.notices[-1].code == "late_fill"


def test_an_entry_that_fills_while_its_time_ran_out_is_kept() -> None:
    rig = alone([1], config={"order_type": "limit", "entry_timeout": 3600})
    entry = rig.submits[0]
    rig.accept(entry)
    rig.step()

    rig.fill(entry, "1.000", "100")

    assert len(rig.cancels) == 1
    assert len(rig.submits) == 1
    assert rig.position() == D(1)


def test_an_entry_that_fills_after_a_flatten_is_sold_again() -> None:
    rig = alone([1])
    entry = rig.submits[0]
    rig.accept(entry)
    rig.control(A.FLATTEN)

    rig.fill(entry, "1.000", "100")

    assert rig.submits[1].request.reduce_only


# --- fills that are late, doubled, too much, or not ours


def test_a_fill_that_is_told_twice_is_booked_once() -> None:
    rig = alone([1])
    rig.accept(rig.submits[0])
    rig.fill(rig.submits[0], "1.000", "100", "x")

    rig.fill(rig.submits[0], "1.000", "100", "x")

    assert len(rig.fills) == 1
    assert rig.position() == D(1)
    assert rig.notices == []


def test_a_fill_id_with_another_content_is_refused_and_told() -> None:
    rig = alone([1])
    rig.accept(rig.submits[0])
    rig.fill(rig.submits[0], "0.400", "100", "x")

    rig.fill(rig.submits[0], "0.500", "100", "x")

    assert rig.position() == D("0.400")
    assert [notice.code for notice in rig.notices] == ["conflict"]


def test_too_much_filled_is_booked_and_told() -> None:
    rig = alone([1])
    rig.accept(rig.submits[0])

    rig.fill(rig.submits[0], "1.500", "100")

    assert rig.position() == D("1.500")
    assert [notice.code for notice in rig.notices] == ["overfill"]


def test_a_fill_that_contradicts_its_order_is_refused_and_told() -> None:
    rig = alone([1])
    fill = fill_of(rig.submits[0], "1.000", "100", rig.ts)

    rig.tell(
        OrderFilled(
            rig.ts, type(fill)(**{f: getattr(fill, f) for f in fill.__struct_fields__} | {"side": Side.SELL})
        )
    )

    assert rig.position() == 0
    assert [notice.code for notice in rig.notices] == ["mismatch"]


def test_life_after_a_rejection_is_told() -> None:
    rig = alone([1])
    rig.tell(OrderRejected(rig.ts, rig.submits[0].order_id, "no"))

    rig.tell(OrderAccepted(rig.ts, rig.submits[0].order_id))

    assert [notice.code for notice in rig.notices] == ["order_rejected", "contradiction"]


def test_an_orphan_fill_is_booked_once_and_told() -> None:
    rig = alone([1])
    orphan = orphan_of(rig)

    for _ in range(3):
        rig.tell(OrderFilled(rig.ts, orphan))

    assert rig.engine.fills == [orphan]
    assert rig.position(strategy="") == D(2)
    assert [notice.code for notice in rig.notices] == ["orphan"]


def test_an_orphan_fill_of_an_instrument_outside_the_run_is_told_and_passed_over() -> None:
    rig = alone([1])
    orphan = orphan_of(rig, OTHER.id)

    rig.tell(OrderFilled(rig.ts, orphan))

    assert rig.engine.fills == []
    assert [notice.code for notice in rig.notices] == ["orphan"]


def test_funding_without_a_price_is_booked_and_told_each_time() -> None:
    rig = rig_of(Scripted([1]), flat(100, 100, 100), PERP)
    rig.run()
    before = rig.state.equity()

    for ts, amount in ((rig.ts, D(-2)), (rig.ts + 1, D("-0.5")), (rig.ts + 2, D(1))):
        rig.tell(FundingPaid(ts, PERP.id, "", amount, "CREDIT"))
        rig.tell(FundingPaid(ts, PERP.id, "", amount, "CREDIT"))  # told twice, booked once

    told = [each for each in rig.notices if each.code == "funding_unpriced"]
    assert [each.level for each in told] == ["error"] * 3
    assert [each.text.split(" were")[0] for each in told] == [
        f"{amount} CREDIT of funding of {PERP.id}" for amount in ("2", "0.5", "1")
    ]
    assert ["(2 CREDIT so far)" in told[0].text, "(2.5 CREDIT so far)" in told[1].text] == [True, True]
    assert "were paid, and nothing in this run says what CREDIT is worth" in told[2].text
    assert rig.state.portfolio.balance("SIM", "CREDIT") == D("-1.5")
    assert rig.state.equity() == before
    rig.tell(FundingPaid(rig.ts + 3, PERP.id, "", D(-1), "USDT"))
    assert rig.state.equity() == before - 1
    assert len([each for each in rig.notices if each.code == "funding_unpriced"]) == 3


def test_funding_of_an_instrument_outside_the_run_is_told_and_passed_over() -> None:
    rig = alone([1])

    rig.tell(FundingPaid(rig.ts, PERP.id, "one", D(-1), "USDT"))

    assert [notice.code for notice in rig.notices] == ["orphan"]


def test_news_about_an_order_that_is_not_ours_is_told() -> None:
    rig = alone([1])

    rig.tell(OrderAccepted(rig.ts, "somebody-else"))

    assert [notice.code for notice in rig.notices] == ["orphan"]


def test_a_liquidation_is_told_as_such() -> None:
    rows = [*flat(100, 100), (100, 100, 80, 85), *flat(85)]

    rig = rig_of(Scripted([1]), rows, PERP, config={"leverage": 10}).run()

    assert [trade[3] for trade in rig.trades] == ["entry", "liquidation"]
    assert [notice.code for notice in rig.notices] == ["liquidated"]


def test_what_a_live_venue_closed_itself_is_booked_to_who_held_it_and_its_stops_are_taken_back() -> None:
    rig = alone([1])
    rig.accept(rig.submits[0])
    rig.fill(rig.submits[0], "1.000", "100")
    amounts = (D("1.000"), D(90), D(0))
    forced = Fill(
        "9", "manual-1", SPOT.id, "manual", Side.SELL, *amounts, "USDT", rig.ts, purpose=Purpose.LIQUIDATION
    )

    for _ in range(2):
        rig.tell(OrderFilled(rig.ts, forced))

    assert not rig.state.portfolio.open_positions()
    assert [each.strategy for each in rig.engine.fills] == ["one", "one"]
    assert [notice.code for notice in rig.notices] == ["liquidated"]


def test_a_deposit_is_no_profit_also_when_a_loss_came_just_before_it() -> None:
    risk = RiskConfig(
        limits=LOOSE.limits, breakers=BreakersConfig(daily_loss=0.05, max_drawdown=None, data_anomaly=None)
    )
    rig = alone([1], risk=risk, dry_run_wallet=1000.0)
    rig.accept(rig.submits[0])
    rig.fill(rig.submits[0], "1.000", "160")  # 60 of 1000 are lost at once

    rig.tell(BalanceChanged(rig.ts, "SIM", "USDT", D(1000), "deposit"))
    rig.step()

    assert [notice.code for notice in rig.notices] == ["daily_loss"]


def orphan_of(rig: Rig, instrument: str = SPOT.id):
    fill = fill_of(rig.submits[0], "2.000", "100", rig.ts, "foreign")
    changed = {"order_id": "foreign", "instrument": instrument}
    return type(fill)(**{f: getattr(fill, f) for f in fill.__struct_fields__} | changed)


@pytest.mark.parametrize(("wishes", "side"), [([0.8, 0.5], Side.SELL), ([0.3, 0.7], Side.BUY)])
def test_what_fees_left_of_a_position_is_resized_by_whole_lots(wishes: list[float], side: Side) -> None:
    rig = rig_of(Scripted(wishes), flat(100.0, 100.0, 100.0, 100.0), venue=False)
    rig.step()
    bought = rig.submits[0]
    fill = fill_of(bought, f"{bought.request.quantity:f}", "100", rig.ts)
    rig.tell(OrderFilled(rig.ts, msgspec.structs.replace(fill, fee=D("0.000015"), fee_asset=SPOT.base)))

    rig.step()

    resized = rig.submits[-1].request
    assert resized is not bought.request
    assert resized.side is side
    assert resized.quantity % SPOT.lot == 0
    assert rig.refusals == []
