"""Foreign files as columns: CSV, Parquet and Feather, names and units as they come, times in ms UTC.

Which columns are wanted is the caller's to say. What cannot be understood without doubt is refused with one sentence
and a remedy.
"""

import gzip
import io
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from abidance.market.store import show
from abidance.model.errors import DataError
from abidance.model.instrument import MS_NS

if TYPE_CHECKING:
    import polars as pl

_ISO = (
    r"^(?<date>\d{4}-\d{2}-\d{2})(?:[T ](?<time>\d{2}:\d{2})(?::(?<seconds>\d{2})(?:[.,](?<fraction>\d{1,9})\d*)?)?)?"
    r" ?(?:Z|UTC|(?<sign>[+-])(?<hours>\d{2}):?(?<minutes>\d{2})?)?$"
)
_NUMBER = re.compile(r"[\d.eE+-]+(_duplicated_\d+)?")  # a header that is none, as the CSV reader hands it on
_EARLIEST, _LATEST = (int(np.datetime64(year, "ms").astype(np.int64)) for year in ("2009", "2100"))


class Layout(msgspec.Struct, frozen=True):
    """Which columns a file is to have: ours by name, each with the names that others give it, the likeliest first.

    `needed` must be there, `ts` first; they are also the order of the columns of a file without a header line. The
    others are read where they are there: `symbol` as text, the rest as numbers.
    """

    names: Mapping[str, Sequence[str]]
    needed: tuple[str, ...]
    shape: str


def read_columns(path: Path, layout: Layout) -> "pl.DataFrame":
    """Return the rows of a file as they stand in it: `ts` (ms UTC), then the layout's other columns that are there.

    Times may be ISO text, dates, or numbers in seconds, ms, us or ns. Raises DataError for a file that is missing,
    empty, truncated or no table, and for columns that are missing or hold something else.
    """
    import polars as pl

    frame = _open(path, layout)
    found = {name.strip().lower().replace(" ", "_"): name for name in reversed(frame.columns)}
    chosen = {
        ours: next((found[n] for n in names if n in found), None) for ours, names in layout.names.items()
    }
    missing = [name for name in layout.needed if chosen[name] is None]
    if missing:
        wanted = ", ".join(layout.needed[1:])
        raise DataError(
            f"{path.name} has no column {', '.join(missing)}; it has {', '.join(frame.columns[:12]) or 'none'}.",
            f"Needed are ts (or timestamp, time, date, open_time), {wanted}: rename them.",
        )
    if not frame.height:
        raise DataError(f"{path.name} holds no rows.", layout.shape)
    columns = [_times(frame[str(chosen["ts"])], path.name)]
    for ours, theirs in chosen.items():
        if theirs is not None and ours != "ts":
            column = frame[theirs].alias(ours)
            columns.append(column.cast(pl.String) if ours == "symbol" else _floats(column, path.name))
    return pl.DataFrame(columns)


def _open(path: Path, layout: Layout) -> "pl.DataFrame":
    import polars as pl

    if not path.is_file():
        raise DataError(f"There is no file {path}.", "Check the path.")
    if not path.stat().st_size:
        raise DataError(f"{path.name} is empty.", layout.shape)
    kind = next((s for s in reversed(path.suffixes) if s != ".gz"), "").lower()
    try:
        if kind in {".parquet", ".pq"}:
            return pl.read_parquet(path, glob=False)
        if kind in {".feather", ".ipc", ".arrow"}:
            return pl.read_ipc(io.BytesIO(path.read_bytes()))
        if kind in {".csv", ".txt", ".tsv"}:
            return _open_csv(path, layout.needed)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, EOFError, zlib.error) as error:
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise DataError(
            f"{path.name} is not a readable {kind[1:]} file: {reason}.", "Download or export it again."
        ) from error
    raise DataError(f"{path.name} has an unknown format {kind or '(no suffix)'!r}.", layout.shape)


def _open_csv(path: Path, order: tuple[str, ...]) -> "pl.DataFrame":
    """Return a CSV as text columns; without a header line the columns are meant in `order`."""
    import polars as pl

    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        separator = max(",;\t", key=file.readline(4096).decode(errors="replace").count)

    frame = pl.read_csv(path, separator=separator, infer_schema=False, glob=False)
    first = frame.columns[: len(order)]
    if len(first) == len(order) and all(map(_NUMBER.fullmatch, first)):
        frame = pl.read_csv(path, separator=separator, infer_schema=False, has_header=False, glob=False)
        first = frame.columns[: len(order)]
        return frame.select(first).rename(dict(zip(first, order, strict=True)))
    return frame


def _floats(column: "pl.Series", file: str) -> "pl.Series":
    import polars as pl

    _refuse_other_types(column, file)
    if column.dtype == pl.String:
        column = column.str.strip_chars()
    numbers = column.cast(pl.Float64, strict=False)
    wrong = numbers.is_null().arg_true()
    if len(wrong):
        value = column[wrong[0]]
        what = "nothing" if value is None or value == "" else repr(value)
        raise DataError(
            f"{file}: row {wrong[0] + 1} has {what} where {column.name} should be a number ({len(wrong):,} such rows).",
            "Mend or drop those rows; decimals are written with a point.",
        )
    return numbers


def _times(column: "pl.Series", file: str) -> "pl.Series":
    """Return a column of times, however written, as int64 ms UTC named `ts`."""
    import polars as pl

    if isinstance(column.dtype, pl.Datetime):
        ms = column.dt.timestamp("ms")
    elif column.dtype == pl.Date:
        ms = column.cast(pl.Datetime("ms")).dt.timestamp("ms")
    else:
        _refuse_other_types(column, file)
        text = column.str.strip_chars() if column.dtype == pl.String else column
        numbers = text.cast(pl.Int64, strict=False).fill_null(
            text.cast(pl.Float64, strict=False).cast(pl.Int64, strict=False)
        )
        is_text = column.dtype == pl.String and numbers.null_count() == len(numbers)
        ms = _iso(text) if is_text else _to_ms(numbers)
    wrong = ms.is_null().arg_true()
    if len(wrong):
        raise DataError(
            f"{file}: row {wrong[0] + 1} has no readable time: {column[wrong[0]]!r} ({len(wrong):,} such rows).",
            "Write ISO dates (2024-01-31 13:00) in UTC, or seconds, ms, us or ns since 1970.",
        )
    odd = ms.filter((ms < _EARLIEST) | (ms >= _LATEST))
    if len(odd):
        raise DataError(
            f"{file}: a time reads as {show_ms(odd[0])}, which no crypto market has seen.",
            "Write ISO dates in UTC, or seconds, ms, us or ns since 1970, the same in all rows.",
        )
    return ms.alias("ts")


def _refuse_other_types(column: "pl.Series", file: str) -> None:
    import polars as pl

    if not (column.dtype.is_numeric() or column.dtype in (pl.String, pl.Null)):
        raise DataError(
            f"{file}: the column {column.name} holds {column.dtype}, not numbers.", "Export it as numbers."
        )


def _iso(column: "pl.Series") -> "pl.Series":
    """Return ISO text as ms UTC; text without an offset is UTC, what cannot be read is null."""
    import polars as pl

    part = column.str.extract_groups(_ISO).struct.field
    clock = part("time").fill_null("00:00") + ":" + part("seconds").fill_null("00")
    moment = (part("date") + " " + clock).str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="ms", strict=False)
    millis = part("fraction").fill_null("0").str.pad_end(3, "0").str.slice(0, 3).cast(pl.Int64)
    hours, minutes = (part(name).fill_null("0").cast(pl.Int64) for name in ("hours", "minutes"))
    sign = (part("sign") == "-").fill_null(value=False).cast(pl.Int64) * -2 + 1
    return moment.dt.timestamp("ms") + millis - sign * (hours * 60 + minutes) * 60_000


def _to_ms(numbers: "pl.Series") -> "pl.Series":
    """Return times since 1970 in ms, whatever their unit, which the size of the middle one gives away."""
    middle = (
        float(np.median(np.abs(numbers.drop_nulls().to_numpy())))
        if numbers.null_count() < len(numbers)
        else 0.0
    )
    if middle < 10**11:
        return numbers * 1_000
    if middle < 10**14:
        return numbers
    return numbers // (1_000 if middle < 10**17 else MS_NS)


def show_ms(ts: int) -> str:
    """Return a time in ms as people read it, or the bare number when it is none."""
    try:
        return show(ts * MS_NS)
    except (ValueError, OverflowError):
        return str(ts)
