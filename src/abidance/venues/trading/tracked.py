"""One order of ours in all its lives at a venue: what was asked, what was told, what the venue says beyond that."""

from dataclasses import dataclass, field
from decimal import Decimal
from math import inf

from abidance.model.money import ZERO
from abidance.model.order import Order, OrderRequest, OrderState
from abidance.venues.account import OrderReport, Proof, Reply
from abidance.venues.trading.witness import mark_of, plain

ENDINGS = frozenset({OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED})


@dataclass(slots=True)
class Tracked:
    """One order of ours: what was asked, what the engine was told, what the venue says beyond that.

    `filled` is what was told in fills, `reported` the most that the venue reported as filled, `most` the most that it
    is known to ask for: by what the venue says, or by a change of which an earlier process did not hear. A `held` order
    is not at the venue: we watch the market for it; it may have been there before (`past`, the venue's ids of it then
    and what had filled before each of these lives) and go there again. While it is `moving` from the venue to us it may
    still trade there. It has `left` once its request was sent, at `sent_at` (ns of the venue's time), not before the
    record `recorded_as` is on the disk; an earlier process may have sent it later than it meant to, until `left_by`. It
    `was_there` once the venue (or, before a restart, we) had it. It `is_unwanted` once it was to be taken back. It has
    a `wish` while it is not known whether a change was done; it is otherwise at the venue since `other_since`. `beside`
    are the other exits of its position, and what was known to be filled of each when this one was worded.
    `unsettled` are its earlier lives (the venue's ids, "" where that is not known) of which nobody has said yet what
    they had filled; it is `over` (why) once it is to end as soon as that is known. It `is_doubted` while nobody has
    answered what became of it since it was asked off. `conceded` is what a person accepted at `conceded_at` (ns of the
    venue's time) as filled that no execution was listed of: one that is listed later is not told again. One that
    `may_have_returned` had lives in an earlier process of which nobody knows how many: `traded` is then what is known
    to have filled in each (by the venue's ids), `unplaced` the fills on record (by their ids) of which it is not known
    in which; it `was_sought` once that was asked. `mark` is the highest that the venue has shown at its id. The venue
    knew no such order in a look that was asked at `denied_at`, the last of those that say so, and in one after its time
    that was answered at `absent_from` (steady seconds). It was asked since `asked_off_at` to be taken back. Its prices
    were wished `since` then (steady seconds), as far as this process knows. What we hold is `due_since` its price
    has come and stayed.
    """

    id: str
    request: OrderRequest
    sent_at: int
    told: OrderState = OrderState.SENT
    venue_id: str = ""
    filled: Decimal = ZERO
    reported: Decimal = ZERO
    most: Decimal = ZERO
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
    wish: OrderRequest | None = None
    other_since: int | None = None
    unsettled: set[str] = field(default_factory=set)
    over: str | None = None
    is_doubted: bool = False
    may_have_returned: bool = False
    traded: dict[str, Decimal] = field(default_factory=dict)
    unplaced: dict[str, Decimal] = field(default_factory=dict)
    was_sought: bool = False
    mark: int = -1
    beside: tuple[tuple["Tracked", Decimal], ...] = ()
    absent_from: float | None = None
    denied_at: float = -inf
    asked_off_at: float = inf
    conceded: Decimal = ZERO
    conceded_at: int = 0
    since: float = -inf
    due_since: float = inf

    @property
    def is_closed(self) -> bool:
        """Return True when nothing more is expected of it."""
        return self.told.is_closed

    @property
    def is_changing(self) -> bool:
        """Return True while it is not known whether a change of it was done."""
        return self.wish is not None

    @property
    def is_watched(self) -> bool:
        """Return True while nobody but us holds it."""
        return self.held and not self.moving

    @property
    def owes(self) -> bool:
        """Return True while the venue has reported more as filled than we know the fills of."""
        return self.reported > self.filled

    @property
    def missing(self) -> Decimal:
        """Return how much the venue has reported as filled of which we do not know the fills."""
        return max(ZERO, self.reported - self.filled)

    @property
    def is_accounted(self) -> bool:
        """Return True when it is known what it has filled so far, and it is not to end."""
        return not self.owes and not self.unsettled and self.over is None

    @property
    def remaining(self) -> Decimal:
        """Return what is not known to be filled."""
        return self.request.quantity - max(self.filled, self.reported)

    @property
    def is_unplaced(self) -> bool:
        """Return True while it is not known in which of its lives it has filled what is on record."""
        return self.may_have_returned and bool(self.unplaced)

    @property
    def is_to_be_sought(self) -> bool:
        """Return True while it was not asked yet in which of its lives it has filled what is on record."""
        return self.is_unplaced and not self.was_sought

    def before(self, venue_id: str) -> Decimal:
        """Return what had filled besides one of its lives; what is not placed counts as of that one."""
        if not self.may_have_returned:
            return self.base
        of_it = self.traded.get(venue_id, ZERO) if venue_id else ZERO
        return self.filled - of_it - sum(self.unplaced.values(), ZERO)

    @property
    def in_question(self) -> Decimal:
        """Return how much may have traded that was not told: all that is left of an order of unknown outcome."""
        is_unclear = bool(self.unsettled) or self.told in (OrderState.SENT, OrderState.UNKNOWN)
        return self.request.quantity - self.filled if is_unclear else self.missing

    @property
    def is_standing(self) -> bool:
        """Return True while it rests at the venue, as far as we know."""
        return (self.moving or not self.held) and not self.is_closed

    def view(self) -> Order:
        """Return the order as dialects want it: under the client id that it has at the venue."""
        return Order(self.wire_id or self.id, self.request, self.told, self.sent_at, self.filled)

    def forget_denials(self) -> None:
        """Forget that the venue knew no such order: it does, or did so of an earlier life."""
        self.absent_from, self.denied_at, self.asked_off_at = None, -inf, inf

    def judged(self, reply: Reply) -> Reply:
        """Return what the answer to its submit proves: nothing is done while no order is named."""
        is_named = reply.venue_id or any(
            each.venue_id and plain(each.order_id) in ("", self.id) for each in reply.reports
        )
        if reply.proof is Proof.DONE and not is_named:
            return reply._replace(proof=Proof.UNKNOWN, reason="an answer that names no order")
        return reply

    def withdraw(self) -> None:
        """Note that the order is off the venue and lives on with us."""
        if self.venue_id:
            self.past[self.venue_id] = self.before(self.venue_id)
        if self.ending is None:
            self.unsettled.add(self.venue_id)
        self.venue_id, self.ending, self.held = "", None, True

    def may_go_on_after(self, report: OrderReport) -> bool:
        """Say whether a report may be of the end of an earlier life of the order: another process sent it again since.

        What ended after that process was the last life: it sends an order again only once the one before is off. An end
        without a time is what our cancel of the last life was answered.
        """
        return self.may_have_returned and report.state in ENDINGS and 0 < report.ts <= self.left_by

    def note_mark(self, report: OrderReport) -> bool:
        """Take the mark at its id from a report; say whether that is of an earlier life."""
        if plain(report.order_id) != self.id:
            return False
        mark, newest = mark_of(report.order_id), max(self.mark, mark_of(self.wire_id))
        self.mark = max(self.mark, mark)
        if mark > newest and mark > 0:  # an earlier process sent it
            self.wire_id = f"{self.id}r{mark}"
        return mark < newest

    def release(self, now: int, *, ids_once: bool) -> Decimal:
        """Note that the order goes to the venue and return the quantity; a used id gets a mark where it must."""
        used = (
            mark_of(self.wire_id) + 1 if self.left else 0
        )  # by the life before, even if nobody ever named it
        self.held, self.ending, self.sent_at, self.base = False, None, now, self.filled
        self.was_there = self.left = False
        self.forget_denials()
        self.unplaced.clear()  # they are of the lives before
        if ids_once and (mark := max(len(self.past), self.mark + 1, used)):
            self.wire_id = f"{self.id}r{mark}"
        return self.remaining

    def note_traded(self, venue_id: str, quantity: Decimal) -> None:
        """Note what has filled in one of its lives."""
        self.traded[venue_id] = self.traded.get(venue_id, ZERO) + quantity
