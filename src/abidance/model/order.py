"""Orders: what is asked for, the legal life of an instruction, and our own executions (fills).

    INTENDED -> SENT -> OPEN | UNKNOWN -> PARTIAL -> FILLED | CANCELLED | REJECTED | EXPIRED | ABANDONED

An UNKNOWN order may be live: it holds its exposure until it is found or proven absent. A closed order still accepts
fills, because a venue may report one late.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

from abidance.model.money import ZERO


class Side(StrEnum):
    """The side of an order."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """Return +1 for BUY, -1 for SELL."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        """Return the other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class Direction(StrEnum):
    """The side of a position."""

    LONG = "long"
    SHORT = "short"
    FLAT = "flat"


class OrderType(StrEnum):
    """How an order becomes a trade.

    Once `trigger` is touched, STOP and TAKE_PROFIT trade at market, and the two others rest at `price`. The price comes
    to a stop as it gets worse for the order's side, and to a take-profit as it gets better.
    """

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TAKE_PROFIT = "take_profit"
    TAKE_PROFIT_LIMIT = "take_profit_limit"


STOP_TYPES = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})
GOAL_TYPES = frozenset({OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT})
TRIGGERED = STOP_TYPES | GOAL_TYPES
"""The types that have a `trigger`."""
PRICED = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT})
"""The types that have a `price`."""


class TimeInForce(StrEnum):
    """How long an order waits: until cancelled, now or never in part, now or never in whole."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"


class Purpose(StrEnum):
    """Why an order exists; exits carry the `exit_reason` that reports show."""

    ENTRY = "entry"
    SIGNAL = "signal"
    STOP_LOSS = "stop_loss"
    TRAILING_STOP = "trailing_stop"
    BREAK_EVEN = "break_even"
    TAKE_PROFIT = "take_profit"
    TIME = "time"
    FLATTEN = "flatten"
    LIQUIDATION = "liquidation"
    REBALANCE = "rebalance"


class Protection(msgspec.Struct, frozen=True, gc=False):
    """Exit distances that ride with an entry, in quote units per base unit; None means none.

    `trailing` moves the stop behind the best price seen since the entry. `max_bars` closes at market after so many
    closed bars. `break_even` moves the stop to the entry price once the price has gone that far in our favour.
    """

    stop: float | None = None
    take_profit: float | None = None
    trailing: float | None = None
    break_even: float | None = None
    max_bars: int | None = None

    def __bool__(self) -> bool:
        """Return True when it asks for any exit."""
        return any(wish is not None for wish in msgspec.structs.astuple(self))

    @property
    def has_stop(self) -> bool:
        """Return True when it asks for a stop, at once or later on."""
        return not (self.stop is None and self.trailing is None and self.break_even is None)


class OrderRequest(msgspec.Struct, frozen=True, gc=False, tag="order", tag_field="kind"):
    """A concrete wish to trade, not yet approved.

    `quantity` is in base units and positive. `price` belongs to the types in `PRICED`, `trigger` to those in
    `TRIGGERED`. `decision_price` is the price at which the strategy decided; slippage is measured against it.
    `expire_after` cancels what is unfilled after so many seconds. `expected` is the mean price that the market promised
    when the request was approved, where that was asked. `part` says of which worked entry it is the how-manieth part,
    written `3/7`.
    """

    strategy: str
    instrument: str
    side: Side
    quantity: Decimal
    type: OrderType = OrderType.MARKET
    price: Decimal | None = None
    trigger: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    reduce_only: bool = False
    purpose: Purpose = Purpose.ENTRY
    tag: str = ""
    confidence: float = 1.0
    decision_price: Decimal = ZERO
    protection: Protection | None = None
    expire_after: int | None = None
    expected: Decimal | msgspec.UnsetType = msgspec.UNSET
    part: str | msgspec.UnsetType = msgspec.UNSET

    @property
    def approach(self) -> int:
        """Return from where the price comes to the trigger: +1 when it rises to it, -1 when it falls."""
        return -self.side.sign if self.type in GOAL_TYPES else self.side.sign


class OrderState(StrEnum):
    """Where an order is in its life."""

    INTENDED = "intended"
    SENT = "sent"
    OPEN = "open"
    UNKNOWN = "unknown"
    PARTIAL = "partial"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    ABANDONED = "abandoned"

    @property
    def is_closed(self) -> bool:
        """Return True when nothing more is expected of the order (a late fill is still booked)."""
        return self in _CLOSED


_S = OrderState
_CLOSED = frozenset({_S.FILLED, _S.CANCELLED, _S.REJECTED, _S.EXPIRED, _S.ABANDONED})
_ENDS = frozenset({_S.PARTIAL, _S.FILLED, _S.CANCELLED, _S.EXPIRED})
LEGAL: dict[OrderState, frozenset[OrderState]] = {
    _S.INTENDED: frozenset({_S.SENT, _S.ABANDONED}),
    _S.SENT: frozenset({_S.OPEN, _S.UNKNOWN, _S.REJECTED}) | _ENDS,
    _S.UNKNOWN: frozenset({_S.OPEN, _S.REJECTED, _S.ABANDONED}) | _ENDS,
    _S.OPEN: frozenset({_S.UNKNOWN, _S.REJECTED}) | _ENDS,
    _S.PARTIAL: frozenset({_S.UNKNOWN}) | _ENDS,
    _S.FILLED: frozenset({_S.FILLED}),
    _S.CANCELLED: frozenset({_S.CANCELLED, _S.FILLED}),
    _S.EXPIRED: frozenset({_S.EXPIRED, _S.FILLED}),
    _S.REJECTED: frozenset({_S.FILLED, _S.PARTIAL}),
    _S.ABANDONED: frozenset({_S.FILLED, _S.PARTIAL}),
}
"""From each state, the states that may follow. Closed states move only because of a late fill."""


class Fill(msgspec.Struct, frozen=True, gc=False):
    """Our own execution. `id` is the venue's trade id; `fee` is positive when we pay, in units of `fee_asset`.

    A fee in a third asset may bear what it stands for in quote units (`fee_worth`): so much it counts where nothing
    prices that asset. Records of earlier versions have none.
    """

    id: str
    order_id: str
    instrument: str
    strategy: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_asset: str
    ts: int
    is_maker: bool = False
    purpose: Purpose = Purpose.ENTRY
    fee_worth: Decimal | msgspec.UnsetType = msgspec.UNSET  # not written where there is none


class Order(msgspec.Struct, frozen=True, gc=False, tag="live_order"):
    """An instruction with a life: the request, where it stands, and what it has filled so far.

    `ts_intent` is when the strategy decided and the command left, `ts_last` when anything last happened. `cost` is the
    sum of price times quantity over the fills; `fees` is in quote units (fees in the base asset at the fill's price,
    those in a third asset as their `fee_worth`, if any).
    """

    id: str
    request: OrderRequest
    state: OrderState
    ts_intent: int
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    fees: Decimal = ZERO
    ts_first_fill: int | None = None
    ts_last: int = 0
    reason: str = ""

    @property
    def remaining(self) -> Decimal:
        """Return the quantity that has not filled."""
        return self.request.quantity - self.filled

    @property
    def average_price(self) -> Decimal | None:
        """Return the mean fill price, or None before the first fill."""
        return self.cost / self.filled if self.filled else None
