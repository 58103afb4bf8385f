"""What may be acted on: the last word of the feed on each stream, of the gateway on each account, as it came in events.

What nobody ever spoke of is not judged here: a backtest on stored data has no certificates, and trades.
"""

from collections.abc import Mapping

from abidance.model.event import VenueStatus
from abidance.model.market import DataKind, FeedState, FeedStatus, MarkPrice


class Feeds:
    """The certificates of a run's streams, the last mark price of each perpetual, the standing of each account.

    `references` names per strategy the instruments that it looks at besides those it trades.
    """

    def __init__(self) -> None:
        self.references: dict[str, tuple[str, ...]] = {}
        self.marks: dict[str, MarkPrice] = {}
        self.venues: dict[str, VenueStatus] = {}
        self._known: dict[tuple[str, DataKind], FeedStatus] = {}
        self._doubted: dict[str, dict[DataKind, FeedStatus]] = {}

    @property
    def known(self) -> Mapping[tuple[str, DataKind], FeedStatus]:
        """Return the last status of each stream that a feed spoke of."""
        return self._known

    def take(self, status: FeedStatus) -> bool:
        """Take a new status; return whether a stream that was certified has lost that."""
        key = (status.instrument, status.kind)
        before = self._known.get(key)
        self._known[key] = status
        doubted = self._doubted.setdefault(status.instrument, {})
        if status.state is FeedState.CERTIFIED or status.suffices:
            doubted.pop(status.kind, None)
        else:
            doubted[status.kind] = status
        was = before is not None and before.state is FeedState.CERTIFIED
        return was and status.state is not FeedState.CERTIFIED

    def state(self, instrument: str, kind: DataKind) -> FeedState | None:
        """Return the state of a stream, or None when no feed ever spoke of it."""
        found = self._known.get((instrument, kind))
        return found.state if found is not None else None

    def doubt(self, strategy: str, instrument: str) -> FeedStatus | None:
        """Return a stream that an entry of `strategy` in `instrument` needs and that is not certified, if any."""
        for id in (instrument, *self.references.get(strategy, ())):
            if doubted := self._doubted.get(id):
                return next(iter(doubted.values()))
        return None
