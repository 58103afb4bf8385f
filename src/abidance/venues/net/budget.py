"""Rate budgets: how much of what a venue allows was used, and how long the next request has to wait.

One `Meter` stands for one window of one address or account and is shared by everybody who draws on it (`Budgets`). It
counts over a window that slides, which is never more than what venues count over minutes of the clock; a `Counter`
falls evenly, as the count of a venue does that has no windows. What others behind the same address used is taken over
from the venue's own headers. Ordinary requests leave a reserve, which only urgent ones (cancels) may use; no request at
all leaves while the venue told us to wait.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from math import inf, isfinite

from abidance.venues.net.limits import HostLimits, Window
from abidance.venues.net.transport import NONE, Answer, Pulse

RESERVE = 0.2
"""Share of each window that is kept for urgent requests."""
_UNTOLD = {418: 120.0, 429: 5.0, 403: 600.0}
"""Seconds to stay away when a venue refuses for asking too often and does not say for how long."""
_LONGEST_WAIT = 3 * 86_400.0


class Meter:
    """One window's use; `now` is in steady seconds."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self._log: deque[tuple[float, float]] = deque()
        self._used = 0.0

    def used(self, now: float) -> float:
        """Return what was used within the window that ends now."""
        log, since = self._log, now - self.window.seconds
        while log and log[0][0] <= since:
            self._used -= log.popleft()[1]
        if not log:
            self._used = 0.0
        return self._used

    def delay(self, now: float, weight: float, *, urgent: bool) -> float:
        """Return how long to wait until `weight` more may be used; more than there is waits for an empty window.

        What weighs nothing never waits.
        """
        if weight <= 0:
            return 0.0
        room = self.window.limit * (1.0 if urgent else 1.0 - RESERVE)
        excess = self.used(now) + min(weight, room) - room
        return 0.0 if excess <= 1e-9 else max(self._until_free(now, excess), 0.001)

    def _until_free(self, now: float, excess: float) -> float:
        """Return in how many seconds so much less is used."""
        for at, spent in self._log:
            excess -= spent
            if excess <= 1e-9:
                return at + self.window.seconds - now
        return self.window.seconds

    def spend(self, now: float, weight: float) -> None:
        """Note that a request of `weight` leaves now."""
        self._log.append((now, weight))
        self._used += weight

    def learn(self, now: float, headers: Mapping[str, str]) -> None:
        """Take over what the venue says was used, when it is more than we know of."""
        window = self.window
        told = _number(headers.get(window.used)) if window.used else None
        if told is None and window.left:
            left = _number(headers.get(window.left))
            told = None if left is None else window.limit - left
        if told is not None and 0 < (missing := told - self.used(now)) < inf:
            self.spend(now, min(missing, window.limit))


class Counter(Meter):
    """A count that falls evenly: who used it up may soon ask a little again."""

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self._at = 0.0

    def used(self, now: float) -> float:
        """Return what the count has not fallen by yet."""
        return max(0.0, self._used - (now - self._at) * self.window.limit / self.window.seconds)

    def _until_free(self, _now: float, excess: float) -> float:
        return excess * self.window.seconds / self.window.limit

    def spend(self, now: float, weight: float) -> None:
        """Note that a request of `weight` leaves now."""
        self._used, self._at = self.used(now) + weight, now

    def use_up(self, now: float) -> None:
        """Take the count for full: the venue says so, whatever we know of."""
        self.spend(now, max(0.0, self.window.limit - self.used(now)))


class Budget:
    """What one user (an account, at an address) may ask of one host."""

    def __init__(self, limits: HostLimits, meters: tuple[Meter, ...], ban: "Ban", pulse: Pulse) -> None:
        self._limits = limits
        self._meters = meters
        self._ban = ban
        self._pulse = pulse
        self._turn = asyncio.Lock()

    async def take(self, path: str, query: Mapping[str, str], *, urgent: bool = False) -> None:
        """Return once the request may leave, which is then counted. Ordinary requests keep their order."""
        weighed = self._weighed(path, query)
        if urgent:
            await self._wait(weighed, urgent=True)
            return
        async with self._turn:
            await self._wait(weighed, urgent=False)

    async def _wait(self, weighed: "_Weighed", *, urgent: bool) -> None:
        while (delay := self._delay(weighed, urgent=urgent)) > 0:
            await self._pulse.sleep(delay)
        now = self._pulse.steady()
        for meter, weight in weighed:
            meter.spend(now, weight)

    def delay(self, path: str, query: Mapping[str, str], *, urgent: bool = False) -> float:
        """Return how long a request would have to wait now, in seconds."""
        return self._delay(self._weighed(path, query), urgent=urgent)

    def _delay(self, weighed: "_Weighed", *, urgent: bool) -> float:
        now = self._pulse.steady()
        delays = (meter.delay(now, weight, urgent=urgent) for meter, weight in weighed)
        return max(self._ban.until - now, *delays, 0.0)

    def _weighed(self, path: str, query: Mapping[str, str]) -> "_Weighed":
        return tuple(zip(self._meters, self._limits.weights(path, query), strict=True))

    def use_up(self, path: str, query: Mapping[str, str]) -> None:
        """Take over that a venue counts more than we know of: it refused a request for that alone."""
        now = self._pulse.steady()
        for meter, weight in self._weighed(path, query):
            if weight and isinstance(meter, Counter):
                meter.use_up(now)

    def heed(self, answer: Answer) -> bool:
        """Take over what an answer says of the limits; return whether it was a refusal for asking too often."""
        now = self._pulse.steady()
        for meter in self._meters:
            meter.learn(now, answer.headers)
        refused = is_too_often(answer)
        told = _number(answer.headers.get("retry-after"))
        if refused or (told is not None and answer.status == 503):
            wait = told if told is not None and told > 0 else _UNTOLD.get(answer.status, 5.0)
            self._ban.until = max(self._ban.until, now + min(wait, _LONGEST_WAIT))
        return refused


_Weighed = tuple[tuple[Meter, float], ...]


class Ban:
    """Until when a host wants to hear nothing from an address, in steady seconds."""

    def __init__(self) -> None:
        self.until = -inf


class Budgets:
    """All budgets of a process: whoever shares an address or an account shares what is left of it.

    `grades` says of which grade our accounts are, by venue.
    """

    def __init__(self, pulse: Pulse, grades: Mapping[str, str] = NONE) -> None:
        self._pulse = pulse
        self._grades = grades
        self._meters: dict[tuple[str, str, str], Meter] = {}
        self._bans: dict[tuple[str, str], Ban] = {}
        self._budgets: dict[tuple[str, str, str], Budget] = {}

    def of(self, host: str, limits: HostLimits, account: str = "", address: str = "") -> Budget:
        """Return the budget of an account at an address for one host; the same one each time."""
        key = (host, account, address)
        if key not in self._budgets:
            grade = self._grades.get(limits.venue, "")
            meters = tuple(self._meter(host, each.of(grade), account, address) for each in limits.windows)
            ban = self._bans.setdefault((host, address), Ban())
            self._budgets[key] = Budget(limits, meters, ban, self._pulse)
        return self._budgets[key]

    def door(self, url: str, per_minute: float) -> Meter:
        """Return the count of connections opened to an address; 0 stands for no known limit."""
        window = Window("connections", per_minute or inf, 60.0)
        return self._meters.setdefault((url, window.name, ""), Meter(window))

    def _meter(self, host: str, window: Window, account: str, address: str) -> Meter:
        owner = account if window.per == "account" else address
        kind = Counter if window.falls else Meter
        return self._meters.setdefault((f"{host} {window.per}", window.name, owner), kind(window))


def is_too_often(answer: Answer) -> bool:
    """Say whether a venue refused a request because it is asked too often."""
    if answer.status != 403:
        return answer.status in (418, 429)
    text = answer.body[:500].lower()
    return b"too frequent" in text or b"rate limit" in text or b"too many" in text


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and isfinite(value) else None
