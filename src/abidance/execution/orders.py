"""The one owner of our orders: what was sent, where each stands, which changes are under way, what went wrong.

An order exists from the moment its Submit leaves: it is stored as SENT with the time of that decision. Only legal
transitions happen (`model.order.LEGAL`); what a venue says too late, twice, or against the proof is noted as an anomaly
and changes nothing, except that money is always booked: fills count on closed orders and beyond the quantity.
Refuses to decide: it neither sends, nor retries a submit, nor guesses an outcome.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from decimal import Decimal
from enum import StrEnum
from heapq import heappop, heappush

import msgspec

from abidance.model.command import Amend, Cancel, Submit
from abidance.model.errors import InvariantError
from abidance.model.event import (
    AccountAgreed,
    AccountEvent,
    BalanceChanged,
    ChangeRejected,
    CircuitMoved,
    DebtChanged,
    FundingPaid,
    LoanTold,
    OrderAbandoned,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderUnknown,
    RulesChanged,
    VenueStatus,
)
from abidance.model.instrument import SECOND_NS, parse_instrument_id
from abidance.model.intent import AmendRequest, CancelRequest
from abidance.model.money import ZERO
from abidance.model.order import LEGAL, Fill, Order, OrderRequest, OrderState, Purpose, Side
from abidance.model.outcome import Approved

CHANGE_PATIENCE = 10 * SECOND_NS
"""How long a cancel or amend may stay unanswered before the same change may leave again."""

_ENTRIES = frozenset({Purpose.ENTRY, Purpose.REBALANCE})
_KEPT = 1000
_OF_NO_ORDER = (
    FundingPaid, BalanceChanged, AccountAgreed, DebtChanged, LoanTold, VenueStatus, CircuitMoved, RulesChanged,
)  # fmt: skip


class AnomalyCode(StrEnum):
    """What was wrong with an account event."""

    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    STALE = "stale"
    CONTRADICTION = "contradiction"
    OVERFILL = "overfill"
    LATE_FILL = "late_fill"
    MISMATCH = "mismatch"
    MALFORMED = "malformed"
    ORPHAN = "orphan"


class Anomaly(msgspec.Struct, frozen=True):
    """Something a venue said that does not fit what we know.

    DUPLICATE, STALE: heard before, or overtaken; harmless. CONFLICT: a fill id again with other content.
    CONTRADICTION: against an earlier proof (rejected, then alive). OVERFILL, LATE_FILL: booked nevertheless.
    MISMATCH, MALFORMED: refused. ORPHAN: about an order that is not ours.
    """

    ts: int
    order_id: str
    code: AnomalyCode
    text: str


_TARGETS: Mapping[type, OrderState] = {
    OrderAccepted: OrderState.OPEN,
    OrderRejected: OrderState.REJECTED,
    OrderUnknown: OrderState.UNKNOWN,
    OrderAbandoned: OrderState.ABANDONED,
    OrderCancelled: OrderState.CANCELLED,
    OrderExpired: OrderState.EXPIRED,
}
_DENIALS = frozenset({OrderState.REJECTED, OrderState.ABANDONED})
_Transition = OrderAccepted | OrderRejected | OrderUnknown | OrderAbandoned | OrderCancelled | OrderExpired


class Orders:
    """All orders of a run, open and closed; `fills` holds what they filled, in the order in which we heard of it.

    `counts` counts anomalies by code for ever; `orphans` keeps the last events about orders that are not ours. `kept`
    and `seen` are where orders and fills are kept, dictionaries unless something else is given.
    """

    def __init__(
        self,
        kept: MutableMapping[str, Order] | None = None,
        seen: MutableMapping[tuple[str, str], Fill] | None = None,
    ) -> None:
        self.counts: Counter[AnomalyCode] = Counter()
        self.orphans: deque[AccountEvent] = deque(maxlen=_KEPT)
        self._orders: MutableMapping[str, Order] = {} if kept is None else kept
        self._open: dict[str, Order] = {}
        self._by_instrument: dict[str, dict[str, Order]] = {}
        self._seen: MutableMapping[tuple[str, str], Fill] = {} if seen is None else seen
        self._cancels: dict[str, Cancel] = {}
        self._amends: dict[str, Amend] = {}
        self._deadlines: list[tuple[int, str]] = []
        self._anomalies: deque[Anomaly] = deque(maxlen=_KEPT)

    # --- what leaves ---

    def create(self, approved: Approved, order_id: str, ts: int) -> Submit:
        """Open the life of an approved order and return the command that sends it.

        Raises InvariantError when the id was used before: one id, one order, for ever.
        """
        request = approved.request
        if order_id in self._orders:
            raise InvariantError(f"Order id {order_id} was used before.", "Report it.")
        self._store(Order(order_id, request, OrderState.SENT, ts_intent=ts, ts_last=ts))
        return Submit(order_id, request, ts)

    def cancel(self, request: CancelRequest, ts: int) -> Cancel | None:
        """Return the command that takes an order back, or None when it is not open or a cancel is under way."""
        order = self._open.get(request.order_id)
        if order is None or _is_waiting(self._cancels.get(order.id), ts):
            return None
        command = self._cancels[order.id] = Cancel(order.id, ts)
        return command

    def amend(self, request: AmendRequest, ts: int) -> Amend | None:
        """Return the command that changes an order.

        None when it is not open, its outcome is unknown, another change is under way, nothing would change, or the
        new quantity is not above what has filled.
        """
        order = self._open.get(request.order_id)
        if order is None or order.state is OrderState.UNKNOWN:
            return None
        if _is_waiting(self._cancels.get(order.id), ts) or _is_waiting(self._amends.get(order.id), ts):
            return None
        now = order.request
        asked = (request.quantity, request.price, request.trigger)
        held = (now.quantity, now.price, now.trigger)
        if all(new is None or new == old for new, old in zip(asked, held, strict=True)):
            return None
        if request.quantity is not None and request.quantity <= order.filled:
            return None
        command = self._amends[order.id] = Amend(order.id, *asked, ts)
        return command

    def due(self, ts: int) -> Sequence[Cancel]:
        """Return cancels for open orders whose `expire_after` has run out; asked again until the order is closed."""
        deadlines = self._deadlines
        if not deadlines or deadlines[0][0] > ts:
            return ()
        cancels: list[Cancel] = []
        again: list[tuple[int, str]] = []
        while deadlines and deadlines[0][0] <= ts:
            _, order_id = heappop(deadlines)
            if order_id in self._open:
                again.append((ts + CHANGE_PATIENCE, order_id))
                command = self.cancel(CancelRequest(order_id), ts)
                if command is not None:
                    cancels.append(command)
        for deadline in again:
            heappush(deadlines, deadline)
        return cancels

    @property
    def next_due(self) -> int | None:
        """Return when `due` may next have something to cancel, or None."""
        return self._deadlines[0][0] if self._deadlines else None

    # --- what is known ---

    def get(self, order_id: str) -> Order | None:
        """Return an order, open or closed, or None when it is not ours."""
        return self._orders.get(order_id)

    @property
    def fills(self) -> tuple[Fill, ...]:
        """Return what all orders filled, in the order in which we heard of it."""
        return tuple(self._seen.values())

    def all(self) -> tuple[Order, ...]:
        """Return every order ever sent, oldest first."""
        return tuple(self._orders.values())

    def open(self, strategy: str | None = None, instrument: str | None = None) -> Iterable[Order]:
        """Return the orders that may still fill (UNKNOWN ones too), oldest first; costs nothing when there are none."""
        if not self._open:
            return ()
        if instrument is None:
            found: Iterable[Order] = self._open.values()
        elif instrument in self._by_instrument:
            found = self._by_instrument[instrument].values()
        else:
            return ()
        return tuple(order for order in found if strategy is None or order.request.strategy == strategy)

    def change_of(self, order_id: str) -> Cancel | Amend | None:
        """Return the change of an order that was asked for and not answered yet."""
        return self._cancels.get(order_id) or self._amends.get(order_id)

    def is_called_off(self, order_id: str) -> bool:
        """Say whether an order was to be cancelled, and that was not answered yet."""
        return order_id in self._cancels

    def amend_of(self, order_id: str) -> Amend | None:
        """Return the amend of an order that was asked for and not answered yet, also while a cancel is under way."""
        return self._amends.get(order_id)

    def pending_entries(
        self, strategy: str | None = None, instrument: str | None = None
    ) -> Mapping[tuple[str, Side], Decimal]:
        """Return what open entries may still fill at worst, by instrument and side.

        UNKNOWN orders count in full, and an amend under way counts with the larger quantity; cancels under way count
        nothing off. Exits and reduce-only orders are left out.
        """
        worst: dict[tuple[str, Side], Decimal] = {}
        for order in self.open(strategy, instrument):
            request = order.request
            if request.reduce_only or request.purpose not in _ENTRIES:
                continue
            quantity, amend = request.quantity, self._amends.get(order.id)
            if amend is not None and amend.quantity is not None:
                quantity = max(quantity, amend.quantity)
            key = (request.instrument, request.side)
            worst[key] = worst.get(key, ZERO) + max(quantity - order.filled, ZERO)
        return worst

    def take_anomalies(self) -> Sequence[Anomaly]:
        """Return the anomalies since the last call (the last thousand) and forget them."""
        if not self._anomalies:
            return ()
        taken = tuple(self._anomalies)
        self._anomalies.clear()
        return taken

    # --- what came back ---

    def apply(self, event: AccountEvent) -> Order | None:
        """Book what a venue said and return the order if that changed it; None otherwise (see `take_anomalies`)."""
        if isinstance(event, _OF_NO_ORDER):
            return None
        order_id = event.fill.order_id if isinstance(event, OrderFilled) else event.order_id
        order = self._orders.get(order_id)
        if order is None:
            self.orphans.append(event)
            return self._note(
                event.ts, order_id, AnomalyCode.ORPHAN, f"{type(event).__name__} for no order of ours"
            )
        if isinstance(event, OrderFilled):
            return self._apply_fill(order, event)
        if isinstance(event, OrderAmended):
            return self._apply_amended(order, event)
        if isinstance(event, ChangeRejected):
            return self._apply_change_rejected(order, event)
        return self._apply_transition(order, event)

    def _apply_transition(self, order: Order, event: _Transition) -> Order | None:
        target = _TARGETS[type(event)]
        if target is OrderState.OPEN and order.filled:
            target = OrderState.PARTIAL
        told = f"{type(event).__name__} while {order.state}"
        revived = target is OrderState.OPEN and order.state in _DENIALS
        if revived or (target in _DENIALS and order.filled):
            return self._note(event.ts, order.id, AnomalyCode.CONTRADICTION, told)
        if target is order.state:
            return self._note(event.ts, order.id, AnomalyCode.DUPLICATE, told)
        if order.state.is_closed:
            return self._note(event.ts, order.id, AnomalyCode.STALE, told)
        if target not in LEGAL[order.state]:
            return self._note(event.ts, order.id, AnomalyCode.CONTRADICTION, told)
        return self._move(order, target, event.ts, getattr(event, "reason", ""))

    def _apply_fill(self, order: Order, event: OrderFilled) -> Order | None:
        fill = event.fill
        key = (fill.instrument, fill.id)
        seen = self._seen.get(key)
        if seen is not None:
            code = AnomalyCode.DUPLICATE if _is_same(seen, fill) else AnomalyCode.CONFLICT
            return self._note(event.ts, order.id, code, f"Fill {fill.id} was reported before")
        request = order.request
        if fill.instrument != request.instrument or fill.side is not request.side:
            text = f"Fill {fill.id} is a {fill.side} of {fill.instrument}"
            return self._note(event.ts, order.id, AnomalyCode.MISMATCH, text)
        numbers = (fill.quantity, fill.price, fill.fee)
        if not all(n.is_finite() for n in numbers) or fill.quantity <= 0 or fill.price < 0:
            return self._note(event.ts, order.id, AnomalyCode.MALFORMED, f"Fill {fill.id}: {fill}")
        self._seen[key] = fill
        if order.state.is_closed:
            self._note(event.ts, order.id, AnomalyCode.LATE_FILL, f"Fill {fill.id} came while {order.state}")
        filled = order.filled + fill.quantity
        if filled > request.quantity:
            text = f"{filled} filled of {request.quantity}"
            self._note(event.ts, order.id, AnomalyCode.OVERFILL, text)
        first = fill.ts if order.ts_first_fill is None else min(order.ts_first_fill, fill.ts)
        booked = msgspec.structs.replace(
            order,
            filled=filled,
            cost=order.cost + fill.quantity * fill.price,
            fees=order.fees + _fee_in_quote(fill),
            ts_first_fill=first,
        )
        return self._move(booked, _state_after_fill(booked), event.ts, order.reason)

    def _apply_amended(self, order: Order, event: OrderAmended) -> Order | None:
        if order.state.is_closed:
            return self._note(event.ts, order.id, AnomalyCode.STALE, f"OrderAmended while {order.state}")
        values = [n for n in (event.quantity, event.price, event.trigger) if n is not None]
        if not all(n.is_finite() and n > 0 for n in values):
            return self._note(event.ts, order.id, AnomalyCode.MALFORMED, f"{event}")
        self._amends.pop(order.id, None)
        request: OrderRequest = msgspec.structs.replace(
            order.request, quantity=event.quantity, price=event.price, trigger=event.trigger
        )
        amended: Order = msgspec.structs.replace(order, request=request)
        state = OrderState.OPEN if not order.filled else _state_after_fill(amended)
        return self._move(amended, state, event.ts, order.reason)

    def _apply_change_rejected(self, order: Order, event: ChangeRejected) -> Order | None:
        """Forget what was under way; an answer that may belong to either change clears both, and may be asked again."""
        if self.change_of(order.id) is None:
            return self._note(event.ts, order.id, AnomalyCode.STALE, f"ChangeRejected while {order.state}")
        self._cancels.pop(order.id, None)
        self._amends.pop(order.id, None)
        return None

    def _move(self, order: Order, state: OrderState, ts: int, reason: str) -> Order:
        moved: Order = msgspec.structs.replace(
            order, state=state, ts_last=max(order.ts_last, ts), reason=reason
        )
        self._store(moved)
        return moved

    def _store(self, order: Order) -> None:
        """Keep an order and what is derived from it: whether it is open, and the change that ends with it."""
        order_id, instrument = order.id, order.request.instrument
        self._orders[order_id] = order
        if not order.state.is_closed:
            if order_id not in self._open and order.request.expire_after is not None:
                deadline = order.ts_intent + order.request.expire_after * SECOND_NS
                heappush(self._deadlines, (deadline, order_id))
            self._open[order_id] = order
            self._by_instrument.setdefault(instrument, {})[order_id] = order
            return
        self._cancels.pop(order_id, None)
        self._amends.pop(order_id, None)
        if self._open.pop(order_id, None) is not None:
            rest = self._by_instrument[instrument]
            del rest[order_id]
            if not rest:
                del self._by_instrument[instrument]

    def _note(self, ts: int, order_id: str, code: AnomalyCode, text: str) -> Order | None:
        """Note an anomaly and return None: what the caller of `apply` gets for it."""
        self.counts[code] += 1
        self._anomalies.append(Anomaly(ts, order_id, code, text))
        return None


def _state_after_fill(order: Order) -> OrderState:
    """Return where an order stands after a fill: filled, off the book as before, or partly filled."""
    if order.filled >= order.request.quantity:
        return OrderState.FILLED
    return order.state if order.state in (OrderState.CANCELLED, OrderState.EXPIRED) else OrderState.PARTIAL


def _is_waiting(change: Cancel | Amend | None, ts: int) -> bool:
    """Say whether a change is under way and still has time to be answered."""
    return change is not None and ts - change.ts < CHANGE_PATIENCE


def _is_same(one: Fill, other: Fill) -> bool:
    """Say whether two reports tell of one execution; streams and queries may differ in the rest."""
    return (one.order_id, one.quantity, one.price) == (other.order_id, other.quantity, other.price)


def _fee_in_quote(fill: Fill) -> Decimal:
    name = parse_instrument_id(fill.instrument)
    if fill.fee_asset == name.quote:
        return fill.fee
    return fill.fee * fill.price if fill.fee_asset == name.base else fill.fee_worth or ZERO
