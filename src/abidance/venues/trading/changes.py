"""Changes of orders that stand at a venue: asked for once, and told as done or not as the venue itself has them.

An answer that is lost proves nothing: the order is looked at until it is as it was wished. One that refuses may do so
because there is nothing to change, as an earlier process had it changed: then it is looked at once. What somebody else
changed is taken over once the venue has said so for longer than copies of its books may be behind.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress

import msgspec

from abidance.model.command import Amend
from abidance.model.errors import VenueError
from abidance.model.event import AccountEvent, ChangeRejected
from abidance.model.instrument import SECOND_NS
from abidance.model.order import OrderRequest
from abidance.venues.account import AccountDialect, Call, OrderReport, Proof, Reply
from abidance.venues.net.transport import NotSentError
from abidance.venues.trading.inquiry import LAG, Inquiry
from abidance.venues.trading.line import Way
from abidance.venues.trading.register import Register, as_told
from abidance.venues.trading.tracked import Tracked

CONFIRM = 1.0
"""Seconds after which a change that was not confirmed is asked about."""
_PAUSES = (CONFIRM, 2 * CONFIRM, 5 * CONFIRM)
Send = Callable[[Call, str, Callable[[], None] | None, int], Coroutine[object, object, Reply]]
"""Sends a call that concerns an instrument, with what is called as it leaves, once a record is safe."""


class Changes:
    """The changes of one register's orders; `hear` takes what an answer tells."""

    def __init__(
        self,
        dialect: AccountDialect,
        register: Register,
        way: Way,
        inquiry: Inquiry,
        lock: Callable[[str], asyncio.Lock],
        send: Send,
        hear: Callable[[Reply], None],
        tell: Callable[[AccountEvent], None],
    ) -> None:
        self._dialect = dialect
        self._register = register
        self._way = way
        self._inquiry = inquiry
        self._lock = lock
        self._send = send
        self._hear = hear
        self._tell = tell

    async def amend(self, tracked: Tracked, command: Amend, recorded_as: int) -> None:
        """Change an order at the venue, or here if it came to us meanwhile."""
        wish = amended(tracked.request, command)
        async with self._lock(tracked.id), self._lock(f"{tracked.id} moves"):
            if tracked.is_closed:
                return
            if tracked.held:  # it came to us while we waited
                self._register.amended(tracked, wish, self._now())
                return
            if wish.reduce_only and wish.quantity <= tracked.filled:  # who wished it will hear of that
                self._tell(ChangeRejected(self._now(), tracked.id, "nothing would be left of it"))
                return
            if command.quantity is not None:  # the venue knows nothing of an earlier life
                if not await self._is_placed(tracked):
                    self._refused(tracked, "it is not known in which of its lives it has filled")
                    return
                before = tracked.before(tracked.venue_id)
                command = msgspec.structs.replace(command, quantity=command.quantity - before)
            call = self._dialect.amend(tracked.view(), command, tracked.venue_id)
            about = ((tracked.request.instrument, tracked.sent_at),)
            tracked.wish = wish
            leaving = self._last_look(tracked) if _risks_more(tracked.request, wish) else None
            call = call._replace(about=about, is_urgent=leaving is None)
            reply = await self._send(call, tracked.request.instrument, leaving, recorded_as)
            self._hear(reply)
            if not tracked.is_changing:  # the venue told it already
                return
            if reply.proof is Proof.DONE:
                self._register.amended(tracked, wish, self._now())
            elif not reply.has_left:
                self._refused(tracked, reply.reason)
        if tracked.is_changing:
            was_refused = reply.proof in (Proof.REFUSED, Proof.LATE)
            await self._find_out(tracked, reply.reason, (0.0,) if was_refused else _PAUSES)

    async def _is_placed(self, tracked: Tracked) -> bool:
        """Say whether it is known in which of its lives an order has filled, and of which one is asked."""
        if tracked.is_to_be_sought:
            with suppress(VenueError):
                await self._inquiry.ask_owed()
        is_known = bool(tracked.venue_id) or not tracked.may_have_returned
        return is_known and not tracked.is_unplaced and not tracked.is_closed

    def _last_look(self, tracked: Tracked) -> Callable[[], None]:
        """Return what an order that risks something passes just before a byte of its request leaves."""

        def leaving() -> None:
            if tracked.is_unwanted or tracked.is_closed:
                raise NotSentError("it was taken back before its change left", "Send another one.")
            self._way.departs(tracked.id)

        return leaving

    async def _find_out(self, tracked: Tracked, reason: str, pauses: Sequence[float]) -> None:
        """Ask about an order until it is as wished, or has not been in so many answers."""
        for delay in pauses:
            if tracked.is_closed or not tracked.is_changing:
                return
            await self._way.pulse.sleep(delay)
            with suppress(VenueError):
                if await self._inquiry.look(tracked) is None:
                    self._register.unknown(tracked, "not found after it was to be changed", self._now())
                    self._inquiry.resolve(tracked)
                    return
        if not tracked.is_closed and tracked.is_changing:
            self._refused(tracked, reason or "not confirmed")

    def _refused(self, tracked: Tracked, reason: str) -> None:
        tracked.wish = None
        if not tracked.is_closed:
            self._tell(ChangeRejected(self._now(), tracked.id, reason))

    def compare(self, report: OrderReport, tracked: Tracked) -> None:
        """Take over what an order has become at the venue without us."""
        there = as_told(report, tracked)
        competes = tracked.request.reduce_only and not self._dialect.capability.reduce_only
        if competes:  # one was sent for less where others sell the same position
            there = msgspec.structs.replace(there, quantity=tracked.request.quantity)
        is_ours = tracked.is_closed or tracked.held or tracked.moving or tracked.is_changing
        if is_ours or there == tracked.request or report.venue_id in tracked.past or report.state.is_closed:
            tracked.other_since = None
        elif tracked.other_since is None:
            tracked.other_since = self._way.wire.now()
        elif self._way.wire.now() - tracked.other_since >= LAG * SECOND_NS:
            tracked.other_since = None
            self._way.log.warning("order_changed_by_others", order=tracked.id)
            self._register.amended(tracked, there, self._now())

    def _now(self) -> int:
        return self._way.pulse.wall()


def _risks_more(before: OrderRequest, wish: OrderRequest) -> bool:
    """Say whether a change may lead to more: of an entry each one does that is not to make it smaller alone."""
    smaller = msgspec.structs.replace(before, quantity=wish.quantity)
    return not wish.reduce_only and not (wish == smaller and wish.quantity <= before.quantity)


def amended(request: OrderRequest, command: Amend) -> OrderRequest:
    """Return a request with the values of a change."""
    given = {"quantity": command.quantity, "price": command.price, "trigger": command.trigger}
    wish: OrderRequest = msgspec.structs.replace(
        request, **{name: value for name, value in given.items() if value is not None}
    )
    return wish
