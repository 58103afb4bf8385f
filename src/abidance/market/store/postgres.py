"""The store in PostgreSQL, for production: one table per kind, in pieces by month.

Where the extension TimescaleDB is there, tables are hypertables with compression, and bars of a day are kept up to date
from bars of an hour by a continuous aggregate; where it is not, they are PostgreSQL's own partitions, one a month.
Times are `timestamptz`; what lies below a microsecond stands in `ns`.
"""

# ruff: noqa: S608  statements are put together from this package's own names; every value is a parameter

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from abidance.market.bars import IntArray
from abidance.market.store.spans import Spans
from abidance.market.store.sql import as_frame
from abidance.market.store.tables import (
    SCHEMA_VERSION,
    SERIES,
    TAPES,
    Place,
    Rows,
    Span,
    check,
    merged,
    tape_schema,
    unknown_rows,
)
from abidance.model.errors import DataError, UsageError

if TYPE_CHECKING:
    import polars as pl
    from psycopg import Connection, Cursor

SCHEMA = "abidance"
_TYPES = {
    "float": "double precision",
    "bool": "boolean",
    "text": "text",
    "whole": "bigint",
    "floats": "double precision[]",
}
_LOCK = 0x6162_6964
"""What writers of one store agree on: PostgreSQL's advisory lock of this number."""


class Database:
    """A store in a database that is there; its tables are made when something is written first."""

    def __init__(self, url: str) -> None:
        self.where = url
        self._url = url
        self._psycopg = driver("A store")
        # A recorder writes on a thread of its own, and transactions of one connection cannot be told apart.
        self._own = threading.local()
        self._links: list[Connection[Any]] = []

    # --- series

    def write(self, place: Place, rows: Rows, *, replace: bool = False) -> int:
        """Merge rows into a series, in one transaction."""
        check(place, rows)
        with self._writing(place.kind, rows.ts) as cursor:
            low, high = int(rows.ts[0]), int(rows.ts[-1]) + 1
            joined, added = merged(place, rows, self._series(cursor, place, low, high), replace=replace)
            cursor.execute(*_where(f"DELETE FROM {_table(place.kind)}", place, low, high))
            names = (*_whose(place.kind), "ts", *SERIES[place.kind].fields)
            stamps = _stamps(joined.ts)
            with cursor.copy(f"COPY {_table(place.kind)} ({', '.join(names)}) FROM STDIN") as copy:
                for stamp, *values in zip(
                    stamps, *(column.tolist() for column in joined.values), strict=True
                ):
                    copy.write_row((*_key(place), stamp, *values))
        return added

    def read(self, place: Place, start: int | None = None, end: int | None = None) -> Rows:
        """Return a series' rows between two moments."""
        with self._reading() as cursor:
            return self._series(cursor, place, start, end).between(None, None)

    def _series(self, cursor: "Cursor[Any]", place: Place, start: int | None, end: int | None) -> Rows:
        fields = SERIES[place.kind].fields
        found: list[tuple[Any, ...]] = []
        if self._exists(cursor, place.kind):
            select = f"SELECT {_NANOS}, {', '.join(fields)} FROM {_table(place.kind)}"
            cursor.execute(*_where(select, place, start, end, " ORDER BY ts"))
            found = cursor.fetchall()
        columns = list(zip(*found, strict=True)) or [()] * (len(fields) + 1)
        ts: IntArray = np.array(columns[0], dtype=np.int64)
        return Rows(ts, tuple(np.array(column, dtype=np.float64) for column in columns[1:]))

    # --- tapes

    def append(self, place: Place, frame: "pl.DataFrame") -> int:
        """Add rows to a tape, in one transaction; those that are there already are left out."""
        import polars as pl

        schema = tape_schema(place.kind)
        frame = frame.select(pl.col(name).cast(type) for name, type in schema.items())
        if not frame.height:
            return 0
        frame = frame.sort("ts", maintain_order=True)
        ts: IntArray = frame["ts"].to_numpy()
        with self._writing(place.kind, ts) as cursor:
            old = self._tape(cursor, place, int(ts[0]), int(ts[-1]) + 1)
            fresh = unknown_rows(place.kind, frame, old)
            names = [name for name in schema if name != "ts"]
            listed = ", ".join(("instrument", "ts", "ns", *names))
            with cursor.copy(f"COPY {_table(place.kind)} ({listed}) FROM STDIN") as copy:
                moments = fresh["ts"].to_numpy()
                values = fresh.select(names).iter_rows()
                for stamp, ns, row in zip(_stamps(moments), (moments % 1000).tolist(), values, strict=True):
                    copy.write_row((place.instrument, stamp, ns, *row))
        return fresh.height

    def tape(self, place: Place, start: int | None = None, end: int | None = None) -> "pl.DataFrame":
        """Return a tape's rows between two moments; what has the same time stays in the order of its appending."""
        with self._reading() as cursor:
            return self._tape(cursor, place, start, end)

    def _tape(
        self, cursor: "Cursor[Any]", place: Place, start: int | None, end: int | None
    ) -> "pl.DataFrame":
        import polars as pl

        schema = tape_schema(place.kind)
        if not self._exists(cursor, place.kind):
            return pl.DataFrame(schema=schema)
        names = [name for name in schema if name != "ts"]
        select = f"SELECT {_NANOS} + ns, {', '.join(map(_named, names))} FROM {_table(place.kind)}"
        cursor.execute(*_where(select, place, start, end, " ORDER BY ts, ns, row"))
        frame = pl.DataFrame(cursor.fetchall(), schema=schema, orient="row")
        # The database compares whole microseconds.
        after = pl.lit(value=True) if start is None else pl.col("ts") >= start
        return frame.filter(after & (pl.lit(value=True) if end is None else pl.col("ts") < end))

    def compact(self, place: Place) -> int:
        """Let the database tidy up; it keeps no pieces of its own."""
        with self._connected() as link:
            link.autocommit = True
            try:
                if self._exists(link.cursor(), place.kind):
                    link.execute(f"ANALYZE {_table(place.kind)}")
            finally:
                link.autocommit = False
        return 0

    # --- what there is

    def holds(self, place: Place) -> bool:
        """Say whether there is a row."""
        with self._reading() as cursor:
            if not self._exists(cursor, place.kind):
                return False
            cursor.execute(*_where(f"SELECT 1 FROM {_table(place.kind)}", place, None, None, " LIMIT 1"))
            return cursor.fetchone() is not None

    def span(self, place: Place) -> Span:
        """Return how much there is."""
        extra = " + ns" if place.kind in TAPES else ""
        select = f"SELECT count(*), min({_NANOS}{extra}), max({_NANOS}{extra}) FROM {_table(place.kind)}"
        with self._reading() as cursor:
            found = None
            if self._exists(cursor, place.kind):
                found = cursor.execute(*_where(select, place, None, None)).fetchone()
        if found is None or not found[0]:
            raise DataError(f"There is nothing of {place.name}.", "Download or import it first.")
        return Span(*map(int, found))

    def places(self, kind: str) -> Iterator[Place]:
        """Yield everything of a kind, in order."""
        names = "instrument, timeframe" if kind == "bars" else "instrument"
        with self._reading() as cursor:
            if not self._exists(cursor, kind):
                return
            cursor.execute(f"SELECT DISTINCT {names} FROM {_table(kind)}")
            found = [Place(instrument, kind, *timeframe) for instrument, *timeframe in cursor.fetchall()]
        yield from sorted(found, key=lambda place: (place.instrument.partition("@")[2], *place))

    def spans(self, place: Place) -> Spans:
        """Return what is known of the times of a place."""
        with self._reading() as cursor:
            return self._spans(cursor, place)

    def note(self, place: Place, spans: Spans) -> None:
        """Join `spans` with what is known."""
        with self._writing(place.kind, np.empty(0, np.int64)) as cursor:
            known = msgspec.json.encode(self._spans(cursor, place).joined(spans)).decode()
            cursor.execute(
                f"INSERT INTO {SCHEMA}.spans VALUES (%s, %s, %s, %s) ON CONFLICT (instrument, kind, timeframe)"
                " DO UPDATE SET known = excluded.known",
                (*place, known),
            )

    def _spans(self, cursor: "Cursor[Any]", place: Place) -> Spans:
        if not self._exists(cursor, "spans"):
            return Spans()
        cursor.execute(
            f"SELECT known FROM {SCHEMA}.spans WHERE instrument = %s AND kind = %s AND timeframe = %s", place
        )
        found = cursor.fetchone()
        return msgspec.json.decode(found[0], type=Spans) if found else Spans()

    def sql(self, query: str, rows: int | None = None) -> "pl.DataFrame":
        """Answer a query in a transaction that may only read."""
        try:
            with self._reading() as cursor:
                cursor.execute(f"SET LOCAL search_path = {SCHEMA}, public")
                # Prepared, so that it is one statement: a second one could follow a COMMIT and write.
                cursor.execute(query.rstrip().rstrip(";").encode(), prepare=True)
                if cursor.description is None:
                    raise UsageError("The query says nothing.", "Begin with select or with.")
                names = [column.name for column in cursor.description]
                found = cursor.fetchall() if rows is None else cursor.fetchmany(rows)
        except self._psycopg.Error as error:
            raise UsageError(
                f"The query cannot be answered: {told_by(error, self._url)}.",
                f"The tables are {', '.join((*SERIES, *TAPES))}.",
            ) from error
        return as_frame(names, found)

    # --- the connection

    def close(self) -> None:
        """End all connections; the next use opens another."""
        while self._links:
            self._links.pop().close()

    @contextmanager
    def _connected(self) -> "Iterator[Connection[Any]]":
        try:
            link: Connection[Any] | None = getattr(self._own, "link", None)
            if link is None or link.closed:
                link = self._own.link = connected(self._url)
                self._links.append(link)
            yield link
        except self._psycopg.OperationalError as error:
            raise DataError(
                f"The database {masked(self._url)} cannot be used: {told_by(error, self._url)}.",
                "Check that it runs, that it is there, and the user's name and password.",
            ) from None

    @contextmanager
    def _reading(self) -> "Iterator[Cursor[Any]]":
        with self._connected() as link, link.transaction(), link.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
            yield cursor

    @contextmanager
    def _writing(self, kind: str, ts: IntArray) -> "Iterator[Cursor[Any]]":
        """Write in one transaction, alone, with room for the months of `ts`."""
        try:
            with self._connected() as link, link.transaction(), link.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                self._prepare(cursor, kind)
                if self._is_partitioned(cursor, kind):
                    for month in np.unique(ts.astype("datetime64[ns]").astype("datetime64[M]")):
                        cursor.execute(_partition(kind, month))
                yield cursor
        except self._psycopg.Error as error:
            raise DataError(
                f"The database {masked(self._url)} refused what was to be stored: {told_by(error, self._url)}.",
                "Nothing of it was stored; what was stored before is whole.",
            ) from error

    def _prepare(self, cursor: "Cursor[Any]", kind: str) -> None:
        """Make what is not there yet. Raises DataError for a store of another version."""
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        cursor.execute(f"CREATE TABLE IF NOT EXISTS {SCHEMA}.about (version int NOT NULL)")
        found = cursor.execute(f"SELECT version FROM {SCHEMA}.about").fetchone()
        if found is None:
            cursor.execute(f"INSERT INTO {SCHEMA}.about VALUES (%s)", (SCHEMA_VERSION,))
        elif found[0] != SCHEMA_VERSION:
            raise DataError(
                f"The store in {masked(self._url)} has the schema {found[0]}, this program knows {SCHEMA_VERSION}.",
                "Use the version that wrote it, or another database.",
            )
        cursor.execute(
            f"CREATE TABLE IF NOT EXISTS {SCHEMA}.spans (instrument text, kind text, timeframe text, known text NOT NULL,"
            " PRIMARY KEY (instrument, kind, timeframe))"
        )
        if not self._exists(cursor, kind):
            cursor.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'")
            for statement in _creation(kind, timescale=cursor.fetchone() is not None):
                cursor.execute(statement)

    def _is_partitioned(self, cursor: "Cursor[Any]", kind: str) -> bool:
        """Say whether a table has partitions of PostgreSQL's own: one made before the extension came keeps them."""
        found = cursor.execute(
            "SELECT relkind FROM pg_class WHERE oid = %s::regclass", (_table(kind),)
        ).fetchone()
        return found is not None and found[0] in {"p", b"p"}

    def _exists(self, cursor: "Cursor[Any]", table: str) -> bool:
        found = cursor.execute("SELECT to_regclass(%s)", (f"{SCHEMA}.{table}",)).fetchone()
        return found is not None and found[0] is not None


_NANOS = "(extract(epoch FROM ts) * 1000000)::bigint * 1000"


def _creation(kind: str, *, timescale: bool) -> Iterator[str]:
    """Yield the statements that make the table of a kind, and what goes with it."""
    whose = _whose(kind)
    if kind in SERIES:
        columns = [f"{name} double precision NOT NULL" for name in SERIES[kind].fields]
        columns.append(f"PRIMARY KEY ({', '.join(whose)}, ts)")
    else:
        yield f"CREATE SEQUENCE IF NOT EXISTS {SCHEMA}.appended"
        columns = ["ns smallint NOT NULL", f"row bigint NOT NULL DEFAULT nextval('{SCHEMA}.appended')"]
        columns += [f"{_named(name)} {_TYPES[type]} NOT NULL" for name, type in TAPES[kind].columns.items()]
    listed = ", ".join((*(f"{name} text NOT NULL" for name in whose), "ts timestamptz NOT NULL", *columns))
    yield f"CREATE TABLE {_table(kind)} ({listed}){'' if timescale else ' PARTITION BY RANGE (ts)'}"
    if kind in TAPES:
        yield f"CREATE INDEX ON {_table(kind)} (instrument, ts)"
    if timescale:
        yield f"SELECT create_hypertable('{_table(kind)}', 'ts', chunk_time_interval => INTERVAL '1 month')"
        yield (
            f"ALTER TABLE {_table(kind)} SET (timescaledb.compress,"
            f" timescaledb.compress_segmentby = '{', '.join(whose)}', timescaledb.compress_orderby = 'ts')"
        )
        yield f"SELECT add_compression_policy('{_table(kind)}', INTERVAL '2 months')"
    if kind == "bars":
        yield from _daily(timescale=timescale)


def _daily(*, timescale: bool) -> Iterator[str]:
    """Yield what makes `daily`, the days of what is stored by the hour."""
    first, last = (
        ("first(open, ts)", "last(close, ts)")
        if timescale
        else ("(array_agg(open ORDER BY ts))[1]", "(array_agg(close ORDER BY ts DESC))[1]")
    )
    day = "time_bucket(INTERVAL '1 day', ts)" if timescale else "date_trunc('day', ts, 'UTC')"
    kept = "MATERIALIZED VIEW" if timescale else "VIEW"
    # What is not worked out yet is worked out when it is asked for.
    how = " WITH (timescaledb.continuous, timescaledb.materialized_only = false)" if timescale else ""
    yield (
        f"CREATE {kept} {SCHEMA}.daily{how} AS SELECT instrument, {day} AS day, {first} AS open, max(high) AS high,"
        f" min(low) AS low, {last} AS close, sum(volume) AS volume FROM {_table('bars')} WHERE timeframe = '1h'"
        f" GROUP BY instrument, {day}{' WITH NO DATA' if timescale else ''}"
    )
    if timescale:
        # From the beginning: history is often stored long after its time. Only what has changed is worked out anew.
        yield (
            f"SELECT add_continuous_aggregate_policy('{SCHEMA}.daily', start_offset => NULL,"
            " end_offset => INTERVAL '1 hour', schedule_interval => INTERVAL '1 hour')"
        )


def _partition(kind: str, month: np.datetime64) -> str:
    start, end = (str(each) for each in (month, month + 1))
    name = f"{_table(kind)}_{start.replace('-', '_')}"
    return (
        f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF {_table(kind)}"
        f" FOR VALUES FROM ('{start}-01 00:00:00+00') TO ('{end}-01 00:00:00+00')"
    )


def _where(
    statement: str, place: Place, start: int | None, end: int | None, rest: str = ""
) -> tuple[str, tuple[object, ...]]:
    """Return a statement about the rows of a place between two moments, with its parameters."""
    conditions, values = ["instrument = %s"], [*_key(place)]
    if place.kind == "bars":
        conditions.append("timeframe = %s")
    if start is not None:
        conditions.append("ts >= %s")
        values.append(_stamp(start))
    if end is not None:  # the first whole microsecond that is not before the end
        conditions.append("ts < %s")
        values.append(_stamp(-(-end // 1000) * 1000))
    return f"{statement} WHERE {' AND '.join(conditions)}{rest}", tuple(values)


def _whose(kind: str) -> tuple[str, ...]:
    return ("instrument", "timeframe") if kind == "bars" else ("instrument",)


def _key(place: Place) -> tuple[str, ...]:
    return (place.instrument, place.timeframe) if place.kind == "bars" else (place.instrument,)


def _table(kind: str) -> str:
    return f"{SCHEMA}.{kind}"


def _named(column: str) -> str:
    return f'"{column}"'


def _stamps(ts: IntArray) -> list[str]:
    return [
        f"{each}+00" for each in np.datetime_as_string(ts.astype("datetime64[ns]").astype("datetime64[us]"))
    ]


def _stamp(ts: int) -> str:
    return _stamps(np.array([ts], dtype=np.int64))[0]


def told_by(error: BaseException, url: str) -> str:
    """Return the first line of what a database says, without the password of its URL."""
    found = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
    return found.replace(url, masked(url))


def driver(what: str) -> Any:
    """Return the driver. Raises UsageError, saying what needs it, where it is not installed."""
    try:
        import psycopg
    except ImportError as error:
        raise UsageError(
            f"{what} in PostgreSQL needs the extra `postgres`.",
            "Install it: pip install 'abidance[postgres]'",
        ) from error
    return psycopg


def connected(url: str, patience: float = 10.0, **given: Any) -> "Connection[Any]":
    """Return a connection that came about within so many seconds. Raises what the driver raises."""
    import psycopg

    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    return psycopg.connect(plain, connect_timeout=round(patience), **given)


def masked(url: str) -> str:
    """Return a URL without its password."""
    return re.sub(r"^(\w+://[^:/@]*):.*@", r"\1:***@", url)
