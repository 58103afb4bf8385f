"""What stands at venues in an instrument, or is to stand there, as risk looks at it (`risk.crowd.Resting`)."""

from collections.abc import Sequence

from abidance.execution.exits import Exits
from abidance.execution.orders import Orders
from abidance.model.order import OrderRequest


class Resting:
    """The open orders of one state, and the stops that its positions may come to need."""

    def __init__(self, orders: Orders, exits: Exits) -> None:
        self._orders = orders
        self._exits = exits

    def standing(self, instrument: str) -> Sequence[OrderRequest]:
        """Return the requests of all orders in an instrument that have not ended."""
        return [order.request for order in self._orders.open(instrument=instrument)]

    def guarded(self, instrument: str) -> frozenset[str]:
        """Return the strategies that hold a position in an instrument whose plan has a stop, or will have one."""
        return self._exits.guarded(instrument)

    @property
    def at_market(self) -> frozenset[str]:
        """Return the strategies whose goals wait for a trigger."""
        return self._exits.at_market


__all__ = ["Resting"]
