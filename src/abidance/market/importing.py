"""Files of bars from elsewhere, read into the store: CSV, Parquet and Feather, one series or a panel of symbols.

What can be understood without doubt is (names, units, order, exact duplicates), and said; anything else is refused with
one sentence and a remedy. Prices are never repaired.
"""

import gzip
import io
import re
import zlib
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from abidance.market.bars import FIELDS, Bars, IntArray
from abidance.market.quality import Grade, QualityReport, contradictions, inspect_bars, sound_prices
from abidance.market.store import BarStore, show
from abidance.model.errors import DataError
from abidance.model.instrument import MS_NS, SECOND_NS, InstrumentName, parse_instrument_id, timeframe_ns

if TYPE_CHECKING:
    import polars as pl

_NAMES = {
    "symbol": ("symbol", "pair", "instrument", "ticker"),
    "ts": ("ts", "ts_ms", "timestamp", "time", "unix", "date", "datetime", "open_time", "opentime"),
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),
    "volume": ("volume", "v", "vol", "base_volume"),
}
_NEEDED = ("ts", *FIELDS)
_ISO = (
    r"^(?<date>\d{4}-\d{2}-\d{2})(?:[T ](?<time>\d{2}:\d{2})(?::(?<seconds>\d{2})(?:[.,](?<fraction>\d{1,9})\d*)?)?)?"
    r" ?(?:Z|UTC|(?<sign>[+-])(?<hours>\d{2}):?(?<minutes>\d{2})?)?$"
)
_NUMBER = re.compile(r"[\d.eE+-]+(_duplicated_\d+)?")  # a header that is none, as the CSV reader hands it on
_EARLIEST, _LATEST = (int(np.datetime64(year, "ms").astype(np.int64)) for year in ("2009", "2100"))
_FORMATS = "Give a CSV, Parquet or Feather file with the columns ts, open, high, low, close, volume."


class ImportResult(msgspec.Struct, frozen=True):
    """What an import did: `rows` were read, `added` are new in the store; `notices` say what was mended on the way."""

    instrument: str
    timeframe: str
    rows: int
    added: int
    report: QualityReport
    notices: tuple[str, ...]


def import_file(
    path: Path, instrument: str, timeframe: str, store: BarStore, *, replace: bool = False
) -> ImportResult:
    """Read the bars of `instrument` from a file into `store`.

    Raises DataError with a remedy for a file that cannot be read or trusted, and when a stored bar differs and not
    `replace`; then nothing is stored.
    """
    parse_instrument_id(instrument)
    step = timeframe_ns(timeframe)
    bars, notices = _series(read_file(path), instrument, timeframe, path.name)
    _check_step(bars.ts, step, path.name)
    report = inspect_bars(bars)
    if report.grade is Grade.REFUSED:
        raise DataError(
            f"{path.name}: {' '.join(report.reasons)} {_first_fault(bars)}".strip(), "Mend the file first."
        )
    added = store.write(bars, replace=replace)
    return ImportResult(instrument, timeframe, len(bars), added, report, notices)


def read_file(path: Path) -> "pl.DataFrame":
    """Return the rows of a file as they stand in it: `ts` (ms UTC), the five float columns, `symbol` if there is one.

    Times may be ISO text, dates, or numbers in seconds, ms, us or ns. Raises DataError for a file that is missing,
    empty, truncated or no table, and for columns that are missing or hold something else.
    """
    import polars as pl

    frame = _open(path)
    found = {name.strip().lower().replace(" ", "_"): name for name in reversed(frame.columns)}
    chosen = {ours: next((found[n] for n in names if n in found), None) for ours, names in _NAMES.items()}
    missing = [name for name in _NEEDED if chosen[name] is None]
    if missing:
        raise DataError(
            f"{path.name} has no column {', '.join(missing)}; it has {', '.join(frame.columns[:12]) or 'none'}.",
            "Needed are ts (or timestamp, time, date, open_time), open, high, low, close, volume: rename them.",
        )
    if not frame.height:
        raise DataError(f"{path.name} holds no rows.", _FORMATS)
    columns = [_times(frame[str(chosen["ts"])], path.name)]
    columns += [_floats(frame[str(chosen[name])].alias(name), path.name) for name in FIELDS]
    if chosen["symbol"] is not None:
        columns.append(frame[chosen["symbol"]].cast(pl.String).alias("symbol"))
    return pl.DataFrame(columns)


def _open(path: Path) -> "pl.DataFrame":
    import polars as pl

    if not path.is_file():
        raise DataError(f"There is no file {path}.", "Check the path.")
    if not path.stat().st_size:
        raise DataError(f"{path.name} is empty.", _FORMATS)
    kind = next((s for s in reversed(path.suffixes) if s != ".gz"), "").lower()
    try:
        if kind in {".parquet", ".pq"}:
            return pl.read_parquet(path, glob=False)
        if kind in {".feather", ".ipc", ".arrow"}:
            return pl.read_ipc(io.BytesIO(path.read_bytes()))
        if kind in {".csv", ".txt", ".tsv"}:
            return _open_csv(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, EOFError, zlib.error) as error:
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise DataError(
            f"{path.name} is not a readable {kind[1:]} file: {reason}.", "Download or export it again."
        ) from error
    raise DataError(f"{path.name} has an unknown format {kind or '(no suffix)'!r}.", _FORMATS)


def _open_csv(path: Path) -> "pl.DataFrame":
    """Return a CSV as text columns; without a header line the exchanges' order is meant: time, OHLC, volume."""
    import polars as pl

    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        separator = max(",;\t", key=file.readline(4096).decode(errors="replace").count)

    frame = pl.read_csv(path, separator=separator, infer_schema=False, glob=False)
    if len(frame.columns) >= len(_NEEDED) and all(map(_NUMBER.fullmatch, frame.columns[:6])):
        frame = pl.read_csv(path, separator=separator, infer_schema=False, has_header=False, glob=False)
        return frame.select(frame.columns[:6]).rename(dict(zip(frame.columns[:6], _NEEDED, strict=True)))
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
            f"{file}: a time reads as {_show_ms(odd[0])}, which no crypto market has seen.",
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


def _series(
    frame: "pl.DataFrame", instrument: str, timeframe: str, file: str
) -> tuple[Bars, tuple[str, ...]]:
    """Return the bars of one instrument, sorted, without exact duplicates, and what had to be done for that."""
    notices = []
    if "symbol" in frame.columns:
        frame = _pick(frame, parse_instrument_id(instrument), file)
    if not frame["ts"].is_sorted():
        frame = frame.sort("ts", maintain_order=True)
        notices.append("The rows were not in the order of time and have been sorted.")
    whole = frame.height
    frame = frame.unique(maintain_order=True)
    if frame.height < whole:
        count = whole - frame.height
        notices.append(f"{count:,} row{'s were' if count > 1 else ' was'} an exact duplicate and left out.")
    twice = frame["ts"].is_duplicated().arg_true()
    if len(twice):
        raise DataError(
            f"{file} has two different bars at {_show_ms(frame['ts'][twice[0]])} ({len(twice):,} such rows).",
            "Keep one of each; a file with several symbols needs a column `symbol`.",
        )
    ts = frame["ts"].to_numpy() * MS_NS
    return Bars(instrument, timeframe, ts, [frame[name].to_numpy() for name in FIELDS]), tuple(notices)


def _pick(frame: "pl.DataFrame", name: InstrumentName, file: str) -> "pl.DataFrame":
    """Return one symbol's rows of a panel, however the file spells its symbols."""
    import polars as pl

    symbols = {symbol: _canonical(str(symbol)) for symbol in frame["symbol"].unique().to_list()}
    wanted = f"{name.base}{name.quote}"
    spellings = {wanted + name.settle, f"{wanted}PERP"} if name.settle else {wanted}
    matches = [symbol for symbol, plain in symbols.items() if plain in spellings]
    if len(matches) != 1:
        pair = f"{name.base}/{name.quote}" + (f":{name.settle}" if name.settle else "")
        there = sorted(map(str, symbols))
        near = get_close_matches(f"{name.base}-{name.quote}", there, n=3, cutoff=0.6) or there[:8]
        found = f"{len(matches)} symbols that may be {pair}" if matches else f"no {pair}"
        raise DataError(
            f"{file} is a panel of {len(there)} symbols and holds {found}.",
            f"It has {', '.join(matches or near)}{', ...' if len(there) > len(matches or near) else ''}.",
        )
    return frame.filter(pl.col("symbol") == matches[0]).drop("symbol")


def _canonical(symbol: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", symbol.partition("@")[0].upper())


def _check_step(ts: IntArray, step: int, file: str) -> None:
    """Refuse bars whose most common distance is not the timeframe's."""
    if len(ts) < 2:
        return
    steps, counts = np.unique(np.diff(ts), return_counts=True)
    usual = int(steps[counts.argmax()])
    if usual != step:
        raise DataError(
            f"{file}: the bars are {_duration(usual)} apart, not {_duration(step)}.",
            f"Import them with -i {_duration(usual)}."
            if usual % SECOND_NS == 0
            else "Is the time in another unit?",
        )


def _duration(ns: int) -> str:
    for unit, seconds in (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if ns % (seconds * SECOND_NS) == 0:
            return f"{ns // (seconds * SECOND_NS)}{unit}"
    return f"{ns / SECOND_NS:g}s"


def _first_fault(bars: Bars) -> str:
    faulty = np.flatnonzero(~sound_prices(bars.columns()) | contradictions(bars.columns()))
    return f"The first is at {show(int(bars.ts[faulty[0]]))}." if len(faulty) else ""


def _show_ms(ts: int) -> str:
    try:
        return show(ts * MS_NS)
    except (ValueError, OverflowError):
        return str(ts)
