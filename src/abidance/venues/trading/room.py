"""Room in a venue's counts of orders: an exit waits for some, an entry leaves now or never.

An exit for which others are to be taken back waits until there is room for all of that: meanwhile they stand.
What an earlier process sent a moment ago takes room, too. How much there is, `net.budget` knows.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress

from abidance.model.command import Submit
from abidance.model.errors import VenueError
from abidance.model.instrument import SECOND_NS
from abidance.model.order import Order, OrderState
from abidance.venues.account import AccountDialect, Call
from abidance.venues.trading.line import Way
from abidance.venues.trading.recall import call_back
from abidance.venues.trading.tracked import Tracked

PATIENCE = 30.0
"""Seconds for which an exit waits for room: protection that is late is better than none."""
RECOUNTED = 120 * SECOND_NS
"""How far back an earlier process's orders are counted, in ns: longer counts the venue tells with its first answer."""
UNSENT = "not sent: "
"""What the reason of an order begins with of which not a byte left."""


class Room:
    """The room for the orders of one account in one market."""

    def __init__(self, dialect: AccountDialect, way: Way) -> None:
        self._dialect = dialect
        self._way = way

    def call(self, command: Submit) -> Call:
        """Return the call that places an order. Raises VenueError for one that cannot be said."""
        about = ((command.request.instrument, command.ts),)
        return self._dialect.submit(command)._replace(about=about)

    async def wait(
        self, tracked: Tracked, command: Submit, others: Callable[[], Iterable[Tracked]] = tuple
    ) -> None:
        """Return once the venue takes one more order, if this one is an exit and that comes soon enough.

        Before it `others` are to be taken back.
        """
        pulse, until = self._way.pulse, self._way.pulse.steady() + PATIENCE
        with suppress(VenueError):
            while tracked.request.reduce_only and not (tracked.is_unwanted or tracked.is_closed):
                before = [call_back(self._dialect, each.view(), each.venue_id) for each in others()]
                delay = self._way.wire.delay(self.call(command), before)
                if delay <= 0 or pulse.steady() + delay > until:
                    return
                self._way.log.warning("exit_waits_for_room", order=tracked.id, seconds=round(delay, 3))
                await pulse.sleep(delay)

    def recount(self, order: Order) -> None:
        """Count an order that an earlier process sent a moment ago."""
        is_unsent = order.state is OrderState.REJECTED and order.reason.startswith(UNSENT)
        is_told = order.request.type in self._dialect.capability.native and not is_unsent
        if order.ts_intent > self._way.wire.now() - RECOUNTED and is_told:
            with suppress(VenueError):
                self._way.wire.recount(self.call(Submit(order.id, order.request, order.ts_intent)))
