"""Whose it is when a venue acts on an account's position as a whole: funding, a liquidation.

A venue knows one position of an instrument, and several strategies may hold parts of it. What is shared out adds up to
the last unit.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, localcontext

from msgspec.structs import replace

from abidance.model.account import Position
from abidance.model.money import ZERO
from abidance.model.order import Fill, Purpose
from abidance.portfolio.ledger import EXACT

_UNIT = Decimal("1e-12")


def shared_payment(amount: Decimal, positions: Sequence[Position]) -> dict[str, Decimal]:
    """Return by strategy what each bears of a payment on the net of all: by its quantity and side.

    Who holds against the net pays what it would receive. Empty when nobody holds anything, or all is evened out.
    """
    with localcontext(EXACT):
        net = sum((each.quantity for each in positions), ZERO)
        if not net:
            return {}
        found = {each.strategy: (amount * each.quantity / net).quantize(_UNIT) for each in positions[1:]}
        found[positions[0].strategy] = amount - sum(found.values(), ZERO)
        return found


def shared_fill(fill: Fill, positions: Iterable[Position]) -> list[Fill]:
    """Return a fill that nobody asked for as fills of the strategies whose positions it closes, the oldest first.

    What nobody holds stays with the strategy that the fill names. The parts after the first get ids of their own.
    """
    parts: list[tuple[str, Decimal]] = []
    left = fill.quantity
    with localcontext(EXACT):
        for each in positions:
            closes = each.quantity * fill.side.sign < 0
            taken = min(left, abs(each.quantity)) if closes else ZERO
            if taken:
                parts.append((each.strategy, taken))
                left -= taken
        if left:
            parts.append((fill.strategy, left))
        quantities = [taken for _, taken in parts]
        fees = _split(fill.fee, quantities)
        worths = _split(fill.fee_worth, quantities) if fill.fee_worth else [fill.fee_worth for _ in parts]
    return [
        replace(
            fill,
            id=f"{fill.id}/{number}" if number else fill.id,
            strategy=name,
            quantity=taken,
            fee=fee,
            fee_worth=worth,
        )
        for number, ((name, taken), fee, worth) in enumerate(zip(parts, fees, worths, strict=True))
    ]


def _split(amount: Decimal, quantities: Sequence[Decimal]) -> list[Decimal]:
    """Return an amount in shares by quantity; the first takes what rounding leaves."""
    whole = sum(quantities, ZERO)
    others = [(amount * each / whole).quantize(_UNIT) for each in quantities[1:]]
    return [amount - sum(others, ZERO), *others]


def is_forced(fill: Fill, strategies: Mapping[str, object]) -> bool:
    """Say whether a venue closed a position of its own will and names no strategy of ours."""
    return fill.purpose is Purpose.LIQUIDATION and fill.strategy not in strategies
