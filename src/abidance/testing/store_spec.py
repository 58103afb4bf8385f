"""What every store of market data must do, as tests.

    class TestMine(StoreSpec): ...

beside a fixture `store` that gives an empty store (`abidance.market.store.Tables`). A store that passes can stand
wherever ours do.
"""

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest

from abidance.market.bars import Bars
from abidance.market.funding import Funding
from abidance.market.store import (
    BarStore,
    FundingStore,
    Hole,
    Place,
    Spans,
    Tables,
    TradeStore,
    holes,
    open_tables,
)
from abidance.market.store.tables import tape_schema
from abidance.model.errors import DataError, UsageError

BTC = "BTC/USDT@BINANCE"
PERPETUAL = "BTC/USDT:USDT@BYBIT"
HOUR = 3_600_000_000_000
START = 1_704_067_200_000_000_000  # 2024-01-01
TRADES = Place(BTC, "trades")


def some_bars(count: int, start: int = START, timeframe: str = "1h", instrument: str = BTC) -> Bars:
    """Return bars that differ from one another."""
    ts = start + np.arange(count, dtype=np.int64) * HOUR
    close = 100.0 + np.sin(ts / HOUR) * 7 + 1 / 3
    return Bars(instrument, timeframe, ts, (close - 0.1, close + 1, close - 1, close, np.abs(close - 100)))


def some_trades(*rows: tuple[int, float, str]) -> pl.DataFrame:
    """Return trades at so many ns after the start, at a price, with an id."""
    columns: list[dict[str, Any]] = [
        {"ts": START + ts, "price": price, "size": 0.5, "buyer_is_taker": True, "id": id, "received": 0}
        for ts, price, id in rows
    ]
    return pl.DataFrame(columns, schema=tape_schema("trades"))


def same(ours: Bars, theirs: Bars) -> bool:
    """Say whether two series hold the same to the last bit."""
    pairs = zip((ours.ts, *ours.columns()), (theirs.ts, *theirs.columns()), strict=True)
    return all(np.array_equal(mine, other) for mine, other in pairs)


class StoreSpec:
    """What is asked of a store; a test's name is its sentence."""

    def test_an_empty_store_has_nothing_and_says_so(self, store: Tables) -> None:
        assert len(BarStore(store).read(BTC, "1h")) == 0
        assert not store.holds(TRADES)
        assert store.tape(TRADES).height == 0
        assert list(store.places("bars")) == list(store.places("trades")) == []
        assert store.spans(TRADES) == Spans()
        with pytest.raises(DataError):
            store.span(TRADES)

    def test_bars_come_back_as_they_went_in(self, store: Tables) -> None:
        bars = some_bars(30)

        added = BarStore(store).write(bars)

        assert added == 30
        assert same(BarStore(store).read(BTC, "1h"), bars)
        assert same(BarStore(store).read(BTC, "1h", START + HOUR, START + 5 * HOUR), bars.slice(1, 5))
        assert store.span(Place(BTC, "bars", "1h")) == (30, START, START + 29 * HOUR)

    def test_months_are_joined_without_a_seam(self, store: Tables) -> None:
        bars = some_bars(24 * 70)

        BarStore(store).write(bars)

        assert same(BarStore(store).read(BTC, "1h"), bars)
        assert same(BarStore(store).read(BTC, "1h", START + 700 * HOUR), bars.slice(700, len(bars)))

    def test_overlapping_pieces_add_only_what_is_new(self, store: Tables) -> None:
        bars, shelf = some_bars(100), BarStore(store)

        added = [shelf.write(bars.slice(*cut)) for cut in ((40, 60), (50, 100), (0, 45), (0, 100))]

        assert added == [20, 40, 40, 0]
        assert same(shelf.read(BTC, "1h"), bars)

    def test_a_row_that_differs_is_refused_and_nothing_is_written(self, store: Tables) -> None:
        bars, shelf = some_bars(20), BarStore(store)
        shelf.write(bars.slice(0, 10))
        columns = [column.copy() for column in bars.columns()]
        columns[3][5] += 0.5

        with pytest.raises(DataError, match="close is"):
            shelf.write(Bars(BTC, "1h", bars.ts, columns))

        assert same(shelf.read(BTC, "1h"), bars.slice(0, 10))

    def test_replacing_lets_the_new_rows_win(self, store: Tables) -> None:
        bars, shelf = some_bars(20), BarStore(store)
        shelf.write(bars)
        columns = [column.copy() for column in bars.columns()]
        columns[3][5] += 0.5
        changed = Bars(BTC, "1h", bars.ts, columns)

        added = shelf.write(changed.slice(4, 7), replace=True)

        assert added == 0
        assert same(shelf.read(BTC, "1h"), changed)

    def test_times_that_go_back_are_refused(self, store: Tables) -> None:
        bars = some_bars(3)
        backwards = Bars(BTC, "1h", bars.ts[::-1].copy(), bars.columns())

        with pytest.raises(DataError, match="does not come after"):
            BarStore(store).write(backwards)

        assert not BarStore(store).holds(BTC, "1h")

    def test_series_of_one_instrument_do_not_mix(self, store: Tables) -> None:
        shelf, hours, days = BarStore(store), some_bars(5), some_bars(3, timeframe="1d")
        other = some_bars(4, instrument=PERPETUAL)

        for bars in (hours, days, other):
            shelf.write(bars)

        assert list(shelf.series()) == [(BTC, "1d"), (BTC, "1h"), (PERPETUAL, "1h")]
        assert same(shelf.read(BTC, "1h"), hours)
        assert same(shelf.read(BTC, "1d"), days)
        assert same(shelf.read(PERPETUAL, "1h"), other)

    def test_funding_rates_come_back_as_they_went_in(self, store: Tables) -> None:
        ts = START + np.arange(9, dtype=np.int64) * 8 * HOUR
        rates = Funding(PERPETUAL, ts, np.linspace(-0.001, 0.001, 9))

        FundingStore(store).write(rates)

        found = FundingStore(store).read(PERPETUAL, START + 8 * HOUR)
        assert found.ts.tolist() == ts[1:].tolist()
        assert found.rate.tolist() == rates.rate[1:].tolist()
        assert [each.rows for each in FundingStore(store).inventory()] == [9]

    def test_trades_come_back_to_the_nanosecond_in_their_order(self, store: Tables) -> None:
        trades = some_trades((7, 1.0, "a"), (3, 2.0, "b"), (7, 3.0, "c"), (1_001, 4.0, "d"))

        added = store.append(TRADES, trades)

        assert added == 4
        assert store.tape(TRADES)["id"].to_list() == ["b", "a", "c", "d"]
        assert store.tape(TRADES)["ts"].to_list() == [START + ts for ts in (3, 7, 7, 1_001)]
        assert store.tape(TRADES, START + 7, START + 1_001)["id"].to_list() == ["a", "c"]
        assert TradeStore(store).read(BTC, START + 4).price.tolist() == [1.0, 3.0, 4.0]
        assert store.span(TRADES) == (4, START + 3, START + 1_001)

    def test_trades_that_are_told_twice_are_kept_once(self, store: Tables) -> None:
        store.append(TRADES, some_trades((1, 1.0, "a"), (2, 1.0, "b"), (2, 1.0, "b")))

        added = store.append(TRADES, some_trades((2, 1.0, "b"), (2, 1.0, "c"), (HOUR * 800, 1.0, "d")))

        assert added == 2
        assert store.tape(TRADES)["id"].to_list() == ["a", "b", "c", "d"]

    def test_equal_trades_without_an_id_are_kept_as_often_as_they_were_told(self, store: Tables) -> None:
        store.append(TRADES, some_trades((1, 1.0, ""), (1, 1.0, ""), (2, 1.0, "")))

        added = store.append(TRADES, some_trades((1, 1.0, ""), (1, 1.0, ""), (1, 1.0, ""), (2, 1.0, "")))

        assert added == 1
        assert store.tape(TRADES).height == 4

    def test_books_come_back_with_all_their_levels(self, store: Tables) -> None:
        place = Place(BTC, "books")
        row = {
            "ts": START, "bid_prices": [9.0, 8.5], "bid_sizes": [1.0, 2.0], "ask_prices": [10.0], "ask_sizes": [0.25],
            "received": START + 5,
        }  # fmt: skip
        frame = pl.DataFrame([row], schema=tape_schema("books"))

        store.append(place, frame)
        again = store.append(place, frame)

        assert again == 0
        assert store.tape(place).to_dicts() == [row]

    def test_compaction_changes_nothing_that_is_read(self, store: Tables) -> None:
        for number in range(5):
            store.append(TRADES, some_trades((number, 1.0, f"{number}"), (HOUR * 750, 1.0, f"late {number}")))
        before = store.tape(TRADES)

        store.compact(TRADES)
        store.append(TRADES, some_trades((3, 1.0, "3"), (9, 1.0, "9")))

        assert store.tape(TRADES).filter(pl.col("id") != "9").equals(before)
        assert store.tape(TRADES).height == 11

    def test_spans_are_joined_and_found_again(self, store: Tables) -> None:
        store.append(TRADES, some_trades((1, 1.0, "a")))
        hole = Hole(START + 10, START + 20, "the venue was silent")

        store.note(TRADES, Spans(((START, START + 10),)))
        store.note(TRADES, Spans(((START + 5, START + 15), (START + 30, START + 40)), (hole,)))

        assert store.spans(TRADES).whole == ((START, START + 15), (START + 30, START + 40))
        assert store.spans(TRADES).missing(START, START + 50) == (
            (START + 15, START + 30),
            (START + 40, START + 50),
        )
        assert holes(store, BTC, START + 19, START + 30) == {"trades": (hole,)}
        assert holes(store, BTC, START + 20) == {}

    def test_queries_see_what_is_stored(self, store: Tables) -> None:
        BarStore(store).write(some_bars(30))
        store.append(TRADES, some_trades((1, 1.0, "a"), (2_000, 3.0, "b")))

        bars = store.sql(
            "select instrument, count(*) as n, min(ts) as first from bars where timeframe = '1h' group by 1"
        )
        prices = store.sql("select price from trades order by ts desc", 1)

        assert bars.rows()[0][:2] == (BTC, 30)
        assert bars.rows()[0][2].replace(tzinfo=None) == dt.datetime(2024, 1, 1)  # noqa: DTZ001
        assert prices.to_dicts() == [{"price": 3.0}]

    @pytest.mark.parametrize(
        "query",
        ["delete from bars", "create table t as select 1", "copy bars to '/tmp/bars.csv'", "drop view bars"],
    )
    def test_a_query_can_change_nothing(self, store: Tables, query: str) -> None:
        BarStore(store).write(some_bars(3))

        with pytest.raises(UsageError):
            store.sql(query)

        assert len(BarStore(store).read(BTC, "1h")) == 3

    @pytest.mark.parametrize("query", ["", "selekt 1", "select * from nothing", "select 1; select 2"])
    def test_a_query_that_is_wrong_is_refused_in_words(self, store: Tables, query: str) -> None:
        with pytest.raises(UsageError) as error:
            store.sql(query)

        assert error.value.remedy

    def test_the_store_is_found_again_by_its_name(self, store: Tables) -> None:
        bars = some_bars(3)
        BarStore(store).write(bars)

        again = open_tables(store.where)

        assert same(BarStore(again).read(BTC, "1h"), bars)
        again.close()
