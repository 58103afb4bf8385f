"""Compiled: the bars that the fast lane of a sweep passes over, because nothing happens in them but time and prices."""

# The rows of record tables have no types that mypy could see.
# mypy: warn-return-any=False

import math

import numpy as np
from numpy.typing import NDArray

from abidance.backtest import cover, exact, watch
from abidance.backtest.jit import inlined
from abidance.backtest.tables import DONE, NOTHING, World

_FOUR = 4
_TOLERANCE = 1 + 1e-9


@inlined
def idle(w: World, until: int) -> None:
    """Pass over slices in which nothing is held."""
    run, state = w.run[0], w.lane[0]
    run.now = run.venue_now = w.when[until - 1]
    if not is_clear(w) or until > w.day_ends[state.day]:
        watch.watch(w, run.now)
        deepen(w)
    while state.day < len(w.day_ends) and w.day_ends[state.day] < until:
        w.equity[state.day] = run.equity
        state.day += 1
    state.at = until


@inlined
def is_clear(w: World) -> bool:
    """Say whether no midnight comes before the last slice of this day: the breakers have nothing to begin anew."""
    state = w.lane[0]
    if state.clear != state.day:
        end = w.day_ends[state.day]
        if state.at < end and w.when[end - 1] < w.run[0].midnight:
            state.clear = state.day
    return bool(state.clear == state.day)


@inlined
def deepen(w: World) -> None:
    """Keep the highest equity and the deepest fall from it."""
    run, state = w.run[0], w.lane[0]
    if run.equity > run.highest:
        run.highest = run.equity
        state.worst = deepest(w)
    elif run.equity < state.worst:
        deeper(w, run.equity)


@inlined
def deeper(w: World, equity: float) -> None:
    """Keep a fall that is deeper than all before."""
    run = w.run[0]
    run.deepest = min(run.deepest, (equity - run.highest) / run.highest)
    w.lane[0].worst = deepest(w)


@inlined
def deepest(w: World) -> float:
    """Return below which equity a fall may be the deepest."""
    run = w.run[0]
    return run.highest * (1.0 + run.deepest) * _TOLERANCE if run.highest > 0 else -math.inf


@inlined
def hold(w: World, until: int) -> bool:
    """Follow a lone position up to `until`, or to the slice in which it may fill; return whether there was a slice."""
    run, state = w.run[0], w.lane[0]
    p, began = w.scan[0], state.at
    place, leg = w.places[p], w.legs[p]
    tool = w.tools[place.tool]
    while state.at < until and leg.pending == NOTHING and run.status == DONE:
        end = w.day_ends[state.day]
        if is_clear(w) and glide(w, p, min(until, end)):
            continue
        b = leg.first + state.at
        if may_fill(w, p, b):
            break
        run.seen_equity, run.now = run.equity, w.when[state.at]
        run.equity = run.pool + place.size * (w.close[b] - place.entry)
        watch.on_equity(w, run.now, run.equity)
        deepen(w)
        if state.at == end:
            w.equity[state.day] = run.equity
            state.day += 1
        tool.mark = w.close[b]
        if place.planned and leg.follows:
            cover.protect(w, p, state.at)
        state.at += 1
    if state.at == began:
        return False
    run.now = run.venue_now = w.when[state.at - 1]
    run.seen_equity, tool.mark = run.equity, w.close[leg.first + state.at - 1]
    return True


@inlined
def may_fill(w: World, p: int, b: int) -> bool:
    """Say whether a bar touches what protects a long position; a goal that has just been sent may fill in any."""
    leg, tool = w.legs[p], w.tools[w.places[p].tool]
    if leg.stop_ticks and w.low[b] <= leg.stop:
        return True
    beyond = 0.0 if tool.on_touch else tool.tick * 0.999999
    return bool(leg.goal_ticks and (not leg.rested or w.high[b] >= leg.goal + beyond))


@inlined
def glide(w: World, p: int, last: int) -> bool:
    """Take the bars before `last` that are worth no look: no fill, no new high, no breaker's floor."""
    run, state, leg = w.run[0], w.lane[0], w.legs[p]
    if leg.goal_ticks and not leg.rested:
        return False
    began = state.at
    least = crawl(w, p, last) if w.places[p].planned and leg.follows else leap(w, p, last)
    if state.at == began:
        return False
    run.equity = worth(w, p, w.close[leg.first + state.at - 1])
    trough = worth(w, p, least)
    if trough < state.worst:
        deeper(w, trough)
    return True


@inlined
def worth(w: World, p: int, price: float) -> float:
    """Return the equity while a lone position is worth its size at a price."""
    place = w.places[p]
    return w.run[0].pool + place.size * (price - place.entry)


@inlined
def limits(w: World, p: int) -> exact.Pair:
    """Return between which prices a bar touches nothing that protects a position."""
    leg, tool = w.legs[p], w.tools[w.places[p].tool]
    goal = leg.goal + (0.0 if tool.on_touch else tool.tick * 0.999999) if leg.goal_ticks else math.inf
    return leg.stop if leg.stop_ticks else -math.inf, goal


@inlined
def leap(w: World, p: int, last: int) -> float:
    """Pass over bars, four at once while it goes well, and return the least close of them.

    A long position is worth the more the higher the price, so that the ends of a range of prices speak for all of it.
    """
    run, state, first = w.run[0], w.lane[0], w.legs[p].first
    stop, goal = limits(w, p)
    is_guarded = stop > -math.inf or goal < math.inf
    above, floor = min(run.peak, run.highest), run.floor
    lows, highs, closes = w.low, w.high, w.close
    at, least = state.at, math.inf
    while at < last:
        b = first + at
        if at + _FOUR <= last:
            low = least_of(closes, b)
            if (
                floor < worth(w, p, low)
                and worth(w, p, greatest_of(closes, b)) <= above
                and not (is_guarded and (least_of(lows, b) <= stop or greatest_of(highs, b) >= goal))
            ):
                least = min(least, low)
                at += _FOUR
                continue
        if is_guarded and (lows[b] <= stop or highs[b] >= goal):
            break
        if not floor < worth(w, p, closes[b]) <= above:
            break
        least = min(least, closes[b])
        at += 1
    state.at = at
    return least


@inlined
def crawl(w: World, p: int, last: int) -> float:
    """Pass over bars that a plan follows one by one, and return the least close of them."""
    run, state, leg = w.run[0], w.lane[0], w.legs[p]
    above, floor = min(run.peak, run.highest), run.floor
    least = math.inf
    while state.at < last:
        b = leg.first + state.at
        stop, goal = limits(w, p)
        if w.low[b] <= stop or w.high[b] >= goal or not floor < worth(w, p, w.close[b]) <= above:
            break
        least = min(least, w.close[b])
        state.at += 1
        run.now, w.tools[w.places[p].tool].mark = w.when[state.at - 1], w.close[b]
        cover.protect(w, p, state.at - 1)
        if leg.pending or run.status != DONE or (leg.goal_ticks and not leg.rested):
            break
    return least


@inlined
def least_of(column: NDArray[np.float64], row: int) -> float:
    """Return the least of four values."""
    return min(column[row], column[row + 1], column[row + 2], column[row + 3])


@inlined
def greatest_of(column: NDArray[np.float64], row: int) -> float:
    """Return the greatest of four values."""
    return max(column[row], column[row + 1], column[row + 2], column[row + 3])
