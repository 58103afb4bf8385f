"""Compiled: perpetuals. The isolated margin behind a position, where it is liquidated, what funding moves.

The counterpart of what `venues.sim.clearing` and `venues.sim.accounts` do for contracts. It touches no order: `desk`
asks it what an order may do and tells it what was done.
"""

# The rows of record tables have no types that mypy could see.
# mypy: warn-return-any=False

import numpy as np

from abidance.backtest import exact, purse
from abidance.backtest.exact import UNITS
from abidance.backtest.jit import kernel
from abidance.backtest.tables import BIG_NUMBER, LIMIT, NEVER, World
from abidance.venues.sim import fills

_TOLERANCE = 1 + 1e-9
NOTHING = 1e-16
"""Less than any difference of two amounts that is not noise."""
_SHOWN = 1e-28
"""The share of a price that the venue's arithmetic rounds away."""
_MOST_UNITS = 4e18


@kernel
def closing(held: int, signed: int) -> int:
    """Return how many of signed lots would make a position smaller."""
    return min(abs(held), abs(signed)) if (held > 0) != (signed > 0) else 0


@kernel
def size_of(w: World, t: int, lots: int) -> exact.Pair:
    """Return lots in base units."""
    tool = w.tools[t]
    return exact.over(exact.whole(lots * tool.lot_num), (float(tool.lot_den), 0.0))


@kernel
def worth(w: World, t: int, lots: int, ticks: int) -> exact.Pair:
    """Return the value of lots at a price in ticks."""
    tool = w.tools[t]
    return exact.times(exact.whole(lots * ticks), (tool.unit, tool.unit_low))


@kernel
def locked(w: World, p: int, value: exact.Pair) -> exact.Pair:
    """Return the margin behind a new position of a value, rounded up."""
    strategy = w.strategies[w.places[p].strategy]
    units = exact.over(exact.times(value, (UNITS, 0.0)), (strategy.leverage, strategy.leverage_low))
    return exact.paid(units)


@kernel
def freed(w: World, p: int, lots: int, value: exact.Pair) -> exact.Pair:
    """Return the margin and the profit that closing lots of a position, worth `value`, sets free."""
    place = w.places[p]
    if lots == 0:
        return 0.0, 0.0
    left = exact.minus((place.margin, place.margin_low), (place.cost, place.cost_low))
    if lots < abs(place.lots):
        left = exact.over(exact.times(left, exact.whole(lots)), exact.whole(abs(place.lots)))
    return exact.add(left, value if place.lots > 0 else (-value[0], -value[1]))


@kernel
def held_back(w: World, slot: int) -> exact.Pair:
    """Return what a waiting order needs: the margin of what it opens, less what closing sets free."""
    order = w.orders[slot]
    t, p = order.tool, order.place
    left = order.venue_lots - order.filled
    closed = closing(w.places[p].lots, order.side * left)
    if closed == left:
        return 0.0, 0.0
    price = exact.shown(order.decision)
    if order.kind == LIMIT:
        tool = w.tools[t]
        price = exact.over(exact.whole(order.venue_ticks * tool.tick_num), (float(tool.tick_den), 0.0))
    needed = locked(w, p, exact.times(size_of(w, t, left - closed), price))
    needed = exact.minus(needed, freed(w, p, closed, exact.times(size_of(w, t, closed), price)))
    return needed if needed[0] > 0.0 else (0.0, 0.0)


@kernel
def available(w: World, slot: int) -> exact.Pair:
    """Return what an order may spend: what is free, and what was held back for it."""
    order = w.orders[slot]
    return exact.add(purse.free_at(w, w.tools[order.tool].venue), (order.held, order.held_low))


@kernel
def affordable(w: World, slot: int, lots: int, ticks: int, maker: int) -> int:
    """Return the lots that margin allows: closing is free, opening is paid from what closing leaves."""
    order = w.orders[slot]
    t, p = order.tool, order.place
    tool, closed = w.tools[t], closing(w.places[p].lots, order.side * lots)
    if closed == lots:
        return lots
    pays = (tool.maker if maker else tool.taker) > 0.0
    money = exact.add(available(w, slot), freed(w, p, closed, worth(w, t, closed, ticks)))
    rate = 0.0
    if pays:
        money = exact.minus(money, purse.fee_of(w, t, closed * ticks, maker))
        rate = (tool.maker if maker else tool.taker) / UNITS
    if not money[0] > 0.0:
        return closed
    leverage = w.strategies[w.places[p].strategy].leverage
    most = money[0] / (ticks * (tool.unit / leverage + rate)) * _TOLERANCE
    opening = lots - closed if most >= lots - closed else int(most)
    while opening > 0:
        cost = locked(w, p, worth(w, t, opening, ticks))
        if pays:
            cost = exact.add(cost, purse.fee_of(w, t, opening * ticks, maker))
        if exact.minus(cost, money)[0] <= NOTHING:
            break
        opening -= 1
    return closed + opening


@kernel
def fee_of(w: World, slot: int, lots: int, ticks: int, maker: int) -> tuple[exact.Pair, int]:
    """Return the fee of a fill, and in units of 1e-12 when money cuts it short; -1 when it does not.

    An isolated position never costs more than there is.
    """
    order = w.orders[slot]
    t, p = order.tool, order.place
    fee = purse.fee_of(w, t, lots * ticks, maker)
    if not fee[0] > 0.0:
        return fee, -1
    closed = closing(w.places[p].lots, order.side * lots)
    left = exact.add(available(w, slot), freed(w, p, closed, worth(w, t, closed, ticks)))
    left = exact.minus(left, locked(w, p, worth(w, t, lots - closed, ticks)))
    count = exact.received_units(exact.times(left, (UNITS, 0.0)))
    left = exact.over(count, (UNITS, 0.0))
    if exact.minus(fee, left)[0] <= NOTHING:
        return fee, -1
    if not left[0] > 0.0:
        return (0.0, 0.0), 0
    if count[0] > _MOST_UNITS:
        w.run[0].status = BIG_NUMBER
    return left, int(count[0]) + int(count[1])


@kernel
def change(w: World, p: int, lots: int, opened: exact.Pair, closed: int) -> None:
    """Free the margin of `closed` of a position's lots, before the fill, and lock that of what the fill opened."""
    place = w.places[p]
    venue = w.venues[w.tools[place.tool].venue]
    before = (place.margin, place.margin_low)
    margin = before
    if closed and closed == abs(lots):
        margin = (0.0, 0.0)
    elif closed:
        units = exact.times(exact.times(margin, (UNITS, 0.0)), exact.whole(closed))
        margin = exact.minus(margin, exact.nearest(exact.over(units, exact.whole(abs(lots)))))
    if opened[0] > 0.0:
        margin = exact.add(margin, locked(w, p, opened))
    place.margin, place.margin_low = margin
    grown = exact.minus(margin, before)
    venue.reserved, venue.reserved_low = exact.add((venue.reserved, venue.reserved_low), grown)


@kernel
def refresh(w: World, p: int) -> None:
    """Work out where a position is liquidated, after it or its margin changed."""
    place = w.places[p]
    if place.lots == 0:
        return
    size = size_of(w, place.tool, place.lots)
    entry = exact.over((place.cost, place.cost_low), size)[0]
    behind = abs(exact.over((place.margin, place.margin_low), size)[0])
    side = 1 if place.lots > 0 else -1
    place.liquidation = fills.liquidation_price(entry, behind, w.tools[place.tool].maintenance, side)


@kernel
def bankruptcy_ticks(w: World, p: int) -> int:
    """Return the price at which the margin is spent, on the grid on the side that costs no more than it."""
    place = w.places[p]
    tool = w.tools[place.tool]
    spent = exact.minus((place.cost, place.cost_low), (place.margin, place.margin_low))
    ticks = exact.over(spent, exact.times(exact.whole(place.lots), (tool.unit, tool.unit_low)))
    near = np.rint(ticks[0])
    above = (ticks[0] - near) + ticks[1]
    found = int(near)
    if abs(above) > _SHOWN * abs(near):
        if place.lots > 0:
            found += above > 0.0
        else:
            found -= above < 0.0
    return max(found, 0)


@kernel
def is_ruined(w: World, slot: int, ticks: int) -> bool:
    """Say whether an exit at a price would cost more than the margin of the position."""
    order = w.orders[slot]
    place = w.places[order.place]
    if place.lots * order.side >= 0:
        return False
    below = ticks - bankruptcy_ticks(w, order.place)
    return below < 0 if place.lots > 0 else below > 0


@kernel
def doomed(w: World, t: int, low: float, high: float) -> int:
    """Return the first position in an instrument whose liquidation price lies within reach, or -1."""
    if not w.tools[t].n_margined:
        return -1
    for at in range(w.run[0].n_held):
        place = w.places[w.held[at]]
        side = 1 if place.lots > 0 else -1
        if place.tool == t and fills.is_liquidated(place.liquidation, low, high, side):
            return w.held[at]
    return -1


@kernel
def reach(w: World, t: int) -> exact.Pair:
    """Return between which prices (bounds excluded) no position in an instrument is liquidated."""
    low, high = -np.inf, np.inf
    for at in range(w.run[0].n_held):
        place = w.places[w.held[at]]
        if place.tool == t and place.lots > 0:
            low = max(low, place.liquidation)
        elif place.tool == t:
            high = min(high, place.liquidation)
    return low, high


# --- funding


@kernel
def pay_due(w: World, now: int) -> None:
    """Move the funding that falls due before `now`."""
    while w.run[0].pay_from < now:
        pay(w)


@kernel
def pay(w: World) -> None:
    """Move one payment of funding between the cash and the market, to or from each position in its instrument."""
    run = w.run[0]
    row = w.payments[run.paid]
    run.now = max(run.now, row.ts)
    if w.tools[row.tool].n_margined + w.tools[row.tool].n_orders:
        run.venue_now = max(run.venue_now, row.ts)
    if w.tools[row.tool].n_margined:
        for at in range(run.n_held):
            place = w.places[w.held[at]]
            if place.tool == row.tool:
                units = exact.times(exact.whole(-place.lots), (row.value, row.value_low))
                book_funding(w, w.held[at], exact.received(units))
    run.paid += 1
    run.pay_from = w.payments[run.paid].ts if run.paid < len(w.payments) else NEVER


@kernel
def book_funding(w: World, p: int, amount: exact.Pair) -> None:
    """Book funding; what the free cash cannot pay comes out of the position's margin."""
    if amount[0] == 0.0:
        return
    run, place = w.run[0], w.places[p]
    v = w.tools[place.tool].venue
    venue = w.venues[v]
    venue.wallet, venue.wallet_low = exact.add((venue.wallet, venue.wallet_low), amount)
    purse.settle(w, p, amount)
    free, margin = purse.free_at(w, v), (place.margin, place.margin_low)
    if amount[0] < 0.0 and free[0] < 0.0 and margin[0] > 0.0:
        short = (-free[0], -free[1])
        if exact.minus(short, margin)[0] > 0.0:
            short = margin
        place.margin, place.margin_low = exact.minus(margin, short)
        venue.reserved, venue.reserved_low = exact.minus((venue.reserved, venue.reserved_low), short)
        refresh(w, p)
    if run.keeps_logs:
        row = w.funding_log[run.n_funding_log]
        row.place, row.payment, row.lots, row.fills = p, run.paid, place.lots, run.fill_seq
        run.n_funding_log += 1
