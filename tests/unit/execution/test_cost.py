"""What an order is expected to cost, against a plain walk through the levels in exact decimals."""

from decimal import Decimal
from functools import partial
from math import inf, isfinite, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.execution.cost import FRESH_NS, Costs, estimate, ladder_of, modelled
from abidance.model.instrument import SECOND_NS
from abidance.model.market import BookSnapshot, Quote
from abidance.model.order import OrderRequest, OrderType, Side
from abidance.venues.sim.fills import slippage_rate

ID = "BTC/USDT@SIM"
NOW = 1_000 * SECOND_NS
COSTS = Costs(0.001, 0.0004, 0.0002, partial(slippage_rate, 0.0002, 0.0, 0.1))
BOOK = BookSnapshot(NOW, ID, ((99.0, 1.0), (98.0, 2.0)), ((101.0, 1.0), (102.0, 2.0), (104.0, 1.0)))


def quote(ts: int = NOW, bid: float = 99.0, ask: float = 101.0, size: float = 1.0) -> Quote:
    return Quote(ts, ID, bid, size, ask, size)


def wish(quantity: str, side: Side = Side.BUY, limit: str | None = None) -> OrderRequest:
    kind = OrderType.LIMIT if limit else OrderType.MARKET
    return OrderRequest("one", ID, side, Decimal(quantity), kind, Decimal(limit) if limit else None)


@pytest.mark.parametrize(
    ("quantity", "side", "price", "shown"),
    [
        ("1", Side.BUY, 101.0, True),
        ("2", Side.BUY, 101.5, True),
        ("4", Side.BUY, (101 + 2 * 102 + 104) / 4, True),
        ("6", Side.BUY, (101 + 2 * 102 + 104 + 2 * 106) / 6, False),
        ("3", Side.SELL, (99 + 2 * 98) / 3, True),
    ],
)
def test_a_book_is_walked_level_by_level(quantity: str, side: Side, price: float, shown: bool) -> None:
    ladder = ladder_of(side, NOW, None, BOOK)
    assert ladder is not None

    found = estimate(ladder, wish(quantity, side), ladder.mid, COSTS)

    assert found.price == pytest.approx(price)
    assert (found.mid, found.is_shown, found.fee) == (100.0, shown, COSTS.taker)
    assert found.slippage(side) == pytest.approx(abs(price / 100 - 1))
    assert found.cost(side) == pytest.approx(abs(price / 100 - 1) + 0.001)


def test_a_limit_takes_within_its_price_and_rests_with_what_is_left() -> None:
    ladder = ladder_of(Side.BUY, NOW, None, BOOK)
    assert ladder is not None

    part = estimate(ladder, wish("4", limit="102"), ladder.mid, COSTS)
    resting = estimate(ladder, wish("4", limit="99"), ladder.mid, COSTS)

    assert part.price == pytest.approx((101 + 3 * 102) / 4)
    assert part.fee == pytest.approx(0.75 * 0.001 + 0.25 * 0.0004)
    assert (resting.price, resting.fee) == (99.0, 0.0004)
    assert resting.slippage(Side.BUY) == pytest.approx(-0.01)


def test_what_a_quote_does_not_show_costs_a_spread_more() -> None:
    ladder = ladder_of(Side.BUY, NOW, quote(), None)
    assert ladder is not None

    assert estimate(ladder, wish("1"), ladder.mid, COSTS).price == 101.0
    assert estimate(ladder, wish("4"), ladder.mid, COSTS).price == pytest.approx((101 + 3 * 103) / 4)


def test_of_a_book_and_a_quote_the_book_is_taken_unless_it_lags() -> None:
    late = quote(NOW + 6 * SECOND_NS)

    assert ladder_of(Side.BUY, NOW, quote(), BOOK).source == "book"  # type: ignore[union-attr]
    assert ladder_of(Side.BUY, late.ts, late, BOOK).source == "quote"  # type: ignore[union-attr]
    assert ladder_of(Side.BUY, NOW + FRESH_NS + 1, quote(), BOOK) is None


@pytest.mark.parametrize("bad", [(nan, 101.0), (0.0, 101.0), (102.0, 101.0), (99.0, inf), (-1.0, 101.0)])
def test_what_is_no_market_prices_nothing(bad: tuple[float, float]) -> None:
    assert ladder_of(Side.BUY, NOW, quote(bid=bad[0], ask=bad[1]), None) is None
    assert ladder_of(Side.BUY, NOW, None, BookSnapshot(NOW, ID, ((bad[0], 1.0),), ((bad[1], 1.0),))) is None


def test_where_only_bars_are_known_the_slippage_model_speaks() -> None:
    found = estimate(modelled(Side.BUY, 100.0, 0.1, COSTS), wish("5"), 100.0, COSTS)

    assert found.slippage(Side.BUY) == pytest.approx(0.0001 + 0.1 * 0.01)
    assert (found.source, found.is_shown) == ("model", True)


levels = st.lists(
    st.tuples(st.integers(1, 50), st.sampled_from([0.0, 0.001, 0.5, 3.0])), min_size=1, max_size=6
)


@given(
    levels, st.integers(1, 20_000), st.sampled_from(list(Side)), st.one_of(st.none(), st.integers(-60, 60))
)
def test_an_estimate_is_what_taking_level_by_level_comes_to(
    steps: list[tuple[int, float]], lots: int, side: Side, limit: int | None
) -> None:
    sign, price, side_levels = side.sign, 1_000.0, []
    for step, size in steps:
        price += sign * step
        side_levels.append((price, size))
    other = ((1_000.0 - sign, 1.0),)
    book = BookSnapshot(NOW, ID, *((other, tuple(side_levels)) if sign > 0 else (tuple(side_levels), other)))
    ladder = ladder_of(side, NOW, None, book)
    assert ladder is not None
    request = wish(f"{lots / 1000}", side, None if limit is None else str(1_000 + limit))

    found = estimate(ladder, request, ladder.mid, COSTS)

    left, value = request.quantity, Decimal(0)
    for at, size in side_levels:
        if limit is None or (at - 1_000 - limit) * sign <= 0:
            part = min(left, Decimal(str(size)))
            left, value = left - part, value + part * Decimal(at)
    rest = Decimal(ladder.beyond) if limit is None else Decimal(1_000 + limit)
    assert found.price == pytest.approx(float((value + left * rest) / request.quantity))
    assert isfinite(found.cost(side))
    if limit is not None:
        assert (found.price - (1_000 + limit)) * sign <= 1e-6
    else:
        assert found.is_shown == (left == 0)
