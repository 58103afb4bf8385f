"""A working order as the venue sees it, and the filters that an order must pass; no prices of the market here."""

from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum

from abidance.model.instrument import Instrument
from abidance.model.money import ZERO
from abidance.model.order import PRICED, TRIGGERED, OrderRequest, OrderType, TimeInForce

NEVER = 1 << 62
"""A moment that does not come."""

_LARGEST = Decimal(10) ** 15


class Stage(IntEnum):
    """What a working order waits for."""

    TRIGGER = 1
    MARKET = 2
    LIMIT = 3


_FIRST_STAGE = {
    OrderType.MARKET: Stage.MARKET,
    OrderType.LIMIT: Stage.LIMIT,
    **dict.fromkeys(TRIGGERED, Stage.TRIGGER),
}


@dataclass(slots=True, eq=False)
class WorkingOrder:
    """An order that the venue holds; floats and ticks mirror the request's Decimals for the fill rules.

    `approach` is from where the price comes to its trigger: +1 from below, -1 from above. `arrival` is when it reached
    the venue, `reference` the price then (the open for all that came before the bar), `rested` whether it was checked
    against the market on arrival, `tried` the open time of the last bar it acted in.
    """

    id: str
    request: OrderRequest
    instrument: Instrument
    sequence: int
    arrival: int
    expiry: int
    stage: Stage
    side: int
    lots: int
    filled: int = 0
    price: float = 0.0
    price_ticks: int = 0
    trigger: float = 0.0
    approach: int = 0
    reference: float = 0.0
    rested: bool = False
    tried: int = -1
    closed: bool = False
    reserve_price: Decimal = ZERO
    reserved: Decimal = ZERO

    @property
    def is_stop(self) -> bool:
        """Return True when it waits for a price that is worse than now."""
        return self.stage is Stage.TRIGGER and self.approach == self.side

    @property
    def left(self) -> int:
        """Return the lots that have not filled."""
        return self.lots - self.filled

    @property
    def immediate(self) -> bool:
        """Return True when what does not fill at once is not to wait."""
        return self.request.time_in_force is not TimeInForce.GTC

    @property
    def whole(self) -> bool:
        """Return True when it fills in whole or not at all."""
        return self.request.time_in_force is TimeInForce.FOK

    def adopt(self, request: OrderRequest) -> None:
        """Take over the quantity, price and trigger of a request that passed the filters."""
        self.request = request
        self.lots = int(request.quantity / self.instrument.lot)
        if request.price is not None:
            self.price = float(request.price)
            self.price_ticks = int(request.price / self.instrument.tick)
        if request.trigger is not None:
            self.trigger, self.approach = float(request.trigger), request.approach

    def pull(self) -> None:
        """Turn an order whose trigger was touched into what it becomes."""
        self.stage = Stage.LIMIT if self.request.type in PRICED else Stage.MARKET
        self.rested = True


def first_stage(request: OrderRequest) -> Stage:
    """Return what a new order waits for."""
    return _FIRST_STAGE[request.type]


def filter_reason(request: OrderRequest, instrument: Instrument) -> str:
    """Return which filter a request breaks, whatever the market; empty when none."""
    wrong = _step_reason("quantity", request.quantity, instrument.lot)
    if wrong:
        return wrong
    if request.quantity < instrument.min_quantity:
        return f"quantity {request.quantity} is below the minimum {instrument.min_quantity}"
    for name, value, types in (("price", request.price, PRICED), ("trigger", request.trigger, TRIGGERED)):
        if (value is None) is (request.type in types):
            return f"a {request.type} order {'needs' if value is None else 'takes no'} {name}"
        if value is not None and (wrong := _step_reason(name, value, instrument.tick)):
            return wrong
    if request.post_only and (request.type not in PRICED or request.time_in_force is not TimeInForce.GTC):
        return "post-only belongs to limit orders that wait"
    if request.expire_after is not None and request.expire_after <= 0:
        return f"expiry after {request.expire_after} seconds has passed before it began"
    return ""


def notional_reason(request: OrderRequest, instrument: Instrument, price: Decimal) -> str:
    """Return why an order is worth too little at `price`; empty when it is not.

    An order that only reduces a perpetual position may be of any value, as on the venues.
    """
    if request.reduce_only and instrument.is_perpetual:
        return ""
    notional = request.quantity * price
    if notional < instrument.min_notional:
        return f"value {notional:f} {instrument.quote} is below the minimum {instrument.min_notional}"
    return ""


def _step_reason(name: str, value: Decimal, step: Decimal) -> str:
    if not value.is_finite() or value <= 0:
        return f"{name} {value} is not above zero"
    if value > _LARGEST * step:
        return f"{name} {value} is too large"
    return f"{name} {value} is not a multiple of {step}" if value % step else ""
