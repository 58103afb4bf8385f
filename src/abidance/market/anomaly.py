"""What is unlikely in a live stream: a jump of the price, a wide spread, a burst of volume, a price that does not move.

The detector learns what is usual for one instrument as it goes, in constant memory, and says what is not. It judges no
data to be wrong and stops nothing: risk, alerts and people decide what an Anomaly is worth. Time is the events' own.
"""

import math

import msgspec

from abidance.model.errors import UsageError
from abidance.model.instrument import SECOND_NS
from abidance.model.market import Anomaly, Quote, Trade

PRICE_JUMP = "price_jump"
SPREAD_BLOWOUT = "spread_blowout"
VOLUME_BURST = "volume_burst"
STUCK_PRICE = "stuck_price"

_LEAST, _MOST = 1e-18, 1e18  # what no market prints could overflow a logarithm or a sum
_TO_DEVIATION = math.sqrt(
    math.pi / 2
)  # mean absolute deviation to standard deviation, for a normal distribution
_CLIP = 4.0
"""An observation teaches no more than so many deviations: one shock does not become the usual."""


class AnomalyRule(msgspec.Struct, frozen=True):
    """When something counts as unlikely; scores are in standard deviations from the usual, times in ns.

    Prices and volumes are compared from one `period` to the next. Nothing is said before `warmup` observations, and
    the same thing not again within `quiet`. A price is stuck after `stuck` usual waits, and never before
    `stuck_least`. Raises UsageError for what means nothing.
    """

    price_jump: float = 12.0
    spread_blowout: float = 12.0
    volume_burst: float = 6.0
    stuck: float = 30.0
    stuck_least: int = 60 * SECOND_NS
    period: int = 10 * SECOND_NS
    warmup: int = 30
    memory: int = 360
    """Over how many observations the usual is learnt."""
    quiet: int = 60 * SECOND_NS

    def __post_init__(self) -> None:
        if not min(msgspec.structs.astuple(self)) > 0:
            raise UsageError("An anomaly rule holds a number that is not above 0.", "Give positive numbers.")


class _Usual:
    """Mean and deviation of what was observed, the recent counting more; `floor` is the least deviation there is."""

    __slots__ = ("count", "deviation", "mean", "memory", "warmup")

    def __init__(self, rule: AnomalyRule) -> None:
        self.count, self.memory, self.warmup = 0, rule.memory, rule.warmup
        self.mean = self.deviation = 0.0

    def score(self, value: float, floor: float) -> float:
        """Return by how many deviations `value` is above the usual; 0 while that is not known."""
        if self.count < self.warmup:
            return 0.0
        return (value - self.mean) / max(self.deviation * _TO_DEVIATION, floor)

    def learn(self, value: float) -> None:
        self.count += 1
        share = 1.0 / min(self.count, self.memory)
        away = value - self.mean
        if self.count > self.warmup:
            away = max(-_CLIP * self.deviation, min(_CLIP * self.deviation, away))
        self.mean += share * away
        self.deviation += share * (abs(away) - self.deviation)


class AnomalyDetector:
    """The unlikely in one instrument's stream of trades and quotes."""

    def __init__(self, instrument: str, rule: AnomalyRule | None = None) -> None:
        self.instrument = instrument
        self._rule = rule or AnomalyRule()
        self._moves, self._spreads, self._volumes, self._waits = (_Usual(self._rule) for _ in range(4))
        self._said: dict[str, int] = {}
        self._period = -1
        self._base = self._price = self._volume = self._mid = 0.0
        self._quoted = -1
        self._moved_at = self._newest = 0

    def take(self, event: Trade | Quote) -> list[Anomaly]:
        """Take an event in and return what is unlikely about it; nearly always nothing."""
        if isinstance(event, Trade):
            is_sound = _LEAST < event.price < _MOST and _LEAST < event.size < _MOST
            return self._trade(event) if is_sound else []
        return self._quote(event) if _LEAST < event.bid <= event.ask < _MOST else []

    def advance(self, now: int) -> list[Anomaly]:
        """Return what is unlikely about it being `now` (ns UTC) and no price having moved."""
        self._newest = max(self._newest, now)
        waited = self._newest - self._moved_at
        rule, usual = self._rule, self._waits
        if not self._moved_at or waited < rule.stuck_least or usual.count < rule.warmup:
            return []
        waits = waited / max(usual.mean, 1.0)
        if waits < rule.stuck:
            return []
        text = (
            f"The price has not moved for {waited / SECOND_NS:,.0f} s, {waits:,.0f} times as long as usual."
        )
        return self._say(STUCK_PRICE, waits, text)

    def _trade(self, trade: Trade) -> list[Anomaly]:
        self._turn(trade.ts // self._rule.period)
        self._moved(trade.ts, trade.price, self._price)
        found = self.advance(trade.ts)
        self._price = trade.price
        self._volume += trade.size
        if not self._base:
            self._base = trade.price
        return found + self._jump(trade.price) + self._burst()

    def _quote(self, quote: Quote) -> list[Anomaly]:
        mid = (quote.bid + quote.ask) / 2
        self._moved(quote.ts, mid, self._mid)
        found = self.advance(quote.ts)
        self._mid = mid
        spread = (quote.ask - quote.bid) / mid
        usual = self._spreads
        score = usual.score(spread, max(usual.mean, 1e-5) / 2)
        if score > self._rule.spread_blowout:
            text = f"The spread is {spread * 1e4:,.2f} basis points, usually {usual.mean * 1e4:,.2f}."
            found += self._say(SPREAD_BLOWOUT, score, text)
        period = quote.ts // self._rule.period
        if period > self._quoted:  # one observation a period: a burst of quotes is not many
            self._quoted = period
            usual.learn(spread)
        return found

    def _turn(self, period: int) -> None:
        """Begin a new period: what the last one was teaches what is usual."""
        if period <= self._period:
            return
        if self._base:
            self._moves.learn(math.log(self._price / self._base))
            self._volumes.learn(math.log(self._volume))
            self._base, self._volume = self._price, 0.0
        self._period = period

    def _jump(self, price: float) -> list[Anomaly]:
        usual = self._moves
        move = math.log(price / self._base)
        score = max(usual.score(move, 1e-4), -usual.score(move, 1e-4))
        if score <= self._rule.price_jump:
            return []
        text = f"The price went {math.expm1(move):+.2%} within {self._rule.period / SECOND_NS:g} s."
        return self._say(PRICE_JUMP, score, text)

    def _burst(self) -> list[Anomaly]:
        usual = self._volumes
        score = usual.score(math.log(self._volume), 0.25)
        if score <= self._rule.volume_burst:
            return []
        times = math.exp(math.log(self._volume) - usual.mean)
        text = f"{self._volume:,.6g} traded in {self._rule.period / SECOND_NS:g} s, {times:,.0f} times the usual."
        return self._say(VOLUME_BURST, score, text)

    def _moved(self, ts: int, price: float, before: float) -> None:
        """Learn how long the price waits between two moves, of trades and quotes alike."""
        if price == before:
            return
        if self._moved_at and ts > self._moved_at:
            self._waits.learn(float(ts - self._moved_at))
        self._moved_at = max(self._moved_at, ts)

    def _say(self, code: str, score: float, text: str) -> list[Anomaly]:
        last = self._said.get(code)
        if last is not None and self._newest - last < self._rule.quiet:
            return []
        self._said[code] = self._newest
        return [Anomaly(self._newest, self.instrument, code, score, text)]
