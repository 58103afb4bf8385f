"""Entries over several venues: which may take one now, at what cost, and who comes next when one refuses.

A wish names one instrument, its home. `state.routing` says where else the same pair may be entered. Each venue keeps
its own position, and an order whose outcome is not known is never sent elsewhere.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal

import msgspec

from abidance.engine.state import State
from abidance.execution.config import RoutingConfig
from abidance.execution.router import Candidate, route
from abidance.model.event import OrderAccepted, OrderUnknown
from abidance.model.instrument import SECOND_NS
from abidance.model.money import ZERO, ceil_to, nearest_to, to_decimal, truncate_to
from abidance.model.order import Order, OrderRequest
from abidance.risk.gate import Gate
from abidance.risk.state import Standing
from abidance.risk.view import worst_price

_LEARNT = 0.2
"""The weight of the newest answer in a venue's mean latency."""
_LONGEST = 10.0


class Routes:
    """The routes of a run, how quick each venue answered, and which venues an entry has tried."""

    def __init__(
        self, state: State, gate: Gate, standing: Callable[[str, str], Standing], config: RoutingConfig
    ) -> None:
        self._state = state
        self._gate = gate
        self._standing = standing
        self._config = config
        self._seconds: dict[str, float] = {}
        self._homes: dict[str, tuple[OrderRequest, frozenset[str]]] = {}

    def members(self, instrument: str) -> tuple[str, ...]:
        """Return where a wish for an instrument may lead to positions, its home first."""
        return (instrument, *self._config.routes.get(instrument, ()))

    def plan(self, request: OrderRequest, without: frozenset[str] = frozenset()) -> list[OrderRequest]:
        """Return the orders in which an entry is to leave; none when no venue takes it."""
        found = tuple(self._candidates(request, without))
        shares = route(found, request, self._config.split_saving)
        return [self._at(request, id, quantity) for id, quantity in shares]

    def sent(self, order_id: str, request: OrderRequest, without: frozenset[str], sent: OrderRequest) -> None:
        """Remember what an order is a share of, and where that was tried before."""
        self._homes[order_id] = (
            msgspec.structs.replace(request, quantity=sent.quantity),
            without | {sent.instrument},
        )

    def refused(self, order: Order) -> tuple[OrderRequest, frozenset[str]] | None:
        """Return what an order that its venue has refused was to do, and where that was tried; None if not routed."""
        return self._homes.pop(order.id, None)

    def heard(self, order: Order, event: OrderAccepted | OrderUnknown) -> None:
        """Learn how long a venue took to answer; what it may have never goes elsewhere.

        What it has may still be refused: Bybit answers before its books have an order.
        """
        if isinstance(event, OrderUnknown):
            self.over(order)
            return
        venue = self._state.instruments[order.request.instrument].venue
        took = min(max(event.ts - order.ts_intent, 0) / SECOND_NS, _LONGEST)
        before = self._seconds.get(venue, took)
        self._seconds[venue] = before + _LEARNT * (took - before)

    def over(self, order: Order) -> None:
        """Forget where an order could go: it has ended."""
        self._homes.pop(order.id, None)

    def _at(self, request: OrderRequest, id: str, quantity: Decimal) -> OrderRequest:
        """Return the request as it would be worded at another venue."""
        instrument, price = self._state.instruments[id], request.price
        made: OrderRequest = msgspec.structs.replace(
            request,
            instrument=id,
            quantity=quantity,
            price=None if price is None else nearest_to(price, instrument.tick),
        )
        return made

    def _candidates(self, request: OrderRequest, without: frozenset[str]) -> Iterator[Candidate]:
        """Yield the venues that could take the entry, or as much of it as they have money for."""
        state = self._state
        for id in self.members(request.instrument):
            instrument = state.instruments[id]
            room = self._room(request, id)
            quantity = truncate_to(min(request.quantity, room), instrument.lot)
            if id in without or not quantity > 0:
                continue
            wish = self._at(request, id, quantity)
            if self._gate.foresee(wish, state, self._standing(request.strategy, id)) is not None:
                continue
            ladder, last = state.pricing.ladder(id, request.side, quantity), state.price(id)
            if ladder is None or last is None:
                continue
            worth = ceil_to(instrument.min_notional / to_decimal(last), instrument.lot)
            penalty = self._seconds.get(instrument.venue, 0.0) * self._config.latency_cost
            yield Candidate(
                id,
                instrument.lot,
                max(instrument.min_quantity, instrument.lot, worth),
                truncate_to(room, instrument.lot),
                ladder,
                state.pricing.costs[id],
                penalty,
            )

    def _room(self, request: OrderRequest, id: str) -> Decimal:
        """Return how much the free balance of a venue pays for, costs included."""
        state, instrument = self._state, self._state.instruments[id]
        worst = worst_price(request, state.price(id))
        terms = state.terms(request.strategy)
        share = 1.0 / terms.leverage if instrument.is_perpetual else 1.0
        needed = worst * (share + state.cost_rate(id))
        free = state.free(instrument.venue, instrument.name.settle or instrument.quote)
        return free / to_decimal(needed) if needed > 0 and free > 0 else ZERO
