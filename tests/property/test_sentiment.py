"""No mood reaches a bar that closed before the mood was known."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from abidance.market.readings import FEAR_GREED, LEAST, Readings
from abidance.model.instrument import timeframe_ns
from tests.unit.market.series import NEW_YEAR, a_series

MINUTE = 60_000_000_000
moments = st.lists(st.integers(0, 4_000), min_size=1, max_size=25, unique=True).map(sorted)
frames = st.sampled_from(["1m", "7m", "1h", "4h", "1d"])


def some_readings(minutes: list[int]) -> Readings:
    """Return readings of which each has a value of its own."""
    ts = NEW_YEAR + np.array(minutes, dtype=np.int64) * MINUTE
    return Readings(FEAR_GREED, ts, np.linspace(1.0, 99.0, len(ts), dtype=np.float64), np.ones(len(ts)))


@given(minutes=moments, timeframe=frames, end=st.integers(0, 6_000))
def test_a_bar_closes_with_the_last_reading_known_at_its_close(
    minutes: list[int], timeframe: str, end: int
) -> None:
    readings = some_readings(minutes)

    bars = readings.bars(timeframe, NEW_YEAR + end * MINUTE)

    for ts, opened, high, low, close, count in zip(
        bars.ts.tolist(), *(column.tolist() for column in bars.columns()), strict=True
    ):
        closes = ts + timeframe_ns(timeframe)
        known = [v for t, v in zip(readings.ts.tolist(), readings.value.tolist(), strict=True) if t <= closes]
        within = [
            v for t, v in zip(readings.ts.tolist(), readings.value.tolist(), strict=True) if ts < t <= closes
        ]
        assert closes <= NEW_YEAR + end * MINUTE
        assert close == known[-1]
        assert (high, low) == (max([opened, *within]), min([opened, *within]))
        assert count == len(within)


@given(minutes=moments, timeframe=frames, cut=st.integers(0, 4_000))
def test_what_comes_later_changes_no_bar_that_has_closed(
    minutes: list[int], timeframe: str, cut: int
) -> None:
    whole, moment = some_readings(minutes), NEW_YEAR + cut * MINUTE
    known = whole.ts <= moment
    before = Readings(FEAR_GREED, whole.ts[known], whole.value[known], whole.count[known])

    then, now = before.bars(timeframe, moment), whole.bars(timeframe, moment)

    assert then.ts.tolist() == now.ts.tolist()
    for one, other in zip(then.columns(), now.columns(), strict=True):
        assert one.tolist() == other.tolist()


@given(minutes=moments, timeframe=frames)
def test_a_strategys_grid_gets_no_mood_before_it_was_known(minutes: list[int], timeframe: str) -> None:
    readings, hours = some_readings(minutes), a_series(80)
    bars = readings.bars(timeframe, NEW_YEAR + 6_000 * MINUTE)

    seen = hours.align(bars, bars.close)

    for close, value in zip(hours.ts_close.tolist(), seen.tolist(), strict=True):
        newest = readings.value[readings.ts <= close]
        assert np.isnan(value) or (len(newest) and value <= max(newest[-1], LEAST))
