"""Bars: longer timeframes, other instruments and alignment never show what was not yet known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abidance.market.bars import BarHistory, Bars
from abidance.model.errors import StrategyError
from abidance.model.instrument import SECOND_NS, timeframe_ns
from abidance.model.market import Bar

MINUTE = 60 * SECOND_NS
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEDNESDAY = 20_089 * DAY  # 2025-01-01


def bars_at(
    ts: list[int], timeframe: str = "1h", instrument: str = "BTC/USDT@BINANCE", seed: int = 1
) -> Bars:
    """Make bars with the given open times."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.standard_normal(len(ts)) * 0.01))
    open_ = close * (1 + random.standard_normal(len(ts)) * 0.002)
    high, low = np.maximum(open_, close) * 1.001, np.minimum(open_, close) * 0.999
    columns = (open_, high, low, close, random.random(len(ts)) * 10)
    return Bars(instrument, timeframe, np.array(ts, dtype=np.int64), columns)


def hours(count: int, start: int = WEDNESDAY) -> list[int]:
    return [start + row * HOUR for row in range(count)]


with_gaps = st.lists(st.integers(0, 400), min_size=1, max_size=150, unique=True).map(sorted)


@settings(max_examples=60)
@given(
    rows=with_gaps,
    start=st.integers(0, 24 * 8),
    timeframe=st.sampled_from(["1h", "2h", "4h", "6h", "1d", "3d", "1w"]),
)
def test_the_aligned_values_of_a_prefix_are_the_prefix_of_the_aligned_values(
    rows: list[int], start: int, timeframe: str
) -> None:
    bars = bars_at([WEDNESDAY + (start + row) * HOUR for row in rows])

    def aligned(seen: Bars) -> list[np.ndarray]:
        longer = seen.higher(timeframe)
        return [seen.align(longer, column) for column in longer.columns()]

    whole = aligned(bars)

    for cut in range(len(bars) + 1):
        for all_values, values in zip(whole, aligned(bars.slice(0, cut)), strict=True):
            assert values.tobytes() == all_values[:cut].tobytes()


@settings(max_examples=60)
@given(rows=with_gaps, others=with_gaps, timeframe=st.sampled_from(["1m", "15m", "1h", "4h", "1d"]))
def test_another_instrument_is_seen_up_to_our_last_close_and_no_further(
    rows: list[int], others: list[int], timeframe: str
) -> None:
    step = timeframe_ns(timeframe)
    other = bars_at([WEDNESDAY // step * step + row * step for row in others], timeframe, "ETH/USDT@BINANCE")
    bars = bars_at([WEDNESDAY + row * HOUR for row in rows])
    bars.universe = {other.instrument: other}
    whole = bars.align(bars.other(other.instrument), bars.other(other.instrument).close)

    for cut in range(len(bars) + 1):
        seen = bars.slice(0, cut)
        known = seen.other(other.instrument)
        assert seen.align(known, known.close).tobytes() == whole[:cut].tobytes()
        assert not len(known) or known.ts_close[-1] <= seen.ts_close[-1]


def test_a_longer_bar_holds_the_extremes_the_ends_and_the_sum_of_its_parts() -> None:
    bars = bars_at(hours(9))

    longer = bars.higher("4h")

    assert longer.timeframe == "4h"
    assert longer.ts.tolist() == [WEDNESDAY, WEDNESDAY + 4 * HOUR]
    assert longer.open.tolist() == bars.open[[0, 4]].tolist()
    assert longer.close.tolist() == bars.close[[3, 7]].tolist()
    assert longer.high.tolist() == [bars.high[:4].max(), bars.high[4:8].max()]
    assert longer.low.tolist() == [bars.low[:4].min(), bars.low[4:8].min()]
    assert longer.volume.tolist() == pytest.approx([bars.volume[:4].sum(), bars.volume[4:8].sum()])


def test_a_longer_bar_is_known_at_its_last_part_and_not_before() -> None:
    bars = bars_at(hours(8))
    longer = bars.higher("4h")

    seen = bars.align(longer, longer.close)

    assert np.isnan(seen[:3]).all()
    assert seen[3:7].tolist() == [bars.close[3]] * 4
    assert seen[7] == bars.close[7]


def test_a_longer_bar_whose_last_part_is_missing_is_known_at_the_next_close() -> None:
    bars = bars_at([*hours(3), WEDNESDAY + 4 * HOUR, WEDNESDAY + 5 * HOUR])

    longer = bars.higher("4h")

    assert len(bars.slice(0, 3).higher("4h")) == 0
    assert longer.close.tolist() == [bars.close[2]]
    assert np.isnan(bars.align(longer, longer.close)).tolist() == [True, True, True, False, False]


def test_a_first_longer_bar_whose_beginning_is_missing_is_left_out() -> None:
    bars = bars_at(hours(11, WEDNESDAY + HOUR))

    assert bars.higher("4h").ts.tolist() == [WEDNESDAY + 4 * HOUR, WEDNESDAY + 8 * HOUR]


def test_weeks_begin_on_monday() -> None:
    bars = bars_at(hours(24 * 14))

    weeks = bars.higher("1w")

    assert weeks.ts.tolist() == [WEDNESDAY + 5 * DAY]


def test_our_own_timeframe_is_ourselves_even_off_the_grid() -> None:
    bars = bars_at(hours(5, WEDNESDAY + 30 * MINUTE))

    assert bars.higher("1h") is bars


def test_no_bars_have_no_longer_bars() -> None:
    longer = bars_at([]).higher("1d")

    assert len(longer) == 0
    assert longer.timeframe == "1d"


@pytest.mark.parametrize("timeframe", ["30m", "90m", "1m"])
def test_a_timeframe_that_is_no_multiple_is_refused(timeframe: str) -> None:
    with pytest.raises(StrategyError, match=f"Bars of {timeframe} cannot be built from bars of 1h"):
        bars_at(hours(3)).higher(timeframe)


def test_an_instrument_that_is_not_loaded_is_refused_with_the_remedy() -> None:
    with pytest.raises(StrategyError, match="references"):
        bars_at(hours(3)).other("SOL/USDT@BINANCE")


def test_a_column_of_another_length_cannot_be_aligned() -> None:
    bars = bars_at(hours(8))

    with pytest.raises(StrategyError, match="3 values for 2 bars"):
        bars.align(bars.higher("4h"), np.zeros(3))


def test_columns_cannot_be_written_to_and_their_owner_still_can() -> None:
    mine = np.arange(5.0)
    bars = Bars("BTC/USDT@BINANCE", "1h", np.array(hours(5), dtype=np.int64), [mine] * 5)

    for column in (bars.ts, *bars.columns(), bars.slice(1, 3).close):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 1
    mine[0] = 7
    assert bars.close[0] == 7


def test_a_growing_history_shows_each_bar_once_and_leaves_earlier_views_as_they_were() -> None:
    history = BarHistory("BTC/USDT@BINANCE", "1h")
    early = history.bars()
    for row in range(3000):
        history.append(Bar("BTC/USDT@BINANCE", "1h", row * HOUR, 1.0, 2.0, 0.5, float(row), 3.0))
        if row == 9:
            early = history.bars()

    bars = history.bars()

    assert len(history) == len(bars) == 3000
    assert bars.close.tolist() == list(range(3000))
    assert bars.ts.tolist() == [row * HOUR for row in range(3000)]
    assert bars.close.flags.c_contiguous
    assert early.close.tolist() == list(range(10))
