"""Bars from trades: what belongs to which bar, when it closes, and that they equal the venue's own."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from abidance.market.activity import ActivityBarBuilder, build_activity_bars, parse_measure
from abidance.market.build import MOST_FLAT, Tape, TimeBarBuilder, build_time_bars
from abidance.model.errors import DataError, UsageError
from abidance.model.instrument import timeframe_ns
from abidance.model.market import Bar, Trade
from tests.unit.market.series import BTC, NEW_YEAR, a_series

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HERE = Path(__file__)
SHARED = HERE.parents[4] / "shared" / "data"
KEPT = HERE.parents[2] / "data"


def print_at(seconds: float, price: float = 100.0, size: float = 1.0) -> Trade:
    return Trade(NEW_YEAR + int(seconds * SECOND), BTC, price, size, True)


def test_a_bar_closes_with_the_first_trade_after_it() -> None:
    builder = TimeBarBuilder(BTC, "1m")

    nothing = [builder.take(print_at(0, 100, 0.1)), builder.take(print_at(59.999, 102, 0.2))]
    closed = builder.take(print_at(60, 101))

    assert nothing == [[], []]
    assert closed == [Bar(BTC, "1m", NEW_YEAR, 100, 102, 100, 102, 0.3)]


def test_a_bar_whose_beginning_was_not_seen_is_left_out() -> None:
    builder = TimeBarBuilder(BTC, "1m")

    closed = [bar for at in (1, 30, 61, 125) for bar in builder.take(print_at(at))]

    assert [bar.ts for bar in closed] == [NEW_YEAR + MINUTE]


def test_a_bar_is_whole_when_all_trades_since_its_open_are_known() -> None:
    builder = TimeBarBuilder(BTC, "1m", since=NEW_YEAR)

    closed = [bar for at in (1, 61) for bar in builder.take(print_at(at))]

    assert [bar.ts for bar in closed] == [NEW_YEAR]


def test_the_clock_closes_a_bar_once_it_has_waited_for_late_trades() -> None:
    builder = TimeBarBuilder(BTC, "1m", grace=2 * SECOND)
    builder.take(print_at(0))

    early, due, again = (builder.advance(NEW_YEAR + MINUTE + wait * SECOND) for wait in (1, 2, 3))

    assert (early, [bar.ts for bar in due], again) == ([], [NEW_YEAR], [])


def test_trades_out_of_order_find_their_place_within_the_grace() -> None:
    builder = TimeBarBuilder(BTC, "1m", since=NEW_YEAR, grace=5 * SECOND)
    came = [(10, 101.0), (59, 104.0), (61, 200.0), (58, 99.0), (5, 100.0), (59, 103.0), (66, 201.0)]

    closed = [bar for at, price in came for bar in builder.take(print_at(at, price))]

    assert closed == [Bar(BTC, "1m", NEW_YEAR, 100, 104, 99, 103, 5)]
    assert builder.late == 0


def test_a_trade_that_comes_after_its_bar_closed_is_counted_and_changes_nothing() -> None:
    builder = TimeBarBuilder(BTC, "1m", since=NEW_YEAR)
    builder.take(print_at(1))
    builder.take(print_at(61, 105))

    late = builder.take(print_at(59, 1.0))
    closed = builder.take(print_at(121))

    assert (late, builder.late) == ([], 1)
    assert closed == [Bar(BTC, "1m", NEW_YEAR + MINUTE, 105, 105, 105, 105, 1)]


@pytest.mark.parametrize("fill", [False, True])
def test_a_quiet_minute_is_flat_or_absent_as_the_venue_has_it(fill: bool) -> None:
    builder = TimeBarBuilder(BTC, "1m", fill=fill)

    closed = [bar for at in (0, 180) for bar in builder.take(print_at(at, 100 + at))]

    quiet = [Bar(BTC, "1m", NEW_YEAR + minute * MINUTE, 100, 100, 100, 100, 0) for minute in (1, 2)]
    assert closed[1:] == (quiet if fill else [])


def test_the_clock_brings_flat_bars_while_nothing_trades() -> None:
    builder = TimeBarBuilder(BTC, "1m", fill=True)
    builder.take(print_at(0))

    closed = [bar.volume for minute in range(1, 5) for bar in builder.advance(NEW_YEAR + minute * MINUTE)]

    assert closed == [1, 0, 0, 0]


def test_a_long_silence_stays_a_hole_after_the_most_flat_bars() -> None:
    rows = [(NEW_YEAR, 100.0, 1.0), (NEW_YEAR + 50_000 * SECOND, 101.0, 1.0)]
    tape = Tape(*(np.array(column) for column in zip(*rows, strict=True)))
    builder = TimeBarBuilder(BTC, "1s", fill=True)

    stepwise = [bar for ts, price, size in rows for bar in builder.take(Trade(ts, BTC, price, size, True))]
    at_once = build_time_bars(BTC, "1s", tape, fill=True)

    assert len(stepwise) == len(at_once) == MOST_FLAT + 1


def test_after_an_interruption_only_bars_that_open_later_are_given_out() -> None:
    builder = TimeBarBuilder(BTC, "1m", since=NEW_YEAR, fill=True)
    builder.take(print_at(1))
    builder.interrupt(NEW_YEAR + 90 * SECOND)

    closed = [bar for at in (95, 130, 185) for bar in builder.take(print_at(at))]

    assert [bar.ts for bar in closed] == [NEW_YEAR + 2 * MINUTE]


def test_the_forming_bar_can_be_looked_at_and_is_not_closed() -> None:
    builder = TimeBarBuilder(BTC, "1m")
    before = builder.forming()
    builder.take(print_at(0, 100))
    builder.take(print_at(5, 99))

    forming = builder.forming()

    assert before is None
    assert forming == Bar(BTC, "1m", NEW_YEAR, 100, 100, 99, 99, 2)
    assert builder.advance(NEW_YEAR + 59 * SECOND) == []


@pytest.mark.parametrize(
    "trade", [print_at(1, float("nan")), print_at(1, -1), print_at(1, 1, 0), print_at(1e10)]
)
def test_a_trade_that_cannot_be_is_counted_and_left_out(trade: Trade) -> None:
    builder, activity = TimeBarBuilder(BTC, "1m"), ActivityBarBuilder(BTC, "1t")

    taken = builder.take(trade), activity.take(trade)

    assert taken == ([], None)
    assert (builder.refused, activity.refused, builder.forming()) == (1, 1, None)


def test_no_trades_make_no_bars() -> None:
    nothing = Tape(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0))

    assert len(build_time_bars(BTC, "1m", nothing)) == 0
    assert len(build_activity_bars("1v", nothing).ts) == 0


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(DataError, match="1 times, 2 prices"):
        build_time_bars(BTC, "1m", Tape(np.array([NEW_YEAR]), np.ones(2), np.ones(1)))


def test_weeks_open_on_mondays() -> None:
    week = 7 * 24 * 3600
    builder = TimeBarBuilder(BTC, "1w", since=NEW_YEAR)

    closed = [bar for at in (3, week) for bar in builder.take(print_at(at))]

    assert [bar.ts for bar in closed] == [NEW_YEAR]


def test_an_activity_bar_closes_with_the_trade_that_reaches_its_measure() -> None:
    builder = ActivityBarBuilder(BTC, "1v")

    taken = [builder.take(print_at(at, 100 + at, 0.1)) for at in range(11)]

    assert [bar is not None for bar in taken] == [False] * 9 + [True, False]
    bar = taken[9]
    assert bar is not None
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trades) == (100, 109, 100, 109, 1.0, 10)
    assert (bar.ts, bar.ts_close) == (NEW_YEAR, NEW_YEAR + 9 * SECOND)


def test_dollar_bars_count_price_times_size() -> None:
    bars = build_activity_bars(
        "250q",
        Tape(np.arange(4) + NEW_YEAR, np.array([100.0, 50.0, 200.0, 9.0]), np.array([1.0, 2.0, 1.0, 1.0])),
    )

    assert bars.trades.tolist() == [3]
    assert (bars.volume.tolist(), bars.close.tolist()) == ([4.0], [200.0])


def test_values_of_activity_bars_reach_a_grid_of_time_only_once_known() -> None:
    hours = a_series(3)
    ts = hours.ts_close[[0, 1]] + np.array([0, 1])
    bars = build_activity_bars("1t", Tape(ts, np.ones(2), np.ones(2)))

    aligned = bars.onto(hours, np.array([7.0, 8.0]))

    assert aligned.tolist() == [7.0, 7.0, 8.0]


@pytest.mark.parametrize("text", ["", "t", "0t", "1.5t", "-1v", "1e6q", "1x", "nanv", "1t "])
def test_a_measure_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="Unknown measure"):
        parse_measure(text)


def kraken(folder: Path, trades: str) -> tuple[pl.DataFrame, Tape]:
    table = pl.read_parquet(folder / trades)
    return table, Tape(
        table["ts_ms"].to_numpy() * 1_000_000, table["price"].to_numpy(), table["size"].to_numpy()
    )


def without_lost_trades(table: pl.DataFrame, opens: np.ndarray, step: int) -> np.ndarray:
    """Say of each bar whether the recording holds every trade of it: the venue numbers its trades."""
    ids, ts = table["id"].cast(pl.Int64).to_numpy(), table["ts_ms"].to_numpy() * 1_000_000
    lost = np.flatnonzero(np.diff(ids) != 1)
    touched = {slot for at in lost for slot in range(ts[at] // step, ts[at + 1] // step + 1)}
    return np.array([open_ // step not in touched for open_ in opens.tolist()])


def check_against_the_venue(table: pl.DataFrame, tape: Tape, own: pl.DataFrame, timeframe: str) -> int:
    """Compare every bar that the recording holds whole; return how many there were."""
    step = timeframe_ns(timeframe)
    built = build_time_bars("BTC/USDT@KRAKEN", timeframe, tape, since=int(tape.ts[0]) // MINUTE * MINUTE)
    theirs = own.filter(pl.col("ts").is_in((built.ts // 1_000_000).tolist()))
    assert len(theirs) == len(built)
    whole = without_lost_trades(table, built.ts, step)
    for ours, name in zip(built.columns(), ("open", "high", "low", "close"), strict=False):
        np.testing.assert_array_equal(ours[whole], theirs[name].to_numpy()[whole])
    np.testing.assert_allclose(built.volume[whole], theirs["volume"].to_numpy()[whole], rtol=1e-12, atol=0)
    return int(whole.sum())


def test_bars_equal_the_venues_own_over_a_recorded_evening() -> None:
    table, tape = kraken(KEPT, "kraken_btc_trades_2023-11-17.parquet")
    own = pl.read_parquet(KEPT / "kraken_btc_15m_2023-11-17.parquet")

    compared = check_against_the_venue(table, tape, own, "15m")

    assert compared == 10


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no recorded market data in {SHARED}")
@pytest.mark.parametrize(
    ("timeframe", "path", "least"),
    [("1m", "1m/BTC-USDT_2023-11", 5_300), ("15m", "15m/BTC-USDT", 480), ("1h", "1h/BTC-USDT", 100)],
)
def test_bars_equal_the_venues_own_over_five_days(timeframe: str, path: str, least: int) -> None:
    table, tape = kraken(SHARED, "trades/kraken_spot_BTC-USDT_2023-11.parquet")
    own = pl.read_parquet(SHARED / f"candles/kraken_spot/{path}.parquet")

    compared = check_against_the_venue(table, tape, own, timeframe)

    assert compared >= least
