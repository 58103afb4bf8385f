"""Money in compiled code: sums and products of two floats each, which keep 31 digits.

The ledger counts in Decimal. An amount here is a pair (high, low) whose sum is the amount; `high` is then the float
nearest to it, the same one that the ledger's Decimal gives. Nothing here may be compiled with fast-math.
"""

import numpy as np

from abidance.backtest.jit import kernel

Pair = tuple[float, float]

_SPLIT = 134217729.0
UNITS = 1e12
"""The ledger's units in a quote unit."""
_NOISE = 1e-9
_WHOLE = 9007199254740992.0


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
def counted(units: Pair) -> tuple[Pair, float]:
    """Return the whole number nearest to a count of any size, and how far the count is above it."""
    first = np.rint(units[0])
    rest = (units[0] - first) + units[1]
    second = np.rint(rest)
    return two_sum(first, second), rest - second


@kernel
def paid(units: Pair) -> Pair:
    """Return an amount given in units of 1e-12, rounded up to a whole unit as `model.money.paid` rounds."""
    count, above = counted(units)
    return over(add(count, (1.0, 0.0)) if above > _NOISE else count, (UNITS, 0.0))


@kernel
def received_units(units: Pair) -> Pair:
    """Return an amount given in units of 1e-12 as whole units, rounded down as `model.money.received` rounds."""
    count, above = counted(units)
    return add(count, (-1.0, 0.0)) if above < -_NOISE else count


@kernel
def received(units: Pair) -> Pair:
    """Return an amount given in units of 1e-12, rounded down to a whole unit."""
    return over(received_units(units), (UNITS, 0.0))


@kernel
def nearest(units: Pair) -> Pair:
    """Return an amount given in units of 1e-12, rounded to the nearest whole unit; a tie goes to the even one."""
    count, above = counted(units)
    if abs(above) > 0.5 - _NOISE and (int(count[0]) + int(count[1])) % 2:
        count = add(count, (1.0 if above > 0.0 else -1.0, 0.0))
    return over(count, (UNITS, 0.0))


@kernel
def shown(price: float) -> Pair:
    """Return a price as the number that people read: the shortest decimal that is the same float."""
    scale = 1.0
    for _ in range(16):
        count = np.rint(price * scale)
        if count < _WHOLE and count / scale == price:
            return over((count, 0.0), (scale, 0.0))
        scale *= 10.0
    return price, 0.0
