"""What holds of worked entries whatever the venue answers and when, and whatever people do in between.

The venue here is truthful and nothing more: it fills, refuses, loses answers, lets cancels meet fills, and never fills
an order beyond its quantity or after it has said that the order is over.
"""

import os
import pickle
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from abidance.execution.config import ExecutionConfig
from abidance.model.command import Amend, Cancel, Command, Submit
from abidance.model.event import (
    ChangeRejected,
    Control,
    ControlAction,
    Event,
    OrderAbandoned,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderFilled,
    OrderRejected,
    OrderUnknown,
    Timer,
)
from abidance.model.instrument import SECOND_NS
from abidance.model.intent import TimerRequest
from abidance.model.market import Quote
from abidance.model.money import ZERO
from abidance.model.order import OrderRequest, OrderType, Side
from abidance.model.outcome import Outcome
from abidance.risk.config import SizingConfig
from abidance.strategy.config import ExitsConfig
from tests.unit.engine.rig import SPOT, D, Rig, Scripted, bars_of, fill_of, flat, material_of

EXAMPLES = int(os.environ.get("ABIDANCE_ALGO_EXAMPLES", "60"))
STOPPING = [ControlAction.KILL, ControlAction.FLATTEN, ControlAction.STOP, ControlAction.PAUSE_ENTRIES]


@dataclass
class There:
    """An order as the venue has it."""

    submit: Submit
    quantity: Decimal
    filled: Decimal = ZERO
    is_known: bool = False
    changes: list[Command] = field(default_factory=list)


class Play:
    """An engine, a venue that the example plays, a clock, and what must hold after each event."""

    def __init__(self, execution: ExecutionConfig, quantity: float, stop: float | None, fixed: bool) -> None:
        self.rig = play_rig(execution, quantity, stop, fixed)
        self.config = execution
        self.events: list[Event] = []
        self.outcomes: list[Outcome] = []
        self.there: dict[str, There] = {}
        self.timers: list[tuple[int, str]] = []
        self.killed_at: int | None = None
        self.now = self.rig.ts
        self.take(self.rig.outcomes[-1])

    # --- the two sides

    def tell(self, event: Event) -> None:
        self.events.append(event)
        self.take(self.rig.engine.process(event))
        self.check()

    def take(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        for intent in outcome.intents:
            if isinstance(intent, TimerRequest):
                self.timers.append((intent.ts, intent.name))
        for command in outcome.commands:
            if isinstance(command, Submit):
                self.there[command.order_id] = There(command, command.request.quantity)
            elif command.order_id in self.there:
                self.there[command.order_id].changes.append(command)

    def pass_time(self, seconds: int, bid: int) -> None:
        until = self.now + seconds * SECOND_NS
        while due := sorted(each for each in self.timers if each[0] <= until):
            self.timers.remove(due[0])
            self.now = due[0][0]
            self.tell(Timer(self.now, due[0][1], "one"))
        self.now = until
        self.tell(Quote(self.now, SPOT.id, bid / 10, 5.0, bid / 10 + 0.2, 5.0))

    def answer(self, pick: int, how: str, share: int) -> None:
        if not self.there:
            return
        order_id = list(self.there)[pick % len(self.there)]
        order = self.there[order_id]
        left = order.quantity - order.filled
        if how == "reject" and not order.is_known and not order.filled:
            del self.there[order_id]
            self.tell(OrderRejected(self.now, order_id, "a filter"))
        elif how == "abandon" and not order.is_known and not order.filled:
            self.tell(OrderUnknown(self.now, order_id, "no answer"))
            del self.there[order_id]
            self.tell(OrderAbandoned(self.now, order_id, "not there"))
        elif how == "unknown":
            self.tell(OrderUnknown(self.now, order_id, "no answer"))
        elif how == "accept":
            order.is_known = True
            self.tell(OrderAccepted(self.now, order_id))
        elif how == "fill":
            lots = max(1, int(left / SPOT.lot) * share // 100)
            self.fill(order_id, order, min(lots * SPOT.lot, left))
        elif how == "change" and order.changes:
            self.change(order_id, order, order.changes.pop(0), share)

    def fill(self, order_id: str, order: There, quantity: Decimal) -> None:
        order.filled += quantity
        if order.filled == order.quantity:
            del self.there[order_id]
        made = fill_of(order.submit, str(quantity), "100", self.now, f"{order_id}-{order.filled}")
        self.tell(OrderFilled(self.now, made))

    def change(self, order_id: str, order: There, command: Command, share: int) -> None:
        if share < 20:
            self.tell(ChangeRejected(self.now, order_id, "busy"))
        elif isinstance(command, Cancel):
            del self.there[order_id]
            self.tell(OrderCancelled(self.now, order_id))
        elif isinstance(command, Amend):
            order.quantity = command.quantity or order.quantity
            price = command.price if command.price is not None else order.submit.request.price
            trigger = command.trigger if command.trigger is not None else order.submit.request.trigger
            if order.quantity > order.filled:
                self.tell(OrderAmended(self.now, order_id, order.quantity, price, trigger))
            else:
                del self.there[order_id]
                self.tell(OrderCancelled(self.now, order_id))

    def control(self, action: ControlAction) -> None:
        self.killed_at = self.killed_at or len(self.outcomes)
        self.tell(Control(self.now, action, "", "tester"))

    # --- what must hold

    def check(self) -> None:
        parts = [each for each in self.rig.state.orders.all() if each.request.part]
        by_parent: dict[str, Decimal] = {}
        standing: dict[str, int] = {}
        for order in parts:
            request, parent = order.request, str(order.request.part).partition("/")[0]
            assert request.quantity % SPOT.lot == 0
            assert request.quantity >= SPOT.min_quantity
            closed = order.state.is_closed
            counted = order.filled if closed else max(order.filled, request.quantity)
            by_parent[parent] = by_parent.get(parent, D(0)) + counted
            standing[parent] = standing.get(parent, 0) + (not closed)
        wholes = self.wholes()
        for parent, counted in by_parent.items():
            assert counted <= wholes[int(parent) - 1].quantity
        if self.config.algo != "twap":
            assert max(standing.values(), default=0) <= 1
        if self.killed_at is not None:
            late = [c for outcome in self.outcomes[self.killed_at :] for c in outcome.commands]
            assert not [c for c in late if isinstance(c, Submit) and not c.request.reduce_only]

    def wholes(self) -> list[OrderRequest]:
        return [
            intent
            for outcome in self.outcomes
            for intent in outcome.intents
            if isinstance(intent, OrderRequest)
            and not intent.part
            and not intent.reduce_only
            and not (outcome.verdicts and not outcome.commands)
        ]

    def finish(self) -> None:
        """Let an orderly venue answer everything, and time pass until no timer is left."""
        for _ in range(400):
            for order_id, order in tuple(self.there.items()):
                if order_id not in self.there:
                    continue
                if order.changes and isinstance(order.changes[0], Cancel):
                    self.change(order_id, order, order.changes.pop(0), 100)
                elif order.submit.request.type is OrderType.MARKET:
                    self.fill(order_id, order, order.quantity - order.filled)
                elif order.changes:
                    self.change(order_id, order, order.changes.pop(0), 100)
            if not self.timers:
                break
            self.pass_time(30, 1_000)


def play_rig(execution: ExecutionConfig, quantity: float, stop: float | None, fixed: bool) -> Rig:
    config = {
        "execution": execution,
        "sizing": SizingConfig(method="fixed_quantity", quantity=quantity),
        "exits": ExitsConfig(stop_loss=stop),
    }
    made = material_of(
        {"one": Scripted([1.0])}, {SPOT: bars_of(SPOT.id, flat(100.0, 100.0))}, configs={"one": config}
    )
    rig = Rig(made, venue=False)
    if fixed:
        rig.state.fixed = {SPOT.id: frozenset({OrderType.LIMIT, OrderType.STOP})}
    rig.step()
    return rig


executions = st.builds(
    ExecutionConfig,
    algo=st.sampled_from(["twap", "iceberg", "chase"]),
    duration=st.sampled_from([20, 90]),
    slices=st.integers(2, 7),
    display=st.sampled_from([0.05, 0.3, 1.0]),
    interval=st.sampled_from([3, 11]),
    max_chase=st.sampled_from([0.001, 0.05]),
    finish=st.sampled_from(["cancel", "market"]),
)
answers = st.tuples(
    st.just("answer"),
    st.integers(0, 5),
    st.sampled_from(
        ["accept", "accept", "fill", "fill", "fill", "change", "change", "reject", "unknown", "abandon"]
    ),
    st.integers(0, 100),
)
moves = st.tuples(st.just("time"), st.integers(1, 30), st.integers(980, 1_030))
orders_of_people = st.tuples(st.just("person"), st.sampled_from(STOPPING))
steps = st.lists(st.one_of(answers, answers, answers, moves, moves, orders_of_people), max_size=40)


@settings(max_examples=EXAMPLES, deadline=None)
@given(executions, st.sampled_from([0.05, 0.333, 2.0]), st.sampled_from([None, 0.02]), st.booleans(), steps)
def test_parts_never_come_to_more_than_their_entry_and_the_record_repeats_them(
    execution: ExecutionConfig, quantity: float, stop: float | None, fixed: bool, script: list[tuple]
) -> None:
    play = Play(execution, quantity, stop, fixed)

    for kind, *rest in script:
        if kind == "time":
            play.pass_time(*rest)
        elif kind == "answer":
            play.answer(*rest)
        else:
            play.control(*rest)
    play.finish()

    fills = play.rig.engine.fills
    bought = sum((fill.quantity for fill in fills if fill.side is Side.BUY), D(0))
    assert bought <= sum((each.quantity for each in play.wholes()), D(0))
    assert play.timers == []
    assert not play.rig.engine.actions.algos
    again = play_rig(execution, quantity, stop, fixed)
    half = len(play.events) // 2
    repeated = [again.outcomes[-1], *(again.engine.process(event) for event in play.events[:half])]
    taken_up = pickle.loads(pickle.dumps(again.engine))  # as a checkpoint does
    repeated += [taken_up.process(event) for event in play.events[half:]]
    assert msgspec.msgpack.encode(repeated) == msgspec.msgpack.encode(play.outcomes)


@settings(max_examples=EXAMPLES // 2, deadline=None)
@given(executions, st.sampled_from([0.05, 0.333, 2.0]))
def test_at_a_venue_that_fills_everything_the_whole_entry_is_held(
    execution: ExecutionConfig, quantity: float
) -> None:
    play = Play(execution, quantity, None, fixed=False)

    for _ in range(120):
        while play.there:
            order_id, order = next(iter(play.there.items()))
            play.fill(order_id, order, order.quantity - order.filled)
        play.pass_time(2, 1_000)

    assert play.rig.position() == D(str(quantity))
    assert not [notice for outcome in play.outcomes for notice in outcome.notices]
