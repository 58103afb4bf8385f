"""What the user keeps on disk: bars by instrument and timeframe, funding rates by perpetual.

    <folder>/BINANCE/BTC-USDT/bars/1h/2024-03.parquet            BTC/USDT@BINANCE
    <folder>/BYBIT/BTC-USDT-USDT/bars/1h/2024-03.parquet         BTC/USDT:USDT@BYBIT
    <folder>/BYBIT/BTC-USDT-USDT/funding/2024-03.parquet

Bars have their open time and open, high, low, close, volume; funding rates the time they are due and `rate`.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from abidance.market.bars import FIELDS, Bars
from abidance.market.funding import Funding
from abidance.market.store.tree import Kind, Rows, Tree
from abidance.model.errors import DataError, UsageError
from abidance.model.instrument import parse_instrument_id, timeframe_ns


class Holding(msgspec.Struct, frozen=True):
    """A stored series: `first` and `last` are times of rows in ns UTC, `origin` is `stored` or `bundled`.

    Funding rates have no timeframe. `fault` says why a series cannot be read and what to do; it has no rows then.
    """

    instrument: str
    timeframe: str
    rows: int
    first: int
    last: int
    origin: str = "stored"
    fault: str = ""

    @property
    def is_funding(self) -> bool:
        """Return True for funding rates, False for bars."""
        return not self.timeframe


class BarStore:
    """A folder of bars. It need not exist until something is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tree = Tree(folder, Kind("bar", FIELDS))

    def write(self, bars: Bars, *, replace: bool = False) -> int:
        """Merge `bars` into what is stored and return how many are new. Raises DataError as `Tree.write` does."""
        place = self.place(bars.instrument, bars.timeframe)
        rows = Rows(bars.ts, np.vstack(bars.columns()))
        return self._tree.write(place, f"{bars.instrument} {bars.timeframe}", rows, replace=replace)

    def read(self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None) -> Bars:
        """Return the stored bars that open from `start` up to, not including, `end` (ns UTC), perhaps none.

        Raises DataError when a file cannot be read or was written by a newer version.
        """
        return Bars(instrument, timeframe, *self._tree.read(self.place(instrument, timeframe), start, end))

    def holds(self, instrument: str, timeframe: str) -> bool:
        """Say whether there is anything of this series."""
        return self._tree.holds(self.place(instrument, timeframe))

    def series(self) -> Iterator[tuple[str, str]]:
        """Yield the instrument and timeframe of everything stored, in order; other files are passed over."""
        for place in sorted(self.folder.glob("*/*/bars/*")):
            instrument = _instrument(place.parents[1])
            if instrument and _is_timeframe(place.name) and self._tree.holds(place):
                yield instrument, place.name

    def inventory(self) -> list[Holding]:
        """Return what is stored; a series that cannot be read is there with its fault."""
        return [_holding(self._tree, self.place(*key), *key) for key in self.series()]

    def place(self, instrument: str, timeframe: str) -> Path:
        """Return the folder of a series, whether or not there is anything in it."""
        timeframe_ns(timeframe)
        return _home(self.folder, instrument) / "bars" / timeframe


class FundingStore:
    """The funding rates of perpetuals, in the same folder as the bars."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tree = Tree(folder, Kind("funding rate", ("rate",)))

    def write(self, funding: Funding, *, replace: bool = False) -> int:
        """Merge `funding` into what is stored and return how many rates are new. Raises DataError as `Tree.write`."""
        rows = Rows(funding.ts, funding.rate.reshape(1, -1))
        return self._tree.write(self._place(funding.instrument), funding.instrument, rows, replace=replace)

    def read(self, instrument: str, start: int | None = None, end: int | None = None) -> Funding:
        """Return the stored rates that are due from `start` up to, not including, `end` (ns UTC), perhaps none."""
        ts, values = self._tree.read(self._place(instrument), start, end)
        return Funding(instrument, ts, values[0])

    def inventory(self) -> list[Holding]:
        """Return what is stored; a series that cannot be read is there with its fault, other files are passed over."""
        places = [place for place in sorted(self.folder.glob("*/*/funding")) if self._tree.holds(place)]
        found = ((_instrument(place.parent), place) for place in places)
        return [_holding(self._tree, place, id) for id, place in found if id]

    def _place(self, instrument: str) -> Path:
        return _home(self.folder, instrument) / "funding"


def _holding(tree: Tree, place: Path, instrument: str, timeframe: str = "") -> Holding:
    try:
        return Holding(instrument, timeframe, *tree.span(place))
    except DataError as error:
        return Holding(instrument, timeframe, 0, 0, 0, fault=str(error))


def _home(folder: Path, instrument: str) -> Path:
    """Return the folder of all that belongs to an instrument."""
    name = parse_instrument_id(instrument)
    return folder / name.venue / "-".join(part for part in (name.base, name.quote, name.settle) if part)


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
