"""The watch over the circuits of a run with real orders: what is seen goes in, what moves goes to the engine.

Gateways tell how venues behave, the journal how long the disk took, and once a second somebody looks at what nobody
tells. A circuit that is half open is tried by asking its venue; each venue is looked after by a task of its own.
"""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from abidance.journal.store import read
from abidance.model.errors import VenueError
from abidance.model.event import CircuitMoved, Part
from abidance.model.instrument import SECOND_NS, parse_instrument_id
from abidance.model.market import FeedState, FeedStatus
from abidance.risk.circuits import DEGRADATIONS, RUN, Circuits, Sign, Trial
from abidance.risk.config import CircuitsConfig
from abidance.venues.net.transport import Pulse
from abidance.venues.trading.gateway import VenueGateway

LOOK_EVERY = 1.0
"""Seconds between two looks at what nobody tells, and between two questions to a venue that is tried."""


class CircuitWatch:
    """The circuits of one run. `tell` takes what moved; `room` returns how many bytes are free for the journal."""

    def __init__(
        self, config: CircuitsConfig, tell: Callable[[CircuitMoved], object], room: Callable[[], int]
    ) -> None:
        self._circuits = Circuits(config)
        self._tell = tell
        self._room = room
        self._pulse: Pulse | None = None
        self._anchor = 0
        self._certified: set[tuple[str, str]] = set()
        self._lost: dict[str, set[tuple[str, str]]] = {}

    def begin(self, pulse: Pulse, known: Iterable[CircuitMoved], venues: Iterable[str]) -> None:
        """Begin to watch, from how circuits stood when an earlier process ended."""
        self._pulse, self._anchor = pulse, pulse.wall() - round(pulse.steady() * SECOND_NS)
        self._moved(self._circuits.recall(self._now(), known, venues))

    def see(self, venue: str, sign: Sign, value: float = 0.0, text: str = "") -> None:
        """Take what was seen of a venue."""
        if self._pulse is not None:
            self._moved(self._circuits.take(self._now(), venue, sign, value, text))

    def on_feed(self, status: FeedStatus) -> None:
        """Take how far a stream of market data may be relied on.

        Streams that end together have one cause and count once, and one that was never certified has lost nothing.
        """
        venue = parse_instrument_id(status.instrument).venue
        stream, lost = (status.instrument, status.kind.value), self._lost.setdefault(venue, set())
        if status.state is FeedState.CERTIFIED or status.suffices:
            self._certified.add(stream)
            lost.discard(stream)
        elif stream in self._certified:
            if not lost:
                self.see(venue, Sign.DOUBTED, 0.0, f"{status.instrument} {status.kind}: {status.reason}")
            lost.add(stream)

    def reset(self, actor: str, venue: str, part: str) -> Sequence[CircuitMoved]:
        """Close for a person what is open, and return what moved: it is theirs to hand on."""
        return self._circuits.reset(self._now(), actor, venue, part)

    async def watch(self) -> None:
        """Let circuits rest and be tried, and look at the machine, for ever."""
        assert self._pulse is not None
        while True:
            self._moved(self._circuits.tick(self._now()))
            self.see(RUN, Sign.ROOM, float(self._room()))
            await self._pulse.sleep(LOOK_EVERY)

    async def look_after(self, gateway: VenueGateway) -> None:
        """Try, for ever, what is half open of a gateway's venue."""
        assert self._pulse is not None
        venue = gateway.dialect.venue
        while True:
            await self._pulse.sleep(LOOK_EVERY)
            tried = self._circuits.tried(venue)
            if any(DEGRADATIONS[part].trial is Trial.ASKING for part in tried):
                with suppress(VenueError):  # the wire has told that there was no answer
                    await gateway.probe()
            if Part.STREAM in tried and gateway.hears:
                self.see(venue, Sign.HEARD)
            if Part.DATA in tried and not self._lost.get(venue):
                self.see(venue, Sign.CERTIFIED)

    def works(self, gateways: Iterable[VenueGateway]) -> Sequence[Coroutine[object, object, None]]:
        """Return what goes on for as long as the run does."""
        return (self.watch(), *(self.look_after(gateway) for gateway in gateways))

    def _moved(self, moves: Iterable[CircuitMoved]) -> None:
        for moved in moves:
            self._tell(moved)

    def _now(self) -> int:
        """Return a moment that never goes back, near the time of the wall."""
        assert self._pulse is not None
        return self._anchor + round(self._pulse.steady() * SECOND_NS)


def open_circuits(journal: Path) -> list[CircuitMoved]:
    """Return the circuits that are not closed, by a run's record. Raises JournalError."""
    found: dict[tuple[str, Part], CircuitMoved] = {}
    for record in read(journal).records:
        if isinstance(record.event, CircuitMoved):
            found[record.event.venue, record.event.part] = record.event
    return [each for each in found.values() if not each.is_closed]


__all__ = ["CircuitWatch", "open_circuits"]
