"""All bars that a run can have: the user's store first, then the bundled sample, then longer bars built from shorter.

A series is taken whole from one place; two places are never mixed. Funding rates are the user's alone. Nothing is
written here.
"""

import hashlib
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache, partial
from importlib.resources import as_file, files
from typing import Protocol

import numpy as np

from abidance.market.bars import FIELDS, Bars
from abidance.market.build import Tape
from abidance.market.funding import Funding
from abidance.market.live.gaps import GapSpan
from abidance.market.store.moods import MoodStore
from abidance.market.store.shelves import BarStore, FundingStore, Holding, TradeStore, holes
from abidance.market.store.timerange import show
from abidance.market.store.tree import Folder
from abidance.market.stored import StoredBars
from abidance.market.terms import TermsStore, Version
from abidance.model.errors import DataError
from abidance.model.instrument import MS_NS, parse_instrument_id, timeframe_ns
from abidance.model.market import DataKind, FeedState

_SAMPLE = "binance_spot_7coins_1h_2023-01_2025-06.parquet"
_SAMPLE_TIMEFRAME = "1h"
_DOUBTS = frozenset(state.value for state in FeedState if state is not FeedState.CERTIFIED)
_SAMPLE_COINS = ("BTC", "ETH", "BNB", "SOL", "XRP", "ADA", "DOGE")


class _Shelf(Protocol):
    def holds(self, instrument: str, timeframe: str) -> bool: ...
    def series(self) -> Iterator[tuple[str, str]]: ...
    def read(
        self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None
    ) -> Bars: ...
    def inventory(self) -> list[Holding]: ...


class _Sample:
    """The bundled file, behind the same questions as the user's store."""

    def holds(self, instrument: str, timeframe: str) -> bool:
        return (instrument, timeframe) in set(self.series())

    def series(self) -> Iterator[tuple[str, str]]:
        return ((f"{coin}/USDT@BINANCE", _SAMPLE_TIMEFRAME) for coin in _SAMPLE_COINS)

    def read(self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None) -> Bars:
        return _cut(_sample()[instrument, timeframe], start, end)

    def inventory(self) -> list[Holding]:
        return [
            Holding(bars.instrument, bars.timeframe, len(bars), int(bars.ts[0]), int(bars.ts[-1]), "bundled")
            for bars in _sample().values()
        ]


@cache
def _sample() -> dict[tuple[str, str], Bars]:
    """Return the bundled bars by instrument and timeframe, in the file's order, as read-only arrays."""
    import polars as pl

    with as_file(files("abidance").joinpath("data", _SAMPLE)) as path:
        frame = pl.read_parquet(path, glob=False)
    found = {}
    for (symbol,), part in frame.group_by("symbol", maintain_order=True):
        id = f"{str(symbol).replace('-', '/')}@BINANCE"
        ts = part["ts"].to_numpy() * MS_NS
        columns = [part[name].to_numpy() for name in FIELDS]
        for column in (ts, *columns):
            column.flags.writeable = False
        found[id, _SAMPLE_TIMEFRAME] = Bars(id, _SAMPLE_TIMEFRAME, ts, columns)
    return found


def _cut(bars: Bars, start: int | None, end: int | None) -> Bars:
    low = 0 if start is None else int(np.searchsorted(bars.ts, start))
    high = len(bars) if end is None else int(np.searchsorted(bars.ts, end))
    return bars.slice(low, max(low, high))


class Catalog:
    """The bars of the user's `store` and of the bundled sample, as one, and the funding rates beside the user's.

    A series that is there as asked is preferred to one that must be built, and the user's to the bundled one.
    """

    def __init__(self, store: BarStore) -> None:
        self.store = store
        self._funding = FundingStore(store.tables)
        self._moods = MoodStore(store.tables)
        self._latest: StoredBars | None = None
        self._shelves: tuple[_Shelf, ...] = (store, _Sample(), self._moods)

    def read(self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None) -> Bars:
        """Return the bars that open from `start` up to, not including, `end` (ns UTC), oldest first, never none.

        A timeframe that is missing is built from the longest shorter one that divides it. Raises DataError, saying
        what there is, when the instrument, the timeframe or the time range is not there.
        """
        parse_instrument_id(instrument)
        shelf, base = self._find(instrument, timeframe)
        if base == timeframe:
            bars = shelf.read(instrument, timeframe, start, end)
        else:
            bars = _cut(shelf.read(instrument, base).higher(timeframe), start, end)
        if not len(bars):
            whole = shelf.read(instrument, base)
            raise DataError(
                f"There are no bars of {instrument} {timeframe} {_span(start, end)}.",
                f"There are bars from {show(int(whole.ts[0]))} to {show(int(whole.ts[-1]))}.",
            )
        return bars

    def stored(
        self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None
    ) -> Bars:
        """Return the same bars as `read`; prices of the user's own stay in the store, but for those asked for last."""
        bars = self.read(instrument, timeframe, start, end)
        if self._latest is not None:
            self._latest.leave()
            self._latest = None
        if not self.store.holds(instrument, timeframe):
            return bars
        self._latest = StoredBars(bars, partial(self.read, instrument, timeframe))
        return self._latest

    def funding(self, instrument: str, start: int | None = None, end: int | None = None) -> Funding | None:
        """Return the rates due from `start` up to, not including, `end` (ns UTC), or None when there are none."""
        return self._funding.read(instrument, start, end) or None

    def trades(self, instrument: str, start: int | None = None, end: int | None = None) -> Tape:
        """Return the user's trades from `start` up to, not including, `end` (ns UTC), oldest first, perhaps none."""
        return TradeStore(self.store.tables).read(instrument, start, end)

    def terms(self, instrument: str, ts: int | None = None) -> Version | None:
        """Return the terms that a venue set at `ts` (ns UTC, by default the newest), or None when none are known.

        They are kept beside files alone: a database knows none.
        """
        tables = self.store.tables
        return TermsStore(tables.folder).at(instrument, ts) if isinstance(tables, Folder) else None

    def gaps(self, instrument: str, start: int | None = None, end: int | None = None) -> tuple[GapSpan, ...]:
        """Return when the recorded quotes and trades of an instrument could not be trusted while somebody listened."""
        found = holes(self.store.tables, instrument, start, end)
        return tuple(
            GapSpan(instrument, kind, hole.start, hole.end, FeedState(state), reason)
            for kind in (DataKind.QUOTES, DataKind.TRADES)
            for hole in found.get(kind.value, ())
            for state, _, reason in (hole.reason.partition(": "),)
            if state in _DOUBTS
        )

    def inventory(self) -> list[Holding]:
        """Return everything that is stored, tapes of ticks also; what the user's store hides is left out."""
        found: dict[tuple[str, str], Holding] = {}
        for shelf in self._shelves:
            for holding in shelf.inventory():
                found.setdefault((holding.instrument, holding.timeframe), holding)
        return [*found.values(), *self._funding.inventory(), *TradeStore(self.store.tables).inventory()]

    def _find(self, instrument: str, timeframe: str) -> tuple[_Shelf, str]:
        step = timeframe_ns(timeframe)
        for shelf in self._shelves:
            if shelf.holds(instrument, timeframe):
                return shelf, timeframe
        there = [(shelf, own) for shelf in self._shelves for id, own in shelf.series() if id == instrument]
        for shelf in self._shelves:
            shorter = [own for at, own in there if at is shelf and step % timeframe_ns(own) == 0]
            if shorter:
                return shelf, max(shorter, key=timeframe_ns)
        raise self._missing(instrument, timeframe, [own for _, own in there])

    def _missing(self, instrument: str, timeframe: str, there: list[str]) -> DataError:
        remedy = f"Import them: abidance import-data FILE --instrument {instrument} -i {timeframe}"
        if there:
            has = ", ".join(sorted(set(there), key=timeframe_ns))
            return DataError(f"There are no bars of {instrument} {timeframe}, only {has}.", remedy)
        ids = list(dict.fromkeys(id for shelf in self._shelves for id, _ in shelf.series()))
        near = get_close_matches(instrument, ids, n=3, cutoff=0.7)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        return DataError(f"There are no bars of {instrument}; there are {_some(ids)}.", hint + remedy)


def _some(ids: list[str], limit: int = 12) -> str:
    more = f" and {len(ids) - limit} more" if len(ids) > limit else ""
    return ", ".join(ids[:limit]) + more


def _span(start: int | None, end: int | None) -> str:
    since = f"from {show(start)}" if start is not None else ""
    until = f"before {show(end)}" if end is not None else ""
    return f"{since} {until}".strip()


def fingerprint(*series: Bars | Funding) -> str:
    """Return the SHA-256, in hex, of what the series hold; the same content gives the same text in any order."""
    digest = hashlib.sha256()
    for name, each in sorted(((_name(each), each) for each in series), key=lambda named: named[0]):
        columns = each.columns() if isinstance(each, Bars) else (each.rate,)
        digest.update(f"{' '.join(name)} {len(each)}\n".encode())
        digest.update(np.ascontiguousarray(each.ts, dtype="<i8").data)
        for column in columns:
            digest.update(np.ascontiguousarray(column, dtype="<f8").data)
    return digest.hexdigest()


def _name(series: Bars | Funding) -> tuple[str, str]:
    return series.instrument, series.timeframe if isinstance(series, Bars) else "funding"
