"""Orders called back from a venue: one at a time, or (the kill switch) all, again and again until each is clear."""

import asyncio
from collections.abc import Callable, Coroutine

from abidance.model.errors import VenueError
from abidance.model.order import Order
from abidance.venues.account import AccountDialect, Call, Proof, Reply
from abidance.venues.net.transport import Backoff
from abidance.venues.trading.line import LONGEST, Way
from abidance.venues.trading.register import Register
from abidance.venues.trading.tracked import Tracked


def call_back(dialect: AccountDialect, order: Order, venue_id: str) -> Call:
    """Return the call that takes an order back. Raises VenueError where none can be made."""
    about = ((order.request.instrument, order.ts_intent),)
    return dialect.cancel(order, venue_id)._replace(about=about)


class Recall:
    """What calls the orders of one register back; `called` are those of which the kill switch asks just now.

    `send` sends a change that concerns an instrument, `hear` takes what an answer tells, and `confirm` asks about an
    order until it is clear whether a change of it was made.
    """

    def __init__(
        self,
        dialect: AccountDialect,
        register: Register,
        way: Way,
        lock: Callable[[str], asyncio.Lock],
        send: Callable[[Call, str], Coroutine[object, object, Reply]],
        hear: Callable[[Reply], None],
        confirm: Callable[[Tracked], Coroutine[object, object, None]],
    ) -> None:
        self.called: set[str] = set()
        self._dialect = dialect
        self._register = register
        self._way = way
        self._lock = lock
        self._send = send
        self._hear = hear
        self._confirm = confirm

    async def ask(self, order: Order, venue_id: str) -> Reply:
        """Ask for an order to be taken back and return what the answer proves."""
        try:
            call = call_back(self._dialect, order, venue_id)
        except VenueError as error:
            return Reply(Proof.UNKNOWN, error.found)
        return await self._send(call, order.request.instrument)

    def begin(self, *, keeps_exits: bool) -> "asyncio.Future[None]":
        """Take back everything that may stand; with `keeps_exits` what makes positions smaller stays."""
        found = [each for each in self._register.open() if not (keeps_exits and each.request.reduce_only)]
        for tracked in found:
            tracked.is_unwanted = True
            if tracked.is_watched:
                self._register.gone(tracked, "killed", self._way.pulse.wall())
        standing = [each for each in found if each.is_standing]
        self.called.update(each.id for each in standing)
        return self._way.spawn(self._all(standing, whole=not keeps_exits))

    async def _all(self, standing: list[Tracked], *, whole: bool) -> None:
        """Ask for orders to be taken back, again and again until each is clear."""
        backoff = Backoff(self._way.draw, longest=LONGEST)
        works = self._works(standing, whole=whole)
        while True:
            for reply in await asyncio.gather(*works):
                self._hear(reply)
            self.called.difference_update(each.id for each in standing)
            overtaken = (self._once_more(each) for each in standing if self._lock(each.id).locked())
            await asyncio.gather(*map(self._confirm, standing), *overtaken)
            if not (standing := [each for each in standing if each.is_standing]):
                return
            await self._way.pulse.sleep(backoff.delay())
            works = self._works(standing, whole=False)  # what came later, such as exits, stays

    async def _once_more(self, tracked: Tracked) -> None:
        """Ask again for an order that was still on its way: the first question may have overtaken it."""
        async with self._lock(tracked.id):
            if tracked.is_standing:
                self._hear(await self.ask(tracked.view(), tracked.venue_id))

    def _works(self, standing: list[Tracked], *, whole: bool) -> list[Coroutine[object, object, Reply]]:
        if not (self._dialect.capability.cancels_all and whole):
            return [self.ask(each.view(), each.venue_id) for each in standing]
        about: dict[str, tuple[tuple[str, int], ...]] = {}
        for each in standing:
            name = each.request.instrument
            about[name] = (*about.get(name, ()), (name, each.sent_at))
        return [
            self._send(call._replace(about=orders), "")
            for name, orders in about.items()
            for call in (self._dialect.cancel_all(name), *self._dialect.cancel_rest(name))
        ]
