"""A replica that reads only the record knows what the engine knows, after every event, whatever happens."""

import os
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from abidance.engine.pump import Pump
from abidance.engine.vigil import VIGIL
from abidance.journal.record import Codec, RunHeader
from abidance.kernel.ids import OrderIds
from abidance.model.command import Submit
from abidance.model.event import Control, ControlAction, Timer
from abidance.model.market import BarSlice, BookSnapshot, FundingRate, MarketEvent, Quote, Trade
from abidance.model.order import Purpose
from abidance.model.outcome import Outcome, Recorded, Refused
from abidance.portfolio.ledger import fill_ref
from abidance.risk.config import SizingConfig
from abidance.risk.state import TradingState
from abidance.run.replica import Replica
from abidance.run.setup import Core, Material, assemble
from abidance.run.shelf import Shelf
from abidance.strategy.parameters import Parameter
from abidance.venues.sim.config import VenueConfig
from tests.property.test_engine import NAN, materials
from tests.unit.engine.rig import PERP, SPOT, Scripted, bars_of, material_of

SECOND = 1_000_000_000


class Wire:
    """A journal in memory: each record goes through its bytes to the replica at once."""

    def __init__(self, material: Material, shelf: Shelf | None = None) -> None:
        instruments = tuple(material.instruments.values())
        plain = material.config.model_dump(mode="json")
        header = RunHeader("r", "bot", "paper", 1, "0", "hash", plain, instruments)
        # By default nearly all of it lies in the file.
        self.replica = Replica(header, shelf or Shelf(window=2, block=1))
        self.codec = Codec(instruments)
        self.seq = 0

    def append(self, event: Recorded, *, deferred: bool = False) -> None:
        self._put(event, deferred)

    def handled(self) -> None:
        self._put(None, False)

    def sync(self) -> None:
        pass

    def _put(self, event: Recorded | None, deferred: bool) -> None:
        self.seq += 1
        self.replica.take([self.codec.decode(self.codec.encode(self.seq, deferred, event))])


def compare(core: Core, replica: Replica, seen: list[Outcome]) -> None:
    engine = core.engine
    ours, theirs = engine.state, replica.state
    assert replica.orders.all() == ours.orders.all()
    assert tuple(replica.orders.open()) == tuple(ours.orders.open())
    assert [_without_reason(each) for each in replica.fills] == [
        _without_reason(each) for each in engine.fills
    ]
    assert replica.portfolio.open_positions() == ours.portfolio.open_positions()
    assert [_without_exit(each) for each in replica.portfolio.round_trips] == [
        _without_exit(each) for each in ours.portfolio.round_trips
    ]
    assert (
        list(replica.portfolio.ledger.entries()) == list(ours.portfolio.ledger.entries()) == replica.entries
    )
    assert theirs.equity() == ours.equity()
    assert {id: theirs.price(id) for id in theirs.instruments} == {
        id: ours.price(id) for id in ours.instruments
    }
    assert theirs.now == ours.now
    assert theirs.allocations == ours.allocations
    assert replica.stopped == engine.actions.stopped
    assert replica.paused == engine.actions.paused
    assert replica.limits == engine.actions._gate.limits
    for place in [("", ""), *((name, id) for name in ours.strategies for id in ours.instruments)]:
        assert replica.breakers.state(*place, ours.now) == engine._breakers.state(*place, ours.now)
    assert replica.notices == [notice for outcome in seen for notice in outcome.notices]
    refused = [each for outcome in seen for each in outcome.verdicts if isinstance(each, Refused)]
    assert [each for _, _, each in replica.refusals] == refused


def compare_lives(core: Core, replica: Replica) -> None:
    """Hold the replica to what leads from an order to its decision, its moments, its fills and their lines."""
    for order in core.engine.state.orders.all():
        decision, steps = replica.lives.decision(order.id), replica.lives.steps(order.id)
        assert decision is not None
        sent = [each for each in decision.decided.commands if isinstance(each, Submit)]
        assert order.id in [each.order_id for each in sent]
        assert steps[0].event in sent
        assert [each.seq for each in steps] == sorted(each.seq for each in steps)
        assert decision.trigger is not None
        fills = [each for each in replica.fills if each.order_id == order.id]
        assert replica.lives.fills_of(order.id) == fills
        assert [replica.lives.fill(fill_ref(each)) for each in fills] == fills
        for each in fills:
            ref = fill_ref(each)
            lines = core.engine.state.portfolio.ledger.explain(ref)
            assert replica.portfolio.ledger.explain(ref) == lines != ()


STOPS = {Purpose.STOP_LOSS, Purpose.TRAILING_STOP, Purpose.BREAK_EVEN}


def _without_reason(fill: Any) -> tuple[Any, ...]:
    """Return a fill, all stops taken as one: of two reasons for one price the record cannot tell which it was."""
    purpose = Purpose.STOP_LOSS if fill.purpose in STOPS else fill.purpose
    return (*(getattr(fill, name) for name in fill.__struct_fields__ if name != "purpose"), purpose)


def _without_exit(trip: Any) -> tuple[Any, ...]:
    reason = Purpose.STOP_LOSS.value if trip.exit_reason in STOPS else trip.exit_reason
    return (*(getattr(trip, name) for name in trip.__struct_fields__ if name != "exit_reason"), reason)


controls = st.one_of(
    st.builds(
        Control,
        st.just(0),
        st.sampled_from([each for each in ControlAction if "order" not in each and each != "set_parameters"]),
        st.sampled_from(["", "one", "two", "nobody"]),
        st.just("ada"),
        st.sampled_from([{}, {"allocation": 0.3}, {"allocation": 7}, {"flatten": True}]),
    ),
    st.builds(
        Control,
        st.just(0),
        st.just(ControlAction.SET_LIMITS),
        st.sampled_from(["", "one"]),
        st.just("ada"),
        st.fixed_dictionaries(
            {},
            optional={
                "max_exposure": st.sampled_from([0.01, 0.5, 50.0, -1, "much"]),
                "max_positions": st.sampled_from([1, 5, 0]),
                "max_order_value": st.sampled_from([10.0, "off"]),
                "require_stop": st.booleans(),
                "no_such_limit": st.just(1),
            },
        ),
    ),
    st.builds(
        Control,
        st.just(0),
        st.just(ControlAction.SET_BREAKERS),
        st.just(""),
        st.just("ada"),
        st.fixed_dictionaries(
            {},
            optional={
                "daily_loss": st.sampled_from([1e-6, 0.5, 2, "off"]),
                "max_drawdown": st.sampled_from([1e-6, 0.9, "off"]),
                "losing_streak": st.sampled_from([2, 1, "off"]),
                "data_anomaly": st.sampled_from([0.01, "off"]),
                "cooldown_bars": st.just(1),
            },
        ),
    ),
    st.builds(
        Control,
        st.just(0),
        st.just(ControlAction.ORDER),
        st.sampled_from(["one", "two", "nobody"]),
        st.just("ada"),
        st.fixed_dictionaries(
            {
                "instrument": st.sampled_from([SPOT.id, PERP.id, "X/Y@Z"]),
                "side": st.sampled_from(["buy", "sell", "up"]),
                "quantity": st.sampled_from(["1", "0.5", "2.001", "0.0001", "NaN", "-1"]),
                "type": st.sampled_from(["market", "limit"]),
            },
            optional={
                "price": st.sampled_from(["99.9", "100.1", "101"]),
                "reduce_only": st.booleans(),
                "stop_distance": st.sampled_from([2.0, 5.0]),
            },
        ),
    ),
)


def ticks(draw: st.DataObject, event: MarketEvent, price: float) -> Iterator[MarketEvent]:
    """Yield quotes, prints and books after an event, some seconds apart."""
    for number in range(draw.draw(st.integers(0, 4))):
        ts = event.ts + (number + 1) * draw.draw(st.sampled_from([SECOND // 4, SECOND, 20 * SECOND]))
        id, near = (
            draw.draw(st.sampled_from([SPOT.id, PERP.id])),
            price + draw.draw(st.sampled_from([-3.0, 0.0, 1.0])),
        )
        kinds: list[MarketEvent] = [
            Trade(ts, id, near, 1.0, True),
            Quote(ts, id, near - 0.1, 5.0, near + 0.1, 5.0),
            BookSnapshot(ts, id, ((near - 0.1, 5.0),), ((near + 0.1, 5.0),)),
            FundingRate(ts, PERP.id, 0.0001, near),
        ]
        yield draw.draw(st.sampled_from(kinds))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(materials(size=14, broken=True), st.data())
def test_replica_equals_the_engine_after_every_step_whatever_the_market_and_people_do(
    material: Material, data: st.DataObject
) -> None:
    core = assemble(material, OrderIds(0, 0, b"t").make, tape=material.bars, isolate=True)
    wire, seen = Wire(material), list[Outcome]()
    pump = Pump(core.engine, core.venue, wire, seen.append)

    for opening in core.opening:
        pump.step(opening)
    for event in material.replay().events():
        pump.market(event)
        compare(core, wire.replica, seen)
        if data.draw(st.integers(0, 3)) == 0:
            drawn = data.draw(controls)
            control = Control(event.ts, drawn.action, drawn.strategy, drawn.actor, drawn.values)
            pump.step(control)
            compare(core, wire.replica, seen)
        assert isinstance(event, BarSlice)
        price = event.bars[0].close
        if 0 < price < 1e6:
            last = event.ts
            for tick in ticks(data, event, price):
                if tick.ts >= last:
                    last = tick.ts
                    pump.market(tick)
                    compare(core, wire.replica, seen)
    compare_lives(core, wire.replica)
    wire.replica.close()


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(materials(size=14, broken=False), st.integers(0, 40))
def test_changes_told_after_a_number_are_those_that_a_reader_of_the_whole_record_knows(
    material: Material, since: int
) -> None:
    core = assemble(material, OrderIds(0, 0, b"t").make, tape=material.bars, isolate=True)
    wire = Wire(material)
    pump = Pump(core.engine, core.venue, wire)

    for event in core.opening:
        pump.step(event)
    for slice in material.replay().events():
        pump.market(slice)

    replica = wire.replica
    replica.close()
    told = replica.since(since)
    if since > replica.count:
        assert told is None
    else:
        assert told is not None
        assert [each.number for each in told] == list(range(since + 1, replica.count + 1))


# --- one long run

STEPS = 1_000
LIMITS: dict[str, list[object]] = {
    "max_exposure": [0.9, 2.0, 3.0, -1],
    "max_positions": [3, 5, 0.5],
    "max_order_value": [500.0, 5_000.0, "off", "off"],
    "require_stop": [False, False, True],
    "no_such_limit": [1],
}
"""What people set limits to; some of it is none."""


class Paced(Scripted):
    """Wishes what it is told, and has a value that people may change."""

    pace = Parameter(3, 1, 9)


class Crowd:
    """People who steer a run by chance, each deed as likely as it has to be for the run to go on."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self.done: Counter[ControlAction] = Counter()

    def next(self, core: Core, ts: int) -> Control:
        """Return what somebody orders now."""
        pick, actions = self._chance.choice, core.engine.actions
        is_halted = core.engine._breakers.state("", "", ts).state is not TradingState.ACTIVE
        action = pick(
            [
                *ControlAction,
                *[ControlAction.ORDER] * 6,
                *[ControlAction.AMEND_ORDER, ControlAction.CANCEL_ORDER] * 2,
                *[ControlAction.START] * (8 if actions.stopped else 0),
                *[ControlAction.RESUME_ENTRIES] * (8 if actions.paused else 0),
                *[ControlAction.RELEASE] * (20 if is_halted else 0),
            ]
        )
        self.done[action] += 1
        name = pick(["one", "two", "one", "two", "", "nobody"])
        return Control(ts, action, name, "ada", self._values(action, core))

    def _values(self, action: ControlAction, core: Core) -> dict[str, Any]:
        pick = self._chance.choice
        if action is ControlAction.SET_LIMITS:
            name = pick(sorted(LIMITS))
            return {name: pick(LIMITS[name])}
        if action is ControlAction.SET_BREAKERS:
            name = pick(["daily_loss", "max_drawdown", "losing_streak", "cooldown_bars"])
            return {name: pick([0.05, 0.5, 3, 1, "off", "much"])}
        if action is ControlAction.SET_PARAMETERS:
            return {pick(["pace", "pace", "haste"]): pick([1, 5, 9, 10, "quick"])}
        if action is ControlAction.ORDER:
            kind = pick(["market", "limit", "limit"])
            price = {} if kind == "market" else {"price": pick(["90", "99.9", "100.1", "110"])}
            side, quantity = pick(["buy", "sell"]), pick(["1", "0.5", "0.0001", "NaN", "900"])
            place = pick([SPOT.id, PERP.id, PERP.id, "X/Y@Z"])
            return {"instrument": place, "side": side, "quantity": quantity, "type": kind, **price}
        if action in (ControlAction.AMEND_ORDER, ControlAction.CANCEL_ORDER):
            order = pick([*(each.id for each in core.engine.state.orders.open()), "none"])
            change = {"quantity": pick(["0.4", "2"]), "price": pick(["95", "101"])}
            return {"order_id": order} | (change if action is ControlAction.AMEND_ORDER else {})
        others: dict[ControlAction, dict[str, Any]] = {
            ControlAction.SET_ALLOCATION: {"allocation": pick([0.2, 0.5, 7])},
            ControlAction.KILL: {"extent": pick(["entries", "all", "flatten"])},
            ControlAction.ADJUST: {"reason": "a gift"},
        }
        return others.get(action, {})


def long_material(chance: Random, size: int) -> Material:
    """Return two strategies that trade without end over a spot pair and a perpetual that wander."""

    def tape(id: str) -> Any:
        close, rows = 100.0, []
        for _ in range(size):
            opened, close = close, min(150.0, max(60.0, close + chance.uniform(-1.5, 1.5)))
            rows.append((opened, max(opened, close) + 0.7, min(opened, close) - 0.7, close, 1e4))
        return bars_of(id, rows)

    def script() -> Paced:
        return Paced([chance.choice([NAN, 0.0, 1.0, -1.0]) for _ in range(size)], stop=3.0, take_profit=4.0)

    config = {
        "allow_short": True, "leverage": 2.0, "sizing": SizingConfig(method="fixed_quantity", quantity=0.7),
        "order_type": "limit", "entry_timeout": 7200,
    }  # fmt: skip
    return material_of(
        {"one": script(), "two": script()}, {each: tape(each.id) for each in (SPOT, PERP)},
        configs={"one": config, "two": config | {"order_type": "market"}}, dry_run_wallet=10_000.0, venue=VenueConfig(),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(int(os.environ.get("ABIDANCE_REPLICA_SEEDS", "1"))))
def test_replica_equals_the_engine_after_each_of_a_thousand_steps_of_one_run(seed: int) -> None:
    chance = Random(seed)
    material = long_material(chance, STEPS // 3 + 1)
    core = assemble(material, OrderIds(0, 0, b"t").make, tape=material.bars, isolate=True)
    wire, seen, crowd, steps = Wire(material, Shelf()), list[Outcome](), Crowd(chance), 0
    pump = Pump(core.engine, core.venue, wire, seen.append)
    runners = core.engine.runners

    def compared() -> None:
        nonlocal steps
        steps += 1
        compare(core, wire.replica, seen)
        for each in runners:
            assert isinstance(each.strategy, Paced)
            assert wire.replica.parameters[each.name].get("pace", 3) == each.strategy.pace

    for opening in core.opening:
        pump.step(opening)
    for event in material.replay().events():
        pump.market(event)
        compared()
        pump.step(crowd.next(core, event.ts))
        compared()
        pump.step(Timer(event.ts, VIGIL))
        compared()
        assert isinstance(event, BarSlice)
        near = event.bars[-1].close
        pump.market(Quote(event.ts + SECOND, event.bars[-1].instrument, near - 0.1, 5.0, near + 0.1, 5.0))
        compared()

    assert steps >= STEPS
    assert set(crowd.done) == set(ControlAction)
    codes = Counter(notice.code for outcome in seen for notice in outcome.notices)
    assert {"kill", "release"} <= set(codes), codes
    assert {"limits_changed", "limits_refused", "breakers_changed", "breakers_refused"} <= set(codes)
    assert {"manual_refused", "parameters_refused", "allocation_refused"} <= set(codes)
    assert len(wire.replica.fills) > 100
    assert len(wire.replica.refusals) > 10
    compare_lives(core, wire.replica)
    wire.replica.close()
