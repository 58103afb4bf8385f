"""What the owner of an account took of what strategies hold: nobody goes on believing that it is still there.

His trades, deposits and withdrawals are booked in his own purse, and are his affair for as long as the account has what
the run owns. Where it has less of a coin, and he took some since it was seen to have all, the run has lost it: dust
first, then what strategies hold, to him, at the price of his trade, or by a sale at the last price whose proceeds went
with the coins. That it has less is to be proven (`venues.trading.scales`): what strategies sold themselves a moment ago
may not have been told yet, and what he sold was then his own.
A contract's position is one for the whole account: what he trades against the strategies is theirs at once. What no
book can explain is left to a person.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal, localcontext
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from abidance.engine.state import State
from abidance.model.account import OWNER, Position
from abidance.model.errors import JournalError
from abidance.model.event import AccountAgreed, BalanceChanged, OrderFilled
from abidance.model.instrument import Instrument
from abidance.model.money import ZERO, nearest_to, received, to_decimal
from abidance.model.order import Fill, Purpose, Side
from abidance.portfolio.ledger import EXACT
from abidance.portfolio.portfolio import Portfolio
from abidance.venues.trading.books import Lack
from abidance.venues.trading.inquiry import LAG

REF = "by hand "
"""How the names of all entries begin by which strategies lose to the owner."""
WITHDRAWN = " withdrawn"
"""How the name of a sale ends of coins that he took out."""
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

    def settle(
        self, there: Mapping[str, Decimal], number: int, proven: Collection[Lack] = ()
    ) -> Sequence[Lack]:
        """Let strategies lose what somebody traded against them, and what he took of coins where that is `proven`.

        Return what else seems to be taken; `number` is unique and names the entries.
        """
        state = self._state()
        price = partial(last_price, state)
        account = Account.of(state.portfolio, self._venue, self._instruments, there, price)
        found = lacks(account)
        entries = taken_from_strategies(
            account, [each for each in found if each in proven], f"{REF}{number}", state.now
        )
        with suppress(JournalError):
            for entry in list(entries):
                self._tell(entry)
        return [each for each in found if each not in proven]

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


def lacks(account: Account) -> list[Lack]:
    """Return of which coins the venue has less than it must, where the owner took some."""
    found = []
    with localcontext(EXACT):
        for asset, ids in _coins(account).items():
            owned = sum((each.quantity for each in _holders(account, ids)), ZERO)
            most, taken = max(account.ours.get(asset, ZERO), owned), -account.moved.get(asset, ZERO)
            found.append(Lack(asset, most, account.there.get(asset, ZERO), taken))
        return [each for each in found if each.gone > 0]


def taken_from_strategies(account: Account, lacking: Iterable[Lack], ref: str, ts: int) -> Iterator[Entry]:
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
        for lack in lacking:
            yield from _coins_gone(account, lack, _coins(account)[lack.asset], ref, ts)


def _coins(account: Account) -> dict[str, list[str]]:
    """Return where which coins are traded."""
    found: dict[str, list[str]] = {}
    for each in account.instruments.values():
        if not each.is_perpetual:
            found.setdefault(each.base, []).append(each.id)
    return found


def _holders(account: Account, ids: Collection[str]) -> list[Position]:
    return [each for each in account.positions if each.instrument in ids and each.quantity > 0]


def _coins_gone(account: Account, lack: Lack, ids: Collection[str], ref: str, ts: int) -> Iterator[Entry]:
    """Yield how the run loses what is gone of a coin: dust, what was sold by hand, then what was withdrawn."""
    holders, gone = _holders(account, ids), lack.gone
    owned = sum((each.quantity for each in holders), ZERO)
    if (dust := min(gone, account.ours.get(lack.asset, ZERO) - owned)) > 0:
        gone -= dust
        venue = next(iter(account.instruments.values())).venue
        yield from _whole(BalanceChanged(ts, venue, lack.asset, -dust, ref), account.instruments)
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
) -> Iterator[Entry]:
    """Yield how a part goes from a strategy to the owner: two fills that leave the account as it is."""
    instrument = account.instruments[owner.instrument]
    price = _price(account, owner)
    if (
        hand is not None
    ):  # whose position came later met the other's: what that had won or lost by then stays its own
        later = owner if owner.ts_opened > hand.ts_opened else hand
        price = nearest_to(later.average_price, instrument.tick)
    leaves = Side.SELL if owner.quantity > 0 else Side.BUY
    name = f"{ref} {owner.strategy} {leaves}"
    first = _fill(name, instrument, owner.strategy, leaves, part, price, ref, ts)
    yield from _whole(first, account.instruments)


def _taken_out(account: Account, owner: Position, part: Decimal, ref: str, ts: int) -> Iterator[Entry]:
    """Yield a sale of coins that were withdrawn to their taker, who paid nothing: the proceeds are gone as well."""
    instrument, price = account.instruments[owner.instrument], _price(account, owner)
    name = f"{ref} {owner.strategy}{WITHDRAWN}"
    first = _fill(name, instrument, owner.strategy, Side.SELL, part, price, ref, ts)
    yield from _whole(first, account.instruments)


def _whole(first: Entry, instruments: Mapping[str, Instrument]) -> Iterator[Entry]:
    yield first
    yield from _rest(first, instruments)


def _rest(first: object, instruments: Mapping[str, Instrument]) -> list[Entry]:
    """Return what follows the first entry of a loss, so that both purses together stay what the account has."""
    if isinstance(first, BalanceChanged) and first.reason.startswith(REF):
        return [] if first.is_owners else [replace(first, amount=-first.amount, is_owners=True)]
    if not isinstance(first, OrderFilled) or not first.fill.order_id.startswith(REF):
        return []
    fill, ts, ref = first.fill, first.ts, first.fill.order_id
    instrument = instruments[fill.instrument]
    if fill.id.endswith(WITHDRAWN):
        with localcontext(EXACT):
            proceeds = received(fill.quantity * fill.price)
        return [
            BalanceChanged(ts, instrument.venue, instrument.base, fill.quantity, ref, is_owners=True),
            BalanceChanged(ts, instrument.venue, instrument.quote, -proceeds, ref),
        ]
    side = fill.side.opposite
    name = f"{ref} {fill.strategy} {side}"
    return [_fill(name, instrument, OWNER, side, fill.quantity, fill.price, ref, ts)]


def unfinished(events: Iterable[object], instruments: Mapping[str, Instrument]) -> list[Entry]:
    """Return what a record lacks that ends in the midst of a loss: its process died between two entries."""
    rest: list[Entry] = []
    for event in events:
        rest = rest[1:] if rest and event == rest[0] else _rest(event, instruments)
    return rest


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
