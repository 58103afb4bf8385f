"""Compiled: the loop of a run in which trades fill orders, between bars that are built from them.

Bars decide, as in `kernels`; each trade is held against what is watched (an order's price, an arrival, the next look at
the equity) and only where one is touched does the venue act. The counterpart of `venues.sim.matching.Tick` and of how
`engine` takes ticks. What happens to an order is `desk`'s.
"""

# The rows of record tables have no types that mypy could see.
# mypy: warn-return-any=False

import math

from abidance.backtest import desk, kernels, margin, watch
from abidance.backtest.jit import kernel
from abidance.backtest.tables import (
    DONE,
    FOR_LIMIT,
    FOR_MARKET,
    FOR_TRIGGER,
    LOGS_FULL,
    NEVER,
    SHARES_DUE,
    World,
)  # fmt: skip
from abidance.venues.sim import fills

_LOOK_NS = 1_000_000_000
_END = 2**62


@kernel
def play_ticks(w: World) -> None:
    """Run slices and what trades between them, as `kernels.play` runs slices."""
    run = w.run[0]
    while run.at < len(w.when):
        if run.halfway:
            kernels.decide(w)
        else:
            go_paying(w, w.stops[run.at], w.when[run.at])
            if run.status != DONE:
                return
            take_slice(w, w.when[run.at])
        if run.status != DONE:
            return
        kernels.record(w, run.at)
        run.at += 1
    go_paying(w, len(w.tick_ts), NEVER - 1)


@kernel
def go_paying(w: World, stop: int, now: int) -> None:
    """Take the trades up to, not including, row `stop`.

    Among them are the funding that falls due before `now`, and the changes of trust up to then.
    """
    run = w.run[0]
    while (run.pay_from < now or run.doubt_from <= now) and run.status == DONE:
        if kernels.is_full(w):
            run.status = LOGS_FULL
        elif run.doubt_from <= run.pay_from:
            go(w, w.doubts[run.doubted].stop)
            if run.status == DONE:
                watch.doubt(w)
        else:
            go(w, w.payments[run.paid].stop)
            if run.status == DONE:
                margin.pay(w)
    if run.status == DONE:
        go(w, stop)


@kernel
def take_slice(w: World, now: int) -> None:
    """Let bars that close now be decided on; what could fill has filled at the trades before."""
    if kernels.is_full(w):
        w.run[0].status = LOGS_FULL
        return
    settle(w)
    for s in range(len(w.series)):
        series = w.series[s]
        series.present = series.at < series.count and w.ts[series.first + series.at] + series.span == now
    kernels.close(w, now)


@kernel
def go(w: World, stop: int) -> None:
    """Take the trades up to, not including, row `stop`."""
    run = w.run[0]
    while run.tick_at < stop and run.status == DONE:
        if kernels.is_full(w):
            run.status = LOGS_FULL
            return
        if len(w.tools) == 1:
            pass_one(w, stop)
        else:
            pass_many(w, stop)
        if run.status == DONE and run.tick_at < stop:
            take(w, run.tick_at)
            run.tick_at += 1


@kernel
def settle(w: World) -> None:
    """Value everything at the trades passed since the last time."""
    for t in range(len(w.tools)):
        tool = w.tools[t]
        if tool.last >= 0:
            tool.mark, tool.mark_ts, tool.last = w.tick_price[tool.last], w.tick_ts[tool.last], -1


@kernel
def is_exposed(w: World) -> bool:
    """Say whether a position or an order is open: the next price may matter."""
    if w.run[0].n_held:
        return True
    for t in range(len(w.tools)):  # noqa: SIM110
        if w.tools[t].n_orders:
            return True
    return False


@kernel
def watched(w: World, t: int) -> tuple[float, float, int]:
    """Return between which prices (bounds excluded) a trade touches nothing, and from when on any may."""
    low, high, wake = -math.inf, math.inf, _END
    tool = w.tools[t]
    if tool.n_margined:
        low, high = margin.reach(w, t)
    for at in range(tool.n_orders):
        order = w.orders[w.book[t, at]]
        wake = min(wake, order.expiry)
        if order.stage == FOR_MARKET or (order.stage == FOR_LIMIT and not order.rested):
            wake = min(wake, order.arrival)
            continue
        level = order.level
        if order.stage == FOR_LIMIT and not tool.on_touch:
            level -= order.side * (tool.tick * 0.999999)
        if (order.stage == FOR_TRIGGER) == (order.side > 0):
            high = min(high, level)
        else:
            low = max(low, level)
    return low, high, wake


@kernel
def scan(w: World, rows: tuple[int, int], low: float, high: float, wake: int) -> int:
    """Return the first of `rows` whose trade is touched, late enough to wake, or due for a look; else their end."""
    ts, price, look = w.tick_ts, w.tick_price, min(w.run[0].look_at, wake)
    for at in range(rows[0], rows[1]):
        if not (low < price[at] < high) or ts[at] >= look:
            return at
    return rows[1]


@kernel
def drift(w: World, rows: tuple[int, int]) -> int:
    """Pass over trades while nothing is at stake: only the moments of looks go on.

    Return the first of `rows` at which shares of equity are due, or their end.
    """
    run = w.run[0]
    ts, look, due = w.tick_ts, run.look_at, run.shares_at
    for at in range(rows[0], rows[1]):
        if ts[at] >= look:
            if ts[at] >= due:
                run.look_at = look
                return at
            look = ts[at] + _LOOK_NS
    run.look_at = look
    return rows[1]


@kernel
def pass_one(w: World, stop: int) -> None:
    """Pass over trades of a lone instrument, and take looks at the equity that lead to nothing."""
    run, tool = w.run[0], w.tools[0]
    at = run.tick_at
    if not is_exposed(w):
        run.tick_at = drift(w, (at, stop))
        if run.tick_at > at:
            tool.last = run.tick_at - 1
        return
    low, high, wake = watched(w, 0)
    while at < stop:
        before, at = at, scan(w, (at, stop), low, high, wake)
        if at > before:
            tool.last = at - 1
        if at == stop or w.tick_ts[at] >= wake or not (low < w.tick_price[at] < high):
            break
        tool.last = at
        look(w, w.tick_ts[at])
        at += 1
        if run.n_commands or run.status != DONE:
            break
    run.tick_at = at
    desk.follow(w)


@kernel
def pass_many(w: World, stop: int) -> None:
    """Pass over trades of several instruments in their common order."""
    run = w.run[0]
    for t in range(len(w.tools)):
        tool = w.tools[t]
        tool.watch_low, tool.watch_high, tool.watch_from = watched(w, t)
    exposed = is_exposed(w)
    while run.tick_at < stop:
        at = run.tick_at
        tool, now = w.tools[w.tick_tool[at]], w.tick_ts[at]
        if now >= tool.watch_from or not (tool.watch_low < w.tick_price[at] < tool.watch_high):
            break
        tool.last = at
        run.tick_at += 1
        if now >= run.look_at:
            run.look_at = now + _LOOK_NS
            if exposed or now >= run.shares_at:
                look(w, now)
                if run.n_commands or run.status != DONE:
                    break
    desk.follow(w)


@kernel
def look(w: World, now: int) -> None:
    """Look at the equity, and have it divided anew where that is due; what else that leads to are commands."""
    run = w.run[0]
    run.look_at = now + _LOOK_NS
    run.now = now
    run.venue_now = max(run.venue_now, now)
    settle(w)
    watch.watch(w, now)
    if now >= run.shares_at and run.status == DONE:
        run.status = SHARES_DUE


@kernel
def take(w: World, at: int) -> None:
    """Take one trade with everything that may come of it."""
    run = w.run[0]
    t, now = w.tick_tool[at] if len(w.tick_tool) else 0, w.tick_ts[at]
    if kernels.is_touchable(w, t):
        settle(w)
        touch(w, t, at)
        run.moment = -1
    run.venue_now = max(run.venue_now, now)
    run.now = now
    w.tools[t].last = at
    if now >= run.look_at:
        run.look_at = now + _LOOK_NS
        if is_exposed(w) or now >= run.shares_at:
            look(w, now)
    desk.follow(w)


@kernel
def touch(w: World, t: int, at: int) -> None:
    """Do what a trade does to the orders that were there before it, in their order of arrival."""
    run, tool, now, price = w.run[0], w.tools[t], w.tick_ts[at], w.tick_price[at]
    run.moment = now
    lost = margin.doomed(w, t, price, price)
    while lost >= 0 and run.status == DONE:
        desk.liquidate(w, lost, now)
        lost = margin.doomed(w, t, price, price)
    printed, before, count = fills.whole_lots(w.tick_size[at], tool.lot), run.order_seq, tool.n_orders
    for place in range(count):
        w.scan[place] = w.book[t, place]
    for place in range(count):
        slot = w.scan[place]
        order = w.orders[slot]
        if order.tool != t or not order.working or order.seq >= before or order.arrival > now:
            continue
        if order.expiry <= now:
            desk.expire(w, slot, now)
            continue
        if order.stage == FOR_TRIGGER and fills.is_touched(order.level, price, price, order.side):
            order.stage, order.rested = FOR_MARKET, 0
        if order.stage == FOR_MARKET:
            execute(w, slot, price, now)
        elif order.stage == FOR_LIMIT and not order.rested:
            order.rested = 1
            if fills.is_marketable(order.venue_ticks, price, tool.spread, tool.tick, order.side):
                execute(w, slot, price, now)
        elif order.stage == FOR_LIMIT and fills.is_passed(
            order.level, price, price, tool.tick, order.side, tool.on_touch
        ):
            lots = order.venue_lots - order.filled
            lots = lots if tool.unlimited else min(lots, printed)
            printed -= 0 if tool.unlimited else lots
            if lots:
                desk.trade(w, slot, lots, order.venue_ticks, 1, now)


@kernel
def execute(w: World, slot: int, price: float, now: int) -> None:
    """Let an order take at a print: all it wants, worsened by half the spread, never beyond its limit."""
    order = w.orders[slot]
    tool = w.tools[order.tool]
    ticks = fills.taker_ticks(price, tool.fixed + 0.5 * tool.spread, tool.tick, order.side)
    if order.stage == FOR_LIMIT:
        best = fills.ticks_against(price, tool.tick, order.side)
        if order.side * (order.venue_ticks - best) < 0:
            return
        ticks = fills.within_limit(ticks, order.venue_ticks, order.side)
    desk.trade(w, slot, order.venue_lots - order.filled, ticks, 0, now)
