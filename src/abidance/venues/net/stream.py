"""One channel on one connection: whether it was confirmed, how old its data is, and whether it can be trusted.

It finds out and says so; what follows (another subscription, another connection) is for `net.line` and `net.streams`.
"""

from collections.abc import Callable

from abidance.market.book import BookRule, OrderBook, Taken
from abidance.market.live.pace import UNTRIED, Pace
from abidance.model.instrument import Instrument
from abidance.model.market import BookDelta, DataKind, FeedState
from abidance.venues.dialect import Channel

Find = Callable[[Channel, FeedState, str], None]
"""Receives what a stream finds out about itself."""

LATE_NS = 10_000_000_000
"""Data that takes so much longer to arrive than it once did is stale, in ns."""
_QUIET = {DataKind.TRADES: 60.0, DataKind.BARS: 60.0}
"""Seconds granted at first to streams that may well have nothing to say."""
_FAULTS = {Taken.CROSSED: FeedState.CROSSED}


class Stream:
    """One channel's liveness. It is certified by data that is on time, a tape and bars by confirmation alone."""

    def __init__(self, channel: Channel, find: Find, now: float, untried: float = 0.0) -> None:
        self.channel = channel
        self.state = FeedState.STALE
        self.pace = Pace(now, untried or _QUIET.get(channel.kind, UNTRIED))
        self.is_confirmed = False
        self.refusal = ""
        self.ts = 0
        self._find = find
        self._lead: int | None = None

    @property
    def is_answered(self) -> bool:
        """Return True once the venue has confirmed or refused the subscription, or sent data."""
        return self.is_confirmed or bool(self.refusal)

    @property
    def is_ready(self) -> bool:
        """Return True when the stream can be followed, or never will be."""
        return self.state is FeedState.CERTIFIED or bool(self.refusal)

    def confirm(self) -> None:
        """Note that the venue holds the subscription."""
        self.is_confirmed = True
        self.refusal = ""
        if self.channel.kind in _QUIET and self.state is FeedState.STALE:
            self.become(FeedState.CERTIFIED)

    def refuse(self, reason: str) -> None:
        """Note that the venue does not want to serve the channel."""
        self.refusal = reason
        self.become(FeedState.STALE, f"The venue refused it: {reason}")

    def hear(self, ts: int, received: int, now: float) -> bool:
        """Take note of good data; return whether it is on time. `ts` is 0 where the venue tells no time."""
        self.is_confirmed = True
        if ts:
            lag = received - ts
            if self._lead is None or lag < self._lead:
                self._lead = lag
            elif lag - self._lead > LATE_NS:
                self.become(FeedState.STALE, f"Its data arrives {(lag - self._lead) / 1e9:.0f} s late.")
                return False
            if ts > self.ts:
                self.ts = ts
                self.pace.heard(now)
            elif self.state is not FeedState.CERTIFIED:
                return False
        else:
            self.pace.heard(now)
        if self.state is not FeedState.CERTIFIED:
            self.become(FeedState.CERTIFIED)
        return True

    def watch(self, now: float) -> bool:
        """Return whether the stream has been silent for too long; then it is stale."""
        if not self.pace.is_silent(now):
            return False
        self.doubt(f"Nothing new for {now - self.pace.last:.1f} s.")
        return True

    def doubt(self, reason: str) -> None:
        """Take the stream as stale."""
        if self.state is FeedState.CERTIFIED:
            self.become(FeedState.STALE, reason)

    def begin_anew(self, pace: Pace) -> None:
        """Forget what is usual: the channel is subscribed to again."""
        self.pace = pace
        self._lead = None

    def become(self, state: FeedState, reason: str = "") -> None:
        """Change the state, and say so."""
        self.state = state
        self._find(self.channel, state, reason)


class BookStream(Stream):
    """A channel of book updates with the ladder that they make. `wants_snapshot` says that one should be asked for."""

    def __init__(
        self, channel: Channel, find: Find, now: float, instrument: Instrument, rule: BookRule
    ) -> None:
        super().__init__(channel, find, now)
        self._instrument = instrument
        self._rule = rule
        self._spare: OrderBook | None = None
        self.book = self._new()

    def _new(self) -> OrderBook:
        return OrderBook(self._instrument, self._rule, self.channel.depth)

    @property
    def wants_snapshot(self) -> bool:
        """Return True while the ladder is not whole, or its known part is running out."""
        return self.book.wants_snapshot and self.is_confirmed

    def take(self, delta: BookDelta, received: int, now: float) -> bool:
        """Take an update or a snapshot; return whether there is a new ladder to be seen."""
        self.is_confirmed = True
        if delta.is_snapshot and self.book.is_whole and not self._rule.snapshot_in_stream:
            return self._refresh(delta)
        if self._spare is not None:
            self._spare.apply(delta)
        taken = self.book.apply(delta)
        if taken is Taken.APPLIED:
            return self.hear(delta.ts, received, now)
        if taken is Taken.OLD:
            return False
        if taken is Taken.WAITING:
            self.pace.heard(now)  # it speaks; that it cannot be understood yet is told already
            return False
        self.become(_FAULTS.get(taken, FeedState.GAP), f"{self.book.reason.capitalize()}.")
        return False

    def prepare(self) -> None:
        """Begin to keep updates for a snapshot that is asked for while the ladder stands."""
        if self.book.is_whole:
            self._spare = self._new()

    def _refresh(self, snapshot: BookDelta) -> bool:
        """Put a deeper ladder in the place of one that runs out, when it joins up with the updates since."""
        spare, self._spare = self._spare, None
        if spare is None:
            return False
        spare.apply(snapshot)
        if not spare.is_whole or spare.last < self.book.last:
            return False
        self.book = spare
        return True
