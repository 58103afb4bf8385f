"""One view of the user's bars and the bundled sample."""

from pathlib import Path

import numpy as np
import pytest

from abidance.market.store import BarStore, Catalog, fingerprint, parse_timerange
from abidance.model.errors import DataError, UsageError
from tests.unit.market.series import BTC, NEW_YEAR, a_series

COINS = ("BTC", "ETH", "BNB", "SOL", "XRP", "ADA", "DOGE")
HOUR = 3_600_000_000_000


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(BarStore(tmp_path / "data"))


def test_the_bundled_sample_is_there_without_a_user_directory(catalog: Catalog, tmp_path: Path) -> None:
    holdings = catalog.inventory()

    assert [h.instrument for h in holdings] == [f"{coin}/USDT@BINANCE" for coin in COINS]
    assert sum(h.rows for h in holdings) == 153_209
    assert {(h.timeframe, h.origin, h.rows) for h in holdings} == {("1h", "bundled", 21_887)}
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("coin", COINS)
def test_each_bundled_coin_lacks_only_the_hour_of_the_halt(catalog: Catalog, coin: str) -> None:
    start, end = parse_timerange("20230101-20250701")
    assert start is not None
    assert end is not None

    bars = catalog.read(f"{coin}/USDT@BINANCE", "1h")

    absent = np.setdiff1d(np.arange(start, end, HOUR), bars.ts)
    assert absent.tolist() == [parse_timerange("2023-03-24T13:00-")[0]]
    assert bars.instrument == f"{coin}/USDT@BINANCE"


def test_the_bundled_bars_are_those_of_the_market(catalog: Catalog) -> None:
    bars = catalog.read(BTC, "1h")

    assert [column[0] for column in bars.columns()] == [16541.77, 16545.7, 16508.39, 16529.67, 4364.8357]
    assert bars.close[-1] == 107146.5


def test_the_users_own_series_hides_the_bundled_one_whole(catalog: Catalog) -> None:
    own = a_series()
    catalog.store.write(own)

    bars = catalog.read(BTC, "1h")

    assert fingerprint(bars) == fingerprint(own)
    assert [h.origin for h in catalog.inventory() if h.instrument == BTC] == ["stored"]
    assert len(catalog.inventory()) == 7


def test_a_longer_timeframe_is_built_from_the_bundled_hours(catalog: Catalog) -> None:
    hours = catalog.read(BTC, "1h", *parse_timerange("20240301-20240302"))

    days = catalog.read(BTC, "1d", *parse_timerange("20240301-20240303"))

    assert len(days) == 2
    assert days.timeframe == "1d"
    assert days.open[0] == hours.open[0]
    assert days.high[0] == hours.high.max()
    assert days.close[0] == hours.close[-1]
    assert days.volume[0] == pytest.approx(hours.volume.sum())


def test_a_range_that_starts_inside_a_long_bar_never_gets_half_of_it(catalog: Catalog) -> None:
    days = catalog.read(BTC, "1d", *parse_timerange("2024-03-01T12:00/2024-03-03"))

    assert days.ts.tolist() == [parse_timerange("20240302-")[0]]


def test_the_longest_shorter_timeframe_is_built_from_and_one_as_asked_comes_first(catalog: Catalog) -> None:
    catalog.store.write(a_series(3000, timeframe="1m"))
    catalog.store.write(a_series(600, timeframe="5m", price=500.0))

    built, as_asked = catalog.read(BTC, "15m"), catalog.read(BTC, "1h")

    assert built.close[0] > 400
    assert len(as_asked) == 21_887


@pytest.mark.parametrize(
    ("instrument", "sentence"),
    [
        ("BTD/USDT@BINANCE", "Did you mean BTC/USDT@BINANCE"),
        ("ETH/USDT@KRAKEN", "there are BTC/USDT@BINANCE, ETH/USDT@BINANCE"),
        ("ZZZ/EUR@NOWHERE", "abidance import-data FILE --instrument ZZZ/EUR@NOWHERE -i 1h"),
    ],
)
def test_an_unknown_instrument_is_told_what_exists(catalog: Catalog, instrument: str, sentence: str) -> None:
    with pytest.raises(DataError) as error:
        catalog.read(instrument, "1h")

    assert sentence in str(error.value)


@pytest.mark.parametrize("timeframe", ["1m", "90m"])
def test_a_timeframe_that_cannot_be_had_is_told_what_is(catalog: Catalog, timeframe: str) -> None:
    with pytest.raises(DataError, match=rf"no bars of BTC/USDT@BINANCE {timeframe}, only 1h\. Import them:"):
        catalog.read(BTC, timeframe)


@pytest.mark.parametrize("timeframe", ["1h", "4h"])
def test_an_empty_range_is_told_the_range_that_exists(catalog: Catalog, timeframe: str) -> None:
    with pytest.raises(
        DataError, match=r"from 2026-01-01 00:00\. There are bars from 2023-01-01 00:00 to 2025-06-30 23:00"
    ):
        catalog.read(BTC, timeframe, *parse_timerange("20260101-"))


def test_a_malformed_instrument_is_a_mistake_of_usage(catalog: Catalog) -> None:
    with pytest.raises(UsageError):
        catalog.read("btc/usdt", "1h")


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("20240101-20240102", NEW_YEAR, NEW_YEAR + 24 * HOUR),
        ("20240101-", NEW_YEAR, None),
        ("-20240101", None, NEW_YEAR),
        ("2024-01-01-2024-01-02", NEW_YEAR, NEW_YEAR + 24 * HOUR),
        ("2024-01-01/2024-01-02", NEW_YEAR, NEW_YEAR + 24 * HOUR),
        ("2024-01-01T01:00-2024-01-01T02:00:00Z", NEW_YEAR + HOUR, NEW_YEAR + 2 * HOUR),
        ("-2024-01-01", None, NEW_YEAR),
        (" 2024-01-01- ", NEW_YEAR, None),
    ],
)
def test_a_time_range_is_read(text: str, start: int | None, end: int | None) -> None:
    assert parse_timerange(text) == (start, end)


@pytest.mark.parametrize(
    "text",
    ["", "-", "/", "20240101", "2024-01-01", "20241301-", "20240230-", "20240601-20240101", "20240101-20240101",
     "yesterday-", "00010101-", "99990101-", "٢٠٢٤٠١٠١-", "20240101-20240201-20240301"],
)  # fmt: skip
def test_what_is_no_time_range_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="for example 20240101-20240601"):
        parse_timerange(text)
