"""Compiled: the money at a venue: what is free, what fees take, what a purchase may cost, who is credited.

The counterpart of the spot half of `venues.sim.clearing` and of `portfolio`'s settling; `margin` has the other half.
"""

# The rows of record tables have no types that mypy could see.
# mypy: warn-return-any=False

from abidance.backtest import exact
from abidance.backtest.jit import kernel
from abidance.backtest.tables import TOO_MANY_FILLS, World

LESS_THAN_A_UNIT = 5e-13
_TOLERANCE = 1 + 1e-9
_TIER_NS = 30 * 86_400 * 1_000_000_000
_TIER_WIDTH = 6


@kernel
def free_at(w: World, venue: int) -> exact.Pair:
    """Return what lies at a venue and is not held back."""
    row = w.venues[venue]
    return exact.minus((row.wallet, row.wallet_low), (row.reserved, row.reserved_low))


@kernel
def use_tier(w: World, t: int, ts: int) -> None:
    """Let an instrument's fees be those for the value that its venue traded in the 30 days before `ts`."""
    tool = w.tools[t]
    v = tool.venue
    venue = w.venues[v]
    if venue.n_tiers < 2:
        return
    traded, room = (venue.traded, venue.traded_low), w.recent_ts.shape[1]
    while venue.n_recent and w.recent_ts[v, venue.recent_first] <= ts - _TIER_NS:
        at = 2 * venue.recent_first
        traded = exact.minus(traded, (w.recent_value[v, at], w.recent_value[v, at + 1]))
        venue.recent_first = (venue.recent_first + 1) % room
        venue.n_recent -= 1
    venue.traded, venue.traded_low = traded
    tool.tier = 0
    for tier in range(1, venue.n_tiers):
        at = _TIER_WIDTH * tier
        if exact.minus(traded, (w.tiers[t, at], w.tiers[t, at + 1]))[0] > -LESS_THAN_A_UNIT:
            tool.tier = tier
    at = _TIER_WIDTH * tool.tier
    tool.taker, tool.taker_low = w.tiers[t, at + 2], w.tiers[t, at + 3]
    tool.maker, tool.maker_low = w.tiers[t, at + 4], w.tiers[t, at + 5]


@kernel
def count_value(w: World, v: int, value: exact.Pair, ts: int) -> None:
    """Count a fill towards the fee tier of its venue."""
    venue, room = w.venues[v], w.recent_ts.shape[1]
    if venue.n_tiers < 2:
        return
    if venue.n_recent == room:
        w.run[0].status = TOO_MANY_FILLS
        return
    at = (venue.recent_first + venue.n_recent) % room
    w.recent_ts[v, at] = ts
    w.recent_value[v, 2 * at], w.recent_value[v, 2 * at + 1] = value
    venue.traded, venue.traded_low = exact.add((venue.traded, venue.traded_low), value)
    venue.n_recent += 1


@kernel
def fee_of(w: World, t: int, value: int, maker: int) -> exact.Pair:
    """Return the fee of a fill of so many lots times ticks."""
    tool = w.tools[t]
    rate = (tool.maker, tool.maker_low) if maker else (tool.taker, tool.taker_low)
    return exact.paid(exact.times(exact.whole(value), rate))


@kernel
def cost_of(w: World, t: int, lots: int, ticks: int, maker: int) -> exact.Pair:
    """Return what a purchase takes from the cash, its fee included."""
    tool = w.tools[t]
    amount = exact.times(exact.whole(lots * ticks), (tool.unit, tool.unit_low))
    return exact.add(amount, fee_of(w, t, lots * ticks, maker))


@kernel
def affordable(w: World, slot: int, lots: int, ticks: int, maker: int) -> int:
    """Return how many lots of a purchase the cash pays."""
    order = w.orders[slot]
    t = order.tool
    money = exact.add(free_at(w, w.tools[t].venue), (order.held, order.held_low))
    if money[0] < 0.0:
        money = (0.0, 0.0)
    cost = cost_of(w, t, lots, ticks, maker)
    if exact.minus(cost, money)[0] <= LESS_THAN_A_UNIT:
        return lots
    if fee_of(w, t, lots * ticks, maker)[0] < 0.0:
        # what a fill pays out cannot pay for the fill
        unit = exact.times(exact.whole(ticks), (w.tools[t].unit, w.tools[t].unit_low))
        lots = min(lots, int(money[0] / unit[0] * _TOLERANCE))
        while lots > 0 and exact.minus(exact.times(exact.whole(lots), unit), money)[0] > LESS_THAN_A_UNIT:
            lots -= 1
        return lots
    lots = min(lots, int(money[0] / (cost[0] / lots) * _TOLERANCE))
    while lots > 0 and exact.minus(cost_of(w, t, lots, ticks, maker), money)[0] > LESS_THAN_A_UNIT:
        lots -= 1
    return lots


@kernel
def settle(w: World, p: int, result: exact.Pair) -> None:
    """Credit what a fill realised, less its fee, to the run, the strategy and the round trip."""
    run, place = w.run[0], w.places[p]
    strategy = w.strategies[place.strategy]
    run.pool, run.pool_low = exact.add((run.pool, run.pool_low), result)
    strategy.settled, strategy.settled_low = exact.add((strategy.settled, strategy.settled_low), result)
    place.profit, place.profit_low = exact.add((place.profit, place.profit_low), result)
