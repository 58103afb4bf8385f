"""What is gone from an account by hand: strategies lose it, no balance moves, nobody keeps what is not there."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from abidance.model.event import BalanceChanged, OrderFilled
from abidance.model.instrument import Instrument
from abidance.model.order import Fill, Side
from abidance.portfolio.portfolio import Portfolio
from abidance.run.byhand import Account, holdings, taken_from_strategies
from abidance.venues.trading.register import MANUAL

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
    st.tuples(st.sampled_from((*OWNERS, MANUAL)), st.sampled_from(sorted(BOUGHT)), lots, prices), max_size=6
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
    ours = held.ledger.balances("BINANCE")
    account = Account(held.open_positions(), instruments, ours, there, lambda _: D(50_000))
    entries = list(taken_from_strategies(account, f"by hand {len(held.round_trips)}", 3))
    for entry in entries:
        held.apply(entry)
    return len(entries)


def of_strategies(held: Portfolio) -> Decimal:
    return sum((each.quantity for each in held.open_positions() if each.strategy != MANUAL), D(0))


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
    there = own + held.ledger.balance("BINANCE", "BTC")
    for number, (id, quantity, price) in enumerate(sold):
        quantity = min(quantity, there)
        if quantity:
            there -= quantity
            held.apply(filled(f"s{number}", MANUAL, id, -quantity, price))
    if withdrawn := min(withdrawn, there):
        there -= withdrawn
        held.apply(BalanceChanged(2, "BINANCE", "BTC", -withdrawn, "withdrawal"))
    before, balances, had = held.ledger.balances("BINANCE"), {"BTC": there}, of_strategies(held)

    settle(held, BOUGHT, balances)

    assert of_strategies(held) == min(had, there)
    assert held.ledger.balances("BINANCE") == before
    assert settle(held, BOUGHT, balances) == 0
    assert holdings(held.open_positions(), BOUGHT, before).get("BTC", D(0)) <= there
    assert not any(held.ledger.totals().values())


@given(bought=trades, own=lots)
def test_who_sells_coins_of_his_own_takes_nothing_from_strategies(bought: Trades, own: Decimal) -> None:
    held = played(bought, BOUGHT)
    mine = held.ledger.balance("BINANCE", "BTC")
    held.apply(filled("own", MANUAL, SPOT.id, -own, D(50_000)))

    assert settle(held, BOUGHT, {"BTC": mine}) == 0


@given(bought=trades, left=st.floats(0, 1))
def test_coins_that_no_book_knows_the_way_of_are_left_to_a_person(bought: Trades, left: float) -> None:
    held = played(bought, BOUGHT)
    there = (held.ledger.balance("BINANCE", "BTC") * D(left)).quantize(SPOT.lot, "ROUND_DOWN")

    assert settle(held, BOUGHT, {"BTC": there}) == 0


contracts = st.integers(-5_000, 5_000).filter(bool).map(lambda n: n * PERPETUAL.lot)


@given(
    traded=st.lists(
        st.tuples(st.sampled_from((*OWNERS, MANUAL)), st.just(PERPETUAL.id), contracts, prices), max_size=6
    )
)
def test_a_contract_traded_by_hand_against_strategies_is_theirs_and_the_account_stays_one(
    traded: Trades,
) -> None:
    held = played(traded, CONTRACTS, shorts=True)
    net = sum((each.quantity for each in held.open_positions()), D(0))
    worth = held.equity()

    settle(held, CONTRACTS, {})

    after = held.open_positions()
    hand = sum((each.quantity for each in after if each.strategy == MANUAL), D(0))
    assert sum((each.quantity for each in after), D(0)) == net
    assert all(each.quantity * hand >= 0 for each in after)
    assert abs(held.equity() - worth) <= 1e-6 * max(1.0, abs(worth))
    assert settle(held, CONTRACTS, {}) == 0


def test_the_oldest_position_loses_first_and_only_what_is_gone() -> None:
    held = played([("a", SPOT.id, D("0.5"), D(40_000)), ("b", SPOT.id, D("0.5"), D(41_000))], BOUGHT)
    held.apply(filled("hand", MANUAL, SPOT.id, D("-0.7"), D(60_000)))

    settle(held, BOUGHT, {"BTC": D("0.3")})

    assert [(e.strategy, e.quantity) for e in held.open_positions()] == [("b", D("0.3"))]
    assert [(trip.strategy, trip.pnl) for trip in held.round_trips[:1]] == [("a", D(10_000))]
