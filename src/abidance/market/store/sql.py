"""Questions in SQL about a store on disk, answered by DuckDB in memory. Nothing can be written or reached from there.

Views: one per kind (`bars`, `funding`, `trades`, `quotes`, `books`, `marks`, and `holes`), and one per venue and kind
(`binance_bars`). Each begins with `venue`, `instrument` and, for bars, `timeframe`; `ts` is a timestamp in UTC.
"""

# ruff: noqa: S608  statements are put together from this package's own names; texts are quoted

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from abidance.market.store.spans import Spans
from abidance.market.store.tables import SERIES, TAPES, Place, tape_schema
from abidance.model.errors import DataError, UsageError

if TYPE_CHECKING:
    import duckdb
    import polars as pl


class Shelved(Protocol):
    """The store on disk as queries see it."""

    folder: Path

    def places(self, kind: str) -> Iterator[Place]:
        """Yield everything of a kind."""
        ...

    def files(self, place: Place) -> list[Path]:
        """Return the files that hold the rows of a place."""
        ...

    def spans(self, place: Place) -> Spans:
        """Return what is known of the times of a place."""
        ...


_TYPES = {"float": "DOUBLE", "bool": "BOOLEAN", "text": "VARCHAR", "whole": "BIGINT", "floats": "DOUBLE[]"}


def ask(folder: Shelved, query: str, rows: int | None = None) -> "pl.DataFrame":
    """Return what a query says, at most `rows` rows. Raises UsageError for one that is wrong or would change things."""
    import duckdb

    database = duckdb.connect(":memory:", config={"threads": 2})
    try:
        only_reading(database, query)
        for name, select in views(folder):
            database.execute(f'CREATE VIEW "{name}" AS {select}')
        where = folder.folder.resolve()
        if where.is_dir():
            database.execute("SET allowed_directories = [" + _quoted(str(where)) + "]")
        database.execute("SET enable_external_access = false")
        database.execute("SET lock_configuration = true")
        answer = database.execute(query)
        names = [column[0] for column in answer.description or ()]
        found = answer.fetchall() if rows is None else answer.fetchmany(rows)
    except duckdb.IOException as error:
        raise DataError(_first_line(error), "Check the store with: abidance check-data") from error
    except duckdb.Error as error:
        raise UsageError(
            f"The query cannot be answered: {_first_line(error)}",
            "See what there is with: abidance data sql 'show tables'",
        ) from error
    finally:
        database.close()
    return as_frame(names, found)


def as_frame(names: list[str], rows: list[tuple[object, ...]]) -> "pl.DataFrame":
    """Return the rows of an answer as columns; names that stand twice are numbered."""
    import polars as pl

    seen: Counter[str] = Counter()
    columns: dict[str, list[object]] = {}
    for at, name in enumerate(names):
        seen[name] += 1
        key = name if seen[name] == 1 else f"{name}_{seen[name]}"
        columns[key] = [row[at] for row in rows]
    return pl.DataFrame(columns, strict=False)


def only_reading(database: "duckdb.DuckDBPyConnection", query: str) -> None:
    """Raise UsageError unless a query is one statement that reads."""
    import duckdb

    allowed = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}
    statements = database.extract_statements(query)
    if len(statements) != 1:
        raise UsageError(
            f"The query has {len(statements)} statements.", "Ask one question at a time, such as: select 1"
        )
    if statements[0].type not in allowed:
        raise UsageError(
            f"{statements[0].type.name} is not a question: the store is read-only here.",
            "Begin with select, with, show or describe.",
        )


def views(folder: Shelved) -> Iterator[tuple[str, str]]:
    """Yield the name of each view and what it selects."""
    for kind in (*SERIES, *TAPES):
        parts: dict[str, list[str]] = {}
        for place in folder.places(kind):
            venue = place.instrument.partition("@")[2]
            parts.setdefault(venue, []).append(
                _select(place, [str(file.resolve()) for file in folder.files(place)])
            )
        every = [part for own in parts.values() for part in own]
        yield kind, " UNION ALL ".join(every) or _nothing(kind)
        for venue, own in parts.items():
            yield f"{venue.lower()}_{kind}", " UNION ALL ".join(own)
    yield "holes", " UNION ALL ".join(_holes(folder)) or _NO_HOLES


def _select(place: Place, files: list[str]) -> str:
    names = ", ".join(f'"{name}"' for name in _columns(place.kind))
    scale = "make_timestamp_ns(ts)" if place.kind in TAPES else "make_timestamp_ms(ts)"
    listed = ", ".join(map(_quoted, files))
    return f"SELECT {_whose(place)}, {scale} AS ts, {names} FROM read_parquet([{listed}])"


def _nothing(kind: str) -> str:
    types = TAPES[kind].columns if kind in TAPES else dict.fromkeys(SERIES[kind].fields, "float")
    names = ", ".join(f'NULL::{_TYPES[type]} AS "{name}"' for name, type in types.items())
    stamp = "TIMESTAMP_NS" if kind in TAPES else "TIMESTAMP"
    timeframe = ", '' AS timeframe" if kind == "bars" else ""
    return f"SELECT '' AS venue, '' AS instrument{timeframe}, NULL::{stamp} AS ts, {names} WHERE false"


_NO_HOLES = (
    "SELECT '' AS venue, '' AS instrument, '' AS kind, '' AS timeframe, NULL::TIMESTAMP_NS AS start,"
    " NULL::TIMESTAMP_NS AS \"end\", '' AS reason WHERE false"
)


def _holes(folder: Shelved) -> Iterator[str]:
    for kind in (*SERIES, *TAPES):
        for place in folder.places(kind):
            for hole in folder.spans(place).holes:
                venue = _quoted(place.instrument.partition("@")[2])
                yield (
                    f"SELECT {venue} AS venue, {_quoted(place.instrument)} AS instrument, {_quoted(kind)} AS kind,"
                    f" {_quoted(place.timeframe)} AS timeframe, make_timestamp_ns({hole.start}) AS start,"
                    f' make_timestamp_ns({hole.end}) AS "end", {_quoted(hole.reason)} AS reason'
                )


def _whose(place: Place) -> str:
    venue = place.instrument.partition("@")[2]
    names = {"venue": venue, "instrument": place.instrument}
    if place.kind == "bars":
        names["timeframe"] = place.timeframe
    return ", ".join(f"{_quoted(text)} AS {name}" for name, text in names.items())


def _columns(kind: str) -> list[str]:
    return (
        list(SERIES[kind].fields) if kind in SERIES else [name for name in tape_schema(kind) if name != "ts"]
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".") + "."
