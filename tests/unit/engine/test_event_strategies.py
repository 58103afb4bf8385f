"""Strategies that are called for each event: what they hear, what they may wish, and what their mistakes lead to."""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from abidance.backtest.event import Recorder
from abidance.engine.pump import Pump
from abidance.kernel.ids import OrderIds
from abidance.model.errors import StrategyError
from abidance.model.event import ControlAction, Timer
from abidance.model.instrument import SECOND_NS
from abidance.model.intent import AmendRequest, Basket, CancelRequest, Intent, Target, TimerRequest
from abidance.model.market import Bar, MarketEvent, Quote, Trade
from abidance.model.order import Fill, OrderRequest, OrderType, Protection, Side
from abidance.model.outcome import RefusalCode
from abidance.run.setup import assemble
from abidance.strategy.base import EventStrategy, Intents, Signals, View
from tests.unit.engine.rig import (
    HOUR,
    OTHER,
    SPOT,
    START,
    D,
    Rig,
    Scripted,
    bars_of,
    flat,
    material_of,
    rig_of,
)

NAN = float("nan")


def order(side: Side = Side.BUY, **given: Any) -> OrderRequest:
    return OrderRequest(**{"strategy": "one", "instrument": SPOT.id, "side": side, "quantity": D(1), **given})


def aim(**given: Any) -> Target:
    return Target(**{"strategy": "one", "instrument": SPOT.id, "strength": 1.0, "price": 100.0, **given})


class Says(EventStrategy):
    """Says one thing at its first bar and remembers all it heard."""

    def __init__(self, wished: Any = None, on_trade: Any = None) -> None:
        self.wished = wished
        self.heard: list[tuple[str, int]] = []

    def on_start(self, view: View) -> Intents:
        self.heard.append(("start", view.now))
        return None

    def on_bar(self, bar: Bar, view: View) -> Intents:
        self.heard.append(("bar", view.now))
        wished, self.wished = self.wished, None
        return wished() if callable(wished) else wished  # type: ignore[no-any-return]

    def on_fill(self, fill: Fill, view: View) -> Intents:
        self.heard.append((f"fill {view.position(fill.instrument).quantity:f}", view.now))
        return None

    def on_timer(self, timer: Timer, view: View) -> Intents:
        self.heard.append((timer.name, view.now))
        return None


def fails() -> Intents:
    raise ZeroDivisionError("in the strategy")


def half_way() -> Iterator[Intent]:
    yield aim()
    raise ZeroDivisionError("in the strategy")


GARBAGE: list[Any] = [
    5,
    [None],
    ["buy"],
    [Signals],
    [aim(strategy="two")],
    [aim(instrument="DOGE/USDT@SIM")],
    [aim(strength=2.0)],
    [aim(strength=NAN)],
    [aim(price=NAN)],
    [aim(price=0.0)],
    [aim(confidence=-1.0)],
    [order(strategy="two")],
    [order(instrument=["BTC"])],
    [Basket((order(), order(strategy="two")))],
    [AmendRequest("x", price=1.5)],  # type: ignore[arg-type]
    [AmendRequest("x", quantity=D("NaN"))],
    [TimerRequest("one", "past", START)],
    [TimerRequest("one", "never", 1e9)],  # type: ignore[arg-type]
    [TimerRequest("two", "other", START * 2)],
    fails,
    half_way,
]


@pytest.mark.parametrize("wished", GARBAGE, ids=lambda wished: getattr(wished, "__name__", repr(wished)))
def test_garbage_stops_the_strategy_that_said_it_and_no_other(wished: Any) -> None:
    says = Says(wished)

    rig = rig_of({"one": says, "two": Scripted([1])}, flat(100, 100, 100), isolate=True).run()

    assert [(notice.code, notice.strategy) for notice in rig.notices] == [("strategy_failed", "one")]
    assert [fill.strategy for fill in rig.fills] == ["two"]
    assert [what for what, _ in says.heard] == ["start", "bar"]


@pytest.mark.parametrize("wished", GARBAGE, ids=lambda wished: getattr(wished, "__name__", repr(wished)))
def test_garbage_is_raised_in_a_backtest(wished: Any) -> None:
    rig = rig_of(Says(wished), flat(100, 100, 100))

    with pytest.raises(StrategyError):
        rig.run()


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"quantity": D(0)}, RefusalCode.ZERO_QUANTITY),
        ({"quantity": 1.0}, RefusalCode.MALFORMED),
        ({"quantity": D("NaN")}, RefusalCode.MALFORMED),
        ({"instrument": "DOGE/USDT@SIM"}, RefusalCode.UNKNOWN_INSTRUMENT),
        ({"type": OrderType.LIMIT}, RefusalCode.MALFORMED),
        ({"side": Side.SELL}, RefusalCode.SHORT_NOT_ALLOWED),
        ({"reduce_only": True}, RefusalCode.NOT_REDUCING),
    ],
)
def test_orders_that_make_no_sense_are_refused_with_a_reason(
    given: dict[str, Any], code: RefusalCode
) -> None:
    rig = rig_of(Says([order(**given)]), flat(100, 100, 100)).run()

    assert [each.code for each in rig.refusals] == [code]


def test_a_strategy_hears_its_own_fills_after_they_are_booked() -> None:
    strategy = Says([order()])

    rig_of({"one": strategy, "two": Says()}, flat(100, 100, 100)).run()

    assert [what for what, _ in strategy.heard] == ["start", "bar", "fill 1.000", "bar", "bar"]


def test_timers_come_at_their_time_before_the_bars_that_are_later() -> None:
    at = START + HOUR + 5
    strategy = Says([TimerRequest("one", "second", at + 1), TimerRequest("one", "first", at)])

    rig_of(strategy, flat(100, 100, 100)).run()

    moments = [(what, ts - START) for what, ts in strategy.heard]
    assert moments == [
        ("start", 0), ("bar", HOUR), ("first", HOUR + 5), ("second", HOUR + 6), ("bar", 2 * HOUR), ("bar", 3 * HOUR),
    ]  # fmt: skip


def test_protection_of_an_event_strategys_order_rides_with_the_position() -> None:
    rows = [*flat(100, 100, 100), (100, 100, 90, 95), *flat(95)]

    rig = rig_of(Says([order(protection=Protection(stop=5.0))]), rows).run()

    assert rig.trades == [("buy", "1.000", "100.0", "entry"), ("sell", "1.000", "95.0", "stop_loss")]


def test_a_strategys_own_stop_is_not_taken_for_the_frameworks() -> None:
    from abidance.model.order import Purpose

    own = order(Side.SELL, type=OrderType.STOP, trigger=D(97), reduce_only=True, purpose=Purpose.STOP_LOSS)

    class Guarded(Says):
        def on_fill(self, fill: Fill, view: View) -> Intents:
            return [own] if fill.side is Side.BUY else None

    rig = rig_of(Guarded([order(protection=Protection(stop=5.0))]), flat(100, 100, 100)).run()

    assert sorted(each.request.trigger for each in rig.open() if each.request.trigger) == [D("95.0"), D(97)]
    assert rig.amends == []


def test_a_strategy_may_take_its_order_back() -> None:
    resting = order(type=OrderType.LIMIT, price=D(90), decision_price=D(90))

    class Fickle(Says):
        def on_bar(self, bar: Bar, view: View) -> Intents:
            mine = [CancelRequest(each.id) for each in view.orders()]
            return mine or super().on_bar(bar, view)

    rig = rig_of(Fickle([resting]), [*flat(100, 100, 100), (100, 100, 80, 90)]).run()

    assert rig.fills == []
    assert len(rig.cancels) == 1


def test_starting_twice_calls_on_start_once() -> None:
    strategy = Says()
    rig = rig_of(strategy, flat(100))

    rig.control(ControlAction.START)
    rig.control(ControlAction.STOP)
    rig.control(ControlAction.START)

    assert [what for what, _ in strategy.heard] == ["start", "start"]


# --- ticks: coasting over the quiet ones leads to the same as taking one at a time


class Reverter(EventStrategy):
    """Buys a dip of prints below their mean, sells above it; quotes end what waits too long."""

    def __init__(self) -> None:
        self.mean = 100.0

    def on_trade(self, trade: Trade, view: View) -> Intents:
        self.mean += (trade.price - self.mean) / 20
        held = view.position(SPOT.id).quantity
        if not held and trade.price < self.mean - 0.6 and not list(view.orders()):
            return [
                order(quantity=D("0.5"), protection=Protection(stop=2.0)),
                TimerRequest("one", "look", view.now + 40 * SECOND_NS),
            ]
        if held and trade.price > self.mean + 0.6 and len(list(view.orders())) == 1:
            return [order(Side.SELL, quantity=held, reduce_only=True)]
        return None

    def on_quote(self, quote: Quote, view: View) -> Intents:
        return None

    def on_timer(self, timer: Timer, view: View) -> Intents:
        held = view.position(SPOT.id).quantity
        price = view.price(SPOT.id) or 0.0
        return [order(quantity=D("0.1"))] if held and price < self.mean else None


def tape() -> list[MarketEvent]:
    """Return prints and quotes of a wandering price, several a second, by a fixed recurrence."""
    events: list[MarketEvent] = []
    state, price = 12345, 1000
    for at in range(6000):
        state = (1103515245 * state + 12345) % 2**31
        price = max(price + (state >> 16) % 9 - 4, 900)
        ts = START + at * SECOND_NS // 3
        if at % 4 == 3:
            events.append(Quote(ts, SPOT.id, price / 10 - 0.1, 5.0, price / 10 + 0.1, 5.0))
        else:
            events.append(Trade(ts, SPOT.id, price / 10, 0.7, True, str(at)))
    return events


def digest_of(feed: Callable[[Pump, Iterable[MarketEvent]], None]) -> tuple[str, int]:
    material = material_of({"one": Reverter()}, {SPOT: bars_of(SPOT.id, flat(100))})
    driven = type(material)(**{**vars(material), "drive": {SPOT.id: "trade"}})
    core = assemble(driven, OrderIds(0, 0, b"t").make, tape=None, isolate=False)
    recorder = Recorder(core.engine, ("one",))
    pump = Pump(core.engine, core.venue, observe=recorder.observe)
    for event in core.opening:
        pump.step(event)
    feed(pump, tape())
    return recorder.digest.hexdigest(), len(core.engine.fills)


def one_by_one(pump: Pump, events: Iterable[MarketEvent]) -> None:
    for event in events:
        pump.market(event)


def in_pieces(pump: Pump, events: Iterable[MarketEvent]) -> None:
    taken = list(events)
    for start, stop in pairwise((0, 1, 2, 500, 501, 3333, len(taken))):
        pump.run(taken[start:stop])


def test_coasting_over_quiet_ticks_gives_the_digest_of_one_at_a_time() -> None:
    whole, fills = digest_of(lambda pump, events: pump.run(events))

    assert digest_of(one_by_one) == (whole, fills)
    assert digest_of(in_pieces) == (whole, fills)
    assert fills > 50


def test_a_strategy_that_fails_on_a_tick_is_stopped_and_the_others_go_on() -> None:
    class Fails(EventStrategy):
        def on_trade(self, trade: Trade, view: View) -> Intents:
            return [1]  # type: ignore[list-item]

    class Counts(EventStrategy):
        heard = 0

        def on_trade(self, trade: Trade, view: View) -> Intents:
            self.heard += 1
            return None

    counts = Counts()
    made = material_of({"one": Fails(), "two": counts}, {SPOT: bars_of(SPOT.id, flat(100))})
    rig = Rig(made, isolate=True)

    rig.pump.run([Trade(START + n, SPOT.id, 100.0, 1.0, True) for n in range(10)])

    assert counts.heard == 10
    assert [notice.code for notice in rig.notices] == ["strategy_failed"]


def test_a_basket_is_refused_as_one() -> None:
    strategy = Says([Basket((order(), order(instrument=OTHER.id, quantity=D(0))))])
    tapes = {SPOT: bars_of(SPOT.id, flat(100, 100)), OTHER: bars_of(OTHER.id, flat(50, 50))}

    rig = Rig(material_of({"one": strategy}, tapes)).run()

    assert {each.code for each in rig.refusals} == {RefusalCode.BASKET, RefusalCode.ZERO_QUANTITY}
    assert rig.submits == []
