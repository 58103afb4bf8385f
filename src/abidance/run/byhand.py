"""What the owner of an account took of what strategies hold: nobody goes on believing that it is still there.

His trades, deposits and withdrawals are booked in his own purse, and are his affair for as long as the account has what
the run owns. Where it has less of a coin, and he took some since it was seen to have all, the run has lost it: dust
first, then what strategies hold, to him, at the price of his trade, or by a sale at the last price whose proceeds went
with the coins.
A contract's position is one for the whole account: what he trades against the strategies is theirs at once. What no
book can explain is left to a person.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal, localcontext
from functools import partial
from typing import NamedTuple

from abidance.engine.state import State
from abidance.model.account import OWNER, Position
from abidance.model.errors import JournalError
from abidance.model.event import AccountAgreed, BalanceChanged, OrderFilled
from abidance.model.instrument import Instrument
from abidance.model.money import ZERO, nearest_to, received, to_decimal
from abidance.model.order import Fill, Purpose, Side
from abidance.portfolio.ledger import EXACT
from abidance.portfolio.portfolio import Portfolio
from abidance.venues.trading.inquiry import LAG

Entry = OrderFilled | BalanceChanged


class Account(NamedTuple):
    """One venue as our books and the venue itself have it.

    `positions` are those of strategies, in the order in which they were opened, `hands` what the owner traded himself.
    `ours` are the balances by asset of the run (without debts), `there` the venue's. `moved` (by asset) and `traded`
    (by instrument) are what came and went by the owner since the two agreed last. `price` is the last one known in
    quote units, None when there is none.
    """

    positions: Sequence[Position]
    hands: Sequence[Position]
    instruments: Mapping[str, Instrument]
    ours: Mapping[str, Decimal]
    moved: Mapping[str, Decimal]
    traded: Mapping[str, Decimal]
    there: Mapping[str, Decimal]
    price: Callable[[str], Decimal | None]

    @classmethod
    def of(
        cls,
        portfolio: Portfolio,
        venue: str,
        instruments: Mapping[str, Instrument],
        there: Mapping[str, Decimal],
        price: Callable[[str], Decimal | None],
    ) -> "Account":
        """Return a venue as a run's books have it, beside what is there."""
        debts, owner = portfolio.ledger.debts(venue), portfolio.owner
        ours = {
            asset: amount - debts.get(asset, ZERO)
            for asset, amount in portfolio.ledger.balances(venue).items()
        }
        positions, hands = portfolio.open_positions(), owner.positions()
        moved, traded = owner.moved(venue), owner.traded(venue)
        return cls(positions, hands, instruments, ours, moved, traded, there, price)


class Settlement:
    """What one account's owner did with it, settled with strategies each time that it is weighed.

    An account that has all that it must have says so of what was booked `LAG` before it was asked, and of nothing
    later. `state` is the engine's now, `tell` takes entries, `steady` tells seconds. Once nothing can be recorded any
    more nothing is settled: the run ends by itself then.
    """

    def __init__(
        self,
        venue: str,
        instruments: Mapping[str, Instrument],
        state: Callable[[], State],
        tell: Callable[[Entry | AccountAgreed], None],
        steady: Callable[[], float],
    ) -> None:
        self._venue = venue
        self._instruments = instruments
        self._coins = [id for id, each in instruments.items() if not each.is_perpetual]
        self._state = state
        self._tell = tell
        self._steady = steady
        self._noted: tuple[float, dict[str, Decimal], dict[str, Decimal]] | None = None

    def settle(self, there: Mapping[str, Decimal], ref: str) -> None:
        """Let strategies lose what somebody sold by hand, or withdrew, of what they hold."""
        state = self._state()
        price = partial(last_price, state)
        account = Account.of(state.portfolio, self._venue, self._instruments, there, price)
        with suppress(JournalError):
            for entry in list(taken_from_strategies(account, ref, state.now)):
                self._tell(entry)

    def agreed(self) -> None:
        """Take that the account has all that it must have: what the owner did before explains no lack any more."""
        if not self._coins:  # money and contracts are nobody's to lose here
            return
        state, now = self._state(), self._steady()
        owner, noted = state.portfolio.owner, self._noted
        if noted is not None and now - noted[0] < LAG:
            return
        if noted is not None and not owner.has_agreed(self._venue, *noted[1:]):
            with suppress(JournalError):
                self._tell(AccountAgreed(state.now, self._venue, *noted[1:]))
        purse, held = state.portfolio.ledger.purse(self._venue), owner.holdings()
        self._noted = (
            now,
            {asset: amount for asset, amount in purse.items() if amount},
            {id: held[id] for id in self._coins if id in held},
        )


def last_price(state: State, id: str) -> Decimal | None:
    """Return the last price of an instrument in quote units, None when none is known."""
    known = state.price(id)
    return None if known is None else to_decimal(known)


def holdings(portfolio: Portfolio, venue: str, instruments: Mapping[str, Instrument]) -> dict[str, Decimal]:
    """Return what must be at a venue of each asset: what the run's wallet says, and no less than strategies hold."""
    held, ours = dict[str, Decimal](), portfolio.ledger.balances(venue)
    for each in portfolio.open_positions():
        traded = instruments.get(each.instrument)
        if traded is not None and not traded.is_perpetual and each.quantity > 0:
            held[traded.base] = held.get(traded.base, ZERO) + each.quantity
    most = {asset: max(ours.get(asset, ZERO), held.get(asset, ZERO)) for asset in {**ours, **held}}
    return {asset: amount for asset, amount in most.items() if amount > 0}


def exposed(portfolio: Portfolio, instruments: Mapping[str, Instrument]) -> dict[str, Decimal]:
    """Return by instrument what the account must hold: what strategies do, and what the owner traded himself."""
    found: dict[str, Decimal] = {}
    for each in (*portfolio.open_positions(), *portfolio.owner.positions()):
        if each.instrument in instruments:
            found[each.instrument] = found.get(each.instrument, ZERO) + each.quantity
    return {id: quantity for id, quantity in found.items() if quantity}


def taken_from_strategies(account: Account, ref: str, ts: int) -> Iterator[Entry]:
    """Yield the entries by which strategies lose what the venue no longer has; `ref` names them and is unique.

    The oldest positions lose first. Balances stay as they are: what changed them is booked already.
    """
    with localcontext(EXACT):
        owners = [each for each in account.positions if each.instrument in account.instruments]
        hands = {each.instrument: each for each in account.hands if each.instrument in account.instruments}
        for id, hand in hands.items():
            if (
                account.instruments[id].is_perpetual or hand.quantity > 0
            ):  # nobody is short of coins but by mistake
                against = [o for o in owners if o.instrument == id and o.quantity * hand.quantity < 0]
                for owner, part in _first(against, abs(hand.quantity)):
                    yield from _traded_away(account, owner, part, hand, ref, ts)
        spot = [each for each in account.instruments.values() if not each.is_perpetual]
        for asset in dict.fromkeys(each.base for each in spot):
            ids = {each.id for each in spot if each.base == asset}
            holders = [each for each in owners if each.instrument in ids and each.quantity > 0]
            yield from _coins_gone(account, asset, holders, ids, ref, ts)


def _coins_gone(
    account: Account,
    asset: str,
    holders: Sequence[Position],
    ids: Collection[str],
    ref: str,
    ts: int,
) -> Iterator[Entry]:
    """Yield how the run loses what is gone of a coin: dust, what was sold by hand, then what was withdrawn."""
    ours, taken = account.ours.get(asset, ZERO), -account.moved.get(asset, ZERO)
    owned = sum((each.quantity for each in holders), ZERO)
    gone = min(max(ours, owned) - account.there.get(asset, ZERO), taken)
    if (dust := min(gone, ours - owned)) > 0:
        gone -= dust
        venue = next(iter(account.instruments.values())).venue
        yield BalanceChanged(ts, venue, asset, -dust, ref)
        yield BalanceChanged(ts, venue, asset, dust, ref, is_owners=True)
    sold = max(ZERO, -sum((account.traded.get(id, ZERO) for id in ids), ZERO))
    for owner, part in _first(holders, gone):
        by_hand = min(part, sold)
        sold -= by_hand
        if by_hand:
            hand = next((each for each in account.hands if each.instrument == owner.instrument), None)
            yield from _traded_away(account, owner, by_hand, hand, ref, ts)
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
    """Yield how a part goes from a strategy to the owner: two fills that leave the account as it is."""
    instrument = account.instruments[owner.instrument]
    price = _price(account, owner)
    if (
        hand is not None
    ):  # whose position came later met the other's: what that had won or lost by then stays its own
        later = owner if owner.ts_opened > hand.ts_opened else hand
        price = nearest_to(later.average_price, instrument.tick)
    leaves = Side.SELL if owner.quantity > 0 else Side.BUY
    for strategy, side in ((owner.strategy, leaves), (OWNER, leaves.opposite)):
        yield _fill(f"{ref} {owner.strategy} {side}", instrument, strategy, side, part, price, ref, ts)


def _taken_out(account: Account, owner: Position, part: Decimal, ref: str, ts: int) -> Iterator[Entry]:
    """Yield a sale of coins that were withdrawn to their taker, who paid nothing: the proceeds are gone as well."""
    instrument, price = account.instruments[owner.instrument], _price(account, owner)
    id = f"{ref} {owner.strategy} withdrawn"
    yield _fill(id, instrument, owner.strategy, Side.SELL, part, price, ref, ts)
    yield BalanceChanged(ts, instrument.venue, instrument.base, part, ref, is_owners=True)
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
