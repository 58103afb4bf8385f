"""What accounts hold other than our books say, accepted by a person: the fills that no venue lists, then all the rest.

It is booked for what that person has seen and for nothing else, and not while anything else may be what differs.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial

from abidance.engine.state import State
from abidance.model.event import AccountEvent
from abidance.model.money import ZERO
from abidance.model.order import OrderRequest
from abidance.run.adjusting import ADJUSTMENT, adjustments
from abidance.run.byhand import last_price
from abidance.venues.trading.gateway import VenueGateway
from abidance.venues.trading.scales import BOOKS, OWED


class Acceptance:
    """The accounts in doubt of a run, for one answer of a person."""

    def __init__(self, gateways: Sequence[VenueGateway], state: State) -> None:
        self._doubtful = [each for each in gateways if not each.doubts.keys().isdisjoint((BOOKS, OWED))]
        self._state = state

    def objection(self, seen: str) -> str:
        """Return why what a person has `seen` cannot be booked now; empty when it can."""
        if not all(each.scales.is_clear() for each in self._doubtful):
            return "Orders are under way whose fills may be what differs: they would be booked twice."
        found = " ".join(filter(None, (each.scales.seen() for each in self._doubtful)))
        if not found or seen != found:
            return f"The bot sees something else: {found or 'no difference yet.'}"
        owing = [order.request for each in self._doubtful for order in each.scales.overdue()]
        unpriced = [each.instrument for each in owing if self._price(each) is None]
        return f"No price of {unpriced[0]} is known yet." if unpriced else ""

    def book(self, seq: int, tell: Callable[[AccountEvent], None], hear: Callable[[], None]) -> None:
        """Book it: `tell` takes entries, `hear` lets the engine take what the accounts were told.

        The entries are named after the answer's place in the journal.
        """
        ref = f"{ADJUSTMENT}{seq}"
        for gateway in self._doubtful:
            gateway.scales.concede(lambda each: self._price(each) or ZERO, ref)
            hear()
            positions, instruments = self._state.portfolio.open_positions(), gateway.dialect.instruments
            price, now = partial(last_price, self._state), self._state.now
            for event in list(adjustments(gateway.scales.gaps(), positions, instruments, price, ref, now)):
                tell(event)
            gateway.scales.weigh()

    def _price(self, request: OrderRequest) -> Decimal | None:
        """Return at what price a fill counts of which none is known: the limit, or the last one."""
        return request.price or last_price(self._state, request.instrument)
