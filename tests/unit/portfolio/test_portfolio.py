from decimal import Decimal
from itertools import count

import pytest
from msgspec.structs import replace

from abidance.model.account import RoundTrip
from abidance.model.errors import InvariantError
from abidance.model.event import BalanceChanged, FundingPaid, OrderFilled
from abidance.model.instrument import Instrument
from abidance.model.order import Direction, Fill, Purpose, Side
from abidance.portfolio.portfolio import Portfolio

STEPS = (Decimal("0.01"), Decimal("0.01"), Decimal("0.01"), Decimal(5))
SPOT = Instrument("BTC/USDT@BINANCE", *STEPS)
BNB = Instrument("BNB/USDT@BINANCE", *STEPS)
CROSS = Instrument("ETH/BTC@BINANCE", *STEPS)
PERPETUAL = Instrument("BTC/USDT:USDT@BYBIT", *STEPS, max_leverage=Decimal(20), maintenance=Decimal("0.005"))
ALL = {i.id: i for i in (SPOT, BNB, CROSS, PERPETUAL)}


class Desk:
    """A funded portfolio and short ways to trade on it."""

    def __init__(self, start: str = "1000", leverage: float = 1.0) -> None:
        self.portfolio = Portfolio(ALL, "USDT", {"trend": leverage})
        self.ids = count(1)
        self.deposit("USDT", start)

    def deposit(self, asset: str, amount: str) -> None:
        self.portfolio.apply(BalanceChanged(0, "BINANCE", asset, Decimal(amount), "start"))

    def trade(
        self,
        side: Side,
        quantity: str,
        price: str,
        fee: str = "0",
        fee_asset: str = "USDT",
        *,
        instrument: Instrument = SPOT,
        purpose: Purpose = Purpose.ENTRY,
        tag: str = "",
        worth: str = "",
    ) -> RoundTrip | None:
        id = next(self.ids)
        amounts = (Decimal(quantity), Decimal(price), Decimal(fee))
        fill = Fill(str(id), "o", instrument.id, "trend", side, *amounts, fee_asset, ts=id, purpose=purpose)
        if worth:
            fill = replace(fill, fee_worth=Decimal(worth))
        return self.portfolio.apply(OrderFilled(id, fill), tag)


def test_equity_follows_the_mark_of_what_is_held() -> None:
    desk = Desk()
    desk.trade(Side.BUY, "2", "100", "0.2")

    desk.portfolio.mark(SPOT.id, 110.0)

    assert desk.portfolio.equity() == pytest.approx(1000 + 20 - 0.2, rel=1e-12)
    assert desk.portfolio.profit_of("trend") == pytest.approx(19.8, rel=1e-12)
    assert desk.portfolio.exposure() == pytest.approx(220, rel=1e-12)
    assert desk.portfolio.balance("BINANCE", "USDT") == Decimal("799.8")


@pytest.mark.parametrize("price", [float("nan"), float("inf"), 0.0, -1.0])
def test_what_is_no_price_leaves_the_last_one_in_force(price: float) -> None:
    desk = Desk()
    desk.trade(Side.BUY, "2", "100")
    desk.portfolio.mark(SPOT.id, 110.0)

    desk.portfolio.mark(SPOT.id, price)

    assert desk.portfolio.equity() == pytest.approx(1020)


def test_a_round_trip_says_when_why_and_what_it_earned() -> None:
    desk = Desk()
    desk.trade(Side.BUY, "2", "100", "0.2", tag="cross")
    desk.trade(Side.BUY, "1", "106", "0.1", tag="cross")
    desk.trade(Side.SELL, "1", "110", "0.1", tag="half")

    trip = desk.trade(Side.SELL, "2", "95", "0.2", purpose=Purpose.STOP_LOSS)

    assert trip == RoundTrip(
        instrument=SPOT.id,
        strategy="trend",
        direction=Direction.LONG,
        ts_entry=1,
        entry_price=Decimal(102),
        ts_exit=4,
        exit_price=Decimal(100),
        quantity=Decimal(3),
        pnl=Decimal("-6.6"),
        fees=Decimal("0.6"),
        funding=Decimal(0),
        tags=("cross", "half"),
        exit_reason="stop_loss",
    )
    assert desk.portfolio.round_trips == [trip]
    assert desk.portfolio.closed_results("trend") == pytest.approx([-6.6 / 306])
    assert desk.portfolio.position("trend", SPOT.id).direction is Direction.FLAT
    assert desk.portfolio.open_positions() == []


def test_a_fill_through_zero_closes_one_round_trip_and_opens_the_next() -> None:
    desk = Desk()
    desk.trade(Side.BUY, "1", "100", "0.1", instrument=PERPETUAL)

    trip = desk.trade(Side.SELL, "3", "110", "0.3", instrument=PERPETUAL)

    assert trip is not None
    assert (trip.direction, trip.pnl, trip.fees) == (Direction.LONG, Decimal("9.8"), Decimal("0.2"))
    position = desk.portfolio.position("trend", PERPETUAL.id)
    assert (position.quantity, position.average_price, position.ts_opened) == (Decimal(-2), Decimal(110), 2)
    assert (position.fees, position.realised) == (Decimal("0.2"), Decimal(0))
    assert desk.portfolio.balance("BYBIT", "USDT") == Decimal("9.6")


def test_a_short_earns_when_the_price_falls() -> None:
    desk = Desk()
    desk.trade(Side.SELL, "2", "100", instrument=PERPETUAL)
    desk.portfolio.mark(PERPETUAL.id, 90.0)
    open_profit = desk.portfolio.profit_of("trend")

    trip = desk.trade(Side.BUY, "2", "90", instrument=PERPETUAL)

    assert open_profit == pytest.approx(20)
    assert trip is not None
    assert (trip.direction, trip.quantity, trip.pnl) == (Direction.SHORT, Decimal(2), Decimal(20))


def test_a_fee_in_the_bought_asset_leaves_less_to_sell() -> None:
    desk = Desk()

    desk.trade(Side.BUY, "1.0", "100", "0.001", "BTC")

    position = desk.portfolio.position("trend", SPOT.id)
    assert position.quantity == Decimal("0.999")
    assert position.average_price == 100
    assert position.fees == Decimal("0.1")
    assert desk.portfolio.balance("BINANCE", "BTC") == Decimal("0.999")
    assert desk.portfolio.equity() == pytest.approx(999.9)


def test_a_sale_that_leaves_less_than_a_lot_closes_the_position_and_the_dust_stays_in_the_funds() -> None:
    desk = Desk()
    desk.trade(Side.BUY, "1.0", "100", "0.001", "BTC")

    trip = desk.trade(Side.SELL, "0.99", "110")

    assert trip is not None
    assert trip.pnl == Decimal("9.89")
    assert desk.portfolio.position("trend", SPOT.id).quantity == 0
    assert desk.portfolio.dust == {("trend", SPOT.id): Decimal("0.009")}
    assert desk.portfolio.balance("BINANCE", "BTC") == Decimal("0.009")
    desk.portfolio.mark(SPOT.id, 200.0)
    assert desk.portfolio.profit_of("trend") == pytest.approx(9.89)
    assert desk.portfolio.equity() == pytest.approx(1000 - 100 + 0.99 * 110 + 0.009 * 200)


def test_a_spot_sale_of_more_than_is_held_is_recorded_as_it_is() -> None:
    desk = Desk()
    desk.deposit("BTC", "5")
    desk.trade(Side.BUY, "1", "100")

    desk.trade(Side.SELL, "3", "120")

    assert desk.portfolio.position("trend", SPOT.id).quantity == -2
    assert desk.portfolio.balance("BINANCE", "BTC") == 3
    desk.portfolio.mark(SPOT.id, 120.0)
    assert desk.portfolio.equity() == pytest.approx(1000 - 100 + 360 + 3 * 120)


def test_a_fee_in_a_third_asset_is_valued_at_its_last_price() -> None:
    desk = Desk()
    desk.deposit("BNB", "1")
    desk.portfolio.mark(BNB.id, 300.0)

    desk.trade(Side.BUY, "1", "100", "0.01", "BNB")

    assert desk.portfolio.position("trend", SPOT.id).fees == 3
    assert desk.portfolio.profit_of("trend") == pytest.approx(-3)
    assert desk.portfolio.equity() == pytest.approx(1000 + 0.99 * 300)
    assert desk.portfolio.unpriced == {}


def test_a_fee_without_a_price_counts_as_zero_and_is_reported() -> None:
    desk = Desk()

    desk.trade(Side.BUY, "1", "100", "0.01", "BNB")

    assert desk.portfolio.unpriced == {"BNB": Decimal("0.01")}
    assert desk.portfolio.unvalued == {"BNB": Decimal("-0.01")}
    assert desk.portfolio.equity() == 1000


def test_a_fee_without_a_price_costs_what_it_stands_for_and_the_ledger_keeps_the_coin() -> None:
    desk, other = Desk(), Desk()

    for quantity, side in (("2", Side.BUY), ("1", Side.SELL)):
        desk.trade(side, quantity, "100", "0.01", "BNB", worth="0.15")
        other.trade(side, quantity, "100", "0.15")

    ours, theirs = desk.portfolio, other.portfolio
    assert ours.equity() == theirs.equity() == pytest.approx(999.7)
    assert ours.profit_of("trend") == theirs.profit_of("trend") == pytest.approx(-0.3)
    assert ours.funds() == theirs.funds() == 1000
    assert ours.position("trend", SPOT.id) == theirs.position("trend", SPOT.id)
    assert ours.balance("BINANCE", "BNB") == Decimal("-0.02")
    assert ours.balance("BINANCE", "USDT") == 900
    assert ours.value("BINANCE", "BNB") == pytest.approx(-0.3)
    assert ours.value("BINANCE", "USDT") == 900
    assert (ours.unpriced, ours.unvalued) == ({}, {})


def test_a_coin_that_has_a_price_by_now_costs_that_and_what_was_paid_before_stays() -> None:
    desk = Desk()
    desk.trade(Side.BUY, "1", "100", "0.01", "BNB", worth="0.15")

    desk.portfolio.mark(BNB.id, 10.0)
    desk.trade(Side.BUY, "1", "100", "0.01", "BNB", worth="0.15")

    assert desk.portfolio.position("trend", SPOT.id).fees == Decimal("0.25")
    assert desk.portfolio.equity() == pytest.approx(999.75)
    desk.portfolio.mark(
        BNB.id, 30.0
    )  # what was sold to the strategy from the run's funds is to be bought again
    assert desk.portfolio.equity() == pytest.approx(999.55)
    assert desk.portfolio.value("BINANCE", "BNB") == pytest.approx(-0.45)


def test_a_fee_of_a_contract_without_a_price_costs_what_it_stands_for() -> None:
    desk = Desk(leverage=5.0)

    desk.trade(Side.SELL, "2", "100", "0.02", "BNB", instrument=PERPETUAL, worth="0.2")

    assert desk.portfolio.equity() == pytest.approx(999.8)
    assert desk.portfolio.balance("BYBIT", "BNB") == Decimal("-0.02")
    assert desk.portfolio.value("BYBIT", "BNB") == pytest.approx(-0.2)


def test_an_instrument_quoted_in_another_asset_is_valued_through_that_assets_price() -> None:
    desk = Desk()
    desk.deposit("BTC", "1")
    desk.portfolio.mark(SPOT.id, 1000.0)
    desk.trade(Side.BUY, "4", "0.05", instrument=CROSS)

    desk.portfolio.mark(CROSS.id, 0.06)

    assert desk.portfolio.profit_of("trend") == pytest.approx(40)
    assert desk.portfolio.exposure() == pytest.approx(240)
    assert desk.portfolio.equity() == pytest.approx(1000 + 0.8 * 1000 + 4 * 0.06 * 1000)


def test_the_same_fill_twice_counts_once() -> None:
    desk = Desk()
    desk.trade(Side.BUY, "1", "100", "0.1")
    desk.ids = count(1)

    desk.trade(Side.BUY, "1", "100", "0.1")

    assert desk.portfolio.position("trend", SPOT.id).quantity == 1
    assert desk.portfolio.equity() == pytest.approx(999.9)


def test_funding_belongs_to_the_open_round_trip() -> None:
    desk = Desk()
    desk.trade(Side.BUY, "1", "100", instrument=PERPETUAL)

    desk.portfolio.apply(FundingPaid(2, PERPETUAL.id, "trend", Decimal("-0.5"), "USDT"))

    assert desk.portfolio.position("trend", PERPETUAL.id).funding == Decimal("-0.5")
    assert desk.portfolio.open_round_trips()[0].pnl == Decimal("-0.5")
    assert desk.portfolio.equity() == pytest.approx(999.5)


def test_funding_that_is_reported_after_the_close_is_added_to_the_closed_round_trip() -> None:
    desk = Desk()
    desk.trade(Side.BUY, "1", "100", instrument=PERPETUAL)
    desk.trade(Side.SELL, "1", "110", instrument=PERPETUAL)

    desk.portfolio.apply(FundingPaid(9, PERPETUAL.id, "trend", Decimal("-0.5"), "USDT"))

    assert desk.portfolio.round_trips[0].pnl == Decimal("9.5")
    assert desk.portfolio.closed_results("trend") == pytest.approx([0.095])
    assert desk.portfolio.profit_of("trend") == pytest.approx(9.5)
    assert desk.portfolio.position("trend", PERPETUAL.id).funding == 0


def test_an_open_round_trip_is_marked_to_market() -> None:
    desk = Desk()
    desk.trade(Side.BUY, "1", "100", "0.1")
    desk.portfolio.mark(SPOT.id, 112.0)

    (trip,) = desk.portfolio.open_round_trips()

    assert (trip.ts_exit, trip.exit_price, trip.pnl) == (None, None, Decimal("11.9"))


def test_exposure_can_be_asked_by_asset_venue_instrument_and_strategy() -> None:
    desk = Desk()
    desk.trade(Side.BUY, "1", "100")
    desk.trade(Side.SELL, "2", "100", instrument=PERPETUAL)
    desk.trade(Side.BUY, "3", "10", instrument=BNB)
    ask = desk.portfolio.exposure_of

    found = [
        ask(asset="BTC"),
        ask(venue="BINANCE"),
        ask(instrument=PERPETUAL.id),
        ask(strategy="trend", asset="BNB"),
        ask(strategy="none"),
        ask(asset="BNB", venue="BYBIT"),
        ask(),
    ]

    assert found == [300, 130, 200, 30, 0, 0, 330]


def test_margin_is_the_entry_value_of_perpetuals_over_leverage() -> None:
    desk = Desk(leverage=5.0)
    desk.trade(Side.SELL, "2", "100", instrument=PERPETUAL)
    desk.trade(Side.BUY, "1", "100")

    assert desk.portfolio.used_margin("BYBIT") == pytest.approx(40)
    assert desk.portfolio.used_margin("BINANCE") == 0


@pytest.mark.parametrize(
    ("side", "leverage", "expected"),
    [(Side.BUY, 10.0, "90.5"), (Side.SELL, 10.0, "109.5"), (Side.BUY, 1.0, "0.5")],
)
def test_the_liquidation_price_is_where_the_margin_is_gone(
    side: Side, leverage: float, expected: str
) -> None:
    desk = Desk(leverage=leverage)
    desk.trade(side, "2", "100", instrument=PERPETUAL)

    assert desk.portfolio.liquidation_price("trend", PERPETUAL.id) == Decimal(expected)


def test_spot_and_flat_positions_are_never_liquidated() -> None:
    desk = Desk()
    desk.trade(Side.BUY, "1", "100")

    assert desk.portfolio.liquidation_price("trend", SPOT.id) is None
    assert desk.portfolio.liquidation_price("trend", PERPETUAL.id) is None
    assert desk.portfolio.liquidation_price("trend", "XRP/USDT@NOWHERE") is None


def test_two_strategies_hold_the_same_instrument_apart() -> None:
    desk = Desk()
    desk.trade(Side.BUY, "1", "100")
    amounts = (Decimal(2), Decimal(100), Decimal(0))
    desk.portfolio.apply(OrderFilled(9, Fill("x", "o", SPOT.id, "other", Side.BUY, *amounts, "USDT", ts=9)))

    desk.portfolio.mark(SPOT.id, 110.0)

    assert desk.portfolio.profit_of("trend") == pytest.approx(10)
    assert desk.portfolio.profit_of("other") == pytest.approx(20)
    assert len(desk.portfolio.open_positions()) == 2


def test_an_instrument_the_run_does_not_know_is_refused() -> None:
    stranger = Instrument("XRP/USDT@BINANCE", *STEPS)

    with pytest.raises(InvariantError, match="XRP/USDT@BINANCE"):
        Desk().trade(Side.BUY, "1", "100", instrument=stranger)


def test_a_fill_that_cannot_be_money_changes_nothing() -> None:
    desk = Desk()

    with pytest.raises(InvariantError):
        desk.trade(Side.BUY, "NaN", "100")

    assert desk.portfolio.equity() == 1000
    assert desk.portfolio.open_positions() == []


def test_an_empty_portfolio_is_worth_nothing() -> None:
    portfolio = Portfolio({}, "USDT")

    assert (portfolio.equity(), portfolio.funds(), portfolio.exposure(), portfolio.profit_of("x")) == (
        0,
        0,
        0,
        0,
    )
    assert portfolio.open_round_trips() == ()
    assert list(portfolio.closed_results("x")) == []


def test_a_partial_exit_realises_its_share_and_leaves_the_mean_price() -> None:
    desk = Desk()
    desk.trade(Side.BUY, "4", "100", instrument=PERPETUAL)

    closed = desk.trade(Side.SELL, "1", "120", instrument=PERPETUAL)

    position = desk.portfolio.position("trend", PERPETUAL.id)
    assert closed is None
    assert (position.quantity, position.average_price, position.realised) == (
        Decimal(3),
        Decimal(100),
        Decimal(20),
    )
    assert desk.portfolio.balance("BYBIT", "USDT") == 20


def test_nothing_of_a_closed_round_trip_reaches_the_next() -> None:
    desk = Desk()
    desk.trade(Side.BUY, "1", "100", "0.1", tag="first")
    desk.trade(Side.SELL, "1", "90", "0.1", tag="first")
    desk.trade(Side.BUY, "1", "80", tag="second")

    trip = desk.trade(Side.SELL, "1", "85", tag="second")

    assert trip is not None
    assert (trip.tags, trip.pnl, trip.fees, trip.ts_entry) == (("second",), Decimal(5), Decimal(0), 3)


def test_an_asset_is_priced_by_the_inverse_of_a_pair_when_there_is_no_other() -> None:
    euro = Instrument("USDT/EUR@KRAKEN", *STEPS)
    coin = Instrument("BTC/EUR@KRAKEN", *STEPS)
    portfolio = Portfolio({euro.id: euro, coin.id: coin}, "USDT")
    portfolio.mark(euro.id, 0.8)
    portfolio.mark(coin.id, 100.0)

    portfolio.apply(BalanceChanged(0, "KRAKEN", "EUR", Decimal(400), "start"))

    assert portfolio.equity() == pytest.approx(500)
    assert portfolio.worth("EUR") == pytest.approx(1.25)
    assert portfolio.worth("BTC") == pytest.approx(125)
    assert portfolio.worth("XRP") == 0


def test_two_stablecoins_are_two_assets() -> None:
    desk = Desk()

    desk.deposit("USDC", "500")

    assert desk.portfolio.equity() == 1000
    assert desk.portfolio.unvalued == {"USDC": Decimal(500)}
