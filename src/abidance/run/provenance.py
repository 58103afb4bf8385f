"""What an exit closes and why a protective stop stands where it stands, told from the journal.

The engine knows whether a stop was moved by a trailing distance or to the entry price; the record shows only where it
was moved: its trigger against the entry it protects. Owns that inference, and which fill opened what is held.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from abidance.execution.orders import Orders
from abidance.model.account import Position
from abidance.model.command import Amend
from abidance.model.instrument import Instrument
from abidance.model.money import to_decimal
from abidance.model.order import Fill, Order, OrderRequest, Protection, Purpose
from abidance.portfolio.ledger import fill_ref

_OPENING = frozenset({Purpose.ENTRY, Purpose.REBALANCE})
_Place = tuple[str, str]


class Stand(NamedTuple):
    """How a place stood: what it held, and the fill that opened that or was the newest to make it larger (its `ref`).

    Its exits are measured from `price` by the distances of `protection`, where a strategy or a person wished any.
    """

    held: Decimal
    entry: str
    price: Decimal
    protection: Protection | None


class Provenance:
    """The reason of each stop, and how each place stands; told of what is sent, changed and filled, in their order."""

    def __init__(self, orders: Orders, instruments: Mapping[str, Instrument]) -> None:
        self._orders = orders
        self._instruments = instruments
        self._plans: dict[_Place, tuple[int, Decimal, Protection]] = {}
        self._reasons: dict[str, Purpose] = {}
        self._entries: dict[_Place, tuple[str, str]] = {}

    def stand(self, position: Position) -> Stand:
        """Return how the place of a position stands."""
        place = (position.strategy, position.instrument)
        _, entry, wish = self._plans.get(place, (0, position.average_price, None))
        return Stand(position.quantity, self._entries.get(place, ("", ""))[1], entry, wish)

    def reason(self, order: Order) -> Purpose:
        """Return why an order that just filled was there."""
        request = order.request
        if (request.strategy, request.instrument) not in self._plans:
            return request.purpose
        return self._reasons.get(order.id, request.purpose)

    def on_submit(self, order: Order) -> None:
        """Take an order that was just sent."""
        self._judge(order.id, order.request, order.request.trigger)

    def on_amend(self, command: Amend) -> None:
        """Take a change that was just sent."""
        order = self._orders.get(command.order_id)
        if order is not None and command.trigger not in (None, order.request.trigger):
            self._judge(order.id, order.request, command.trigger)

    def on_fill(self, order: Order | None, fill: Fill, position: Position) -> None:
        """Take a fill and the position that it left behind."""
        place = (position.strategy, position.instrument)
        if not position.quantity:
            self._entries.pop(place, None)
        elif (
            position.quantity * fill.side.sign > 0 and self._entries.get(place, ("", ""))[0] != fill.order_id
        ):
            self._entries[place] = fill.order_id, fill_ref(fill)
        sign = (position.quantity > 0) - (position.quantity < 0)
        if abs(position.quantity) < self._instruments[position.instrument].lot:
            sign = 0
        plan = self._plans.get(place)
        if plan is not None and plan[0] != sign:
            del self._plans[place]
        if sign and order is not None and order.request.protection and order.request.purpose in _OPENING:
            self._plans[place] = sign, position.average_price, order.request.protection

    def _judge(self, order_id: str, request: OrderRequest, trigger: Decimal | None) -> None:
        plan = self._plans.get((request.strategy, request.instrument))
        if request.purpose is not Purpose.STOP_LOSS or plan is None or trigger is None:
            return
        sign, entry, wish = plan
        tick = self._instruments[request.instrument].tick
        if wish.stop is not None and abs(trigger - entry + sign * to_decimal(wish.stop)) < tick:
            reason = Purpose.STOP_LOSS
        elif wish.break_even is not None and abs(trigger - entry) < tick:
            reason = Purpose.BREAK_EVEN
        elif wish.trailing is not None:
            reason = Purpose.TRAILING_STOP
        else:
            reason = self._reasons.get(order_id, Purpose.STOP_LOSS)
        self._reasons[order_id] = reason


__all__ = ["Provenance"]
