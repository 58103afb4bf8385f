"""The grid: buys below, sells what it bought one step higher, and never more than it got."""

from collections.abc import Iterable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.market.bars import Bars
from abidance.model.account import Position
from abidance.model.instrument import Instrument
from abidance.model.market import Bar, DataKind, FeedState, MarkPrice
from abidance.model.order import Fill, Order, OrderRequest, OrderState, OrderType, Side
from abidance.strategy.base import Intents
from abidance.strategy.library import Grid

D = Decimal
BTC = "BTC/USDT@BINANCE"
RULES = Instrument(BTC, tick=D("0.5"), lot=D("0.001"), min_quantity=D("0.001"), min_notional=D(5))


class FakeView:
    """A view whose orders and position the test sets."""

    now = 0

    def __init__(self, equity: float = 10_000.0) -> None:
        self.cash = equity
        self.open: dict[str, Order] = {}
        self.holding = D(0)

    def price(self, instrument: str) -> float | None:
        return None

    def position(self, instrument: str) -> Position:
        return Position("grid", instrument, self.holding)

    def orders(self, instrument: str | None = None) -> Iterable[Order]:
        return self.open.values()

    def equity(self) -> float:
        return self.cash

    def instrument(self, instrument: str) -> Instrument:
        return RULES

    def bars(self, instrument: str, timeframe: str) -> Bars:
        raise NotImplementedError

    def feed(self, instrument: str, kind: DataKind) -> FeedState | None:
        return None

    def mark(self, instrument: str) -> MarkPrice | None:
        return None


def bar(close: float) -> Bar:
    return Bar(BTC, "1m", 0, close, close, close, close, 1.0)


def requests(intents: Intents) -> list[OrderRequest]:
    return [intent for intent in intents or [] if isinstance(intent, OrderRequest)]


def fill_of(
    side: Side, quantity: str, price: str, *, order: str = "a", fee: tuple[str, str] = ("0", "USDT")
) -> Fill:
    return Fill("t", order, BTC, "grid", side, D(quantity), D(price), D(fee[0]), fee[1], 0)


@pytest.fixture
def grid() -> Grid:
    strategy = Grid()
    strategy.name = "grid"
    strategy.levels = 3
    return strategy


def test_the_grid_is_laid_once_below_the_first_price(grid: Grid) -> None:
    view = FakeView()

    orders = requests(grid.on_bar(bar(10_000.0), view))

    assert [order.price for order in orders] == [D("9900"), D("9801"), D("9702.5")]
    assert all(order.side is Side.BUY and order.type is OrderType.LIMIT for order in orders)
    assert [order.quantity for order in orders] == [D("0.050"), D("0.051"), D("0.051")]
    assert requests(grid.on_bar(bar(11_000.0), view)) == []


def test_no_second_grid_is_laid_after_a_restart(grid: Grid) -> None:
    view = FakeView()
    view.holding = D("0.05")

    assert requests(grid.on_bar(bar(10_000.0), view)) == []


def test_a_completed_purchase_is_offered_one_step_higher(grid: Grid) -> None:
    (order,) = requests(grid.on_fill(fill_of(Side.BUY, "0.05", "9900"), FakeView()))

    assert (order.side, order.price, order.quantity) == (Side.SELL, D("9999"), D("0.05"))
    assert order.reduce_only


def test_a_completed_sale_is_bought_back_one_step_lower(grid: Grid) -> None:
    (order,) = requests(grid.on_fill(fill_of(Side.SELL, "0.05", "10000"), FakeView()))

    assert (order.side, order.price, order.quantity) == (Side.BUY, D("9900"), D("0.050"))


def test_a_part_waits_for_the_rest_and_is_sold_with_it(grid: Grid) -> None:
    view = FakeView()
    request = OrderRequest("grid", BTC, Side.BUY, D("0.05"), OrderType.LIMIT, D("9900"))
    view.open["a"] = Order("a", request, OrderState.PARTIAL, 0)

    first = requests(grid.on_fill(fill_of(Side.BUY, "0.02", "9900"), view))
    del view.open["a"]
    (order,) = requests(grid.on_fill(fill_of(Side.BUY, "0.03", "9900"), view))

    assert first == []
    assert order.quantity == D("0.05")


def test_a_fee_taken_from_the_purchase_is_not_offered(grid: Grid) -> None:
    fill = fill_of(Side.BUY, "0.05", "9900", fee=("0.0005", "BTC"))

    (order,) = requests(grid.on_fill(fill, FakeView()))

    assert order.quantity == D("0.049")


@given(close=st.floats(1e-9, 1e9), equity=st.floats(0, 1e9))
def test_every_order_stands_on_the_steps_and_costs_at_most_its_share(close: float, equity: float) -> None:
    grid = Grid()

    for order in requests(grid.on_bar(bar(close), FakeView(equity))):
        assert order.price is not None
        assert order.price > 0
        assert order.price % RULES.tick == 0
        assert order.quantity > 0
        assert order.quantity % RULES.lot == 0
        assert float(order.price * order.quantity) <= equity * grid.share * (1 + 1e-9)
