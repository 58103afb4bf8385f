"""Compiled: the loop over time slices, the same steps in the same order as the pump and the engine take them."""

# The rows of record tables have no types that mypy could see.
# mypy: warn-return-any=False

import math

from abidance.backtest import actions, desk, exact, gate, margin, watch
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
)
from abidance.venues.sim import fills

_HIGHEST = fills.HIGHEST_PRICE
_MARGIN = 64
_DAY_NS = 86_400_000_000_000


@kernel
def play(w: World) -> None:
    """Run slices until there are none, until a log needs room, or until something cannot be told here (`status`)."""
    run = w.run[0]
    play_slices(w)
    if run.status == DONE and run.at == run.slices:
        if is_full(w):
            run.status = LOGS_FULL
            return
        margin.pay_due(w, NEVER)
        watch.doubt_due(w, NEVER - 1)


@kernel
def play_slices(w: World) -> None:
    """Run slices, and between them the funding that falls due and the changes of trust in what was recorded."""
    run = w.run[0]
    while run.at < len(w.when):
        if run.halfway:
            decide(w)
        else:
            if is_full(w):
                run.status = LOGS_FULL
                return
            if run.pay_from < w.when[run.at]:
                margin.pay_due(w, w.when[run.at])
            if run.doubt_from <= w.when[run.at]:
                watch.doubt_due(w, w.when[run.at])
            if len(w.places) == 1 and len(w.series) == 1:
                coast(w)
                if run.at == len(w.when) or run.status != DONE:
                    return
                if run.pay_from < w.when[run.at] or run.doubt_from <= w.when[run.at]:
                    continue
            step(w, w.when[run.at])
        if run.status != DONE:
            return
        record(w, run.at)
        run.at += 1


@kernel
def is_full(w: World) -> bool:
    """Say whether a log has no room for all that one step may have to tell."""
    run, margin = w.run[0], _MARGIN + 4 * len(w.orders) + len(w.doubts)
    return run.keeps_logs and (
        run.n_orders_log + margin > len(w.order_log) or run.n_fills_log + margin > len(w.fill_log)
        or run.n_refusals_log + margin > len(w.refusal_log) or run.n_notices_log + margin > len(w.notice_log)
    )  # fmt: skip


@kernel
def coast(w: World) -> None:
    """Take the slices of a lone strategy in a lone instrument for as long as they touch and decide nothing.

    The same as `step`, which has nothing to fill, decide or send then. What protects a position is followed here too;
    the slice in which that leads to something is the last one taken.
    """
    run, place, series = w.run[0], w.places[0], w.series[0]
    tool = w.tools[place.tool]
    low, high = watched(w, place.tool)
    until = min(run.pay_from, run.shares_at - 1, run.doubt_from - 1)
    if run.n_owed or low > high:
        return
    lows, highs, closes, targets, when = w.low, w.high, w.close, w.target, w.when
    is_held, is_watched = run.n_held > 0, run.jump < math.inf or run.spike < math.inf
    acted, told = False, run.refused + run.n_notices_log
    while run.at < len(when) and not acted and run.refused + run.n_notices_log == told:
        if when[run.at] > until:
            return
        b, row = series.first + series.at, place.row0 + series.at
        if targets[row] == targets[row] or not (lows[b] > low and highs[b] < high):
            return
        now, close = when[run.at], closes[b]
        if 0.0 < close < math.inf:
            tool.mark, tool.mark_ts = close, now
        if is_watched:
            watch.on_bar(w, 0, b)
        worth = run.pool + place.size * (tool.mark - place.entry) if is_held else run.pool
        run.now = run.venue_now = now
        if run.floor < worth <= run.peak and now < run.midnight:
            run.equity = run.seen_equity = worth
        else:
            watch.watch(w, now)
        if place.planned:
            actions.protect_bar(w, 0, b, row)
            acted = run.n_commands > 0
            desk.follow(w)
        series.at += 1
        if run.keeps_curves:
            w.equity[run.at] = run.equity
            exposed = abs(place.size) * tool.mark if is_held else 0.0
            w.exposure[run.at] = exposed / run.equity if run.equity > 0 else 0.0
        else:
            score(w, now)
        run.at += 1


@kernel
def watched(w: World, t: int) -> exact.Pair:
    """Return between which prices a bar touches no order of an instrument; crossed when any bar may touch one."""
    low, high = -math.inf, math.inf
    if w.tools[t].n_margined:
        low, high = margin.reach(w, t)
    for at in range(w.tools[t].n_orders):
        order = w.orders[w.book[t, at]]
        is_eager = order.stage == FOR_MARKET or (order.stage == FOR_LIMIT and not order.rested)
        if is_eager or order.expiry < NEVER:
            return math.inf, -math.inf
        if (order.stage == FOR_TRIGGER) == (order.side > 0):
            high = min(high, order.level)
        else:
            low = max(low, order.level)
    return low, high


@kernel
def score(w: World, now: int) -> None:
    """Keep of a curve what metrics need: the equity at the end of each day (UTC) and the deepest fall."""
    run = w.run[0]
    day = (now - 1) // _DAY_NS
    if day != run.day or run.days == 0:
        run.day = day
        run.days += 1
    w.when_scored[run.days - 1] = now
    w.equity[run.days - 1] = run.equity
    if run.equity > run.highest:
        run.highest = run.equity
    elif run.highest > 0:
        run.deepest = min(run.deepest, (run.equity - run.highest) / run.highest)


@kernel
def step(w: World, now: int) -> None:
    """Let one slice touch orders, then let strategies decide on it."""
    run = w.run[0]
    busy = False
    for s in range(len(w.series)):
        series = w.series[s]
        b = series.first + series.at
        series.present = series.at < series.count and w.ts[b] + series.span == now
        busy |= series.present and series.drives and is_touchable(w, series.tool)
    if busy:
        fill(w)
        run.moment = -1
    close(w, now)


@kernel
def is_touchable(w: World, t: int) -> bool:
    """Say whether a bar may touch something in an instrument: an order, or a position with margin."""
    return bool(w.tools[t].n_orders + w.tools[t].n_margined > 0)


@kernel
def close(w: World, now: int) -> None:
    """Value everything at the close of a slice, and let strategies decide once their shares of equity are known."""
    run = w.run[0]
    run.venue_now = max(run.venue_now, now)
    run.now = now
    for s in range(len(w.series)):
        series = w.series[s]
        if series.present and series.drives:
            b = series.first + series.at
            tool, close = w.tools[series.tool], w.close[b]
            if 0.0 < close < math.inf:
                tool.mark, tool.mark_ts = close, now
            if run.is_priced:
                tool.volume = w.volume[b]
            watch.on_bar(w, s, b)
    watch.watch(w, now)
    if now >= run.shares_at and run.status == DONE:
        run.status, run.halfway = SHARES_DUE, 1
        return
    decide(w)


@kernel
def decide(w: World) -> None:
    """Let strategies decide on the bars of a slice that are present."""
    run = w.run[0]
    run.halfway = 0
    if run.n_owed:
        actions.leave_owed(w)
    for s in range(len(w.series)):
        if w.series[s].present:
            judge(w, s)
            w.series[s].at += 1
    desk.follow(w)


@kernel
def fill(w: World) -> None:
    """Run all opens, then all insides, of the bars that drive fills and are sound."""
    before = w.run[0].order_seq
    for s in range(len(w.series)):
        series = w.series[s]
        b = series.first + series.at
        touches = series.present and series.drives and is_touchable(w, series.tool)
        if touches and 0.0 < w.low[b] <= w.high[b] < _HIGHEST and 0.0 < w.open[b] < _HIGHEST:
            series.present = 2
            desk.at_open(w, series.tool, (b, w.ts[b], w.ts[b] + series.span), before)
    for s in range(len(w.series)):
        series = w.series[s]
        if series.present == 2:
            b = series.first + series.at
            desk.inside(w, series.tool, (b, w.ts[b], w.ts[b] + series.span))
    if w.run[0].next_due == NEVER:
        return
    for s in range(len(w.series)):
        series = w.series[s]
        if series.present == 2 and w.tools[series.tool].n_orders > 0:
            b = series.first + series.at
            desk.at_close(w, series.tool, (b, w.ts[b], w.ts[b] + series.span))


@kernel
def judge(w: World, s: int) -> None:
    """Let the strategies of a series see its closed bar."""
    series = w.series[s]
    b = series.first + series.at
    for at in range(w.by_series.shape[1]):
        p = w.by_series[s, at]
        if p < 0:
            break
        row = w.places[p].row0 + series.at
        if w.places[p].planned:
            actions.protect_bar(w, p, b, row)
        if w.target[row] == w.target[row]:
            actions.decide(w, p, row, w.close[b])


@kernel
def record(w: World, at: int) -> None:
    """Write down the equity, the exposure and what each strategy has earned."""
    run = w.run[0]
    if not run.keeps_curves:
        score(w, run.now)
        return
    w.equity[at] = run.equity
    total = 0.0
    for n in range(run.n_held):
        place = w.places[w.held[n]]
        total += abs(place.size) * w.tools[place.tool].mark
    w.exposure[at] = total / run.equity if run.equity > 0 else 0.0
    for strategy in range(w.profits.shape[0]):
        earned = w.strategies[strategy].settled
        for n in range(run.n_held):
            place = w.places[w.held[n]]
            if place.strategy == strategy:
                earned += place.size * (w.tools[place.tool].mark - place.entry)
        w.profits[strategy, at] = earned


@kernel
def deposit(w: World, venue: int, amount: float, low: float, now: int) -> None:
    """Take an opening balance, as the engine takes it."""
    run = w.run[0]
    before = gate.equity(w)
    if before != 0.0:
        watch.watch(w, now)
    run.pool, run.pool_low = exact.add((run.pool, run.pool_low), (amount, low))
    row = w.venues[venue]
    row.wallet, row.wallet_low = exact.add((row.wallet, row.wallet_low), (amount, low))
    run.equity = gate.equity(w)
    watch.on_external(w, run.equity - before)
