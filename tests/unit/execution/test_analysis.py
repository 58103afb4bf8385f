from decimal import Decimal

import pytest

from abidance.execution.analysis import ExecutionStats, analyse, slippage_of
from abidance.model.instrument import SECOND_NS
from abidance.model.order import Fill, Order, OrderRequest, OrderState, OrderType, Side


def order(
    id: str,
    *fills: Fill,
    side: Side = Side.BUY,
    decision: str = "100",
    strategy: str = "trend",
    type: OrderType = OrderType.MARKET,
    instrument: str = "BTC/USDT@BINANCE",
) -> Order:
    request = OrderRequest(strategy, instrument, side, Decimal(10), type, decision_price=Decimal(decision))
    filled = sum((f.quantity for f in fills), Decimal(0))
    cost = sum((f.quantity * f.price for f in fills), Decimal(0))
    state = OrderState.FILLED if filled == 10 else OrderState.CANCELLED
    return Order(id, request, state, ts_intent=0, filled=filled, cost=cost)


def fill(order_id: str, quantity: str, price: str, seconds: float = 1, *, is_maker: bool = False) -> Fill:
    amounts = (Decimal(quantity), Decimal(price), Decimal(0))
    ts = int(seconds * SECOND_NS)
    instrument = "BTC/USDT@BINANCE"
    return Fill(f"{order_id}{ts}", order_id, instrument, "trend", Side.BUY, *amounts, "USDT", ts, is_maker)


@pytest.mark.parametrize(
    ("side", "price", "cost", "bps"),
    [
        (Side.BUY, "101", 10, 100),
        (Side.SELL, "101", -10, -100),
        (Side.SELL, "99", 10, 100),
        (Side.BUY, "100", 0, 0),
    ],
)
def test_slippage_is_positive_when_it_costs_us(side: Side, price: str, cost: float, bps: float) -> None:
    found = slippage_of(order("a", fill("a", "10", price), side=side))

    assert found == (cost, bps)


@pytest.mark.parametrize("unmeasured", [order("a"), order("a", fill("a", "10", "100"), decision="0")])
def test_slippage_needs_a_fill_and_a_decision_price(unmeasured: Order) -> None:
    assert slippage_of(unmeasured) is None


def test_nothing_measured_is_none_and_not_zero() -> None:
    assert analyse([], []).overall == ExecutionStats()
    assert analyse([], []).by_strategy == {}


def test_stats_are_weighed_over_all_orders_and_each_strategy() -> None:
    fills = [fill("a", "4", "101", 1), fill("a", "6", "102", 3, is_maker=True), fill("b", "5", "100", 2)]
    orders = [order("a", *fills[:2]), order("b", fills[2]), order("c", strategy="other")]

    report = analyse(orders, fills)

    stats = report.overall
    assert (stats.orders, stats.filled, stats.measured) == (3, 2, 2)
    assert stats.slippage == pytest.approx(16)
    assert stats.slippage_bps == pytest.approx(16 / 1500 * 10_000)
    assert stats.fill_rate == pytest.approx(0.5)
    assert stats.maker_share == pytest.approx(612 / 1516)
    assert list(report.by_strategy) == ["trend", "other"]
    assert report.by_strategy["other"].fill_rate == 0
    assert report.by_strategy["other"].slippage_bps is None


def test_time_to_fill_runs_from_the_decision_to_the_last_fill() -> None:
    fills = [fill(str(n), "10", "100", n) for n in range(1, 21)]
    orders = [order(str(n), f) for n, f in enumerate(fills, start=1)]

    stats = analyse(orders, fills).overall

    assert (stats.seconds_median, stats.seconds_p95) == (10.5, 19)


def test_a_stop_that_was_never_touched_spoils_no_rate() -> None:
    done = fill("a", "10", "100")
    orders = [order("a", done), order("stop", type=OrderType.STOP)]

    stats = analyse(orders, [done]).overall

    assert stats.fill_rate == 1


def test_rates_bring_quote_assets_to_one_currency_and_leave_out_what_has_none() -> None:
    fills = [fill("a", "10", "101"), fill("b", "10", "101"), fill("c", "10", "101")]
    orders = [
        order("a", fills[0]),
        order("b", fills[1], instrument="BTC/EUR@KRAKEN"),
        order("c", fills[2], instrument="BTC/JPY@KRAKEN"),
    ]

    stats = analyse(orders, fills, {"USDT": 1.0, "EUR": 1.2}).overall

    assert stats.measured == 2
    assert stats.slippage == pytest.approx(22)
    assert stats.slippage_bps == pytest.approx(100)
