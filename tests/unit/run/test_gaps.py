"""A backtest on recorded data meets the holes that the live run met."""

from pathlib import Path

import numpy as np
import pytest

from abidance.market.bars import Bars
from abidance.market.recorder import Recorder
from abidance.market.store import BarStore, Catalog, open_tables
from abidance.model.instrument import SECOND_NS
from abidance.model.market import DataKind, FeedState, FeedStatus, Quote
from abidance.model.outcome import RefusalCode
from abidance.run.backtest import backtest
from abidance.run.compiled import compiled_backtest, fallback_of
from abidance.run.config import RunConfig

BTC = "BTC/USDT@BINANCE"
HOUR = 3_600 * SECOND_NS
START = 1_717_200_000 * SECOND_NS
CONFIG = RunConfig(
    instruments=(BTC,),
    timeframe="1h",
    strategies=({"strategy": "BuyAndHold"},),
)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    store = BarStore(open_tables(tmp_path))
    ts = START + np.arange(48, dtype=np.int64) * HOUR
    prices = np.linspace(60_000.0, 61_000.0, 48).round(2)
    store.write(Bars(BTC, "1h", ts, (prices, prices + 50, prices - 50, prices, np.full(48, 100.0))))
    return Catalog(store)


def record(catalog: Catalog, *statuses: FeedStatus) -> None:
    recorder = Recorder(catalog.store.tables)
    recorder(Quote(START, BTC, 59_999.0, 1.0, 60_001.0, 1.0), START)
    for status in statuses:
        recorder(status, status.ts)
    recorder.close()


def status(hours: float, state: FeedState) -> FeedStatus:
    return FeedStatus(START + round(hours * HOUR), BTC, DataKind.QUOTES, state, "Nothing new for 7 s.")


def test_an_entry_within_a_recorded_hole_is_refused(catalog: Catalog) -> None:
    record(
        catalog,
        status(0.1, FeedState.CERTIFIED),
        status(0.5, FeedState.STALE),
        status(30, FeedState.CERTIFIED),
    )

    result = backtest(CONFIG, catalog)

    assert [refused.code for _, refused in result.refusals] == [RefusalCode.FEED_NOT_CERTIFIED]
    assert not result.fills


def test_without_holes_nothing_is_refused(catalog: Catalog) -> None:
    record(catalog, status(0.1, FeedState.CERTIFIED))

    result = backtest(CONFIG, catalog)

    assert len(result.fills) == 1
    assert not result.refusals


def test_a_hole_that_is_over_before_the_entry_changes_nothing_else(catalog: Catalog) -> None:
    plain = backtest(CONFIG, catalog)
    record(
        catalog,
        status(0.1, FeedState.CERTIFIED),
        status(0.2, FeedState.GAP),
        status(0.3, FeedState.CERTIFIED),
    )

    holed = backtest(CONFIG, catalog)

    assert holed.fills == plain.fills


def test_the_compiled_executor_meets_the_same_holes(catalog: Catalog) -> None:
    record(
        catalog,
        status(0.1, FeedState.CERTIFIED),
        status(0.5, FeedState.STALE),
        status(30, FeedState.CERTIFIED),
    )

    result = compiled_backtest(CONFIG, catalog)

    assert not fallback_of(result)
    assert [refused.code for _, refused in result.refusals] == [RefusalCode.FEED_NOT_CERTIFIED]
    assert not result.fills


def test_time_in_which_nobody_listened_is_no_doubt_about_bars(catalog: Catalog) -> None:
    for hours in (0, 20):
        recorder = Recorder(catalog.store.tables)
        at = START + hours * HOUR
        recorder(Quote(at, BTC, 59_999.0, 1.0, 60_001.0, 1.0), at)
        recorder.close()

    assert catalog.gaps(BTC) == ()
