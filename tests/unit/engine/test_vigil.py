"""How long a position may stand without its stop, through the whole core, and what is done when that lasts."""

from collections.abc import Sequence
from decimal import Decimal

import pytest
from msgspec.structs import replace

from abidance.engine.pump import Pump
from abidance.engine.vigil import NEVER, VIGIL, Bareness, read_bare
from abidance.model.event import (
    ChangeRejected,
    ControlAction,
    OrderAbandoned,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderUnknown,
    Timer,
    VenueStatus,
)
from abidance.model.instrument import SECOND_NS
from abidance.model.market import Bar
from abidance.model.order import Fill, OrderRequest, OrderType, Purpose, Side
from abidance.risk.breaker import DAY_NS
from abidance.strategy.base import EventStrategy, View
from tests.unit.engine.rig import SPOT, D, Rig, Row, Scripted, fill_of, flat, rig_of

PLACE = ("one", SPOT.id)
PATIENCE = 5 * SECOND_NS
Ending = OrderCancelled | OrderExpired
ENDINGS = (OrderCancelled, OrderExpired)


def bought(
    *parts: str, patience: float | None = 5.0, tape: Sequence[Row] = tuple(flat(100, 100, 100))
) -> Rig:
    """Return a rig without a venue whose entry of 1 filled in these parts; nothing was said of its stop."""
    rig = rig_of(Scripted([1], stop=5.0), tape, venue=False)
    rig.engine.vigil.be_patient(patience)
    rig.step()
    rig.accept(rig.submits[0])
    for number, part in enumerate(parts):
        rig.fill(rig.submits[0], part, "100", f"part {number}")
    return rig


def look(rig: Rig) -> None:
    """Let the engine's own timer fire, as the pump does."""
    rig.ts = rig.engine.vigil.due
    rig.tell(Timer(rig.ts, VIGIL))


def exits(rig: Rig) -> list[tuple[Decimal, Purpose]]:
    """Return what was sent to leave at market."""
    return [
        (each.request.quantity, each.request.purpose)
        for each in rig.submits
        if each.request.reduce_only and each.request.type is OrderType.MARKET
    ]


def stops(rig: Rig) -> list[tuple[Decimal, Decimal | None]]:
    """Return how much was to be protected, and at which price."""
    sent = [each.request for each in rig.submits if each.request.type is OrderType.STOP]
    return [(each.quantity, each.trigger) for each in sent]


def alarms(rig: Rig) -> list[str]:
    return [notice.text for notice in rig.notices if notice.code == "unprotected"]


def test_a_position_whose_stop_nobody_confirms_is_left_at_market_after_five_seconds_with_an_alarm() -> None:
    rig = bought("1.000")
    filled_at = rig.ts

    due = rig.engine.vigil.due
    look(rig)

    assert due == filled_at + PATIENCE
    assert exits(rig) == [(D("1.000"), Purpose.STOP_LOSS)]
    assert alarms(rig) == ["1.000 of BTC/USDT@SIM has had no stop for 5 s: it is left at market."]


@pytest.mark.parametrize("seconds", [0.0, 0.25, 4.999])
def test_the_time_from_the_fill_to_the_acknowledged_stop_is_measured(seconds: float) -> None:
    rig = bought("1.000")

    rig.ts += round(seconds * SECOND_NS)
    rig.accept(rig.submits[1])

    lasted = round(seconds * SECOND_NS)
    assert rig.engine.vigil.past == {PLACE: Bareness(1, lasted, lasted)}
    assert rig.engine.vigil.bare() == {}
    told = [notice for notice in rig.notices if notice.code == "protected"]
    assert [each.text for each in told] == (
        [f"{SPOT.id} was without its whole stop for {seconds:.3f} s."] if seconds else []
    )
    assert [read_bare(each) for each in told] == ([(PLACE, lasted)] if seconds else [])
    assert not any(read_bare(each) for each in rig.notices if each not in told)


def test_a_late_timer_of_a_stop_that_stands_does_nothing() -> None:
    rig = bought("1.000")
    due = rig.engine.vigil.due
    rig.accept(rig.submits[1])

    rig.tell(Timer(due, VIGIL))

    assert exits(rig) == []
    assert alarms(rig) == []


def test_only_the_part_that_no_stop_covers_is_left_and_that_stop_is_not_taken_back() -> None:
    rig = bought("0.3")
    stop = rig.submits[1]
    rig.accept(stop)
    rig.fill(rig.submits[0], "0.7", "100", "rest")
    rig.tell(ChangeRejected(rig.ts, stop.order_id, "no"))

    look(rig)

    assert exits(rig) == [(D("0.7"), Purpose.STOP_LOSS)]
    assert rig.cancels == []


def test_what_is_covered_step_by_step_gets_five_seconds_for_each_step() -> None:
    rig = bought("0.3")
    stop = rig.submits[1]
    rig.ts += 4 * SECOND_NS
    rig.fill(rig.submits[0], "0.7", "100", "rest")
    rig.accept(stop)
    first = rig.engine.vigil.due

    rig.ts += 4 * SECOND_NS
    rig.tell(OrderAmended(rig.ts, stop.order_id, D("1.0"), None, D("95.0")))

    assert first == rig.ts + SECOND_NS
    assert rig.engine.vigil.past == {PLACE: Bareness(1, 8 * SECOND_NS, 8 * SECOND_NS)}


def test_a_stop_of_unknown_outcome_protects_nothing() -> None:
    rig = bought("1.000")
    rig.tell(OrderUnknown(rig.ts, rig.submits[1].order_id, "timeout"))

    look(rig)

    assert exits(rig) == [(D("1.000"), Purpose.STOP_LOSS)]


def test_a_stop_that_stood_and_is_doubted_counts_until_it_is_proven_to_be_gone() -> None:
    rig = bought("1.000")
    stop = rig.submits[1].order_id
    rig.accept(rig.submits[1])

    rig.tell(OrderUnknown(rig.ts, stop, "the program was not running"))
    doubted = rig.engine.vigil.bare()
    rig.tell(OrderCancelled(rig.ts, stop, "somebody did"))

    assert doubted == {}
    assert rig.engine.vigil.bare() == {PLACE: rig.ts}
    assert stops(rig) == [(D("1.000"), D("95.0"))] * 2


@pytest.mark.parametrize("news", ENDINGS)
def test_a_stop_that_the_venue_ends_is_set_anew_at_once(news: type[Ending]) -> None:
    rig = bought("1.000")
    rig.accept(rig.submits[1])

    rig.tell(news(rig.ts, rig.submits[1].order_id, "of its own will"))
    bare = rig.engine.vigil.bare()
    rig.ts += SECOND_NS // 4
    rig.accept(rig.submits[-1])

    assert stops(rig) == [(D("1.000"), D("95.0"))] * 2
    assert bare == {PLACE: rig.ts - SECOND_NS // 4}
    assert rig.engine.vigil.bare() == {}
    assert exits(rig) == []
    gone = "The venue ended the stop of BTC/USDT@SIM (of its own will): a new one is set."
    assert [notice.text for notice in rig.notices if notice.code == "stop_gone"] == [gone]


@pytest.mark.parametrize("news", ENDINGS)
def test_a_new_stop_that_nobody_confirms_is_not_waited_for_longer_than_the_first(news: type[Ending]) -> None:
    rig = bought("1.000")
    rig.accept(rig.submits[1])
    rig.tell(news(rig.ts, rig.submits[1].order_id))
    gone_at = rig.ts

    look(rig)

    assert rig.ts == gone_at + PATIENCE
    assert exits(rig) == [(D("1.000"), Purpose.STOP_LOSS)]
    assert len(alarms(rig)) == 1


def test_a_new_stop_that_the_venue_refuses_is_left_at_market_at_once() -> None:
    rig = bought("1.000")
    rig.accept(rig.submits[1])
    rig.tell(OrderExpired(rig.ts, rig.submits[1].order_id))

    rig.tell(OrderRejected(rig.ts, rig.submits[-1].order_id, "it would trigger at once"))

    assert exits(rig) == [(D("1.000"), Purpose.STOP_LOSS)]


@pytest.mark.parametrize(("seconds", "is_left"), [(59, True), (60, False)])
def test_a_stop_that_the_venue_ends_again_and_again_is_not_set_anew_for_ever(
    seconds: int, is_left: bool
) -> None:
    rig = bought("1.000")
    rig.accept(rig.submits[1])
    rig.tell(OrderExpired(rig.ts, rig.submits[1].order_id))
    rig.accept(rig.submits[-1])

    rig.ts += seconds * SECOND_NS
    rig.tell(OrderExpired(rig.ts, rig.submits[-1].order_id))

    assert exits(rig) == ([(D("1.000"), Purpose.STOP_LOSS)] if is_left else [])
    assert len(stops(rig)) == (2 if is_left else 3)


def test_a_stop_that_ends_once_the_market_has_passed_it_is_left_at_market() -> None:
    rig = bought("1.000", tape=flat(100, 94, 94))
    rig.accept(rig.submits[1])
    rig.step()

    rig.tell(OrderExpired(rig.ts, rig.submits[1].order_id, "nobody took it"))

    assert exits(rig) == [(D("1.000"), Purpose.STOP_LOSS)]
    assert len(stops(rig)) == 1


def test_what_is_left_of_a_stop_that_ended_after_a_part_is_left_at_market() -> None:
    rig = bought("1.000")
    rig.accept(rig.submits[1])
    rig.fill(rig.submits[1], "0.4", "95", "part")

    rig.tell(OrderExpired(rig.ts, rig.submits[1].order_id))

    assert exits(rig) == [(D("0.600"), Purpose.STOP_LOSS)]


def test_a_stop_that_ends_while_its_position_is_being_left_is_not_missed() -> None:
    rig = bought("1.000")
    rig.accept(rig.submits[1])
    rig.control(ControlAction.FLATTEN)
    leaving = exits(rig)

    rig.tell(OrderExpired(rig.ts, rig.submits[1].order_id))

    assert exits(rig) == leaving == [(D("1.000"), Purpose.FLATTEN)]
    assert len(stops(rig)) == 1


class Timed(EventStrategy):
    """Buys, and words a stop of its own that is to stand for a minute."""

    timeframe = "1h"

    def on_bar(self, bar: Bar, view: View) -> list[OrderRequest]:
        if view.position(bar.instrument).quantity or tuple(view.orders()):
            return []
        return [OrderRequest(self.name, bar.instrument, Side.BUY, D(1))]

    def on_fill(self, fill: Fill, view: View) -> list[OrderRequest]:
        if fill.side is Side.SELL:
            return []
        stop = OrderRequest(self.name, fill.instrument, Side.SELL, D(1), OrderType.STOP, trigger=D(95))
        return [replace(stop, reduce_only=True, purpose=Purpose.STOP_LOSS, expire_after=60)]


@pytest.mark.parametrize("news", ENDINGS)
def test_a_stop_that_a_strategy_gave_a_time_may_end_by_it(news: type[Ending]) -> None:
    rig = rig_of({"one": Timed()}, flat(100, 100, 100), venue=False)
    rig.step()
    rig.fill(rig.submits[0], "1", "100", "all")
    rig.accept(rig.submits[1])

    rig.tell(news(rig.ts, rig.submits[1].order_id, "its time ran out"))

    assert stops(rig) == [(D(1), D(95))]
    assert exits(rig) == []


def test_an_exit_that_is_under_way_is_not_sent_twice() -> None:
    rig = bought("1.000")
    rig.tell(OrderRejected(rig.ts, rig.submits[1].order_id, "no stops today"))

    look(rig)

    assert exits(rig) == [(D("1.000"), Purpose.STOP_LOSS)]
    assert len(alarms(rig)) == 1


def test_an_exit_that_comes_to_nothing_is_tried_on_more_slowly_until_the_position_is_covered_or_gone() -> (
    None
):
    rig, waits = bought("1.000"), []

    for _ in range(6):
        look(rig)
        rig.tell(OrderRejected(rig.ts, rig.submits[-1].order_id, "not sent: no connection"))
        waits.append(rig.engine.vigil.due - rig.ts)
    look(rig)
    rig.fill(rig.submits[-1], "1.000", "99", "exit")

    assert waits == [PATIENCE] * 2 + [2 * PATIENCE] * 4
    assert len(exits(rig)) == len(alarms(rig)) == 7
    assert rig.engine.vigil.due == 2**63 - 1


def test_what_is_too_little_to_be_sold_waits_for_the_next_bar_after_three_tries() -> None:
    rig = bought("0.009")

    for _ in range(3):
        look(rig)

    assert exits(rig) == []
    assert rig.engine.vigil.bare() != {}
    assert rig.engine.vigil.due == 2**63 - 1


def test_an_exit_of_unknown_outcome_is_waited_for_and_followed_at_once_when_it_is_proven_absent() -> None:
    rig = bought("1.000")
    rig.accept(rig.submits[1])
    rig.tell(OrderCancelled(rig.ts, rig.submits[1].order_id))
    anew = rig.submits[2].order_id
    rig.tell(OrderUnknown(rig.ts, anew, "no answer"))
    look(rig)
    leaves = rig.submits[-1].order_id
    rig.tell(OrderUnknown(rig.ts, leaves, "no answer"))

    dues = []
    for _ in range(4):
        dues.append(rig.engine.vigil.due - rig.ts)
        look(rig)
    waited = exits(rig)
    rig.tell(OrderAbandoned(rig.ts, anew, "absent"))
    rig.tell(OrderAbandoned(rig.ts, leaves, "absent"))
    dues.append(rig.engine.vigil.due - rig.ts)
    look(rig)

    assert dues == [PATIENCE] * 4 + [0]
    assert waited == [(D("1.000"), Purpose.STOP_LOSS)]
    assert exits(rig) == waited * 2


def test_a_position_that_is_gone_is_not_watched_any_more() -> None:
    rig = bought("1.000")
    look(rig)

    rig.fill(rig.submits[-1], "1.000", "99", "exit")

    assert rig.engine.vigil.bare() == {}
    assert rig.engine.vigil.due == 2**63 - 1


def test_the_patience_is_a_choice_and_none_only_measures() -> None:
    short, none = bought("1.000", patience=1.5), bought("1.000", patience=None)

    assert short.engine.vigil.due == short.ts + 1.5 * SECOND_NS
    assert none.engine.vigil.due == 2**63 - 1
    assert none.engine.vigil.bare() == {PLACE: none.ts}


def test_a_plan_without_a_stop_is_not_watched() -> None:
    without = rig_of(Scripted([1], take_profit=5.0), flat(100, 100), venue=False)
    without.step()
    without.fill(without.submits[0], "1.000", "100", "a")

    assert without.engine.vigil.bare() == {}


@pytest.mark.parametrize("is_cut", [False, True])
def test_an_entry_that_comes_to_less_than_a_lot_is_told_once_and_raises_no_alarm(is_cut: bool) -> None:
    rig = bought()
    entry = rig.submits[0]
    quantity = "0.001" if is_cut else "1.000"
    paid = replace(fill_of(entry, quantity, "100", rig.ts), fee=D(quantity) - D("0.000999"), fee_asset="BTC")

    rig.tell(OrderFilled(rig.ts, paid))
    if is_cut:
        rig.tell(OrderCancelled(rig.ts, entry.order_id))
    rig.step(2)

    told = [notice.text for notice in rig.notices if notice.code == "crumb"]
    assert told == [
        "0.000999 of BTC/USDT@SIM is less than can be sold (0.001): it has no stop, and is no position."
    ]
    assert rig.position() == D("0.000999")
    assert (stops(rig), exits(rig), alarms(rig)) == ([], [], [])
    assert rig.engine.vigil.bare() == {}


def test_what_an_exit_leaves_of_less_than_a_lot_is_nothing_to_tell() -> None:
    rig = bought()
    entry = rig.submits[0]
    rig.tell(
        OrderFilled(rig.ts, replace(fill_of(entry, "1.000", "100", rig.ts), fee=D("0.0005"), fee_asset="BTC"))
    )
    stop = next(each for each in rig.submits if each.request.type is OrderType.STOP)
    rig.accept(stop)

    rig.fill(stop, "0.999", "95")

    assert rig.position() == 0
    assert not [notice for notice in rig.notices if notice.code == "crumb"]


def test_the_pump_fires_the_timer_in_a_quiet_market_and_records_it() -> None:
    rig = bought("1.000")
    seen: list[object] = []
    pump = Pump(rig.engine, rig.core.venue, observe=lambda outcome: seen.append(outcome.event))
    due = rig.engine.vigil.due

    pump.wake(due - 1)
    before = list(seen)
    pump.wake(due + 10 * SECOND_NS)

    assert before == []
    assert seen[0] == Timer(due, VIGIL)


def test_a_simulated_venue_leaves_no_time_without_a_stop() -> None:
    rig = rig_of(Scripted([1, float("nan"), 0, 1], stop=5.0), flat(*[100] * 8)).run()

    assert rig.engine.vigil.past == {PLACE: Bareness(2, 0, 0)}
    assert alarms(rig) == []


def test_a_kill_of_all_takes_stops_back_leaves_nothing_at_market_and_a_release_restores_them() -> None:
    rig = bought("1.000")
    stop = rig.submits[1]
    rig.accept(stop)

    rig.control(ControlAction.KILL, extent="all")
    rig.tell(OrderCancelled(rig.ts, stop.order_id, "killed"))
    taken_back = [each.order_id for each in rig.cancels]
    left = (exits(rig), rig.engine.vigil.bare())
    rig.control(ControlAction.RELEASE)

    assert taken_back == [stop.order_id]
    assert left == ([], {})
    assert rig.submits[-1].request.type is OrderType.STOP
    assert rig.engine.vigil.bare() == {PLACE: rig.ts}


def test_replies_that_come_twice_or_for_others_change_no_measure() -> None:
    rig = bought("1.000")
    stop = rig.submits[1]
    rig.ts += SECOND_NS
    rig.accept(stop)

    rig.tell(OrderAccepted(rig.ts, stop.order_id))
    rig.tell(OrderAccepted(rig.ts, "of nobody"))
    rig.tell(OrderFilled(rig.ts, fill_of(rig.submits[0], "1.000", "100", rig.ts, "part 0")))

    assert rig.engine.vigil.past == {PLACE: Bareness(1, SECOND_NS, SECOND_NS)}


def test_another_patience_holds_for_what_stands_bare_now() -> None:
    tight, loose, off = (bought("1.000", patience=each) for each in (60.0, 5.0, 5.0))

    tight.control(ControlAction.SET_BREAKERS, unprotected=2.0)
    loose.control(ControlAction.SET_BREAKERS, unprotected=60.0)
    off.control(ControlAction.SET_BREAKERS, unprotected="off")

    dues = [each.engine.vigil.due - each.ts for each in (tight, loose)]
    assert dues == [2 * SECOND_NS, 60 * SECOND_NS]
    assert off.engine.vigil.due > DAY_NS * 365 * 200


def test_a_watch_that_only_measures_is_not_made_to_act_by_a_changed_breaker() -> None:
    rig = rig_of(Scripted([1], stop=5.0), flat(100, 100, 100), venue=False)
    rig.step()
    rig.accept(rig.submits[0])
    rig.fill(rig.submits[0], "1.000", "100", "part")

    rig.control(ControlAction.SET_BREAKERS, unprotected=1.0)

    assert rig.engine.vigil.due > DAY_NS * 365 * 200


def test_a_start_from_a_checkpoint_leaves_the_patience_that_was_given_while_running() -> None:
    rig = bought("1.000", patience=60.0)
    rig.control(ControlAction.SET_BREAKERS, unprotected=2.0)
    due = rig.engine.vigil.due

    rig.engine.vigil.be_patient(60.0)
    rig.engine.vigil.note(*PLACE)

    assert rig.engine.vigil.due == due


def held(*, is_away: bool = False, patience: float | None = 5.0) -> Rig:
    """Return a rig whose stop is held by us and was just found to be blind."""
    rig = bought("1.000", patience=patience)
    rig.accept(rig.submits[1])
    rig.ts += SECOND_NS
    see(rig, rig.submits[1].order_id, is_away=is_away)
    return rig


def see(rig: Rig, *blind: str, is_away: bool = False) -> None:
    """Tell which stops nobody can trigger."""
    reasons = ("No price is known.",) if blind else ()
    rig.tell(VenueStatus(rig.ts, "SIM", reasons, blind, is_away))


def test_a_stop_that_nobody_can_trigger_is_none_and_what_it_should_protect_is_left() -> None:
    rig = held()
    since = rig.ts

    due = rig.engine.vigil.due
    look(rig)

    assert due == since + PATIENCE
    assert exits(rig) == [(D("1.000"), Purpose.STOP_LOSS)]
    assert alarms(rig) == [
        "1.000 of BTC/USDT@SIM has had no stop that could trigger for 5 s: it is left at market."
    ]


def test_a_stop_that_can_trigger_again_covers_its_position_and_the_time_is_measured() -> None:
    rig = held()

    rig.ts += 4 * SECOND_NS
    see(rig)

    assert rig.engine.vigil.due > rig.ts + DAY_NS
    assert rig.engine.vigil.past[PLACE] == Bareness(2, 4 * SECOND_NS, 4 * SECOND_NS)
    assert exits(rig) == []
    assert alarms(rig) == []


def test_while_the_venue_answers_nothing_people_are_told_once_and_nothing_is_sent() -> None:
    rig = held(is_away=True)

    look(rig)

    assert exits(rig) == []
    (text,) = alarms(rig)
    assert "its venue answers nothing" in text
    assert rig.engine.vigil.due > rig.ts + DAY_NS
    assert list(rig.engine.vigil.bare()) == [PLACE]


def test_a_venue_that_answers_again_and_tells_no_price_is_given_the_patience_anew() -> None:
    rig = held(is_away=True)
    look(rig)

    since = rig.ts = rig.ts + 60 * SECOND_NS
    see(rig, rig.submits[1].order_id)
    due = rig.engine.vigil.due
    look(rig)

    assert due == since + PATIENCE
    assert exits(rig) == [(D("1.000"), Purpose.STOP_LOSS)]


def test_a_venue_that_answers_now_and_then_puts_an_exit_off_for_one_patience_alone() -> None:
    rig = held(is_away=True)
    stop = rig.submits[1].order_id
    look(rig)
    rig.ts += SECOND_NS
    see(rig, stop)

    rig.ts = rig.engine.vigil.due
    see(rig, stop, is_away=True)
    look(rig)
    in_the_dark = exits(rig)
    back_at = rig.ts = rig.ts + SECOND_NS
    see(rig, stop)
    due = rig.engine.vigil.due
    look(rig)

    assert in_the_dark == []
    assert due == back_at
    assert exits(rig) == [(D("1.000"), Purpose.STOP_LOSS)]


def test_a_stop_that_is_blind_stops_no_stop_of_another_position() -> None:
    rig = bought("1.000")
    rig.accept(rig.submits[1])

    see(rig, "0" * 32)

    assert rig.engine.vigil.bare() == {}
    assert rig.engine.vigil.due > rig.ts + DAY_NS


def test_without_a_patience_blindness_is_measured_and_nothing_else() -> None:
    rig = held(patience=None)

    assert list(rig.engine.vigil.bare()) == [PLACE]
    assert rig.engine.vigil.due > rig.ts + DAY_NS


def outlasting(targets: Sequence[float] = (1, 0)) -> tuple[Rig, str]:
    """Return a rig that has left what it held, and the id of the stop that could not be taken back."""
    rig = rig_of(Scripted(targets, stop=5.0), tuple(flat(100, 100, 100, 100)), venue=False)
    rig.engine.vigil.be_patient(5.0)
    rig.step()
    entry = rig.submits[0]
    rig.accept(entry)
    rig.fill(entry, str(entry.request.quantity), "100", "entry")
    stop = rig.submits[1]
    rig.accept(stop)
    rig.step()
    leave = rig.submits[2]
    rig.accept(leave)
    rig.fill(leave, str(leave.request.quantity), "100", "exit")
    assert rig.position() == 0
    assert [each.order_id for each in rig.cancels] == [stop.order_id]
    rig.tell(ChangeRejected(rig.ts, stop.order_id, "not confirmed"))
    return rig, stop.order_id


def test_a_stop_that_could_not_be_taken_back_is_taken_back_again_until_it_is_gone() -> None:
    rig, stop = outlasting()

    for times in (2, 3):
        assert rig.engine.vigil.due == rig.ts + PATIENCE
        look(rig)
        assert [each.order_id for each in rig.cancels] == [stop] * times
        rig.tell(ChangeRejected(rig.ts, stop, "not confirmed"))
    look(rig)
    rig.tell(OrderCancelled(rig.ts, stop, ""))

    assert rig.engine.vigil.due == NEVER
    assert len(rig.cancels) == 4


def test_a_stop_that_went_by_itself_meanwhile_is_not_taken_back_again() -> None:
    rig, stop = outlasting()
    rig.tell(OrderExpired(rig.ts, stop, ""))

    look(rig)

    assert [each.order_id for each in rig.cancels] == [stop]
    assert rig.engine.vigil.due == NEVER
