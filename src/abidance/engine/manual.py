"""Manual orders: what a person typed, as the intents that strategies state. Risk answers them as any other."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from enum import Enum
from math import inf
from typing import TypeVar

from abidance.model.errors import UsageError
from abidance.model.event import Control, ControlAction
from abidance.model.intent import AmendRequest, CancelRequest
from abidance.model.order import OrderRequest, OrderType, Protection, Purpose, Side, TimeInForce

E = TypeVar("E", bound=Enum)
MANUAL = frozenset({ControlAction.ORDER, ControlAction.AMEND_ORDER, ControlAction.CANCEL_ORDER})
MANUAL_TAG = "manual"
_DIGITS = 24
"""Places before or after the point beyond which nothing is an amount."""
_ORDER = frozenset(
    {
        "instrument",
        "side",
        "quantity",
        "type",
        "price",
        "trigger",
        "reduce_only",
        "post_only",
        "time_in_force",
        "stop_distance",
        "take_profit_distance",
    }
)
_CHANGE = frozenset({"order_id", "quantity", "price", "trigger"})
_Values = Mapping[str, float | int | str | bool]


def manual_intent(event: Control, price: Decimal) -> OrderRequest | AmendRequest | CancelRequest:
    """Return what a manual order wishes; `price` is the last one known. Raises UsageError, naming what does not fit."""
    values = event.values
    if event.action is ControlAction.CANCEL_ORDER:
        _only(values, frozenset({"order_id"}))
        return CancelRequest(_text(values, "order_id"))
    if event.action is ControlAction.AMEND_ORDER:
        _only(values, _CHANGE)
        return AmendRequest(
            _text(values, "order_id"),
            _amount(values, "quantity"),
            _amount(values, "price"),
            _amount(values, "trigger"),
        )
    _only(values, _ORDER)
    quantity, reduces = _amount(values, "quantity"), values.get("reduce_only") is True
    if quantity is None:
        raise UsageError("The order has no quantity.", "Say how much, in base units.")
    return OrderRequest(
        strategy=event.strategy,
        instrument=_text(values, "instrument"),
        side=_member(values, "side", Side, None),
        quantity=quantity,
        type=_member(values, "type", OrderType, OrderType.MARKET),
        price=_amount(values, "price"),
        trigger=_amount(values, "trigger"),
        time_in_force=_member(values, "time_in_force", TimeInForce, TimeInForce.GTC),
        post_only=values.get("post_only") is True,
        reduce_only=reduces,
        purpose=Purpose.FLATTEN if reduces else Purpose.ENTRY,
        tag=MANUAL_TAG,
        decision_price=price,
        protection=None if reduces else _protection(values),
    )


def _protection(values: _Values) -> Protection | None:
    """Return the exits that a manual entry asks for, as distances in quote units."""
    found: dict[str, float] = {}
    for name in ("stop", "take_profit"):
        distance = values.get(f"{name}_distance")
        if distance is None:
            continue
        if isinstance(distance, bool) or not isinstance(distance, int | float) or not 0 < distance < inf:
            raise UsageError(
                f"{name}_distance = {distance!r} is no positive number.", "Give it in quote units."
            )
        found[name] = float(distance)
    return Protection(stop=found.get("stop"), take_profit=found.get("take_profit")) if found else None


def _only(values: _Values, known: frozenset[str]) -> None:
    if strange := sorted(values.keys() - known):
        raise UsageError(f"A manual order has no {strange[0]!r}.", f"It has: {', '.join(sorted(known))}.")


def _text(values: _Values, name: str) -> str:
    found = values.get(name)
    if not isinstance(found, str) or not found:
        raise UsageError(f"The order has no {name}.", "Name it.")
    return found


def _amount(values: _Values, name: str) -> Decimal | None:
    found = values.get(name)
    if found is None:
        return None
    try:
        amount = Decimal(found) if isinstance(found, str) else None
    except InvalidOperation:
        amount = None
    if amount is None or not amount.is_finite() or amount <= 0 or abs(amount.adjusted()) > _DIGITS:
        raise UsageError(f"{name} = {found!r} is no positive amount.", 'Write it as text, such as "0.25".')
    return amount


def _member(values: _Values, name: str, kind: type[E], default: E | None) -> E:
    found = values.get(name)
    if found is None and default is not None:
        return default
    try:
        return kind(found)
    except ValueError:
        choices = ", ".join(str(each.value) for each in kind)
        raise UsageError(f"{name} = {found!r} is none of its choices.", f"Choose from {choices}.") from None
