"""Compiled: what protects a position in the fast lane of a sweep: its stop, its goal, the end of its time."""

# The rows of record tables have no types that mypy could see.
# mypy: warn-return-any=False

import math

from abidance.backtest import actions, gate
from abidance.backtest.jit import inlined
from abidance.backtest.tables import BEYOND, COLUMN, LEAVING, SHARE, World

NEAR = 1e-8


@inlined
def leave(w: World, p: int, lots: int) -> None:
    """Sell at the next open; an exit that risk might refuse is beyond this lane."""
    place, leg = w.places[p], w.legs[p]
    tool = w.tools[place.tool]
    value = gate.quantity_of(w, place.tool, lots) * tool.mark
    if lots < tool.min_lots or not value >= tool.min_notional * (1 + NEAR):
        w.run[0].status = BEYOND
        return
    leg.pending, leg.lots = LEAVING, lots


@inlined
def stand(w: World, p: int) -> None:
    """Bring the stop and the goal in line with the plan; one that risk might refuse is beyond this lane."""
    place, leg = w.places[p], w.legs[p]
    t = place.tool
    if not place.planned:
        return
    if leg.goal_ticks and place.goal_distance != place.goal_distance:
        w.run[0].status = BEYOND
    stand_stop(w, p)
    if place.goal == place.goal:
        ticks = actions.on_grid(w, t, place.goal, -place.sign)
        if ticks > 0:
            if ticks != leg.goal_ticks:
                leg.rested = 0
            leg.goal_ticks, leg.goal = ticks, gate.price_of(w, t, ticks)
            sound(w, p, leg.goal)
            beyond = (leg.goal / w.tools[t].mark - 1) * -place.sign
            if not beyond < w.run[0].collar * (1 - NEAR):
                w.run[0].status = BEYOND


@inlined
def stand_stop(w: World, p: int) -> None:
    """Bring the stop in line with the plan."""
    place, leg = w.places[p], w.legs[p]
    if place.has_stop:
        ticks = actions.on_grid(w, place.tool, place.stop, place.sign)
        if ticks > 0:
            leg.stop_ticks, leg.stop = ticks, gate.price_of(w, place.tool, ticks)
            sound(w, p, leg.stop)


@inlined
def sound(w: World, p: int, level: float) -> None:
    """See to it that an exit at a level is worth enough for risk and venue."""
    place = w.places[p]
    tool = w.tools[place.tool]
    value = place.size * level
    if place.lots < tool.min_lots or not value >= tool.min_notional * (1 + NEAR):
        w.run[0].status = BEYOND


@inlined
def protect(w: World, p: int, at: int) -> None:
    """Follow a closed bar with the plan; leave when its time is over."""
    place, leg = w.places[p], w.legs[p]
    b = leg.first + at
    distance = math.nan
    if leg.follow == SHARE:
        distance = w.close[b] * leg.share
    elif leg.follow == COLUMN:
        distance = w.follow[leg.follow_first + at]
    if actions.follow_bar(w, p, (b, w.when[at] - leg.span), distance):
        stand(w, p)
    if place.max_bars and place.best_bars >= place.max_bars and not place.leaving:
        place.leaving = 1
        leave(w, p, abs(place.lots))
