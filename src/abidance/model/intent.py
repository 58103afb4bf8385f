"""What a strategy may say: targets, requests, cancels, amendments, baskets. Saying is not doing: risk answers."""

from decimal import Decimal

import msgspec

from abidance.model.order import OrderRequest, Protection


class Target(msgspec.Struct, frozen=True, gc=False, tag="target", tag_field="kind"):
    """A wished position: `strength` in [-1, 1] (sign = direction, size = share of a full stake), 0 = flat.

    `price` is the price at which the strategy decided (the close of its bar).
    """

    strategy: str
    instrument: str
    strength: float
    price: float
    confidence: float = 1.0
    protection: Protection | None = None
    tag: str = ""


class CancelRequest(msgspec.Struct, frozen=True, gc=False, tag="cancel_request", tag_field="kind"):
    """The wish to take an order back."""

    order_id: str


class AmendRequest(msgspec.Struct, frozen=True, gc=False, tag="amend_request", tag_field="kind"):
    """The wish to change a resting order; None leaves a value as it is."""

    order_id: str
    quantity: Decimal | None = None
    price: Decimal | None = None
    trigger: Decimal | None = None


class Basket(msgspec.Struct, frozen=True, gc=False, tag="basket", tag_field="kind"):
    """Requests that only make sense together: risk approves all or refuses all."""

    requests: tuple[OrderRequest, ...]


class TimerRequest(msgspec.Struct, frozen=True, gc=False, tag="timer_request", tag_field="kind"):
    """The wish to be called at `ts` (ns UTC) through `on_timer` with `name`."""

    strategy: str
    name: str
    ts: int


Intent = Target | OrderRequest | CancelRequest | AmendRequest | Basket | TimerRequest
