"""Circuit breakers of venues and of the machine: what is seen goes in, what may not be relied on comes out.

One circuit watches one part of one venue (`Part`), or of the whole run where there is no venue. Closed, it counts
failures; open, it lets no new risk through for a while; half open, it is tried, and closes on proof. What is exempt
(exits, stops, cancels) is not decided here but in the gate, by the one table `DEGRADATIONS`. Nothing here keeps time
or asks anybody: each call is told the moment, and the same calls give the same answers.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, StrEnum
from typing import NamedTuple

import msgspec

from abidance.model.event import CircuitMoved, CircuitState, Part
from abidance.model.instrument import SECOND_NS
from abidance.risk.config import CircuitsConfig, Trip

RUN = ""
"""In place of a venue: the circuit is of the whole run."""
_MOST_DOUBLINGS = 60
_AT_ONCE: Trip = (1, 1, 1.0)


class Trial(StrEnum):
    """How a half-open circuit is tried."""

    ASKING = "asking"
    """Signed questions, which change nothing. No entry passes meanwhile."""
    LOOKING = "looking"
    """What is looked at anyway: a stream, a certificate, the disk. No entry passes meanwhile."""
    ENTERING = "entering"
    """Entries, one at a time at the venue."""


class Degradation(NamedTuple):
    """What trouble with a part means: in words, how it is tried, and whether it concerns every venue."""

    said: str
    trial: Trial
    is_everywhere: bool = False


DEGRADATIONS: Mapping[Part, Degradation] = {
    Part.REQUESTS: Degradation("Requests failed", Trial.ASKING),
    Part.LATENCY: Degradation("Answers were slow", Trial.ASKING),
    Part.ORDERS: Degradation("Orders were refused", Trial.ENTERING),
    Part.CLOCK: Degradation("The clock was off", Trial.ASKING),
    Part.STREAM: Degradation("The private stream was lost or silent", Trial.LOOKING),
    Part.DATA: Degradation("Market data could not be relied on", Trial.LOOKING),
    Part.BOOKS: Degradation("The account differed from our books", Trial.ASKING),
    Part.JOURNAL: Degradation("The journal was slow", Trial.LOOKING, is_everywhere=True),
    Part.DISK: Degradation("The disk had too little room", Trial.LOOKING, is_everywhere=True),
}
"""The one table of what fails and what follows. In every case: no new risk there, entries that rest are taken back,
exits, stops and cancels pass, other venues go on unless it is of the whole run. `docs/degradation.md` explains it.
"""


class Sign(StrEnum):
    """Something that was seen. A value comes with those that are measured."""

    ANSWERED = "answered"
    """A request was answered; the value is after how many seconds."""
    UNANSWERED = "unanswered"
    """There was no connection, it broke, or no answer came in time."""
    FAILED = "failed"
    """An answer said that the venue itself is in trouble, or was none that could be read."""
    LIMITED = "limited"
    """A request was refused for asking too often."""
    BANNED = "banned"
    """The venue wants to hear nothing more for a while."""
    TAKEN = "taken"
    """The venue took an order."""
    REFUSED = "refused"
    """The venue refused an order."""
    CLOCK = "clock"
    """The value is how many seconds our clock is off."""
    TOO_LATE = "too_late"
    """A request came out of its time."""
    HEARD = "heard"
    """The private stream is up."""
    LOST = "lost"
    """The private stream broke."""
    MISSED = "missed"
    """An execution was found that the private stream did not tell."""
    CERTIFIED = "certified"
    """All market data of the venue may be relied on."""
    DOUBTED = "doubted"
    """Market data of the venue may not be relied on any more."""
    AGREED = "agreed"
    """The account is what our books say."""
    DIFFERED = "differed"
    """The account is not what our books say any more."""
    WRITTEN = "written"
    """The journal was written to the disk; the value is in how many seconds."""
    ROOM = "room"
    """The value is how many bytes are free where the journal is."""


class _Outcome(Enum):
    FINE = 0
    FAILURE = 1
    GRAVE = 2


_FINE, _FAILURE, _GRAVE = _Outcome
_MEANING: Mapping[Sign, tuple[Part, _Outcome]] = {
    Sign.UNANSWERED: (Part.REQUESTS, _FAILURE),
    Sign.FAILED: (Part.REQUESTS, _FAILURE),
    Sign.LIMITED: (Part.REQUESTS, _FAILURE),
    Sign.BANNED: (Part.REQUESTS, _GRAVE),
    Sign.TAKEN: (Part.ORDERS, _FINE),
    Sign.REFUSED: (Part.ORDERS, _FAILURE),
    Sign.TOO_LATE: (Part.CLOCK, _FAILURE),
    Sign.HEARD: (Part.STREAM, _FINE),
    Sign.LOST: (Part.STREAM, _FAILURE),
    Sign.MISSED: (Part.STREAM, _FAILURE),
    Sign.CERTIFIED: (Part.DATA, _FINE),
    Sign.DOUBTED: (Part.DATA, _FAILURE),
    Sign.AGREED: (Part.BOOKS, _FINE),
    Sign.DIFFERED: (Part.BOOKS, _FAILURE),
}
Place = tuple[str, Part]
"""A venue, or `RUN`, and a part of it."""


class Circuits:
    """All circuits of a run. Moments are ns and never go back; they become the `ts` of what moved."""

    def __init__(self, config: CircuitsConfig) -> None:
        self._config = config
        self._circuits: dict[Place, _Circuit] = {}

    def take(
        self, now: int, venue: str, sign: Sign, value: float = 0.0, text: str = ""
    ) -> tuple[CircuitMoved, ...]:
        """Take what was seen at a venue and return what moved. `text` says it for people, without the full stop."""
        moves = (
            self._circuit(venue, part).take(now, outcome, text)
            for part, outcome in self._meaning(sign, value)
            if self._trip(part) is not None
        )
        return tuple(each for each in moves if each is not None)

    def tick(self, now: int) -> tuple[CircuitMoved, ...]:
        """Let time pass, and return which circuits have rested and are to be tried."""
        moves = (each.tick(now) for each in self._circuits.values())
        return tuple(each for each in moves if each is not None)

    def tried(self, venue: str) -> frozenset[Part]:
        """Return which circuits of a venue are half open and wait for outcomes."""
        return frozenset(
            part
            for (where, part), each in self._circuits.items()
            if where == venue and each.state is CircuitState.HALF_OPEN
        )

    def recall(
        self, now: int, known: Iterable[CircuitMoved], venues: Iterable[str]
    ) -> tuple[CircuitMoved, ...]:
        """Take over how circuits stood when an earlier process ended: what was open is tried before it is trusted.

        What is not watched any more, because the venue is gone or the part is switched off, closes.
        """
        there = {RUN, *venues}
        moves = []
        for moved in known:
            if moved.venue in there and self._trip(moved.part) is not None:
                found = self._circuit(moved.venue, moved.part).recall(now, moved)
                moves += [found] if found is not None else []
            elif not moved.is_closed:
                closed = msgspec.structs.replace(
                    moved, ts=now, state=CircuitState.CLOSED, reason="It is not watched any more.", rest=0.0
                )
                moves.append(closed)
        return tuple(moves)

    def reset(self, now: int, actor: str, venue: str = "", part: str = "") -> tuple[CircuitMoved, ...]:
        """Close for a person what is open of a venue and part (all where none is named), and forget earlier trips."""
        return tuple(
            each.close(now, f"Reset by {actor or 'somebody'}.")
            for (where, which), each in self._circuits.items()
            if each.state is not CircuitState.CLOSED
            and (not venue or venue == where)
            and (not part or part == which)
        )

    def _meaning(self, sign: Sign, value: float) -> Iterator[tuple[Part, _Outcome]]:
        """Yield what a sign says of which parts."""
        config = self._config
        if sign is Sign.ANSWERED:
            yield Part.REQUESTS, _FINE
            yield Part.LATENCY, _FAILURE if value > config.slow else _FINE
        elif sign is Sign.CLOCK:
            yield Part.CLOCK, _GRAVE if abs(value) > config.skew else _FINE
        elif sign is Sign.WRITTEN:
            yield Part.JOURNAL, _FAILURE if value > config.slow_write else _FINE
        elif sign is Sign.ROOM:
            yield Part.DISK, _GRAVE if value < config.least_room else _FINE
        else:
            yield _MEANING[sign]

    def _trip(self, part: Part) -> Trip | None:
        if part is Part.DISK:
            return _AT_ONCE if self._config.least_room else None
        trip: Trip | None = getattr(self._config, part)
        return trip

    def _circuit(self, venue: str, part: Part) -> "_Circuit":
        venue = RUN if DEGRADATIONS[part].is_everywhere else venue
        found = self._circuits.get((venue, part))
        if found is None:
            trip = self._trip(part)
            assert trip is not None
            found = self._circuits[venue, part] = _Circuit(venue, part, trip, self._config)
        return found


class _Circuit:
    """One part of one venue."""

    __slots__ = (
        "_at",
        "_config",
        "_failures",
        "_outcomes",
        "_part",
        "_proofs",
        "_trip",
        "_trips",
        "_venue",
        "state",
    )

    def __init__(self, venue: str, part: Part, trip: Trip, config: CircuitsConfig) -> None:
        self.state = CircuitState.CLOSED
        self._venue, self._part = venue, part
        self._trip, self._config = trip, config
        self._outcomes: deque[tuple[int, bool]] = deque()
        self._failures = self._proofs = self._trips = 0
        self._at = 0
        """Open: until when it rests. Closed: since when."""

    def take(self, now: int, outcome: _Outcome, text: str) -> CircuitMoved | None:
        """Take an outcome and return how that moved it."""
        if self.state is CircuitState.OPEN:
            return (
                None  # that it goes on failing was to be expected, that something is fine proves too little
            )
        if self.state is CircuitState.HALF_OPEN:
            if outcome is not _FINE:
                return self._open(now, f"Tried again in vain{_last(text)}")
            self._proofs += 1
            return self.close(now, "") if self._proofs >= self._config.proofs else None
        self._note(now, failed=outcome is not _FINE)
        if outcome is _GRAVE:
            return self._open(now, f"{self._said}{_last(text)}")
        if outcome is _FAILURE and self._failures >= self._trip[0]:
            times = f"{self._failures} times in {self._trip[2]:g} s"
            return self._open(now, f"{self._said} {times}{_last(text)}")
        return None

    def tick(self, now: int) -> CircuitMoved | None:
        """Let time pass."""
        if self.state is CircuitState.OPEN and now >= self._at:
            return self._try(now, "It has rested.")
        if self.state is CircuitState.CLOSED and now - self._at >= self._config.calm * SECOND_NS:
            self._trips = 0
        return None

    def recall(self, now: int, moved: CircuitMoved) -> CircuitMoved | None:
        """Take over how it stood when an earlier process ended."""
        self._trips, self._at = moved.trips, now
        if moved.is_closed:
            return None
        return self._try(now, "The program was started again.")

    def close(self, now: int, reason: str) -> CircuitMoved:
        """Let new risk through. With a `reason` a person wants it so, and earlier trips count no more."""
        if reason:
            self._trips = 0
        self._outcomes.clear()
        self._failures, self._at = 0, now
        return self._moved(now, CircuitState.CLOSED, reason or "It was tried, and all was well.")

    @property
    def _said(self) -> str:
        return DEGRADATIONS[self._part].said

    def _note(self, now: int, *, failed: bool) -> None:
        outcomes = self._outcomes
        outcomes.append((now, failed))
        self._failures += failed
        oldest = now - round(self._trip[2] * SECOND_NS)
        while outcomes[0][0] <= oldest or len(outcomes) > self._trip[1]:
            self._failures -= outcomes.popleft()[1]

    def _open(self, now: int, reason: str) -> CircuitMoved:
        self._trips += 1
        config = self._config
        rest = min(config.longest, config.cooldown * config.growth ** min(self._trips - 1, _MOST_DOUBLINGS))
        self._at = now + round(rest * SECOND_NS)
        key = "least_room" if self._part is Part.DISK else self._part
        return self._moved(now, CircuitState.OPEN, f"{reason} (`risk.circuits.{key}`).", rest)

    def _try(self, now: int, reason: str) -> CircuitMoved:
        self._proofs = 0
        return self._moved(now, CircuitState.HALF_OPEN, reason)

    def _moved(self, now: int, state: CircuitState, reason: str, rest: float = 0.0) -> CircuitMoved:
        self.state = state
        return CircuitMoved(now, self._venue, self._part, state, reason, self._trips, rest)


def _last(text: str) -> str:
    return f", the last: {text.rstrip('.')}" if text else ""


__all__ = ["DEGRADATIONS", "RUN", "Circuits", "Degradation", "Sign", "Trial"]
