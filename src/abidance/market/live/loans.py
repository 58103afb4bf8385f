"""What other venues lend an instrument while its own stream is in doubt: which of them, which bars, told to everybody.

A stream in doubt stays in doubt. Its status names in `served_by` whose data comes in its place, before that data
comes, so that whoever reads the record later knows what was used. A lender serves only while its own stream of the
kind is certified, and only after its prices were seen to agree with the borrower's while both were certified.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from abidance.market.live.certificates import Key
from abidance.market.live.slices import Series
from abidance.model.instrument import Instrument
from abidance.model.market import Bar, DataKind, FeedState, FeedStatus, Quote

APART = 0.01
"""How far the mids of two venues may be apart, as a share of the borrower's."""
KEPT = 100
"""So many bars of each lender's series are kept until it is known whether they are needed."""
_replace = msgspec.structs.replace


Failover = Literal["prices", "exits", "entries"]
"""What the data of a stand-in may do while an instrument's own stream is in doubt.

`prices`: its quotes value positions and exits. `exits`: strategies go on with its bars, quotes and trades, and may
leave positions. `entries`: they may take new risk too.
"""


def can_stand_in(lender: Instrument, borrower: Instrument) -> bool:
    """Say whether bars of one may continue bars of the other: the same assets, in the same kind of market."""
    one, other = lender.name, borrower.name
    return (one.base, one.quote, one.settle, lender.kind) == (
        other.base,
        other.quote,
        other.settle,
        borrower.kind,
    )


class Loans:
    """Who serves which stream. `lenders` stand in order of preference; `tell` receives each status, marked."""

    def __init__(
        self, lenders: Mapping[str, Sequence[str]], tell: Callable[[FeedStatus], None], *, suffices: bool
    ) -> None:
        self._lenders = lenders
        self._tell = tell
        self._suffices = suffices
        self._borrowers: dict[str, list[str]] = {}
        for borrower, names in lenders.items():
            for name in names:
                self._borrowers.setdefault(name, []).append(borrower)
        self._own: dict[Key, FeedStatus] = {}
        self._told: dict[Key, FeedStatus] = {}
        self._withheld: set[Key] = set()
        self._mids: dict[str, float] = {}
        self._agree: set[tuple[str, str]] = set()

    def borrowers(self, lender: str) -> Sequence[str]:
        """Return the instruments that an instrument may serve."""
        return self._borrowers.get(lender, ())

    def server(self, instrument: str, kind: DataKind) -> str:
        """Return whose data serves a stream now, as everybody was told; empty when its own does, or none."""
        told = self._told.get((instrument, kind))
        return told.served_by if told is not None else ""

    def lender(self, instrument: str, kind: DataKind) -> str:
        """Return who could serve a stream now, empty when nobody could."""
        for name in self._lenders.get(instrument, ()):
            own = self._own.get((name, kind))
            if own is not None and own.state is FeedState.CERTIFIED and (instrument, name) in self._agree:
                return name
        return ""

    def take(self, status: FeedStatus) -> None:
        """Take what became of a stream, of a borrower, a lender or neither."""
        key = (status.instrument, status.kind)
        self._own[key] = status
        self._settle(key, status.ts)
        for borrower in self.borrowers(status.instrument):
            self._settle((borrower, status.kind), status.ts)

    def withhold(self, ts: int, key: Key, *, held: bool) -> None:
        """Let a stream be served by nobody for now: its own data may yet come."""
        if held is not (key in self._withheld):
            (self._withheld.add if held else self._withheld.discard)(key)
            self._settle(key, ts)

    def compare(self, quote: Quote, ts: int) -> None:
        """Take a certified quote of a borrower or a lender: only while both are certified they can be compared."""
        id = quote.instrument
        if id not in self._lenders and id not in self._borrowers:
            return
        self._mids[id] = (quote.bid + quote.ask) / 2
        pairs = [(id, lender) for lender in self._lenders.get(id, ())]
        for pair in pairs + [(borrower, id) for borrower in self.borrowers(id)]:
            if all(self._is_certified((each, DataKind.QUOTES)) and each in self._mids for each in pair):
                own, lent = (self._mids[each] for each in pair)
                agrees = abs(lent - own) <= APART * own
                if agrees is not (pair in self._agree):
                    (self._agree.add if agrees else self._agree.discard)(pair)
                    for kind in DataKind:
                        self._settle((pair[0], kind), ts)

    def _is_certified(self, key: Key) -> bool:
        own = self._own.get(key)
        return own is not None and own.state is FeedState.CERTIFIED

    def _settle(self, key: Key, ts: int) -> None:
        """Tell a stream's status when it is another than was told."""
        own = self._own.get(key)
        if own is None:
            return
        server = "" if own.state is FeedState.CERTIFIED or key in self._withheld else self.lender(*key)
        status = _replace(own, ts=ts)
        if server:
            reason = f"{own.reason} Served by {server}.".lstrip()
            status = _replace(status, reason=reason, served_by=server, suffices=self._suffices)
        before = self._told.get(key)
        if before is None or _replace(before, ts=ts) != status:
            self._told[key] = status
            self._tell(status)


class Spares:
    """Closed bars of lenders, kept until it is known whether the borrower's own come."""

    def __init__(self, lenders: Mapping[str, Sequence[str]], following: Mapping[Series, int]) -> None:
        self.series = tuple(series for series in following if series[0] in lenders)
        self._kept: dict[Series, dict[int, Bar]] = {
            (lender, timeframe): {} for id, timeframe in self.series for lender in lenders[id]
        }

    def keep(self, bar: Bar) -> bool:
        """Keep a lender's bar; return whether it is one."""
        kept = self._kept.get((bar.instrument, bar.timeframe))
        if kept is None:
            return False
        kept[bar.ts] = bar
        if len(kept) > KEPT:
            del kept[min(kept)]
        return True

    def bars(self, lender: str, series: Series) -> Iterator[Bar]:
        """Yield what a lender has for a series, oldest first, under the name of the borrower."""
        kept = self._kept.get((lender, series[1]), {})
        for ts in sorted(kept):
            yield _replace(kept[ts], instrument=series[0])
