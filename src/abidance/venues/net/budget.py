"""Rate budgets: how much of what a venue allows was used, and how long the next request has to wait.

One `Meter` stands for one window of one address or account and is shared by everybody who draws on it (`Budgets`). It
counts over a window that slides, which is never more than what venues count over minutes of the clock; a `Counter`
falls evenly, as the count of a venue does that has no windows. What others behind the same address used is taken over
from the venue's own headers. No request at all leaves while the venue told us to wait. Orders are counted apart where
the venue does so: too many of them hold up nothing else.

Who waits stands in one line. Changes go first and may use all there is. Urgent questions go ahead of ordinary ones that
came up to `AHEAD` seconds before them, and of no others: each question leaves in the end, however often urgent ones are
repeated. Ordinary ones leave a reserve to both, of which half is theirs, too, once they have waited as long.
"""

from bisect import insort
from collections import Counter as Sum
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from itertools import count
from math import inf, isfinite
from typing import NamedTuple

from abidance.venues.net.limits import Draw, HostLimits, Request, Window
from abidance.venues.net.transport import NONE, Answer, Pulse

AHEAD = 10.0
"""For how many seconds an ordinary question lets urgent ones go ahead of it."""
FIRST = inf
"""The same of changes, which go ahead of all questions."""
_MOMENT = 0.001
"""The least that is worth waiting for, in seconds."""
_UNTOLD = {418: 120.0, 429: 5.0, 403: 600.0}
"""Seconds to stay away when a venue refuses for asking too often and does not say for how long."""
_LONGEST_WAIT = 3 * 86_400.0
ORDER_RATE = "venue_order_rate"
"""What the reason begins with for which an order was not sent that would have been one too many."""


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

    def delay(self, now: float, weight: float, *, kept: float = 1.0, before: float = 0.0) -> float:
        """Return how long to wait until `weight` more may be used, and what goes `before` that; so much is kept.

        `kept` is a share of the reserve. More than there is waits for an empty window; what weighs nothing never waits.
        """
        if weight <= 0:
            return 0.0
        room = self.window.limit * (1.0 - kept * self.window.reserve)
        excess = self.used(now) + before + min(weight, room) - room
        return 0.0 if excess <= 1e-9 else max(self._until_free(now, excess), _MOMENT)

    def _until_free(self, now: float, excess: float) -> float:
        """Return in how many seconds so much less is used."""
        for at, spent in self._log:
            excess -= spent
            if excess <= 1e-9:
                return at + self.window.seconds - now
        return self.window.seconds

    def spend(self, at: float, weight: float) -> None:
        """Note that a request of `weight` leaves, or left a while ago."""
        if self._log and at < self._log[-1][0]:
            insort(self._log, (at, weight))
        else:
            self._log.append((at, weight))
        self._used += weight

    def use_up(self, now: float) -> None:
        """Take all for used: the venue says so, whatever we know of."""
        self.spend(now, max(0.0, self.window.limit - self.used(now)))

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
        self._at = -inf

    def used(self, now: float) -> float:
        """Return what the count has not fallen by yet."""
        return max(0.0, self._used - (now - self._at) * self.window.limit / self.window.seconds)

    def _until_free(self, _now: float, excess: float) -> float:
        return excess * self.window.seconds / self.window.limit

    def spend(self, at: float, weight: float) -> None:
        """Note that a request of `weight` leaves, or left a while ago."""
        at = max(at, self._at)
        self._used, self._at = self.used(at) + weight, at


class Budget:
    """What one user (an account, at an address) may ask of one host. `meter` returns what counts a part of a window."""

    def __init__(
        self, limits: HostLimits, meter: Callable[[Window, str], Meter], ban: "Ban", pulse: Pulse
    ) -> None:
        self._limits = limits
        self._meter = meter
        self._ban = ban
        self._pulse = pulse
        self._line: list[_Waiting] = []
        self._numbers = count()

    async def take(self, request: Request, *, ahead: float = 0.0) -> None:
        """Return once the request may leave, which is then counted; it goes `ahead` of those of so many seconds."""
        draws = self._limits.draws(request)
        mine = _Waiting(self._pulse.steady() - ahead, next(self._numbers), draws)
        insort(self._line, mine)
        try:
            while (delay := self._patience(mine)) > 0:
                await self._pulse.sleep(delay)
            self._spend(draws, self._pulse.steady())
        finally:
            self._line.remove(mine)

    def _patience(self, mine: "_Waiting") -> float:
        """Return after how long who waits may leave, or has waited long enough to use the reserve."""
        before = [draw for each in self._line[: self._line.index(mine)] for draw in each.draws]
        if mine.since == -FIRST:
            return self._delay(mine.draws, 0.0, before)
        ripe = mine.since + AHEAD - self._pulse.steady()
        shared = self._delay(mine.draws, 0.5, before)
        return shared if ripe <= _MOMENT else min(max(ripe, shared), self._delay(mine.draws, 1.0, before))

    def _spend(self, draws: list[Draw], at: float) -> None:
        for window, part, weight, _ in draws:
            self._meter(window, part).spend(at, weight)

    def delay(self, request: Request, before: Iterable[Request] = (), *, urgent: bool = False) -> float:
        """Return how long a change would have to wait, in seconds, if others went before it now.

        Only urgent ones may use the reserve.
        """
        theirs = [draw for each in before for draw in self._limits.draws(each)]
        return self._delay(self._limits.draws(request), 0.0 if urgent else 1.0, theirs)

    def _delay(self, draws: list[Draw], kept: float, before: Iterable[Draw] = ()) -> float:
        now, theirs = self._pulse.steady(), Sum[tuple[str, str]]()
        for window, part, weight, _ in before:
            theirs[window.name, part] += weight  # type: ignore[assignment]
        delays = (self._until(draw, now, kept, theirs[draw.window.name, draw.part]) for draw in draws)
        return max(self._ban.until - now, *delays, 0.0)

    def _until(self, draw: Draw, now: float, kept: float, before: float = 0.0) -> float:
        meter = self._meter(draw.window, draw.part)
        return meter.delay(now, draw.weight, kept=kept, before=before) if draw.waits else 0.0

    def recount(self, request: Request, age: float) -> None:
        """Count a request that left so many seconds ago, by an earlier process, where that still counts."""
        draws = [
            each for each in self._limits.draws(request) if each.window.costs and age < each.window.seconds
        ]
        self._spend(draws, self._pulse.steady() - age)

    def why(self, request: Request, *, urgent: bool) -> str:
        """Return, for people, what keeps a request from leaving now."""
        now = self._pulse.steady()
        for draw in self._limits.draws(request):
            if draw.window.costs and self._until(draw, now, 0.0 if urgent else 1.0) > 0:
                return _said(self._limits.venue, draw, urgent=urgent)
        return f"{self._limits.venue} lets us send nothing more now."

    def heed(self, answer: Answer, request: Request) -> bool:
        """Take over what an answer says of the limits; return whether it was a refusal for asking too often.

        What refuses an order because there were too many of them is nothing against other requests.
        """
        now, full = self._pulse.steady(), False
        for window, part, weight, _ in self._limits.draws(request):
            meter = self._meter(window, part)
            if weight:
                meter.learn(now, answer.headers)
            if window.refuses(answer.body) and (weight or window.costs):
                meter.use_up(now)
                full |= bool(window.costs)
        refused = is_too_often(answer) and not full
        told = _number(answer.headers.get("retry-after"))
        if refused or (told is not None and answer.status == 503):
            wait = told if told is not None and told > 0 else _UNTOLD.get(answer.status, 5.0)
            self._ban.until = max(self._ban.until, now + min(wait, _LONGEST_WAIT))
        return refused


class _Waiting(NamedTuple):
    """A request that waits: since when it does, as far as its place in the line goes."""

    since: float
    number: int
    draws: list[Draw]


class Ban:
    """Until when a host wants to hear nothing from an address, in steady seconds."""

    def __init__(self) -> None:
        self.until = -inf


class Budgets:
    """All budgets of a process: whoever shares an address or an account shares what is left of it.

    One that stands in for several hosts is counted as each of them. `grades` says of which grade our accounts are, by
    venue.
    """

    def __init__(self, pulse: Pulse, grades: Mapping[str, str] = NONE) -> None:
        self._pulse = pulse
        self._grades = grades
        self._meters: dict[tuple[Hashable, ...], Meter] = {}
        self._bans: dict[tuple[Hashable, ...], Ban] = {}
        self._budgets: dict[tuple[Hashable, ...], Budget] = {}

    def of(self, host: str, limits: HostLimits, account: str = "", address: str = "") -> Budget:
        """Return the budget of an account at an address for one host; the same one each time."""
        place = host.rstrip("/"), limits.host or limits.venue
        key = (place, account, address)
        if key not in self._budgets:
            graded = limits.of(self._grades.get(limits.venue, ""))
            ban = self._bans.setdefault((place, address), Ban())
            meter = partial(self._meter, place, account, address)
            self._budgets[key] = Budget(graded, meter, ban, self._pulse)
        return self._budgets[key]

    def door(self, url: str, per_minute: float) -> Meter:
        """Return the count of connections opened to an address; 0 stands for no known limit."""
        window = Window("connections", per_minute or inf, 60.0)
        return self._meters.setdefault((url, window.name, ""), Meter(window))

    def _meter(self, place: Hashable, account: str, address: str, window: Window, part: str) -> Meter:
        shared = account if window.per == "account" else address
        key = place, window.per, window.name, part, shared
        if (found := self._meters.get(key)) is None:
            found = self._meters[key] = (Counter if window.falls else Meter)(window)
        return found


def _said(venue: str, draw: Draw, *, urgent: bool) -> str:
    window, kept = draw.window, "" if urgent else ", and the last of them are kept for exits"
    where = f" in {draw.part}" if window.each == "instrument" else ""
    return f"{ORDER_RATE}: {venue} takes {window.limit:g} orders in {window.seconds:.3g} s{where}{kept}."


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
