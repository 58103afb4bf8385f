"""How fresh the prices are by which orders fall due that we hold, and asking for them where the streams tell none.

A stop that we hold is worth what we know of the market. While an instrument in which we hold one has had no price for a
few seconds, its venue is asked for the best prices; what is asked counts like what is streamed. Bars tell what happened
while nobody looked. A stop of which no price is known by either way is `blind`, and so is one that is due and cannot
leave: it covers nothing.
"""

from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from math import inf

from abidance.model.errors import VenueError
from abidance.model.instrument import SECOND_NS
from abidance.model.market import Bar
from abidance.model.order import STOP_TYPES, OrderState
from abidance.venues.account import AccountDialect, Best
from abidance.venues.trading.keeping import Keeping
from abidance.venues.trading.line import Way
from abidance.venues.trading.register import Register
from abidance.venues.trading.tracked import Tracked

SILENT = 3.0
"""Seconds without a price after which the venue is asked for it."""
ASK = 1.5
"""Seconds between two questions about one instrument."""
UNANSWERED = 3
"""How many of them may wait for an answer, or for the venue's limits, at once."""
BLIND = 5.0
"""Seconds without any price after which nobody can tell that a stop is due, and without any answer a venue is away."""
LOOK = 0.5
"""Seconds between looks at how old the prices are."""
SIGHT = "sight"
"""The cause of the doubt that stops are blind."""


class Sight:
    """What is seen of the instruments of one register.

    `doubt` takes a reason against new risk, `changed` hears that other stops are blind than before, or that the venue
    `is_away`: it answers neither for prices nor for its time. Where prices cannot be asked for nothing is told.
    """

    def __init__(
        self,
        dialect: AccountDialect,
        register: Register,
        way: Way,
        keeping: Keeping,
        doubt: Callable[[str, str], None],
        changed: Callable[[], None],
    ) -> None:
        self.blind: tuple[str, ...] = ()
        self.is_away = False
        self._dialect = dialect
        self._register = register
        self._way = way
        self._keeping = keeping
        self._doubt = doubt
        self._changed = changed
        self._seen: dict[str, float] = {}
        """Of when the newest price is (steady seconds)."""
        self._gaps: dict[str, tuple[int, int]] = {}
        """From when to when no price was known last (ns of the venue's time)."""
        self._held_since: dict[str, float] = {}
        """Since when we hold each order that we do (steady seconds)."""
        self._asked: dict[str, float] = {}
        self._waiting: Counter[str] = Counter()
        self._answered_at = -inf

    def see(self, instrument: str, bid: float, ask: float, ts: int | None = None) -> None:
        """Take the prices at which an instrument can be sold and bought, of a moment (ns UTC; now), if they are any."""
        if _are_prices(bid, ask):
            self._take(instrument, bid, ask, 0.0 if ts is None else self._since(ts))

    def see_bar(self, bar: Bar) -> None:
        """Take a closed bar: a stop that stood before its close is due by that price if none is newer.

        By its extremes it is if it stood before the bar began, and the market was not seen for a part of that time.
        """
        if not 0.0 < bar.low <= bar.close <= bar.high < inf:
            return
        id, age = bar.instrument, self._since(bar.ts_close)
        silence, now = self._silence(id), self._now()
        gap = (now - _ns(silence), now) if silence > SILENT else self._gaps.get(id, (0, 0))
        was_unseen = gap[0] < bar.ts_close and gap[1] > bar.ts
        is_newest = age < silence
        if is_newest:
            self._saw(id, age)
        for tracked in self._held():
            if tracked.request.instrument != id or not _is_stop(tracked):
                continue
            stood = _ns(self._way.pulse.steady() - max(tracked.since, self._held_since[tracked.id]))
            if was_unseen and stood >= now - bar.ts:
                self._keeping.passed(tracked, bar.low, bar.high)
            elif is_newest and stood >= now - bar.ts_close:
                self._keeping.passed(tracked, bar.close, bar.close)

    async def keep(self) -> None:
        """Ask for prices that are missing, and tell which stops are blind, for ever."""
        while True:
            try:
                self._look()
            except Exception as error:
                self._way.log.exception("sight_failed")
                why = f"the program failed ({type(error).__name__}: {error})"
                self._doubt(SIGHT, f"nobody can tell whether stops that we hold are blind: {why}.")
            await self._way.pulse.sleep(LOOK)

    def _look(self) -> None:
        held = self._held()
        if self._dialect.best is None:
            return
        silences = {each.request.instrument: self._silence(each.request.instrument) for each in held}
        for id, silence in silences.items():
            if silence >= SILENT:
                self._ask_again(id, partial(self._ask, self._dialect.best, id))
        stuck = self._stuck()
        if stuck or any(silence >= SILENT + ASK for silence in silences.values()):
            self._ask_again("", self._ask_time)
        self._judge([each for each in held if _is_stop(each)], stuck)

    def _ask_again(self, about: str, question: Callable[[], Coroutine[object, object, None]]) -> None:
        """Ask something, unless that was done a moment ago or too many such questions wait."""
        now = self._way.pulse.steady()
        if now - self._asked.get(about, -inf) >= ASK and self._waiting[about] < UNANSWERED:
            self._asked[about] = now
            self._waiting[about] += 1
            self._way.spawn(self._counted(about, question))

    async def _counted(self, about: str, question: Callable[[], Coroutine[object, object, None]]) -> None:
        try:
            await question()
        finally:
            self._waiting[about] -= 1

    def _held(self) -> list[Tracked]:
        """Return the orders that wait with us for their price; since when each does is noted."""
        held = [each for each in self._register.open() if each.is_watched and each.over is None]
        now, before = self._way.pulse.steady(), self._held_since
        self._held_since = {each.id: before.get(each.id, now) for each in held}
        return held

    def _stuck(self) -> list[Tracked]:
        """Return the stops of which the price has come and that could not leave for long; one on its way is no more."""
        until = self._way.pulse.steady() - BLIND
        return [
            each
            for each in self._register.open()
            if each.due_since <= until
            and _is_stop(each)
            and each.told in (OrderState.OPEN, OrderState.PARTIAL)
            and each.over is None
            and (not each.left or each.id in self.blind)
        ]

    def _judge(self, stops: list[Tracked], stuck: list[Tracked]) -> None:
        """Tell which stops are blind or stuck, and that the venue is away, when that is news."""
        now = self._way.pulse.steady()
        blind = [
            each
            for each in stops
            if min(self._silence(each.request.instrument), now - self._held_since[each.id]) >= BLIND
        ]
        ids = dict.fromkeys(each.id for each in (*blind, *stuck))
        found = tuple(ids), bool(ids) and now - self._answered_at >= BLIND
        is_news = found != (self.blind, self.is_away)
        if found[0] != self.blind:
            self._way.log.warning("held_stops_are_blind", orders=found[0])
        self.blind, self.is_away = found
        whys = (
            f"no price of {_of(blind)} is known: stops that we hold cannot trigger." if blind else "",
            f"stops of {_of(stuck)} that we hold are due and cannot leave." if stuck else "",
        )
        self._doubt(SIGHT, " ".join(filter(None, whys)))
        if is_news:
            self._changed()

    async def _ask(self, best: Best, id: str) -> None:
        """Ask for the best prices of an instrument; they are taken to be of the middle of the way there and back."""
        pulse, asked_at = self._way.pulse, self._way.pulse.steady()
        try:
            bid, ask = best.read(await self._way.wire.ask(best.call(id)))
            if not _are_prices(bid, ask):
                raise VenueError(f"{bid} and {ask} are no prices.", "They are asked for again.")
        except VenueError as error:
            self._way.log.info("no_price", instrument=id, reason=error.found)
            return
        self._answered_at, age = pulse.steady(), (pulse.steady() - asked_at) / 2
        if age < self._silence(id):  # what came meanwhile is newer
            self._take(id, bid, ask, age)
            self._look()

    async def _ask_time(self) -> None:
        """Ask the venue for its time: if it answers that an order could leave, too."""
        with suppress(VenueError):
            self._dialect.read_clock(await self._way.wire.ask(self._dialect.clock()))
            self._answered_at = self._way.pulse.steady()

    def _take(self, instrument: str, bid: float, ask: float, age: float) -> None:
        """Take prices that are so old, in seconds: they say nothing of what was worded after them."""
        self._saw(instrument, age)
        self._keeping.watch(instrument, bid, ask, self._way.pulse.steady() - age)

    def _saw(self, instrument: str, age: float) -> None:
        """Take note of a price that is so old, in seconds."""
        now, silence = self._way.pulse.steady(), self._silence(instrument)
        if silence - age > SILENT:
            end = self._now() - _ns(age)
            self._gaps[instrument] = end - _ns(silence - age), end
        self._seen[instrument] = max(self._seen.get(instrument, -inf), now - age)

    def _silence(self, instrument: str) -> float:
        """Return how old the newest price of an instrument is, in seconds."""
        return self._way.pulse.steady() - self._seen.get(instrument, -inf)

    def _since(self, ts: int) -> float:
        """Return how many seconds ago a moment of the market was, by our clock or the venue's: the one behind."""
        return max(0, min(self._now(), self._way.pulse.wall()) - ts) / SECOND_NS

    def _now(self) -> int:
        return self._way.wire.now()


def _is_stop(tracked: Tracked) -> bool:
    """Say whether an order protects a position."""
    return tracked.request.reduce_only and tracked.request.type in STOP_TYPES


def _of(orders: list[Tracked]) -> str:
    return ", ".join(sorted({each.request.instrument for each in orders}))


def _are_prices(bid: float, ask: float) -> bool:
    return 0.0 < bid <= ask < inf


def _ns(seconds: float) -> int:
    return round(min(seconds, 1e9) * SECOND_NS)
