"""Bars and funding rates from elsewhere, read from files into the store: one series or a panel of symbols.

What can be understood without doubt is (names, units, order, exact duplicates), and said; anything else is refused with
one sentence and a remedy. Prices are never repaired.
"""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from abidance.market.bars import FIELDS, Bars, IntArray
from abidance.market.files import Layout, read_columns, show_ms
from abidance.market.funding import Funding
from abidance.market.quality import (
    FundingReport,
    Grade,
    QualityReport,
    first_fault,
    inspect_bars,
    inspect_funding,
)
from abidance.market.store import BarStore, FundingStore, show
from abidance.model.errors import DataError, UsageError
from abidance.model.instrument import MS_NS, SECOND_NS, InstrumentName, parse_instrument_id, timeframe_ns

if TYPE_CHECKING:
    import polars as pl

_SYMBOL = ("symbol", "pair", "instrument", "ticker")
_TIME = ("ts", "ts_ms", "timestamp", "time", "unix", "date", "datetime", "open_time", "opentime")
_NAMES = {
    "symbol": _SYMBOL,
    "ts": _TIME,
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),
    "volume": ("volume", "v", "vol", "base_volume"),
}
_BARS = Layout(
    _NAMES,
    ("ts", *FIELDS),
    "Give a CSV, Parquet or Feather file with the columns ts, open, high, low, close, volume.",
)
_RATE = ("funding_rate", "fundingrate", "last_funding_rate", "rate")
_DUE = ("funding_time", "fundingtime", "fundingratetimestamp", "calc_time", *_TIME)
_FUNDING = Layout(
    # Freqtrade keeps a rate as the open of a bar that has nothing else.
    {"symbol": _SYMBOL, "ts": _DUE, "funding_rate": (*_RATE, "open"), "rate": _RATE, "high": ("high",)},
    ("ts", "funding_rate"),
    "Give a CSV, Parquet or Feather file with the columns ts and funding_rate.",
)
_MINUTE_MS = 60_000


class ImportResult(msgspec.Struct, frozen=True):
    """What an import did: `rows` were read, `added` are new in the store; `notices` say what was mended on the way.

    `duplicates` rows stood in the file again and are not among `rows`.
    """

    instrument: str
    timeframe: str
    rows: int
    duplicates: int
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
    frame, duplicates, notices = _orderly(read_file(path), instrument, "bars", path.name)
    ts = frame["ts"].to_numpy() * MS_NS
    bars = Bars(instrument, timeframe, ts, [frame[name].to_numpy() for name in FIELDS])
    _check_step(bars.ts, step, path.name)
    report = inspect_bars(bars)
    if fault := first_fault(bars):
        raise DataError(
            f"{path.name}: {' '.join(report.refusals)} The first is at {show(fault.ts)}: {fault.bar}.",
            "Mend or remove such rows, then import the file again; nothing was stored.",
        )
    added = store.write(bars, replace=replace)
    return ImportResult(instrument, timeframe, len(bars), duplicates, added, report, notices)


class FundingImport(msgspec.Struct, frozen=True):
    """What an import of funding rates did; the fields mean what they mean for bars."""

    instrument: str
    rows: int
    duplicates: int
    added: int
    report: FundingReport
    notices: tuple[str, ...]


def import_funding(
    path: Path, instrument: str, store: FundingStore, *, replace: bool = False
) -> FundingImport:
    """Read the funding rates of a perpetual from a file into `store`.

    Venues stamp a rate when they booked it, a little after the minute at which it was due: times are cut to the
    minute. Raises UsageError for an instrument that is no perpetual, and DataError as `import_file` does.
    """
    if parse_instrument_id(instrument).settle is None:
        raise UsageError(
            f"{instrument} is a spot pair, which has no funding.",
            "A perpetual is named with what it settles in, such as BTC/USDT:USDT@BINANCE.",
        )
    frame, duplicates, notices = _orderly(_read_rates(path), instrument, "rates", path.name)
    funding = Funding(instrument, frame["ts"].to_numpy() * MS_NS, frame["funding_rate"].to_numpy())
    report = inspect_funding(funding)
    if report.grade is Grade.REFUSED:
        raise DataError(f"{path.name}: {report.reasons[0]}", "Give rates as shares, or mend the file first.")
    added = store.write(funding, replace=replace)
    return FundingImport(instrument, len(funding), duplicates, added, report, notices)


def _read_rates(path: Path) -> "pl.DataFrame":
    frame = read_columns(path, _FUNDING)
    if "rate" not in frame.columns and "high" in frame.columns and (frame["high"] != 0).any():
        raise DataError(
            f"{path.name} holds bars, not funding rates.",
            "Leave out --funding, or name the column of the rates funding_rate.",
        )
    due = frame["ts"] - frame["ts"] % _MINUTE_MS
    return frame.with_columns(due).drop("rate", "high", strict=False)


def read_file(path: Path) -> "pl.DataFrame":
    """Return the rows of a file of bars as they stand in it. Raises DataError as `read_columns` does."""
    return read_columns(path, _BARS)


def _orderly(
    frame: "pl.DataFrame", instrument: str, what: str, file: str
) -> tuple["pl.DataFrame", int, tuple[str, ...]]:
    """Return the rows of one instrument, sorted, how many exact duplicates were dropped, and what was mended."""
    notices = []
    if "symbol" in frame.columns:
        frame = _pick(frame, parse_instrument_id(instrument), file)
    if not frame["ts"].is_sorted():
        frame = frame.sort("ts", maintain_order=True)
        notices.append("The rows were not in the order of time and have been sorted.")
    whole = frame.height
    frame = frame.unique(maintain_order=True)
    if duplicates := whole - frame.height:
        were = "s were" if duplicates > 1 else " was"
        notices.append(f"{duplicates:,} row{were} an exact duplicate and left out.")
    twice = frame["ts"].is_duplicated().arg_true()
    if len(twice):
        raise DataError(
            f"{file} has two different {what} at {show_ms(frame['ts'][twice[0]])} ({len(twice):,} such rows).",
            "Keep one of each; a file with several symbols needs a column `symbol`.",
        )
    return frame, duplicates, tuple(notices)


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
