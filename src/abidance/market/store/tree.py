"""The store on disk: Parquet files by venue, instrument, kind, timeframe and month.

    <folder>/BINANCE/BTC-USDT/bars/1h/2024-03.parquet            BTC/USDT@BINANCE
    <folder>/BYBIT/BTC-USDT-USDT/bars/1h/2024-03.parquet         BTC/USDT:USDT@BYBIT
    <folder>/BYBIT/BTC-USDT-USDT/funding/2024-03.parquet
    <folder>/BYBIT/BTC-USDT-USDT/trades/2024-03.parquet          what was compacted
    <folder>/BYBIT/BTC-USDT-USDT/trades/2024-03+000017.parquet   what was appended since, in this order
    <folder>/BYBIT/BTC-USDT-USDT/trades/spans.json               which times are whole, and where holes are

Series have `ts` in ms UTC, tapes in ns; the schema's version stands in each file's metadata. A month of a series is
replaced whole. A tape grows by pieces; a compacted file names the last piece that it took in, so that a piece that a
kill left behind counts no more. A file that is being written has a name that no reader looks for. Only one process
writes at a time. What rows look like inside is not checked: that is `quality`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from abidance.market.store import disk
from abidance.market.store.spans import Spans
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
from abidance.model.instrument import MS_NS, parse_instrument_id, timeframe_ns

if TYPE_CHECKING:
    import polars as pl

_MONTH = "[0-9][0-9][0-9][0-9]-[0-9][0-9]"
_PIECE = "[0-9][0-9][0-9][0-9][0-9][0-9]"
_SPANS = "spans.json"
_MOST_PIECES = 720
"""So many pieces may a month of a tape have before appending to it compacts it."""


class _Month(NamedTuple):
    """The files of one month of a tape that count, oldest first, and the number of the last piece ever written."""

    files: list[Path]
    last: int
    dead: list[Path]


class Folder:
    """A store in a folder, which need not exist until something is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def where(self) -> str:
        """Return the folder."""
        return str(self.folder)

    # --- series

    def write(self, place: Place, rows: Rows, *, replace: bool = False) -> int:
        """Merge rows into a series; a disk that refuses leaves some months new, and each of them whole."""
        check(place, rows)
        home = self.home(place)
        try:
            with disk.sole_writer(self.folder):
                disk.sweep(home)
                joined = [
                    (home / f"{month}.parquet", *self._merge(home / f"{month}.parquet", place, part, replace))
                    for month, part in _by_month(rows)
                ]
                disk.put((path, _series_file(place.kind, each)) for path, each, _ in joined)
        except OSError as error:
            what = f"the {SERIES[place.kind].noun}s of {place.name}"
            raise disk.refusal(self.folder, what, error) from error
        return sum(added for _, _, added in joined)

    def _merge(self, path: Path, place: Place, new: Rows, replace: bool) -> tuple[Rows, int]:
        old = _load([path], place.kind) if path.exists() else None
        return merged(place, new, old, replace=replace) if old is not None else (new, len(new.ts))

    def read(self, place: Place, start: int | None = None, end: int | None = None) -> Rows:
        """Return a series' rows between two moments."""
        wanted = [path for path in _months(self.home(place)) if _overlaps(path.stem, start, end)]
        return _load(wanted, place.kind).between(start, end)

    # --- tapes

    def append(self, place: Place, frame: "pl.DataFrame") -> int:
        """Add rows to a tape as one piece a month; those that are there already are left out."""
        import polars as pl

        frame = frame.select(pl.col(name).cast(type) for name, type in tape_schema(place.kind).items())
        if not frame.height:
            return 0
        home, added = self.home(place), 0
        month = pl.from_epoch("ts", time_unit="ns").dt.strftime("%Y-%m")
        try:
            with disk.sole_writer(self.folder):
                disk.sweep(home)
                pieces = []
                for (name,), part in frame.group_by(month, maintain_order=True):
                    known = self._pieces(home, str(name))
                    part = part.sort("ts", maintain_order=True)
                    first, last = int(part["ts"][0]), int(part["ts"][-1])
                    fresh = unknown_rows(place.kind, part, _tape(known.files, place.kind, first, last + 1))
                    if not fresh.height:
                        continue
                    added += fresh.height
                    if len(known.files) > _MOST_PIECES:
                        known = self._compact(place, str(name), known)
                    path = home / f"{name}+{known.last + 1:06d}.parquet"
                    pieces.append((path, disk.parquet(fresh, SCHEMA_VERSION, "lz4")))
                disk.put(pieces)
        except OSError as error:
            what = f"the {TAPES[place.kind].noun}s of {place.name}"
            raise disk.refusal(self.folder, what, error) from error
        return added

    def tape(self, place: Place, start: int | None = None, end: int | None = None) -> "pl.DataFrame":
        """Return a tape's rows between two moments; what has the same time stays in the order of its appending."""
        return _tape(self.files(place, start, end), place.kind, start, end)

    def files(self, place: Place, start: int | None = None, end: int | None = None) -> list[Path]:
        """Return the files that hold the rows between two moments."""
        home = self.home(place)
        if place.kind in SERIES:
            return [path for path in _months(home) if _overlaps(path.stem, start, end)]
        names = sorted({path.name[:7] for path in home.glob(f"{_MONTH}*.parquet")})
        wanted = [name for name in names if _overlaps(name, start, end)]
        return [path for name in wanted for path in self._pieces(home, name).files]

    def compact(self, place: Place) -> int:
        """Bring each month of a tape into one file; series are always compact."""
        if place.kind in SERIES:
            return 0
        home, gone = self.home(place), 0
        if not home.is_dir():
            return 0
        try:
            with disk.sole_writer(self.folder):
                disk.sweep(home)
                for name in sorted({path.name[:7] for path in home.glob(f"{_MONTH}+{_PIECE}.parquet")}):
                    known = self._pieces(home, name)
                    self._compact(place, name, known)
                    gone += len(known.files) + len(known.dead) - 1
        except OSError as error:
            raise disk.refusal(self.folder, f"the compacted {place.kind} of {place.name}", error) from error
        return gone

    def _compact(self, place: Place, month: str, known: _Month) -> _Month:
        home = self.home(place)
        whole = home / f"{month}.parquet"
        if known.files != [whole]:
            frame = _tape(known.files, place.kind)
            disk.put([(whole, disk.parquet(frame, SCHEMA_VERSION, "lz4", last=str(known.last)))])
        for piece in (*known.files, *known.dead):
            if piece != whole:
                piece.unlink(missing_ok=True)
        disk.sync_folder(home)
        return _Month([whole], known.last, [])

    def _pieces(self, home: Path, month: str) -> _Month:
        whole = home / f"{month}.parquet"
        files = [whole] if whole.exists() else []
        taken = int(disk.metadata(files, SCHEMA_VERSION)[0].get("last", "0")) if files else 0
        pieces = sorted(home.glob(f"{month}+{_PIECE}.parquet"))
        live = [path for path in pieces if _number(path) > taken]
        dead = [path for path in pieces if _number(path) <= taken]
        return _Month(files + live, _number(live[-1]) if live else taken, dead)

    # --- what there is

    def holds(self, place: Place) -> bool:
        """Say whether there is a file."""
        home = self.home(place)
        return any(home.glob(f"{_MONTH}.parquet")) or any(home.glob(f"{_MONTH}+{_PIECE}.parquet"))

    def span(self, place: Place) -> Span:
        """Return how much there is. Raises DataError as `read` does, and when it is empty."""
        scale = MS_NS if place.kind in SERIES else 1
        times = [
            ts for path in self.files(place) if len(ts := disk.columns([path], ["ts"], SCHEMA_VERSION)[0])
        ]
        if not times:
            raise DataError(
                f"{self.home(place)} has files without a row.", "Delete it and import its months again."
            )
        first, last = (min(int(ts[0]) for ts in times), max(int(ts[-1]) for ts in times))
        return Span(sum(map(len, times)), first * scale, last * scale)

    def places(self, kind: str) -> Iterator[Place]:
        """Yield everything of a kind, in order; folders with other names are passed over."""
        for home in sorted(self.folder.glob(f"*/*/{kind}/*" if kind == "bars" else f"*/*/{kind}")):
            timeframe = home.name if kind == "bars" else ""
            own = home.parents[1] if kind == "bars" else home.parent
            if (instrument := _instrument(own)) and (not timeframe or _is_timeframe(timeframe)):
                place = Place(instrument, kind, timeframe)
                if self.holds(place):
                    yield place

    def spans(self, place: Place) -> Spans:
        """Return what is known of the times of a place. Raises DataError when that cannot be read."""
        path = self.home(place) / _SPANS
        try:
            return msgspec.json.decode(path.read_bytes(), type=Spans)
        except FileNotFoundError:
            return Spans()
        except (OSError, msgspec.DecodeError) as error:
            raise DataError(
                f"{path} cannot be read: {error}.", "Delete it: what is whole is then asked for again."
            ) from error

    def note(self, place: Place, spans: Spans) -> None:
        """Join `spans` with what is known."""
        path = self.home(place) / _SPANS
        try:
            with disk.sole_writer(self.folder):
                disk.put([(path, msgspec.json.encode(self.spans(place).joined(spans)))])
        except OSError as error:
            raise disk.refusal(self.folder, f"the spans of {place.name}", error) from error

    def sql(self, query: str, rows: int | None = None) -> "pl.DataFrame":
        """Answer a query with DuckDB, in memory."""
        from abidance.market.store.sql import ask

        return ask(self, query, rows)

    def close(self) -> None:
        """Let go of nothing: files are open only while they are read or written."""

    def home(self, place: Place) -> Path:
        """Return the folder of a place. Raises UsageError for a name that is none."""
        name = parse_instrument_id(place.instrument)
        pair = "-".join(part for part in (name.base, name.quote, name.settle) if part)
        home = self.folder / name.venue / pair / place.kind
        if place.timeframe:
            timeframe_ns(place.timeframe)
            return home / place.timeframe
        return home


def _series_file(kind: str, rows: Rows) -> bytes:
    import polars as pl

    columns = dict(zip(SERIES[kind].fields, rows.values, strict=True))
    # Bars are read far more often than written: a million is there four times as fast as with zstd, for twice the disk.
    return disk.parquet(pl.DataFrame({"ts": rows.ts // MS_NS, **columns}), SCHEMA_VERSION, "uncompressed")


def _load(paths: list[Path], kind: str) -> Rows:
    fields = SERIES[kind].fields
    if not paths:
        return Rows(np.empty(0, np.int64), tuple(np.empty(0) for _ in fields))
    ts, *values = disk.columns(paths, ["ts", *fields], SCHEMA_VERSION)
    ts *= MS_NS
    return Rows(ts, tuple(values))


def _tape(files: list[Path], kind: str, start: int | None = None, end: int | None = None) -> "pl.DataFrame":
    import polars as pl

    schema = tape_schema(kind)
    if not files:
        return pl.DataFrame(schema=schema)
    only = None
    for bound in (
        None if start is None else pl.col("ts") >= start,
        None if end is None else pl.col("ts") < end,
    ):
        if bound is not None:
            only = bound if only is None else only & bound
    frame = disk.read(files, list(schema), SCHEMA_VERSION, only)
    # A stable sort: what has the same time stays in the order in which it was appended.
    return frame if frame["ts"].is_sorted() else frame.sort("ts", maintain_order=True)


def _by_month(rows: Rows) -> Iterator[tuple[str, Rows]]:
    months = rows.ts.astype("datetime64[ns]").astype("datetime64[M]")
    starts = np.flatnonzero(np.r_[True, months[1:] != months[:-1]])
    for start, stop in zip(starts, np.r_[starts[1:], len(rows.ts)], strict=True):
        yield (
            str(months[start]),
            Rows(rows.ts[start:stop], tuple(column[start:stop] for column in rows.values)),
        )


def _months(home: Path) -> list[Path]:
    return sorted(home.glob(f"{_MONTH}.parquet"))


def _number(piece: Path) -> int:
    return int(piece.stem.partition("+")[2])


def _overlaps(month: str, start: int | None, end: int | None) -> bool:
    first = np.datetime64(month, "M")
    opens, closes = (int(m.astype("datetime64[ns]").astype(np.int64)) for m in (first, first + 1))
    return (start is None or closes > start) and (end is None or opens < end)


def _instrument(home: Path) -> str:
    """Return the id that a folder stands for, or nothing."""
    base, _, rest = home.name.partition("-")
    quote, dash, settle = rest.partition("-")
    id = f"{base}/{quote}{':' if dash else ''}{settle}@{home.parent.name}"
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
