"""The two sources of now: the machine's clock, and the time of the events themselves."""

import time


class WallClock:
    """The machine's time in ns UTC; it may step back when the machine's clock is set."""

    def now(self) -> int:
        """Return the time in ns UTC."""
        return time.time_ns()


class EventClock:
    """Time that stands still until it is set: to the event in hand, or by a test."""

    def __init__(self, ts: int = 0) -> None:
        self._ts = ts

    def now(self) -> int:
        """Return the latest time that was set, ns UTC."""
        return self._ts

    def set(self, ts: int) -> None:
        """Move on to `ts` (ns UTC); time never goes back, so an earlier one changes nothing."""
        if ts > self._ts:
            self._ts = ts
