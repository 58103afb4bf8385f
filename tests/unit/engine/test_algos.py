"""Entries that are worked, in a whole core on quotes: slices over time, a part at a time, following the best price."""

from collections.abc import Mapping
from typing import Any

import pytest

from abidance.execution.algos import ENDED, TIMER
from abidance.execution.config import ExecutionConfig
from abidance.model.event import (
    ControlAction,
    OrderAbandoned,
    OrderAccepted,
    OrderCancelled,
    OrderFilled,
    OrderRejected,
    OrderUnknown,
    Timer,
)
from abidance.model.instrument import SECOND_NS
from abidance.model.market import Quote
from abidance.model.order import OrderRequest, OrderType, Purpose, Side
from abidance.model.outcome import RefusalCode
from abidance.risk.config import LimitsConfig, RiskConfig, SizingConfig
from abidance.strategy.config import ExitsConfig
from tests.unit.engine.rig import LOOSE, SPOT, START, D, Rig, Scripted, bars_of, fill_of, flat, material_of

NAN = float("nan")
WAITS = ExecutionConfig(algo="twap", duration=60, slices=4)


class Desk(Rig):
    """A rig whose venue fills from quotes; time passes by second, with a quote in each."""

    def quote(self, bid: float = 99.9, ask: float = 100.1, size: float = 50.0) -> None:
        self.pump.market(Quote(self.ts, SPOT.id, bid, size, ask, size))

    def seconds(self, count: int, **quote: float) -> None:
        for _ in range(count):
            self.ts += SECOND_NS
            self.quote(**quote)

    @property
    def requests(self) -> list[OrderRequest]:
        return [each.request for each in self.submits]

    @property
    def sizes(self) -> list[str]:
        return [f"{each.quantity.normalize():f}" for each in self.requests if each.purpose is Purpose.ENTRY]

    @property
    def ended(self) -> list[str]:
        return [each.text for each in self.notices if each.code == ENDED]

    def timers(self) -> int:
        return len(self.pump._timers)


def desk(
    execution: ExecutionConfig,
    quantity: float = 1.0,
    targets: Any = (1.0,),
    more: Mapping[str, Any] | None = None,
    **run: Any,
) -> Desk:
    config = {
        "execution": execution,
        "sizing": SizingConfig(method="fixed_quantity", quantity=quantity),
        **(more or {}),
    }
    made = material_of(
        {"one": Scripted(list(targets))},
        {SPOT: bars_of(SPOT.id, flat(*[100.0] * 6))},
        configs={"one": config},
        **run,
    )
    object.__setattr__(made, "fills", {SPOT.id: "quote"})
    found = Desk(made)
    found.step()
    return found


def test_a_twap_enters_in_equal_parts_over_its_time() -> None:
    found = desk(WAITS)
    at_once = list(found.sizes)
    found.seconds(61)

    assert at_once == ["0.25"]
    assert found.sizes == ["0.25"] * 4
    moments = [(each.ts - found.submits[0].ts) // SECOND_NS for each in found.submits]
    assert moments == [0, 15, 30, 45]
    assert [each.part for each in found.requests] == ["1/1", "1/2", "1/3", "1/4"]
    assert {each.type for each in found.requests} == {OrderType.MARKET}
    assert found.position() == 1
    assert (found.ended, found.timers()) == ([], 0)


def test_what_one_slice_could_not_do_the_next_one_does() -> None:
    found = silent("twap", slices=4)
    found.pump.step(OrderRejected(found.ts, found.submits[0].order_id, "the venue was busy"))
    found.ts += 155 * SECOND_NS
    found.pump.wake(found.ts)

    assert found.sizes == ["0.25", "0.5"]


def test_slices_that_would_be_too_small_are_fewer_and_none_is_left_over() -> None:
    coarse = desk(ExecutionConfig(algo="twap", duration=60, slices=50), quantity=0.1)
    coarse.seconds(62)

    assert len(coarse.sizes) == 6
    assert sum(D(each) for each in coarse.sizes) == D("0.1")
    assert all(D(each) * 100 >= D("1.5") for each in coarse.sizes)
    assert coarse.position() == D("0.1")


def test_an_iceberg_shows_one_part_at_a_time() -> None:
    found = desk(ExecutionConfig(algo="iceberg", display=0.3, duration=600))
    found.seconds(3)
    shown = [len(found.open())]
    for _ in range(4):
        found.seconds(1, bid=99.0, ask=99.5)
        shown.append(len(found.open()))
        found.seconds(1)

    assert max(shown) == 1
    assert found.sizes == ["0.3", "0.3", "0.3", "0.1"]
    assert {(each.type, each.price) for each in found.requests} == {(OrderType.LIMIT, D("100.0"))}
    assert found.position() == 1
    assert found.ended == []


def test_a_chase_follows_the_best_price_and_goes_no_farther_than_it_may() -> None:
    found = desk(ExecutionConfig(algo="chase", duration=600, interval=5, max_chase=0.01))
    found.seconds(1)
    found.seconds(6, bid=100.4, ask=100.6)
    followed = found.open()[0].request.price
    found.seconds(6, bid=105.0, ask=105.2)
    farthest = found.open()[0].request.price
    found.seconds(2, bid=100.5, ask=100.7)

    assert (followed, farthest) == (D("100.4"), D("101.0"))
    assert len(found.submits) == 1
    assert found.position() == 1
    assert found.fills[0].is_maker


@pytest.mark.parametrize(("finish", "position", "told"), [("cancel", 0, 1), ("market", 1, 0)])
def test_when_its_time_is_over_what_is_left_is_taken_back_or_sent_at_market(
    finish: Any, position: int, told: int
) -> None:
    found = desk(ExecutionConfig(algo="chase", duration=20, interval=5, max_chase=0.001, finish=finish))
    found.seconds(30, bid=102.0, ask=102.2)

    assert found.position() == position
    assert len(found.ended) == told
    assert found.open() == []
    assert found.timers() == 0


@pytest.mark.parametrize("algo", ["twap", "iceberg", "chase"])
@pytest.mark.parametrize(
    "action", [ControlAction.KILL, ControlAction.FLATTEN, ControlAction.STOP, ControlAction.PAUSE_ENTRIES]
)
def test_a_person_stops_a_worked_entry(algo: Any, action: ControlAction) -> None:
    found = desk(ExecutionConfig(algo=algo, duration=60, slices=4))
    found.seconds(2)
    sent = len([each for each in found.requests if not each.reduce_only])
    found.control(action)
    held = found.position()
    found.seconds(90, bid=99.0, ask=99.2)

    assert len([each for each in found.requests if not each.reduce_only]) == sent
    assert not found.engine.actions.algos
    assert found.position() == (0 if action is ControlAction.FLATTEN else held)


@pytest.mark.parametrize("algo", ["twap", "iceberg", "chase"])
def test_a_stop_takes_the_rest_of_the_entry_back_and_nothing_grows_after_it(algo: Any) -> None:
    execution = ExecutionConfig(algo=algo, duration=300, slices=4, display=0.25, max_chase=0.2)
    found = desk(execution, more={"exits": ExitsConfig(stop_loss=0.02)})
    found.seconds(3, bid=99.8, ask=99.9)
    before = found.position()
    found.seconds(1, bid=97.0, ask=97.2)
    found.seconds(320, bid=97.0, ask=97.2)

    assert before > 0
    assert found.position() == 0
    assert Purpose.STOP_LOSS in {each.purpose for each in found.fills}
    after = [each.ts for each in found.fills if each.purpose is Purpose.STOP_LOSS]
    assert not [each for each in found.fills if each.side is Side.BUY and each.ts > max(after)]
    assert not found.engine.actions.algos


def test_an_exit_at_market_is_never_worked() -> None:
    found = desk(WAITS, targets=(1.0, 0.0))
    found.seconds(61)
    found.ts = START + 3_600 * SECOND_NS
    found.step()

    leaving = [each for each in found.requests if each.side is Side.SELL]
    assert [(each.quantity, each.type) for each in leaving] == [(D(1), OrderType.MARKET)]
    assert not leaving[0].part


def test_an_entry_that_would_be_too_much_as_a_whole_does_not_begin() -> None:
    limits = LOOSE.limits.model_copy(update={"max_exposure": 0.05})
    found = desk(WAITS, quantity=10.0, risk=RiskConfig(limits=limits, breakers=LOOSE.breakers))
    found.seconds(60)

    assert [each.code for each in found.refusals] == [RefusalCode.MAX_EXPOSURE]
    assert found.submits == []


def test_parts_may_be_what_the_whole_may_not() -> None:
    limits = LOOSE.limits.model_copy(update={"max_order_value": 30.0})
    found = desk(WAITS, risk=RiskConfig(limits=limits, breakers=LOOSE.breakers))
    found.seconds(60)

    assert found.refusals == []
    assert found.position() == 1


def test_equal_parts_of_one_entry_are_no_mistake() -> None:
    limits: LimitsConfig = LOOSE.limits.model_copy(update={"duplicate_window": 60.0})
    found = desk(WAITS, risk=RiskConfig(limits=limits, breakers=LOOSE.breakers))
    found.seconds(60)

    assert found.refusals == []
    assert found.position() == 1


def silent(algo: str = "iceberg", stop: float | None = None, **more: Any) -> Desk:
    """Return a desk whose venue says nothing: the test does."""
    exits = {"exits": ExitsConfig(stop_loss=stop)}
    made = desk(ExecutionConfig(algo=algo, duration=600, display=0.5, **more), more=exits)
    made.pump.venue.execute = lambda commands: ()  # type: ignore[method-assign]
    made.pump.venue._orders.clear()  # type: ignore[attr-defined]
    return made


def test_a_part_that_is_refused_by_the_venue_ends_an_iceberg_and_it_is_told() -> None:
    found = silent()
    found.pump.step(OrderRejected(found.ts, found.submits[0].order_id, "price filter"))

    assert found.ended == [
        "1 of 1 BTC/USDT@SIM were not bought by iceberg: a part of it was rejected (price filter)."
    ]
    assert not found.engine.actions.algos


@pytest.mark.parametrize("algo", ["twap", "iceberg", "chase"])
def test_a_part_whose_outcome_is_unknown_lets_nothing_else_leave(algo: str) -> None:
    found = silent(algo)
    first = found.submits[0]
    found.pump.step(OrderUnknown(found.ts, first.order_id, "no answer"))
    sent = len(found.submits)
    for _ in range(70):
        found.ts += SECOND_NS
        found.pump.wake(found.ts)
    while_unknown = len(found.submits)
    found.pump.step(OrderAbandoned(found.ts, first.order_id, "not there"))

    assert sent == while_unknown == 1


def test_a_fill_that_comes_before_the_cancel_counts() -> None:
    found = silent("chase", finish="market")
    first = found.submits[0]
    found.pump.step(OrderAccepted(found.ts, first.order_id))
    found.ts += 601 * SECOND_NS
    found.pump.wake(found.ts)
    asked = [each.order_id for each in found.cancels]
    found.pump.step(OrderFilled(found.ts, fill_of(first, "0.4", "100", found.ts)))
    before = len(found.submits)
    found.pump.step(OrderCancelled(found.ts, first.order_id))

    assert asked[0] == first.order_id
    assert before == 1
    assert [each.request.quantity for each in found.submits[1:]] == [D("0.6")]


def test_a_part_that_fills_while_it_is_taken_back_after_a_stop_is_left_at_market() -> None:
    found = silent("iceberg", stop=0.02)
    first = found.submits[0]
    found.pump.step(OrderFilled(found.ts, fill_of(first, "0.2", "100", found.ts)))
    stop = found.submits[1]
    found.pump.step(OrderFilled(found.ts, fill_of(stop, "0.2", "98", found.ts)))
    cancelled = [each.order_id for each in found.cancels]
    found.pump.step(OrderFilled(found.ts, fill_of(first, "0.1", "98", found.ts)))
    leaving = found.submits[-1]
    found.pump.step(OrderFilled(found.ts, fill_of(leaving, "0.1", "98", found.ts)))

    assert stop.request.purpose is Purpose.STOP_LOSS
    assert first.order_id in cancelled
    assert (leaving.request.side, leaving.request.type) == (Side.SELL, OrderType.MARKET)
    assert leaving.request.reduce_only
    assert found.position() == 0


def test_a_timer_that_is_nobodys_wakes_nobody() -> None:
    found = desk(WAITS)
    before = len(found.submits)
    for name in (f"{TIMER}99", f"{TIMER}", f"{TIMER}-1", f"{TIMER}1x"):
        found.pump.step(Timer(found.ts, name, "one"))

    assert len(found.submits) == before
