"""How often one may ask the local exchange: the venue's own windows, its refusals, and bans for who does not listen.

The windows are those that venues publish (`venues/net/limits.py`), each for an address, those of orders for a key. A
count that falls does so by whole units, now and then. An order counts as it arrives, whatever comes of it.
"""

import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from abidance.model.instrument import SECOND_NS
from abidance.testing.exchange.counter import header
from abidance.testing.exchange.house import Asked, counted
from abidance.venues.net.limits import Draw, HostLimits, Request, Window, table

PATIENCE = 10
"""So many requests in a row that are refused end in a ban."""
BAN = 120
"""Seconds of the first ban; each one is twice as long as the one before."""
_CONTRACTS = ("/fapi", "/dapi")
_KEYS = ("x-mbx-apikey", "x-mexc-apikey", "x-bapi-api-key", "kc-api-key", "api-key")


@dataclass
class _Guest:
    """What one address (or key) asked for, by window: moments and weights; and how it took being refused."""

    spent: dict[str, deque[tuple[int, float]]] = field(default_factory=lambda: defaultdict(deque))
    refused: int = 0
    bans: int = 0
    banned_until: int = 0


class Quota:
    """Counts the requests of everybody at one venue; all accounts are of one `grade`.

    `request` returns a request as limits see it; `turned_away` hears of each order that was one too many.
    """

    def __init__(self, venue: str, grade: str = "", request: Callable[[Asked], Request] = counted) -> None:
        hosts = {host: each.of(grade) for host, each in table().items() if each.venue == venue}
        self._spot = next(iter(hosts.values()))
        self._contracts = next((each for host, each in hosts.items() if host.startswith("fapi")), self._spot)
        self._guests: dict[tuple[bool, str], _Guest] = defaultdict(_Guest)
        self._request = request
        self.turned_away: Callable[[], None] = lambda: None

    def take(self, asked: Asked, now: int) -> tuple[int, bool] | None:
        """Count a request at `now` (ns); return in how many seconds to ask again and whether it is a ban, or None."""
        limits, guest = self._of(asked)
        if now < guest.banned_until:
            return math.ceil((guest.banned_until - now) / SECOND_NS), True
        draws = [each for each in limits.draws(self._request(asked)) if not each.window.costs]
        wait = max(_full(guest, each, now) for each in draws)
        if wait <= 0:
            guest.refused = 0
            for each in draws:
                _spend(guest, each, now)
            return None
        guest.refused += 1
        if guest.refused < PATIENCE:
            return wait, False
        wait = BAN << guest.bans
        guest.refused, guest.bans, guest.banned_until = 0, guest.bans + 1, now + wait * SECOND_NS
        return wait, True

    def take_order(self, asked: Asked, now: int) -> tuple[Window, int] | None:
        """Count what places or changes orders; return which window has no room, for how many seconds, or None."""
        draws, guest = self._orders(asked)
        for each in draws:
            if each.waits and (wait := _full(guest, each, now)):
                self.turned_away()
                return each.window, wait
        for each in draws:
            _spend(guest, each, now)
        return None

    def use_up_orders(self, key: str, instruments: Iterable[str], now: int) -> None:
        """Let somebody else place as many orders with a key as there is room for at this moment."""
        for guest, window, part, left in self._room(key, instruments, now):
            _spend(guest, Draw(window, part, max(0.0, left)), now)

    def room(self, key: str, instrument: str, now: int) -> float:
        """Return how much there is room for at this moment in the counts of a key's orders."""
        return min((left for *_, left in self._room(key, (instrument,), now)), default=math.inf)

    def _room(
        self, key: str, instruments: Iterable[str], now: int
    ) -> Iterator[tuple[_Guest, Window, str, float]]:
        """Yield the short counts of a key's orders, by instrument where there is one for each, and what is left."""
        for is_contract, limits in ((False, self._spot), (True, self._contracts)):
            guest = self._guests[is_contract, key]
            for window in (each for each in limits.windows if each.costs and each.seconds <= 60):
                placing = window.costs[0].ask.partition(" ")[2]
                for part in {"instrument": tuple(instruments), "path": (placing,)}.get(window.each, ("",)):
                    yield guest, window, part, window.limit - _used(guest, window, part, now)

    def headers(self, asked: Asked, now: int) -> dict[str, str]:
        """Return what the venue tells of what was used, or is left, in the headers of an answer."""
        limits, guest = self._of(asked)
        told: dict[str, str] = {}
        for each in limits.windows:
            if not each.costs:
                told |= _told(each, _used(guest, each, "", now))
        draws, guest = self._orders(asked)
        for draw in draws:
            told |= _told(draw.window, _used(guest, draw.window, draw.part, now))
        return told

    def _orders(self, asked: Asked) -> tuple[list[Draw], _Guest]:
        """Return what a request draws on counts of orders, and who asks: no address but a key."""
        limits, _ = self._of(asked)
        key = next((found for each in _KEYS if (found := header(asked.headers, each))), "")
        draws = [each for each in limits.draws(self._request(asked)) if each.window.costs]
        return draws, self._guests[asked.path.startswith(_CONTRACTS), key]

    def _of(self, asked: Asked) -> tuple[HostLimits, _Guest]:
        is_contract = asked.path.startswith(_CONTRACTS)
        return self._contracts if is_contract else self._spot, self._guests[is_contract, asked.remote]


def _told(window: Window, used: float) -> dict[str, str]:
    told = {window.used: f"{used:g}"} if window.used else {}
    return told | ({window.left: f"{window.limit - used:g}"} if window.left else {})


def _used(guest: _Guest, window: Window, part: str, now: int) -> float:
    """Return what stands in a window, and forget what has left it."""
    spent = guest.spent[f"{window.name} {part}"]
    if window.falls:
        ts, level = spent[0] if spent else (now, 0.0)
        return max(0.0, level - (now // _step(window) - ts // _step(window)))
    while spent and spent[0][0] < _begins(window, now):
        spent.popleft()
    return sum(weight for _, weight in spent)


def _begins(window: Window, now: int) -> int:
    """Return from which moment on a window counts."""
    span = round(window.seconds * SECOND_NS)
    return now // span * span if window.by_clock else now - span + 1


def _spend(guest: _Guest, draw: Draw, now: int) -> None:
    """Count a request; of what falls only the newest level is kept."""
    window, weight, spent = draw.window, draw.weight, guest.spent[f"{draw.window.name} {draw.part}"]
    if window.falls:
        weight += _used(guest, window, draw.part, now)
        spent.clear()
    spent.append((now, weight))


def _step(window: Window) -> int:
    """Return in how many ns a count falls by one."""
    return round(window.seconds * SECOND_NS / window.limit)


def _full(guest: _Guest, draw: Draw, now: int) -> int:
    """Return for how many seconds a request does not fit into a window, 0 when it does."""
    window, weight = draw.window, draw.weight
    over = _used(guest, window, draw.part, now) + weight - window.limit
    if not weight or over <= 0:
        return 0
    span = round(window.seconds * SECOND_NS)
    if window.by_clock:
        return math.ceil((_begins(window, now) + span - now) / SECOND_NS)
    if window.falls:
        return max(1, math.ceil((_step(window) * math.ceil(over) - now % _step(window)) / SECOND_NS))
    for ts, each in guest.spent[f"{window.name} {draw.part}"]:
        over -= each
        if over <= 0:
            return max(1, math.ceil((ts + span - now) / SECOND_NS))
    return math.ceil(window.seconds)
