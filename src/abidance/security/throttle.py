"""How often something may be tried: failed logins wait longer each time, requests come at a steady pace."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable

_MOST = 20_000
"""Names and addresses that are remembered; the oldest are forgotten first."""
WINDOW, TRIES, FREE = 15 * 60, 10, 3
"""Seconds, failures within them after which nothing more is looked at, and failures without a wait."""


class Throttle:
    """Failed logins by account and by address: after some the next must wait, twice as long each time."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, *keys: str) -> float:
        """Return how many seconds must pass before the next try, 0 when it may be made."""
        return max(self._wait(key) for key in keys)

    def failed(self, *keys: str) -> None:
        """Note a try; call it before the answer is known, so that tries at the same time count too."""
        now = self._now()
        for key in keys:
            self._failures.setdefault(key, deque()).append(now)
            self._failures.move_to_end(key)
        while len(self._failures) > _MOST:
            self._failures.popitem(last=False)

    def succeeded(self, *keys: str) -> None:
        """Forget what failed before."""
        for key in keys:
            self._failures.pop(key, None)

    def forgive(self, key: str) -> None:
        """Forget the last try alone: it was right, but those before it were not."""
        if tries := self._failures.get(key):
            tries.pop()

    def _wait(self, key: str) -> float:
        tries = self._failures.get(key)
        if tries is None:
            return 0.0
        now = self._now()
        while tries and now - tries[0] >= WINDOW:
            tries.popleft()
        if len(tries) >= TRIES:
            return tries[0] + WINDOW - now
        if len(tries) <= FREE:
            return 0.0
        return max(0.0, tries[-1] + 2.0 ** (len(tries) - FREE) - now)


class Pace:
    """So many requests a second by key on average, and so many at once."""

    def __init__(self, rate: float, burst: int, now: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._now = rate, burst, now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Take one; return 0, or how many seconds to wait before there is one."""
        now = self._now()
        left, then = self._buckets.get(key, (float(self._burst), now))
        left = min(float(self._burst), left + (now - then) * self._rate)
        self._buckets[key] = (left - 1 if left >= 1 else left, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > _MOST:
            self._buckets.popitem(last=False)
        return 0.0 if left >= 1 else (1 - left) / self._rate


__all__ = ["Pace", "Throttle"]
