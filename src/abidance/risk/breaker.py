"""What stops the system from taking risk by itself: losses, streaks, wild or broken data, and the kill switch.

The breakers only remember and answer; what follows from it (cancelling, flattening) is not theirs. Exits always pass.
"""

from datetime import UTC, datetime
from math import inf, isfinite

from abidance.model.account import RoundTrip
from abidance.model.errors import InvariantError
from abidance.model.event import KILL_SWITCH
from abidance.model.instrument import SECOND_NS, timeframe_ns
from abidance.model.market import Anomaly, Bar
from abidance.model.outcome import Notice, RefusalCode
from abidance.risk.config import BreakersConfig
from abidance.risk.state import ACTIVE, Standing, TradingState

DAY_NS = 86_400 * SECOND_NS
_WELCOME = frozenset({"volume_burst"})  # unlikely, but no sign that prices are wrong
SPIKE_BARS = 100
"""Bars that a bar's range is measured against; no spike is seen before as many are known."""


def moved(mark: float, equity: float, amount: float) -> float:
    """Return an equity that losses are measured from after `amount` came to the present `equity`, or went from it.

    It is neither profit nor loss: the loss so far stays the same share. Where nothing was left, or is, it starts anew.
    """
    after = equity + amount
    return mark * (after / equity) if equity > 0 and after > 0 else after


class Breakers:
    """The breakers of a run: fed with equity, round trips and bars, asked for the standing of an entry."""

    def __init__(self, config: BreakersConfig) -> None:
        self._configure(config)
        self._equity = self._day_open = 0.0
        self._peak = self._floor = -inf
        self._midnight = 0
        self._halted: Standing | None = None
        self._lost_until = 0
        self._lost = ACTIVE
        self._losses: dict[str, int] = {}
        self._strategies: dict[str, tuple[int, Standing]] = {}
        self._instruments: dict[str, tuple[int, Standing]] = {}
        self._watches: dict[tuple[str, str], _Watch] = {}

    def _configure(self, config: BreakersConfig) -> None:
        self.config = config
        self._spike = config.volatility_spike or inf
        self._jump = config.data_anomaly or inf

    def change(self, config: BreakersConfig) -> None:
        """Break by other values from now on. What has tripped stays so, and a loss so far counts by the new ones."""
        self._configure(config)
        self._set_floor()

    def state(self, strategy: str, instrument: str, ts: int) -> Standing:
        """Return what an entry of `strategy` in `instrument` meets at `ts`; empty names ask for the run's own."""
        if self._halted is not None:
            return self._halted
        if ts < self._lost_until:
            return self._lost
        for until, standing in (
            self._strategies.get(strategy, (0, ACTIVE)),
            self._instruments.get(instrument, (0, ACTIVE)),
        ):
            if ts < until:
                return standing
        return ACTIVE

    # --- losses -----------------------------------------------------------------------------------

    def on_equity(self, ts: int, equity: float) -> Notice | None:
        """Take the run's equity after a slice; trip on the loss since midnight UTC or since the highest equity."""
        if self._floor < equity <= self._peak and ts < self._midnight:
            self._equity = equity
            return None
        return self._on_extreme(ts, equity)

    @property
    def room(self) -> tuple[float, float, int]:
        """Return above which equity and up to which, and until when, `on_equity` only takes note."""
        return self._floor, self._peak, self._midnight

    def on_external(self, amount: float) -> None:
        """Take a deposit (positive) or withdrawal in the run's currency, before the equity that contains it.

        It is neither profit nor loss: each loss so far stays the same share of the equity it is measured from.
        """
        if not isfinite(amount):
            raise InvariantError(f"A deposit or withdrawal of {amount} cannot be.")
        if not self._midnight:
            return
        before = self._equity
        self._peak = moved(self._peak, before, amount)
        self._day_open = moved(self._day_open, before, amount)
        self._equity = before + amount
        self._set_floor()

    def _on_extreme(self, ts: int, equity: float) -> Notice | None:
        """Take an equity that is a new high, below a floor, the first of its day, or no number."""
        if not isfinite(equity):
            return (
                self._halt(ts, "equity_unknown", "The equity is not a number")
                if self._halted is None
                else None
            )
        if ts >= self._midnight:
            day = ts // DAY_NS * DAY_NS
            # what happened between midnight and this moment belongs to this day
            self._day_open = equity if ts == day or not self._midnight else self._equity
            self._midnight = day + DAY_NS
        self._equity = equity
        self._peak = max(self._peak, equity)
        self._set_floor()
        return self._trip(ts, equity) if equity <= self._floor else None

    def _trip(self, ts: int, equity: float) -> Notice | None:
        """Trip what `equity` has reached; of two the graver is told."""
        notice = None
        if equity <= self._day_floor(ts):
            loss, limit = 1 - equity / self._day_open, self.config.daily_loss
            text = f"Lost {loss:.2%} since midnight UTC (`risk.breakers.daily_loss` is {limit:.2%})"
            self._lost_until = self._midnight
            self._lost = Standing(
                TradingState.REDUCING,
                RefusalCode.REDUCING,
                f"{text}; reducing until {_moment(self._midnight)}.",
            )
            notice = Notice(ts, "error", "daily_loss", self._lost.reason)
        if equity <= self._drawdown_floor():
            loss, limit = 1 - equity / self._peak, self.config.max_drawdown
            text = f"Lost {loss:.2%} from the highest equity (`risk.breakers.max_drawdown` is {limit:.2%})"
            notice = self._halt(ts, "max_drawdown", text)
        self._set_floor()
        return notice

    def _set_floor(self) -> None:
        """Note the highest equity at which a breaker trips that has not tripped."""
        self._floor = max(self._day_floor(self._midnight - 1), self._drawdown_floor())

    def _day_floor(self, ts: int) -> float:
        share = self.config.daily_loss
        return (
            self._day_open * (1 - share) if share and self._day_open > 0 and ts >= self._lost_until else -inf
        )

    def _drawdown_floor(self) -> float:
        share = self.config.max_drawdown
        return self._peak * (1 - share) if share and self._peak > 0 and self._halted is None else -inf

    def on_round_trip(self, trip: RoundTrip) -> Notice | None:
        """Take a closed round trip; a row of losing ones lets its strategy rest."""
        name, limit = trip.strategy, self.config.losing_streak
        if limit is None or trip.ts_exit is None:
            return None
        losses = self._losses[name] = self._losses.get(name, 0) + 1 if trip.pnl < 0 else 0
        if losses < limit:
            return None
        self._losses[name] = 0
        until = max(
            trip.ts_exit + round(self.config.cooldown * 3600 * SECOND_NS),
            self._until(self._strategies, name),
        )
        reason = f"{name} lost {losses} times in a row (`risk.breakers.losing_streak`): it rests until {_moment(until)}."
        self._strategies[name] = until, Standing(TradingState.REDUCING, RefusalCode.STRATEGY_STOPPED, reason)
        return Notice(trip.ts_exit, "warning", "losing_streak", reason, name)

    # --- data -------------------------------------------------------------------------------------

    def on_bar(self, bar: Bar) -> Notice | None:
        """Take a closed bar; a wild or impossible one lets its instrument rest. It is judged by those before it."""
        watch = self._watches.get((bar.instrument, bar.timeframe))
        if watch is None:
            watch = self._watches[bar.instrument, bar.timeframe] = _Watch()
        high, low, close, before = bar.high, bar.low, bar.close, watch.close
        if not (0.0 < low <= bar.open <= high < inf and low <= close <= high):
            return self._rest(bar, "data_anomaly", "has impossible prices") if self._jump < inf else None
        watch.close = close
        width = high - low
        wild = width * SPIKE_BARS > self._spike * watch.total and watch.full and watch.total > 0.0
        mean = watch.total / SPIKE_BARS
        watch.take(width)
        if before and not -self._jump * before <= close - before <= self._jump * before:
            return self._rest(bar, "data_anomaly", f"closed at {close:g} after {before:g}")
        if wild:
            text = f"has a range of {width:.6g} where {mean:.6g} is usual"
            return self._rest(bar, "volatility_spike", text)
        return None

    def on_anomaly(self, event: Anomaly, bar_ns: int) -> Notice | None:
        """Take something unlikely in a live stream; all but a burst of volume let the instrument rest some bars."""
        if event.code in _WELCOME or self._jump == inf:
            return Notice(event.ts, "info", event.code, f"{event.instrument}: {event.text}")
        return self._pause(event.instrument, event.ts, bar_ns, "data_anomaly", event.text.rstrip("."))

    def _rest(self, bar: Bar, key: str, text: str) -> Notice | None:
        length = timeframe_ns(bar.timeframe)
        closed = bar.ts + length
        what = f"The bar of {bar.instrument} that closed at {_moment(closed)} {text}"
        return self._pause(bar.instrument, closed, length, key, what)

    def _pause(self, instrument: str, ts: int, bar_ns: int, key: str, what: str) -> Notice | None:
        """Let an instrument rest; told once, prolonged silently."""
        before = self._until(self._instruments, instrument)
        until = max(ts + self.config.cooldown_bars * bar_ns, before)
        reason = f"{what} (`risk.breakers.{key}`): no entries until {_moment(until)}."
        self._instruments[instrument] = (
            until,
            Standing(TradingState.REDUCING, RefusalCode.ENTRIES_PAUSED, reason),
        )
        return Notice(ts, "warning", key, reason) if ts >= before else None

    @staticmethod
    def _until(rests: dict[str, tuple[int, Standing]], name: str) -> int:
        return rests.get(name, (0, ACTIVE))[0]

    # --- people -----------------------------------------------------------------------------------

    def kill(self, ts: int, actor: str, why: str = "") -> Notice:
        """Halt until released, whatever else holds; a second kill changes only what is told."""
        told = (
            "The kill switch was thrown"
            if actor == KILL_SWITCH
            else f"{actor or 'Somebody'} used the kill switch"
        )
        return self._halt(ts, "kill", f"{told}{f' ({why})' if why else ''}")

    def release(self, ts: int, actor: str) -> Notice:
        """End a halt; the highest equity starts anew from the present one. Rests and the daily loss run their time."""
        held, self._halted = self._halted, None
        if held is None:
            return Notice(
                ts, "info", "release", f"{actor or 'Somebody'} released a halt, but there was none."
            )
        self._peak = self._equity if self._midnight else -inf
        self._set_floor()
        return Notice(
            ts, "warning", "release", f"{actor or 'Somebody'} ended the halt. It was: {held.reason}"
        )

    def _halt(self, ts: int, code: str, text: str) -> Notice:
        reason = f"{text}; halted at {_moment(ts)} until a person releases it."
        self._halted = Standing(TradingState.HALTED, RefusalCode.HALTED, reason)
        self._set_floor()
        return Notice(ts, "error", code, reason)


class _Watch:
    """The last close and the sum of the last ranges of one series of bars."""

    __slots__ = ("_at", "_widths", "close", "full", "total")

    def __init__(self) -> None:
        self.close = self.total = 0.0
        self.full = False
        self._widths = [0.0] * SPIKE_BARS
        self._at = 0

    def take(self, width: float) -> None:
        """Put a range in the place of the oldest."""
        at, widths = self._at, self._widths
        self.total += width - widths[at]
        widths[at] = width
        if at + 1 < SPIKE_BARS:
            self._at = at + 1
            return
        # summed anew on each round, so that rounding errors cannot pile up
        self._at, self.full, self.total = 0, True, sum(widths)


def _moment(ts: int) -> str:
    """Return a time as people write it."""
    try:
        return f"{datetime.fromtimestamp(ts / SECOND_NS, UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, ValueError, OSError):
        return f"{ts} ns"
