"""One stream of bars inside the engine: what is known so far, and the strategies that read it.

A series may be given its `tape`, the bars it is about to see (a backtest, or a recovery from the journal): signals are
then computed once over all of it, and row t is read at the close of bar t. Without a tape each close evaluates the bars
so far. Both give the same decisions exactly when the strategy looks at the past only, and a test holds them equal.
"""

from collections.abc import Iterator, Mapping

from abidance.market.bars import BarHistory, Bars
from abidance.model.market import Bar


class Series:
    """The bars of one instrument and timeframe so far.

    The shortest timeframe of an instrument `drives`: it gives the price and is what breakers watch.
    """

    __slots__ = (
        "_history",
        "_tape",
        "ahead",
        "drives",
        "instrument",
        "last_ts",
        "runners",
        "size",
        "timeframe",
        "universe",
    )

    def __init__(
        self,
        instrument: str,
        timeframe: str,
        past: Bars | None = None,
        tape: Bars | None = None,
    ) -> None:
        self.instrument = instrument
        self.timeframe = timeframe
        self.universe: Mapping[str, Bars] = {}
        self.size = len(past) if past is not None else 0
        self.last_ts = int(past.ts[-1]) if past is not None and self.size else -1
        self.ahead = len(tape) if tape is not None else 0
        self._tape = tape if tape is not None else past
        self._history: BarHistory | None = None
        self.runners: list[object] = []
        self.drives = True

    def append(self, bar: Bar) -> None:
        """Take the next closed bar."""
        self.last_ts = bar.ts
        self.size += 1
        if self.size > self.ahead:
            self._grow(bar)

    def _grow(self, bar: Bar) -> None:
        if self._history is None:
            self._history = BarHistory(self.instrument, self.timeframe, self.universe)
            if self._tape is not None:
                self._history.extend(self._tape.slice(0, self.size - 1))
        self._history.append(bar)

    def bars(self) -> Bars:
        """Return the bars so far."""
        if self._history is not None:
            return self._history.bars()
        if self._tape is None:
            return BarHistory(self.instrument, self.timeframe, self.universe).bars()
        return self._with_universe(self._tape.slice(0, self.size))

    def tape(self) -> Bars | None:
        """Return the bars up to the end of the tape, or None without a tape."""
        return self._with_universe(self._tape) if self.ahead and self._tape is not None else None

    def _with_universe(self, bars: Bars) -> Bars:
        return Bars(bars.instrument, bars.timeframe, bars.ts, bars.columns(), self.universe)


class Universe(Mapping[str, Bars]):
    """The other instruments' bars of one timeframe, as strategies ask for them."""

    def __init__(self, series: Mapping[tuple[str, str], Series], timeframe: str, *, whole: bool) -> None:
        self._series = series
        self._timeframe = timeframe
        self._whole = whole

    def __getitem__(self, instrument: str) -> Bars:
        """Return the instrument's bars so far (or its whole tape)."""
        series = self._series[instrument, self._timeframe]
        tape = series.tape() if self._whole else None
        return tape if tape is not None else series.bars()

    def __iter__(self) -> Iterator[str]:
        """Iterate over the instruments."""
        return (instrument for instrument, timeframe in self._series if timeframe == self._timeframe)

    def __len__(self) -> int:
        """Return the number of instruments."""
        return sum(1 for _ in self)
