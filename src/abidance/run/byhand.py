"""What somebody sold by hand, or withdrew, of what strategies hold: nobody goes on believing that it is still there.

Trades by hand are booked as `manual`, whatever they meant. Where the account then has less of a coin than strategies
hold, and our own books know why, the strategies have lost it: to `manual`, at the price of the trade by hand, or by a
sale at the last price whose proceeds went with the coins. A contract's position is one for the whole account: what is
traded by hand against the strategies is theirs at once. What our books cannot explain is left to a person.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, localcontext
from typing import NamedTuple

from abidance.model.account import Position
from abidance.model.event import BalanceChanged, OrderFilled
from abidance.model.instrument import Instrument
from abidance.model.money import ZERO, nearest_to, received
from abidance.model.order import Fill, Purpose, Side
from abidance.portfolio.ledger import EXACT
from abidance.venues.trading.register import MANUAL

Entry = OrderFilled | BalanceChanged


class Account(NamedTuple):
    """One venue as our books and the venue itself have it.

    `positions` are in the order in which they were opened, `ours` and `there` the balances by asset in our ledger and
    at the venue. `price` is the last one known in quote units, None when there is none.
    """

    positions: Sequence[Position]
    instruments: Mapping[str, Instrument]
    ours: Mapping[str, Decimal]
    there: Mapping[str, Decimal]
    price: Callable[[str], Decimal | None]


def holdings(
    positions: Iterable[Position], instruments: Mapping[str, Instrument], ours: Mapping[str, Decimal]
) -> dict[str, Decimal]:
    """Return what must be at a venue of each asset: what our ledger says, and no less than strategies hold."""
    held: dict[str, Decimal] = {}
    for each in positions:
        traded = instruments.get(each.instrument)
        if traded is not None and not traded.is_perpetual and each.strategy != MANUAL and each.quantity > 0:
            held[traded.base] = held.get(traded.base, ZERO) + each.quantity
    most = {asset: max(ours.get(asset, ZERO), held.get(asset, ZERO)) for asset in {**ours, **held}}
    return {asset: amount for asset, amount in most.items() if amount > 0}


def taken_from_strategies(account: Account, ref: str, ts: int) -> Iterator[Entry]:
    """Yield the entries by which strategies lose what the venue no longer has; `ref` names them and is unique.

    The oldest positions lose first. Balances stay as they are: what changed them is booked already.
    """
    with localcontext(EXACT):
        held = [each for each in account.positions if each.instrument in account.instruments]
        hands = {each.instrument: each for each in held if each.strategy == MANUAL}
        owners = [each for each in held if each.strategy != MANUAL]
        for id, hand in hands.items():
            if account.instruments[id].is_perpetual:
                against = [o for o in owners if o.instrument == id and o.quantity * hand.quantity < 0]
                for owner, part in _first(against, abs(hand.quantity)):
                    yield from _traded_away(account, owner, part, hand, ref, ts)
        spot = [each for each in account.instruments.values() if not each.is_perpetual]
        for asset in dict.fromkeys(each.base for each in spot):
            ids = {each.id for each in spot if each.base == asset}
            holders = [each for each in owners if each.instrument in ids and each.quantity > 0]
            yield from _coins_gone(
                account, asset, holders, {id: hands[id] for id in ids & hands.keys()}, ref, ts
            )


def _coins_gone(
    account: Account,
    asset: str,
    holders: Sequence[Position],
    hands: Mapping[str, Position],
    ref: str,
    ts: int,
) -> Iterator[Entry]:
    """Yield how those who hold a coin lose what is gone of it: what was sold by hand first, then what was withdrawn."""
    owned = sum((each.quantity for each in holders), ZERO)
    gone = min(owned - account.there.get(asset, ZERO), owned - account.ours.get(asset, ZERO))
    sold = max(ZERO, -sum((each.quantity for each in hands.values()), ZERO))
    for owner, part in _first(holders, gone):
        by_hand = min(part, sold)
        sold -= by_hand
        if by_hand:
            yield from _traded_away(account, owner, by_hand, hands.get(owner.instrument), ref, ts)
        if part > by_hand:
            yield from _taken_out(account, owner, part - by_hand, ref, ts)


def _first(owners: Iterable[Position], quantity: Decimal) -> Iterator[tuple[Position, Decimal]]:
    """Yield who loses how much of a quantity."""
    for each in owners:
        if quantity > 0:
            part = min(quantity, abs(each.quantity))
            quantity -= part
            yield each, part


def _traded_away(
    account: Account, owner: Position, part: Decimal, hand: Position | None, ref: str, ts: int
) -> Iterator[OrderFilled]:
    """Yield how a part goes from its owner to `manual`: two fills that leave every balance as it is."""
    instrument = account.instruments[owner.instrument]
    price = nearest_to(hand.average_price, instrument.tick) if hand is not None else _price(account, owner)
    leaves = Side.SELL if owner.quantity > 0 else Side.BUY
    for strategy, side in ((owner.strategy, leaves), (MANUAL, leaves.opposite)):
        yield _fill(f"{ref} {owner.strategy} {side}", instrument, strategy, side, part, price, ref, ts)


def _taken_out(account: Account, owner: Position, part: Decimal, ref: str, ts: int) -> Iterator[Entry]:
    """Yield a sale of coins that were withdrawn: the coins and the proceeds are given back, for both are gone."""
    instrument, price = account.instruments[owner.instrument], _price(account, owner)
    id = f"{ref} {owner.strategy} withdrawn"
    yield _fill(id, instrument, owner.strategy, Side.SELL, part, price, ref, ts)
    yield BalanceChanged(ts, instrument.venue, instrument.base, part, ref)
    yield BalanceChanged(ts, instrument.venue, instrument.quote, -received(part * price), ref)


def _price(account: Account, owner: Position) -> Decimal:
    known = account.price(owner.instrument)
    return nearest_to(
        owner.average_price if known is None else known, account.instruments[owner.instrument].tick
    )


def _fill(
    id: str,
    instrument: Instrument,
    strategy: str,
    side: Side,
    part: Decimal,
    price: Decimal,
    ref: str,
    ts: int,
) -> OrderFilled:
    quote, purpose = instrument.quote, Purpose.FLATTEN
    return OrderFilled(
        ts, Fill(id, ref, instrument.id, strategy, side, part, price, ZERO, quote, ts, purpose=purpose)
    )
