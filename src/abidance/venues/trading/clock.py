"""A venue's clock as we know it: asked for, like NTP, until an answer came quickly enough to tell something.

An answer tells the time at which the venue wrote it, and nobody knows where on the way there and back that was: half of
the round trip is how far off the middle may be. What is known already goes before an answer that only may differ.
"""

from collections.abc import Callable

from abidance.model.instrument import SECOND_NS
from abidance.risk.circuits import Sign
from abidance.venues.account import AccountDialect
from abidance.venues.trading.line import Way
from abidance.venues.trading.register import Register

SURE = SECOND_NS // 2
"""How far off a measurement may be that needs no other one, in ns: venues forgive a second."""
TRIES = 3
"""How often the time is asked for at once while answers are slow."""
AGAIN = 5.0
"""Seconds after which it is asked for again where all of them were."""
STEP = SECOND_NS // 4
"""By how much our clock must have been set for the venue's to be compared with it at once, in ns."""
MOST_SKEW = 30 * SECOND_NS
FAR = 60 * SECOND_NS
"""How far off a measurement may be of which nothing is known, in ns."""


class VenueClock:
    """Measures how the venue's clock differs from ours; `doubt` takes a reason against new risk, by its cause."""

    def __init__(
        self, dialect: AccountDialect, register: Register, way: Way, doubt: Callable[[str, str], None]
    ) -> None:
        self._dialect = dialect
        self._register = register
        self._way = way
        self._doubt = doubt
        self._was_ahead = self._ahead()
        self._bound: int | None = None
        self._not_before = 0.0

    @property
    def is_due(self) -> bool:
        """Return True when somebody has set our clock, or when the venue's is not known well and may be by now."""
        is_unsure = self._bound is None or self._bound > SURE
        may_be_asked = is_unsure and self._way.pulse.steady() >= self._not_before
        return may_be_asked or abs(self._ahead() - self._was_ahead) > STEP

    async def set(self) -> None:
        """Measure until one answer was quick, and judge our clock by the quickest. Raises VenueError."""
        self._not_before = self._way.pulse.steady() + AGAIN
        bound = await self._measure()
        for _ in range(TRIES - 1):
            if bound <= SURE:
                break
            bound = min(bound, await self._measure())
        if bound <= 2 * SURE:  # one that is less sure may be off by more than what is allowed
            self._judge(bound)

    async def _measure(self) -> int:
        """Ask for the time once, believe an answer that tells something, and return how far off it may be."""
        wire, pulse, began = self._way.wire, self._way.pulse, self._ahead()
        sent = pulse.wall()

        def leaving() -> None:
            nonlocal sent
            sent = pulse.wall()  # it may have waited before, and that is not the way's

        theirs = self._dialect.read_clock(await wire.ask(self._dialect.clock(), leaving, waits=True))
        received, ahead = pulse.wall(), self._ahead()
        if abs(ahead - self._was_ahead) > STEP:  # what was measured before was another clock
            self._was_ahead, self._bound = ahead, None
        if abs(ahead - began) > STEP:  # it was set on the way: nobody knows how long that took
            return FAR
        offset, bound = theirs - (sent + received) // 2, (received - sent) // 2
        known = self._bound
        differs = abs(offset - wire.offset) > bound + (known or 0)
        if known is None or differs or bound <= SURE or bound < known:
            self._take(offset, bound)
        return bound

    def _take(self, offset: int, bound: int) -> None:
        wire = self._way.wire
        wire.offset, self._bound = offset, bound
        for tracked in self._register.open():  # nothing was sent later than now: our clock was ahead then
            tracked.sent_at = min(tracked.sent_at, wire.now())
            tracked.left_by = min(tracked.left_by, wire.now())

    def _judge(self, bound: int) -> None:
        off = -self._way.wire.offset / SECOND_NS
        self._way.signs(Sign.CLOCK, max(abs(off) - bound / SECOND_NS, 0.0), f"{off:+.1f} s")
        skewed = abs(self._way.wire.offset) > MOST_SKEW
        self._doubt("clock", f"our clock is {off:+.0f} s off." if skewed else "")

    def _ahead(self) -> int:
        """Return our clock less the time that only passes, in ns: it changes when somebody sets the clock."""
        return self._way.pulse.wall() - round(self._way.pulse.steady() * SECOND_NS)
