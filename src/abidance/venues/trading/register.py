"""What is known of our orders at one venue, and what of it the engine has been told: each proven thing once, in order.

Reports and executions come from the stream and from questions alike, late, twice or in any order. An order ends for the
engine only when every fill that the venue has reported of it was told. Nothing here sends, waits or keeps time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal

from msgspec.structs import replace

from abidance.model.account import OWNER
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
from abidance.model.order import Fill, Order, OrderRequest, OrderState, OrderType, Purpose, Side
from abidance.venues.account import WAITING, Execution, Moved, OrderKey, OrderReport
from abidance.venues.trading.tracked import ENDINGS, Tracked
from abidance.venues.trading.witness import Witness, plain

ANOTHER = "another"
"""The cause of the doubt that another bot of this program trades on the account."""


class Register:
    """The orders of one account in one market; `tell` hands events to the engine, `is_ours` knows our ids.

    `on_another` is told, in words, of an order that a bot of this program placed while we ran and that is on no record
    of ours: of another run, or of a copy of this one.
    """

    def __init__(
        self,
        tell: Callable[[AccountEvent], None],
        is_ours: Callable[[str], bool],
        on_another: Callable[[str], object],
    ) -> None:
        self.strays: dict[OrderKey, list[Execution]] = {}
        """Executions of orders that are not known (yet), by order."""
        self.foreign: dict[OrderKey, OrderReport] = {}
        """Orders of the account that are not ours, or stops of ours on no record."""
        self.orphans: dict[OrderKey, OrderReport] = {}
        """Open orders that bear our tag, protect nothing and are on no record."""
        self.forced: set[OrderKey] = set()
        """Orders that the venue itself placed."""
        self.heard: dict[tuple[str, str], str] = {}
        """The ids of our orders, or of those by hand, by the instruments and ids of their executions that were told."""
        self.witness = Witness(is_ours, on_another)
        self._tell = tell
        self._is_ours = is_ours
        self._moved: set[tuple[str, str, str]] = set()
        self._orders: dict[str, Tracked] = {}
        self._live: dict[str, Tracked] = {}
        self._by_key: dict[OrderKey, Tracked] = {}

    # --- what is asked

    def __iter__(self) -> Iterator[Tracked]:
        """Yield all our orders, those that have ended, too, oldest first."""
        return iter(list(self._orders.values()))

    def get(self, order_id: str) -> Tracked | None:
        """Return one of our orders."""
        return self._orders.get(order_id)

    def open(self) -> Iterator[Tracked]:
        """Yield our orders that have not ended, oldest first."""
        return iter([each for each in self._pending() if not each.is_closed])

    def owing(self) -> list[Tracked]:
        """Return our orders, ended ones too, of which the venue has reported more as filled than was told."""
        return [each for each in self._pending() if each.owes]

    def _pending(self) -> Iterable[Tracked]:
        """Return the orders from which something is expected; what has ended is left out until there is news of it."""
        self._live = {id: each for id, each in self._live.items() if not each.is_closed or each.owes}
        return self._live.values()

    def beside(self, tracked: Tracked, ended: Iterable[str] = ()) -> Sequence[Tracked]:
        """Return the other open exits of the position that an exit belongs to, and those of `ended` (ids)."""
        found = dict.fromkeys((*(each.id for each in self.open()), *ended))
        orders = filter(None, map(self._orders.get, found))
        return [each for each in orders if each is not tracked and _place(each) == _place(tracked)]

    def nameless(self, execution: Execution) -> list[Tracked]:
        """Return our orders of which the venue's id is not known and that may be behind an execution, newest first.

        One that waits for its trigger may get another id once it is touched.
        """
        found = [
            each
            for each in self._orders.values()
            if (not each.venue_id or (each.venue_id.startswith(WAITING) and not each.is_closed))
            and (not each.past or each.may_have_returned)
            and (each.request.instrument, each.request.side) == (execution.instrument, execution.side)
        ]
        return found[::-1]

    # --- what we do

    def sent(self, order_id: str, request: OrderRequest, now: int) -> Tracked:
        """Note an order that is about to be sent."""
        tracked = self._orders[order_id] = self._live[order_id] = Tracked(order_id, request, now)
        return tracked

    def recover(self, orders: Iterable[Order], fills: Iterable[Fill]) -> None:
        """Take over what the record says of orders and fills, ended ones too: they may still fill."""
        for order in orders:
            tracked = Tracked(order.id, order.request, order.ts_intent, order.state, left=True)
            tracked.filled = tracked.reported = order.filled
            tracked.was_there = order.state not in (OrderState.SENT, OrderState.UNKNOWN)
            self._orders[order.id] = self._live[order.id] = tracked
        for fill in fills:
            self.heard[fill.instrument, fill.id] = fill.order_id
            if (found := self._orders.get(fill.order_id)) is not None:
                found.unplaced[fill.id] = fill.quantity
                if is_conceded(
                    fill
                ):  # it stays unplaced: told late at worst, where another life would tell it twice
                    self._note_conceded(found, fill)

    # --- what is proven

    def accepted(self, tracked: Tracked, now: int) -> None:
        """Tell that the venue (or we) hold an order."""
        tracked.was_there = True
        tracked.forget_denials()
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
        """Tell that an order never came to exist; of one that filled, or was there before, that no more comes of it."""
        if tracked.is_closed or tracked.is_watched or tracked.owes:
            return
        if tracked.filled or tracked.past:
            self.gone(tracked, proof, now)
        else:
            tracked.told = OrderState.ABANDONED
            self._tell(OrderAbandoned(now, tracked.id, proof))

    def gone(self, tracked: Tracked, reason: str, now: int) -> None:
        """Tell that an order is no more that nobody but us had; first it is told what it had filled before."""
        if tracked.over is None:
            tracked.over = reason
        self._conclude(tracked, now)

    def amended(self, tracked: Tracked, request: OrderRequest, now: int) -> None:
        """Tell that an order is now as in `request`, and so is live; one that has filled as much by then ends."""
        self.accepted(tracked, now)
        self._become(tracked, request, now)
        if tracked.filled >= request.quantity and not tracked.is_closed:
            self.gone(tracked, "it had filled as much when it was changed", now)

    def _become(self, tracked: Tracked, request: OrderRequest, now: int) -> None:
        tracked.request, tracked.wish = request, None
        self._tell(OrderAmended(now, tracked.id, request.quantity, request.price, request.trigger))

    # --- what the venue says

    def report(self, report: OrderReport, now: int) -> Tracked | None:
        """Take what the venue says of an order; return it when it is one of ours."""
        if report.is_forced:
            self.forced.add(report.key)
        tracked = self._of(report)
        if tracked is None:
            self._not_known(report)
            return None
        self._live.setdefault(tracked.id, tracked)
        self.foreign.pop(report.key, None)
        self.orphans.pop(report.key, None)
        if report.state.is_closed:  # that it stands may be told of before it was asked off
            tracked.is_doubted = False
        if tracked.may_go_on_after(report) or tracked.note_mark(report):
            self._set_aside(tracked, report.venue_id, now)
        if report.venue_id in tracked.past:  # what it was before we took it back
            past = tracked.past[report.venue_id]
            before = tracked.before(report.venue_id) if tracked.may_have_returned else past
            tracked.reported = max(tracked.reported, before + report.filled)
            if report.state.is_closed:
                tracked.unsettled.discard(report.venue_id)
            self._conclude(tracked, now)
            return tracked
        tracked.forget_denials()
        before = tracked.before(report.venue_id)
        tracked.reported = max(tracked.reported, before + report.filled)
        tracked.most = max(tracked.most, before + report.quantity)
        if tracked.wish is not None and _is_done(tracked.wish, tracked.request, as_told(report, tracked)):
            self.amended(tracked, tracked.wish, now)
        if report.state in ENDINGS or _is_cut(report, tracked):
            tracked.ending = report
        elif not tracked.is_closed:
            self.accepted(tracked, now)
        self.named(tracked, report.venue_id, now)
        if tracked.is_watched and report.state.is_closed:
            tracked.unsettled.discard(report.venue_id)
        self._conclude(tracked, now)
        return tracked

    def _set_aside(self, tracked: Tracked, venue_id: str, now: int) -> None:
        """Note an earlier life of an order: what became of the order itself is not known by it."""
        if venue_id in tracked.past:
            return
        self._by_key[key := _key(tracked, venue_id)] = tracked
        tracked.past[venue_id] = tracked.before(venue_id)
        if tracked.venue_id == venue_id:
            tracked.venue_id = ""
            self.unknown(tracked, "an earlier life of it has ended", now)
        for execution in self.strays.pop(key, ()):
            self.execution(execution, now)

    def named(self, tracked: Tracked, venue_id: str, now: int) -> None:
        """Take the venue's id of an order, and the executions that waited for it."""
        if venue_id not in tracked.past:
            self._name(tracked, venue_id)
            for execution in self.strays.pop(_key(tracked, venue_id), ()):
                self.execution(execution, now)

    def _name(self, tracked: Tracked, venue_id: str) -> None:
        """Note the venue's id of an order; one that waited for its trigger may get another one once it is touched."""
        if not venue_id or (key := _key(tracked, venue_id)) in self._by_key:
            return
        self._by_key[key] = tracked
        if tracked.is_watched:  # it was withdrawn before its answer had come
            tracked.past[venue_id] = tracked.before(venue_id)
            tracked.unsettled = {each or venue_id for each in tracked.unsettled}
        else:
            tracked.venue_id = venue_id

    def _not_known(self, report: OrderReport) -> None:
        if self.witness.wants(report):
            return
        is_of_another = self.witness.meet(report)
        is_ours = self._is_ours(plain(report.order_id)) and not is_of_another
        where = self.orphans if is_ours and report.trigger is None else self.foreign
        if report.state in ENDINGS:
            where.pop(report.key, None)
        else:
            where[report.key] = report

    def _of(self, news: OrderReport | Execution) -> Tracked | None:
        return self._orders.get(plain(news.order_id)) or self._by_key.get(news.key)

    def execution(self, execution: Execution, now: int, page: Iterable[Execution] = ()) -> bool:
        """Take an execution; return whether it was news. One of an unknown order waits for that to become known.

        An order is not ended by one while others of it are on the `page` that lists it.
        """
        if execution.is_forced:
            self.forced.add(execution.key)
        tracked = self._of(execution)
        if tracked is None:
            return self._let_wait(execution)
        id = self._id_of(execution, tracked.id)
        if id is None:
            self._place(tracked, execution)
            return False
        if self.heard.get((execution.instrument, execution.id)) == _by_hand(execution.venue_id):
            self._own(execution, now)
        self.heard[execution.instrument, id] = tracked.id
        if covered := _covered(execution, tracked):
            tracked.conceded -= covered
            if covered == execution.quantity:
                return False
            execution = replace(execution, quantity=execution.quantity - covered)
        if execution.venue_id not in tracked.past:
            self._name(tracked, execution.venue_id)
        elif not tracked.is_watched:  # it was before this life
            tracked.base += execution.quantity
        tracked.forget_denials()
        tracked.note_traded(execution.venue_id, execution.quantity)
        tracked.filled += execution.quantity
        tracked.reported = max(tracked.reported, tracked.filled)
        if tracked.filled >= tracked.request.quantity:
            self._is_filled(tracked, execution, page, now)
        if not tracked.is_closed:
            tracked.told = OrderState.PARTIAL
        self._tell(OrderFilled(now, _fill(execution, id, tracked.id, tracked.request.strategy)))
        if not tracked.is_closed and tracked.filled >= tracked.request.quantity:
            tracked.told = OrderState.FILLED
        self._conclude(tracked, now)
        return True

    def _to_come(self, tracked: Tracked, page: Iterable[Execution]) -> Decimal:
        """Return how much of an order was not told, at least, of what is listed on a page."""
        theirs = {each.id: each for each in page if self._of(each) is tracked}
        untold = [each.quantity for each in theirs.values() if self._id_of(each, tracked.id) is not None]
        return max(ZERO, sum(untold, ZERO) - tracked.conceded)

    def _place(self, tracked: Tracked, execution: Execution) -> None:
        """Note in which life of an order a fill was that is on record."""
        for id in (execution.id, f"{execution.id}-{execution.side}"):
            tracked.note_traded(execution.venue_id, tracked.unplaced.pop(id, ZERO))

    def sought(self, tracked: Tracked, now: int) -> None:
        """Note that executions were asked for back to when an order was first sent: more will not be placed."""
        tracked.was_sought = True
        self._conclude(tracked, now)

    def _let_wait(self, execution: Execution) -> bool:
        """Keep an execution of an unknown order until that is known; return whether it was news."""
        if told := self.heard.get((execution.instrument, execution.id)):
            if (tracked := self._orders.get(told)) and tracked.request.side is execution.side:
                self._place(tracked, execution)
            return False
        waiting = self.strays.setdefault(execution.key, [])
        if any(each.id == execution.id for each in waiting):
            return False
        waiting.append(execution)
        return True

    def concede(self, tracked: Tracked, price: Decimal, ref: str, now: int) -> None:
        """Tell what is missing of an order as filled, because a person accepts it; `now` is the venue's time."""
        request, missing = tracked.request, tracked.missing
        quote = request.instrument.partition("@")[0].partition("/")[2].partition(":")[0]
        fill = Fill(
            f"{ref} {tracked.id}", tracked.id, request.instrument, request.strategy, request.side, missing, price, ZERO,
            quote, now,
        )  # fmt: skip
        self.heard[fill.instrument, fill.id] = tracked.id
        self._note_conceded(tracked, fill)
        tracked.note_traded(tracked.venue_id, missing)
        tracked.filled += missing
        if not tracked.is_closed:
            tracked.told = OrderState.FILLED if tracked.filled >= request.quantity else OrderState.PARTIAL
        self._tell(OrderFilled(now, fill))
        self._conclude(tracked, now)

    @staticmethod
    def _note_conceded(tracked: Tracked, fill: Fill) -> None:
        tracked.conceded += fill.quantity
        tracked.conceded_at = max(tracked.conceded_at, fill.ts)

    def _is_filled(self, tracked: Tracked, execution: Execution, page: Iterable[Execution], now: int) -> None:
        """See to an order that has filled all that was asked: more comes, or came, of one that somebody made larger.

        Who changed it was not there to tell. What trades at market is never changed: a copy of this run counts its
        orders as we do.
        """
        tracked.reported = max(tracked.reported, tracked.filled + self._to_come(tracked, page))
        if tracked.request.type is OrderType.MARKET:
            if tracked.filled > tracked.request.quantity:
                self.witness.tell(tracked.id, execution)
        elif tracked.reported > tracked.request.quantity and not tracked.is_closed:
            larger: OrderRequest = replace(tracked.request, quantity=max(tracked.reported, tracked.most))
            is_wished = tracked.wish is not None and tracked.wish.quantity >= tracked.filled
            self._become(tracked, tracked.wish if is_wished and tracked.wish else larger, now)

    def disown(self, key: OrderKey, now: int) -> None:
        """Book executions of an order that is proven not to be ours: the owner traded by hand, or the venue itself."""
        order_id = _by_hand(key[1])
        purpose = Purpose.LIQUIDATION if key in self.forced else Purpose.ENTRY
        for execution in self.strays.pop(key, ()):
            if (execution.instrument, execution.id) not in self.heard:
                self.heard[execution.instrument, execution.id] = order_id
                self.witness.suspect(execution, self.foreign.get(key))
                fill = _fill(execution, execution.id, order_id, OWNER)
                self._tell(OrderFilled(now, replace(fill, purpose=purpose)))

    def _own(self, execution: Execution, now: int) -> None:
        """Take back that somebody traded by hand: the order behind an execution has become known as ours."""
        fill = _fill(execution, f"{execution.id}-back", _by_hand(execution.venue_id), OWNER)
        self._tell(OrderFilled(now, replace(fill, side=fill.side.opposite, fee=-fill.fee)))

    def moved(self, moved: Moved, venue: str, now: int) -> None:
        """Take money that came or went by no order, each once: the owner's, unless what was traded brought it about."""
        id = moved.id or f"{moved.ts} {moved.amount.normalize()}"  # so do doubled frames tell the same
        if (key := (moved.reason, moved.asset, id)) in self._moved:
            return
        self._moved.add(key)
        if moved.reason == "funding":
            self._tell(FundingPaid(moved.ts, moved.instrument, "", moved.amount, moved.asset))
        else:
            is_owners = not moved.is_of_trading
            self._tell(BalanceChanged(now, venue, moved.asset, moved.amount, moved.reason, is_owners, id))

    def _id_of(self, execution: Execution, order_id: str) -> str | None:
        """Return the id under which an execution is to be told, None when it was.

        When two of our orders trade with each other, both executions have one id at the venue.
        """
        for id in (execution.id, f"{execution.id}-{execution.side}"):
            told = self.heard.get((execution.instrument, id))
            if told is None:
                return id
            if told == order_id:
                return None
        return None

    def _conclude(self, tracked: Tracked, now: int) -> None:
        """Tell the end of an order once every fill before it is told."""
        ending = tracked.ending
        if ending is not None:  # meanwhile more may be known of what had filled before
            tracked.reported = max(tracked.reported, tracked.before(ending.venue_id) + ending.filled)
        if tracked.owes or tracked.is_closed or tracked.is_to_be_sought:
            return
        if tracked.over is not None:
            if not tracked.unsettled:
                tracked.told = OrderState.CANCELLED
                self._tell(OrderCancelled(now, tracked.id, tracked.over))
            return
        if ending is None or tracked.held:
            return
        if ending.state is OrderState.REJECTED and not tracked.filled:
            self._rejected(tracked, ending.reason or "rejected by the venue", now)
        elif ending.state is OrderState.EXPIRED:
            tracked.told = OrderState.EXPIRED
            self._tell(OrderExpired(now, tracked.id, ending.reason))
        else:
            tracked.told = OrderState.CANCELLED
            self._tell(OrderCancelled(now, tracked.id, ending.reason))


def left_standing(register: Register) -> str:
    """Return a sentence about open stops of ours that are on no record: what they protect may be on a lost one."""
    told = [
        f"{each.side.value} {each.quantity} of {each.instrument} at {each.trigger}"
        for each in register.foreign.values()
        if each.trigger is not None and not each.state.is_closed and register.witness.is_ours_left(each)
    ]
    if not told:
        return ""
    return f"stops or take-profits of ours are on no record and were left standing ({', '.join(told)}): restore it, or take them back there."


def may_have_traded(register: Register, tracked: Tracked) -> bool:
    """Say whether an execution whose order nobody knows may be one of this order."""
    about = (tracked.request.instrument, tracked.request.side)
    others = {key for key, report in register.foreign.items() if report.order_id}
    waiting = (found[0] for key, found in register.strays.items() if key not in others)
    return any((each.instrument, each.side) == about for each in waiting)


def _place(tracked: Tracked) -> tuple[str, str, Side, bool]:
    request = tracked.request
    return request.strategy, request.instrument, request.side, request.reduce_only


def _key(tracked: Tracked, venue_id: str) -> OrderKey:
    """Return by what an order is known in the life to which the venue gave this id."""
    return tracked.request.instrument, venue_id


def as_told(report: OrderReport, tracked: Tracked) -> OrderRequest:
    """Return an order's request with what the venue says of it now."""
    request = tracked.request
    told: OrderRequest = replace(
        request,
        quantity=tracked.before(report.venue_id) + report.quantity,
        price=request.price if request.price is None else report.price or request.price,
        trigger=request.trigger if request.trigger is None else report.trigger or request.trigger,
    )
    return told


def _is_done(wish: OrderRequest, before: OrderRequest, now: OrderRequest) -> bool:
    """Say whether what was to be changed of an order is as it was wished."""
    changed = [
        each for each in ("quantity", "price", "trigger") if getattr(wish, each) != getattr(before, each)
    ]
    return bool(changed) and all(getattr(now, each) == getattr(wish, each) for each in changed)


def _is_cut(report: OrderReport, tracked: Tracked) -> bool:
    """Say whether the venue filled all of an order that it made smaller: an exit when less was held."""
    asked = tracked.request.quantity - tracked.before(report.venue_id)
    return report.state is OrderState.FILLED and ZERO < report.filled == report.quantity < asked


def _by_hand(venue_id: str) -> str:
    return f"manual-{venue_id}"


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


def _covered(execution: Execution, tracked: Tracked) -> Decimal:
    """Return how much of an execution was told before it was listed, because a person accepted it."""
    return min(tracked.conceded, execution.quantity) if execution.ts <= tracked.conceded_at else ZERO


def is_conceded(fill: Fill) -> bool:
    """Say whether a person accepted a fill that the venue had reported and not listed."""
    return fill.id.endswith(f" {fill.order_id}")
