"""Readings of moods in the store, and the same as bars of any timeframe."""

from collections.abc import Iterator
from pathlib import Path

from abidance.market.bars import Bars
from abidance.market.readings import Readings, is_mood
from abidance.market.store.shelves import Holding, holding, open_tables
from abidance.market.store.tables import Place, Rows, Tables
from abidance.model.instrument import timeframe_ns

_KIND = "sentiment"


class MoodStore:
    """The readings of moods, in the same place as the bars; readable like a shelf of bars."""

    def __init__(self, where: Path | str | Tables) -> None:
        self.tables = open_tables(where)

    def write(self, readings: Readings) -> int:
        """Merge readings into what is stored and return how many are new. Raises DataError as `Tables.write` does."""
        rows = Rows(readings.ts, (readings.value, readings.count))
        return self.tables.write(Place(readings.instrument, _KIND), rows)

    def readings(self, instrument: str) -> Readings:
        """Return all stored readings of a mood, perhaps none."""
        ts, (value, count) = self.tables.read(Place(instrument, _KIND))
        return Readings(instrument, ts, value, count)

    def inventory(self) -> list[Holding]:
        """Return what is stored; a series that cannot be read is there with its fault."""
        return [holding(self.tables, place) for place in self.tables.places(_KIND)]

    # --- as bars

    def holds(self, instrument: str, timeframe: str) -> bool:
        """Say whether there are readings, whatever the timeframe."""
        is_one = is_mood(instrument) and timeframe_ns(timeframe) > 0
        return is_one and self.tables.holds(Place(instrument, _KIND))

    def series(self) -> Iterator[tuple[str, str]]:
        """Yield nothing: there is no timeframe of which there are more bars than of another."""
        return iter(())

    def read(self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None) -> Bars:
        """Return the bars that open from `start` up to, not including, `end` (ns UTC).

        The last reading holds for the length of two, or until `end`: how long it will, nobody knows yet.
        """
        readings = self.readings(instrument)
        if not len(readings):
            return readings.bars(timeframe, 0)
        last = int(readings.ts[-1])
        usual = last - int(readings.ts[-2]) if len(readings) > 1 else 0
        step = timeframe_ns(timeframe)
        held = last + 2 * max(usual, step)
        bars = readings.bars(timeframe, held if end is None else min(held, end + step), start)
        return bars if end is None else bars.slice(0, int(bars.ts.searchsorted(end)))
