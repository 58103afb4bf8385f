"""Compiled: the fast lane of a sweep. Runs in which every order fills whole at the next chance, without their logs.

Each place is followed on its own to the next slice in which something may happen to it (`glide`); the lane takes these
slices in their order (`agenda`) and keeps the equity of all (`tide`). Sizes, limits, breakers, plans and prices come
from the functions that the whole executor calls (`gate`, `watch`, `actions`, `venues.sim.fills`); what is left out is
the queue of orders, commands and answers between them. Whatever needs that queue (an order that fills in part or is
refused an exit, a balance used to the last cent) ends with `BEYOND`: the whole executor then runs the choice.
"""

# The rows of record tables have no types that mypy could see.
# mypy: warn-return-any=False

import numpy as np

from abidance.backtest import actions, agenda, books, cover, exact, gate, glide, tide, watch
from abidance.backtest.cover import NEAR
from abidance.backtest.jit import inlined, kernel
from abidance.backtest.tables import (
    APPROVED,
    BEYOND,
    DONE,
    ENTERING,
    LEAVING,
    MARKET,
    NOTHING,
    World,
)  # fmt: skip
from abidance.venues.sim import fills

_UNITS = 1e12
_NOISE = 1e-9
_TRIFLE = 1e-12
_MOST = 4e18


@kernel
def run_lane(w: World) -> None:
    """Run a whole tape, from one slice in which something may happen to the next."""
    run, count = w.run[0], len(w.when)
    for p in range(len(w.places)):
        agenda.await_slice(w, p, glide.turn(w, p))
    while run.status == DONE:
        at = agenda.soonest(w)
        tide.pass_time(w, min(at, count))
        if at >= count:
            return
        take_slice(w, at)


@inlined
def take_slice(w: World, at: int) -> None:
    """Take one slice for the places that are down for it: opens, insides, equity, changes of mind."""
    run, count = w.run[0], agenda.take(w, at)
    for n in range(count):
        if w.legs[w.scan[n]].done <= at:
            at_open(w, w.scan[n], at)
    for n in range(count):
        p = w.scan[n]
        if w.places[p].lots and w.legs[p].done <= at:
            inside(w, p, at)
            if w.places[p].lots:
                glide.follow(w, p, at)
    tide.pass_time(w, at + 1)
    run.now = run.venue_now = w.when[at]
    rest(w, at)
    for n in range(count):
        p = w.scan[n]
        if glide.turn(w, p) == at:
            listen(w, p, at)
        agenda.await_next(w, p, glide.foresee(w, p, at + 1))


@inlined
def rest(w: World, at: int) -> None:
    """Let instruments rest whose prices have jumped."""
    state = w.lane[0]
    while state.rest < len(w.rest_at) and w.rest_at[state.rest] <= at:
        tool = w.tools[w.rest_tool[state.rest]]
        tool.rest_until = max(tool.rest_until, w.rest_until[state.rest])
        state.rest += 1


@inlined
def listen(w: World, p: int, at: int) -> None:
    """Hear how a place changes its mind at the close of a slice."""
    leg, tool = w.legs[p], w.tools[w.places[p].tool]
    row, close = leg.turn, w.close[leg.first + at]
    leg.turn += 1
    glide.look_far_ahead(w, p)
    tool.mark, tool.mark_ts = close, w.run[0].now
    if w.run[0].status == DONE and actions.minds(w, p, row, close):
        pursue(w, p, row, close)


# --- what a change of mind leads to


@inlined
def pursue(w: World, p: int, row: int, close: float) -> None:
    """Turn a wished position into what waits for the next open."""
    run, place, leg = w.run[0], w.places[p], w.legs[p]
    config = w.strategies[place.strategy]
    target = w.target[row]
    strength = target if target >= 0 or config.allow_short else 0.0
    wished = (strength > 0) - (strength < 0)
    held = (place.lots > 0) - (place.lots < 0)
    place.aim = wished
    if wished < 0 or (leg.pending and wished):
        run.status = BEYOND
        return
    if not wished:
        if held and not leg.pending:
            cover.leave(w, p, abs(place.lots))
        return
    lots = wished_lots(w, p, strength, (row, close))
    if held and lots < place.lots:
        cover.leave(w, p, place.lots - lots)
    elif not held or lots > place.lots:
        enter(w, p, lots - place.lots, (row, close))


@inlined
def wished_lots(w: World, p: int, strength: float, why: tuple[int, float]) -> int:
    """Return the lots of a position that follows a wish; equity is counted only where they hang on its last digits."""
    about, doubt = tide.worth(w)[0], tide.near(w)
    least = gate.value_at(w, p, strength, why[0], why[1], about - doubt)
    most = gate.value_at(w, p, strength, why[0], why[1], about + doubt)
    lots = gate.lots_for(w, p, least, why[1])
    if least == most or lots == gate.lots_for(w, p, most, why[1]):
        return lots
    tide.mark(w, w.lane[0].at - 1)
    return gate.size(w, p, strength, why[0], why[1])


@inlined
def is_approved(w: World, p: int, lots: int, row: int) -> bool:
    """Say whether the gate approves an entry; it looks at every position only where the sums of all leave doubts."""
    wish, doubt = (1, lots, MARKET, 0), tide.near(w)
    about, gross = tide.worth(w)
    code = gate.verdict_at(w, p, wish, False, 0, row, (about - doubt, gross + doubt))
    if code in gate.BY_MEANS:
        tide.mark(w, w.lane[0].at - 1)
        code = gate.verdict(w, p, wish, False, 0, row)
    return code == APPROVED


@inlined
def enter(w: World, p: int, lots: int, why: tuple[int, float]) -> None:
    """Ask the gate for an entry at the next open."""
    run, place, leg = w.run[0], w.places[p], w.legs[p]
    row, price = why
    if not is_approved(w, p, lots, row):
        run.refused += 1
        return
    gate.count_entry(w)
    tool, order = w.tools[place.tool], w.orders[p]
    order.known, order.place, order.tool, order.side = 1, p, place.tool, 1
    order.lots, order.filled, order.decision = lots, 0, price
    w.entries[run.n_entries] = p
    run.n_entries += 1
    value = gate.quantity_of(w, place.tool, lots) * price
    if (
        not value >= tool.min_notional * (1 + NEAR)
        or not reserved(w, tool.venue, -1) < w.venues[tool.venue].wallet
    ):
        run.status = BEYOND
    leg.pending, leg.lots, leg.row = ENTERING, lots, row


@inlined
def reserved(w: World, venue: int, but: int) -> float:
    """Return what the entries at a venue hold back, but for one place's."""
    total = 0.0
    for at in range(w.run[0].n_entries):
        order = w.orders[w.entries[at]]
        if order.place != but and w.tools[order.tool].venue == venue:
            total += gate.quantity_of(w, order.tool, order.lots) * order.decision
    return total


@inlined
def forget_entry(w: World, p: int) -> None:
    """Take an entry off the list: it filled, or an exit took it back."""
    run, count = w.run[0], 0
    for at in range(run.n_entries):
        if w.entries[at] != p:
            w.entries[count] = w.entries[at]
            count += 1
    run.n_entries = count
    w.legs[p].pending = NOTHING


# --- one bar


@inlined
def at_open(w: World, p: int, at: int) -> None:
    """Do what the open does: to what protects the position first, then to what waits."""
    place, leg = w.places[p], w.legs[p]
    tool, b = w.tools[place.tool], leg.first + at
    price, ts = w.open[b], w.when[at] - leg.span
    sign = 1 if place.lots > 0 else -1
    leg.used = 0
    if place.lots and leg.stop_ticks and fills.is_touched(leg.stop, price, price, -sign):
        take(w, p, b, (-sign, abs(place.lots), 0), price, ts)
    elif place.lots and leg.goal_ticks:
        if not leg.rested:
            arrive(w, p, b, price, ts)
        elif fills.is_passed(leg.goal, price, price, tool.tick, -sign, tool.on_touch):
            make(w, p, b, ts)
    if leg.pending == LEAVING:
        leg.pending = NOTHING
        if place.lots:
            take(w, p, b, (-sign, leg.lots, 0), price, ts)
    elif leg.pending == ENTERING:
        take(w, p, b, (1, leg.lots, 0), price, ts)


@inlined
def inside(w: World, p: int, at: int) -> None:
    """Do what happens within the bar: the stop before the goal."""
    place, leg = w.places[p], w.legs[p]
    if not (place.lots and (leg.stop_ticks or leg.goal_ticks)):
        return
    tool, b = w.tools[place.tool], leg.first + at
    opened, low, high, ts = w.open[b], w.low[b], w.high[b], w.when[at] - 1
    sign = 1 if place.lots > 0 else -1
    if leg.stop_ticks and fills.is_touched(leg.stop, low, high, -sign):
        take(w, p, b, (-sign, abs(place.lots), 0), fills.trigger_price(leg.stop, opened, -sign), ts)
        return
    if not leg.goal_ticks:
        return
    if not leg.rested:
        arrive(w, p, b, opened, ts)
    if place.lots and fills.is_passed(leg.goal, low, high, tool.tick, -sign, tool.on_touch):
        make(w, p, b, ts)


@inlined
def arrive(w: World, p: int, b: int, price: float, ts: int) -> None:
    """Check a goal against the market once: it takes, or rests."""
    place, leg = w.places[p], w.legs[p]
    tool = w.tools[place.tool]
    sign = 1 if place.lots > 0 else -1
    leg.rested = 1
    if fills.is_marketable(leg.goal_ticks, price, tool.spread, tool.tick, -sign):
        take(w, p, b, (-sign, abs(place.lots), leg.goal_ticks), price, ts)


@inlined
def is_room(w: World, p: int, b: int, lots: int) -> bool:
    """Say whether the bar's volume fills an order whole."""
    tool = w.tools[w.places[p].tool]
    if tool.unlimited or fills.room_lots(w.volume[b], tool.share, tool.lot, w.legs[p].used) >= lots:
        return True
    w.run[0].status = BEYOND
    return False


@inlined
def take(w: World, p: int, b: int, order: tuple[int, int, int], price: float, ts: int) -> None:
    """Fill at a worsened price: side, lots and, for a limit, its ticks."""
    side, lots, limit = order
    leg = w.legs[p]
    if not is_room(w, p, b, lots):
        return
    tool = w.tools[w.places[p].tool]
    share = fills.volume_share(leg.used + lots, tool.lot, w.volume[b]) if tool.impact > 0.0 else 0.0
    rate = fills.slippage_rate(tool.spread, tool.fixed, tool.impact, share)
    ticks = fills.taker_ticks(price, rate, tool.tick, side)
    if limit:
        ticks = fills.within_limit(ticks, limit, side)
    leg.used += lots
    trade(w, p, (side, lots, ticks, 0), ts)


@inlined
def make(w: World, p: int, b: int, ts: int) -> None:
    """Fill the goal at its price."""
    place, leg = w.places[p], w.legs[p]
    lots = abs(place.lots)
    if is_room(w, p, b, lots):
        leg.used += lots
        trade(w, p, (-1 if place.lots > 0 else 1, lots, leg.goal_ticks, 1), ts)


# --- fills


@inlined
def trade(w: World, p: int, fill: tuple[int, int, int, int], ts: int) -> None:
    """Book a fill (side, lots, ticks, whether it made) and bring in line what protects the position."""
    side, lots, ticks, maker = fill
    run, place = w.run[0], w.places[p]
    t = place.tool
    tool = w.tools[t]
    venue = w.venues[tool.venue]
    value = float(lots) * float(ticks)
    amount = value * tool.unit
    fee = paid(value * (tool.maker if maker else tool.taker))
    opens = place.lots * side >= 0
    if value > _MOST or (
        opens and not (amount + fee) * (1 + NEAR) < venue.wallet - reserved(w, tool.venue, p)
    ):
        run.status = BEYOND
        return
    venue.wallet -= side * amount + fee
    result, was_flat = -fee, place.lots == 0
    if opens:
        place.cost += side * amount
        w.lane[0].basis += side * amount
    else:
        released = place.cost if lots == abs(place.lots) else place.cost * lots / abs(place.lots)
        result += -side * amount - released
        place.cost -= released
        w.lane[0].basis -= released
    place.lots += side * lots
    total, error = exact.two_sum(run.pool, result)
    run.pool, run.pool_low = exact.two_sum(total, error + run.pool_low)
    place.profit += result
    run.fill_seq += 1
    run.fees += fee
    if opens:
        forget_entry(w, p)
    if place.lots == 0:
        end_trip(w, p, ts)
        return
    place.size = gate.quantity_of(w, t, place.lots)
    place.entry = gate.price_of(w, t, ticks) if was_flat else place.cost / place.size
    if was_flat:
        books.hold(w, p, True)
    if opens:
        actions.begin_plan(w, p, w.legs[p].row, ts)
    cover.stand(w, p)


@inlined
def paid(units: float) -> float:
    """Return an amount given in units of 1e-12, rounded up to a whole one."""
    floor = np.floor(units)
    return (floor + (units - floor > _NOISE)) / _UNITS


@inlined
def end_trip(w: World, p: int, ts: int) -> None:
    """End a round trip: nothing protects, nothing waits any more."""
    run, place, leg = w.run[0], w.places[p], w.legs[p]
    profit = place.profit
    place.profit = place.cost = place.size = place.entry = 0.0
    place.planned = 0
    leg.stop_ticks = leg.goal_ticks = leg.rested = 0
    if leg.pending == ENTERING:
        forget_entry(w, p)
    leg.pending = NOTHING
    books.hold(w, p, False)
    run.closed_trips += 1
    strategy = w.strategies[place.strategy]
    rested = strategy.rest_until
    watch.on_round_trip(w, place.strategy, profit, ts)
    if run.losing_streak and (
        abs(profit) <= run.pool * _TRIFLE or (run.n_entries and strategy.rest_until != rested)
    ):
        run.status = (
            BEYOND  # neither lost nor won as far as can be told here, or entries are taken back by the queue
        )
