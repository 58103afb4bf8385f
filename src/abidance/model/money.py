"""The only door between research numbers (`float`) and money (`Decimal`), and every rounding rule.

Rounding never favours us: quantities shrink to the lot, amounts we pay grow, amounts we receive shrink.
"""

import re
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

UNIT = Decimal("0.000000000001")
"""The smallest amount the ledger keeps, in any asset."""

ZERO = Decimal(0)
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def is_plain(text: str) -> bool:
    """Return whether a person's text is a number beyond doubt: digits 0 to 9 and a point.

    Python also reads `1_0`, which is 10 for it, and digits of other scripts, which may stand unseen among others.
    """
    return _PLAIN.fullmatch(text.strip(" ")) is not None


def to_decimal(value: float | int | str | Decimal) -> Decimal:
    """Return `value` as the Decimal a person would read: the shortest text that is the same float.

    Raises ValueError for NaN and infinities, which are never money.
    """
    number = (
        value
        if type(value) is Decimal
        else Decimal(repr(float(value)) if isinstance(value, float) else value)
    )
    if not number.is_finite():
        raise ValueError(f"{value!r} is not an amount of money")
    return number


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """Return the largest multiple of `step` that is not above `value` (towards minus infinity)."""
    return (value / step).to_integral_value(ROUND_FLOOR) * step


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """Return the smallest multiple of `step` that is not below `value`."""
    return (value / step).to_integral_value(ROUND_CEILING) * step


def nearest_to(value: Decimal, step: Decimal) -> Decimal:
    """Return the multiple of `step` that is nearest to `value`; a tie goes to the even multiple."""
    return (value / step).to_integral_value(ROUND_HALF_EVEN) * step


def truncate_to(value: Decimal, step: Decimal) -> Decimal:
    """Return `value` shortened towards zero to a multiple of `step`: a quantity never grows by rounding."""
    return (value / step).to_integral_value(ROUND_DOWN) * step


def paid(amount: Decimal) -> Decimal:
    """Return an amount that we pay, rounded up to the ledger's unit."""
    return amount.quantize(UNIT, ROUND_CEILING)


def received(amount: Decimal) -> Decimal:
    """Return an amount that we receive, rounded down to the ledger's unit."""
    return amount.quantize(UNIT, ROUND_FLOOR)
