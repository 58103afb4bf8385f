"""Whether a request can be an order at all, whatever the state of the world: types, signs, steps, contradictions."""

from collections.abc import Iterator
from decimal import Context, Decimal

from msgspec import UNSET

from abidance.model.instrument import Instrument
from abidance.model.order import (
    PRICED,
    TRIGGERED,
    OrderRequest,
    OrderType,
    Protection,
    Purpose,
    Side,
    TimeInForce,
)
from abidance.model.outcome import RefusalCode

Breach = tuple[RefusalCode, str]

# Beyond these nothing is an amount; within them no arithmetic that follows can overflow.
_LARGEST, _SMALLEST = Decimal("1e18"), Decimal("1e-18")
_LARGEST_FLOAT = 1e18
_EXACT = Context(prec=60, traps=[])


def flaw_of_names(request: OrderRequest) -> Breach | None:
    """Return why the request cannot even be looked up, or None."""
    if _is(request.strategy, str) and _is(request.instrument, str):
        return None
    return _malformed("strategy and instrument must be names")


def flaw(request: OrderRequest, instrument: Instrument) -> Breach | None:
    """Return why no venue could take the request, or None; an absent quantity is ZERO_QUANTITY, the rest MALFORMED."""
    found = next(_flaws(request, instrument), None)
    if found is None:
        return None
    if _is(request.quantity, Decimal) and request.quantity.is_zero():
        return RefusalCode.ZERO_QUANTITY, _nothing_left(instrument)
    return _malformed(found)


def _nothing_left(instrument: Instrument) -> str:
    least = f"{max(instrument.lot, instrument.min_quantity).normalize():f} {instrument.base}"
    if instrument.min_notional:
        least += f", worth {instrument.min_notional.normalize():f} {instrument.quote} or more"
    return (
        "Nothing is left of the quantity: there is nothing to size it by, or it is below the smallest order that"
        f" {instrument.venue} takes ({least})."
    )


def _malformed(text: str) -> Breach:
    return RefusalCode.MALFORMED, f"The request contradicts itself: {text}."


def _flaws(request: OrderRequest, instrument: Instrument) -> Iterator[str]:
    """Yield what is wrong, the worst first; later checks rely on earlier ones having passed."""
    if not (
        _is(request.side, Side)
        and _is(request.type, OrderType)
        and _is(request.time_in_force, TimeInForce)
        and _is(request.purpose, Purpose)
    ):
        yield "side, type, time_in_force and purpose must be members of their enums"
    yield from _amount_flaws("quantity", request.quantity, instrument.lot)
    yield from _price_flaws(request, instrument.tick)
    if request.post_only and (request.type not in PRICED or request.time_in_force is not TimeInForce.GTC):
        yield f"post_only cannot be {request.type} and {request.time_in_force}"
    if request.expire_after is not None and not (
        _is_number(request.expire_after) and request.expire_after > 0
    ):
        yield f"expire_after = {request.expire_after} is no positive number of seconds"
    if not _is_number(request.confidence) or not 0 <= request.confidence <= 1:
        yield f"confidence = {request.confidence} is not in [0, 1]"
    if not _is(request.decision_price, Decimal) or not request.decision_price.is_finite():
        yield f"decision_price = {request.decision_price} is no price"
    if request.expected is not UNSET and not (
        _is(request.expected, Decimal) and request.expected.is_finite()
    ):
        yield f"expected = {request.expected} is no price"
    if request.part is not UNSET and not _is(request.part, str):
        yield f"part = {request.part} is no text"
    if request.protection is not None:
        yield from _protection_flaws(request.protection)


def _price_flaws(request: OrderRequest, tick: Decimal) -> Iterator[str]:
    for name, price, belongs in (
        ("price", request.price, request.type in PRICED),
        ("trigger", request.trigger, request.type in TRIGGERED),
    ):
        if (price is not None) is not belongs:
            yield f"a {request.type} order {'needs a' if belongs else 'has no'} {name}"
        if price is not None:
            yield from _amount_flaws(name, price, tick)


def _amount_flaws(name: str, value: Decimal, step: Decimal) -> Iterator[str]:
    if not _is(value, Decimal) or not value.is_finite() or not _SMALLEST <= value <= _LARGEST:
        yield f"{name} = {value} is no positive amount"
    elif not _EXACT.remainder(value, step).is_zero():
        yield f"{name} = {value} is no multiple of {step}"


def _protection_flaws(protection: Protection) -> Iterator[str]:
    if not _is(protection, Protection):
        yield "protection must be a Protection"
        return
    for name in ("stop", "take_profit", "trailing", "break_even", "max_bars"):
        distance = getattr(protection, name)
        if distance is not None and not (_is_number(distance) and distance > 0):
            yield f"protection.{name} = {distance} is no positive number"


def _is(value: object, kind: type) -> bool:
    """Return whether a value is what its annotation promises, which nothing has checked before."""
    return isinstance(value, kind)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) <= _LARGEST_FLOAT
