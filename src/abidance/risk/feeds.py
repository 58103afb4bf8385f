"""What may be acted on: the last word on each stream, on each account and on each circuit, as it came in events.

What nobody ever spoke of is not judged here: a backtest on stored data has no certificates, and trades.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from abidance.model.event import CircuitMoved, CircuitState, Part, VenueStatus
from abidance.model.instrument import SECOND_NS
from abidance.model.market import DataKind, FeedState, FeedStatus, MarkPrice
from abidance.model.outcome import RefusalCode
from abidance.risk.circuits import DEGRADATIONS, Trial
from abidance.risk.state import ACTIVE, Standing, TradingState

LOST = "feed_not_certified"
"""The code of the notice that a stream has lost its certificate."""


class Feeds:
    """Certificates of a run's streams, the last mark price of each perpetual, the standing of accounts and circuits.

    `references` names per strategy the instruments that it looks at besides those it trades.
    """

    def __init__(self) -> None:
        self.references: dict[str, tuple[str, ...]] = {}
        self.marks: dict[str, MarkPrice] = {}
        self.venues: dict[str, VenueStatus] = {}
        self.circuits: dict[tuple[str, Part], CircuitMoved] = {}
        self.delisted: dict[str, int] = {}
        """Instruments that their venue trades no longer, and since when (ns UTC) that is known."""
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

    def standing(self, venues: Iterable[str]) -> Standing:
        """Return REDUCING while what we know of our account is in doubt at each of some venues."""
        doubted = []
        for venue in venues:
            status = self.venues.get(venue)
            if status is None or status.is_trusted:
                return ACTIVE
            doubted.append(untrusted_text(status))
        reducing = Standing(TradingState.REDUCING, RefusalCode.VENUE_NOT_TRUSTED, " ".join(doubted))
        return reducing if doubted else ACTIVE

    def blind(self, venue: str) -> tuple[str, ...]:
        """Return the stops held by us at a venue (their ids) that nobody can trigger."""
        status = self.venues.get(venue)
        return () if status is None else status.blind

    def barriers(self, venue: str) -> list[CircuitMoved]:
        """Return circuits that are not closed, of a venue and of the whole run, those that let nothing pass first."""
        found = [each for each in self.circuits.values() if not each.is_closed and each.concerns(venue)]
        return sorted(found, key=admits_one)


def delisted_text(instrument: str, since: int) -> str:
    """Return what to tell of an instrument that is traded no longer."""
    pair, _, venue = instrument.partition("@")
    when = f"{datetime.fromtimestamp(since // SECOND_NS, UTC):%Y-%m-%d %H:%M} UTC"
    return f"{pair} is no longer traded at {venue} since {when}: no entries; exits and stops leave as the venue takes them."


def untrusted_text(status: VenueStatus) -> str:
    """Return what to tell of a venue at which what we know of our account is in doubt."""
    return f"Only exits at {status.venue}: {' '.join(status.reasons)}"


def loss_of(status: FeedStatus) -> str:
    """Return what to tell of a stream that has lost its certificate."""
    how = "another venue's data is used" if status.suffices else "no new risk"
    return f"{status.instrument}: {how} while its stream of {status.kind} is {status.state}. {status.reason}".rstrip()


def admits_one(circuit: CircuitMoved) -> bool:
    """Say whether a circuit that is not closed is tried by entries, one at a time."""
    is_tried = circuit.state is CircuitState.HALF_OPEN
    return is_tried and DEGRADATIONS[circuit.part].trial is Trial.ENTERING
