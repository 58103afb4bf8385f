"""Watches that what is held has its stop: how long it stood without, and what is done when that lasts.

A position is covered as far as an acknowledged stop stands for it, at the venue or held and watched by us. Time counts
from the event that left a part of it uncovered (a fill, a stop that is gone) until a stop covers it whole. What is
still uncovered after the patience, counted anew whenever more of it is covered, is left at market, with an alarm; where
that comes to nothing it is tried on for as long as it stands uncovered. A stop that we hold covers nothing while no
price is known by which it could trigger, or while it is due and cannot leave; where its venue answers nothing at all,
people are told and nothing is sent.
"""

from dataclasses import dataclass
from decimal import Decimal

from abidance.engine.actions import ATTEMPTS, Actions
from abidance.engine.state import State
from abidance.execution.exits import PROTECTIVE, STOPS
from abidance.model.event import VenueStatus
from abidance.model.instrument import SECOND_NS
from abidance.model.intent import CancelRequest
from abidance.model.money import ZERO, to_decimal, truncate_to
from abidance.model.order import Order, OrderState, Purpose
from abidance.model.outcome import Notice

VIGIL = "vigil"
"""The name of the timer by which the engine looks again."""
NEVER = 2**63 - 1
SLOWER = 2
"""How many times the patience lies between further tries to leave, once the first ones came to nothing."""
PROTECTED = "protected"
"""The code of the notice that a position has its whole stop again."""
_WAS, _LONG = " was without its whole stop for ", " s."
Place = tuple[str, str]


@dataclass(slots=True)
class _Bare:
    """A position without its whole stop, since when, and when that has lasted too long."""

    since: int
    due: int
    uncovered: Decimal
    attempts: int = 0
    waits: bool = False
    """People were told that nothing can be sent, because the venue answers nothing."""
    was_back: bool = False
    """The venue answered again since, and the patience was counted anew."""


@dataclass(slots=True)
class Bareness:
    """How often, how long in all and how long at most a position stood without its whole stop (ns)."""

    count: int = 0
    total: int = 0
    longest: int = 0

    def add(self, lasted: int) -> None:
        """Take one more time, in ns."""
        self.count += 1
        self.total += lasted
        self.longest = max(self.longest, lasted)


def read_bare(notice: Notice) -> tuple[Place, int] | None:
    """Return which place, if any, a notice tells to have been without its whole stop and how long (ns, to the ms)."""
    if notice.code != PROTECTED:
        return None
    instrument, _, lasted = notice.text.partition(_WAS)
    return (notice.strategy, instrument), int(Decimal(lasted.removesuffix(_LONG)) * SECOND_NS)


class Vigil:
    """The watch over the stops of one run. It only measures until it is given a `patience`.

    On stored bars a stop stands at once or never, and five seconds are no bar: only runs on live data have patience.
    `due` is the moment (ns UTC) at which `look` is to be called, `past` what was measured of each place (strategy,
    instrument).
    """

    def __init__(self, state: State, actions: Actions) -> None:
        self.due = NEVER
        self.past: dict[Place, Bareness] = {}
        self._state = state
        self._actions = actions
        self._patience = NEVER
        self._acts = False
        self._bare: dict[Place, _Bare] = {}
        self._outlasting: dict[str, int] = {}
        """Exits that outlast what they protected, and when (ns UTC) they are taken back once more."""

    def be_patient(self, seconds: float | None) -> None:
        """Act on what has had no stop for so long; None only measures. A watch that acts already stays as it is."""
        if not self._acts:
            self._acts = True
            self._patience = _ns(seconds)

    def change(self, seconds: float | None) -> None:
        """Have another patience from now on, if this watch acts at all."""
        if not self._acts:
            return
        grows, self._patience = _ns(seconds) > self._patience, _ns(seconds)
        later = self._later(self._state.now)
        for each in self._bare.values():
            if each.due != NEVER:
                each.due = later if grows else min(each.due, later)
        self._reckon()

    def note(self, strategy: str, instrument: str) -> None:
        """Take note of what a place is covered by, after anything that may have changed it."""
        place, state = (strategy, instrument), self._state
        known = self._bare.get(place)
        if known is None and self._actions.exits.plan(strategy, instrument) is None:
            return
        uncovered = self._actions.exits.uncovered(
            state.position(strategy, instrument),
            state.instruments[instrument],
            state.feeds.blind(state.instruments[instrument].venue),
        )
        if not uncovered:
            if known is not None:
                self._end(place, known)
        elif known is None:
            self._bare[place] = _Bare(state.now, self._later(state.now), uncovered)
        else:
            if uncovered < known.uncovered:
                known.due = self._later(state.now)
            known.uncovered = uncovered
        self._reckon()

    def see(self, before: VenueStatus | None, now: VenueStatus) -> None:
        """Take note of stops held by us that nobody can trigger, or can again."""
        changed = set(now.blind) ^ set(before.blind if before else ())
        for order in filter(None, map(self._state.orders.get, sorted(changed))):
            self.note(order.request.strategy, order.request.instrument)
        if not now.is_away:
            for place, bare in self._bare.items():
                if bare.waits and self._state.instruments[place[1]].venue == now.venue:
                    bare.due = self._state.now if bare.was_back else self._later(self._state.now)
                    bare.waits, bare.was_back = False, True
        self._reckon()

    def lost(self, order: Order) -> None:
        """See to a position whose stop or goal the venue does not hold (any more).

        A new one is set at once; where that cannot be, a position without its stop is left at market: what the venue
        refused, what has begun to trade or is passed by the market, and what ended again soon after it was set anew. A
        goal whose trigger the venue refused, as it does when the price is past it, goes on as a limit order.
        A stop that a strategy worded itself, with a time that has run out, is nobody's loss.
        """
        request, state, actions = order.request, self._state, self._actions
        position = state.position(request.strategy, request.instrument)
        price, instrument = state.price(request.instrument), state.instruments[request.instrument]
        exits = actions.exits
        ended = order.state in (OrderState.CANCELLED, OrderState.EXPIRED)
        ended |= order.state is OrderState.ABANDONED and (exits.stood(order) or exits.is_goal(order))
        is_ours = exits.is_stop(order)
        is_left = actions.leaving(position) >= truncate_to(abs(position.quantity), instrument.lot)
        if is_left or (ended and request.expire_after is not None and not is_ours):
            return
        if request.purpose not in STOPS or request.trigger is None:
            if ended:
                is_due = exits.is_goal(order) and exits.renew(position, Purpose.TAKE_PROFIT, price, state.now)
            else:
                is_due = order.state is OrderState.REJECTED and exits.let_rest(order)
            if is_due:
                actions.act(exits.standing(position, instrument))
        elif (
            is_ours
            and ended
            and not order.filled
            and exits.renew(position, Purpose.STOP_LOSS, price, state.now)
        ):
            self._tell_gone(order, "a new one is set")
            actions.act(exits.standing(position, instrument))
        elif price is not None:
            if ended:
                self._tell_gone(order, "what it protected is left at market")
            actions.leave(position, Purpose.STOP_LOSS, to_decimal(price))

    def stays(self, order: Order) -> None:
        """See to a position whose exit at market came to nothing: its stop may have gone meanwhile.

        One that nobody knew the outcome of for so long was waited for: where no new stop is set, the next one follows.
        """
        state, exits, request = self._state, self._actions.exits, order.request
        place = request.strategy, request.instrument
        bare = self._bare.get(place)
        if exits.plan(*place) is None or bare is None:
            return
        position, price = state.position(*place), state.price(request.instrument)
        if not exits.has_stop(*place) and exits.renew(position, Purpose.STOP_LOSS, price, state.now):
            self._actions.act(exits.standing(position, state.instruments[request.instrument]))
        elif order.state is OrderState.ABANDONED and bare.due != NEVER:
            bare.due = state.now
            self._reckon()

    def outlasts(self, order_id: str) -> None:
        """See to an exit that could not be taken back: without its position it would close a part of the next one."""
        order = self._state.orders.get(order_id)
        if order is None or order.state.is_closed or order.request.purpose not in PROTECTIVE:
            return
        if not (self._actions.exits.is_stop(order) or self._actions.exits.is_goal(order)):
            self._outlasting[order_id] = self._later(self._state.now)
            self._reckon()

    def _tell_gone(self, order: Order, then: str) -> None:
        reason = f" ({order.reason})" if order.reason else ""
        text = f"The venue ended the stop of {order.request.instrument}{reason}: {then}."
        self._actions.note("warning", "stop_gone", text, order.request.strategy)

    def bare(self) -> dict[Place, int]:
        """Return since when (ns UTC) positions stand without their whole stop."""
        return {place: each.since for place, each in self._bare.items()}

    def look(self) -> None:
        """Leave at market what has stood uncovered for too long, and tell people; take back what outlasts its position.

        An exit that is under way is waited for, however long nobody knows its outcome: it is no attempt that failed.
        What risk itself refuses to leave again and again (too little to be sold) waits for the next bar.
        """
        now = self._state.now
        for order_id in [id for id, due in self._outlasting.items() if due <= now]:
            del self._outlasting[order_id]
            self._actions.act([CancelRequest(order_id)])
        for (strategy, instrument), bare in tuple(self._bare.items()):
            if bare.due > now:
                continue
            position = self._state.position(strategy, instrument)
            seconds = (now - bare.since) / SECOND_NS
            is_blind, is_away = self._sight(strategy, instrument)
            if is_away:
                text = f"The stop of {bare.uncovered} of {instrument} could not trigger for {seconds:.3g} s, and its venue answers nothing: it leaves as soon as that can be."
                self._actions.note("error", "unprotected", text, strategy)
                bare.waits, bare.due = True, NEVER
                continue
            if bare.attempts and self._actions.leaving(position) >= bare.uncovered:
                bare.due = self._later(now)
                continue
            bare.attempts += 1
            why = " that could trigger" if is_blind else ""
            what = f"{bare.uncovered} of {instrument} has had no stop{why} for {seconds:.3g} s"
            self._actions.note("error", "unprotected", f"{what}: it is left at market.", strategy)
            price = self._state.price(instrument)
            seen = ZERO if price is None else to_decimal(price)
            is_sent = self._actions.leave(position, Purpose.STOP_LOSS, seen, most=bare.uncovered)
            if bare.attempts < ATTEMPTS:
                bare.due = self._later(now)
            else:
                bare.due = min(NEVER, now + SLOWER * self._patience) if is_sent else NEVER
        self._reckon()

    def _sight(self, strategy: str, instrument: str) -> tuple[bool, bool]:
        """Say whether nobody can trigger a stop, and whether its venue is away, too."""
        status = self._state.feeds.venues.get(self._state.instruments[instrument].venue)
        is_blind = status is not None and self._actions.exits.stop_id(strategy, instrument) in status.blind
        return is_blind, is_blind and status is not None and status.is_away

    def _end(self, place: Place, bare: _Bare) -> None:
        del self._bare[place]
        lasted = self._state.now - bare.since
        self.past.setdefault(place, Bareness()).add(lasted)
        if lasted:
            text = f"{place[1]}{_WAS}{lasted / SECOND_NS:.3f}{_LONG}"
            self._actions.note("info", PROTECTED, text, place[0])

    def _later(self, now: int) -> int:
        return min(NEVER, now + self._patience)

    def _reckon(self) -> None:
        due = (each.due for each in self._bare.values())
        self.due = min((*due, *self._outlasting.values()), default=NEVER)


def _ns(seconds: float | None) -> int:
    return NEVER if seconds is None else round(seconds * SECOND_NS)
