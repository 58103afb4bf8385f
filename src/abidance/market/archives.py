"""Exchanges' public archives into the store: Binance's, Bybit's, KuCoin's and Kraken's zips and CSV files as published.

What a file holds is told by its name; what its columns are, by its header or the venue's order. A file is read whole or
refused with a sentence; importing it twice adds nothing. Other CSV files are `importing`'s.
"""

import gzip
import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from abidance.market.bars import FIELDS, Bars
from abidance.market.build import Tape
from abidance.market.funding import Funding
from abidance.market.quality import first_fault
from abidance.market.store import BarStore, FundingStore, Place, Spans, Tables
from abidance.market.store.timerange import show
from abidance.model.errors import AbidanceError, DataError, UsageError
from abidance.model.instrument import SECOND_NS, parse_instrument_id, timeframe_ns

if TYPE_CHECKING:
    import polars as pl

_MINUTE = 60 * SECOND_NS
_QUOTES = (
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDD", "USD", "EUR", "GBP", "JPY", "TRY", "BRL", "DAI", "BTC", "ETH", "BNB",
    "KCS",
)  # fmt: skip
_QUOTES_OF = {
    "KRAKEN": ("USDT", "USDC", "USD", "EUR", "GBP", "JPY", "CHF", "CAD", "AUD", "DAI", "XBT", "BTC", "ETH")
}
_OTHER_NAMES = {"XBT": "BTC", "XDG": "DOGE"}
_DATE = r"(?P<date>\d{4}-\d{2}(?:-\d{2})?)"
_TIME = (
    "ts",
    "time",
    "timestamp",
    "open_time",
    "opentime",
    "transact_time",
    "tradetime",
    "trade_time",
    "calc_time",
)
_NAMES: Mapping[str, tuple[str, ...]] = {
    "ts": _TIME,
    **{name: (name,) for name in FIELDS},
    "price": ("price",),
    "size": ("size", "qty", "quantity", "volume", "amount"),
    "side": ("side", "taker_side"),
    "maker": ("is_buyer_maker", "isbuyermaker", "buyer_maker"),
    "id": ("id", "trade_id", "tradeid", "agg_trade_id", "trdmatchid"),
    "rate": ("last_funding_rate", "funding_rate", "fundingrate"),
}


class Layout(NamedTuple):
    """One kind of archive: how its files are called, what they hold, and their columns where they have no header."""

    venue: str
    name: re.Pattern[str]
    kind: str
    columns: tuple[str, ...]
    contract: bool = False
    prefix: str = ""


_BARS = ("ts", *FIELDS)
LAYOUTS = (
    Layout("BINANCE", re.compile(rf"(?P<symbol>[A-Z0-9_]+)-trades-{_DATE}"), "trades", ("id", "price", "size", "", "ts", "maker")),
    Layout(
        "BINANCE", re.compile(rf"(?P<symbol>[A-Z0-9_]+)-aggTrades-{_DATE}"), "trades",
        ("id", "price", "size", "", "", "ts", "maker"), prefix="a",
    ),
    Layout("BINANCE", re.compile(rf"(?P<symbol>[A-Z0-9_]+)-fundingRate-{_DATE}"), "funding", ("ts", "", "rate"), True),
    Layout("BINANCE", re.compile(rf"(?P<symbol>[A-Z0-9_]+)-(?P<frame>\d+[smhdw])-{_DATE}"), "bars", _BARS),
    Layout("BYBIT", re.compile(rf"(?P<symbol>[A-Z0-9]+)[_-]{_DATE}"), "trades", ("id", "ts", "price", "size", "side")),
    Layout(
        "BYBIT", re.compile(rf"(?P<symbol>[A-Z0-9]+?){_DATE}"), "trades",
        ("ts", "", "side", "size", "price", "", "id"), True,
    ),
    Layout("KUCOIN", re.compile(rf"(?P<symbol>[A-Z0-9-]+)-trades-{_DATE}"), "trades", ("id", "ts", "price", "size", "side")),
    Layout(
        "KUCOIN", re.compile(rf"(?P<symbol>[A-Z0-9-]+)-(?P<frame>\d+[smhdw])-{_DATE}"), "bars",
        ("ts", "open", "close", "high", "low", "volume"),
    ),
    Layout("KRAKEN", re.compile(r"(?P<symbol>[A-Z0-9]+)_(?P<minutes>\d+)"), "bars", _BARS),
    Layout("KRAKEN", re.compile(r"(?P<symbol>[A-Z0-9]+)"), "trades", ("ts", "price", "size")),
)  # fmt: skip


class ArchiveResult(NamedTuple):
    """What came of one file: how many rows of what it holds and how many were new, or why it was refused."""

    file: str
    what: str
    rows: int
    added: int
    fault: AbidanceError | None = None


class _Member(NamedTuple):
    path: str
    name: str
    content: bytes


def import_archives(
    place: Path, venue: str, tables: Tables, pair: str = "", *, replace: bool = False
) -> Iterator[ArchiveResult]:
    """Import a file, or every archive in a folder, of a venue, one result each; a bad file does not keep others away.

    `pair` names the instrument where the file's name does not (`BTC/USDT:USDT`). Raises UsageError for a venue whose
    archives are not known and for a place where there are none.
    """
    known = sorted({layout.venue for layout in LAYOUTS})
    if venue not in known:
        raise UsageError(f"The archives of {venue} are not known.", f"Known are those of {', '.join(known)}.")
    if not place.exists():
        what = "file" if place.suffix else "folder"
        raise UsageError(f"The {what} {place} is missing.", "Check the path after --from-files.")
    suffixes = (".zip", ".csv", ".csv.gz")
    files = (
        sorted(path for path in place.rglob("*") if path.name.endswith(suffixes))
        if place.is_dir()
        else [place]
    )
    if not files:
        raise UsageError(f"There are no archives in {place}.", f"They end in {', '.join(suffixes)}.")
    for file in files:
        try:
            members = list(_members(file))
        except (DataError, OSError) as error:
            fault = (
                error
                if isinstance(error, AbidanceError)
                else DataError(f"{file.name} cannot be read: {error}.")
            )
            yield ArchiveResult(file.name, "", 0, 0, fault)
            continue
        for member in members:
            yield _imported(member, venue, tables, pair, replace)


def _imported(member: _Member, venue: str, tables: Tables, pair: str, replace: bool) -> ArchiveResult:
    try:
        layout, found = _layout(member, venue)
        instrument = _instrument(layout, found["symbol"], member.path, pair)
        frame = _columns(member, layout)
        if layout.kind == "bars":
            minutes = int(found.get("minutes") or 0)
            timeframe = found.get("frame") or _timeframe(minutes)
            count, added = _bars(frame, instrument, timeframe, member.name, tables, replace)
            return ArchiveResult(member.name, f"bars of {instrument} {timeframe}", count, added)
        if layout.kind == "funding":
            ts = frame["ts"].to_numpy() // _MINUTE * _MINUTE
            rates = Funding(instrument, ts, frame["rate"].to_numpy())
            added = FundingStore(tables).write(rates, replace=replace)
            return ArchiveResult(member.name, f"funding rates of {instrument}", len(rates), added)
        tape = Tape(*(frame[name].to_numpy() for name in ("ts", "price", "size")))
        if bad := frame.height - len(tape.sound().ts):
            raise DataError(f"{member.name} has {bad:,} trades that cannot be.", "Download it again.")
        added = tables.append(Place(instrument, "trades"), frame)
        tables.compact(Place(instrument, "trades"))
        tables.note(Place(instrument, "trades"), Spans((_period(found.get("date"), frame),)))
        return ArchiveResult(member.name, f"trades of {instrument}", frame.height, added)
    except AbidanceError as error:
        return ArchiveResult(member.name, "", 0, 0, error)


def _members(file: Path) -> Iterator[_Member]:
    """Yield the tables in a file. Raises DataError for one that is damaged or not what its checksum says."""
    content = file.read_bytes()
    checksum = file.with_name(f"{file.name}.CHECKSUM")
    if checksum.is_file() and hashlib.sha256(content).hexdigest() not in checksum.read_text(errors="replace"):
        raise DataError(f"{file.name} is not what {checksum.name} says.", "Download it again.")
    try:
        if file.suffix == ".zip":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                for name in archive.namelist():
                    if name.endswith(".csv") and not Path(name).name.startswith("."):
                        yield _Member(f"{file.parent}/{name}", Path(name).name, archive.read(name))
        else:
            plain = gzip.decompress(content) if file.suffix == ".gz" else content
            yield _Member(str(file), file.name, plain)
    except (
        zipfile.BadZipFile,
        EOFError,
        gzip.BadGzipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise DataError(f"{file.name} is damaged: {error}.", "Download it again.") from error


def _layout(member: _Member, venue: str) -> tuple[Layout, dict[str, str]]:
    stem = member.name.removesuffix(".gz").removesuffix(".csv")
    for layout in LAYOUTS:
        if layout.venue == venue and (match := layout.name.fullmatch(stem)):
            return layout, {name: text for name, text in match.groupdict().items() if text}
    raise DataError(
        f"{member.name} is not called as {venue} calls its archives.",
        "Bring it in with: abidance import-data",
    )


def _instrument(layout: Layout, symbol: str, path: str, pair: str) -> str:
    if pair:
        id = pair if "@" in pair else f"{pair}@{layout.venue}"
        parse_instrument_id(id)
        return id
    plain = symbol.replace("-", "").replace("_", "").removesuffix("PERP")
    quote = next(
        (
            quote
            for quote in _QUOTES_OF.get(layout.venue, _QUOTES)
            if plain.endswith(quote) and len(plain) > len(quote)
        ),
        "",
    )
    if not quote:
        raise DataError(f"Which pair {symbol} is cannot be told.", "Name it with -p, such as -p BTC/USDT.")
    base, quote = (_OTHER_NAMES.get(part, part) for part in (plain.removesuffix(quote), quote))
    is_contract = layout.contract or "/futures/" in path.replace("\\", "/")
    id = f"{base}/{quote}{f':{quote}' if is_contract else ''}@{layout.venue}"
    parse_instrument_id(id)
    return id


def _columns(member: _Member, layout: Layout) -> "pl.DataFrame":
    """Return a table in our own columns, sorted by time. Raises DataError for what is no such table."""
    import polars as pl

    try:
        first = member.content[:4096].split(b"\n", 1)[0].decode("ascii", "replace").split(",")
        has_header = not re.fullmatch(r"[\d.eE+-]+", first[0].strip('" '))
        frame = pl.read_csv(io.BytesIO(member.content), has_header=has_header, infer_schema=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DataError(
            f"{member.name} is no table: {str(error).splitlines()[0]}.", "Download it again."
        ) from error
    frame = _named(frame, layout, has_header=has_header)
    needed = {"bars": ("ts", *FIELDS), "funding": ("ts", "rate")}.get(layout.kind, ("ts", "price", "size"))
    missing = [name for name in needed if name not in frame.columns]
    if missing or not frame.height:
        lacks = f"lacks {', '.join(missing)}" if missing else "holds no rows"
        raise DataError(f"{member.name} {lacks}.", "Download it again.")
    numbers = [pl.col(name).cast(pl.Float64, strict=False) for name in needed if name != "ts"]
    ours = frame.select(_nanos(), *numbers, *_trade_columns(frame, layout))
    wrong = ours.select(pl.any_horizontal(pl.all().is_null()).arg_true()).to_series()
    if len(wrong):
        raise DataError(f"{member.name}: row {wrong[0] + 1} cannot be read.", "Download it again.")
    return ours.sort("ts", maintain_order=True)


def _named(frame: "pl.DataFrame", layout: Layout, *, has_header: bool) -> "pl.DataFrame":
    if not has_header:
        pairs = zip(frame.columns, layout.columns, strict=False)
        return frame.rename({theirs: ours for theirs, ours in pairs if ours}).select(
            name for name in layout.columns[: len(frame.columns)] if name
        )
    there = {name.strip().lower().replace(" ", "_"): name for name in reversed(frame.columns)}
    chosen = {ours: next((there[n] for n in names if n in there), None) for ours, names in _NAMES.items()}
    if layout.kind == "bars":
        chosen["size"] = None
    else:
        chosen["volume"] = None
    import polars as pl

    return frame.select(pl.col(theirs).alias(ours) for ours, theirs in chosen.items() if theirs)


def _trade_columns(frame: "pl.DataFrame", layout: Layout) -> "list[pl.Expr]":
    """Return the taker's side, the id and the time of receipt of trades; who tells no side is taken as sold into."""
    import polars as pl

    if layout.kind != "trades":
        return []
    taker = pl.lit(value=False)
    if "maker" in frame.columns:
        taker = pl.col("maker").str.to_lowercase() != "true"
    elif "side" in frame.columns:
        taker = pl.col("side").str.to_lowercase() == "buy"
    id = pl.lit(layout.prefix) + pl.col("id") if "id" in frame.columns else pl.lit("")
    return [taker.alias("buyer_is_taker"), id.alias("id"), pl.lit(0, pl.Int64).alias("received")]


def _nanos() -> "pl.Expr":
    """Return times in s, ms, us or ns as ns: Binance went from ms to us in 2025, others write seconds and parts."""
    import polars as pl

    whole = pl.col("ts").str.extract(r"^\s*(\d+)", 1).cast(pl.Int64, strict=False)
    part = pl.col("ts").str.extract(r"\.(\d{1,9})", 1).fill_null("0").str.pad_end(9, "0").cast(pl.Int64)
    unit = pl.when(whole < 10**11).then(10**9).when(whole < 10**14).then(10**6).when(whole < 10**17)
    scale = unit.then(10**3).otherwise(1)
    return (whole * scale + part * scale // 10**9).alias("ts")


def _bars(
    frame: "pl.DataFrame", instrument: str, timeframe: str, file: str, tables: Tables, replace: bool
) -> tuple[int, int]:
    timeframe_ns(timeframe)
    frame = frame.unique(maintain_order=True)
    bars = Bars(instrument, timeframe, frame["ts"].to_numpy(), [frame[name].to_numpy() for name in FIELDS])
    if fault := first_fault(bars):
        raise DataError(f"{file}: the bar at {show(fault.ts)} cannot be: {fault.bar}.", "Download it again.")
    return len(bars), BarStore(tables).write(bars, replace=replace)


def _timeframe(minutes: int) -> str:
    for unit, length in (("d", 1440), ("h", 60)):
        if minutes and minutes % length == 0:
            return f"{minutes // length}{unit}"
    return f"{minutes}m"


def _period(date: str | None, frame: "pl.DataFrame") -> tuple[int, int]:
    """Return the time of which an archive holds all trades: its day or month, or from its first to its last trade."""
    if date is None:
        return int(frame["ts"][0]), int(frame["ts"][-1])
    start = np.datetime64(date, "M") if len(date) == len("2024-01") else np.datetime64(date, "D")
    first, last = (int(each.astype("datetime64[ns]").astype(np.int64)) for each in (start, start + 1))
    return first, last
