"""Compiled: the fast lane of a sweep. Runs in which every order fills whole at the next chance, without their logs.

It steps from one change of a strategy's mind to the next and follows bars only while something is held. Sizes, limits,
breakers, plans and prices come from the functions that the whole executor calls (`gate`, `watch`, `actions`,
`venues.sim.fills`); what is left out is the queue of orders, commands and answers between them. Whatever needs that
queue (an order that fills in part or is refused an exit, a balance used to the last cent) ends with `BEYOND`: the whole
executor then runs the choice.
"""

# The rows of record tables have no types that mypy could see.
# mypy: warn-return-any=False

import math

from abidance.backtest import actions, books, cover, exact, gate, glide, watch
from abidance.backtest.cover import NEAR
from abidance.backtest.jit import entrance, inlined
from abidance.backtest.layout import ahead
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


@entrance
def run_lane(w: World) -> None:
    """Run a whole tape, from one change of mind (`event_at`) to the next."""
    run, state = w.run[0], w.lane[0]
    count = len(w.when)
    while state.at < count and run.status == DONE:
        event = w.event_at[state.event] if state.event < len(w.event_at) else count
        until = min(event + 1, count)
        if state.active == 0:
            glide.idle(w, until)
        elif state.active == 1 and w.legs[w.scan[0]].pending == NOTHING and glide.hold(w, until):
            pass
        else:
            take_slice(w)
        if state.at == event + 1 and run.status == DONE:
            listen(w, event)


@inlined
def take_slice(w: World) -> None:
    """Take one slice: opens, insides, equity, plans."""
    run, state = w.run[0], w.lane[0]
    at = state.at
    for n in range(state.active):
        at_open(w, w.scan[n], at)
    for n in range(state.active):
        inside(w, w.scan[n], at)
    run.now = run.venue_now = w.when[at]
    count = 0
    for n in range(state.active):
        p = w.scan[n]
        if w.places[p].lots:
            w.tools[w.places[p].tool].mark = w.close[w.legs[p].first + at]
            w.scan[count] = p
            count += 1
    state.active = count
    watch.watch(w, run.now)
    glide.deepen(w)
    if w.day_ends[state.day] == at:
        w.equity[state.day] = run.equity
        state.day += 1
    for n in range(count):
        if w.places[w.scan[n]].planned and w.legs[w.scan[n]].follows:
            cover.protect(w, w.scan[n], at)
    state.at = at + 1


@inlined
def listen(w: World, at: int) -> None:
    """Hear who changes his mind at the close of a slice."""
    run, state = w.run[0], w.lane[0]
    while state.rest < len(w.rest_at) and w.rest_at[state.rest] <= at:
        tool = w.tools[w.rest_tool[state.rest]]
        tool.rest_until = max(tool.rest_until, w.rest_until[state.rest])
        state.rest += 1
    while state.event < len(w.event_at) and w.event_at[state.event] == at and run.status == DONE:
        p = w.event_place[state.event]
        tool, close = w.tools[w.places[p].tool], w.close[w.legs[p].first + at]
        tool.mark, tool.mark_ts = close, run.now
        if actions.minds(w, p, state.event, close):
            pursue(w, p, state.event, close)
        state.event += 1
    look_ahead(w)


@inlined
def look_ahead(w: World) -> None:
    """Let memory bring what the turn after next will read: runs of a million bars wait for little else."""
    soon = w.lane[0].event + 1
    if soon < len(w.event_at) and w.event_at[soon] + 1 < len(w.when):
        at = w.event_at[soon]
        b = w.legs[w.event_place[soon]].first + at
        ahead(w.close, b)  # type: ignore[call-arg]
        ahead(w.open, b + 1)
        ahead(w.when, at)


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
    lots = gate.size(w, p, strength, row, close)
    if held and lots < place.lots:
        cover.leave(w, p, place.lots - lots)
    elif not held or lots > place.lots:
        enter(w, p, lots - place.lots, (row, close))


@inlined
def enter(w: World, p: int, lots: int, why: tuple[int, float]) -> None:
    """Ask the gate for an entry at the next open."""
    run, place, leg, state = w.run[0], w.places[p], w.legs[p], w.lane[0]
    row, price = why
    if gate.verdict(w, p, (1, lots, MARKET, 0), False, 0, row) != APPROVED:
        run.refused += 1
        return
    gate.remember(w, p, (1, lots, MARKET, 0))
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
    if place.lots:
        return
    at = state.active
    while at > 0 and w.scan[at - 1] > p:
        w.scan[at] = w.scan[at - 1]
        at -= 1
    w.scan[at] = p
    state.active += 1


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
        take(w, p, b, (-sign, abs(place.lots), 0), fills.stop_price(leg.stop, opened, -sign), ts)
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
    else:
        released = place.cost if lots == abs(place.lots) else place.cost * lots / abs(place.lots)
        result += -side * amount - released
        place.cost -= released
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
    floor = math.floor(units)
    return (floor + 1.0 if units - floor > _NOISE else floor) / _UNITS


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
