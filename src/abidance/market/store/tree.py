"""The user's bars on disk: one Parquet file per month, replaced whole or not at all.

    <folder>/BINANCE/BTC-USDT/bars/1h/2024-03.parquet      BTC/USDT@BINANCE
    <folder>/BYBIT/BTC-USDT-USDT/bars/1h/2024-03.parquet   BTC/USDT:USDT@BYBIT

Columns are `ts` (open time, int64 ms UTC) and five float64; the schema's version stands in the file's metadata. A file
that is being written has a name that no reader looks for. Only one process writes at a time. What bars look like inside
is not checked here: that is `quality`.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from abidance.market.bars import FIELDS, Bars, FloatArray, IntArray
from abidance.market.store.timerange import show
from abidance.model.errors import DataError, UsageError
from abidance.model.instrument import MS_NS, parse_instrument_id, timeframe_ns

if TYPE_CHECKING:
    import polars as pl

SCHEMA_VERSION = 1
_VERSION_KEY = "abidance.schema"
_COLUMNS = ("ts", *FIELDS)
_TEMPORARY = ".writing"
_MONTHS = "[0-9][0-9][0-9][0-9]-[0-9][0-9].parquet"


class Holding(msgspec.Struct, frozen=True):
    """A stored series: `first` and `last` are open times in ns UTC, `origin` is `stored` or `bundled`."""

    instrument: str
    timeframe: str
    rows: int
    first: int
    last: int
    origin: str = "stored"


class BarStore:
    """A folder of bars. It need not exist until something is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, bars: Bars, *, replace: bool = False) -> int:
        """Merge `bars` into what is stored and return how many bars are new; each file appears whole or not at all.

        Raises DataError when `ts` does not increase or is not in whole milliseconds, and when a stored bar differs
        from the new one of the same time, unless `replace` lets the new ones win; nothing is written then. Raises it
        too when the disk refuses, after which some months may be new and each of them whole.
        """
        _check(bars)
        target = self._place(bars.instrument, bars.timeframe)
        try:
            with self._sole_writer():
                _sweep(target)
                merged = {
                    target / f"{month}.parquet": _merge(target / f"{month}.parquet", part, replace)
                    for month, part in _by_month(bars)
                }
                staged = [_stage(path, rows) for path, (rows, _) in merged.items()]
                for temporary, path in staged:
                    os.replace(temporary, path)  # noqa: PTH105  the crash test stands in for os.replace
                _sync_folder(target)
        except OSError as error:
            raise DataError(
                f"{self.folder} cannot be written: {error.strerror or error}.",
                "Check the disk and its permissions.",
            ) from error
        return sum(added for _, added in merged.values())

    def read(self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None) -> Bars:
        """Return the stored bars that open from `start` up to, not including, `end` (ns UTC), perhaps none.

        Raises DataError when a file cannot be read or was written by a newer version.
        """
        wanted = [p for p in self._months(instrument, timeframe) if _overlaps(p.stem, start, end)]
        if not wanted:
            return Bars(instrument, timeframe, np.empty(0, np.int64), np.empty((5, 0)))
        frames = [_load(path) for path in wanted]
        ts = np.concatenate([_numbers(frame, "ts") for frame in frames]) * MS_NS
        low = 0 if start is None else int(np.searchsorted(ts, start))
        high = len(ts) if end is None else int(np.searchsorted(ts, end))
        columns = [np.concatenate([_numbers(frame, name) for frame in frames])[low:high] for name in FIELDS]
        for column in (ts, *columns):
            column.flags.writeable = False
        return Bars(instrument, timeframe, ts[low:high], columns)

    def holds(self, instrument: str, timeframe: str) -> bool:
        """Say whether there is anything of this series."""
        return bool(self._months(instrument, timeframe))

    def series(self) -> Iterator[tuple[str, str]]:
        """Yield the instrument and timeframe of everything stored, in order; other files are passed over."""
        for folder in sorted(self.folder.glob("*/*/bars/*")):
            venue, pair, _, timeframe = folder.parts[-4:]
            instrument = _instrument(venue, pair)
            if instrument and _is_timeframe(timeframe) and self.holds(instrument, timeframe):
                yield instrument, timeframe

    def inventory(self) -> list[Holding]:
        """Return what is stored."""
        return [self._holding(instrument, timeframe) for instrument, timeframe in self.series()]

    def _holding(self, instrument: str, timeframe: str) -> Holding:
        frames = [_load(path, ("ts",)) for path in self._months(instrument, timeframe)]
        rows = sum(frame.height for frame in frames)
        first, last = _numbers(frames[0], "ts")[0], _numbers(frames[-1], "ts")[-1]
        return Holding(instrument, timeframe, rows, int(first) * MS_NS, int(last) * MS_NS)

    def _place(self, instrument: str, timeframe: str) -> Path:
        name = parse_instrument_id(instrument)
        timeframe_ns(timeframe)
        pair = "-".join(part for part in (name.base, name.quote, name.settle) if part)
        return self.folder / name.venue / pair / "bars" / timeframe

    def _months(self, instrument: str, timeframe: str) -> list[Path]:
        return sorted(self._place(instrument, timeframe).glob(_MONTHS))

    @contextmanager
    def _sole_writer(self) -> Iterator[None]:
        """Wait until no other process writes; the lock falls with the process that holds it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _check(bars: Bars) -> None:
    ts = bars.ts
    if not len(ts):
        raise DataError(f"There are no bars of {bars.instrument} {bars.timeframe} to store.")
    late = np.flatnonzero(ts[1:] <= ts[:-1])
    if len(late):
        raise DataError(
            f"Bar {late[0] + 2} of {bars.instrument} {bars.timeframe} at {show(int(ts[late[0] + 1]))} does not come"
            " after the one before it.",
            "Sort the bars and drop duplicates first.",
        )
    if np.any(ts % MS_NS):
        raise DataError(
            f"The open times of {bars.instrument} {bars.timeframe} are not in whole milliseconds."
        )


def _by_month(bars: Bars) -> Iterator[tuple[str, Bars]]:
    months = bars.ts.astype("datetime64[ns]").astype("datetime64[M]")
    starts = np.flatnonzero(np.r_[True, months[1:] != months[:-1]])
    for start, stop in zip(starts, np.r_[starts[1:], len(bars)], strict=True):
        yield str(months[start]), bars.slice(int(start), int(stop))


def _merge(path: Path, new: Bars, replace: bool) -> tuple[tuple[IntArray, FloatArray], int]:
    """Return one month's rows, old and new, and how many of them are new."""
    ts, values = new.ts // MS_NS, np.vstack(new.columns())
    if not path.exists():
        return (ts, values), len(ts)
    frame = _load(path)
    old_ts, old = _numbers(frame, "ts"), np.vstack([_numbers(frame, name) for name in FIELDS])
    _, ours, theirs = np.intersect1d(ts, old_ts, assume_unique=True, return_indices=True)
    if not replace:
        differs = np.flatnonzero(_differs(values[:, ours], old[:, theirs]).any(axis=0))
        if len(differs):
            raise _conflict(new, ours[differs[0]], old[:, theirs[differs[0]]])
    kept = np.ones(len(old_ts), dtype=bool)
    kept[theirs] = False
    joined = np.concatenate((old_ts[kept], ts))
    order = np.argsort(joined, kind="stable")
    return (joined[order], np.hstack((old[:, kept], values))[:, order]), len(ts) - len(ours)


def _differs(ours: FloatArray, theirs: FloatArray) -> NDArray[np.bool_]:
    return np.asarray((ours != theirs) & ~(np.isnan(ours) & np.isnan(theirs)))


def _conflict(new: Bars, row: int, old: FloatArray) -> DataError:
    field = int(_differs(np.array([column[row] for column in new.columns()]), old).argmax())
    return DataError(
        f"The bar of {new.instrument} {new.timeframe} at {show(int(new.ts[row]))} differs from the stored one:"
        f" {FIELDS[field]} is {new.columns()[field][row]:.12g}, stored {old[field]:.12g}.",
        "Use --replace to let the new bars win.",
    )


def _stage(path: Path, merged: tuple[IntArray, FloatArray]) -> tuple[Path, Path]:
    """Write one month beside its place and return both names, once its bytes are on the disk."""
    import polars as pl

    ts, values = merged
    frame = pl.DataFrame({"ts": ts, **dict(zip(FIELDS, values, strict=True))})
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}{_TEMPORARY}")
    with temporary.open("wb") as file:
        frame.write_parquet(file, compression="zstd", metadata={_VERSION_KEY: str(SCHEMA_VERSION)})
        file.flush()
        os.fsync(file.fileno())
    return temporary, path


def _sweep(folder: Path) -> None:
    """Remove what a killed writer left behind; only the sole writer may."""
    for leftover in folder.glob(f".*{_TEMPORARY}"):
        leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _load(path: Path, columns: tuple[str, ...] = _COLUMNS) -> "pl.DataFrame":
    import polars as pl

    try:
        version = pl.read_parquet_metadata(path).get(_VERSION_KEY)
        if version != str(SCHEMA_VERSION):
            raise DataError(
                f"{path} has the schema {version or 'of another program'}, this program knows {SCHEMA_VERSION}.",
                "Import the bars again, or use the version that wrote them.",
            )
        return pl.read_parquet(path, columns=list(columns), glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise DataError(
            f"{path} cannot be read: {error}.", "Delete it and import its month again."
        ) from error


def _numbers(frame: "pl.DataFrame", column: str) -> np.ndarray:
    return frame[column].to_numpy()


def _overlaps(month: str, start: int | None, end: int | None) -> bool:
    first = np.datetime64(month, "M")
    opens, closes = (int(m.astype("datetime64[ns]").astype(np.int64)) for m in (first, first + 1))
    return (start is None or closes > start) and (end is None or opens < end)


def _instrument(venue: str, pair: str) -> str:
    """Return the id that a folder stands for, or nothing."""
    base, _, rest = pair.partition("-")
    quote, dash, settle = rest.partition("-")
    id = f"{base}/{quote}{':' if dash else ''}{settle}@{venue}"
    try:
        parse_instrument_id(id)
    except UsageError:
        return ""
    return id


def _is_timeframe(text: str) -> bool:
    try:
        return timeframe_ns(text) > 0
    except UsageError:
        return False
