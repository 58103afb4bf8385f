"""What is known of our orders at one venue, and what of it the engine has been told: each proven thing once, in order.

Reports and executions come from the stream and from questions alike, late, twice or in any order. An order ends for the
engine only when every fill that the venue has reported of it was told. Nothing here sends, waits or keeps time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from msgspec.structs import replace

from abidance.model.command import Amend
from abidance.model.event import (
    AccountEvent,
    BalanceChanged,
    FundingPaid,
    OrderAbandoned,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderUnknown,
)
from abidance.model.money import ZERO
from abidance.model.order import Fill, Order, OrderRequest, OrderState, Purpose, Side
from abidance.venues.account import Execution, Moved, OrderReport

MANUAL = "manual"
"""The strategy to which executions of orders belong that are not ours."""
_ENDINGS = frozenset({OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED})


@dataclass(slots=True)
class Tracked:
    """One order of ours: what was asked, what the engine was told, what the venue says beyond that.

    `filled` is what was told in fills, `reported` the most that the venue reported as filled. A `held` order is not at
    the venue: we watch the market for it; it may have been there before (`past`, the venue's ids of it then and what
    had filled before each of these lives) and go there again. While it is `moving` from the venue to us it may still
    trade there. It has `left` once its request was sent, at `sent_at` (ns of the venue's time), not before the record
    `recorded_as` is on the disk; an earlier process may have sent it later than it meant to, until `left_by`. It
    `was_there` once the venue (or, before a restart, we) had it. It `is_unwanted` once it was to be taken back.
    `beside` are the other exits of its position, and what was known to be filled of each when this one was worded.
    """

    id: str
    request: OrderRequest
    sent_at: int
    told: OrderState = OrderState.SENT
    venue_id: str = ""
    filled: Decimal = ZERO
    reported: Decimal = ZERO
    ending: OrderReport | None = None
    held: bool = False
    moving: bool = False
    left: bool = False
    was_there: bool = False
    is_unwanted: bool = False
    left_by: int = 0
    recorded_as: int = 0
    base: Decimal = ZERO
    wire_id: str = ""
    past: dict[str, Decimal] = field(default_factory=dict)
    beside: tuple[tuple["Tracked", Decimal], ...] = ()
    absent_at: list[int] = field(default_factory=list)

    @property
    def is_closed(self) -> bool:
        """Return True when nothing more is expected of it."""
        return self.told.is_closed

    @property
    def is_watched(self) -> bool:
        """Return True while nobody but us holds it."""
        return self.held and not self.moving

    @property
    def owes(self) -> bool:
        """Return True while the venue has reported more as filled than we know the fills of."""
        return self.reported > self.filled

    @property
    def remaining(self) -> Decimal:
        """Return what is not known to be filled."""
        return self.request.quantity - max(self.filled, self.reported)

    @property
    def is_standing(self) -> bool:
        """Return True while it rests at the venue, as far as we know."""
        return (self.moving or not self.held) and not self.is_closed

    def view(self) -> Order:
        """Return the order as dialects want it: under the client id that it has at the venue."""
        return Order(self.wire_id or self.id, self.request, self.told, self.sent_at, self.filled)

    def withdraw(self) -> None:
        """Note that the order is off the venue and lives on with us."""
        if self.venue_id:
            self.past[self.venue_id] = self.base
        self.venue_id, self.ending, self.held = "", None, True

    def release(self, now: int, *, ids_once: bool) -> Decimal:
        """Note that the order goes to the venue and return the quantity; a used id gets a mark where it must."""
        self.held, self.ending, self.sent_at, self.base = False, None, now, self.filled
        self.was_there = self.left = False
        if ids_once and self.past:
            self.wire_id = f"{self.id}r{len(self.past)}"
        return self.remaining


class Register:
    """The orders of one account in one market; `tell` hands events to the engine, `is_ours` knows our ids."""

    def __init__(self, tell: Callable[[AccountEvent], None], is_ours: Callable[[str], bool]) -> None:
        self.strays: dict[str, list[Execution]] = {}
        """Executions of orders that are not known (yet), by the venue's id of the order."""
        self.foreign: dict[str, OrderReport] = {}
        """Orders of the account that are not ours, by the venue's id."""
        self.orphans: dict[str, OrderReport] = {}
        """Open orders that bear our tag and that no record tells of, by the venue's id."""
        self.forced: set[str] = set()
        """Orders that the venue itself placed, by its id."""
        self._tell = tell
        self._is_ours = is_ours
        self._paid: set[str] = set()
        self._orders: dict[str, Tracked] = {}
        self._by_venue_id: dict[str, Tracked] = {}
        self._seen: dict[tuple[str, str], str] = {}

    # --- what is asked

    def get(self, order_id: str) -> Tracked | None:
        """Return one of our orders."""
        return self._orders.get(order_id)

    def open(self) -> Iterator[Tracked]:
        """Yield our orders that have not ended, oldest first."""
        return iter([each for each in self._orders.values() if not each.is_closed])

    def once_there(self) -> list[Tracked]:
        """Return a few of our orders that the venue had: the newest that stand there, and the newest that ended."""
        found = [each for each in self._orders.values() if each.was_there]
        standing = [each for each in found if each.is_standing and each.told is not OrderState.UNKNOWN]
        return standing[:-4:-1] + [each for each in found if each.is_closed][:-4:-1]

    def beside(self, tracked: Tracked) -> Sequence[Tracked]:
        """Return the other open exits of the position that an exit belongs to."""
        return [each for each in self.open() if each is not tracked and _place(each) == _place(tracked)]

    @property
    def is_settled(self) -> bool:
        """Return True when nothing is under way: no outcome unknown, no fill owed, no execution unexplained."""
        waiting = (OrderState.SENT, OrderState.UNKNOWN)
        return not self.strays and not any(each.owes or each.told in waiting for each in self.open())

    def in_debt(self) -> dict[str, int]:
        """Return the instruments of which fills are missing, and since when (ns of the venue's time) they may be."""
        since: dict[str, int] = {}
        for each in self._orders.values():
            if each.owes:
                name = each.request.instrument
                since[name] = min(since.get(name, each.sent_at), each.sent_at)
        return since

    def nameless(self, execution: Execution) -> list[Tracked]:
        """Return our orders of which the venue's id is not known and that may be behind an execution, newest first."""
        found = [
            each
            for each in self._orders.values()
            if not each.venue_id
            and not each.past
            and (each.request.instrument, each.request.side) == (execution.instrument, execution.side)
        ]
        return found[::-1]

    # --- what we do

    def sent(self, order_id: str, request: OrderRequest, now: int) -> Tracked:
        """Note an order that is about to be sent."""
        tracked = self._orders[order_id] = Tracked(order_id, request, now)
        return tracked

    def recover(self, orders: Iterable[Order], fills: Iterable[Fill]) -> None:
        """Take over what the record says of orders and fills, ended ones too: they may still fill."""
        for order in orders:
            tracked = Tracked(order.id, order.request, order.ts_intent, order.state, left=True)
            tracked.filled = tracked.reported = order.filled
            tracked.was_there = order.state not in (OrderState.SENT, OrderState.UNKNOWN)
            self._orders[order.id] = tracked
        self._seen.update({(fill.instrument, fill.id): fill.order_id for fill in fills})

    # --- what is proven

    def accepted(self, tracked: Tracked, now: int) -> None:
        """Tell that the venue (or we) hold an order."""
        tracked.was_there = True
        if tracked.told in (OrderState.SENT, OrderState.UNKNOWN):
            tracked.told = OrderState.PARTIAL if tracked.filled else OrderState.OPEN
            self._tell(OrderAccepted(now, tracked.id))

    def came_to_nothing(self, tracked: Tracked, reason: str, now: int) -> None:
        """Tell that an order is not at the venue and will not be: one that we held before is gone."""
        if tracked.told in (OrderState.SENT, OrderState.UNKNOWN) and not tracked.filled:
            self._rejected(tracked, reason, now)
        else:
            self.gone(tracked, reason, now)

    def _rejected(self, tracked: Tracked, reason: str, now: int) -> None:
        """Tell that the venue proved that it does not hold an order."""
        if tracked.is_closed or tracked.filled or tracked.owes:
            return
        tracked.told = OrderState.REJECTED
        self._tell(OrderRejected(now, tracked.id, reason))

    def unknown(self, tracked: Tracked, reason: str, now: int) -> None:
        """Tell that an order may or may not be live."""
        if not tracked.is_closed and not tracked.is_watched and tracked.told is not OrderState.UNKNOWN:
            tracked.told = OrderState.UNKNOWN
            self._tell(OrderUnknown(now, tracked.id, reason))

    def abandoned(self, tracked: Tracked, proof: str, now: int) -> None:
        """Tell that an order never came to exist, or, with fills, that no more comes of it."""
        if tracked.is_closed or tracked.is_watched or tracked.owes:
            return
        if tracked.filled:
            self.gone(tracked, proof, now)
        else:
            tracked.told = OrderState.ABANDONED
            self._tell(OrderAbandoned(now, tracked.id, proof))

    def gone(self, tracked: Tracked, reason: str, now: int) -> None:
        """Tell that a held order is taken back."""
        if not tracked.is_closed:
            tracked.told = OrderState.CANCELLED
            self._tell(OrderCancelled(now, tracked.id, reason))

    def amended(self, tracked: Tracked, request: OrderRequest, now: int) -> None:
        """Tell that an order is now as in `request`."""
        tracked.request = request
        self._tell(OrderAmended(now, tracked.id, request.quantity, request.price, request.trigger))

    # --- what the venue says

    def report(self, report: OrderReport, now: int) -> Tracked | None:
        """Take what the venue says of an order; return it when it is one of ours."""
        if report.is_forced:
            self.forced.add(report.venue_id)
        tracked = self._orders.get(_plain(report.order_id)) or self._by_venue_id.get(report.venue_id)
        if tracked is None:
            self._not_known(report)
            return None
        self.foreign.pop(report.venue_id, None)
        self.orphans.pop(report.venue_id, None)
        if report.venue_id in tracked.past:  # what it was before we took it back
            tracked.reported = max(tracked.reported, tracked.past[report.venue_id] + report.filled)
            return tracked
        tracked.absent_at.clear()
        tracked.reported = max(tracked.reported, tracked.base + report.filled)
        if report.state in _ENDINGS or _is_cut(report, tracked):
            tracked.ending = report
        elif not tracked.is_closed:
            self.accepted(tracked, now)
        self.named(tracked, report.venue_id, now)
        self._conclude(tracked, now)
        return tracked

    def named(self, tracked: Tracked, venue_id: str, now: int) -> None:
        """Take the venue's id of an order, and the executions that waited for it."""
        if venue_id not in tracked.past:
            self._name(tracked, venue_id)
            for execution in self.strays.pop(venue_id, ()):
                self.execution(execution, now)

    def _name(self, tracked: Tracked, venue_id: str) -> None:
        """Note the venue's id of an order; one that waited for its trigger may get another one once it is touched."""
        if not venue_id or venue_id in self._by_venue_id:
            return
        self._by_venue_id[venue_id] = tracked
        if tracked.is_watched:  # it was withdrawn before its answer had come
            tracked.past[venue_id] = tracked.base
        else:
            tracked.venue_id = venue_id

    def _not_known(self, report: OrderReport) -> None:
        where = self.orphans if self._is_ours(_plain(report.order_id)) else self.foreign
        if report.state in _ENDINGS:
            where.pop(report.venue_id, None)
        else:
            where[report.venue_id] = report

    def execution(self, execution: Execution, now: int) -> bool:
        """Take an execution; return whether it was news. One of an unknown order waits for that to become known."""
        if execution.is_forced:
            self.forced.add(execution.venue_id)
        tracked = self._orders.get(_plain(execution.order_id)) or self._by_venue_id.get(execution.venue_id)
        if tracked is None:
            if (execution.instrument, execution.id) in self._seen:
                return False
            waiting = self.strays.setdefault(execution.venue_id, [])
            if any(each.id == execution.id for each in waiting):
                return False
            waiting.append(execution)
            return True
        id = self._id_of(execution, tracked.id)
        if id is None:
            return False
        self._seen[execution.instrument, id] = tracked.id
        if execution.venue_id not in tracked.past:
            self._name(tracked, execution.venue_id)
        elif not tracked.is_watched:  # it was before this life
            tracked.base += execution.quantity
        tracked.absent_at.clear()
        tracked.filled += execution.quantity
        tracked.reported = max(tracked.reported, tracked.filled)
        if not tracked.is_closed:
            tracked.told = OrderState.PARTIAL
        self._tell(OrderFilled(now, _fill(execution, id, tracked.id, tracked.request.strategy)))
        if not tracked.is_closed and tracked.filled >= tracked.request.quantity:
            tracked.told = OrderState.FILLED
        self._conclude(tracked, now)
        return True

    def disown(self, venue_id: str, now: int) -> None:
        """Book executions of an order that is proven not to be ours: somebody traded by hand, or the venue itself."""
        order_id = _by_hand(venue_id)
        purpose = Purpose.LIQUIDATION if venue_id in self.forced else Purpose.ENTRY
        for execution in self.strays.pop(venue_id, ()):
            if (execution.instrument, execution.id) not in self._seen:
                self._seen[execution.instrument, execution.id] = order_id
                fill = _fill(execution, execution.id, order_id, MANUAL)
                self._tell(OrderFilled(now, replace(fill, purpose=purpose)))

    def moved(self, moved: Moved, venue: str, now: int) -> None:
        """Take money that came or went by no order; funding that was told has its id, and is told once."""
        if moved.reason != "funding":
            self._tell(BalanceChanged(now, venue, moved.asset, moved.amount, moved.reason))
        elif moved.id not in self._paid:
            self._paid.add(moved.id)
            self._tell(FundingPaid(moved.ts, moved.instrument, "", moved.amount, moved.asset))

    def _id_of(self, execution: Execution, order_id: str) -> str | None:
        """Return the id under which an execution is to be told, None when it was.

        When two of our orders trade with each other, both executions have one id at the venue.
        """
        for id in (execution.id, f"{execution.id}-{execution.side}"):
            told = self._seen.get((execution.instrument, id))
            if told is None:
                return id
            if told == order_id:
                return None
        return None

    def _conclude(self, tracked: Tracked, now: int) -> None:
        """Tell the end of an order once every fill before it is told."""
        ending = tracked.ending
        if ending is None or tracked.owes or tracked.is_closed or tracked.held:
            return
        if ending.state is OrderState.REJECTED and not tracked.filled:
            self._rejected(tracked, ending.reason or "rejected by the venue", now)
        elif ending.state is OrderState.EXPIRED:
            tracked.told = OrderState.EXPIRED
            self._tell(OrderExpired(now, tracked.id, ending.reason))
        else:
            tracked.told = OrderState.CANCELLED
            self._tell(OrderCancelled(now, tracked.id, ending.reason))


def _place(tracked: Tracked) -> tuple[str, str, Side, bool]:
    request = tracked.request
    return request.strategy, request.instrument, request.side, request.reduce_only


def _is_cut(report: OrderReport, tracked: Tracked) -> bool:
    """Say whether the venue filled all of an order that it made smaller: an exit when less was held."""
    asked = tracked.request.quantity - tracked.base
    return report.state is OrderState.FILLED and ZERO < report.filled == report.quantity < asked


def _plain(order_id: str) -> str:
    """Return our id in a client id: venues may answer in capitals or with the dashes of a UUID; a mark may follow."""
    return order_id.replace("-", "").lower()[:32] if len(order_id) >= 32 else order_id


def _by_hand(venue_id: str) -> str:
    return f"{MANUAL}-{venue_id}"


def _fill(execution: Execution, id: str, order_id: str, strategy: str) -> Fill:
    return Fill(
        id,
        order_id,
        execution.instrument,
        strategy,
        execution.side,
        execution.quantity,
        execution.price,
        execution.fee,
        execution.fee_asset,
        execution.ts,
        execution.is_maker,
    )


def amended(request: OrderRequest, command: Amend) -> OrderRequest:
    """Return a request with the values of a change."""
    given = {"quantity": command.quantity, "price": command.price, "trigger": command.trigger}
    wish: OrderRequest = replace(
        request, **{name: value for name, value in given.items() if value is not None}
    )
    return wish


def is_due(request: OrderRequest, bid: float, ask: float) -> bool:
    """Say whether the price at which an order would trade now is at its trigger or, without one, at its limit."""
    if request.trigger is not None:
        return ask >= request.trigger if request.side is Side.BUY else bid <= request.trigger
    if request.price is not None:
        return ask <= request.price if request.side is Side.BUY else bid >= request.price
    return True
