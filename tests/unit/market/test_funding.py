"""Funding rates: kept, imported, judged, and booked over bars."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from abidance.market.funding import Funding
from abidance.market.importing import FundingImport, import_funding
from abidance.market.quality import Grade, inspect_funding
from abidance.market.store import BarStore, Catalog, FundingStore, fingerprint
from abidance.model.errors import DataError, UsageError
from abidance.model.instrument import timeframe_ns
from tests.unit.market.series import NEW_YEAR, a_series

PERP = "BTC/USDT:USDT@BINANCE"
HOUR = timeframe_ns("1h")
RECORDED = Path(__file__).parents[2] / "data" / "binance_usdm_btc_funding_2024-03.csv"


def some(*rates: float, start: int = NEW_YEAR, every: int = 8 * HOUR, instrument: str = PERP) -> Funding:
    return Funding(instrument, start + np.arange(len(rates)) * every, np.array(rates, dtype=np.float64))


def pairs(funding: Funding | None) -> list[tuple[int, float]]:
    return [] if funding is None else list(zip(funding.ts.tolist(), funding.rate.tolist(), strict=True))


# --- kept


def test_what_is_written_comes_back_by_range_and_cannot_be_changed(tmp_path: Path) -> None:
    store, rates = FundingStore(tmp_path), some(*np.linspace(-0.001, 0.001, 200))

    added = (store.write(rates), store.write(rates))

    assert added == (200, 0)
    assert pairs(store.read(PERP)) == pairs(rates)
    inside = store.read(PERP, NEW_YEAR + 8 * HOUR, NEW_YEAR + 24 * HOUR)
    assert pairs(inside) == pairs(rates)[1:3]
    with pytest.raises(ValueError, match="read-only"):
        inside.rate[0] = 1.0


def test_a_rate_that_differs_is_named_and_needs_replace(tmp_path: Path) -> None:
    store = FundingStore(tmp_path)
    store.write(some(0.0001, 0.0002))

    with pytest.raises(
        DataError, match=r"funding rate of .* at 2024-01-01 08:00 differs .*: rate is 0\.0003, stored 0\.0002"
    ):
        store.write(some(0.0001, 0.0003))

    assert store.write(some(0.0001, 0.0003), replace=True) == 0
    assert store.read(PERP).rate.tolist() == [0.0001, 0.0003]


def test_bars_and_funding_of_one_perpetual_lie_side_by_side(tmp_path: Path) -> None:
    catalog = Catalog(BarStore(tmp_path))
    catalog.store.write(a_series(instrument=PERP))
    FundingStore(tmp_path).write(some(0.0001, 0.0002))

    stored = [holding for holding in catalog.inventory() if holding.origin == "stored"]

    assert [(h.instrument, h.timeframe, h.is_funding, h.rows) for h in stored] == [
        (PERP, "1h", False, 48),
        (PERP, "", True, 2),
    ]
    assert catalog.read(PERP, "1h").close.tolist() == a_series().close.tolist()
    assert pairs(catalog.funding(PERP)) == pairs(some(0.0001, 0.0002))


def test_no_funding_is_none_and_makes_no_folder(tmp_path: Path) -> None:
    catalog = Catalog(BarStore(tmp_path / "data"))

    assert catalog.funding(PERP) is None
    assert not (tmp_path / "data").exists()


def test_foreign_files_in_the_folder_are_passed_over(tmp_path: Path) -> None:
    for name in ("BINANCE/notes/funding/2024-01.parquet", "BINANCE/BTC-USDT-USDT/funding/copy.parquet"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"x")

    assert FundingStore(tmp_path).inventory() == []


def test_a_fingerprint_tells_funding_from_none_and_rate_from_rate() -> None:
    bars = a_series(instrument=PERP)

    prints = [
        fingerprint(bars),
        fingerprint(bars, some(0.1)),
        fingerprint(bars, some(0.2)),
        fingerprint(bars, some(0.1, start=NEW_YEAR + 1)),
    ]

    assert len(set(prints)) == 4
    assert fingerprint(some(0.1), bars) == fingerprint(bars, some(0.1))


# --- booked over bars, and missing


def test_a_rate_due_with_a_close_or_where_no_bar_is_open_keeps_its_moment() -> None:
    bars = a_series(12, leave_out=(6, 7, 8))
    rates = Funding(PERP, NEW_YEAR + np.array([0, 4, 7, 8, 9, 30]) * HOUR, np.arange(6, dtype=np.float64))

    assert pairs(rates.booked_over(bars)) == pairs(rates)


def test_a_rate_due_inside_a_bar_waits_for_its_close_and_adds_up_with_the_others_there() -> None:
    bars = a_series(3, timeframe="1d")
    rates = some(0.1, 0.2, 0.4, 0.8, 1.6)  # 00:00, 08:00, 16:00, and the next day's 00:00 and 08:00

    booked = pairs(rates.booked_over(bars))

    day = 24 * HOUR
    assert booked == [
        (NEW_YEAR, 0.1),
        (NEW_YEAR + day, pytest.approx(0.2 + 0.4 + 0.8)),
        (NEW_YEAR + 2 * day, 1.6),
    ]


def test_nothing_is_booked_over_nothing() -> None:
    assert len(some().booked_over(a_series(3))) == 0
    assert pairs(some(0.1).booked_over(a_series(0))) == pairs(some(0.1))


def test_what_is_missing_is_longer_than_any_venue_waits() -> None:
    rates = Funding(PERP, NEW_YEAR + np.array([0, 8, 9, 13, 29]) * HOUR, np.zeros(5))
    hours = [
        ((since - NEW_YEAR) // HOUR, (until - NEW_YEAR) // HOUR)
        for since, until in rates.holes(NEW_YEAR - 9 * HOUR, NEW_YEAR + 37 * HOUR)
    ]

    assert hours == [(-9, 0), (13, 29)]
    assert some().holes(NEW_YEAR, NEW_YEAR + 9 * HOUR) == [(NEW_YEAR, NEW_YEAR + 9 * HOUR)]


# --- files


def imported(tmp_path: Path, frame: pl.DataFrame, name: str = "rates.csv") -> FundingImport:
    path = tmp_path / name
    if name.endswith("csv"):
        frame.write_csv(path)
    elif name.endswith("parquet"):
        frame.write_parquet(path)
    else:
        frame.write_ipc(path)
    return import_funding(path, PERP, FundingStore(tmp_path / "store"))


def a_frame(*rates: float | None, every: int = 8 * HOUR) -> pl.DataFrame:
    ts = (NEW_YEAR + np.arange(len(rates)) * every) // 1_000_000
    return pl.DataFrame({"ts": ts, "funding_rate": rates})


@pytest.mark.parametrize("name", ["rates.csv", "rates.parquet", "rates.feather"])
def test_every_format_arrives_bit_for_bit(tmp_path: Path, name: str) -> None:
    result = imported(tmp_path, a_frame(0.0001, -0.00012345, 0.003), name)

    assert (result.rows, result.added, result.notices, result.report.grade) == (3, 3, (), Grade.OK)
    assert pairs(FundingStore(tmp_path / "store").read(PERP)) == pairs(some(0.0001, -0.00012345, 0.003))


def test_recorded_rates_arrive(tmp_path: Path) -> None:
    result = import_funding(RECORDED, PERP, FundingStore(tmp_path))

    assert (result.rows, result.added, result.notices) == (93, 93, ())
    assert result.report.grade is Grade.OK


@pytest.mark.parametrize(
    "renamed",
    [
        {"ts": "calc_time", "funding_rate": "last_funding_rate"},
        {"ts": "fundingTime", "funding_rate": "fundingRate"},
        {"ts": "fundingRateTimestamp", "funding_rate": "fundingRate"},
        {"ts": "timestamp", "funding_rate": "rate"},
    ],
)
def test_the_names_that_venues_give_are_known(tmp_path: Path, renamed: dict[str, str]) -> None:
    assert imported(tmp_path, a_frame(0.0001, 0.0002).rename(renamed)).added == 2


def test_rates_that_freqtrade_keeps_as_opens_are_known(tmp_path: Path) -> None:
    frame = a_frame(0.0001, 0.0002).select(
        date=pl.from_epoch("ts", time_unit="ms").dt.replace_time_zone("UTC"), open="funding_rate",
        high=0.0, low=0.0, close=0.0, volume=0.0,
    )  # fmt: skip

    imported(tmp_path, frame, "BTC_USDT_USDT-8h-funding_rate.feather")

    assert pairs(FundingStore(tmp_path / "store").read(PERP)) == pairs(some(0.0001, 0.0002))


def test_one_symbol_of_a_panel_is_picked(tmp_path: Path) -> None:
    frame = pl.concat(
        [
            a_frame(rate).with_columns(symbol=pl.lit(name))
            for name, rate in (("BTCUSDT", 0.0001), ("ETHUSDT", 0.0002))
        ]
    ).with_columns(symbol=pl.col("symbol") + "PERP")

    imported(tmp_path, frame)

    assert FundingStore(tmp_path / "store").read(PERP).rate.tolist() == [0.0001]


def test_times_are_cut_to_the_minute_that_was_meant(tmp_path: Path) -> None:
    frame = a_frame(0.0001, 0.0002, 0.0003).with_columns(pl.col("ts") + pl.Series([5, 0, 59_999]))

    imported(tmp_path, frame)

    assert pairs(FundingStore(tmp_path / "store").read(PERP)) == pairs(some(0.0001, 0.0002, 0.0003))


def test_rows_out_of_order_and_exact_duplicates_are_mended_and_said(tmp_path: Path) -> None:
    frame = a_frame(0.0001, 0.0002, 0.0003)[[2, 0, 1, 1]]

    result = imported(tmp_path, frame)

    assert (result.rows, result.added, len(result.notices)) == (3, 3, 2)
    assert FundingStore(tmp_path / "store").read(PERP).rate.tolist() == [0.0001, 0.0002, 0.0003]


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (a_frame(0.0001, 0.0501), r"rate at 2024-01-01 08:00 is 0\.0501; no venue charges more than 5%"),
        (a_frame(0.0001, -0.0501), r"is -0\.0501;"),
        (
            a_frame(0.00001, 0.00002).rename({"funding_rate": "open"}).with_columns(high=0.00003),
            "holds bars, not funding",
        ),
        (a_frame(42_000.0, 43_000.0), r"is 42000 \(2 such rates\)"),
        (a_frame(0.0001, float("nan")), "is nan"),
        (a_frame(float("-inf"), 0.1), "is -inf"),
        (a_frame(0.0001, None), "row 2 has nothing where funding_rate should be a number"),
        (a_frame(0.0001, 0.0002, every=0), "two different rates at 2024-01-01 00:00"),
        (a_frame(0.0001).drop("funding_rate"), "has no column funding_rate"),
        (a_frame(0.0001).drop("ts"), "has no column ts"),
        (a_frame(), "holds no rows"),
    ],
)
def test_what_cannot_be_a_funding_rate_is_refused_and_nothing_stored(
    tmp_path: Path, frame: pl.DataFrame, sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence) as error:
        imported(tmp_path, frame)

    assert error.value.remedy
    assert FundingStore(tmp_path / "store").inventory() == []


def test_a_spot_pair_is_refused_before_the_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a spot pair, which has no funding"):
        import_funding(tmp_path / "nothing.csv", "BTC/USDT@BINANCE", FundingStore(tmp_path))


def test_holes_and_rates_that_look_like_percent_are_told() -> None:
    holes = Funding(PERP, NEW_YEAR + np.array([0, 8, 32]) * HOUR, np.full(3, 0.0001))

    report, odd = inspect_funding(holes), inspect_funding(some(0.01, 0.01, -0.01))

    assert report.grade is odd.grade is Grade.WARNING
    assert report.reasons == (
        "1 stretch of more than 8 hours without a rate, the longest from 2024-01-01 08:00 to 2024-01-02 08:00.",
    )
    assert "in percent?" in odd.reasons[0]
    assert odd.largest == 0.01
