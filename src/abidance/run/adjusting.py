"""Bring our books in line with an account whose difference a person accepts: entries that say why they are there.

A coin that is gone was sold at its last price and the proceeds were taken out, so that a strategy is held to what its
coins were worth, and the run's own funds bear the loss. A position that is another was traded at the last price. What
is left is money that went. A debt that is another was borrowed or repaid, and moved the wallet by as much. Every entry
bears the name of the adjustment.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, localcontext

from abidance.model.account import OWNER, Position
from abidance.model.event import AccountEvent, BalanceChanged, DebtChanged, OrderFilled
from abidance.model.instrument import Instrument
from abidance.model.money import ZERO, received
from abidance.model.order import Fill, Side
from abidance.portfolio.ledger import EXACT
from abidance.venues.trading.books import Gap

ADJUSTMENT = "adjustment "
"""How the names of all entries begin that a person had booked; the place of the order in the journal follows."""


def adjustments(
    gaps: Iterable[Gap],
    positions: Sequence[Position],
    instruments: Mapping[str, Instrument],
    price: Callable[[str], Decimal | None],
    ref: str,
    ts: int,
) -> Iterator[AccountEvent]:
    """Yield the entries that close gaps at the venue of these instruments.

    `price` is the last one known in quote units, None when there is none. `ref` names the adjustment and is unique.
    """

    def traded(each: Position, quantity: Decimal) -> OrderFilled:
        known, quote = price(each.instrument), instruments[each.instrument].quote
        side = Side.BUY if quantity > 0 else Side.SELL
        at = each.average_price if known is None else known
        id = f"{ref} {each.strategy}"
        return OrderFilled(
            ts, Fill(id, ref, each.instrument, each.strategy, side, abs(quantity), at, ZERO, quote, ts)
        )

    gaps, venue = list(gaps), next(iter(instruments.values())).venue
    lent = {each.name: each.there - each.ours for each in gaps if each.is_debt}
    for asset, owed in lent.items():
        yield DebtChanged(ts, venue, asset, owed, owed, ref, ref)
    for gap in gaps:
        if gap.is_debt:
            continue
        if gap.is_position:
            held = [each for each in positions if each.instrument == gap.name]
            most = max(held, key=lambda each: abs(each.quantity), default=Position(OWNER, gap.name))
            yield traded(most, gap.there - gap.ours)
            continue
        left = max(gap.ours - gap.there + lent.get(gap.name, ZERO), ZERO)
        for each in _first_to_lose(positions, instruments, gap.name):
            if part := min(left, each.quantity):
                left -= part
                sold = traded(each, -part)
                yield sold
                traded_in = instruments[each.instrument]
                yield BalanceChanged(ts, traded_in.venue, traded_in.quote, -_proceeds(sold.fill), ref)
        if left:
            yield BalanceChanged(ts, venue, gap.name, -left, ref)


def _proceeds(fill: Fill) -> Decimal:
    """Return what the ledger books for a sale."""
    with localcontext(EXACT):
        return received(fill.quantity * fill.price)


def _first_to_lose(
    positions: Sequence[Position], instruments: Mapping[str, Instrument], asset: str
) -> list[Position]:
    """Return who holds a coin, who bought last first."""

    def holds(each: Position) -> bool:
        traded = instruments.get(each.instrument)
        return traded is not None and traded.base == asset and not traded.is_perpetual and each.quantity > 0

    return list(filter(holds, reversed(positions)))
