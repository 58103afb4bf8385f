"""Compiled: equity in the fast lane as time passes, and what breakers and score see of it.

Places are followed one after the other (`glide`); what their positions gain by the close of each slice comes together
in one column; a lone place needs none, it gains by its own closes. That, on top of realised profit, is equity to more
digits than `_NEAR`: enough to see that nothing comes of it. Where something may (a new high, a breaker's floor, the
ends of a day), it is counted as everywhere else.
"""

# The rows of record tables have no types that mypy could see.
# mypy: warn-return-any=False

import math

from abidance.backtest import gate, watch
from abidance.backtest.glide import FOUR, greatest_of, is_lone, least_of
from abidance.backtest.jit import inlined
from abidance.backtest.tables import World

_NEAR = 1e-9
_TOLERANCE = 1 + 1e-9


@inlined
def near(w: World) -> float:
    """Return by how much equity and exposure, as they are known between two looks, may be off at most."""
    return _NEAR * w.run[0].peak


@inlined
def worth(w: World) -> gate.Means:
    """Return equity and gross exposure at the close of the last slice, by and large."""
    state = w.lane[0]
    return w.run[0].pool + state.gain, state.basis + state.gain


@inlined
def pass_time(w: World, until: int) -> None:
    """Take the slices before `until`: no fill comes before the last of them has closed."""
    run, state = w.run[0], w.lane[0]
    while state.at < until:
        last = min(until, state.look)
        if run.n_held:
            drift(w, last)
        elif state.below < run.pool < state.above:
            lower(w, run.pool)
            state.gain = state.basis = 0.0
            state.at = max(state.at, last)
        if state.at < until:
            look(w)
            if not run.n_held:
                state.at = max(state.at, min(until, state.look))


@inlined
def drift(w: World, last: int) -> None:
    """Take slices before `last` for as long as equity makes no new high and trips no breaker."""
    run, state = w.run[0], w.lane[0]
    below, above = state.below - run.pool, state.above - run.pool
    passed, least = alone(w, last, below, above) if is_lone(w) else together(w, last, below, above)
    if passed:
        lower(w, run.pool + least)
        state.at += passed


@inlined
def together(w: World, last: int, below: float, above: float) -> tuple[int, float]:
    """Return for how many slices before `last` all positions gain within bounds, and the least that they gain."""
    state = w.lane[0]
    gains, count, least = w.gains[state.at : last], 0, math.inf
    while count + FOUR <= len(gains):
        low = least_of(gains, count)
        if not (below < low and greatest_of(gains, count) < above):
            break
        least = min(least, low)
        count += FOUR
    while count < len(gains) and below < gains[count] < above:
        least = min(least, gains[count])
        count += 1
    if count:
        state.gain = gains[count - 1]
        gains[:count] = 0.0
    return count, least


@inlined
def alone(w: World, last: int, below: float, above: float) -> tuple[int, float]:
    """Return what `together` does for the only position, which gains the more the higher the closes are."""
    state, place = w.lane[0], w.places[0]
    first, size, entry = w.legs[0].first, place.size, place.entry
    closes, count, least = w.close[first + state.at : first + last], 0, math.inf
    while count + FOUR <= len(closes):
        low = least_of(closes, count)
        if not (below < size * (low - entry) and size * (greatest_of(closes, count) - entry) < above):
            break
        least = min(least, low)
        count += FOUR
    while count < len(closes) and below < size * (closes[count] - entry) < above:
        least = min(least, closes[count])
        count += 1
    if count:
        state.gain = size * (closes[count - 1] - entry)
    return count, size * (least - entry)


@inlined
def look(w: World) -> None:
    """Take a slice in which equity may matter."""
    run, state = w.run[0], w.lane[0]
    at = state.at
    run.now = run.venue_now = w.when[at]
    mark(w, at)
    watch.watch(w, run.now)
    if run.equity > run.highest:
        run.highest = run.equity
        state.worst = deepest(w)
    lower(w, run.equity)
    if is_lone(w):
        place = w.places[0]
        state.gain = place.size * (w.close[w.legs[0].first + at] - place.entry)
    else:
        state.gain, w.gains[at] = w.gains[at], 0.0
    state.at = at + 1
    if at == w.day_ends[state.day]:
        w.equity[state.day] = run.equity
        state.day += 1
        state.look = at + 1
    elif at == state.look:
        state.look = w.day_ends[state.day]
    state.above, state.below = min(run.peak, run.highest) - near(w), run.floor + near(w)


@inlined
def mark(w: World, at: int) -> None:
    """Bring the prices of what is held up to the close of a slice."""
    basis = 0.0
    for n in range(w.run[0].n_held):
        place = w.places[w.held[n]]
        w.tools[place.tool].mark = w.close[w.legs[w.held[n]].first + at]
        basis += place.cost
    w.lane[0].basis = basis


@inlined
def lower(w: World, equity: float) -> None:
    """Keep the deepest fall from the highest equity."""
    run, state = w.run[0], w.lane[0]
    if equity < state.worst:
        run.deepest = min(run.deepest, (equity - run.highest) / run.highest)
        state.worst = deepest(w)


@inlined
def deepest(w: World) -> float:
    """Return below which equity a fall may be the deepest."""
    run = w.run[0]
    return run.highest * (1.0 + run.deepest) * _TOLERANCE if run.highest > 0 else -math.inf
