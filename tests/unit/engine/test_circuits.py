"""Circuits in a whole core: what an open one stops, what passes, what people are told, where entries go instead."""

import pytest

from abidance.model.event import CircuitMoved, CircuitState, ControlAction, Part, VenueStatus
from abidance.model.order import OrderType, Side
from abidance.model.outcome import RefusalCode
from abidance.strategy.config import ExitsConfig
from tests.unit.engine.rig import OTHER, SPOT, D, Rig, Scripted, bars_of, flat, material_of, rig_of
from tests.unit.engine.test_routing import AWAY, HOME, sent
from tests.unit.engine.test_routing import rig as routed

GUARDED = {"exits": ExitsConfig(stop_loss=0.05)}
OPEN, HALF_OPEN, CLOSED = CircuitState.OPEN, CircuitState.HALF_OPEN, CircuitState.CLOSED


def moved(rig: Rig, state: CircuitState, part: Part = Part.REQUESTS, venue: str = "SIM") -> None:
    rig.tell(CircuitMoved(rig.ts, venue, part, state, f"It is {state}."))


@pytest.mark.parametrize("state", [OPEN, HALF_OPEN])
@pytest.mark.parametrize("venue", ["SIM", ""])
def test_no_entry_passes_a_circuit_that_is_not_closed(state: CircuitState, venue: str) -> None:
    rig = rig_of(Scripted([1]), flat(100, 100, 100))

    moved(rig, state, venue=venue)
    rig.run()

    assert [each.code for each in rig.refusals] == [RefusalCode.CIRCUIT_OPEN]
    assert rig.refusals[0].reason == f"Only exits at {venue or 'every venue'}: It is {state}."
    assert rig.trades == []


def test_a_circuit_of_another_venue_or_a_closed_one_stops_nothing() -> None:
    rig = rig_of(Scripted([1]), flat(100, 100, 100))

    moved(rig, OPEN, venue="ELSEWHERE")
    moved(rig, OPEN)
    moved(rig, HALF_OPEN)
    moved(rig, CLOSED)
    rig.run()

    assert [trade[0] for trade in rig.trades] == ["buy"]


def test_an_exit_and_its_stop_pass_an_open_circuit() -> None:
    rig = rig_of(Scripted([1, 1, 0]), flat(*[100] * 6), config=GUARDED)
    rig.step(2)
    stops = [each for each in rig.submits if each.request.type is OrderType.STOP]

    moved(rig, OPEN)
    rig.run()

    assert len(stops) == 1
    assert [trade[0] for trade in rig.trades] == ["buy", "sell"]
    assert rig.position() == 0


def test_the_rest_of_an_entry_that_fills_while_a_circuit_is_open_gets_its_stop() -> None:
    rig = rig_of(Scripted([1]), flat(*[100] * 6), config=GUARDED, venue=False)
    rig.step(2)
    entry = rig.submits[0]
    rig.accept(entry)

    moved(rig, OPEN)
    rig.fill(entry, "0.4", "100")

    assert [each.order_id for each in rig.cancels] == [entry.order_id]
    stop = rig.submits[-1].request
    assert (stop.type, stop.side, stop.quantity) == (OrderType.STOP, Side.SELL, D("0.4"))


def test_entries_that_rest_are_taken_back_where_the_circuit_opens_and_nowhere_else() -> None:
    material = material_of(
        {"one": Scripted([1]), "two": Scripted([1])},
        {SPOT: bars_of(SPOT.id, flat(*[100] * 4)), AWAY: bars_of(AWAY.id, flat(*[100] * 4))},
        configs={"one": {"instruments": (SPOT.id,)}, "two": {"instruments": (AWAY.id,)}},
    )
    rig = Rig(material, venue=False)
    rig.step(2)
    for each in rig.submits:
        rig.accept(each)
    at = {each.request.instrument: each.order_id for each in rig.submits}

    moved(rig, OPEN)

    assert sorted(at) == sorted([SPOT.id, AWAY.id])
    assert [each.order_id for each in rig.cancels] == [at[SPOT.id]]


def test_orders_are_tried_with_one_entry_at_a_time() -> None:
    material = material_of(
        {"one": Scripted([1]), "two": Scripted([1])},
        {SPOT: bars_of(SPOT.id, flat(*[100] * 4)), OTHER: bars_of(OTHER.id, flat(*[100] * 4))},
        configs={"one": {"instruments": (SPOT.id,)}, "two": {"instruments": (OTHER.id,)}},
    )
    rig = Rig(material, venue=False)

    moved(rig, HALF_OPEN, Part.ORDERS)
    rig.step(2)

    assert len(rig.submits) == 1
    assert [each.code for each in rig.refusals] == [RefusalCode.CIRCUIT_OPEN]
    assert rig.refusals[0].reason.startswith("Only one entry at a time at SIM")


def test_people_are_told_once_however_often_a_circuit_is_tried_in_vain() -> None:
    rig = rig_of(Scripted([]), flat(*[100] * 4))

    for _ in range(3):
        moved(rig, OPEN)
        moved(rig, HALF_OPEN)
    moved(rig, CLOSED)
    rig.run()

    assert [each.code for each in rig.notices] == ["circuit_open", "circuit_closed"]
    assert [each.level for each in rig.notices] == ["warning", "info"]


def test_each_turn_of_a_doubt_is_no_news_while_a_circuit_is_open_and_what_is_left_is_told_after() -> None:
    rig = rig_of(Scripted([]), flat(*[100] * 4))

    moved(rig, OPEN)
    for _ in range(3):
        rig.tell(VenueStatus(rig.ts, "SIM", ("The stream is down.",)))
        rig.tell(VenueStatus(rig.ts, "SIM"))
    rig.tell(VenueStatus(rig.ts, "SIM", ("Balances differ.",)))
    moved(rig, HALF_OPEN)
    moved(rig, CLOSED)
    rig.run()

    assert [each.code for each in rig.notices] == ["circuit_open", "circuit_closed", "venue_not_trusted"]
    assert rig.notices[-1].text == "Only exits at SIM: Balances differ."


def test_an_entry_goes_to_the_venue_whose_circuit_is_closed() -> None:
    found = routed(fees=(0.0, 0.002))

    moved(found, OPEN, venue="HOME")
    found.step()

    assert sent(found) == [("AWAY", "1")]
    assert found.refusals == []


def test_when_circuits_of_all_venues_are_open_the_home_says_why() -> None:
    found = routed()

    moved(found, OPEN, venue="HOME")
    moved(found, OPEN, Part.LATENCY, venue="AWAY")
    found.step()

    assert [(each.code, each.request.instrument) for each in found.refusals] == [
        (RefusalCode.CIRCUIT_OPEN, HOME.id)
    ]


def test_a_reset_tells_who_wants_it_and_what() -> None:
    rig = rig_of(Scripted([]), flat(*[100] * 4))

    rig.control(ControlAction.RESET_CIRCUITS)
    moved(rig, OPEN)
    moved(rig, OPEN, Part.DISK, venue="")
    rig.control(ControlAction.RESET_CIRCUITS, venue="SIM")

    told = [each.text for each in rig.notices if each.code == "circuits_reset"]
    assert told[0] == "No such circuit is open."
    assert told[1].endswith("resets requests of SIM.")
