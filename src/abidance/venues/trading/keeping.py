"""Orders that stand with us in the place of the venue: it cannot keep them, or another exit needs the assets.

On a spot market an exit that rests has what it sells in keeping, and only one exit of a position can rest. One that
rests gives way to one that is sent, and we watch the market for it meanwhile; as soon as nothing is in its way,
whatever became of the other one, it goes back. A goal that the market is away from gives way to a stop.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, suppress

from msgspec.structs import replace

from abidance.model.command import Submit
from abidance.model.errors import VenueError
from abidance.model.instrument import SECOND_NS
from abidance.model.money import ZERO
from abidance.model.order import OrderRequest, OrderState, OrderType
from abidance.venues.account import AccountDialect, Proof, Reply
from abidance.venues.trading.line import Way
from abidance.venues.trading.register import Register, Tracked, is_due

AGAIN = 60 * SECOND_NS
"""How long after one that was refused the next try to bring an order back follows."""


class Keeping:
    """What we hold of one register; `submit` sends an order, `cancel` takes one off the venue, `look` asks for one."""

    def __init__(
        self,
        dialect: AccountDialect,
        register: Register,
        way: Way,
        lock: Callable[[str], asyncio.Lock],
        submit: Callable[[Tracked, Submit], Coroutine[object, object, None]],
        cancel: Callable[[Tracked], Coroutine[object, object, Reply]],
        look: Callable[[Tracked], Coroutine[object, object, object]],
    ) -> None:
        self._capability = dialect.capability
        self._register = register
        self._way = way
        self._lock = lock
        self._submit = submit
        self._cancel = cancel
        self._look = look
        self._prices: dict[str, tuple[float, float]] = {}
        self._free: set[str] = set()
        self._not_before: dict[str, int] = {}

    def must_hold(self, tracked: Tracked) -> bool:
        """Say whether we watch the market for an order: the venue cannot, or another exit has the assets in keeping."""
        request = tracked.request
        if request.type not in self._capability.native:
            return True
        if not request.reduce_only or request.type is OrderType.MARKET or self._capability.reduce_only:
            return False
        others = [each for each in self._register.beside(tracked) if each.is_standing]
        if request.trigger is not None:
            others = [each for each in others if each.request.trigger is not None or self._is_due(each)]
        return bool(others)

    def watch(self, instrument: str, bid: float, ask: float) -> None:
        """Take the prices at which an instrument can be sold and bought now: what we hold may be due."""
        self._prices[instrument] = bid, ask
        for tracked in list(self._register.open()):
            if tracked.is_watched and tracked.request.instrument == instrument and self._is_due(tracked):
                self.release(tracked)

    def _is_due(self, tracked: Tracked) -> bool:
        """Say whether an order is due at the prices of now; where none are known it may be."""
        prices = self._prices.get(tracked.request.instrument)
        return prices is None or is_due(tracked.request, *prices)

    def release(self, tracked: Tracked) -> None:
        """Send an order that we held, now that its price has come."""
        request = tracked.request
        if request.trigger is not None:
            kind = OrderType.LIMIT if request.type is OrderType.STOP_LIMIT else OrderType.MARKET
            request = replace(request, type=kind, trigger=None)
        self._way.log.info("held_order_released", order=tracked.id, instrument=request.instrument)
        self._send(tracked, request)

    async def turn(self, tracked: Tracked) -> ExitStack:
        """Wait until no other exit of its position is about to leave; the turn is over once the stack is closed."""
        turn, request = ExitStack(), tracked.request
        if request.reduce_only and not self._capability.reduce_only:
            lock = self._lock(f"{request.strategy} {request.instrument} {request.side}")
            await lock.acquire()
            turn.callback(lock.release)
        return turn

    async def make_room(self, tracked: Tracked) -> None:
        """Take back the exits that keep the assets of one that is about to leave; we hold them from now on."""
        request = tracked.request
        if not request.reduce_only or self._capability.reduce_only:
            return
        for other in self._register.beside(tracked):
            if other.request.type is OrderType.MARKET or not other.left:
                continue
            async with self._lock(f"{other.id} moves"):  # whoever has it waits for no other lock
                is_off = other.is_standing and await self._withdraw(other)
            if is_off:
                self._way.log.info("stop_held_by_us", order=other.id, while_sending=tracked.id)

    async def _withdraw(self, tracked: Tracked) -> bool:
        """Take an order off the venue without the engine's knowing; return whether it is off and lives on with us."""
        tracked.held = tracked.moving = True  # its end at the venue is not its end
        reply = await self._cancel(tracked)
        tracked.moving = False
        if reply.proof is not Proof.DONE or tracked.is_closed:
            tracked.held = False
            with suppress(VenueError):
                await self._look(tracked)
            return False
        tracked.withdraw()
        self._register.accepted(tracked, self._way.pulse.wall())
        if tracked.is_unwanted:
            self._register.gone(tracked, "taken back", self._way.pulse.wall())
        elif not reply.reports:  # it may have filled a part before
            self._way.spawn(self._look(tracked))
        return True

    def worded(self, tracked: Tracked) -> None:
        """Note what the other exits of its position have filled now that an exit is worded."""
        if tracked.request.reduce_only:
            tracked.beside = tuple((each, each.reported) for each in self._register.beside(tracked))

    def rest_of(self, tracked: Tracked, command: Submit) -> Submit | None:
        """Return an exit less what others of its position have sold since it was worded, or may still sell.

        None where nothing is left, which ends it; one that we held before waits, with us, for whatever is on its way.
        """
        if self._capability.reduce_only or not tracked.request.reduce_only:
            return command
        standing = [each for each in self._register.beside(tracked) if each.is_standing and each.left]
        if standing and tracked.told in (OrderState.OPEN, OrderState.PARTIAL):
            tracked.held = True
            return None
        sold = sum((each.reported - before for each, before in tracked.beside), ZERO)
        # The engine, who worded it, counts other exits at market, and none that trade because their price has come.
        due = [e for e in standing if e.request.type is not OrderType.MARKET and self._is_due(e)]
        left = (
            command.request.quantity
            - sold
            - sum((each.request.quantity - each.reported for each in due), ZERO)
        )
        if left <= 0:
            reason = "not sent: other exits of its position sell it"
            self._register.came_to_nothing(tracked, reason, self._way.pulse.wall())
            return None
        return Submit(command.order_id, replace(command.request, quantity=left), command.ts)

    async def bring_back(self) -> None:
        """Send what gave way to the venue again, where nothing was in its way at the last look either.

        In between, whoever wished it has heard what became of the other exit, and has made this one as large as it is
        to be or has taken it back. One that the venue refused is tried again a minute later.
        """
        now = self._way.pulse.wall()
        # Without the venue's id of its earlier life, late news of that could not be told from those of the next one.
        held = [each for each in self._register.open() if each.is_watched and (each.past or not each.left)]
        free = [each for each in held if not each.owes and not self.must_hold(each)]
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
        can_wait = command.request.trigger is not None or not reply.has_left
        if was_held and can_wait and reply.proof in (Proof.REFUSED, Proof.LATE):
            tracked.held = True
            if reply.has_left:
                self._not_before[tracked.id] = self._way.pulse.wall() + AGAIN
            return True
        return False

    def _send(self, tracked: Tracked, request: OrderRequest) -> None:
        self.worded(tracked)
        left = tracked.release(self._way.wire.now(), ids_once=self._capability.ids_once)
        command = Submit(tracked.view().id, replace(request, quantity=left), tracked.sent_at)
        self._way.spawn(self._submit(tracked, command))
