"""The fill rules as pure functions of scalars: which price touches what, at what price, how much at most.

Floats and ints in, floats, ints and bools out; no objects and no Decimal, so that a compiled executor may call the very
same functions. `side` is +1 for a buy and -1 for a sell; for positions +1 is long and -1 short. Prices leave as whole
ticks and quantities as whole lots. Nothing here remembers anything.
"""

import math

UNBOUNDED = 1 << 62
"""More lots than any order asks for."""

HIGHEST_PRICE = 1e18
"""A price beyond this is a fault in the data."""


def slippage_rate(spread: float, fixed: float, impact: float, share: float) -> float:
    """Return by which share of the price an order that takes is worsened.

    `share` is our part of the bar's volume, this order included; beyond the whole volume it counts as the whole.
    """
    part = min(1.0, share)
    return 0.5 * spread + fixed + impact * part * part


def ticks_against(price: float, tick: float, side: int) -> int:
    """Return `price` in whole ticks, rounded up for a buy and down for a sell; never below one tick.

    A price that is on the grid but for float noise stays where it is.
    """
    ratio = price / tick
    noise = 1e-9 + 1e-15 * ratio
    ticks = math.ceil(ratio - noise) if side > 0 else math.floor(ratio + noise)
    return max(1, ticks)


def taker_ticks(price: float, rate: float, tick: float, side: int) -> int:
    """Return the price of an order that takes at `price`, worsened by `rate`, in ticks.

    It may lie outside the bar's range: the range is made of trades that were not ours.
    """
    return ticks_against(price * (1.0 + side * rate), tick, side)


def within_limit(ticks: int, limit_ticks: int, side: int) -> int:
    """Return a price that is never beyond the limit of the order."""
    if side > 0:
        return min(limit_ticks, ticks)
    return max(limit_ticks, ticks)


def is_touched(trigger: float, low: float, high: float, approach: int) -> bool:
    """Say whether a trigger was reached: from below (`approach` +1: a stop that buys) or from above."""
    return high >= trigger if approach > 0 else low <= trigger


def trigger_price(trigger: float, reference: float, approach: int) -> float:
    """Return where a touched order trades before slippage: its trigger, or `reference` when that is past it.

    `reference` is the open, or for an order that came within the bar the price at that moment.
    """
    if approach > 0:
        return max(reference, trigger)
    return min(reference, trigger)


def is_passed(limit: float, low: float, high: float, tick: float, side: int, on_touch: bool) -> bool:
    """Say whether a resting limit fills: the price went at least one tick beyond it, or reached it with `on_touch`."""
    beyond = 0.0 if on_touch else tick * 0.999999
    return low <= limit - beyond if side > 0 else high >= limit + beyond


def is_marketable(limit_ticks: int, price: float, spread: float, tick: float, side: int) -> bool:
    """Say whether a limit would take at once: the other side of the market, half a spread away, is within it."""
    other = taker_ticks(price, 0.5 * spread, tick, side)
    return other <= limit_ticks if side > 0 else other >= limit_ticks


def whole_lots(quantity: float, lot: float) -> int:
    """Return how many whole lots a quantity holds; none for NaN and below zero."""
    if not quantity > 0.0:
        return 0
    count = quantity / lot + 1e-9
    return math.floor(count) if count < UNBOUNDED else UNBOUNDED


def room_lots(volume: float, share: float, lot: float, used: int) -> int:
    """Return how many lots may still fill in a bar: `share` of its volume less what was `used`, never below zero."""
    return max(0, whole_lots(volume * share, lot) - used)


def volume_share(lots: int, lot: float, volume: float) -> float:
    """Return our part of a bar's volume; 0 where the bar has no volume to measure it by."""
    return lots * lot / volume if volume > 0.0 else 0.0


def liquidation_price(entry: float, margin: float, maintenance: float, side: int) -> float:
    """Return the price at which an isolated position's equity has shrunk to its maintenance margin.

    `margin` is per unit of the base. Zero or less means that a long cannot be liquidated.
    """
    return (entry - side * margin) / (1.0 - side * maintenance)


def is_liquidated(liquidation: float, low: float, high: float, side: int) -> bool:
    """Say whether the price went to a position's liquidation price."""
    return low <= liquidation if side > 0 else high >= liquidation
