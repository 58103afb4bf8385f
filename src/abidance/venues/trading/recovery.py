"""What an earlier process left behind at a venue: its orders are taken over, and what became of each is asked.

An order of which it is known that it cannot have left is not asked about, for only its own process could have sent it:
one that stood was held by that process, and is held by this one. One that was called off is called off again where
nobody heard that it was: who wished that does not wish it twice.
"""

from collections.abc import Callable, Iterable

from abidance.model.command import Amend, Submit
from abidance.model.instrument import SECOND_NS
from abidance.model.money import ZERO
from abidance.model.order import STOP_TYPES, Fill, Order, OrderState
from abidance.venues.trading.inquiry import Inquiry
from abidance.venues.trading.line import Way
from abidance.venues.trading.register import Register
from abidance.venues.trading.tracked import Tracked

LOOK = 0.5
"""Seconds between looks whether an order was found that was called off."""
_STANDING = (OrderState.OPEN, OrderState.PARTIAL)


class Recovery:
    """The orders of an earlier process in one register.

    `place` sends one for the first time, `take_back` calls one off, `recount` counts one.
    With `one_exit` an exit that rests gives way to another one, and goes back under the same id.
    """

    def __init__(
        self,
        register: Register,
        inquiry: Inquiry,
        way: Way,
        place: Callable[[Tracked, Submit], None],
        take_back: Callable[[Tracked], None],
        recount: Callable[[Order], None],
        *,
        one_exit: bool,
    ) -> None:
        self._register = register
        self._inquiry = inquiry
        self._way = way
        self._place = place
        self._take_back = take_back
        self._recount = recount
        self._one_exit = one_exit
        self._open: list[Tracked] = []
        self._unsent: list[Tracked] = []
        self._called_off: list[Tracked] = []
        self._known: list[Order] = []
        self._began = 0.0

    def begin(
        self,
        orders: Iterable[Order],
        fills: Iterable[Fill],
        may_have_left: Callable[[str], bool],
        amend_of: Callable[[str], Amend | None],
        is_called_off: Callable[[str], bool],
    ) -> None:
        """Take over what the record says, changes of which nobody heard whether they were done included."""
        register, self._began = self._register, self._way.pulse.steady()
        self._known = list(orders)
        register.recover(self._known, fills)
        for tracked in register.open():
            tracked.left = may_have_left(tracked.id)
            if (change := amend_of(tracked.id)) is not None:
                tracked.most = change.quantity or ZERO
            tracked.may_have_returned = tracked.left and tracked.request.reduce_only and self._one_exit
            tracked.left_by = self._way.wire.now()  # until the venue's clock is known better
            tracked.held = not tracked.left and tracked.told in _STANDING
            if is_called_off(tracked.id):
                tracked.is_unwanted = True
                self._called_off.append(tracked)
            if tracked.told is OrderState.SENT and not tracked.left:
                self._unsent.append(tracked)
            elif not tracked.held:
                self._open.append(tracked)

    async def go_on(self) -> None:
        """Ask for all orders at once, then for each. Raises VenueError while nobody answers; call it again."""
        pulse, register = self._way.pulse, self._register
        now = pulse.wall()
        began = self._way.wire.now() - round((pulse.steady() - self._began) * SECOND_NS)
        known, self._known = self._known, []
        for order in known:
            self._recount(order)
        while self._unsent:
            self._never_left(self._unsent.pop(0))
        for tracked in self._open:
            tracked.left_by = began  # nobody but the process before this one has sent it
            register.unknown(tracked, "the program was not running", now)
        if self._open:
            await self._inquiry.list_orders()  # one answer finds most of them
        for tracked in self._open:
            self._inquiry.resolve(tracked)
        self._open = []
        while self._called_off:
            self._way.spawn(self._call_off(self._called_off.pop()))
        await self._inquiry.let_it_show()

    async def _call_off(self, tracked: Tracked) -> None:
        """Call an order off again, once it is known under which id it stands."""
        while tracked.told is OrderState.UNKNOWN:
            await self._way.pulse.sleep(LOOK)
        if not tracked.is_closed:
            self._take_back(tracked)

    def _never_left(self, tracked: Tracked) -> None:
        """Send a stop that there was no time to send; anything else is for the engine to wish anew."""
        request = tracked.request
        if request.reduce_only and request.type in STOP_TYPES and not tracked.is_unwanted:
            tracked.sent_at = self._way.wire.now()
            self._place(tracked, Submit(tracked.id, request, tracked.sent_at))
        elif not tracked.is_closed:
            self._register.came_to_nothing(
                tracked, "not sent: the program ended before", self._way.pulse.wall()
            )
