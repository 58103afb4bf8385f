"""How often something may be tried: failed logins wait longer each time, requests come at a steady pace."""

import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable

_MOST = 20_000
"""Names and addresses that are remembered; the oldest are forgotten first."""
WINDOW, TRIES, FREE = 15 * 60, 10, 3
"""Seconds, failures within them after which nothing more is looked at, and failures without a wait."""


RARE, SOME = 1 / 60, 30
"""Tries a second at one account from places where it never came in, in the long run, and so many at first."""
_HERE = frozenset({"127.0.0.1", "::1"})


def place_of(address: str) -> str:
    """Return what is counted as one place: an IPv4 address, or the /64 network that an IPv6 host has."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address) or found.is_loopback:
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))


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


class Strangers:
    """Tries at an account from places where it never came in: few in all, from however many places they come.

    Where it came in before, and on this machine itself, nobody waits for strangers: they cannot lock its owner out.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._pace = Pace(RARE, SOME, now)
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def take(self, account: str, place: str) -> float:
        """Take one try; return 0, or how many seconds to wait before there is one."""
        return 0.0 if place in _HERE or (account, place) in self._known else self._pace.take(account)

    def came_in(self, account: str, place: str) -> None:
        """Note where somebody came in."""
        self._known[account, place] = None
        self._known.move_to_end((account, place))
        if len(self._known) > _MOST:
            self._known.popitem(last=False)


__all__ = ["Pace", "Strangers", "Throttle", "place_of"]
