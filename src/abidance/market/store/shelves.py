"""What a user keeps: bars by instrument and timeframe, funding rates by perpetual, tapes of ticks by instrument.

Shelves turn the values of the market into rows and back. Where the rows lie (a folder, a database) is not theirs to
know.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from abidance.market.bars import Bars
from abidance.market.funding import Funding
from abidance.market.store.spans import Hole
from abidance.market.store.tables import SERIES, TAPES, Place, Rows, Tables
from abidance.market.store.tree import Folder
from abidance.model.errors import DataError, UsageError
from abidance.model.instrument import timeframe_ns

if TYPE_CHECKING:
    from abidance.market.build import Tape

_DATABASES = ("postgresql://", "postgres://")


class Holding(msgspec.Struct, frozen=True):
    """What is stored of one thing: `first` and `last` are times of rows in ns UTC, `origin` is `stored` or `bundled`.

    Only bars have a timeframe. `fault` says why a series cannot be read and what to do; it has no rows then.
    """

    instrument: str
    timeframe: str
    rows: int
    first: int
    last: int
    origin: str = "stored"
    fault: str = ""
    kind: str = ""

    @property
    def is_funding(self) -> bool:
        """Return True for funding rates."""
        return self.kind == "funding"


def open_tables(where: Path | str | Tables) -> Tables:
    """Return the store in a folder, or at the URL of a PostgreSQL database.

    Raises UsageError when the database's driver is not installed, DataError when it cannot be reached.
    """
    if isinstance(where, Path):
        return Folder(where)
    if not isinstance(where, str):
        return where
    if where.startswith(_DATABASES):
        from abidance.market.store.postgres import Database

        return Database(where)
    if "://" in where:
        raise UsageError(
            f"{where.partition('://')[0]}:// is no store.",
            "Name a folder, or postgresql://user@host/database.",
        )
    return Folder(Path(where).expanduser())


class BarStore:
    """Bars in a folder or a database."""

    def __init__(self, where: Path | str | Tables) -> None:
        self.tables = open_tables(where)

    def write(self, bars: Bars, *, replace: bool = False) -> int:
        """Merge `bars` into what is stored and return how many are new. Raises DataError as `Tables.write` does."""
        rows = Rows(bars.ts, bars.columns())
        return self.tables.write(_bars(bars.instrument, bars.timeframe), rows, replace=replace)

    def read(self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None) -> Bars:
        """Return the stored bars that open from `start` up to, not including, `end` (ns UTC), perhaps none.

        Raises DataError when a file cannot be read or was written by a newer version.
        """
        return Bars(instrument, timeframe, *self.tables.read(_bars(instrument, timeframe), start, end))

    def place(self, instrument: str, timeframe: str) -> Path:
        """Return the folder of a series, whether or not there is anything in it. Raises DataError in a database."""
        if not isinstance(self.tables, Folder):
            raise DataError("A quality ledger is kept beside files alone.", "Check a store in a folder.")
        return self.tables.home(_bars(instrument, timeframe))

    def holds(self, instrument: str, timeframe: str) -> bool:
        """Say whether there is anything of this series."""
        return self.tables.holds(_bars(instrument, timeframe))

    def series(self) -> Iterator[tuple[str, str]]:
        """Yield the instrument and timeframe of everything stored, in order; other files are passed over."""
        return ((place.instrument, place.timeframe) for place in self.tables.places("bars"))

    def inventory(self) -> list[Holding]:
        """Return what is stored; a series that cannot be read is there with its fault."""
        return [holding(self.tables, place) for place in self.tables.places("bars")]


class FundingStore:
    """The funding rates of perpetuals, in the same place as the bars."""

    def __init__(self, where: Path | str | Tables) -> None:
        self.tables = open_tables(where)

    def write(self, funding: Funding, *, replace: bool = False) -> int:
        """Merge `funding` into what is stored and return how many are new. Raises DataError as `Tables.write` does."""
        rows = Rows(funding.ts, (funding.rate,))
        return self.tables.write(Place(funding.instrument, "funding"), rows, replace=replace)

    def read(self, instrument: str, start: int | None = None, end: int | None = None) -> Funding:
        """Return the stored rates that are due from `start` up to, not including, `end` (ns UTC), perhaps none."""
        ts, values = self.tables.read(Place(instrument, "funding"), start, end)
        return Funding(instrument, ts, values[0])

    def inventory(self) -> list[Holding]:
        """Return what is stored; a series that cannot be read is there with its fault, other files are passed over."""
        return [holding(self.tables, place) for place in self.tables.places("funding")]


class TradeStore:
    """The public trades of instruments, in the same place as the bars."""

    def __init__(self, where: Path | str | Tables) -> None:
        self.tables = open_tables(where)

    def read(self, instrument: str, start: int | None = None, end: int | None = None) -> "Tape":
        """Return the stored trades from `start` up to, not including, `end` (ns UTC), oldest first, perhaps none."""
        from abidance.market.build import Tape

        frame = self.tables.tape(Place(instrument, "trades"), start, end)
        return Tape(*(frame[name].to_numpy() for name in ("ts", "price", "size")))

    def inventory(self) -> list[Holding]:
        """Return what is stored of every kind of tape."""
        return [holding(self.tables, place) for kind in TAPES for place in self.tables.places(kind)]


def holes(
    tables: Tables, instrument: str, start: int | None = None, end: int | None = None
) -> dict[str, tuple[Hole, ...]]:
    """Return by kind the holes in what is stored of an instrument that reach into a stretch of time (ns UTC)."""
    found: dict[str, tuple[Hole, ...]] = {}
    for kind in (*TAPES, *SERIES):
        for place in tables.places(kind):
            if place.instrument == instrument:
                own = tables.spans(place).holes_in(start, end)
                found[kind] = tuple(dict.fromkeys((*found.get(kind, ()), *own)))
    return {kind: own for kind, own in found.items() if own}


def holding(tables: Tables, place: Place) -> Holding:
    """Return how much there is of something stored, or why it cannot be read."""
    try:
        rows, first, last = tables.span(place)
    except DataError as error:
        return Holding(place.instrument, place.timeframe, 0, 0, 0, fault=str(error), kind=place.kind)
    return Holding(place.instrument, place.timeframe, rows, first, last, kind=place.kind)


def _bars(instrument: str, timeframe: str) -> Place:
    timeframe_ns(timeframe)
    return Place(instrument, "bars", timeframe)
