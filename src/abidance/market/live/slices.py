"""Closed bars gathered into slices: all that close at one moment together, in their order, each once.

A slice leaves as soon as it is whole. Laggards are waited for: `LAGGARDS` after the first bar of the slice has come, or
`SILENCE` after the close when not one has. Then the slice leaves without them. A bar that comes later still leaves in a
slice of its own, as long as no later bar of its series has; after that the hole stays.

Bars that no venue sends are made here when the others of their moment leave: nobody waits for them, and they hasten
nobody.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from abidance.model.instrument import SECOND_NS, timeframe_ns
from abidance.model.market import Bar, BarSlice

LAGGARDS = 2 * SECOND_NS
"""How long the first bar of a slice waits for the others, in ns."""
SILENCE = 10 * SECOND_NS
"""How long after its close a slice of which nothing has come is waited for, in ns."""
OVERDUE = 3 * SECOND_NS
"""How long after its close a bar is asked for elsewhere, in ns."""
MOST_LATE = 1_000
"""So many bars of a series are remembered as late; a venue that has been gone for longer has no laggards."""

Series = tuple[str, str]


class Hole(NamedTuple):
    """Bars of a series that are missing: those that open from `start` up to, not including, `end`."""

    series: Series
    start: int
    end: int


class Companion(Protocol):
    """Makes bars that no venue sends, such as those of moods."""

    def bar(self, series: Series, ts: int) -> Bar | None:
        """Return the bar that opened at `ts` and has closed, made of what was known at its close; None without any."""
        ...

    def doubt(self, instrument: str, now: int) -> str:
        """Return why an instrument should not be trusted now, empty when it may be."""
        ...


class Slices:
    """The bars of a run's series on their way to slices.

    `following` says for each series when the next bar opens, that is where history ends; the order of its keys is the
    run's order of instruments. `beside` says the same of the series that `companion` makes.
    """

    def __init__(
        self,
        following: Mapping[Series, int],
        beside: Mapping[Series, int] | None = None,
        companion: Companion | None = None,
    ) -> None:
        self._next = dict(following)
        self._beside = dict(beside or {}) if companion is not None else {}
        self._companion = companion
        known = (*following, *self._beside)
        self._length = {key: timeframe_ns(key[1]) for key in known}
        ranks = {id: rank for rank, id in enumerate(dict.fromkeys(id for id, _ in known))}
        self._order = sorted(known, key=lambda key: (self._length[key], ranks[key[0]]))
        self._waiting: dict[int, dict[Series, Bar]] = {}
        self._arrived: dict[int, int] = {}
        self._late: dict[Series, set[int]] = {key: set() for key in following}
        self._ready: list[Bar] = []
        self._stuck: int | None = None

    @property
    def following(self) -> Mapping[Series, int]:
        """Return when the next bar of each series opens."""
        return self._next

    def missing(self, now: int) -> list[Hole]:
        """Return what should have come by now and has not: bars given up, and those overdue."""
        holes = [
            Hole(key, min(late), max(late) + self._length[key]) for key, late in self._late.items() if late
        ]
        for key, ts in self._next.items():
            due = self._due(key, now)
            if due > ts and not self._late[key]:
                holes.append(Hole(key, ts, due))
        return holes

    def _due(self, key: Series, now: int) -> int:
        """Return the open of the first bar of a series that is not overdue yet."""
        ts, length = self._next[key], self._length[key]
        return ts + max(0, (now - OVERDUE - ts) // length) * length

    def take(self, bar: Bar, now: int) -> bool:
        """Take a closed bar; return whether it will leave in a slice."""
        key = (bar.instrument, bar.timeframe)
        following = self._next.get(key)
        if following is None or (bar.ts - following) % self._length[key]:
            return False
        close = bar.ts_close
        if bar.ts < following:
            if bar.ts not in self._late[key]:
                return False
            self._late[key].discard(bar.ts)
            self._ready.append(bar)
            return True
        self._waiting.setdefault(close, {})[key] = bar  # the same bar again is a correction
        self._arrived.setdefault(close, now)
        return True

    def lend(self, bar: Bar, now: int) -> bool:
        """Take another venue's bar for one that has not come; the own one takes its place if it comes in time."""
        own = self._waiting.get(bar.ts_close, {})
        return (bar.instrument, bar.timeframe) not in own and self.take(bar, now)

    def give_up(self, hole: Hole) -> None:
        """Stop waiting for the bars of a hole: the venue has none."""
        key = hole.series
        self._late[key] = {ts for ts in self._late[key] if not hole.start <= ts < hole.end}
        if hole.start <= self._next[key] < hole.end:
            self._next[key] = hole.end

    def due(self, now: int) -> list[BarSlice]:
        """Return the slices that may leave now, oldest first."""
        found = []
        for bar in sorted(self._ready, key=lambda bar: bar.ts_close):
            self._pass((bar.instrument, bar.timeframe), bar.ts)
            found.append(BarSlice(bar.ts_close, (bar,)))
        self._ready.clear()
        while (close := self._earliest(now)) is not None:
            bars = self._waiting.get(close, {})
            absent = [
                key for key, ts in self._next.items() if ts + self._length[key] == close and key not in bars
            ]
            if absent and now < self._deadline(close, now):
                break
            found.extend(self._leave(close, absent))
        return found

    def _pass(self, key: Series, ts: int) -> None:
        """Give up the bars behind one that leaves: they could not be let in any more."""
        self._late[key] = {late for late in self._late[key] if late > ts}

    def _earliest(self, now: int) -> int | None:
        """Return the next moment at which something closes or has come; a series that is behind comes first."""
        closes = [ts + self._length[key] for key, ts in self._next.items()]
        closes = [close for close in closes if close <= now]
        return min((*self._waiting, *closes), default=None)

    def _deadline(self, close: int, now: int) -> int:
        """Return until when a slice waits; a row of slices of which nothing has come is waited for once."""
        arrived = self._arrived.get(close)
        if arrived is not None:
            return max(arrived, close) + LAGGARDS
        if self._stuck is None:
            self._stuck = max(close, now)
        return self._stuck + SILENCE

    def _leave(self, close: int, absent: Sequence[Series]) -> list[BarSlice]:
        bars = self._waiting.pop(close, {})
        self._arrived.pop(close, None)
        for key in absent:
            late = self._late[key]
            late.add(close - self._length[key])
            if len(late) > MOST_LATE:
                late.discard(min(late))
            self._next[key] = close
        if bars:
            self._stuck = None
        for key, bar in bars.items():
            self._pass(key, bar.ts)
            self._next[key] = close
        made = self._made(close)
        made.setdefault(close, {}).update(bars)
        return [
            BarSlice(moment, tuple(made[moment][key] for key in self._order if key in made[moment]))
            for moment in sorted(made)
            if made[moment]
        ]

    def _made(self, close: int) -> dict[int, dict[Series, Bar]]:
        """Return what the companion makes up to a moment, by when it closes."""
        found: dict[int, dict[Series, Bar]] = {}
        if self._companion is None:
            return found
        for key, following in self._beside.items():
            length = self._length[key]
            past = range(following, close - length + 1, length)
            for ts in past:
                if (bar := self._companion.bar(key, ts)) is not None:
                    found.setdefault(ts + length, {})[key] = bar
            self._beside[key] = following + len(past) * length
        return found
