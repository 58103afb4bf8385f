"""Orders that stand with us in the place of the venue: it cannot keep them, or another exit needs the assets.

On a spot market an exit that rests has the assets in keeping. One that rests gives way to one that is sent, and we
watch the market for it meanwhile; as soon as nothing is in its way, whatever became of the other one, it goes back.
"""

import asyncio
from collections.abc import Callable, Coroutine

from msgspec.structs import replace

from abidance.model.command import Submit
from abidance.model.instrument import SECOND_NS
from abidance.model.order import OrderRequest, OrderState, OrderType
from abidance.venues.account import AccountDialect, Proof, Reply
from abidance.venues.trading.line import Way
from abidance.venues.trading.register import Register, Tracked

AGAIN = 60 * SECOND_NS
"""How long after one that was refused the next try to bring an order back follows."""


class Keeping:
    """What we hold of one register; `submit` sends an order, `withdraw` takes one off the venue and says whether."""

    def __init__(
        self,
        dialect: AccountDialect,
        register: Register,
        way: Way,
        lock: Callable[[str], asyncio.Lock],
        submit: Callable[[Tracked, Submit], Coroutine[object, object, None]],
        withdraw: Callable[[Tracked], Coroutine[object, object, bool]],
    ) -> None:
        self._capability = dialect.capability
        self._register = register
        self._way = way
        self._lock = lock
        self._submit = submit
        self._withdraw = withdraw
        self._free: set[str] = set()
        self._not_before: dict[str, int] = {}

    def must_hold(self, tracked: Tracked) -> bool:
        """Say whether we watch the market for an order: the venue cannot, or another exit has the assets in keeping."""
        request = tracked.request
        if request.type not in self._capability.native:
            return True
        if not request.reduce_only or request.type is OrderType.MARKET or self._capability.reduce_only:
            return False
        others = self._register.standing(request.instrument, request.side)
        return any(each.request.reduce_only for each in others if each is not tracked)

    def release(self, tracked: Tracked) -> None:
        """Send an order that we held, now that its price has come."""
        request = tracked.request
        if request.trigger is not None:
            kind = OrderType.LIMIT if request.type is OrderType.STOP_LIMIT else OrderType.MARKET
            request = replace(request, type=kind, trigger=None)
        self._way.log.info("held_order_released", order=tracked.id, instrument=request.instrument)
        self._send(tracked, request)

    async def make_room(self, tracked: Tracked) -> None:
        """Take back the exits that keep the assets of one that is about to leave; we hold them from now on."""
        request = tracked.request
        if not request.reduce_only or self._capability.reduce_only:
            return
        for other in list(self._register.standing(request.instrument, request.side)):
            if other is tracked or not other.request.reduce_only or other.request.type is OrderType.MARKET:
                continue
            async with self._lock(f"{other.id} moves"):  # whoever has it waits for no other lock
                is_off = other.is_standing and await self._withdraw(other)
            if is_off:
                self._way.log.info("stop_held_by_us", order=other.id, while_sending=tracked.id)

    def bring_back(self) -> None:
        """Send what gave way to the venue again, where nothing was in its way at the last look either.

        In between, whoever wished it has heard what became of the other exit, and has made this one as large as it is
        to be or has taken it back. One that the venue refused is tried again a minute later.
        """
        now = self._way.pulse.wall()
        # Without the venue's id of its earlier life, late news of that could not be told from those of the next one.
        held = [each for each in self._register.open() if each.is_watched and (each.past or not each.left)]
        free = [each for each in held if not self.must_hold(each)]
        for tracked in free:
            is_due = tracked.id in self._free and now >= self._not_before.get(tracked.id, 0)
            if is_due and not self.must_hold(tracked):
                self._way.log.info("held_order_brought_back", order=tracked.id)
                self._send(tracked, tracked.request)
        self._free = {each.id for each in free}
        self._not_before = {id: until for id, until in self._not_before.items() if until > now}

    def keeps(self, tracked: Tracked, command: Submit, reply: Reply) -> bool:
        """Go on to watch the market for a stop that was to go back and is not at the venue; say whether we do."""
        was_held = tracked.told in (OrderState.OPEN, OrderState.PARTIAL) and not tracked.is_unwanted
        if was_held and command.request.trigger is not None and reply.proof is Proof.REFUSED:
            tracked.held = True
            if reply.has_left:
                self._not_before[tracked.id] = self._way.pulse.wall() + AGAIN
            return True
        return False

    def _send(self, tracked: Tracked, request: OrderRequest) -> None:
        left = tracked.release(self._way.wire.now(), ids_once=self._capability.ids_once)
        command = Submit(tracked.view().id, replace(request, quantity=left), tracked.sent_at)
        self._way.spawn(self._submit(tracked, command))
