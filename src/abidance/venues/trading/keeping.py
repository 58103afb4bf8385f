"""Orders that stand with us in the place of the venue: it cannot keep them, or another exit needs the assets.

On a spot market an exit that rests has what it sells in keeping, and only one exit of a position can rest. One that
rests gives way to one that is sent, and we watch the market for it meanwhile; as soon as nothing is in its way,
whatever became of the other one, it goes back. A goal that the market is away from gives way to a stop.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, suppress
from decimal import Decimal
from math import inf, isfinite

from msgspec.structs import replace

from abidance.model.command import Amend, Submit
from abidance.model.errors import VenueError
from abidance.model.event import OrderFilled
from abidance.model.instrument import SECOND_NS
from abidance.model.money import ZERO, to_decimal
from abidance.model.order import PRICED, STOP_TYPES, OrderRequest, OrderState, OrderType, Side
from abidance.venues.account import AccountDialect, Proof, Reply
from abidance.venues.net.transport import within
from abidance.venues.trading.inquiry import LAG, Inquiry
from abidance.venues.trading.line import Way
from abidance.venues.trading.register import Register
from abidance.venues.trading.room import UNSENT
from abidance.venues.trading.tracked import Tracked

SETTLE = 15 * SECOND_NS
"""How long a goal that was sent as its price came keeps its place, in ns."""
HEAR, LOOK = 0.25, 4.5
"""For how many seconds an exit waits until it is told, and then for an answer, what another has filled that was taken
back for it: together not longer than a position may be without its stop.
"""
AFRESH = 5.0
"""Seconds for which the answer counts that the venue knows no such order."""
PAUSE = 0.5
"""Seconds after which an order whose price has come, and that could not leave, is tried again."""
ASK_ON = (1.0, 2.0, 5.0, 10.0)
"""Seconds between further questions of that; then nobody will say, and what is known must do."""
AGAIN, SELDOM = 2.0, 60.0
"""Seconds after which one that was refused is brought back again: twice as long each time, up to `SELDOM`."""

OVERDUE = 2.0
"""For how many seconds the market may be past the trigger of an order that waits at the venue."""


class Keeping:
    """What we hold of one register.

    `submit` sends an order, `cancel` takes one off the venue, `inquiry` asks, `most` is how much of an asset the
    account has at most, as far as is known.
    """

    def __init__(
        self,
        dialect: AccountDialect,
        register: Register,
        way: Way,
        lock: Callable[[str], asyncio.Lock],
        submit: Callable[[Tracked, Submit], Coroutine[object, object, None]],
        cancel: Callable[[Tracked], Coroutine[object, object, Reply]],
        inquiry: Inquiry,
        most: Callable[[str], Decimal],
    ) -> None:
        self._instruments = dialect.instruments
        self._capability = dialect.capability
        self._register = register
        self._way = way
        self._lock = lock
        self._submit = submit
        self._cancel = cancel
        self._inquiry = inquiry
        self._most = most
        self._prices: dict[str, tuple[float, float]] = {}
        self._free: set[str] = set()
        self._refused: dict[str, tuple[float, float]] = {}
        """Until when an order does not go back (steady seconds: no clock that somebody sets), and after what pause."""
        self._blocked: dict[str, float] = {}
        self._asking: set[str] = set()
        self._unproven: dict[str, float] = {}
        """Since when no answer proves that an order, which was asked off, came off (steady seconds)."""
        self._past: dict[str, float] = {}
        self._taking: set[str] = set()
        self._released: set[str] = set()

    def must_hold(self, tracked: Tracked) -> bool:
        """Say whether we watch the market for an order: the venue cannot, or another exit has the assets in keeping."""
        request = tracked.request
        if request.type not in self._capability.native:
            return True
        if self._waits_wrongly(request):
            return True
        if request.type is OrderType.MARKET or not self._competes(tracked):
            return False
        others = [each for each in self._register.beside(tracked) if each.is_standing]
        if _is_stop(tracked):
            others = [each for each in others if _is_stop(each) or self._is_due(each)]
        return bool(others)

    def _competes(self, tracked: Tracked) -> bool:
        """Say whether an exit sells what another one of its position may have in keeping."""
        return tracked.request.reduce_only and not self._capability.reduce_only

    def watch(self, instrument: str, bid: float, ask: float, at: float = inf) -> None:
        """Take the prices at which an instrument can be sold and bought: what we hold since before may be due.

        They are of a moment in steady seconds (now).
        """
        self._prices[instrument] = bid, ask
        now = self._way.pulse.steady()
        self._blocked = {id: until for id, until in self._blocked.items() if until > now}
        for tracked in list(self._register.open()):
            if tracked.request.instrument != instrument or tracked.id in self._taking:
                continue
            if not (is_due := self._is_due(tracked)):
                tracked.due_since = inf
            if is_due and self._is_here(tracked) and tracked.since <= at:
                self.release(tracked)
            elif self._is_overdue(tracked):
                self._taking.add(tracked.id)
                self._way.spawn(self._take_over(tracked))

    def passed(self, tracked: Tracked, low: float, high: float) -> None:
        """Send an order that we hold if its trigger lies between two prices that were both traded at meanwhile."""
        if self._is_here(tracked) and is_due(tracked.request, low, high):
            self.release(tracked)

    def _is_here(self, tracked: Tracked) -> bool:
        """Say whether an order waits with us for nothing but its price."""
        return tracked.is_watched and tracked.over is None and tracked.id not in self._blocked

    def asked(self, instrument: str) -> Decimal | None:
        """Return at what price an instrument can be bought now, None while that is not known."""
        prices = self._prices.get(instrument)
        return to_decimal(prices[1]) if prices is not None and isfinite(prices[1]) else None

    def _is_due(self, tracked: Tracked) -> bool:
        """Say whether an order is due at the prices of now; where none are known it may be."""
        prices = self._prices.get(tracked.request.instrument)
        return prices is None or is_due(tracked.request, *prices)

    def release(self, tracked: Tracked) -> None:
        """Send an order that we held, now that its price has come."""
        request = tracked.request
        tracked.due_since = min(tracked.due_since, self._way.pulse.steady())
        if request.trigger is not None:
            self._released.add(tracked.id)
            kind = OrderType.LIMIT if request.type in PRICED else OrderType.MARKET
            request = replace(request, type=kind, trigger=None)
        self._way.log.info("held_order_released", order=tracked.id, instrument=request.instrument)
        self._send(tracked, request)

    def _waits_wrongly(self, request: OrderRequest) -> bool:
        """Say whether the market is past the trigger of an order that the venue would then let wait for its return."""
        prices = self._prices.get(request.instrument)
        if not self._capability.infers_direction or request.trigger is None or prices is None:
            return False
        return request.type in self._capability.native and is_due(request, *prices)

    def _is_overdue(self, tracked: Tracked) -> bool:
        """Say whether an order waits at the venue though the market has been past its trigger for long enough."""
        is_past = self._waits_wrongly(tracked.request) and tracked.is_standing and not tracked.moving
        is_known = tracked.told in (OrderState.OPEN, OrderState.PARTIAL)
        has_begun = max(tracked.filled, tracked.reported) > tracked.before(tracked.venue_id)
        if not (is_past and is_known) or has_begun or not self._waits_there(tracked):
            self._past.pop(tracked.id, None)
            return False
        now = self._way.pulse.steady()
        if now - self._past.setdefault(tracked.id, now) < OVERDUE:
            return False
        self._past[tracked.id] = now  # when it cannot be taken back it is tried again
        return True

    def _waits_there(self, tracked: Tracked) -> bool:
        """Say whether an order has arrived with its trigger: it is neither on its way nor was it sent without."""
        return tracked.left and not self._lock(tracked.id).locked() and tracked.id not in self._released

    async def _take_over(self, tracked: Tracked) -> None:
        """Take an overdue order off the venue, and send it at market once it is known what it had filled there."""
        try:
            with await self.turn(tracked):
                async with self._lock(f"{tracked.id} moves"):
                    if tracked.is_standing and self._waits_there(tracked):
                        self._way.log.warning("overdue_order_taken_back", order=tracked.id)
                        await self._withdraw(tracked)
        finally:
            self._taking.discard(tracked.id)
        if tracked.is_watched and tracked.over is None and self._is_due(tracked):
            self.release(tracked)

    async def turn(self, tracked: Tracked) -> ExitStack:
        """Wait until no other exit of its position is about to leave; the turn is over once the stack is closed."""
        turn, request = ExitStack(), tracked.request
        if self._competes(tracked):
            lock = self._lock(f"{request.strategy} {request.instrument} {request.side}")
            await lock.acquire()
            turn.callback(lock.release)
        return turn

    async def make_room(self, tracked: Tracked) -> None:
        """Take back the exits that keep the assets of one that is about to leave; we hold them from now on.

        The entry of a reversal waits for its exit.
        """
        if self._capability.reduce_only and not tracked.request.reduce_only:
            await self._follow(tracked)
        for other in self.in_the_way(tracked):
            with suppress(VenueError):  # what overtakes an order on its way does not take it back
                await within(self._way.pulse, LOOK, self._answered(other), "The answer to another exit")
            async with self._lock(f"{other.id} moves"):  # whoever has it waits for no other lock
                is_off = other.is_standing and await self._withdraw(other)
            if is_off:
                self._way.log.info("stop_held_by_us", order=other.id, while_sending=tracked.id)

    def in_the_way(self, tracked: Tracked) -> list[Tracked]:
        """Return the exits at the venue, or on their way there, that keep the assets of one that is to leave."""
        beside = self._register.beside(tracked) if self._competes(tracked) else ()
        return [each for each in beside if each.left and not _is_at_market(each)]

    async def _follow(self, entry: Tracked) -> None:
        """Wait until the exits that leave at market on an entry's side are answered: overtaken, they close nothing.

        Then the entry would have closed the position in their place. Where an answer does not tell, it is not sent.
        """
        wish = entry.request.instrument, entry.request.side, OrderType.MARKET, True
        for other in list(self._register.open()):
            exit = other.request
            if (exit.instrument, exit.side, exit.type, exit.reduce_only) == wish:
                await self._answered(other)
                if other.told is OrderState.UNKNOWN and not other.is_closed:
                    why = f"{UNSENT}the outcome of {other.id}, which closes the position before it, is not known"
                    self._register.came_to_nothing(entry, why, self._way.pulse.wall())
                    return

    async def _answered(self, tracked: Tracked) -> None:
        """Wait until whatever was sent of an order is answered."""
        async with self._lock(tracked.id):
            return

    async def _withdraw(self, tracked: Tracked) -> bool:
        """Take an order off the venue without the engine's knowing; return whether it is off and lives on with us."""
        tracked.held = tracked.moving = True  # its end at the venue is not its end
        is_off = False
        try:
            reply = await self._cancel(tracked)
            is_off = reply.proof is Proof.DONE and not tracked.is_closed and not tracked.is_unwanted
            if reply.proof in (Proof.UNKNOWN, Proof.ABSENT):
                self._unproven.setdefault(tracked.id, self._way.pulse.steady())
            else:
                self._unproven.pop(tracked.id, None)
        finally:
            tracked.moving, tracked.held = False, is_off
        if is_off:
            tracked.withdraw()
            self._register.accepted(tracked, self._way.pulse.wall())
        if not is_off or tracked.unsettled:  # it may have filled before
            await self._ask_after(tracked)
        return is_off

    async def _ask_after(self, tracked: Tracked) -> None:
        """Find out what an order had filled that was to be taken back; go on asking beside when nobody says so soon."""
        pulse, until = self._way.pulse, self._way.pulse.steady() + HEAR
        while tracked.unsettled and pulse.steady() < until:  # the stream tells it for nothing
            await pulse.sleep(HEAR / 5)
        if tracked.is_closed or (tracked.is_watched and not tracked.unsettled):
            return
        tracked.asked_off_at = min(tracked.asked_off_at, pulse.steady())
        is_told = tracked.denied_at >= max(tracked.asked_off_at, pulse.steady() - AFRESH)
        is_sought = tracked.told is OrderState.UNKNOWN and tracked.absent_from is not None
        if is_told or self._inquiry.is_absent(tracked):
            tracked.is_doubted = self._may_lag(tracked)
        elif is_sought and self._inquiry.is_short(tracked):
            tracked.is_doubted = True  # whoever looks for it asks as soon as that may prove something
        else:
            tracked.is_doubted = True
            # What it finds counts when nobody waits any more, too.
            looking = self._way.spawn(self._look_at(tracked))
            with suppress(VenueError):
                await within(pulse, LOOK, asyncio.shield(looking), "A look at an order that was taken back")
        if tracked.unsettled and tracked.id not in self._asking:
            self._asking.add(tracked.id)
            self._way.spawn(self._ask_on(tracked))

    async def _look_at(self, tracked: Tracked) -> None:
        if await self._inquiry.look(tracked) is None:
            tracked.is_doubted = self._may_lag(tracked)
        else:  # that it stands, a copy may tell of before
            since = self._unproven.get(tracked.id, -inf)
            tracked.is_doubted = not tracked.is_closed and self._way.pulse.steady() - since < LAG

    def _may_lag(self, tracked: Tracked) -> bool:
        """Say whether a copy that was asked may not have known an order that the venue has had, or may have had."""
        if tracked.held or not (tracked.was_there or tracked.told is OrderState.UNKNOWN):
            return False
        ago = min(self._way.pulse.steady() - tracked.denied_at, LAG)
        return self._way.wire.now() - round(ago * SECOND_NS) - tracked.sent_at < LAG * SECOND_NS

    async def _ask_on(self, tracked: Tracked) -> None:
        """Ask until somebody says of each earlier life of an order what it had filled, or for long enough of each."""
        try:
            while tracked.unsettled:
                lives = frozenset(tracked.unsettled)
                for pause in ASK_ON:
                    await self._way.pulse.sleep(pause)
                    if tracked.is_closed or not lives & tracked.unsettled:
                        break
                    with suppress(VenueError):
                        await self._inquiry.look(tracked)
                tracked.unsettled -= lives  # what is told yet of their fills is told late
        finally:
            self._asking.discard(tracked.id)
        tracked.is_doubted = False
        if tracked.over is not None:
            self._register.gone(tracked, tracked.over, self._way.pulse.wall())

    def placed(self, tracked: Tracked) -> None:
        """Take note of an order that is new."""
        tracked.since = self._way.pulse.steady()
        self.worded(tracked)

    def amend(self, tracked: Tracked, wish: OrderRequest) -> None:
        """Hold an order as it is wished to be from now on."""
        if (wish.trigger, wish.price) != (tracked.request.trigger, tracked.request.price):
            tracked.since = self._way.pulse.steady()
        self._register.amended(tracked, wish, self._way.pulse.wall())

    def worded(self, tracked: Tracked) -> None:
        """Note what was filled of the other exits of its position, as far as who words an exit now has heard."""
        if tracked.request.reduce_only:
            late = self._late()
            beside = self._register.beside(tracked, late)
            tracked.beside = tuple((each, each.filled - late[each.id]) for each in beside)

    def reworded(self, tracked: Tracked, command: Amend) -> Amend:
        """Return a change less what other exits of the position had sold when who words it had not heard of that."""
        if command.quantity is None or not self._competes(tracked):
            return command
        late = self._late()
        sold = sum((late[each.id] for each in self._register.beside(tracked, late)), ZERO)
        return replace(command, quantity=command.quantity - sold)

    def _late(self) -> Counter[str]:
        """Return what each order has filled of which nobody has heard yet who words orders."""
        found = Counter[str]()
        for event in self._way.unheard():
            if isinstance(event, OrderFilled):
                found[event.fill.order_id] += event.fill.quantity  # type: ignore[assignment]
        return found

    def rest_of(self, tracked: Tracked, command: Submit) -> Submit | None:
        """Return an exit less what others of its position have sold since it was worded, or may still sell.

        None where nothing is left, or where it is to rest and another one is on its way: one that the engine sees
        resting waits with us, and one that it has just worded to leave ends.
        """
        if not self._competes(tracked):
            return command
        beside = self._register.beside(tracked)
        standing = [each for each in beside if each.is_standing and each.left]
        is_of_engine = tracked.request.type is OrderType.MARKET
        rests = command.request.type is not OrderType.MARKET
        # The engine takes off what leaves at market before it words another exit, and knows nothing of stops and goals
        # that trade because their price has come.
        others = [(e, before) for e, before in tracked.beside if not (is_of_engine and _is_at_market(e))]
        sold = sum((max(each.reported - before, ZERO) for each, before in others), ZERO)
        # What the engine words can be worded again: all that may be gone is taken off. Stops go by what is known.
        left = min(command.request.quantity, tracked.remaining) - sold
        due = standing
        if is_of_engine:
            is_all = self._sells_all(tracked, left)
            due = [
                e for e in beside if (e.is_doubted and not is_all) or e.unsettled or self._is_in_the_way(e)
            ]
        left -= sum((each.remaining for each in due), ZERO)
        now = self._way.pulse.wall()
        if left > 0 and not (rests and standing):
            return Submit(command.order_id, replace(command.request, quantity=left), command.ts)
        if is_of_engine:
            why = "may have sold it" if any(each.is_doubted for each in due) else "sell it"
            self._register.came_to_nothing(tracked, f"not sent: other exits of its position {why}", now)
        else:
            tracked.held = True
            self._blocked[tracked.id] = self._way.pulse.steady() + PAUSE
            self._register.accepted(tracked, now)
        return None

    def _sells_all(self, tracked: Tracked, quantity: Decimal) -> bool:
        """Say whether an exit sells all there is: what another has sold already the venue then refuses to sell."""
        instrument = self._instruments[tracked.request.instrument]
        return ZERO <= self._most(instrument.base) - quantity < instrument.min_quantity

    def _is_in_the_way(self, other: Tracked) -> bool:
        """Say whether an exit at the venue trades now without the engine's doing, as its price has come."""
        return other.is_standing and other.left and not _is_at_market(other) and self._is_due(other)

    async def bring_back(self) -> None:
        """Send what gave way to the venue again, where nothing was in its way at the last look either.

        In between, whoever wished it has heard what became of the other exit, and has made this one as large as it is
        to be or has taken it back. One that the venue refused is tried again soon, and then ever more seldom.
        """
        now = self._way.pulse.steady()
        # Without the venue's id of its earlier life, late news of that could not be told from those of the next one.
        held = [each for each in self._register.open() if each.is_watched and (each.past or not each.left)]
        held = [each for each in held if each.is_accounted and not self._is_early(each)]
        free = [each for each in held if not self.must_hold(each)]
        for tracked in free:
            is_due = tracked.id in self._free and now >= self._refused.get(tracked.id, (0, 0))[0]
            if is_due and not self.must_hold(tracked):
                self._way.log.info("held_order_brought_back", order=tracked.id)
                self._released.discard(tracked.id)
                self._send(tracked, tracked.request)
        self._free = {each.id for each in free}
        self._refused = {id: each for id, each in self._refused.items() if each[0] + SELDOM > now}
        live = {each.id for each in self._register.open()}
        self._past = {id: since for id, since in self._past.items() if id in live}
        self._released &= live
        self._unproven = {id: since for id, since in self._unproven.items() if id in live}

    def _is_early(self, tracked: Tracked) -> bool:
        """Say whether a goal was sent a moment ago that would have to give way to a stop: the price may come again."""
        goals = (each for each in self._register.beside(tracked) if _is_goal(each))
        since = self._way.wire.now() - SETTLE
        return any(goal.is_standing and goal.sent_at > since for goal in goals)

    def keeps(self, tracked: Tracked, command: Submit, reply: Reply) -> bool:
        """Go on to watch the market for what was to go back and is not at the venue; say whether we do."""
        was_held = tracked.told in (OrderState.OPEN, OrderState.PARTIAL) and not tracked.is_unwanted
        can_wait = command.request.trigger is not None or not reply.has_left
        if was_held and can_wait and reply.proof in (Proof.REFUSED, Proof.LATE):
            tracked.held, tracked.left = True, False  # of this life nothing is there
            if reply.has_left:
                pause = min(self._refused.get(tracked.id, (0, AGAIN / 2))[1] * 2, SELDOM)
                self._refused[tracked.id] = self._way.pulse.steady() + pause, pause
            return True
        return False

    def _send(self, tracked: Tracked, request: OrderRequest) -> None:
        if tracked.reported >= tracked.request.quantity:
            return  # its fills are on their way
        self.worded(tracked)
        left = tracked.release(self._way.wire.now(), ids_once=self._capability.ids_once)
        command = Submit(tracked.view().id, replace(request, quantity=left), tracked.sent_at)
        self._way.spawn(self._submit(tracked, command))


def _is_at_market(tracked: Tracked) -> bool:
    return tracked.request.type is OrderType.MARKET


def _is_stop(tracked: Tracked) -> bool:
    return tracked.request.type in STOP_TYPES


def _is_goal(tracked: Tracked) -> bool:
    return not (_is_at_market(tracked) or _is_stop(tracked))


def is_due(request: OrderRequest, bid: float, ask: float) -> bool:
    """Say whether the price at which an order would trade now is at its trigger or, without one, at its limit."""
    price = ask if request.side is Side.BUY else bid
    if request.trigger is not None:
        return price >= request.trigger if request.approach > 0 else price <= request.trigger
    if request.price is not None:
        return price <= request.price if request.side is Side.BUY else price >= request.price
    return True
