"""Stored trades, quotes and funding rates replayed one by one, a chunk of rows at a time.

A source is a Parquet file or several in the order of time, of which a chunk, at most a row group, is in memory, or a
mapping of columns. Times stand in `ts_ns`, in `ts` or `ts_ms` (both ms), or, where the venue gave none, in `local_ns`.
Every feed raises DataError, naming the row, for a value that is missing or no number and for a time before the one
before it.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from abidance.market.bars import Bars, IntArray
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


class TradeReplay:
    """A feed of one instrument's public trades: `price`, `size`, `side` (buy or sell, the taker's), perhaps `id`."""

    def __init__(self, instrument: str, source: Source) -> None:
        self.instrument = instrument
        self._source = source

    def events(self, after: int | None = None) -> Iterator[Trade]:
        """Yield the trades later than `after` (ns UTC)."""
        for frame, ts in _chunks(self._source, ("price", "size", "side"), after):
            ids = frame["id"].fill_null("").to_list() if "id" in frame.columns else repeat("")
            values = (frame["price"].to_list(), frame["size"].to_list(), (frame["side"] == "buy").to_list())
            yield from map(Trade, ts, repeat(self.instrument), *values, ids)


class QuoteReplay:
    """A feed of one instrument's best quotes: `bid`, `bid_size`, `ask`, `ask_size`."""

    def __init__(self, instrument: str, source: Source) -> None:
        self.instrument = instrument
        self._source = source

    def events(self, after: int | None = None) -> Iterator[Quote]:
        """Yield the quotes later than `after` (ns UTC)."""
        names = ("bid", "bid_size", "ask", "ask_size")
        for frame, ts in _chunks(self._source, names, after):
            yield from map(Quote, ts, repeat(self.instrument), *(frame[name].to_list() for name in names))


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
        for frame, ts in _chunks(self._source, ("funding_rate",), after):
            known = np.searchsorted(closes, np.array(ts, dtype=np.int64), side="right")
            skip = int(np.searchsorted(known, 1))
            marks = self._marks.close[known[skip:] - 1].tolist()
            yield from map(
                FundingRate, ts[skip:], repeat(self.instrument), frame["funding_rate"].to_list()[skip:], marks
            )


def _chunks(
    source: Source, needed: tuple[str, ...], after: int | None
) -> Iterator[tuple["pl.DataFrame", list[int]]]:
    """Yield chunks of rows later than `after`, checked, with their times in ns; all `needed` but side are numbers."""
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
                yield frame.slice(start), ts[start:].tolist()


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


def _check(values: "pl.DataFrame", ts: IntArray, last: int | None, name: str, row: int) -> None:
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
        right = column.is_in(_SIDES) if is_side else column.is_finite()
        wrong = (~right).fill_null(value=True).arg_true()
        if len(wrong):
            what = "neither buy nor sell as its side" if is_side else f"no number in {column.name}"
            raise DataError(f"Row {row + wrong[0] + 1} of {name} has {what}.", "Mend the data.")
