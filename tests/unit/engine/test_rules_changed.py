"""A venue that changes its steps and least sizes while a run goes on: the next orders are by the new ones."""

from decimal import Decimal

from msgspec.structs import replace

from abidance.model.command import Submit
from abidance.model.event import RulesChanged
from abidance.model.order import OrderType
from abidance.model.outcome import RefusalCode
from abidance.risk.config import SizingConfig
from tests.unit.engine.rig import SPOT, D, ExitsConfig, Rig, Scripted, flat, rig_of


def demanded(
    rig: Rig, tick: str = "0.1", lot: str = "0.001", least: str = "0.001", value: str = "1", stops: int = 0
) -> None:
    rig.tell(RulesChanged(rig.ts, SPOT.id, D(tick), D(lot), D(least), D(value), max_stops=stops))


def quantities(rig: Rig) -> list[Decimal]:
    return [each.request.quantity for each in rig.commands if isinstance(each, Submit)]


def test_orders_are_by_the_new_lot_from_then_on() -> None:
    sizing = SizingConfig(method="fixed_quantity", quantity=1.3)
    rig = rig_of(Scripted([1, 0, 1]), flat(*[100] * 6), config={"sizing": sizing})
    rig.step(2)

    demanded(rig, lot="0.5")
    rig.run()

    assert quantities(rig)[0] == D("1.3")
    assert quantities(rig)[-1] == D("1.0")
    (notice,) = [each for each in rig.notices if each.code == "rules_changed"]
    assert notice.text == "BTC/USDT@SIM: lot 0.5 (was 0.001)."


def test_stops_are_on_the_new_grid_of_prices_from_then_on() -> None:
    rig = rig_of(Scripted([1]), flat(*[103] * 4), config={"exits": ExitsConfig(stop_loss=0.02)})

    demanded(rig, tick="5")
    rig.run()

    stops = [e.request for e in rig.commands if isinstance(e, Submit) and e.request.type is OrderType.STOP]
    assert [each.trigger for each in stops] == [D(100)]


def test_a_least_value_that_rose_refuses_here_what_the_venue_would_refuse() -> None:
    rig = rig_of(Scripted([1]), flat(100, 100, 100))

    demanded(rig, value="1000")
    rig.run()

    assert [each.code for each in rig.refusals] == [RefusalCode.MIN_NOTIONAL]


def test_rules_that_are_told_again_and_those_of_strangers_change_nothing() -> None:
    rig = rig_of(Scripted([1]), flat(100, 100, 100))

    demanded(rig)
    rig.tell(RulesChanged(rig.ts, "ETH/USDT@SIM", D(1), D(1), D(1), D(1)))

    assert rig.state.instruments == {SPOT.id: SPOT}
    assert not [each for each in rig.notices if each.code == "rules_changed"]


def test_an_instrument_that_is_traded_no_longer_is_left_and_not_entered() -> None:
    rig = rig_of(Scripted([1, 0, 1, 1]), flat(*[100] * 8))
    rig.step(2)

    for is_listed in (False, False):
        event = RulesChanged(rig.ts, SPOT.id, SPOT.tick, SPOT.lot, SPOT.min_quantity, SPOT.min_notional)
        rig.tell(replace(event, is_listed=is_listed))
    rig.run()

    orders = [each.request for each in rig.commands if isinstance(each, Submit)]
    assert [each.reduce_only for each in orders] == [False, True]
    assert {each.code for each in rig.refusals} == {RefusalCode.NOT_LISTED}
    (notice,) = [each for each in rig.notices if each.code == "not_listed"]
    assert notice.text.startswith("BTC/USDT is no longer traded at SIM since ")
    assert all(each.reason == notice.text for each in rig.refusals)


def test_an_instrument_that_is_traded_again_is_entered_again() -> None:
    rig = rig_of(Scripted([0, 1, 1]), flat(*[100] * 6))
    event = RulesChanged(rig.ts, SPOT.id, SPOT.tick, SPOT.lot, SPOT.min_quantity, SPOT.min_notional)

    rig.tell(replace(event, is_listed=False))
    rig.tell(event)
    rig.run()

    assert [each.code for each in rig.notices if "listed" in each.code] == ["not_listed", "listed_again"]
    assert len(quantities(rig)) == 1


def test_an_entry_whose_stop_the_venue_has_no_room_for_is_refused_until_a_position_there_has_closed() -> None:
    aims = {"a": [1, 1, 0], "b": [0, 1], "c": [0, 0, 1, 0, 0, 1]}
    sizing = SizingConfig(method="fixed_quantity", quantity=1)
    rig = rig_of(
        {name: Scripted(aim) for name, aim in aims.items()},
        flat(*[100] * 8),
        config={"sizing": sizing, "exits": ExitsConfig(stop_loss=0.02)},
    )
    demanded(rig, stops=2)

    rig.run()

    assert [(each.code, each.request.strategy) for each in rig.refusals] == [(RefusalCode.OPEN_ORDERS, "c")]
    assert rig.refusals[0].reason == (
        "With it and its stop 3 orders with a trigger would stand in BTC/USDT@SIM, those of other positions included, "
        "and the venue takes 2: the stop would be refused."
    )
    assert [each.text for each in rig.notices if each.code == "rules_changed"] == [
        "BTC/USDT@SIM: orders with a trigger 2 (was not known)."
    ]
    held = {each.strategy for each in rig.state.portfolio.open_positions()}
    assert held == {"b", "c"}  # which entered once `a` had left
