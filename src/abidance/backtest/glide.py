"""Compiled: the bars that a place of the fast lane passes over, because nothing happens in them but time and prices."""

# The rows of record tables have no types that mypy could see.
# mypy: warn-return-any=False

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abidance.backtest import cover, exact
from abidance.backtest.jit import inlined
from abidance.backtest.layout import ahead as _ahead
from abidance.backtest.tables import COLUMN, NO_TRAIL, NOTHING, SHARE, World
from abidance.kernel import lanes as _lanes
from abidance.kernel.lanes import LANES

ahead: Any = _ahead
lanes: Any = _lanes
FOUR = 4
_LINE, _LINES = 8, 7
"""Values that memory brings at once, and how many times so many bars are asked for early."""
_LAST_BITS = 1e-12
_NOISE = 1e-6
"""In ticks: by so much at most a stop rounded to the grid is above the price that was asked for."""


@inlined
def turn(w: World, p: int) -> int:
    """Return the slice in which a place changes its mind next; the one after the last where it never does."""
    leg = w.legs[p]
    return w.turn_at[leg.turn] if leg.turn < leg.last_turn else len(w.when)


@inlined
def foresee(w: World, p: int, at: int) -> int:
    """Return the first slice from `at` on in which something may come of a place's bars or turns.

    A position is followed through all bars before it, and through that of a turn: as far as `done`.
    """
    place, leg = w.places[p], w.legs[p]
    if leg.pending != NOTHING:
        leg.done = at
        return at
    if place.lots == 0:
        stay_out(w, p)
    last = turn(w, p)
    if place.lots == 0:
        leg.done = last + 1
        if last < len(w.when):
            look_ahead(w, p, last)
    elif leg.done <= at:
        leg.done = first_unquiet(w, p, at, min(last + 1, len(w.when)))
        gain(w, p, at, leg.done)
        ahead(w.open, leg.first + leg.done)
    return min(leg.done, last)


@inlined
def stay_out(w: World, p: int) -> None:
    """Hear the turns that tell a place to hold nothing, while it holds nothing."""
    place, leg = w.places[p], w.legs[p]
    while leg.turn < leg.last_turn and w.target[leg.turn] == 0.0:
        place.wish = place.aim = 0
        leg.turn += 1


@inlined
def follow(w: World, p: int, at: int) -> None:
    """Follow a position through a bar that has filled what it fills, and as far on as nothing comes of bars."""
    place, leg = w.places[p], w.legs[p]
    foresee(w, p, at)
    if leg.done == at:
        leg.done = at + 1
        gain(w, p, at, at + 1)
        w.tools[place.tool].mark = w.close[leg.first + at]
        if place.planned and leg.follows:
            cover.protect(w, p, at)


@inlined
def first_unquiet(w: World, p: int, at: int, end: int) -> int:
    """Return the first slice before `end` in which a position's bar may fill something or call for a closer look."""
    place, leg = w.places[p], w.legs[p]
    if not place.planned:
        return end
    if (leg.goal_ticks and not leg.rested) or (place.has_stop and not leg.stop_ticks):
        return at
    return crawl(w, p, at, end) if leg.follows else leap(w, p, at, end)


@inlined
def look_far_ahead(w: World, p: int) -> None:
    """Let memory bring what the turn after next will read, and later turns: long runs wait for little else."""
    leg = w.legs[p]
    if leg.turn + 1 < leg.last_turn:
        at = w.turn_at[leg.turn + 1]
        ahead(w.close, leg.first + at)
        ahead(w.open, leg.first + at + 1)
        ahead(w.when, at)
    later = leg.turn + _LINE
    for column in (w.target, w.confidence, w.stop, w.goal, w.trailing, w.even):
        ahead(column, later)
    ahead(w.turn_at, later)


@inlined
def look_ahead(w: World, p: int, at: int) -> None:
    """Let memory bring the bars that follow an entry, if the new position will be followed through each of them."""
    leg = w.legs[p]
    row, first = leg.turn, leg.first + at + 1
    stop, goal = w.stop[row], w.goal[row]
    if leg.follows or stop == stop or goal == goal:
        for n in range(_LINES):
            ahead(w.low, first + n * _LINE)
            ahead(w.high, first + n * _LINE)
            ahead(w.close, first + (n + 1) * _LINE)


@inlined
def is_lone(w: World) -> bool:
    """Say whether a run has one place only."""
    return len(w.places) == 1


@inlined
def gain(w: World, p: int, at: int, last: int) -> None:
    """Add what a position gains to that of others, by the close of the slices from `at` to before `last`.

    A lone place has no others: what it gains is read off its closes (`tide`).
    """
    if is_lone(w):
        return
    place, first = w.places[p], w.legs[p].first
    gains, closes = w.gains[at:last], w.close[first + at : first + last]
    size, entry = place.size, place.entry
    for n in range(len(gains)):
        gains[n] += size * (closes[n] - entry)


@inlined
def limits(w: World, p: int) -> exact.Pair:
    """Return between which prices a bar touches nothing that protects a position."""
    leg, tool = w.legs[p], w.tools[w.places[p].tool]
    goal = leg.goal + (0.0 if tool.on_touch else tool.tick * 0.999999) if leg.goal_ticks else math.inf
    return leg.stop if leg.stop_ticks else -math.inf, goal


@inlined
def leap(w: World, p: int, at: int, last: int) -> int:
    """Return the first slice before `last` whose bar touches a stop or a goal that stay where they are."""
    first, (stop, goal) = w.legs[p].first, limits(w, p)
    if stop == -math.inf and goal == math.inf:
        return last
    lows, highs = w.low, w.high
    b, end = first + at, first + last
    while b + FOUR <= end and least_of(lows, b) > stop and greatest_of(highs, b) < goal:
        b += FOUR
    while b < end and lows[b] > stop and highs[b] < goal:
        b += 1
    return b - first


@inlined
def crawl(w: World, p: int, at: int, last: int) -> int:
    """Return the first slice before `last` whose bar may touch a stop that moves, or ends a plan's time.

    The plan follows the bars before it as `actions.follow_bar` follows each: what was best rises with the highs, the
    stop with what was best and with what it trails by.
    """
    place, leg = w.places[p], w.legs[p]
    first, goal = leg.first, limits(w, p)[1]
    if place.max_bars:
        last = min(last, max(at, at + place.max_bars - place.best_bars - 1))
    best, trail, asked = place.best, place.trailing, place.stop if place.has_stop else -math.inf
    lift = place.plan_entry + place.even
    if asked < place.plan_entry and lift == lift:
        goal = min(goal, lift * (1 - _LAST_BITS))
    b, count, noise = first + at, last - at, w.tools[place.tool].tick * _NOISE
    lows, highs, closes = w.low[b : b + count], w.high[b : b + count], w.close[b : b + count]
    trails, share, row = trail == trail, leg.share, leg.follow_first + at
    trail, kind = trail if trails else math.inf, leg.follow if trails else NO_TRAIL
    n = 0
    while n < count:
        end = count
        if kind == SHARE and n + LANES <= count:
            top, highest, low = stride(w, b + n, share, (best, asked))
            if top < goal and low > highest + noise:
                n += LANES
                best, asked, trail = top, highest, closes[n - 1] * share
                continue
            end = n + LANES
        while n < end:
            is_near = lows[n] <= asked + noise
            if is_near:
                settle(w, p, asked)
            if not highs[n] < goal or (is_near and lows[n] <= leg.stop):
                count = n
                break
            best = max(highs[n], best)
            trail = trailing(w, kind, (share, row + n), closes[n], trail)
            asked = max(best - trail, asked)
            n += 1
    place.best = best
    place.best_bars += n
    if trails:
        place.trailing = trail
    if place.has_stop:
        settle(w, p, asked)
    return at + n


@inlined
def stride(w: World, b: int, share: float, before: exact.Pair) -> tuple[float, float, float]:
    """Return how high eight bars raise what was best and a stop that trails by a share of the close, and their low.

    `before` is the best price and the stop before them.
    """
    bests = lanes.highest_yet(lanes.beside(w.high, b), before[0])
    stops = lanes.minus(bests, lanes.times(lanes.beside(w.close, b), share))
    top = lanes.lane_of(bests, LANES - 1)
    return top, max(lanes.greatest(stops), before[1]), lanes.least(lanes.beside(w.low, b))


@inlined
def trailing(w: World, kind: int, what: tuple[float, int], close: float, before: float) -> float:
    """Return by how much a stop trails after a bar: a share of its close, or what a row of `follow` says."""
    share, row = what
    if kind == SHARE:
        return close * share
    if kind == COLUMN and w.follow[row] == w.follow[row]:
        return w.follow[row]
    return before


@inlined
def settle(w: World, p: int, asked: float) -> None:
    """Let the stop stand where a plan has moved it."""
    if w.places[p].stop != asked:
        w.places[p].stop = asked
        cover.stand_stop(w, p)


@inlined
def least_of(column: NDArray[np.float64], row: int) -> float:
    """Return the least of four values."""
    return min(column[row], column[row + 1], column[row + 2], column[row + 3])


@inlined
def greatest_of(column: NDArray[np.float64], row: int) -> float:
    """Return the greatest of four values."""
    return max(column[row], column[row + 1], column[row + 2], column[row + 3])
