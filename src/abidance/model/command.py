"""Everything that may leave the engine towards a venue."""

from decimal import Decimal

import msgspec

from abidance.model.order import OrderRequest


class Submit(msgspec.Struct, frozen=True, gc=False, tag="submit"):
    """Send a new order under the client order id `order_id`; `ts` is the moment of the decision."""

    order_id: str
    request: OrderRequest
    ts: int


class Amend(msgspec.Struct, frozen=True, gc=False, tag="amend"):
    """Change a resting order; None leaves a value as it is."""

    order_id: str
    quantity: Decimal | None
    price: Decimal | None
    trigger: Decimal | None
    ts: int


class Cancel(msgspec.Struct, frozen=True, gc=False, tag="cancel"):
    """Take a resting order back."""

    order_id: str
    ts: int


Command = Submit | Amend | Cancel
