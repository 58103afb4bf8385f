"""Protective exits: the stop, trailing stop, take-profit, break-even and time exit that ride with a position.

Owns what each open position is protected by and says, as intents, which orders should stand at the venue. It sends
nothing. One stop and one take-profit per position; their size follows the position; when it is flat they go. One that
the venue ended while the position lives is stated anew.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from decimal import Decimal
from math import inf

from abidance.execution.orders import Orders
from abidance.model.account import Position
from abidance.model.instrument import SECOND_NS, Instrument
from abidance.model.intent import AmendRequest, CancelRequest, Intent
from abidance.model.market import Bar
from abidance.model.money import ZERO, ceil_to, floor_to, nearest_to, to_decimal, truncate_to
from abidance.model.order import (
    GOAL_TYPES,
    Order,
    OrderRequest,
    OrderState,
    OrderType,
    Protection,
    Purpose,
    Side,
)

Key = tuple[str, str]
STOPS = frozenset({Purpose.STOP_LOSS, Purpose.TRAILING_STOP, Purpose.BREAK_EVEN})
PROTECTIVE = STOPS | {Purpose.TAKE_PROFIT}
_ACKNOWLEDGED = frozenset({OrderState.OPEN, OrderState.PARTIAL})


@dataclass(slots=True)
class Plan:
    """What protects one position. Prices are floats; what goes to the venue is rounded to the tick against us."""

    sign: int
    entry: float
    protection: Protection
    ts_entry: int
    best: float
    stop: float | None = None
    goal: float | None = None
    reason: Purpose = Purpose.STOP_LOSS
    bars: int = 0
    leaving: bool = False
    goal_rests: bool = False
    stood: str = ""
    renewed: dict[Purpose, int] = field(default_factory=dict)
    asked: dict[Purpose, OrderRequest] = field(default_factory=dict)
    orders: dict[Purpose, str] = field(default_factory=dict)

    def tighten(self, stop: float, reason: Purpose) -> None:
        """Move the stop to `stop` if that is closer to the market; a stop never moves away."""
        if self.stop is None or (stop - self.stop) * self.sign > 0:
            self.stop, self.reason = stop, reason

    def grow(self, entry: float, protection: Protection) -> None:
        """Measure from a new mean entry price; a stop or goal that the new measures do not give stays where it is."""
        before, self.stop = self.stop, None
        self.entry, self.protection = entry, protection
        self.measure()
        if self.stop is None:
            self.stop = before

    def measure(self) -> None:
        """Derive the stop and the goal from the entry, the best price and the distances."""
        wish = self.protection
        if wish.take_profit is not None:
            self.goal = self.entry + self.sign * wish.take_profit
        if wish.stop is not None:
            self.tighten(self.entry - self.sign * wish.stop, Purpose.STOP_LOSS)
        if wish.break_even is not None and (self.best - self.entry) * self.sign >= wish.break_even:
            self.tighten(self.entry, Purpose.BREAK_EVEN)
        if wish.trailing is not None:
            self.tighten(self.best - self.sign * wish.trailing, Purpose.TRAILING_STOP)


class Exits:
    """The exit plans of all open positions, by strategy and instrument; `orders` says what stands at the venue.

    A goal is a limit order, or for the strategies `at_market` one that trades there once its price is touched.
    While it is not `armed` nothing is stated: a person had everything taken back.
    """

    def __init__(self, orders: Orders, at_market: frozenset[str] = frozenset()) -> None:
        self.armed = True
        self._orders = orders
        self.at_market = at_market
        self._plans: dict[Key, Plan] = {}

    def __bool__(self) -> bool:
        """Return True while any position has a plan."""
        return bool(self._plans)

    def plan(self, strategy: str, instrument: str) -> Plan | None:
        """Return the plan of a position, if it has one."""
        return self._plans.get((strategy, instrument))

    def guarded(self, instrument: str) -> frozenset[str]:
        """Return the strategies whose position in an instrument has a stop planned, or will have one."""
        return frozenset(
            strategy
            for (strategy, id), plan in self._plans.items()
            if id == instrument and (plan.stop is not None or plan.protection.has_stop)
        )

    def reason(self, order: Order) -> Purpose:
        """Return why an order that just filled was there, as the plan knows it now."""
        plan = self._plans.get((order.request.strategy, order.request.instrument))
        return plan.reason if plan is not None and self.is_stop(order) else order.request.purpose

    def is_stop(self, order: Order) -> bool:
        """Say whether an order is the stop that a plan wants."""
        return self._is_of_plan(order, Purpose.STOP_LOSS)

    def has_stop(self, strategy: str, instrument: str) -> bool:
        """Say whether the stop of a position is stated and has not ended."""
        plan = self._plans.get((strategy, instrument))
        stop = None if plan is None else self._orders.get(plan.orders.get(Purpose.STOP_LOSS, ""))
        return stop is not None and not stop.state.is_closed

    def is_goal(self, order: Order) -> bool:
        """Say whether an order is the take-profit that a plan wants."""
        return self._is_of_plan(order, Purpose.TAKE_PROFIT)

    def let_rest(self, order: Order) -> bool:
        """Have a goal rest as a limit order from now on whose trigger the venue refused; say whether it was one.

        Where the price is past it already that limit takes at once.
        """
        if not self.is_goal(order) or order.request.type not in GOAL_TYPES:
            return False
        self._plans[order.request.strategy, order.request.instrument].goal_rests = True
        return True

    def stood(self, order: Order) -> bool:
        """Say whether an order is a stop that was acknowledged before anything befell it."""
        plan = self._plans.get((order.request.strategy, order.request.instrument))
        return plan is not None and plan.stood == order.id

    def _is_of_plan(self, order: Order, purpose: Purpose) -> bool:
        plan = self._plans.get((order.request.strategy, order.request.instrument))
        return plan is not None and plan.orders.get(purpose) == order.id

    def attached(self, order_id: str, request: OrderRequest) -> None:
        """Remember the id under which a protective request was sent; requests that are not ours are passed over."""
        plan = self._plans.get((request.strategy, request.instrument))
        if plan is not None and plan.asked.get(request.purpose) is request:
            plan.orders[request.purpose] = order_id

    def on_fill(
        self, position: Position, request: OrderRequest | None, ts: int, instrument: Instrument
    ) -> list[Intent]:
        """Return what must change at the venue after a fill left `position` behind."""
        key = (position.strategy, position.instrument)
        plan = self._plans.get(key)
        sign = (position.quantity > 0) - (position.quantity < 0)
        if abs(position.quantity) < instrument.lot:
            sign = 0
        if plan is not None and sign != plan.sign:
            del self._plans[key]
            cancels: list[Intent] = [CancelRequest(order_id) for order_id in plan.orders.values()]
            return cancels + (self.on_fill(position, request, ts, instrument) if sign else [])
        if not sign:
            return []
        if request is not None and request.protection and request.purpose in _OPENING:
            entry = float(position.average_price)
            if plan is None:
                plan = Plan(sign, entry, request.protection, ts, entry)
                self._plans[key] = plan
            else:
                plan.grow(entry, request.protection)
            plan.measure()
        return self._standing(plan, position, instrument) if plan is not None else []

    def on_bar(
        self, bar: Bar, position: Position, trailing: float | None, instrument: Instrument
    ) -> list[Intent]:
        """Return what must change after a closed bar; `trailing` is the distance re-measured at this close."""
        plan = self._plans.get((position.strategy, position.instrument))
        if plan is None:
            return []
        is_sound = 0.0 < bar.low <= bar.close <= bar.high < inf
        # A bar in which the entry filled inside may have made its extreme before the entry: only its close is known.
        seen = (bar.high if plan.sign > 0 else bar.low) if plan.ts_entry <= bar.ts else bar.close
        if is_sound and (seen - plan.best) * plan.sign > 0:
            plan.best = seen
        plan.bars += 1
        wish = plan.protection
        if trailing is not None and wish.trailing is not None and trailing != wish.trailing:
            plan.protection = wish = Protection(
                wish.stop, wish.take_profit, trailing, wish.break_even, wish.max_bars
            )
        before = plan.stop
        plan.measure()
        intents = self._standing(plan, position, instrument) if plan.stop != before else []
        if wish.max_bars is not None and plan.bars >= wish.max_bars and not plan.leaving:
            plan.leaving = True
            price = to_decimal(bar.close) if is_sound else ZERO
            intents.append(exit_request(position, Purpose.TIME, price, instrument))
        return intents

    def stop_id(self, strategy: str, instrument: str) -> str:
        """Return the id of the stop that was stated last for a position, empty where none was."""
        plan = self._plans.get((strategy, instrument))
        return "" if plan is None else plan.orders.get(Purpose.STOP_LOSS, "")

    def uncovered(self, position: Position, instrument: Instrument, blind: Collection[str] = ()) -> Decimal:
        """Return how much of a position has no acknowledged stop; nothing where its plan has (now) no stop.

        One that was acknowledged and is doubted since counts until it is proven to be gone; one that is `blind` (its
        id) does not, because nobody can trigger it.
        """
        plan = self._plans.get((position.strategy, position.instrument))
        if plan is None or not self.armed or not self._trigger(plan, instrument):
            return ZERO
        stop = self._orders.get(plan.orders.get(Purpose.STOP_LOSS, ""))
        covered = ZERO
        if stop is not None:
            if stop.state in _ACKNOWLEDGED:
                plan.stood = stop.id
            if not stop.state.is_closed and plan.stood == stop.id and stop.id not in blind:
                covered = stop.remaining
        return max(ZERO, truncate_to(abs(position.quantity), instrument.lot) - covered)

    def renew(self, position: Position, purpose: Purpose, price: float | None, now: int) -> bool:
        """Say whether a stop or take-profit, which the venue ended, is to be stated anew (`now`: ns UTC).

        Not when the market is already past a stop, and not when the one before this was stated anew a moment ago, too.
        """
        plan = self._plans[position.strategy, position.instrument]
        is_stop = purpose is Purpose.STOP_LOSS
        if is_stop and price is not None and plan.stop is not None and (price - plan.stop) * plan.sign <= 0:
            return False
        if (before := plan.renewed.get(purpose)) is not None and now - before < _STEADY:
            return False
        plan.renewed[purpose] = now
        return True

    def standing(self, position: Position, instrument: Instrument) -> list[Intent]:
        """Return what must change at the venue so that the protection fits `position` again."""
        plan = self._plans.get((position.strategy, position.instrument))
        return self._standing(plan, position, instrument) if plan is not None else []

    def _standing(self, plan: Plan, position: Position, instrument: Instrument) -> list[Intent]:
        intents: list[Intent] = []
        if not self.armed:
            return intents
        quantity = truncate_to(abs(position.quantity), instrument.lot)
        if trigger := self._trigger(plan, instrument):
            intents.extend(self._stand(plan, position, Purpose.STOP_LOSS, quantity, trigger))
        if plan.goal is not None:
            price = _against(to_decimal(plan.goal), instrument.tick, -plan.sign)
            if price > 0:
                intents.extend(self._stand(plan, position, Purpose.TAKE_PROFIT, quantity, price))
        return intents

    @staticmethod
    def _trigger(plan: Plan, instrument: Instrument) -> Decimal:
        """Return at which price the stop of a plan triggers, zero where it has none or none is possible."""
        if plan.stop is None:
            return ZERO
        return max(ZERO, _against(to_decimal(plan.stop), instrument.tick, plan.sign))

    def _stand(
        self, plan: Plan, position: Position, purpose: Purpose, quantity: Decimal, price: Decimal
    ) -> list[Intent]:
        standing = self._orders.get(plan.orders.get(purpose, ""))
        if standing is not None and not standing.state.is_closed:
            # An order's quantity counts what it has filled, the position does not.
            whole, held = standing.filled + quantity, standing.request
            if (whole, price) == (held.quantity, held.price or held.trigger):
                return []
            if held.trigger is not None:
                return [AmendRequest(standing.id, quantity=whole, trigger=price)]
            return [AmendRequest(standing.id, quantity=whole, price=price)]
        kind = OrderType.STOP
        if purpose is Purpose.TAKE_PROFIT:
            triggers = position.strategy in self.at_market and not plan.goal_rests
            kind = OrderType.TAKE_PROFIT if triggers else OrderType.LIMIT
        request = plan.asked[purpose] = OrderRequest(
            strategy=position.strategy,
            instrument=position.instrument,
            side=Side.SELL if plan.sign > 0 else Side.BUY,
            quantity=quantity,
            type=kind,
            price=price if kind is OrderType.LIMIT else None,
            trigger=None if kind is OrderType.LIMIT else price,
            reduce_only=True,
            purpose=purpose,
            decision_price=price,
        )
        return [request]


_STEADY = 60 * SECOND_NS
"""How long a stop that was stated anew must have stood before the venue may end it again."""
_NOISE = Decimal("0.000001")
"""The part of a tick that is no price but what float arithmetic left behind."""
_OPENING = frozenset({Purpose.ENTRY, Purpose.REBALANCE})


def _against(price: Decimal, tick: Decimal, sign: int) -> Decimal:
    """Round to the grid against us; a price that misses it by float noise alone stays where it is."""
    price = nearest_to(price, tick * _NOISE)
    return floor_to(price, tick) if sign > 0 else ceil_to(price, tick)


def exit_request(
    position: Position, purpose: Purpose, price: Decimal, instrument: Instrument
) -> OrderRequest:
    """Return the market order that closes `position`; `price` is what the decision saw."""
    return OrderRequest(
        strategy=position.strategy,
        instrument=position.instrument,
        side=Side.SELL if position.quantity > 0 else Side.BUY,
        quantity=truncate_to(abs(position.quantity), instrument.lot),
        reduce_only=True,
        purpose=purpose,
        decision_price=price,
    )
