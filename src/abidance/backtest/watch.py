"""Compiled: what holds entries back: the breakers, as `risk.breaker` keeps them, and holes in what was recorded.

Losses of the run, losing streaks, wild or broken bars; streams that lost their certificate.
"""

# The rows of record tables have no types that mypy could see.
# mypy: warn-return-any=False

import math

from abidance.backtest import actions, gate
from abidance.backtest.actions import (
    DAILY_LOSS,
    DATA_ANOMALY,
    EQUITY_UNKNOWN,
    FEED_DOUBTED,
    LOSING_STREAK,
    MAX_DRAWDOWN,
    VOLATILITY_SPIKE,
    note,
)  # fmt: skip
from abidance.backtest.jit import kernel
from abidance.backtest.tables import NEVER, World

_DAY_NS = 86_400_000_000_000
_SPIKE_BARS = 100
_NOTHING = 1e-15


@kernel
def watch(w: World, now: int) -> None:
    """Take the equity of a slice; a breaker that trips takes all entries back."""
    run = w.run[0]
    run.equity = gate.equity(w)
    if on_equity(w, now, run.equity) and (run.halted or now < run.lost_until):
        for strategy in range(len(w.strategies)):
            actions.cancel_entries(w, strategy)
    if now >= run.next_due:
        actions.cancel_due(w, now)


@kernel
def on_equity(w: World, ts: int, equity: float) -> bool:
    """Trip on the loss since midnight UTC or since the highest equity; return whether there is something to tell."""
    run = w.run[0]
    if run.floor < equity <= run.peak and ts < run.midnight:
        run.seen_equity = equity
        return False
    if not math.isfinite(equity):
        if run.halted:
            return False
        halt(w)
        note(w, ts, (EQUITY_UNKNOWN, -1, 0), 0.0, 0.0)
        return True
    if ts >= run.midnight:
        day = ts // _DAY_NS * _DAY_NS
        run.day_open = equity if ts == day or not run.midnight else run.seen_equity
        run.midnight = day + _DAY_NS
    run.seen_equity = equity
    run.peak = max(run.peak, equity)
    set_floor(w)
    return trip(w, ts, equity) if equity <= run.floor else False


@kernel
def trip(w: World, ts: int, equity: float) -> bool:
    """Trip what `equity` has reached."""
    run = w.run[0]
    code = -1
    before = run.day_open
    if equity <= day_floor(w, ts):
        run.lost_until = run.midnight
        code = DAILY_LOSS
    if equity <= drawdown_floor(w):
        code, before = MAX_DRAWDOWN, run.peak
        halt(w)
    set_floor(w)
    if code >= 0:
        note(w, ts, (code, -1, run.midnight), equity, before)
    return code >= 0


@kernel
def halt(w: World) -> None:
    """Stop taking risk for good."""
    w.run[0].halted = 1
    set_floor(w)


@kernel
def set_floor(w: World) -> None:
    """Note the highest equity at which a breaker trips that has not tripped."""
    run = w.run[0]
    run.floor = max(day_floor(w, run.midnight - 1), drawdown_floor(w))


@kernel
def day_floor(w: World, ts: int) -> float:
    """Return the equity at which the daily loss trips."""
    run = w.run[0]
    if run.daily_loss > 0.0 and run.day_open > 0 and ts >= run.lost_until:
        return run.day_open * (1 - run.daily_loss)
    return -math.inf


@kernel
def drawdown_floor(w: World) -> float:
    """Return the equity at which the drawdown trips."""
    run = w.run[0]
    if run.max_drawdown > 0.0 and run.peak > 0 and not run.halted:
        return run.peak * (1 - run.max_drawdown)
    return -math.inf


@kernel
def on_external(w: World, amount: float) -> None:
    """Take a deposit: neither profit nor loss."""
    run = w.run[0]
    if not run.midnight:
        return
    before, after = run.seen_equity, run.seen_equity + amount
    if before > 0 and after > 0:
        run.peak *= after / before
        run.day_open *= after / before
    else:
        run.peak = run.day_open = after
    run.seen_equity = after
    set_floor(w)


@kernel
def on_round_trip(w: World, strategy: int, profit: float, ts: int) -> None:
    """Take a closed round trip; a row of losing ones lets its strategy rest."""
    run, config = w.run[0], w.strategies[strategy]
    if run.losing_streak == 0:
        return
    config.losses = config.losses + 1 if profit < -_NOTHING else 0
    if config.losses < run.losing_streak:
        return
    config.losses = 0
    config.rest_until = max(ts + run.cooldown, config.rest_until)
    note(w, ts, (LOSING_STREAK, strategy, config.rest_until), 0.0, 0.0)
    actions.cancel_entries(w, strategy)


@kernel
def on_bar(w: World, s: int, b: int) -> None:
    """Take a closed bar; a wild or impossible one lets its instrument rest."""
    run, series = w.run[0], w.series[s]
    opened, high, low, close = w.open[b], w.high[b], w.low[b], w.close[b]
    if not (0.0 < low <= opened <= high < math.inf and low <= close <= high):
        if run.jump < math.inf:
            rest(w, s, b, (DATA_ANOMALY, 0.0, 0.0))
        return
    before = series.watch_close
    series.watch_close = close
    width, total = high - low, series.watch_total
    wild = width * _SPIKE_BARS > run.spike * total and series.watch_full and total > 0.0
    if run.spike < math.inf:
        take_width(w, s, width)
    if before != 0.0 and not -run.jump * before <= close - before <= run.jump * before:
        rest(w, s, b, (DATA_ANOMALY, close, before))
    elif wild:
        rest(w, s, b, (VOLATILITY_SPIKE, width, total / _SPIKE_BARS))


@kernel
def take_width(w: World, s: int, width: float) -> None:
    """Put a range in the place of the oldest; the sum is made anew on each round."""
    series = w.series[s]
    at = series.watch_at
    series.watch_total += width - w.widths[s, at]
    w.widths[s, at] = width
    if at + 1 < _SPIKE_BARS:
        series.watch_at = at + 1
        return
    total = 0.0
    for other in range(_SPIKE_BARS):
        total += w.widths[s, other]
    series.watch_at, series.watch_full, series.watch_total = 0, 1, total


@kernel
def rest(w: World, s: int, b: int, what: tuple[int, float, float]) -> None:
    """Let an instrument rest; told once, prolonged silently."""
    series = w.series[s]
    tool = w.tools[series.tool]
    closed, before = w.ts[b] + series.span, tool.rest_until
    tool.rest_until = max(closed + w.run[0].cooldown_bars * series.span, before)
    if closed >= before:
        note(w, closed, (what[0], s, tool.rest_until), what[1], what[2])


@kernel
def doubt_due(w: World, now: int) -> None:
    """Let places begin or end to be in doubt that do so by `now`."""
    while w.run[0].doubt_from <= now:
        doubt(w)


@kernel
def doubt(w: World) -> None:
    """Take the next change of trust in what was recorded."""
    run = w.run[0]
    row = w.doubts[run.doubted]
    run.now = max(run.now, row.ts)
    if row.place >= 0:
        w.places[row.place].doubted = row.doubted
    if row.notice >= 0:
        note(w, run.now, (FEED_DOUBTED, row.notice, 0), 0.0, 0.0)
    run.doubted += 1
    run.doubt_from = w.doubts[run.doubted].ts if run.doubted < len(w.doubts) else NEVER
