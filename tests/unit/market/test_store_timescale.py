"""The store where TimescaleDB is installed, as far as that can be shown without it.

A real PostgreSQL runs every statement. What only the extension knows is stood in for: its functions by ones of the same
names and parameters that write down their calls, its two storage options by leaving them out.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest

from abidance.market.store import BarStore, Tables, open_tables
from abidance.market.store.postgres import Database
from abidance.testing.store_spec import TRADES, StoreSpec, some_bars, some_trades
from tests.postgres import driver, server

psycopg = driver()
_numbers = count(1)
STAND_INS = """
SET allow_system_table_mods = on;
INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
VALUES (99999, 'timescaledb', 10, 2200, false, '2.17.0');
CREATE TABLE public.calls (number serial, call text);
CREATE FUNCTION public.create_hypertable(relation regclass, time_column_name name, chunk_time_interval interval)
RETURNS void LANGUAGE sql AS
$$ INSERT INTO public.calls (call) VALUES (format('hypertable %s %s %s', $1, $2, $3)) $$;
CREATE FUNCTION public.add_compression_policy(hypertable regclass, compress_after interval)
RETURNS void LANGUAGE sql AS
$$ INSERT INTO public.calls (call) VALUES (format('compression %s %s', $1, $2)) $$;
CREATE FUNCTION public.add_continuous_aggregate_policy(
    continuous_aggregate regclass, start_offset interval, end_offset interval, schedule_interval interval
) RETURNS void LANGUAGE sql AS
$$ INSERT INTO public.calls (call) VALUES (format('aggregate %s from %s', $1, coalesce($2::text, 'the beginning'))) $$;
CREATE FUNCTION public.time_bucket(bucket_width interval, ts timestamptz) RETURNS timestamptz IMMUTABLE LANGUAGE sql AS
$$ SELECT date_bin($1, $2, '2000-01-03 00:00+00') $$;
CREATE FUNCTION public.earlier(state float8[], value float8, ts timestamptz) RETURNS float8[] LANGUAGE sql AS
$$ SELECT CASE WHEN $1 IS NULL OR extract(epoch FROM $3) < $1[2] THEN ARRAY[$2, extract(epoch FROM $3)] ELSE $1 END $$;
CREATE FUNCTION public.later(state float8[], value float8, ts timestamptz) RETURNS float8[] LANGUAGE sql AS
$$ SELECT CASE WHEN $1 IS NULL OR extract(epoch FROM $3) >= $1[2] THEN ARRAY[$2, extract(epoch FROM $3)] ELSE $1 END $$;
CREATE FUNCTION public.value_of(state float8[]) RETURNS float8 LANGUAGE sql AS $$ SELECT $1[1] $$;
CREATE AGGREGATE public.first(float8, timestamptz) (sfunc = earlier, stype = float8[], finalfunc = value_of);
CREATE AGGREGATE public.last(float8, timestamptz) (sfunc = later, stype = float8[], finalfunc = value_of);
"""
_OPTIONS = re.compile(r" WITH \(timescaledb\.[^)]*\)")


class WithoutOptions(psycopg.Cursor):  # type: ignore[misc, name-defined]
    """A cursor that writes down the options that only the extension knows, and runs the rest."""

    options: list[str]

    def execute(self, query: Any, *arguments: Any, **more: Any) -> Any:
        if isinstance(query, str) and "timescaledb." in query:
            self.options.append(query)
            query = "SELECT 1" if query.startswith("ALTER TABLE") else _OPTIONS.sub("", query)
        return super().execute(query, *arguments, **more)


class Stood(Database):
    """The store as it is, over cursors without the options."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.options: list[str] = []
        self._cursors = type("Cursors", (WithoutOptions,), {"options": self.options})

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        with super()._connected() as link:
            link.cursor_factory = self._cursors
            yield link


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with server() as url:
        yield url


@pytest.fixture
def fresh(url: str) -> str:
    name = f"store_{next(_numbers)}"
    with psycopg.connect(url, autocommit=True) as link:
        link.execute(f"CREATE DATABASE {name}")
    return url.rpartition("/")[0] + f"/{name}"


def install(url: str) -> None:
    """Put the stand-ins for the extension into a database."""
    with psycopg.connect(url) as link:
        link.execute(STAND_INS)


@pytest.fixture
def store(fresh: str) -> Iterator[Stood]:
    install(fresh)
    database = Stood(fresh)
    yield database
    database.close()


def calls(store: Tables) -> list[str]:
    with psycopg.connect(store.where) as link:
        return [call for (call,) in link.execute("SELECT call FROM public.calls ORDER BY number").fetchall()]


def partitions(url: str) -> list[str]:
    with psycopg.connect(url) as link:
        found = link.execute("SELECT inhrelid::regclass::text FROM pg_inherits ORDER BY 1").fetchall()
    return [name for (name,) in found if "pkey" not in name and "idx" not in name]


def test_bars_become_a_hypertable_with_compression_and_days(store: Stood) -> None:
    BarStore(store).write(some_bars(24 * 40))

    assert calls(store) == [
        "hypertable abidance.bars ts 1 mon",
        "compression abidance.bars 2 mons",
        "aggregate abidance.daily from the beginning",
    ]
    compression, days = store.options
    assert compression == (
        "ALTER TABLE abidance.bars SET (timescaledb.compress,"
        " timescaledb.compress_segmentby = 'instrument, timeframe', timescaledb.compress_orderby = 'ts')"
    )
    assert "WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS SELECT" in days
    assert days.endswith("WITH NO DATA")  # with data it could not stand in a transaction
    assert partitions(store.where) == []


def test_tapes_become_hypertables_too_each_once(store: Stood) -> None:
    store.append(TRADES, some_trades((1, 1.0, "a")))
    store.append(TRADES, some_trades((2, 1.0, "b")))

    assert calls(store) == ["hypertable abidance.trades ts 1 mon", "compression abidance.trades 2 mons"]
    assert "compress_segmentby = 'instrument'," in store.options[0]
    assert store.tape(TRADES)["id"].to_list() == ["a", "b"]


def test_the_days_are_those_of_the_plain_view(store: Stood) -> None:
    bars = some_bars(48)
    BarStore(store).write(bars)
    with psycopg.connect(store.where, autocommit=True) as link:
        link.execute("REFRESH MATERIALIZED VIEW abidance.daily")

    found = store.sql("select open, high, close, volume from daily order by day")

    assert found["open"].to_list() == [bars.open[0], bars.open[24]]
    assert found["close"].to_list() == [bars.close[23], bars.close[47]]
    assert found["high"][1] == bars.high[24:].max()
    assert found["volume"][0] == pytest.approx(bars.volume[:24].sum())


def test_without_the_extension_there_are_partitions_and_none_of_its_words(fresh: str) -> None:
    database = Stood(fresh)
    BarStore(database).write(some_bars(24 * 40))
    database.close()

    assert database.options == []
    assert partitions(fresh) == ["abidance.bars_2024_01", "abidance.bars_2024_02"]


def test_a_table_from_before_the_extension_keeps_its_partitions(fresh: str) -> None:
    bars = some_bars(24 * 40)
    database = open_tables(fresh)
    BarStore(database).write(bars.slice(0, 24))
    database.close()
    install(fresh)

    later = Stood(fresh)
    BarStore(later).write(bars)
    later.close()

    assert partitions(fresh) == ["abidance.bars_2024_01", "abidance.bars_2024_02"]
    assert later.options == []


class TestTimescale(StoreSpec):
    pass
