"""News about our account: what becomes of orders, what fills, whether a venue may be traded on and relied on.

State first, then what follows: exits that must stand, entries to take back or to send again, what people are told.
"""

from collections.abc import Callable

import msgspec

from abidance.engine.actions import Actions, sign_of
from abidance.engine.state import State
from abidance.engine.vigil import Vigil
from abidance.execution.exits import PROTECTIVE, STOPS
from abidance.execution.orders import AnomalyCode
from abidance.model.account import OWNER
from abidance.model.event import (
    ChangeRejected,
    CircuitMoved,
    CircuitState,
    OrderAbandoned,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderUnknown,
    VenueStatus,
)
from abidance.model.order import Fill, Order, OrderRequest, Purpose
from abidance.portfolio.ledger import fill_ref
from abidance.portfolio.shares import is_forced, shared_fill
from abidance.risk.breaker import Breakers
from abidance.risk.feeds import untrusted_text

# Duplicates and what was overtaken are harmless; these are not.
_TOLD = frozenset(AnomalyCode) - {AnomalyCode.DUPLICATE, AnomalyCode.STALE}
_UNASKED = frozenset({Purpose.LIQUIDATION, Purpose.FLATTEN})
_FOR_GOOD = STOPS | {Purpose.TAKE_PROFIT, Purpose.TIME}
OrderNews = (
    OrderAccepted
    | OrderRejected
    | OrderUnknown
    | OrderAbandoned
    | OrderCancelled
    | OrderExpired
    | OrderAmended
    | ChangeRejected
)


class News:
    """Takes what venues say of our orders and fills; `fills` are those booked, `heed` tells a strategy of its own."""

    def __init__(
        self,
        state: State,
        actions: Actions,
        breakers: Breakers,
        vigil: Vigil,
        heed: Callable[[Fill], None],
    ) -> None:
        self.fills: list[Fill] = []
        self._state = state
        self._actions = actions
        self._exits = actions.exits
        self._breakers = breakers
        self._vigil = vigil
        self._heed = heed

    def on_order(self, event: OrderNews) -> None:
        """Take what became of an order."""
        state = self._state
        state.now = max(state.now, event.ts)
        was_asked = state.orders.is_called_off(event.order_id)
        order = state.orders.apply(event)
        self._tell_anomalies()
        if order is None:
            if type(event) is ChangeRejected:
                self._actions.forget(event.order_id)
                if was_asked:
                    self._vigil.outlasts(event.order_id)
            return
        request = order.request
        if type(event) is OrderRejected and not was_asked:
            text = f"{request.instrument}: {event.reason}"
            self._actions.note("warning", "order_rejected", text, request.strategy)
            self._actions.reroute(order)
        elif isinstance(event, OrderAccepted | OrderUnknown):
            self._actions.routes.heard(order, event)
        if order.state.is_closed and order.remaining > 0 and not was_asked and self._actions.failed(request):
            text = f"{request.instrument}: the exit came to nothing ({order.state}); it is tried again."
            self._actions.note("warning", "exit_tried_again", text, request.strategy)
            self._vigil.stays(order)
        self._follow_up(order, was_asked=was_asked)
        self._take_leave(order)
        self._vigil.note(request.strategy, request.instrument)

    def _follow_up(self, order: Order, *, was_asked: bool) -> None:
        """Do what follows from where an order stands now."""
        request = order.request
        if self._actions.succeed(order):
            return
        self._actions.on_part(order)
        if not order.state.is_closed:
            self._protect(request)
        elif not was_asked and self._exits.armed and request.purpose in PROTECTIVE:
            self._vigil.lost(order)
        elif request.expire_after is not None and not request.reduce_only and order.remaining > 0:
            self._actions.replace(order)

    def _protect(self, request: OrderRequest) -> None:
        """State what protects the position of an order anew, as far as it does not stand."""
        if self._exits.plan(request.strategy, request.instrument) is not None:
            position = self._state.position(request.strategy, request.instrument)
            self._actions.act(self._exits.standing(position, self._state.instruments[request.instrument]))

    def _tell_anomalies(self) -> None:
        for anomaly in self._state.orders.take_anomalies():
            if anomaly.code in _TOLD:
                self._actions.note(
                    "warning", anomaly.code.value, f"{anomaly.text} (order {anomaly.order_id})."
                )

    def on_filled(self, event: OrderFilled) -> None:
        """Take a fill: of an order of ours, of the venue's own will, or of somebody else's."""
        state = self._state
        state.now = max(state.now, event.ts)
        order = state.orders.get(event.fill.order_id)
        if order is None and not self._is_ours(event.fill):
            return
        if order is None and is_forced(event.fill, state.strategies):
            for part in shared_fill(event.fill, state.portfolio.positions_of(event.fill.instrument)):
                self._book(OrderFilled(event.ts, part), None)
        else:
            self._book(event, order)

    def _book(self, event: OrderFilled, order: Order | None) -> None:
        """Take a fill into our books, and do what follows from it."""
        state = self._state
        stray = order is not None and self._is_taken_back(order)
        if order is not None:
            fill = msgspec.structs.replace(
                event.fill, strategy=order.request.strategy, purpose=self._exits.reason(order)
            )
            event = OrderFilled(event.ts, fill)
        applied = state.orders.apply(event)
        if order is None and event.fill.purpose in _UNASKED:
            self._tell_unasked(event.fill)
        self._tell_anomalies()
        if applied is None and order is not None:
            return
        fill = event.fill
        self.fills.append(fill)
        priceless = self._priceless()
        trip = state.portfolio.apply(event, tag=order.request.tag if order is not None else "")
        if fill.strategy == OWNER:
            return
        if self._priceless() > priceless:
            self._tell_unpriced(fill)
        position = state.position(fill.strategy, fill.instrument)
        instrument = state.instruments[fill.instrument]
        request = order.request if order is not None else None
        self._actions.act(self._exits.on_fill(position, request, fill.ts, instrument))
        if not sign_of(position, instrument.lot):
            self._actions.cancel_exits(fill.strategy, fill.instrument)
        elif stray and self._actions.aims.get((fill.strategy, fill.instrument), 2) not in (
            2,
            sign_of(position, instrument.lot),
        ):
            self._actions.leave(position, Purpose.SIGNAL, fill.price)
        if request is not None and request.purpose in _FOR_GOOD:
            self._actions.left_for_good(fill.strategy, fill.instrument)
        if applied is not None:
            self._take_leave(applied)
        self._vigil.note(fill.strategy, fill.instrument)
        if trip is not None:
            notice = self._breakers.on_round_trip(trip)
            if notice is not None:
                self._actions.tell(notice)
                self._actions.cancel_entries(fill.strategy)
        self._actions.on_part(applied)
        self._heed(fill)

    def _take_leave(self, order: Order) -> None:
        """Forget where an order that is over could go; tell of an entry that came to less than can be sold.

        No stop can stand for that.
        """
        if not order.state.is_closed:
            return
        self._actions.routes.over(order)
        request, state = order.request, self._state
        held = state.position_quantity(request.strategy, request.instrument)
        lot = state.instruments[request.instrument].lot
        if order.filled and 0 < held * request.side.sign < lot:
            text = f"{held} of {request.instrument} is less than can be sold ({lot}): it has no stop, and is no position."
            self._actions.note("warning", "crumb", text, request.strategy)

    def _priceless(self) -> int:
        """Return how many assets, at how many venues, fees were taken in without a price: none is ever forgotten."""
        return len(self._state.portfolio.unpriced) + len(self._state.portfolio.bought)

    def _tell_unpriced(self, fill: Fill) -> None:
        """Tell of a fee in an asset of which no price is known; once an asset, for they are many."""
        asset, instrument = fill.fee_asset, self._state.instruments[fill.instrument]
        venue = instrument.venue
        text = f"{venue} takes fees in {asset}, and nothing in this run says what {asset} is worth: "
        if fill.fee_worth:
            text += (
                f"each counts as what it stands for, the value of the trade times the largest fee configured for {venue}."
                f" By the first, one {asset} costs {float(fill.fee_worth / fill.fee):.6g} {instrument.quote}. Configure"
                f" what you pay if that is far off (`[[venues.{venue}.fees]]`), or trade {asset} in this run, so that it"
                f" has a price."
            )
        else:
            text += (
                f"positions, equity and the limits on losses count such fees as nothing. Let fees be taken in what is"
                f" traded (at {venue}), or trade {asset} in this run, so that it has a price."
            )
        self._actions.note("warning", "fee_unpriced", text, fill.strategy)

    def _tell_unasked(self, fill: Fill) -> None:
        """Tell of a position that was made smaller by the venue itself, or by a person at the venue."""
        self._state.orders.take_anomalies()
        if fill.purpose is Purpose.LIQUIDATION:
            text = f"The venue itself closed a position in {fill.instrument} at {fill.price}."
            self._actions.note("error", "liquidated", text, fill.strategy)
        elif fill.strategy in self._state.strategies:
            text = f"{fill.quantity} of {fill.instrument} is gone: somebody traded by hand, or withdrew it."
            self._actions.note("warning", "gone_by_hand", text, fill.strategy)

    def _is_ours(self, fill: Fill) -> bool:
        """Say whether a fill of no order of ours is to be booked: once, in an instrument of the run."""
        if fill_ref(fill) in self._state.portfolio.ledger:
            return False
        if fill.instrument in self._state.instruments:
            return True
        text = f"A fill of {fill.instrument}, which this run does not hold, was passed over."
        self._actions.note("warning", AnomalyCode.ORPHAN.value, text)
        return False

    def _is_taken_back(self, order: Order) -> bool:
        """Say whether we had asked for an entry to be cancelled, or knew it to be, before it filled."""
        is_off = order.state.is_closed or self._state.orders.is_called_off(order.id)
        return is_off and not order.request.reduce_only

    def on_venue_status(self, event: VenueStatus) -> None:
        """Take why a venue may only be left, or that it may be traded on again."""
        state = self._state
        state.now = max(state.now, event.ts)
        before = state.feeds.venues.get(event.venue)
        state.feeds.venues[event.venue] = event
        self._vigil.see(before, event)
        if state.feeds.barriers(event.venue):
            return  # people know already that there is trouble, and not each turn of it is news
        if event.reasons and event.reasons != (before.reasons if before else ()):
            self._tell_doubt(event)
        elif event.is_trusted and before is not None and before.reasons:
            self._actions.note("info", "venue_trusted", f"{event.venue} may be traded on again.")

    def _tell_doubt(self, status: VenueStatus) -> None:
        self._actions.note("warning", "venue_not_trusted", untrusted_text(status))

    def on_circuit(self, event: CircuitMoved) -> None:
        """Take that a circuit opened, closed or is tried; entries that rest where it opened are taken back."""
        state = self._state
        state.now = max(state.now, event.ts)
        before = state.feeds.circuits.get((event.venue, event.part))
        state.feeds.circuits[event.venue, event.part] = event
        was_closed = before is None or before.is_closed
        where = event.venue or "every venue"
        if event.state is CircuitState.OPEN:
            if was_closed:
                self._actions.note("warning", "circuit_open", f"Only exits at {where}: {event.reason}")
            self._take_back(event)
        elif event.is_closed and not was_closed:
            text = f"The circuit {event.part} of {where} is closed. {event.reason}"
            self._actions.note("info", "circuit_closed", text)
            for status in state.feeds.venues.values():
                still_doubted = event.concerns(status.venue) and not status.is_trusted
                if still_doubted and not state.feeds.barriers(status.venue):
                    self._tell_doubt(status)

    def _take_back(self, circuit: CircuitMoved) -> None:
        """Take back the entries that rest where a circuit has opened."""
        for id, instrument in self._state.instruments.items():
            if circuit.concerns(instrument.venue):
                for name in self._state.strategies:
                    self._actions.cancel_entries(name, id)
