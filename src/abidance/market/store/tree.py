"""Tables on disk: one Parquet file per month, replaced whole or not at all.

A table is a folder of files `2024-03.parquet` with a column `ts` (int64 ms UTC) and float64 columns beside it; the
schema's version stands in each file's metadata. A file that is being written has a name that no reader looks for. Only
one process writes at a time. Which tables there are and where they lie is not decided here, and what their rows look
like inside is not checked: that is `shelves` and `quality`.
"""

import errno
import fcntl
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from abidance.market.bars import FloatArray, IntArray
from abidance.market.store.timerange import show
from abidance.model.errors import DataError
from abidance.model.instrument import MS_NS

if TYPE_CHECKING:
    import polars as pl

SCHEMA_VERSION = 1
_VERSION_KEY = "abidance.schema"
_TEMPORARY = ".writing"
_LONGEST = 160
"""Letters of a library's complaint that are repeated."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_MONTHS = "[0-9][0-9][0-9][0-9]-[0-9][0-9].parquet"


class Kind(NamedTuple):
    """What the rows of a table are: the word for one, and the names of its columns beside `ts`."""

    noun: str
    fields: tuple[str, ...]


class Rows(NamedTuple):
    """Rows of a table: `ts` in ns UTC, increasing, and `values` with one row per column of the kind."""

    ts: IntArray
    values: FloatArray


class Span(NamedTuple):
    """How many rows a table has, and the times of its first and last in ns UTC."""

    rows: int
    first: int
    last: int


class Tree:
    """Tables of one kind below `folder`, which need not exist until something is written.

    A `place` is a table's folder, `name` what messages call it.
    """

    def __init__(self, folder: Path, kind: Kind) -> None:
        self.folder = folder
        self._kind = kind

    def write(self, place: Path, name: str, rows: Rows, *, replace: bool = False) -> int:
        """Merge `rows` into a table and return how many are new; each file appears whole or not at all.

        Raises DataError when `ts` does not increase or is not in whole milliseconds, and when a stored row differs
        from the new one of the same time, unless `replace` lets the new ones win; nothing is written then. Raises it
        too when the disk refuses, after which some months may be new and each of them whole.
        """
        _check(rows.ts, self._kind, name)
        try:
            with self._sole_writer():
                _sweep(place)
                merged = {
                    place / f"{month}.parquet": self._merge(place / f"{month}.parquet", name, part, replace)
                    for month, part in _by_month(rows)
                }
                try:
                    staged = [_stage(path, self._kind, joined) for path, (joined, _) in merged.items()]
                    for temporary, path in staged:
                        os.replace(temporary, path)  # noqa: PTH105  the crash test stands in for os.replace
                except OSError:
                    _sweep(place)
                    raise
                _sync_folder(place)
        except OSError as error:
            raise self._refused(name, error) from error
        return sum(added for _, added in merged.values())

    def read(self, place: Path, start: int | None = None, end: int | None = None) -> Rows:
        """Return the rows from `start` up to, not including, `end` (ns UTC), perhaps none, as read-only arrays.

        Raises DataError when a file cannot be read or was written by a newer version.
        """
        wanted = [path for path in _months(place) if _overlaps(path.stem, start, end)]
        months = [_load(path, self._kind) for path in wanted]
        if not months:
            return Rows(np.empty(0, np.int64), np.empty((len(self._kind.fields), 0)))
        ts = np.concatenate([rows.ts for rows in months])
        low = 0 if start is None else int(np.searchsorted(ts, start))
        high = len(ts) if end is None else int(np.searchsorted(ts, end))
        values = np.hstack([rows.values for rows in months])[:, low:high]
        ts.flags.writeable = values.flags.writeable = False
        return Rows(ts[low:high], values)

    def holds(self, place: Path) -> bool:
        """Say whether there is a table."""
        return bool(_months(place))

    def span(self, place: Path) -> Span:
        """Return how much there is in a table that `holds`. Raises DataError as `read` does, and when it is empty."""
        months = [ts for path in _months(place) if len(ts := _frame(path, ("ts",))["ts"])]
        if not months:
            raise DataError(f"{place} has files without a row.", "Delete it and import its months again.")
        return Span(sum(map(len, months)), int(months[0][0]) * MS_NS, int(months[-1][-1]) * MS_NS)

    def _merge(self, path: Path, name: str, new: Rows, replace: bool) -> tuple[Rows, int]:
        """Return one month's rows, old and new, and how many of them are new."""
        if not path.exists():
            return new, len(new.ts)
        old = _load(path, self._kind)
        _, ours, theirs = np.intersect1d(new.ts, old.ts, assume_unique=True, return_indices=True)
        if not replace:
            differs = np.flatnonzero(_differs(new.values[:, ours], old.values[:, theirs]).any(axis=0))
            if len(differs):
                first = differs[0]
                raise self._conflict(
                    name, int(new.ts[ours[first]]), new.values[:, ours[first]], old.values[:, theirs[first]]
                )
        kept = np.ones(len(old.ts), dtype=bool)
        kept[theirs] = False
        joined = np.concatenate((old.ts[kept], new.ts))
        order = np.argsort(joined, kind="stable")
        values = np.hstack((old.values[:, kept], new.values))[:, order]
        return Rows(joined[order], values), len(new.ts) - len(ours)

    def _conflict(self, name: str, ts: int, new: FloatArray, old: FloatArray) -> DataError:
        noun, fields = self._kind
        at = int(_differs(new, old).argmax())
        return DataError(
            f"The {noun} of {name} at {show(ts)} differs from the stored one: {fields[at]} is {new[at]:.12g}, stored"
            f" {old[at]:.12g}.",
            f"Use --replace to let the new {noun}s win.",
        )

    def _refused(self, name: str, error: OSError) -> DataError:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            return DataError(
                f"There is no room in {self.folder} for the {self._kind.noun}s of {name}: {reason}.",
                "Make room on the disk and start again; what was stored before is whole.",
            )
        return DataError(f"{self.folder} cannot be written: {reason}.", "Check the disk and its permissions.")

    @contextmanager
    def _sole_writer(self) -> Iterator[None]:
        """Wait until no other process writes; the lock falls with the process that holds it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _check(ts: IntArray, kind: Kind, name: str) -> None:
    if not len(ts):
        raise DataError(f"There are no {kind.noun}s of {name} to store.")
    late = np.flatnonzero(ts[1:] <= ts[:-1])
    if len(late):
        raise DataError(
            f"{kind.noun.capitalize()} {late[0] + 2} of {name} at {show(int(ts[late[0] + 1]))} does not come after the"
            " one before it.",
            f"Sort the {kind.noun}s and drop duplicates first.",
        )
    if np.any(ts % MS_NS):
        raise DataError(f"The times of the {kind.noun}s of {name} are not in whole milliseconds.")


def _by_month(rows: Rows) -> Iterator[tuple[str, Rows]]:
    months = rows.ts.astype("datetime64[ns]").astype("datetime64[M]")
    starts = np.flatnonzero(np.r_[True, months[1:] != months[:-1]])
    for start, stop in zip(starts, np.r_[starts[1:], len(rows.ts)], strict=True):
        yield str(months[start]), Rows(rows.ts[start:stop], rows.values[:, start:stop])


def _differs(ours: FloatArray, theirs: FloatArray) -> NDArray[np.bool_]:
    return np.asarray((ours != theirs) & ~(np.isnan(ours) & np.isnan(theirs)))


def _stage(path: Path, kind: Kind, rows: Rows) -> tuple[Path, Path]:
    """Write one month beside its place and return both names, once its bytes are on the disk.

    The bytes are made in memory: a disk that refuses them is then an OSError, which no library has made its own.
    """
    import polars as pl

    frame = pl.DataFrame({"ts": rows.ts // MS_NS, **dict(zip(kind.fields, rows.values, strict=True))})
    content = io.BytesIO()
    frame.write_parquet(content, compression="zstd", metadata={_VERSION_KEY: str(SCHEMA_VERSION)})
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}{_TEMPORARY}")
    with temporary.open("wb") as file:
        file.write(content.getbuffer())
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


def _months(place: Path) -> list[Path]:
    return sorted(place.glob(_MONTHS))


def _load(path: Path, kind: Kind) -> Rows:
    frame = _frame(path, ("ts", *kind.fields))
    return Rows(frame["ts"].to_numpy() * MS_NS, np.vstack([frame[name].to_numpy() for name in kind.fields]))


def _frame(path: Path, columns: tuple[str, ...]) -> "pl.DataFrame":
    import polars as pl

    try:
        version = pl.read_parquet_metadata(path).get(_VERSION_KEY)
        if version != str(SCHEMA_VERSION):
            raise DataError(
                f"{path} has the schema {version or 'of another program'}, this program knows {SCHEMA_VERSION}.",
                "Import the data again, or use the version that wrote them.",
            )
        return pl.read_parquet(path, columns=list(columns), glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = next(iter(str(error).splitlines()), "")[:_LONGEST].rstrip(".") or type(error).__name__
        raise DataError(
            f"{path} cannot be read: {reason}.", "Delete it and import its month again."
        ) from error


def _overlaps(month: str, start: int | None, end: int | None) -> bool:
    first = np.datetime64(month, "M")
    opens, closes = (int(m.astype("datetime64[ns]").astype(np.int64)) for m in (first, first + 1))
    return (start is None or closes > start) and (end is None or opens < end)
