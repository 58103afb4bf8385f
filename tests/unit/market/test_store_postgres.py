from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import numpy as np
import pytest

from abidance.market.store import BarStore, Place, Tables, open_tables
from abidance.model.errors import DataError, UsageError
from abidance.testing.store_spec import START, TRADES, StoreSpec, some_bars, some_trades
from tests.postgres import driver, server

psycopg = driver()
_numbers = count(1)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with server() as url:
        yield url


@pytest.fixture
def store(url: str) -> Iterator[Tables]:
    name = f"store_{next(_numbers)}"
    with psycopg.connect(url, autocommit=True) as link:
        link.execute(f"CREATE DATABASE {name}")
    database = open_tables(url.rpartition("/")[0] + f"/{name}")
    yield database
    database.close()


def test_every_month_has_a_partition_of_its_own(store: Tables) -> None:
    BarStore(store).write(some_bars(24 * 40))

    with psycopg.connect(store.where) as link:
        found = link.execute("SELECT inhrelid::regclass::text FROM pg_inherits ORDER BY 1").fetchall()
    parents = [name for (name,) in found if name.count("_") == 2 and "pkey" not in name]
    assert parents == ["abidance.bars_2024_01", "abidance.bars_2024_02"]


def test_days_are_there_for_queries_on_hours(store: Tables) -> None:
    bars = some_bars(48)
    BarStore(store).write(bars)

    found = store.sql("select open, high, close, volume from daily order by day")

    assert found["open"].to_list() == [bars.open[0], bars.open[24]]
    assert found["close"].to_list() == [bars.close[23], bars.close[47]]
    assert found["high"][1] == bars.high[24:].max()
    assert found["volume"][0] == pytest.approx(bars.volume[:24].sum())


def test_the_password_is_never_told(store: Tables) -> None:
    nowhere = open_tables("postgresql://me:very-secret@127.0.0.1:1/postgres")

    with pytest.raises(DataError) as error:
        nowhere.holds(TRADES)

    assert "very-secret" not in str(error.value)
    assert "me:***@127.0.0.1" in str(error.value)


def test_a_store_of_another_version_is_refused(store: Tables) -> None:
    store.append(TRADES, some_trades((1, 1.0, "a")))
    with psycopg.connect(store.where, autocommit=True) as link:
        link.execute("UPDATE abidance.about SET version = 99")

    with pytest.raises(DataError, match="has the schema 99"):
        store.append(TRADES, some_trades((2, 1.0, "b")))


def test_a_write_that_fails_midway_leaves_nothing(store: Tables) -> None:
    shelf = BarStore(store)
    shelf.write(some_bars(3))
    bars = some_bars(6)
    volume = bars.volume.copy()
    volume[5] = np.nan
    with psycopg.connect(store.where, autocommit=True) as link:
        link.execute("ALTER TABLE abidance.bars ADD CHECK (volume <> 'NaN')")

    with pytest.raises(DataError):
        shelf.write(type(bars)(bars.instrument, "1h", bars.ts, (*bars.columns()[:4], volume)))

    assert len(shelf.read(bars.instrument, "1h")) == 3


def test_two_threads_may_write_at_the_same_time(store: Tables) -> None:
    def append(part: int) -> int:
        frames = [some_trades((number * 2 + part, 1.0, f"{part} {number}")) for number in range(20)]
        return sum(store.append(TRADES, frame) for frame in frames)

    with ThreadPoolExecutor(2) as threads:
        added = list(threads.map(append, range(2)))

    assert added == [20, 20]
    assert store.tape(TRADES).height == 40
    assert store.tape(TRADES)["ts"].is_sorted()


def test_other_urls_are_no_store() -> None:
    with pytest.raises(UsageError, match="mysql:// is no store"):
        open_tables("mysql://somewhere/else")


def test_a_range_is_cut_within_a_microsecond(store: Tables) -> None:
    store.append(TRADES, some_trades((1, 1.0, "a"), (2, 1.0, "b"), (3, 1.0, "c")))

    found = store.tape(Place(TRADES.instrument, "trades"), START + 2, START + 3)

    assert found["id"].to_list() == ["b"]


class TestPostgres(StoreSpec):
    pass
