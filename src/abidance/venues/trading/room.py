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
        self._granted: dict[str, list[Call]] = {}
        """What exits that have found room are still to send, by their ids."""

    def call(self, command: Submit) -> Call:
        """Return the call that places an order. Raises VenueError for one that cannot be said."""
        about = ((command.request.instrument, command.ts),)
        return self._dialect.submit(command)._replace(about=about)

    async def wait(
        self, tracked: Tracked, command: Submit, others: Callable[[], Iterable[Tracked]] = tuple
    ) -> None:
        """Return once the venue takes one more order, if this one is an exit and that comes soon enough.

        Before it `others` are to be taken back. The room is kept for it until it leaves (`take`), or never will
        (`left`).
        """
        pulse, until = self._way.pulse, self._way.pulse.steady() + PATIENCE
        with suppress(VenueError):
            while tracked.request.reduce_only and not (tracked.is_unwanted or tracked.is_closed):
                standing = (each for each in others() if each.is_standing)
                mine = [call_back(self._dialect, each.view(), each.venue_id) for each in standing]
                theirs = [call for id, calls in self._granted.items() if id != tracked.id for call in calls]
                delay = self._way.wire.delay(self.call(command), [*mine, *theirs])
                if delay <= 0 or pulse.steady() + delay > until:
                    self._granted[tracked.id] = [*mine, self.call(command)]
                    return
                self._way.log.warning("exit_waits_for_room", order=tracked.id, seconds=round(delay, 3))
                await pulse.sleep(delay)

    def take(self, tracked: Tracked, command: Submit) -> Call:
        """Return the call that places an order now, in the room that was kept for it: it counts as it is asked.

        Raises VenueError for one that cannot be said.
        """
        call = self.call(command)
        self.left(tracked)
        return call

    def left(self, tracked: Tracked) -> None:
        """Keep no room for an order any more: it counts by itself, or it never will."""
        self._granted.pop(tracked.id, None)

    def recount(self, order: Order) -> None:
        """Count an order that an earlier process sent a moment ago."""
        is_unsent = order.state is OrderState.REJECTED and order.reason.startswith(UNSENT)
        is_told = order.request.type in self._dialect.capability.native and not is_unsent
        if order.ts_intent > self._way.wire.now() - RECOUNTED and is_told:
            with suppress(VenueError):
                self._way.wire.recount(self.call(Submit(order.id, order.request, order.ts_intent)))
