"""Money in compiled code: sums and products of two floats each, which keep 31 digits.

The ledger counts in Decimal. An amount here is a pair (high, low) whose sum is the amount; `high` is then the float
nearest to it, the same one that the ledger's Decimal gives. Nothing here may be compiled with fast-math.
"""

import math

from abidance.backtest.jit import kernel

Pair = tuple[float, float]

_SPLIT = 134217729.0
_UNITS = 1e12
_NOISE = 1e-9


@kernel
def two_sum(a: float, b: float) -> Pair:
    """Return a + b and what rounding took from it."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@kernel
def two_product(a: float, b: float) -> Pair:
    """Return a * b and what rounding took from it."""
    product = a * b
    wide = _SPLIT * a
    a_high = wide - (wide - a)
    a_low = a - a_high
    wide = _SPLIT * b
    b_high = wide - (wide - b)
    b_low = b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


@kernel
def add(a: Pair, b: Pair) -> Pair:
    """Return the sum of two amounts."""
    high, error = two_sum(a[0], b[0])
    low, rest = two_sum(a[1], b[1])
    high, error = two_sum(high, error + low)
    return two_sum(high, error + rest)


@kernel
def minus(a: Pair, b: Pair) -> Pair:
    """Return the difference of two amounts."""
    return add(a, (-b[0], -b[1]))


@kernel
def times(a: Pair, b: Pair) -> Pair:
    """Return the product of two amounts."""
    high, error = two_product(a[0], b[0])
    return two_sum(high, error + (a[0] * b[1] + a[1] * b[0]))


@kernel
def over(a: Pair, b: Pair) -> Pair:
    """Return the quotient of two amounts."""
    first = a[0] / b[0]
    rest = minus(a, times(b, (first, 0.0)))
    second = rest[0] / b[0]
    rest = minus(rest, times(b, (second, 0.0)))
    high, low = two_sum(first, second)
    return two_sum(high, low + rest[0] / b[0])


@kernel
def whole(count: int) -> Pair:
    """Return an integer below 2**62 as an amount."""
    upper = (count >> 30) << 30
    return two_sum(float(upper), float(count - upper))


@kernel
def paid(units: Pair) -> Pair:
    """Return an amount given in units of 1e-12, rounded up to a whole unit as `model.money.paid` rounds."""
    floor = math.floor(units[0])
    above = (units[0] - floor) + units[1]
    count = float(floor)
    if above > _NOISE:
        count += 1.0
    return over((count, 0.0), (_UNITS, 0.0))
