"""What is gone from an account by hand: strategies lose it, no balance moves, nobody keeps what is not there."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.engine.state import State
from abidance.model.account import OWNER
from abidance.model.event import AccountAgreed, BalanceChanged, DebtChanged, OrderFilled
from abidance.model.instrument import Instrument
from abidance.model.order import Fill, Side
from abidance.portfolio.portfolio import Portfolio
from abidance.run.byhand import (
    Account,
    Entry,
    Settlement,
    exposed,
    holdings,
    lacks,
    taken_from_strategies,
    unfinished,
)

D = Decimal
SPOT = Instrument("BTC/USDT@BINANCE", D("0.01"), D("0.00001"), D("0.00001"), D(5))
OTHER = Instrument("BTC/USDC@BINANCE", D("0.01"), D("0.00001"), D("0.00001"), D(5))
PERPETUAL = Instrument("BTC/USDT:USDT@BINANCE", D("0.1"), D("0.001"), D("0.001"), D(5), max_leverage=D(10))
BOUGHT = {each.id: each for each in (SPOT, OTHER)}
CONTRACTS = {PERPETUAL.id: PERPETUAL}
OWNERS = ("a", "b")

lots = st.integers(1, 500_000).map(lambda n: n * SPOT.lot)
prices = st.integers(1, 9_000_000).map(lambda n: n * SPOT.tick)
Trades = Sequence[tuple[str, str, Decimal, Decimal]]
trades = st.lists(
    st.tuples(st.sampled_from((*OWNERS, OWNER)), st.sampled_from(sorted(BOUGHT)), lots, prices), max_size=6
)


def played(traded: Trades, instruments: Mapping[str, Instrument], *, shorts: bool = False) -> Portfolio:
    """Return books in which all of it was bought, and some of it sold where `shorts` or by hand (negative)."""
    held = Portfolio(instruments, "USDT", {})
    for asset in ("USDT", "USDC"):
        held.apply(BalanceChanged(1, "BINANCE", asset, D(10) ** 12, "opening"))
    for number, (strategy, id, quantity, price) in enumerate(traded):
        held.apply(filled(f"f{number}", strategy, id, quantity, price, shorts=shorts))
    return held


def filled(
    name: str, strategy: str, id: str, quantity: Decimal, price: Decimal, *, shorts: bool = True
) -> OrderFilled:
    side = Side.BUY if quantity > 0 or not shorts else Side.SELL
    return OrderFilled(2, Fill(name, name, id, strategy, side, abs(quantity), price, D(0), "USDT", 2))


def settle(held: Portfolio, instruments: Mapping[str, Instrument], there: Mapping[str, Decimal]) -> int:
    """Let strategies lose what is not there; return how many entries that took."""
    account = Account.of(held, "BINANCE", instruments, there, lambda _: D(50_000))
    entries = list(taken_from_strategies(account, lacks(account), f"by hand {len(held.round_trips)}", 3))
    for entry in entries:
        held.apply(entry)
    return len(entries)


def of_strategies(held: Portfolio) -> Decimal:
    return sum((each.quantity for each in held.open_positions()), D(0))


def there_of(held: Portfolio) -> dict[str, Decimal]:
    """Return what the account moved to by the run and its owner together."""
    ours, purse = held.ledger.balances("BINANCE"), held.ledger.purse("BINANCE")
    return {asset: ours.get(asset, D(0)) + purse.get(asset, D(0)) for asset in {**ours, **purse}}


def hand_of(held: Portfolio) -> Decimal:
    return held.owner.position(PERPETUAL.id)


@given(
    bought=trades,
    sold=st.lists(st.tuples(st.sampled_from(sorted(BOUGHT)), lots, prices), max_size=4),
    withdrawn=st.just(D(0)) | lots,
    own=st.just(D(0)) | lots,
)
def test_after_sales_by_hand_and_withdrawals_strategies_hold_no_more_than_is_there(
    bought: Trades, sold: list[tuple[str, Decimal, Decimal]], withdrawn: Decimal, own: Decimal
) -> None:
    held = played(bought, BOUGHT)
    there, whole = own + there_of(held).get("BTC", D(0)), there_of(held)
    for number, (id, quantity, price) in enumerate(sold):
        quantity = min(quantity, there)
        if quantity:
            there -= quantity
            held.apply(filled(f"s{number}", OWNER, id, -quantity, price))
    if withdrawn := min(withdrawn, there):
        there -= withdrawn
        held.apply(BalanceChanged(2, "BINANCE", "BTC", -withdrawn, "withdrawal", is_owners=True))
    sums, balances, had = there_of(held), {"BTC": there}, of_strategies(held)
    equity, cash = held.equity(), {each: held.balance("BINANCE", each) for each in whole if each != "BTC"}

    settle(held, BOUGHT, balances)

    assert of_strategies(held) == min(had, there)
    assert settle(held, BOUGHT, balances) == 0
    assert holdings(held, "BINANCE", BOUGHT).get("BTC", D(0)) <= there
    assert not any(held.ledger.totals().values())
    if had <= there:
        assert (held.equity(), cash) == (equity, {each: held.balance("BINANCE", each) for each in cash})
    elif withdrawn:  # the proceeds of what was withdrawn are gone with it
        assert there_of(held)["BTC"] == sums["BTC"]
    else:
        assert there_of(held) == sums


@given(
    bought=trades,
    sold=st.lists(st.tuples(st.sampled_from(sorted(BOUGHT)), lots, prices), max_size=2),
    withdrawn=st.just(D(0)) | lots,
    dust=st.booleans(),
    data=st.data(),
)
def test_a_loss_that_a_death_cuts_between_two_entries_is_brought_to_its_end_as_it_would_have_been(
    bought: Trades,
    sold: list[tuple[str, Decimal, Decimal]],
    withdrawn: Decimal,
    dust: bool,
    data: st.DataObject,
) -> None:
    def lived(until: int | None = None) -> tuple[Portfolio, list[Entry]]:
        """Return books in which a loss is booked to its end, or to a death after so many entries, and its entries."""
        held = played(bought, BOUGHT)
        if dust:
            held.apply(BalanceChanged(1, "BINANCE", "BTC", D("0.000004"), "dust"))
        for number, (id, quantity, price) in enumerate(sold):
            held.apply(filled(f"s{number}", OWNER, id, -quantity, price))
        if withdrawn:
            held.apply(BalanceChanged(2, "BINANCE", "BTC", -withdrawn, "withdrawal", is_owners=True))
        account = Account.of(held, "BINANCE", BOUGHT, {}, lambda _: D(50_000))
        told = list(taken_from_strategies(account, lacks(account), "by hand 7", 3))[:until]
        for entry in told:
            held.apply(entry)
        return held, told

    whole, entries = lived()
    cut = data.draw(st.integers(0, len(entries)))
    held, told = lived(cut)
    missing = unfinished([None, *told], BOUGHT)

    assert [*told, *missing] == entries[: cut + len(missing)]
    for entry in missing:
        held.apply(entry)
    assert there_of(held).get("BTC", D(0)) == there_of(whole).get("BTC", D(0))
    settle(held, BOUGHT, {})
    for one, other in ((held.open_positions(), whole.open_positions()), (there_of(held), there_of(whole))):
        assert one == other
    assert held.ledger.purse("BINANCE") == whole.ledger.purse("BINANCE")
    assert unfinished(entries, BOUGHT) == []


@given(bought=trades, own=lots)
def test_who_sells_coins_of_his_own_takes_nothing_from_strategies(bought: Trades, own: Decimal) -> None:
    held = played(bought, BOUGHT)
    mine = there_of(held).get("BTC", D(0))
    held.apply(filled("own", OWNER, SPOT.id, -own, D(50_000)))

    assert settle(held, BOUGHT, {"BTC": mine}) == 0


@given(bought=trades, left=st.floats(0, 1))
def test_coins_that_no_book_knows_the_way_of_are_left_to_a_person(bought: Trades, left: float) -> None:
    held = played(bought, BOUGHT)
    there = (held.balance("BINANCE", "BTC") * D(left)).quantize(SPOT.lot, "ROUND_DOWN")

    assert settle(held, BOUGHT, {"BTC": there}) == 0


def test_borrowed_coins_are_left_to_a_person_whatever_the_owner_sold_of_his_own() -> None:
    held = played([], BOUGHT)
    held.apply(DebtChanged(2, "BINANCE", "BTC", D(1), D(1), "a loan", "l"))
    held.apply(filled("own", OWNER, SPOT.id, D(-2), D(50_000)))

    assert settle(held, BOUGHT, {"BTC": D("0.5")}) == 0
    assert holdings(held, "BINANCE", BOUGHT) == {"BTC": D(1), "USDT": D(10) ** 12, "USDC": D(10) ** 12}


contracts = st.integers(-5_000, 5_000).filter(bool).map(lambda n: n * PERPETUAL.lot)


@given(
    traded=st.lists(
        st.tuples(st.sampled_from((*OWNERS, OWNER)), st.just(PERPETUAL.id), contracts, prices), max_size=6
    )
)
def test_a_contract_traded_by_hand_against_strategies_is_theirs_and_the_account_stays_one(
    traded: Trades,
) -> None:
    held = played(traded, CONTRACTS, shorts=True)
    net, worth = exposed(held, CONTRACTS), held.equity()
    against = {each.strategy for each in held.open_positions() if hand_of(held) * each.quantity < 0}

    settle(held, CONTRACTS, {})

    assert exposed(held, CONTRACTS) == net
    assert all(each.quantity * hand_of(held) >= 0 for each in held.open_positions())
    assert against or held.equity() == worth
    assert settle(held, CONTRACTS, {}) == 0


def test_the_oldest_position_loses_first_and_only_what_is_gone() -> None:
    held = played([("a", SPOT.id, D("0.5"), D(40_000)), ("b", SPOT.id, D("0.5"), D(41_000))], BOUGHT)
    held.apply(filled("hand", OWNER, SPOT.id, D("-0.7"), D(60_000)))

    settle(held, BOUGHT, {"BTC": D("0.3")})

    assert [(e.strategy, e.quantity) for e in held.open_positions()] == [("b", D("0.3"))]
    assert [(trip.strategy, trip.pnl) for trip in held.round_trips[:1]] == [("a", D(10_000))]


@pytest.mark.parametrize(("his", "ours", "earned"), [(20_000, 100_000, 0), (120_000, 110_000, 0)])
def test_what_a_contract_by_hand_had_won_or_lost_before_a_strategy_came_is_his(
    his: int, ours: int, earned: int
) -> None:
    held = played([], CONTRACTS)
    before = held.equity()
    for name, who, quantity, price, ts in (("h", OWNER, 1, his, 2), ("s", "a", -1, ours, 1_000)):
        side = Side.BUY if quantity > 0 else Side.SELL
        held.apply(
            OrderFilled(ts, Fill(name, name, PERPETUAL.id, who, side, D(1), D(price), D(0), "USDT", ts))
        )

    settle(held, CONTRACTS, {})

    assert not held.open_positions()
    assert held.equity() - before == earned
    assert [trip.pnl for trip in held.round_trips] == [earned]


class Weighed:
    """An account that is weighed as time passes: `there` is what it says of coins."""

    def __init__(self) -> None:
        self.held = played([("a", SPOT.id, D("0.5"), D(40_000))], BOUGHT)
        self.now = 0.0
        self.told: list[OrderFilled | BalanceChanged | AccountAgreed] = []
        self.begin()

    def begin(self) -> None:
        """Begin as a process does: with the record, and with nothing else."""
        state = SimpleNamespace(portfolio=self.held, now=3, price=lambda _: 50_000.0)
        self.hand = Settlement("BINANCE", BOUGHT, lambda: cast(State, state), self.tell, lambda: self.now)

    def tell(self, event: OrderFilled | BalanceChanged | AccountAgreed) -> None:
        self.told.append(event)
        if isinstance(event, AccountAgreed):
            self.held.owner.agreed(event)
        else:
            self.held.apply(event)

    def weigh(self, there: str, after: float = 60.0) -> Decimal:
        """Weigh the account after some seconds and return what strategies hold then."""
        self.now += after
        seems = self.hand.settle({"BTC": D(there)}, round(self.now))
        assert not self.hand.settle({"BTC": D(there)}, round(self.now), seems)
        if holdings(self.held, "BINANCE", BOUGHT)["BTC"] <= D(there):
            self.hand.agreed()
        return of_strategies(self.held)

    def withdraw(self, amount: str) -> None:
        self.held.apply(BalanceChanged(2, "BINANCE", "BTC", -D(amount), "withdrawal", is_owners=True))

    def sell(self, amount: str) -> None:
        self.held.apply(filled(f"s{self.now}", OWNER, SPOT.id, -D(amount), D(60_000)))


@pytest.mark.parametrize("how", ["withdraw", "sell"])
@pytest.mark.parametrize("restarts", [False, True])
def test_what_the_owner_took_before_the_account_last_agreed_explains_no_later_lack(
    how: str, restarts: bool
) -> None:
    account = Weighed()
    account.weigh("2.5")
    getattr(account, how)("2")  # coins of his own
    seen = [account.weigh("0.5"), account.weigh("0.5")]
    if restarts:
        account.begin()

    seen += [account.weigh("0"), account.weigh("0")]  # two wrong answers

    assert set(seen) == {D("0.5")}
    account.withdraw("0.2")  # what comes since then still does
    assert account.weigh("0") == D("0.3")
    assert [type(event) for event in account.told].count(AccountAgreed) == 1


def test_an_account_that_may_be_asked_of_a_copy_that_lags_proves_nothing_of_the_last_seconds() -> None:
    account = Weighed()
    account.weigh("0.5")
    account.withdraw("0.2")

    assert account.weigh("0.5", after=30) == D("0.5")  # the copy does not know yet
    assert account.weigh("0.5", after=5) == D("0.5")
    assert account.weigh("0.3", after=5) == D("0.3")


def test_nothing_is_recorded_of_an_account_whose_owner_does_nothing() -> None:
    account = Weighed()

    for _ in range(10):
        account.weigh("0.5")

    assert not account.told


def test_coins_that_a_strategy_lost_for_a_sale_that_was_its_own_come_back_to_it() -> None:
    held = played([("a", SPOT.id, D("0.5"), D(40_000))], BOUGHT)
    before = there_of(held)
    held.apply(filled("v", OWNER, SPOT.id, D("-0.5"), D(60_000)))  # an order of ours, taken for one by hand
    settle(held, BOUGHT, {"BTC": D(0)})
    held.apply(filled("v not by hand", OWNER, SPOT.id, D("0.5"), D(60_000)))
    held.apply(filled("ours", "a", SPOT.id, D("-0.5"), D(60_000)))

    settle(held, BOUGHT, {"BTC": D(0)})

    assert (of_strategies(held), held.owner.position(SPOT.id)) == (D(0), D(0))
    assert there_of(held) == {**before, "BTC": D(0), "USDT": before["USDT"] + 30_000}
    assert held.ledger.purse("BINANCE")["USDT"] == 0
