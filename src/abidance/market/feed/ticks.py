"""Stored trades, quotes and funding rates replayed one by one, a chunk of rows at a time.

A source is a Parquet file or several in the order of time, of which a chunk, at most a row group, is in memory, or a
mapping of columns. Times stand in `ts_ns`, in `ts` or `ts_ms` (both ms), or, where the venue gave none, in `local_ns`.
Every feed raises DataError, naming the row, for a value that is missing or no number and for a time before the one
before it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike

from abidance.market.bars import Bars, IntArray
from abidance.market.build import Tape
from abidance.market.feed.stream import Lane, TickStream
from abidance.market.store.timerange import show
from abidance.model.errors import DataError
from abidance.model.instrument import MS_NS
from abidance.model.market import FundingRate, Quote, Trade

if TYPE_CHECKING:
    import polars as pl

Source = Path | Sequence[Path] | Mapping[str, ArrayLike]

_CHUNK = 131_072
_SIDES = ("buy", "sell")
_TIMES = {"ts_ns": 1, "ts": MS_NS, "ts_ms": MS_NS, "local_ns": 1}


E = TypeVar("E", Trade, Quote)


class Replay(Generic[E]):
    """A lane of ticks that is a feed by itself."""

    kind: type[E]
    reach: tuple[str, str]

    def __init__(self, instrument: str, source: Source) -> None:
        self.instrument = instrument
        self._source = source

    def events(self, after: int | None = None) -> Iterator[E]:
        """Yield the ticks later than `after` (ns UTC)."""
        return cast(Iterator[E], TickStream([((0, 0), cast(Lane, self))], iter(()), after))

    def make(self, *columns: Iterable[Any]) -> Iterable[E]:
        """Return the events of some rows."""
        return map(self.kind, columns[0], repeat(self.instrument), *columns[1:])


class TradeReplay(Replay[Trade]):
    """A feed of one instrument's public trades: `price`, `size`, `side` (buy or sell, the taker's), perhaps `id`."""

    kind = Trade
    reach = ("price", "price")

    def frames(self, after: int | None) -> "Iterator[pl.DataFrame]":
        """Yield chunks of columns later than `after`."""
        import polars as pl

        for frame in _chunks(self._source, ("price", "size", "side"), after):
            ids = pl.col("id").fill_null("") if "id" in frame.columns else pl.lit("").alias("id")
            yield frame.select("ts", "price", "size", pl.col("side") == "buy", ids)


class TapeReplay(Replay[Trade]):
    """A feed of one instrument's trades as a tape in memory, in the order of time. Whose they were it does not know."""

    kind = Trade
    reach = ("price", "price")

    def __init__(self, instrument: str, tape: Tape) -> None:
        super().__init__(instrument, {})
        self._tape = tape

    def frames(self, after: int | None) -> "Iterator[pl.DataFrame]":
        """Yield chunks of columns later than `after`."""
        import polars as pl

        first = 0 if after is None else int(np.searchsorted(self._tape.ts, after, side="right"))
        for start in range(first, len(self._tape.ts), _CHUNK):
            part = [column[start : start + _CHUNK] for column in self._tape]
            unknown = (pl.lit(False).alias("side"), pl.lit("").alias("id"))
            yield pl.DataFrame(dict(zip(("ts", "price", "size"), part, strict=True))).with_columns(*unknown)


class QuoteReplay(Replay[Quote]):
    """A feed of one instrument's best quotes: `bid`, `bid_size`, `ask`, `ask_size`."""

    kind = Quote
    reach = ("bid", "ask")

    def frames(self, after: int | None) -> "Iterator[pl.DataFrame]":
        """Yield chunks of columns later than `after`."""
        names = ("bid", "bid_size", "ask", "ask_size")
        for frame in _chunks(self._source, names, after):
            yield frame.select("ts", *names)


class FundingReplay:
    """A feed of one perpetual's funding: `funding_rate`, due at its time.

    The mark price is the close of the last of `marks` that had closed by then. Funding before the first of them is left
    out: nothing could have been held.
    """

    def __init__(self, instrument: str, source: Source, marks: Bars) -> None:
        self.instrument = instrument
        self._source = source
        self._marks = marks

    def events(self, after: int | None = None) -> Iterator[FundingRate]:
        """Yield the funding due after `after` (ns UTC)."""
        closes = self._marks.ts_close
        for frame in _chunks(self._source, ("funding_rate",), after):
            ts = frame["ts"].to_list()
            known = np.searchsorted(closes, frame["ts"].to_numpy(), side="right")
            skip = int(np.searchsorted(known, 1))
            marks = self._marks.close[known[skip:] - 1].tolist()
            yield from map(
                FundingRate, ts[skip:], repeat(self.instrument), frame["funding_rate"].to_list()[skip:], marks
            )


def book_chunks(source: Source) -> Iterator["pl.DataFrame"]:
    """Yield chunks of the rows of a recorded book: `ts`, U, u, pu (-1 for none), is_snapshot, side, price, size.

    An update without a time has that of the one before it: venues send snapshots without. Times of receipt count where
    the venue gave none at all.
    """
    import polars as pl

    last: int | None = None
    is_local = True
    for name, table in _tables(source):
        there = _collect(table.head(0), name).columns
        wanted = _columns(there, ("price", "size", "side"), name)
        ids = [
            pl.col(id).cast(pl.Int64, strict=False).fill_null(-1) if id in there else pl.lit(-1).alias(id)
            for id in ("U", "u", "pu")
        ]
        whole = pl.col("is_snapshot").cast(pl.Boolean).fill_null(False) if "is_snapshot" in there else pl.lit(False).alias("is_snapshot")  # fmt: skip
        row = 0
        while (frame := _collect(table.select(*wanted, *ids, whole).slice(row, _CHUNK), name)).height:
            is_local = is_local and not _is_timed(frame)
            ts = _times(frame, name, row) if is_local else _book_times(frame, last)
            _check(frame.select("price", "size", "side"), ts, last, name, row, ("bid", "ask"))
            row, last = row + frame.height, int(ts[-1])
            yield frame.select(pl.Series("ts", ts), "U", "u", "pu", "is_snapshot", "side", "price", "size")


def ladder_chunks(source: Source, after: int | None) -> Iterator["pl.DataFrame"]:
    """Yield chunks of whole ladders later than `after`: `ts`, the best bid and ask, and the lists of both sides."""
    import polars as pl

    last: int | None = None
    lists = [f"{side}_{what}" for side in ("bid", "ask") for what in ("prices", "sizes")]
    for name, table in _tables(source):
        there = _collect(table.head(0), name).columns
        times = _columns(there, (), name)
        if missing := [column for column in lists if column not in there]:
            raise DataError(f"Of {name} the column {', '.join(missing)} is missing.", "Rename or add it.")
        wanted = [pl.col(column).cast(pl.List(pl.Float64)).fill_null([]) for column in lists]
        row = 0
        while (frame := _collect(table.select(*times, *wanted).slice(row, _CHUNK), name)).height:
            ts = _times(frame, name, row)
            _check(frame.select(), ts, last, name, row)
            _check_ladders(frame, name, row)
            row, last = row + frame.height, int(ts[-1])
            best = (pl.col(f"{side}_prices").list.first().alias(side) for side in ("bid", "ask"))
            start = 0 if after is None else int(np.searchsorted(ts, after, side="right"))
            if start < len(ts):
                yield frame.select(pl.Series("ts", ts), *best, *lists).slice(start)


def _check_ladders(frame: "pl.DataFrame", name: str, row: int) -> None:
    """Refuse a ladder whose lists differ in length or hold what is no number."""
    import polars as pl

    for side in ("bid", "ask"):
        prices, sizes = pl.col(f"{side}_prices").list, pl.col(f"{side}_sizes").list
        finite = [
            each.eval(pl.element().is_finite().fill_null(value=False)).list.all() for each in (prices, sizes)
        ]
        right = frame.select(right=(prices.len() == sizes.len()) & finite[0] & finite[1])["right"]
        if len(wrong := (~right).arg_true()):
            raise DataError(f"Row {row + wrong[0] + 1} of {name} has no sound {side} side.", "Mend the data.")


def _venue_times(frame: "pl.DataFrame") -> "pl.Expr":
    import polars as pl

    given = [pl.col(c) * scale for c, scale in _TIMES.items() if c in frame.columns and c != "local_ns"]
    return pl.coalesce(given or [pl.lit(None, dtype=pl.Int64)]).alias("ts")


def _is_timed(frame: "pl.DataFrame") -> bool:
    return bool(frame.select(_venue_times(frame).is_not_null().any()).item())


def _book_times(frame: "pl.DataFrame", last: int | None) -> IntArray:
    """Return when each row was known: snapshots are kept between the changes that they stand between."""
    import polars as pl

    change = pl.when(~pl.col("is_snapshot")).then("ts")
    before = change.fill_null(strategy="forward").fill_null(pl.lit(last, dtype=pl.Int64))
    after = change.fill_null(strategy="backward")
    known = pl.min_horizontal(pl.max_horizontal("ts", before), after)
    ts = frame.select("is_snapshot", _venue_times(frame)).select(
        pl.when("is_snapshot").then(known).otherwise(before).alias("ts")
    )["ts"]
    filled = ts.fill_null(strategy="forward").fill_null(strategy="backward")
    return filled.fill_null(last).to_numpy() if last is not None else filled.to_numpy()


def _chunks(source: Source, needed: tuple[str, ...], after: int | None) -> Iterator["pl.DataFrame"]:
    """Yield chunks of rows later than `after`, checked, their time in ns as `ts`; all `needed` but side are numbers."""
    import polars as pl

    last: int | None = None
    for name, table in _tables(source):
        wanted = _columns(_collect(table.head(0), name).columns, needed, name)
        row = 0
        while (frame := _collect(table.select(wanted).slice(row, _CHUNK), name)).height:
            ts = _times(frame, name, row)
            _check(frame.select(needed), ts, last, name, row)
            row, last = row + frame.height, int(ts[-1])
            start = 0 if after is None else int(np.searchsorted(ts, after, side="right"))
            if start < len(ts):
                yield frame.with_columns(pl.Series("ts", ts)).slice(start)


def _tables(source: Source) -> Iterator[tuple[str, "pl.LazyFrame"]]:
    import polars as pl

    if isinstance(source, Mapping):
        yield "the given columns", pl.LazyFrame(dict(source))
        return
    for path in [source] if isinstance(source, Path) else source:
        if not path.is_file():
            raise DataError(f"There is no file {path}.", "Check the path.")
        yield path.name, pl.scan_parquet(path, glob=False)


def _collect(table: "pl.LazyFrame", name: str) -> "pl.DataFrame":
    import polars as pl

    try:
        return table.collect()
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{name} is not a readable Parquet file: {reason}.", "Export it again.") from error


def _columns(there: list[str], needed: tuple[str, ...], name: str) -> list["pl.Expr"]:
    """Return what to read of a table: times as integers, numbers as floats, the rest as text."""
    import polars as pl

    missing = [column for column in needed if column not in there]
    times = [column for column in _TIMES if column in there]
    if missing or not times:
        lacks = ", ".join([*missing, *([] if times else ["ts_ms"])])
        raise DataError(
            f"Of {name} the column {lacks} is missing; there are {', '.join(there)}.", "Rename or add it."
        )
    numbers = [column for column in needed if column != "side"]
    chosen = [pl.col(times).cast(pl.Int64, strict=False), pl.col(numbers).cast(pl.Float64, strict=False)]
    if "side" in needed:
        chosen.append(pl.col("side").cast(pl.String).str.to_lowercase())
        chosen += [pl.col("id").cast(pl.String)] if "id" in there else []
    return chosen


def _times(frame: "pl.DataFrame", name: str, row: int) -> IntArray:
    """Return the time of each row in ns, from the first of the time columns that has one."""
    import polars as pl

    nanoseconds = [pl.col(c) * scale for c, scale in _TIMES.items() if c in frame.columns]
    ts = frame.select(ts=pl.coalesce(nanoseconds))["ts"]
    if ts.null_count():
        raise DataError(
            f"Row {row + ts.is_null().arg_true()[0] + 1} of {name} has no time.", "Mend the data."
        )
    return ts.to_numpy()


def _check(
    values: "pl.DataFrame",
    ts: IntArray,
    last: int | None,
    name: str,
    row: int,
    sides: tuple[str, str] = _SIDES,
) -> None:
    """Refuse a time before the one before it, a number that is missing or infinite, and a side that is none."""
    late = np.flatnonzero(np.diff(ts, prepend=ts[0] if last is None else last) < 0)
    if len(late):
        at = int(late[0])
        raise DataError(
            f"Row {row + at + 1} of {name} goes backwards in time, to {show(int(ts[at]))}.",
            "Sort the data by time.",
        )
    for column in values:
        is_side = column.name == "side"
        right = column.is_in(sides) if is_side else column.is_finite()
        wrong = (~right).fill_null(value=True).arg_true()
        if len(wrong):
            what = (
                f"neither {sides[0]} nor {sides[1]} as its side" if is_side else f"no number in {column.name}"
            )
            raise DataError(f"Row {row + wrong[0] + 1} of {name} has {what}.", "Mend the data.")
