"""What an earlier process left behind at a venue: its orders are taken over, and what became of each is asked.

An order of which it is known that it cannot have left is not asked about: only its own process could have sent it.
"""

from collections.abc import Callable, Iterable

from abidance.model.command import Submit
from abidance.model.order import Fill, Order, OrderState
from abidance.venues.account import AccountDialect
from abidance.venues.trading.inquiry import Inquiry
from abidance.venues.trading.line import Way
from abidance.venues.trading.register import Register, Tracked


class Recovery:
    """The orders of an earlier process in one register; `place` sends an order for the first time."""

    def __init__(
        self,
        dialect: AccountDialect,
        register: Register,
        inquiry: Inquiry,
        way: Way,
        place: Callable[[Submit], None],
    ) -> None:
        self._dialect = dialect
        self._register = register
        self._inquiry = inquiry
        self._way = way
        self._place = place
        self._open: list[Tracked] = []
        self._unsent: list[Tracked] = []

    def begin(
        self, orders: Iterable[Order], fills: Iterable[Fill], may_have_left: Callable[[str], bool]
    ) -> None:
        """Take over what the record says."""
        register = self._register
        register.recover(orders, fills)
        for tracked in register.open():
            tracked.held = tracked.request.type not in self._dialect.capability.native
            if tracked.told is OrderState.SENT and not may_have_left(tracked.id):
                self._unsent.append(tracked)
            elif not tracked.held:
                self._open.append(tracked)

    async def go_on(self) -> None:
        """Ask for all orders at once, then for each. Raises VenueError while nobody answers; call it again."""
        wire, now = self._way.wire, self._way.pulse.wall()
        while self._unsent:
            self._never_left(self._unsent.pop(0))
        for tracked in self._open:
            tracked.left_by = wire.now()
            self._register.unknown(tracked, "the program was not running", now)
        if self._open:
            await self._inquiry.list_orders()  # one answer finds most of them
        for tracked in self._open:
            self._inquiry.resolve(tracked)
        self._open = []
        await self._inquiry.let_it_show()

    def _never_left(self, tracked: Tracked) -> None:
        """Send a stop that there was no time to send; anything else is for the engine to wish anew."""
        request = tracked.request
        if request.reduce_only and request.trigger is not None:
            self._place(Submit(tracked.id, request, self._way.wire.now()))
        else:
            self._register.rejected(tracked, "not sent: the program ended before", self._way.pulse.wall())
