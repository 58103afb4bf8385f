"""Bars built trade by trade and all at once are the same bars, whatever order trades come in and whenever one looks."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from abidance.market.activity import ActivityBarBuilder, build_activity_bars
from abidance.market.bars import Bars
from abidance.market.build import ExactSum, Tape, TimeBarBuilder, build_time_bars
from abidance.model.market import Bar, Trade

BTC = "BTC/USDT@BINANCE"
START = 1_704_067_200_000_000_000
SECOND = 1_000_000_000

prices = st.sampled_from([0.0, -1.0, math.nan, math.inf, 99.5, 100.0, 100.1, 101.0, 1e-9, 3e8, 1e18, 1e300])
sizes = st.sampled_from([0.0, math.nan, 0.1, 0.2, 0.3, 1.0, 1e-8, 123_456.789, 5e9, 1e18, 1e308])
tapes = st.lists(
    st.tuples(st.integers(-90, 400).map(lambda quarter: START + quarter * SECOND // 4), prices, sizes),
    max_size=60,
)


def trades(rows: list[tuple[int, float, float]]) -> list[Trade]:
    return [Trade(ts, BTC, price, size, True) for ts, price, size in rows]


def tape(rows: list[tuple[int, float, float]]) -> Tape:
    return Tape(
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.float64),
        np.array([row[2] for row in rows], dtype=np.float64),
    )


def listed(bars: Bars) -> list[Bar]:
    columns = (column.tolist() for column in bars.columns())
    return [
        Bar(bars.instrument, bars.timeframe, *row) for row in zip(bars.ts.tolist(), *columns, strict=True)
    ]


@settings(max_examples=300, deadline=None)
@given(
    rows=tapes,
    timeframe=st.sampled_from(["1s", "5s", "1m"]),
    grace=st.sampled_from([0, SECOND // 2, 7 * SECOND]),
    since=st.none() | st.integers(-20, 20).map(lambda seconds: START + seconds * SECOND),
    ending=st.integers(0, 130).map(lambda seconds: START + seconds * SECOND),
    fill=st.booleans(),
)
def test_time_bars_are_the_same_trade_by_trade_and_at_once(
    rows: list[tuple[int, float, float]],
    timeframe: str,
    grace: int,
    since: int | None,
    ending: int,
    fill: bool,
) -> None:
    builder = TimeBarBuilder(BTC, timeframe, since=since, grace=grace, fill=fill)

    stepwise = [bar for trade in trades(rows) for bar in builder.take(trade)] + builder.advance(ending)
    at_once = build_time_bars(BTC, timeframe, tape(rows), since=since, until=ending, grace=grace, fill=fill)

    assert listed(at_once) == stepwise


@settings(max_examples=200, deadline=None)
@given(rows=tapes)
def test_a_bar_is_given_out_once_in_order_and_never_before_its_close(
    rows: list[tuple[int, float, float]],
) -> None:
    builder = TimeBarBuilder(BTC, "5s", fill=True)
    opens, newest = [], 0

    for trade in trades(rows):
        closed = builder.take(trade)
        newest = max(newest, trade.ts) if closed else newest
        opens += [bar.ts for bar in closed]
        assert all(bar.ts_close <= newest for bar in closed)

    assert opens == sorted(set(opens))


@settings(max_examples=300, deadline=None)
@given(rows=tapes, measure=st.sampled_from(["1t", "3t", "0.3v", "1v", "200000v", "30q", "1000000q"]))
def test_activity_bars_are_the_same_trade_by_trade_and_at_once(
    rows: list[tuple[int, float, float]], measure: str
) -> None:
    builder = ActivityBarBuilder(BTC, measure)

    taken = [builder.take(trade) for trade in trades(rows)]
    stepwise = [
        (b.ts, b.ts_close, b.open, b.high, b.low, b.close, b.volume, b.trades) for b in taken if b is not None
    ]
    at_once = build_activity_bars(measure, tape(rows))

    assert list(zip(*(column.tolist() for column in at_once), strict=True)) == stepwise


@given(st.lists(st.floats(1e-12, 1e12), max_size=50))
def test_an_exact_sum_is_the_nearest_float_in_any_order(values: list[float]) -> None:
    forwards, backwards = ExactSum(), ExactSum()

    for value in values:
        forwards.add(value)
    for value in reversed(values):
        backwards.add(value)

    assert forwards.total == backwards.total == math.fsum(values)
