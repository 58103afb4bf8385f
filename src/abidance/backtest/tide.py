"""Compiled: equity in the fast lane as time passes, and what breakers and score see of it.

Places are followed one after the other (`glide`); what their positions gain by the close of each slice comes together
in one column. That, on top of realised profit, is equity to more digits than `_NEAR`: enough to see that nothing comes
of it. Where something may (a new high, a breaker's floor, the ends of a day), it is counted as everywhere else.
"""

# The rows of record tables have no types that mypy could see.
# mypy: warn-return-any=False

import math

from abidance.backtest import gate, watch
from abidance.backtest.glide import FOUR, greatest_of, least_of
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
    gains, at, least = w.gains, state.at, math.inf
    below, above = state.below - run.pool, state.above - run.pool
    while at + FOUR <= last:
        low = least_of(gains, at)
        if not (below < low and greatest_of(gains, at) < above):
            break
        least = min(least, low)
        at += FOUR
    while at < last and below < gains[at] < above:
        least = min(least, gains[at])
        at += 1
    if at == state.at:
        return
    lower(w, run.pool + least)
    state.gain = gains[at - 1]
    for passed in range(state.at, at):
        gains[passed] = 0.0
    state.at = at


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
