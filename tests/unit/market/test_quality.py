"""What is found in a series of bars, and how it is judged."""

from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.market.bars import Bars
from abidance.market.quality import Gap, Grade, checked, completeness, first_fault, inspect, inspect_bars
from abidance.market.store import show
from abidance.model.errors import DataError
from tests.unit.market.series import BTC, NEW_YEAR, a_series, changed

HOUR = 3_600_000_000_000


def test_a_sound_series_is_ok_without_a_word() -> None:
    report = inspect_bars(a_series(1000))

    assert (report.grade, report.reasons) == (Grade.OK, ())
    assert (report.rows, report.first, report.last) == (1000, NEW_YEAR, NEW_YEAR + 999 * HOUR)
    assert (report.missing, report.gaps, report.longest_gap) == (0, (), None)


def test_gaps_are_found_with_their_place_and_length() -> None:
    report = inspect_bars(a_series(100, leave_out=(10, 50, 51, 52)))

    assert report.missing == 4
    assert report.gaps == (Gap(NEW_YEAR + 10 * HOUR, 1), Gap(NEW_YEAR + 50 * HOUR, 3))
    assert report.longest_gap == Gap(NEW_YEAR + 50 * HOUR, 3)
    assert report.reasons == ("4 bars missing, at most 3 in a row from 2024-01-03 02:00.",)
    assert report.grade is Grade.WARNING


@given(left_out=st.sets(st.integers(1, 198), max_size=60))
def test_missing_bars_and_the_gaps_add_up(left_out: set[int]) -> None:
    report = inspect_bars(a_series(200, leave_out=tuple(left_out)))

    absent = {gap.start + i * HOUR for gap in report.gaps for i in range(gap.bars)}
    assert report.missing == len(left_out)
    assert absent == {NEW_YEAR + row * HOUR for row in left_out}


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("field", ["open", "high", "low", "close"])
def test_a_price_that_is_none_refuses_the_series(field: str, value: float) -> None:
    report = inspect_bars(changed(a_series(100), field, 7, value))

    assert report.bad_prices == 1
    assert report.grade is Grade.REFUSED
    assert report.reasons[0] == "1 bar with a price that is zero, negative, infinite or not a number."


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_a_volume_that_is_none_refuses_the_series(value: float) -> None:
    report = inspect_bars(changed(a_series(100), "volume", 7, value))

    assert (report.bad_volumes, report.grade) == (1, Grade.REFUSED)


@pytest.mark.parametrize(
    ("field", "value"), [("high", 1.0), ("low", 1000.0), ("close", 1000.0), ("open", 1.0)]
)
def test_a_single_bar_that_contradicts_itself_refuses_any_series(field: str, value: float) -> None:
    report = inspect_bars(changed(a_series(20_000), field, 7, value))

    assert (report.contradictions, report.grade) == (1, Grade.REFUSED)
    assert report.refusals == ("1 bar with a high below or a low above another price.",)


@pytest.mark.parametrize("field", ["open", "close"])
def test_what_floats_leave_behind_is_no_contradiction(field: str) -> None:
    bars = a_series(100)
    over = changed(bars, field, 7, bars.high[7] * (1 + 1e-12))
    under = changed(bars, field, 7, bars.low[7] * (1 - 1e-12))
    beyond = changed(bars, field, 7, bars.high[7] * (1 + 1e-7))

    assert [inspect_bars(each).grade for each in (over, under, beyond)] == [Grade.OK, Grade.OK, Grade.REFUSED]
    assert (checked(over), checked(under)) == (over, under)


@given(
    field=st.sampled_from(["open", "high", "low", "close", "volume"]),
    row=st.integers(0, 99),
    value=st.one_of(st.floats(), st.floats(98, 103)),
    late=st.sampled_from([0, HOUR, 2 * HOUR, 60_000_000_000]),
)
def test_a_run_and_a_check_refuse_the_same_series(field: str, row: int, value: float, late: int) -> None:
    bars = changed(a_series(100), field, row, value)
    ts = bars.ts.copy()
    ts[row] += late
    bars = Bars(BTC, "1h", ts, bars.columns())

    refused = inspect_bars(bars).grade is Grade.REFUSED

    with pytest.raises(DataError, match=show(first.ts)) if (first := first_fault(bars)) else nullcontext():
        checked(bars)
    assert (first is not None) is refused


def test_times_out_of_order_twice_and_off_the_grid_are_counted_and_refused() -> None:
    bars = a_series(10)
    ts = bars.ts.copy()
    ts[3], ts[4], ts[7] = ts[4], ts[3], ts[6]
    ts[9] += 60_000_000_000

    report = inspect(ts, bars.columns(), "1h")

    assert (report.out_of_order, report.duplicates, report.misaligned) == (1, 1, 1)
    assert report.grade is Grade.REFUSED
    assert len(report.reasons) >= 3


def test_weeks_stand_on_mondays() -> None:
    monday, thursday = a_series(5, timeframe="1w"), a_series(5, timeframe="1w", start=NEW_YEAR + 72 * HOUR)

    assert inspect_bars(monday).misaligned == 0
    assert inspect_bars(thursday).misaligned == 5


def test_the_largest_move_and_wick_are_placed() -> None:
    spiked = changed(a_series(2000), "high", 30, 1000.0)
    doubles = np.where(np.arange(2000) < 100, 1.0, 2.0)
    bars = Bars(BTC, "1h", spiked.ts, (column * doubles for column in spiked.columns()))

    report = inspect_bars(bars)

    assert report.largest_move == pytest.approx(1.0, abs=0.05)
    assert report.largest_move_ts == NEW_YEAR + 100 * HOUR
    assert report.wick == pytest.approx(1000 / max(bars.open[30], bars.close[30]))
    assert report.wick_ts == NEW_YEAR + 30 * HOUR
    assert report.grade is Grade.WARNING
    assert len(report.reasons) == 2


def test_a_jump_across_a_gap_is_no_move() -> None:
    bars = a_series(200, leave_out=(100,))
    late = bars.ts > NEW_YEAR + 100 * HOUR
    doubled = Bars(BTC, "1h", bars.ts, (np.where(late, c * 2, c) for c in bars.columns()))

    assert inspect_bars(doubled).largest_move < 0.1


def test_a_move_far_beyond_the_usual_is_an_outlier_even_when_small() -> None:
    random = np.random.default_rng(7)
    closes = 100 * np.exp(np.cumsum(random.normal(0, 1e-4, 5000)))
    closes[2500:] *= 1.05
    ts = NEW_YEAR + np.arange(5000) * HOUR

    report = inspect(ts, (closes, closes, closes, closes, np.ones(5000)), "1h")

    assert report.outliers == 1
    assert "1 bar with an extreme move" in report.reasons[-1]


def test_silence_is_told() -> None:
    bars = a_series(100)
    flat = np.full(100, 50.0)

    report = inspect(bars.ts, (flat, flat, flat, flat, np.zeros(100)), "1h")

    assert (report.zero_volume, report.flat, report.outliers, report.largest_move) == (100, 100, 0, 0.0)
    assert report.reasons == ("100 bars without volume.", "100 bars with one price only.")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_hardly_any_bars_are_no_reason_to_fail(count: int) -> None:
    report = inspect_bars(a_series(count))

    assert report.rows == count
    assert report.grade is (Grade.OK if count else Grade.REFUSED)


values = st.floats(allow_nan=True, allow_infinity=True)


@given(
    rows=st.lists(
        st.tuples(st.integers(-(2**40), 2**40), values, values, values, values, values), max_size=30
    ),
    timeframe=st.sampled_from(["1m", "1h", "1w"]),
)
def test_no_input_makes_the_inspection_fail(rows: list[tuple[float, ...]], timeframe: str) -> None:
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 6)

    report = inspect(table[:, 0].astype(np.int64), tuple(table[:, 1:].T), timeframe)

    assert report.rows == len(rows)
    assert (report.grade is Grade.OK) == (not report.reasons)


def test_months_show_the_share_that_is_there() -> None:
    january, february = 31 * 24, 29 * 24
    left_out = tuple(range(january, january + february // 2))

    months = completeness(a_series(january + february + 10, leave_out=left_out))

    assert months == [("2024-01", 1.0), ("2024-02", 0.5), ("2024-03", 1.0)]


def test_a_month_without_a_bar_shows_as_empty() -> None:
    left_out = tuple(range(20, 24 * 70))

    months = completeness(a_series(24 * 80, leave_out=left_out))

    assert [month for month, share in months if share == 0] == ["2024-02"]
    assert completeness(a_series(0)) == []
    assert completeness(a_series(6, timeframe="1w")) == [("2024-01", 1.0), ("2024-02", 1.0)]
