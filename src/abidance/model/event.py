"""Everything that may enter the engine: market data, answers about our account, timers, control."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from abidance.model.loan import LoanState
from abidance.model.market import (
    Anomaly,
    BarSlice,
    BookSnapshot,
    FeedStatus,
    FundingRate,
    MarketEvent,
    MarkPrice,
    Quote,
    Trade,
)
from abidance.model.order import Fill


class OrderAccepted(msgspec.Struct, frozen=True, gc=False, tag="accepted"):
    """The venue holds the order."""

    ts: int
    order_id: str


class OrderRejected(msgspec.Struct, frozen=True, gc=False, tag="rejected"):
    """The venue proved that it does not hold the order; `reason` is the venue's filter or text."""

    ts: int
    order_id: str
    reason: str


class OrderUnknown(msgspec.Struct, frozen=True, gc=False, tag="unknown"):
    """The outcome of a submit is not known: the order may be live."""

    ts: int
    order_id: str
    reason: str


class OrderAbandoned(msgspec.Struct, frozen=True, gc=False, tag="abandoned"):
    """Proof that an order never existed at the venue; `reason` names the proof."""

    ts: int
    order_id: str
    reason: str


class OrderFilled(msgspec.Struct, frozen=True, gc=False, tag="filled"):
    """One execution of one of our orders."""

    ts: int
    fill: Fill


class OrderCancelled(msgspec.Struct, frozen=True, gc=False, tag="cancelled"):
    """The order is off the book; what it filled before stays filled."""

    ts: int
    order_id: str
    reason: str = ""


class OrderExpired(msgspec.Struct, frozen=True, gc=False, tag="expired"):
    """Time in force ran out (IOC, FOK, expiry)."""

    ts: int
    order_id: str
    reason: str = ""


class OrderAmended(msgspec.Struct, frozen=True, gc=False, tag="amended"):
    """The venue confirmed a change; the values are those now in force."""

    ts: int
    order_id: str
    quantity: Decimal
    price: Decimal | None
    trigger: Decimal | None


class ChangeRejected(msgspec.Struct, frozen=True, gc=False, tag="change_rejected"):
    """A cancel or amend was refused; the order is as it was, or already closed."""

    ts: int
    order_id: str
    reason: str


class FundingPaid(msgspec.Struct, frozen=True, gc=False, tag="funding_paid"):
    """Funding was booked on a perpetual position; `amount` is signed, positive when we receive.

    Without a `strategy` it is of the account's whole position, as venues tell it.
    """

    ts: int
    instrument: str
    strategy: str
    amount: Decimal
    asset: str


class BalanceChanged(msgspec.Struct, frozen=True, gc=False, tag="balance_changed", omit_defaults=True):
    """Money came or went from outside: a deposit, a withdrawal, the opening balance.

    What the account's owner moved himself `is_owners`, not the run's. What bears the same `id` is booked once.
    """

    ts: int
    venue: str
    asset: str
    amount: Decimal
    reason: str
    is_owners: bool = False
    id: str = ""


class AccountAgreed(msgspec.Struct, frozen=True, gc=False, tag="account_agreed"):
    """An account had all that our books say after its owner had moved and traded so much himself since the run began.

    `moved` is by asset, `traded` by instrument, negative is what he took out or sold. That explains nothing that the
    account lacks later.
    """

    ts: int
    venue: str
    moved: dict[str, Decimal]
    traded: dict[str, Decimal]


class DebtChanged(msgspec.Struct, frozen=True, gc=False, tag="debt_changed"):
    """What we owe a venue changed: by `owed` (more when positive), and `received` came to our wallet with it.

    A loan brings as much as is owed, a repayment takes as much as is no longer owed; what is owed beyond what was
    received is interest. `ref` is unique: the id of a loan (`loan_id` then), or what the venue calls the hour.
    """

    ts: int
    venue: str
    asset: str
    owed: Decimal
    received: Decimal
    reason: str
    ref: str
    loan_id: str = ""


class LoanTold(msgspec.Struct, frozen=True, gc=False, tag="loan_told"):
    """What became of a loan that changed no debt: its outcome is not known, or it is proven that nothing was done."""

    ts: int
    loan_id: str
    state: LoanState
    reason: str


class VenueStatus(msgspec.Struct, frozen=True, gc=False, tag="venue_status"):
    """Whether what we know of our account at a venue may be acted on; `reasons` say why not. No trust, no new risk.

    `blind` are stops held by us that nobody can trigger, because no price is known or they cannot leave; with
    `is_away` the venue answers nothing at all, so that no order could leave either.
    """

    ts: int
    venue: str
    reasons: tuple[str, ...] = ()
    blind: tuple[str, ...] = ()
    is_away: bool = False

    @property
    def is_trusted(self) -> bool:
        """Return True when nothing speaks against new risk."""
        return not self.reasons


class Part(StrEnum):
    """What a circuit watches: a side of one venue, or of the machine that the run is on (`JOURNAL`, `DISK`)."""

    REQUESTS = "requests"
    LATENCY = "latency"
    ORDERS = "orders"
    CLOCK = "clock"
    STREAM = "stream"
    DATA = "data"
    BOOKS = "books"
    JOURNAL = "journal"
    DISK = "disk"


class CircuitState(StrEnum):
    """CLOSED lets new risk through, OPEN none, HALF_OPEN tries whether the trouble is over."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class CircuitMoved(msgspec.Struct, frozen=True, gc=False, tag="circuit"):
    """A circuit breaker opened, closed, or is being tried. Without a `venue` it is of the whole run.

    `trips` counts how often it opened since it was last at peace, `rest` for how many seconds it stays open this time.
    """

    ts: int
    venue: str
    part: Part
    state: CircuitState
    reason: str = ""
    trips: int = 0
    rest: float = 0.0

    @property
    def is_closed(self) -> bool:
        """Return True while it lets new risk through."""
        return self.state is CircuitState.CLOSED

    def is_of(self, venue: str, part: str = "") -> bool:
        """Say whether it is of a venue and a part; empty names stand for all of them."""
        return (not venue or venue == self.venue) and (not part or part == self.part)

    def concerns(self, venue: str) -> bool:
        """Say whether it has to do with entries at a venue."""
        return not self.venue or self.venue == venue


class RulesChanged(msgspec.Struct, frozen=True, gc=False, tag="rules"):
    """A venue demands other steps, sizes or numbers of orders in an instrument from now on, or trades it no longer."""

    ts: int
    instrument: str
    tick: Decimal
    lot: Decimal
    min_quantity: Decimal
    min_notional: Decimal
    is_listed: bool = True
    max_orders: int = 0
    max_stops: int = 0


class Timer(msgspec.Struct, frozen=True, gc=False, tag="timer"):
    """A moment that was asked for has come."""

    ts: int
    name: str
    strategy: str = ""


class ControlAction(StrEnum):
    """What a person or a rule may order a running node to do."""

    START = "start"
    STOP = "stop"
    PAUSE_ENTRIES = "pause_entries"
    RESUME_ENTRIES = "resume_entries"
    FLATTEN = "flatten"
    SET_PARAMETERS = "set_parameters"
    SET_ALLOCATION = "set_allocation"
    SET_LIMITS = "set_limits"
    SET_BREAKERS = "set_breakers"
    KILL = "kill"
    RELEASE = "release"
    ORDER = "order"
    AMEND_ORDER = "amend_order"
    CANCEL_ORDER = "cancel_order"
    ADJUST = "adjust"
    RESET_CIRCUITS = "reset_circuits"
    BORROW = "borrow"
    REPAY = "repay"


KILL_SWITCH = "kill switch"
"""Who is named by a `Control` that came from the switch and not from a person."""


class Control(msgspec.Struct, frozen=True, gc=False, tag="control"):
    """An order from outside; `strategy` empty means all. `actor` says who; `values` are the new parameters.

    A manual order (ORDER, AMEND_ORDER, CANCEL_ORDER) belongs to one strategy; its `values` are those of an
    `OrderRequest`, amounts as text, or `order_id` and what is to change. ADJUST accepts what an account holds other
    than our books say: the events that follow it bring the books in line; its `values` are the differences that were
    seen (`seen`) and the `reason`. SET_LIMITS and SET_BREAKERS are about the run as a whole: their `values` are limits
    or breakers by name, "off" for none. RESET_CIRCUITS closes what is open of a `venue` and `part`, all of them where
    none is named. BORROW and REPAY ask a `venue` for an `amount` (text) of an `asset`, or give it back ("all" of it).
    Whoever gave the order knows it by its `id`, under which it is obeyed once.
    """

    ts: int
    action: ControlAction
    strategy: str = ""
    actor: str = ""
    values: dict[str, float | int | str | bool] = {}
    id: str | msgspec.UnsetType = (
        msgspec.UNSET
    )  # not written where there is none: old records are equal to new ones


AccountEvent = (
    OrderAccepted
    | OrderRejected
    | OrderUnknown
    | OrderAbandoned
    | OrderFilled
    | OrderCancelled
    | OrderExpired
    | OrderAmended
    | ChangeRejected
    | FundingPaid
    | BalanceChanged
    | AccountAgreed
    | DebtChanged
    | LoanTold
    | VenueStatus
    | CircuitMoved
    | RulesChanged
)
Event = (
    BarSlice
    | Trade
    | Quote
    | BookSnapshot
    | FundingRate
    | MarkPrice
    | FeedStatus
    | Anomaly
    | OrderAccepted
    | OrderRejected
    | OrderUnknown
    | OrderAbandoned
    | OrderFilled
    | OrderCancelled
    | OrderExpired
    | OrderAmended
    | ChangeRejected
    | FundingPaid
    | BalanceChanged
    | AccountAgreed
    | DebtChanged
    | LoanTold
    | VenueStatus
    | CircuitMoved
    | RulesChanged
    | Timer
    | Control
)

__all__ = [
    "KILL_SWITCH",
    "AccountAgreed",
    "AccountEvent",
    "Anomaly",
    "BalanceChanged",
    "BarSlice",
    "BookSnapshot",
    "ChangeRejected",
    "CircuitMoved",
    "CircuitState",
    "Control",
    "ControlAction",
    "DebtChanged",
    "Event",
    "FeedStatus",
    "FundingPaid",
    "FundingRate",
    "LoanTold",
    "MarkPrice",
    "MarketEvent",
    "OrderAbandoned",
    "OrderAccepted",
    "OrderAmended",
    "OrderCancelled",
    "OrderExpired",
    "OrderFilled",
    "OrderRejected",
    "OrderUnknown",
    "Part",
    "Quote",
    "RulesChanged",
    "Timer",
    "Trade",
    "VenueStatus",
]
