"""What every store of market data keeps, wherever it lies: places, their rows, and what is merged into them how.

Series (bars, funding rates) have one row per moment, and a row that differs from the stored one is a conflict. Tapes
(trades, quotes, books, marks) have many, and what is there already is passed over. `Tables` is what a store must be
able to do: `tree.Folder` does it in Parquet files, `postgres.Database` in PostgreSQL; `testing.store_spec` proves both.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from abidance.market.bars import FIELDS, FloatArray, IntArray
from abidance.market.store.spans import Spans
from abidance.market.store.timerange import show
from abidance.model.errors import DataError
from abidance.model.instrument import MS_NS

if TYPE_CHECKING:
    import polars as pl

SCHEMA_VERSION = 1


class Kind(NamedTuple):
    """What the rows of a series are: the word for one, and the names of its columns beside `ts`."""

    noun: str
    fields: tuple[str, ...]


SERIES: Mapping[str, Kind] = {
    "bars": Kind("bar", FIELDS),
    "funding": Kind("funding rate", ("rate",)),
    "sentiment": Kind("reading", ("value", "count")),
}


class TapeKind(NamedTuple):
    """What the rows of a tape are: the word for one, and its columns beside `ts` with their types.

    A type is `float`, `bool`, `text`, `whole` or `floats` (several). All but `received` make a row the same as another;
    where there is an `id`, it alone does.
    """

    noun: str
    columns: Mapping[str, str]


TAPES: Mapping[str, TapeKind] = {
    "trades": TapeKind(
        "trade",
        {"price": "float", "size": "float", "buyer_is_taker": "bool", "id": "text", "received": "whole"},
    ),
    "quotes": TapeKind(
        "quote",
        {"bid": "float", "bid_size": "float", "ask": "float", "ask_size": "float", "received": "whole"},
    ),
    "books": TapeKind(
        "book",
        {
            "bid_prices": "floats",
            "bid_sizes": "floats",
            "ask_prices": "floats",
            "ask_sizes": "floats",
            "received": "whole",
        },
    ),
    "marks": TapeKind(
        "mark price",
        {"mark": "float", "index": "float", "rate": "float", "ts_funding": "whole", "received": "whole"},
    ),
}
"""Times (`ts`, `ts_funding`, `received`) are in ns UTC; `received` is 0 where nobody noted it."""


class Place(NamedTuple):
    """Where rows lie: whose they are, of what kind (of `SERIES` or `TAPES`), and for bars of which timeframe."""

    instrument: str
    kind: str
    timeframe: str = ""

    @property
    def name(self) -> str:
        """Return what messages call it."""
        return f"{self.instrument} {self.timeframe}".rstrip()


class Rows(NamedTuple):
    """Rows of a series: `ts` in ns UTC, increasing, and `values` with one column per field of the kind."""

    ts: IntArray
    values: tuple[FloatArray, ...]

    def between(self, start: int | None, end: int | None) -> "Rows":
        """Return the rows from `start` up to, not including, `end`, as read-only arrays."""
        low = 0 if start is None else int(np.searchsorted(self.ts, start))
        high = len(self.ts) if end is None else max(low, int(np.searchsorted(self.ts, end)))
        ts, values = self.ts[low:high], tuple(column[low:high] for column in self.values)
        ts.flags.writeable = False
        for column in values:
            column.flags.writeable = False
        return Rows(ts, values)


class Span(NamedTuple):
    """How many rows there are, and the times of the first and last in ns UTC."""

    rows: int
    first: int
    last: int


class Tables(Protocol):
    """A store of market data. Everything that is written appears whole or not at all."""

    @property
    def where(self) -> str:
        """Return a name by which `open_tables` opens the same store again."""
        ...

    def write(self, place: Place, rows: Rows, *, replace: bool = False) -> int:
        """Merge rows into a series and return how many are new.

        Raises DataError when `ts` does not increase or is not in whole milliseconds, when a stored row differs and not
        `replace`, and when the store refuses; nothing is written then.
        """
        ...

    def read(self, place: Place, start: int | None = None, end: int | None = None) -> Rows:
        """Return a series' rows from `start` up to, not including, `end` (ns UTC), perhaps none, read-only."""
        ...

    def append(self, place: Place, frame: "pl.DataFrame") -> int:
        """Add rows to a tape, in any order of time, and return how many were not there yet."""
        ...

    def tape(self, place: Place, start: int | None = None, end: int | None = None) -> "pl.DataFrame":
        """Return a tape's rows from `start` up to, not including, `end` (ns UTC), oldest first, perhaps none."""
        ...

    def holds(self, place: Place) -> bool:
        """Say whether there is anything."""
        ...

    def span(self, place: Place) -> Span:
        """Return how much there is of what `holds`. Raises DataError when it cannot be read."""
        ...

    def places(self, kind: str) -> Iterator[Place]:
        """Yield everything of a kind, in order; what does not belong to the store is passed over."""
        ...

    def spans(self, place: Place) -> Spans:
        """Return what is known of the times of a place: which are whole, which are holes."""
        ...

    def note(self, place: Place, spans: Spans) -> None:
        """Join `spans` with what is known."""
        ...

    def compact(self, place: Place) -> int:
        """Bring the rows into the fewest pieces and return how many pieces are gone; nothing that is read changes."""
        ...

    def sql(self, query: str, rows: int | None = None) -> "pl.DataFrame":
        """Return what a query says about the views `bars`, `funding`, `trades`, ...; it can change nothing.

        At most `rows` rows. Raises UsageError for a query that cannot be answered.
        """
        ...

    def close(self) -> None:
        """Let go of what is held open; the next use opens it again."""
        ...


def tape_schema(kind: str) -> "dict[str, pl.DataType]":
    """Return the columns of a tape with their types."""
    import polars as pl

    types: dict[str, pl.DataType] = {
        "float": pl.Float64(),
        "bool": pl.Boolean(),
        "text": pl.String(),
        "whole": pl.Int64(),
        "floats": pl.List(pl.Float64()),
    }
    return {"ts": pl.Int64(), **{name: types[type] for name, type in TAPES[kind].columns.items()}}


def unknown_rows(kind: str, new: "pl.DataFrame", old: "pl.DataFrame") -> "pl.DataFrame":
    """Return the rows of `new` that are neither in `old` nor twice in `new`.

    Trades without an id may be equal and yet be two: as many are kept as stand in the fuller of the two frames.
    """
    import polars as pl

    names = [name for name in tape_schema(kind) if name != "received"]
    same = pl.struct(names).hash()
    if "id" in names:
        has_id = pl.col("id") != ""
        same = pl.when(has_id).then(pl.col("id").hash()).otherwise(same)
        nth = pl.when(has_id).then(0).otherwise(pl.int_range(pl.len()).over("_same"))
    else:
        nth = pl.lit(0)
    key = ("_same", "_nth")
    keyed = [each.with_columns(_same=same).with_columns(_nth=nth.cast(pl.Int64)) for each in (new, old)]
    fresh = keyed[0].unique(key, keep="first", maintain_order=True)
    return fresh.join(keyed[1], on=key, how="anti", maintain_order="left").drop(key)


def check(place: Place, rows: Rows) -> None:
    """Raise DataError unless a series can be written: rows, in whole milliseconds, each after the one before it."""
    noun, ts = SERIES[place.kind].noun, rows.ts
    if not len(ts):
        raise DataError(f"There are no {noun}s of {place.name} to store.")
    late = np.flatnonzero(ts[1:] <= ts[:-1])
    if len(late):
        raise DataError(
            f"{noun.capitalize()} {late[0] + 2} of {place.name} at {show(int(ts[late[0] + 1]))} does not come after the"
            " one before it.",
            f"Sort the {noun}s and drop duplicates first.",
        )
    if np.any(ts % MS_NS):
        raise DataError(f"The times of the {noun}s of {place.name} are not in whole milliseconds.")


def merged(place: Place, new: Rows, old: Rows, *, replace: bool) -> tuple[Rows, int]:
    """Return rows old and new together, and how many of them are new. Raises DataError when two differ."""
    if not len(old.ts):
        return new, len(new.ts)
    _, ours, theirs = np.intersect1d(new.ts, old.ts, assume_unique=True, return_indices=True)
    if not replace:
        pairs = zip(SERIES[place.kind].fields, new.values, old.values, strict=True)
        wrong = [(name, mine[ours], stored[theirs]) for name, mine, stored in pairs]
        _refuse_conflicts(place, new.ts[ours], wrong)
    kept = np.ones(len(old.ts), dtype=bool)
    kept[theirs] = False
    joined = np.concatenate((old.ts[kept], new.ts))
    order = np.argsort(joined, kind="stable")
    values = zip(old.values, new.values, strict=True)
    columns = tuple(np.concatenate((stored[kept], mine))[order] for stored, mine in values)
    return Rows(joined[order], columns), len(new.ts) - len(ours)


def _refuse_conflicts(place: Place, ts: IntArray, columns: list[tuple[str, FloatArray, FloatArray]]) -> None:
    noun = SERIES[place.kind].noun
    differs = [_differs(mine, stored) for _, mine, stored in columns]
    rows = np.flatnonzero(np.logical_or.reduce(differs))
    if not len(rows):
        return
    row = rows[0]
    name, mine, stored = next(each for each, wrong in zip(columns, differs, strict=True) if wrong[row])
    raise DataError(
        f"The {noun} of {place.name} at {show(int(ts[row]))} differs from the stored one: {name} is {mine[row]:.12g},"
        f" stored {stored[row]:.12g}.",
        f"Use --replace to let the new {noun}s win.",
    )


def _differs(ours: FloatArray, theirs: FloatArray) -> NDArray[np.bool_]:
    return np.asarray((ours != theirs) & ~(np.isnan(ours) & np.isnan(theirs)))
