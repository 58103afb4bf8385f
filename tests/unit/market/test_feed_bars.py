"""Bars replayed as slices, in an order that depends on nothing but their content."""

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.market.bars import Bars
from abidance.market.feed import BarReplay
from abidance.market.feed import bars as replay_module
from abidance.model.errors import DataError
from abidance.model.instrument import timeframe_ns
from abidance.model.market import Bar, BarSlice
from tests.unit.market.series import BTC, ETH, NEW_YEAR, a_series, changed

SOL = "SOL/USDT@BINANCE"
MINUTE = 60_000_000_000


def expected(series: list[Bars], instruments: list[str], after: int | None = None) -> list[BarSlice]:
    """Return the slices as the contract words them, slowly."""
    found: dict[int, list[Bar]] = {}
    for bars in series:
        for row in zip(bars.ts.tolist(), *(column.tolist() for column in bars.columns()), strict=True):
            bar = Bar(bars.instrument, bars.timeframe, *row)
            found.setdefault(bar.ts_close, []).append(bar)
    rank = {id: place for place, id in enumerate(instruments)}
    slices = []
    for ts in sorted(found):
        ordered = sorted(found[ts], key=lambda bar: (timeframe_ns(bar.timeframe), rank[bar.instrument]))
        if after is None or ts > after:
            slices.append(BarSlice(ts, tuple(ordered)))
    return slices


def test_one_series_comes_bar_by_bar_at_its_closes() -> None:
    bars = a_series(3)

    slices = list(BarReplay([bars]).events())

    assert slices == expected([bars], [BTC])
    assert slices[0].ts == NEW_YEAR + 60 * MINUTE
    assert slices[0].bars[0].ts == NEW_YEAR
    assert type(slices[0].ts) is int
    assert type(slices[0].bars[0].close) is float


def test_all_bars_that_close_together_share_a_slice_shortest_first_then_in_the_runs_order() -> None:
    hours = a_series(24)
    other = a_series(24, instrument=ETH)

    slices = list(BarReplay([hours.higher("4h"), hours, other], [ETH, BTC]).events())

    assert [(b.instrument, b.timeframe) for b in slices[3].bars] == [(ETH, "1h"), (BTC, "1h"), (BTC, "4h")]
    assert [(b.instrument, b.timeframe) for b in slices[4].bars] == [(ETH, "1h"), (BTC, "1h")]


series_of_all_kinds = st.lists(
    st.tuples(
        st.sampled_from([BTC, ETH, SOL]),
        st.sampled_from(["1m", "3m", "5m", "1h"]),
        st.integers(0, 90),
        st.integers(0, 40),
        st.sets(st.integers(0, 89), max_size=20),
    ),
    max_size=6,
    unique_by=lambda drawn: drawn[:2],
)


@given(
    drawn=series_of_all_kinds,
    instruments=st.permutations([BTC, ETH, SOL]),
    after=st.one_of(st.none(), st.integers(-5, 200)),
    chunk=st.integers(1, 50),
)
def test_any_series_come_out_as_the_contract_words_it(
    drawn: list[tuple[str, str, int, int, set[int]]], instruments: list[str], after: int | None, chunk: int
) -> None:
    series = [
        a_series(count, instrument=id, timeframe=tf, start=NEW_YEAR + delay * MINUTE, leave_out=tuple(x for x in gone if x < count))
        for id, tf, count, delay, gone in drawn
    ]  # fmt: skip
    moment = None if after is None else NEW_YEAR + after * MINUTE

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay_module, "_CHUNK", chunk)
        slices = list(BarReplay(series, instruments).events(moment))

    assert slices == expected(series, instruments, moment)


def test_a_replay_can_be_run_again_and_from_the_middle() -> None:
    replay = BarReplay([a_series(100), a_series(100, instrument=ETH, leave_out=(7,))])
    whole = list(replay.events())

    assert list(replay.events()) == whole
    assert list(replay.events(after=whole[41].ts)) == whole[42:]
    assert list(replay.events(after=whole[-1].ts)) == []


def test_nothing_gives_nothing() -> None:
    assert list(BarReplay([]).events()) == []
    assert list(BarReplay([a_series(0)]).events()) == []


@pytest.mark.parametrize("shift", [0, -1])
def test_a_series_that_goes_back_is_refused_with_its_place(shift: int) -> None:
    bars = a_series(10)
    ts = bars.ts.copy()
    ts[6] = ts[5] + shift

    with pytest.raises(DataError, match=r"Bar 7 of BTC/USDT@BINANCE 1h opens at 2024-01-01 0[45]"):
        BarReplay([Bars(BTC, "1h", ts, bars.columns())])


def test_a_series_given_twice_is_refused() -> None:
    with pytest.raises(DataError, match="is in the replay twice"):
        BarReplay([a_series(3), a_series(5)])


def test_what_is_in_the_bars_is_passed_on_untouched() -> None:
    odd = changed(a_series(3), "volume", 1, float("nan"))

    assert np.isnan(list(BarReplay([odd]).events())[1].bars[0].volume)


def test_memory_does_not_grow_with_the_length() -> None:
    def peak(count: int) -> int:
        replay = BarReplay([a_series(count, timeframe="1m"), a_series(count, instrument=ETH, timeframe="1m")])
        tracemalloc.start()
        for _ in replay.events():
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(60_000) < 1.3 * peak(15_000)


def test_a_million_bars_take_less_than_a_second_of_work() -> None:
    replay = BarReplay([a_series(400_000, timeframe="1m")])

    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        for _ in replay.events():
            pass
        best = min(best, time.process_time() - start)

    assert 400_000 / best > 1_200_000
