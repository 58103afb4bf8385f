"""Trades, quotes and funding replayed from files and arrays."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import ArrayLike

from abidance.market.feed import FundingReplay, QuoteReplay, TradeReplay
from abidance.market.feed import ticks as replay_module
from abidance.model.errors import DataError
from abidance.model.market import FundingRate, Quote, Trade
from tests.unit.market.series import BTC, NEW_YEAR, a_series

PERPETUAL = "BTC/USDT:USDT@BINANCE"
START_MS = NEW_YEAR // 1_000_000
HOUR = 3_600_000_000_000


def some_trades(count: int = 10) -> pl.DataFrame:
    row = np.arange(count)
    return pl.DataFrame(
        {
            "ts_ms": START_MS + row // 2,
            "price": 100.0 + row,
            "size": 1.0 + row,
            "side": np.where(row % 3, "buy", "sell"),
            "id": [f"t{i}" for i in row],
        }
    )


def some_quotes(count: int = 10) -> pl.DataFrame:
    row = np.arange(count)
    return pl.DataFrame(
        {"ts_ms": START_MS + row, "bid": 99.0 + row, "bid_size": 1.0, "ask": 100.0 + row, "ask_size": 2.0}
    )


def stored(tmp_path: Path, frame: pl.DataFrame, name: str = "ticks.parquet") -> Path:
    frame.write_parquet(tmp_path / name)
    return tmp_path / name


def test_trades_come_with_the_takers_side_and_time_in_ns(tmp_path: Path) -> None:
    trades = list(TradeReplay(BTC, stored(tmp_path, some_trades(4))).events())

    assert trades == [
        Trade(NEW_YEAR, BTC, 100.0, 1.0, False, "t0"),
        Trade(NEW_YEAR, BTC, 101.0, 2.0, True, "t1"),
        Trade(NEW_YEAR + 1_000_000, BTC, 102.0, 3.0, True, "t2"),
        Trade(NEW_YEAR + 1_000_000, BTC, 103.0, 4.0, False, "t3"),
    ]


@pytest.mark.parametrize("chunk", [1, 3, 10, 1000])
def test_chunks_and_row_groups_do_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    path = tmp_path / "trades.parquet"
    some_trades(100).write_parquet(path, row_group_size=7)
    whole = list(TradeReplay(BTC, path).events())
    monkeypatch.setattr(replay_module, "_CHUNK", chunk)

    replay = TradeReplay(BTC, path)

    assert list(replay.events()) == whole
    assert list(replay.events(after=whole[50].ts)) == [t for t in whole if t.ts > whole[50].ts]
    assert len(whole) == 100


def test_arrays_and_files_give_the_same(tmp_path: Path) -> None:
    frame = some_trades(50)
    arrays = {name: frame[name].to_numpy() for name in frame.columns}

    assert list(TradeReplay(BTC, arrays).events()) == list(TradeReplay(BTC, stored(tmp_path, frame)).events())


def test_several_files_are_one_feed(tmp_path: Path) -> None:
    frame = some_trades(60)
    paths = [stored(tmp_path, frame.slice(i * 20, 20), f"{i}.parquet") for i in range(3)]

    assert list(TradeReplay(BTC, paths).events()) == list(TradeReplay(BTC, stored(tmp_path, frame)).events())


def test_files_in_the_wrong_order_are_refused(tmp_path: Path) -> None:
    frame = some_trades(60)
    paths = [stored(tmp_path, frame.slice(i * 20, 20), f"{i}.parquet") for i in range(3)]

    with pytest.raises(DataError, match=r"Row 1 of 1\.parquet goes backwards in time"):
        list(TradeReplay(BTC, paths[::-1]).events())


def test_trades_without_ids_and_with_sides_in_capitals_are_fine(tmp_path: Path) -> None:
    frame = some_trades(3).drop("id").with_columns(pl.col("side").str.to_uppercase())

    trades = list(TradeReplay(BTC, stored(tmp_path, frame)).events())

    assert [(t.buyer_is_taker, t.id) for t in trades] == [(False, ""), (True, ""), (True, "")]


def test_quotes_come_as_they_stand(tmp_path: Path) -> None:
    quotes = list(QuoteReplay(BTC, stored(tmp_path, some_quotes(2))).events())

    assert quotes == [
        Quote(NEW_YEAR, BTC, 99.0, 1.0, 100.0, 2.0),
        Quote(NEW_YEAR + 1_000_000, BTC, 100.0, 1.0, 101.0, 2.0),
    ]


def test_quotes_without_a_time_of_the_venue_take_the_time_of_receipt(tmp_path: Path) -> None:
    frame = some_quotes(3).with_columns(
        ts_ms=pl.lit(None, dtype=pl.Int64), local_ns=NEW_YEAR + 7 + pl.int_range(3, dtype=pl.Int64)
    )

    quotes = list(QuoteReplay(BTC, stored(tmp_path, frame)).events())

    assert [q.ts for q in quotes] == [NEW_YEAR + 7, NEW_YEAR + 8, NEW_YEAR + 9]


def test_funding_takes_the_mark_that_had_closed_by_then() -> None:
    marks = a_series(20, instrument=PERPETUAL)
    source: dict[str, ArrayLike] = {
        "ts": START_MS + np.array([8, 16]) * 3_600_000,
        "funding_rate": [0.0001, -0.0002],
    }

    rates = list(FundingReplay(PERPETUAL, source, marks).events())

    assert rates == [
        FundingRate(NEW_YEAR + 8 * HOUR, PERPETUAL, 0.0001, marks.close[7]),
        FundingRate(NEW_YEAR + 16 * HOUR, PERPETUAL, -0.0002, marks.close[15]),
    ]


def test_funding_before_the_first_mark_is_left_out() -> None:
    marks = a_series(20, instrument=PERPETUAL)
    source: dict[str, ArrayLike] = {
        "ts": START_MS + np.array([-8, 0, 1, 8]) * 3_600_000,
        "funding_rate": [0.1, 0.2, 0.3, 0.4],
    }

    rates = list(FundingReplay(PERPETUAL, source, marks).events())

    assert [r.rate for r in rates] == [0.3, 0.4]
    assert list(FundingReplay(PERPETUAL, source, a_series(0)).events()) == []


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("price", None, r"Row 6 of ticks\.parquet has no number in price"),
        ("price", float("nan"), "Row 6 .* has no number in price"),
        ("size", float("inf"), "Row 6 .* has no number in size"),
        ("ts_ms", None, "Row 6 .* has no time"),
        ("ts_ms", START_MS, "Row 6 .* goes backwards in time, to 2024-01-01 00:00"),
        ("side", "both", "Row 6 .* has neither buy nor sell as its side"),
        ("side", None, "Row 6 .* has neither buy nor sell as its side"),
    ],
)
@pytest.mark.parametrize("chunk", [2, 5, 100])
def test_a_row_that_is_no_trade_stops_the_replay_at_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str, value: object, sentence: str, chunk: int
) -> None:
    frame = some_trades(10)
    values = frame[column].to_list()
    values[5] = value
    path = stored(tmp_path, frame.with_columns(pl.Series(column, values, dtype=frame[column].dtype)))
    monkeypatch.setattr(replay_module, "_CHUNK", chunk)

    with pytest.raises(DataError, match=sentence) as error:
        list(TradeReplay(BTC, path).events())

    assert error.value.remedy


def test_columns_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the column side is missing; there are ts_ms, bid"):
        list(
            TradeReplay(
                BTC, stored(tmp_path, some_quotes().rename({"ask": "price", "ask_size": "size"}))
            ).events()
        )
    with pytest.raises(DataError, match="the column ts_ms is missing"):
        list(QuoteReplay(BTC, stored(tmp_path, some_quotes().drop("ts_ms"))).events())


def test_files_that_are_not_there_or_no_parquet_are_named(tmp_path: Path) -> None:
    (tmp_path / "no.parquet").write_text("ts_ms,price\n")

    with pytest.raises(DataError, match="There is no file"):
        list(TradeReplay(BTC, tmp_path / "missing.parquet").events())
    with pytest.raises(DataError, match=r"no\.parquet is not a readable Parquet file"):
        list(TradeReplay(BTC, tmp_path / "no.parquet").events())


def test_signs_that_mean_something_to_a_shell_may_stand_in_a_files_name(tmp_path: Path) -> None:
    path = stored(tmp_path, some_trades(3), "[old] trades*.parquet")

    assert len(list(TradeReplay(BTC, path).events())) == 3


def test_an_empty_table_is_an_empty_feed(tmp_path: Path) -> None:
    assert list(TradeReplay(BTC, stored(tmp_path, some_trades(0))).events()) == []
