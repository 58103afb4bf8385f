"""How often one may ask the local exchange: the venue's own windows, its refusals, and bans for who does not listen.

The windows are those that venues publish (`venues/net/limits.py`), each for an address. A count that falls does so by
whole units, now and then. Kraken's orders, which it counts apart, are free.
"""

import math
from collections import defaultdict, deque
from dataclasses import dataclass, field

from msgspec.structs import replace

from abidance.model.instrument import SECOND_NS
from abidance.testing.exchange.house import Asked
from abidance.venues.net.limits import HostLimits, Window, table

PATIENCE = 10
"""So many requests in a row that are refused end in a ban."""
BAN = 120
"""Seconds of the first ban; each one is twice as long as the one before."""
_CONTRACTS = ("/fapi", "/dapi")


@dataclass
class _Guest:
    """What one address asked for, by window: moments and weights; and how it took being refused."""

    spent: dict[str, deque[tuple[int, float]]] = field(default_factory=lambda: defaultdict(deque))
    refused: int = 0
    bans: int = 0
    banned_until: int = 0


class Quota:
    """Counts the requests of everybody at one venue; all accounts are of one `grade`."""

    def __init__(self, venue: str, grade: str = "") -> None:
        hosts = {
            host: replace(limits, windows=tuple(each.of(grade) for each in limits.windows))
            for host, limits in table().items()
            if limits.venue == venue
        }
        self._spot = next(iter(hosts.values()))
        self._contracts = next((each for host, each in hosts.items() if host.startswith("fapi")), self._spot)
        self._guests: dict[tuple[bool, str], _Guest] = defaultdict(_Guest)

    def take(self, asked: Asked, now: int) -> tuple[int, bool] | None:
        """Count a request at `now` (ns); return in how many seconds to ask again and whether it is a ban, or None."""
        limits, guest = self._of(asked)
        if now < guest.banned_until:
            return math.ceil((guest.banned_until - now) / SECOND_NS), True
        weighed = list(zip(limits.windows, limits.weights(asked.path, asked.query), strict=True))
        wait = max(_full(guest, each, weight, now) for each, weight in weighed)
        if wait <= 0:
            guest.refused = 0
            for each, weight in weighed:
                _spend(guest, each, weight, now)
            return None
        guest.refused += 1
        if guest.refused < PATIENCE:
            return wait, False
        wait = BAN << guest.bans
        guest.refused, guest.bans, guest.banned_until = 0, guest.bans + 1, now + wait * SECOND_NS
        return wait, True

    def headers(self, asked: Asked, now: int) -> dict[str, str]:
        """Return what the venue tells of what was used, or is left, in the headers of an answer."""
        limits, guest = self._of(asked)
        told: dict[str, str] = {}
        for each in limits.windows:
            used = _used(guest, each, now)
            told |= {each.used: f"{used:g}"} if each.used else {}
            told |= {each.left: f"{each.limit - used:g}"} if each.left else {}
        return told

    def _of(self, asked: Asked) -> tuple[HostLimits, _Guest]:
        is_contract = asked.path.startswith(_CONTRACTS)
        return self._contracts if is_contract else self._spot, self._guests[is_contract, asked.remote]


def _used(guest: _Guest, window: Window, now: int) -> float:
    """Return what stands in a window, and forget what has left it."""
    spent = guest.spent[window.name]
    if window.falls:
        ts, level = spent[0] if spent else (now, 0.0)
        return max(0.0, level - (now // _step(window) - ts // _step(window)))
    while spent and spent[0][0] <= now - round(window.seconds * SECOND_NS):
        spent.popleft()
    return sum(weight for _, weight in spent)


def _spend(guest: _Guest, window: Window, weight: float, now: int) -> None:
    """Count a request; of what falls only the newest level is kept."""
    spent = guest.spent[window.name]
    if window.falls:
        weight += _used(guest, window, now)
        spent.clear()
    spent.append((now, weight))


def _step(window: Window) -> int:
    """Return in how many ns a count falls by one."""
    return round(window.seconds * SECOND_NS / window.limit)


def _full(guest: _Guest, window: Window, weight: float, now: int) -> int:
    """Return for how many seconds a request does not fit into a window, 0 when it does."""
    over = _used(guest, window, now) + weight - window.limit
    if not weight or over <= 0:
        return 0
    span = round(window.seconds * SECOND_NS)
    if window.falls:
        return max(1, math.ceil((_step(window) * math.ceil(over) - now % _step(window)) / SECOND_NS))
    for ts, each in guest.spent[window.name]:
        over -= each
        if over <= 0:
            return max(1, math.ceil((ts + span - now) / SECOND_NS))
    return math.ceil(window.seconds)
