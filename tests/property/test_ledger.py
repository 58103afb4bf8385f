"""Money is conserved, explained and never rounded in our favour, whatever a venue reports in whatever order."""

from collections import defaultdict
from decimal import Context, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.model.event import BalanceChanged, FundingPaid, OrderFilled
from abidance.model.instrument import Instrument
from abidance.model.money import UNIT
from abidance.model.order import Fill, Side
from abidance.portfolio.ledger import AccountKind, Ledger, fill_ref
from abidance.portfolio.portfolio import Portfolio

STEPS = (Decimal("0.01"), Decimal("0.001"), Decimal("0.001"), Decimal(5))
INSTRUMENTS = {
    name: Instrument(name, *STEPS)
    for name in ("BTC/USDT@BINANCE", "ETH/USDT@BINANCE", "ETH/BTC@BINANCE", "BTC/USDT:USDT@BYBIT")
}
STRATEGIES = ("trend", "revert")
ZERO = Decimal(0)

amounts = st.decimals("0.000000000000001", "1000000000", places=15)
prices = st.decimals("0.00000001", "100000", places=8)
fees = st.decimals("-1", "10", places=15)


@st.composite
def fills(draw: st.DrawFn) -> OrderFilled:
    ts = draw(st.integers(0, 10**6))
    fill = Fill(
        id=str(draw(st.integers(0, 40))),
        order_id="o",
        instrument=draw(st.sampled_from(sorted(INSTRUMENTS))),
        strategy=draw(st.sampled_from(STRATEGIES)),
        side=draw(st.sampled_from(Side)),
        quantity=draw(amounts),
        price=draw(prices),
        fee=draw(fees),
        fee_asset=draw(st.sampled_from(["USDT", "BTC", "ETH", "BNB"])),
        ts=ts,
    )
    return OrderFilled(ts, fill)


fundings = st.builds(
    FundingPaid,
    ts=st.integers(0, 10),
    instrument=st.just("BTC/USDT:USDT@BYBIT"),
    strategy=st.sampled_from(STRATEGIES),
    amount=st.decimals("-100", "100", places=15),
    asset=st.sampled_from(["USDT", "BTC"]),
)
externals = st.builds(
    BalanceChanged,
    ts=st.integers(0, 10),
    venue=st.sampled_from(["BINANCE", "BYBIT"]),
    asset=st.sampled_from(["USDT", "BTC", "BNB"]),
    amount=st.decimals("-1000", "100000", places=15),
    reason=st.just("deposit"),
)
events = st.one_of(fills(), fills(), fills(), fundings, externals)
histories = st.lists(events, max_size=40)


def first_reports(history: list[OrderFilled | FundingPaid | BalanceChanged]) -> list[Fill]:
    """Return the fills that count: of those that share instrument and id, the first."""
    found: dict[tuple[str, str], Fill] = {}
    for event in history:
        if isinstance(event, OrderFilled):
            found.setdefault((event.fill.instrument, event.fill.id), event.fill)
    return list(found.values())


def played(history: list[OrderFilled | FundingPaid | BalanceChanged]) -> Portfolio:
    portfolio = Portfolio(INSTRUMENTS, "USDT")
    for instrument, price in zip(INSTRUMENTS, (30_000.0, 2_000.0, 0.07, 30_010.0), strict=True):
        portfolio.mark(instrument, price)
    for event in history:
        portfolio.apply(event)
    return portfolio


@given(histories)
def test_the_ledger_conserves_every_asset_to_the_last_unit(history: list) -> None:
    portfolio = Portfolio(INSTRUMENTS, "USDT")

    for event in history:
        portfolio.apply(event)

        assert all(total == 0 for total in portfolio.ledger.totals().values())
    with localcontext(Context(prec=60)):
        assert all(amount % UNIT == 0 for amount in portfolio.ledger.accounts().values())


@given(histories)
def test_the_lines_of_the_ledger_add_up_to_its_balances(history: list) -> None:
    ledger = played(history).ledger

    with localcontext(Context(prec=60)):
        sums: dict = defaultdict(Decimal)
        for entry in ledger.entries():
            sums[entry.account] += entry.amount
            assert entry in ledger.explain(entry.ref)
        assert sums == ledger.accounts()
    for venue in ledger.venues():
        for asset, amount in ledger.balances(venue).items():
            assert amount == ledger.balance(venue, asset)


@given(histories, st.data())
def test_news_told_twice_in_another_order_changes_no_wallet(history: list, data: st.DataObject) -> None:
    unique = [e for e in history if not isinstance(e, BalanceChanged)]
    ids = [(e.fill.instrument, e.fill.id) for e in unique if isinstance(e, OrderFilled)]
    unique = [
        e for e in unique if not isinstance(e, OrderFilled) or ids.count((e.fill.instrument, e.fill.id)) == 1
    ]
    shuffled = data.draw(st.permutations(unique))
    spot = [e for e in unique if not (isinstance(e, OrderFilled) and ":" in e.fill.instrument)]

    once, twice = Portfolio(INSTRUMENTS, "USDT"), Portfolio(INSTRUMENTS, "USDT")
    for event in spot:
        once.apply(event)
    for event in [*shuffled, *unique]:
        if event in spot:
            twice.apply(event)

    assert once.ledger.accounts() == twice.ledger.accounts()


@given(histories)
def test_rounding_never_favours_us(history: list) -> None:
    ledger = Ledger()
    for fill in first_reports(history):
        ledger.post_fill(fill, INSTRUMENTS[fill.instrument])
        instrument = INSTRUMENTS[fill.instrument]
        sign = fill.side.sign
        with localcontext(Context(prec=60)):
            exact: dict = defaultdict(Decimal)
            if not instrument.is_perpetual:
                exact[instrument.base, AccountKind.TRADING] = fill.quantity * sign
                exact[instrument.quote, AccountKind.TRADING] = -sign * fill.quantity * fill.price
            exact[fill.fee_asset, AccountKind.FEES] = -fill.fee

            for line in ledger.explain(fill_ref(fill)):
                if line.account.kind is AccountKind.WALLET:
                    lost = exact.pop((line.asset, line.kind)) - line.amount
                    assert 0 <= lost < UNIT
            assert all(-UNIT < amount < UNIT for amount in exact.values())


@given(histories)
def test_a_position_is_the_sum_of_its_fills_less_base_fees_and_dust(history: list) -> None:
    portfolio = played(history)

    with localcontext(Context(prec=60)):
        expected: dict = defaultdict(Decimal)
        for fill in first_reports(history):
            moved = fill.quantity * fill.side.sign
            instrument = INSTRUMENTS[fill.instrument]
            if fill.fee_asset == instrument.base and not instrument.is_perpetual:
                moved -= fill.fee
            expected[fill.strategy, fill.instrument] += moved
        for (strategy, name), quantity in expected.items():
            dust = portfolio.dust.get((strategy, name), ZERO)
            assert portfolio.position(strategy, name).quantity + dust == quantity
    held = {(p.strategy, p.instrument) for p in portfolio.open_positions()}
    assert held == {key for key in expected if portfolio.position(*key).quantity}


@given(histories)
def test_equity_is_the_run_s_funds_and_the_profit_of_each_strategy(history: list) -> None:
    portfolio = played(history)

    explained = portfolio.funds() + sum(map(portfolio.profit_of, STRATEGIES))

    assert explained == pytest.approx(portfolio.equity(), rel=1e-9, abs=magnitude(history) * 1e-12)


def magnitude(history: list) -> float:
    """Return the size of what was added up: float sums are exact to some units in its last places."""
    total = 1.0
    for event in history:
        if isinstance(event, OrderFilled):
            unit = 30_000.0 if event.fill.instrument == "ETH/BTC@BINANCE" else 1.0
            total += float(event.fill.quantity) * (float(event.fill.price) * unit + 30_010.0)
            total += abs(float(event.fill.fee)) * 100_000.0
        else:
            total += abs(float(event.amount)) * 30_000.0
    return total


@given(histories)
def test_equity_is_what_the_wallets_are_worth_and_the_open_profit_of_contracts(history: list) -> None:
    portfolio = played(history)
    rates = {"USDT": Decimal(1), "BTC": Decimal(30_000), "ETH": Decimal(2_000), "BNB": ZERO}
    # One price per asset: a cross rate of its own would value the same coins twice.
    portfolio.mark("ETH/BTC@BINANCE", 2_000 / 30_000)

    with localcontext(Context(prec=60)):
        worth = sum(
            (
                amount * rates[asset]
                for venue in portfolio.ledger.venues()
                for asset, amount in portfolio.ledger.balances(venue).items()
            ),
            ZERO,
        )
        for position in portfolio.open_positions():
            if INSTRUMENTS[position.instrument].is_perpetual:
                worth += position.quantity * (Decimal(30_010) - position.average_price)

    # Each report may cost up to three ledger units by rounding, of an asset worth 30,000 at most.
    rounded = len(history) * 3 * 30_000 * float(UNIT)
    tolerance = magnitude(history) * 1e-12 + rounded
    assert portfolio.equity() == pytest.approx(float(worth), rel=1e-9, abs=tolerance)


@given(histories)
def test_round_trips_add_up_to_the_profit_of_their_strategy(history: list) -> None:
    quoted = [
        e for e in history if not (isinstance(e, OrderFilled) and e.fill.instrument == "ETH/BTC@BINANCE")
    ]
    portfolio = played(quoted)
    flat_rest = sum(
        float(p.funding - p.fees)
        for s in STRATEGIES
        for p in (portfolio.position(s, name) for name in INSTRUMENTS)
        if not p.quantity
    )

    trips = [*portfolio.round_trips, *portfolio.open_round_trips()]
    earned = sum(float(trip.pnl) for trip in trips) + flat_rest

    profit = sum(map(portfolio.profit_of, STRATEGIES))
    assert earned == pytest.approx(profit, rel=1e-9, abs=magnitude(quoted) * 1e-12)
    for strategy in STRATEGIES:
        closed = [trip for trip in portfolio.round_trips if trip.strategy == strategy]
        assert len(portfolio.closed_results(strategy)) == len(closed)


lots = st.decimals("0.01", "5", places=2)


@given(
    st.lists(
        st.tuples(st.sampled_from(Side), lots, st.decimals("50", "150", places=2)), min_size=1, max_size=30
    )
)
def test_start_and_profit_explain_equity_to_a_billionth(trades: list) -> None:
    portfolio = Portfolio(INSTRUMENTS, "USDT")
    portfolio.apply(BalanceChanged(0, "BYBIT", "USDT", Decimal(10_000), "start"))

    for n, (side, quantity, price) in enumerate(trades):
        name = "BTC/USDT:USDT@BYBIT" if n % 2 else "ETH/USDT@BINANCE"
        fee = quantity * price / 1000
        fill = Fill(str(n), "o", name, STRATEGIES[n % 3 % 2], side, quantity, price, fee, "USDT", n)
        portfolio.apply(OrderFilled(n, fill))
        portfolio.mark(name, float(price) * 1.01)

        explained = 10_000 + sum(map(portfolio.profit_of, STRATEGIES))
        assert portfolio.equity() == pytest.approx(explained, rel=1e-9)
