"""Compiled: how a fill is booked: cash, position, margin, cost and profit of its place.

The counterpart of `venues.sim.accounts` and of `portfolio.holding`. What may fill is decided before.
"""

# The rows of record tables have no types that mypy could see.
# mypy: warn-return-any=False

from abidance.backtest import exact, margin
from abidance.backtest.jit import kernel
from abidance.backtest.purse import count_value, settle
from abidance.backtest.tables import World


@kernel
def book(w: World, p: int, fill: tuple[int, int, int], fee: exact.Pair) -> None:
    """Move cash, position, margin and profit by a fill: its side, lots and ticks."""
    side, lots, ticks = fill
    run, place = w.run[0], w.places[p]
    t, held = place.tool, place.lots
    tool, closed = w.tools[t], margin.closing(held, side * lots)
    venue = w.venues[tool.venue]
    amount = margin.worth(w, t, lots, ticks)
    count_value(w, tool.venue, amount, run.moment)
    cost, gain, opened = (place.cost, place.cost_low), (0.0, 0.0), amount
    if closed:
        released, gone = cost, amount
        if closed < abs(held):
            released = exact.over(exact.times(cost, exact.whole(closed)), exact.whole(abs(held)))
        opened = (0.0, 0.0)
        if closed < lots:
            gone, opened = margin.worth(w, t, closed, ticks), margin.worth(w, t, lots - closed, ticks)
        gain = exact.minus(gone if side < 0 else (-gone[0], -gone[1]), released)
        cost = exact.minus(cost, released)
    cost = exact.add(cost, opened if side > 0 else (-opened[0], -opened[1]))
    place.lots = held + side * lots
    moved = amount if side < 0 else (-amount[0], -amount[1])
    if tool.perpetual:
        margin.change(w, p, held, opened, closed)
        moved = exact.received(exact.times(gain, (exact.UNITS, 0.0)))
    wallet = exact.add((venue.wallet, venue.wallet_low), moved)
    venue.wallet, venue.wallet_low = exact.minus(wallet, fee)
    end_trip(w, p, (held, closed, lots), gain, fee)
    if w.results.shape[1] and closed < lots:
        enter(w, p, lots - closed, opened)
    hold_at(w, p, cost, held)
    run.fill_seq += 1
    run.fees += fee[0]


@kernel
def end_trip(w: World, p: int, fill: tuple[int, int, int], gain: exact.Pair, fee: exact.Pair) -> None:
    """Credit what a fill realised, less its fee; one that ends a round trip and begins another pays for both."""
    held, closed, lots = fill
    place = w.places[p]
    rest = (0.0, 0.0)
    if closed and closed < lots:
        share = exact.over(exact.times(fee, exact.whole(closed)), exact.whole(lots))
        rest = exact.minus(share, fee)
    settle(w, p, exact.minus(gain, fee))
    if closed and closed == abs(held):
        profit = exact.minus((place.profit, place.profit_low), rest)
        place.ended, place.earned = 1, profit[0]
        if w.results.shape[1]:
            remember(w, p, profit)
        place.profit, place.profit_low = rest


@kernel
def enter(w: World, p: int, lots: int, value: exact.Pair) -> None:
    """Add an entry to what the round trip of a place has entered for, and at its largest held."""
    place = w.places[p]
    place.entered += lots
    place.largest = max(place.largest, abs(place.lots))
    place.spent, place.spent_low = exact.add((place.spent, place.spent_low), value)


@kernel
def remember(w: World, p: int, profit: exact.Pair) -> None:
    """Keep the result of a closed round trip: its profit as a share of its mean entry price times its largest size."""
    place = w.places[p]
    config = w.strategies[place.strategy]
    entered = exact.times((place.spent, place.spent_low), exact.whole(place.largest))
    share = exact.over(exact.times(profit, exact.whole(place.entered)), entered)
    if config.lookback:
        is_even = abs(profit[0]) <= margin.NOTHING
        w.results[place.strategy, config.results % config.lookback] = 0.0 if is_even else share[0]
        config.results += 1
    place.entered, place.largest, place.spent, place.spent_low = 0, 0, 0.0, 0.0


@kernel
def hold_at(w: World, p: int, cost: exact.Pair, before: int) -> None:
    """Note what a position cost, after a fill that found it at `before` lots."""
    place = w.places[p]
    if place.lots == 0:
        place.cost = place.cost_low = place.size = place.entry = 0.0
        hold(w, p, False)
        return
    size = margin.size_of(w, place.tool, place.lots)
    place.size, place.entry = size[0], exact.over(cost, size)[0]
    place.cost, place.cost_low = cost
    if before == 0:
        hold(w, p, True)
    if w.tools[place.tool].perpetual:
        margin.refresh(w, p)


@kernel
def hold(w: World, p: int, is_new: bool) -> None:
    """Add a place to those that hold a position, or take it off."""
    run, tool = w.run[0], w.tools[w.places[p].tool]
    if tool.perpetual:
        tool.n_margined += 1 if is_new else -1
        run.n_margined += 1 if is_new else -1
    if is_new:
        w.held[run.n_held] = p
        run.n_held += 1
        return
    count = 0
    for at in range(run.n_held):
        if w.held[at] != p:
            w.held[count] = w.held[at]
            count += 1
    run.n_held = count
