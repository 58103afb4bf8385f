"""What a connection must remember to tell more than its frames say: bars that have closed, funding that fell due.

Some venues never say that a bar is closed, or send only what changed of a ticker. Both are followed here, from what
one connection delivered and nothing else.
"""

import math

from abidance.model.market import Bar, BarUpdate, FundingRate, MarkPrice

_FRESH_NS = 60_000_000_000


class Bars:
    """Tell the last state of a bar as closed once a later bar of the same stream begins."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], Bar] = {}

    def see(self, bar: Bar) -> tuple[BarUpdate, ...]:
        """Return what a bar's new state means, in the order of time."""
        stream = bar.instrument, bar.timeframe
        before = self._open.get(stream)
        if before is not None and bar.ts < before.ts:
            return (BarUpdate(bar, is_closed=True),)
        self._open[stream] = bar
        if before is not None and bar.ts > before.ts:
            return (BarUpdate(before, is_closed=True), BarUpdate(bar, is_closed=False))
        return (BarUpdate(bar, is_closed=False),)


class Marks:
    """Complete partial tickers, and tell the funding rate when its time has passed.

    The rate is the last one that was announced, and is told only when that was within a minute of the due time.
    """

    def __init__(self) -> None:
        self._last: dict[str, MarkPrice] = {}

    def see(self, mark: MarkPrice) -> tuple[MarkPrice | FundingRate, ...]:
        """Return the mark price, filled up with what was known where it says NaN or 0, and funding that fell due."""
        before = self._last.get(mark.instrument)
        if before is not None:
            mark = MarkPrice(
                mark.ts,
                mark.instrument,
                before.mark if math.isnan(mark.mark) else mark.mark,
                before.index if math.isnan(mark.index) else mark.index,
                before.rate if math.isnan(mark.rate) else mark.rate,
                mark.ts_funding or before.ts_funding,
            )
        if math.isnan(mark.mark):
            return ()
        self._last[mark.instrument] = mark
        due = before.ts_funding if before is not None else 0
        if before is None or not due or not due <= mark.ts or mark.ts_funding <= due:
            return (mark,)
        if math.isnan(before.rate) or due - before.ts > _FRESH_NS:
            return (mark,)
        return (FundingRate(due, mark.instrument, before.rate, before.mark), mark)
