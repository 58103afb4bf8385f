"""Compiled: how much an entry buys and whether it may. The rules are those of `risk`, in the same order of arithmetic.

Comparisons repeat `risk.limits` and `risk.sizing` operation by operation, so that no decision differs by a last bit.
"""

# The rows of record tables have no types that mypy could see.
# mypy: warn-return-any=False

import math

from abidance.backtest.jit import kernel
from abidance.backtest.tables import (
    APPROVED,
    ASKED_OF_PLACE,
    BIG_NUMBER,
    FRACTION,
    KELLY,
    LIMIT,
    MARKET,
    NOTIONAL,
    QUANTITY,
    REFUSALS,
    RISK,
    TOO_SOON,
    VOLATILITY,
    World,
)  # fmt: skip
from abidance.model.outcome import RefusalCode
from abidance.risk import sizing
from abidance.venues.sim import fills

_TOLERANCE = 1 + 1e-9
_LAST_BIT = 1 + 1e-12
_MOST_LOTS = 1e14
_MINUTE_NS = 60_000_000_000
_YEAR_NS = 365 * 86_400 * 1_000_000_000

HALTED = REFUSALS.index(RefusalCode.HALTED)
REDUCING = REFUSALS.index(RefusalCode.REDUCING)
STRATEGY_STOPPED = REFUSALS.index(RefusalCode.STRATEGY_STOPPED)
ENTRIES_PAUSED = REFUSALS.index(RefusalCode.ENTRIES_PAUSED)
ZERO_QUANTITY = REFUSALS.index(RefusalCode.ZERO_QUANTITY)
NOT_REDUCING = REFUSALS.index(RefusalCode.NOT_REDUCING)
SHORT_NOT_ALLOWED = REFUSALS.index(RefusalCode.SHORT_NOT_ALLOWED)
MIN_QUANTITY = REFUSALS.index(RefusalCode.MIN_QUANTITY)
MIN_NOTIONAL = REFUSALS.index(RefusalCode.MIN_NOTIONAL)
PRICE_COLLAR = REFUSALS.index(RefusalCode.PRICE_COLLAR)
NO_PRICE = REFUSALS.index(RefusalCode.NO_PRICE)
STALE_DATA = REFUSALS.index(RefusalCode.STALE_DATA)
FEED_NOT_CERTIFIED = REFUSALS.index(RefusalCode.FEED_NOT_CERTIFIED)
MISSING_STOP = REFUSALS.index(RefusalCode.MISSING_STOP)
EXIT_NOT_FEASIBLE = REFUSALS.index(RefusalCode.EXIT_NOT_FEASIBLE)
MAX_LEVERAGE = REFUSALS.index(RefusalCode.MAX_LEVERAGE)
MAX_ORDER_VALUE = REFUSALS.index(RefusalCode.MAX_ORDER_VALUE)
MAX_SLIPPAGE = REFUSALS.index(RefusalCode.MAX_SLIPPAGE)
MAX_COST = REFUSALS.index(RefusalCode.MAX_COST)
MAX_POSITIONS = REFUSALS.index(RefusalCode.MAX_POSITIONS)
MAX_EXPOSURE = REFUSALS.index(RefusalCode.MAX_EXPOSURE)
MAX_ASSET_EXPOSURE = REFUSALS.index(RefusalCode.MAX_ASSET_EXPOSURE)
MAX_VENUE_EXPOSURE = REFUSALS.index(RefusalCode.MAX_VENUE_EXPOSURE)
INSUFFICIENT_FUNDS = REFUSALS.index(RefusalCode.INSUFFICIENT_FUNDS)
ORDER_RATE = REFUSALS.index(RefusalCode.ORDER_RATE)
DUPLICATE = REFUSALS.index(RefusalCode.DUPLICATE)
MALFORMED = REFUSALS.index(RefusalCode.MALFORMED)

BY_MEANS = (MAX_LEVERAGE, MAX_EXPOSURE, MAX_ASSET_EXPOSURE, MAX_VENUE_EXPOSURE, INSUFFICIENT_FUNDS)
"""The refusals that less exposure or more equity might have spared."""

ALL, ASSET, VENUE = 0, 1, 2
Means = tuple[float, float]
"""Equity, and the gross value of all positions."""
COUNTED = (math.nan, math.nan)
"""Means that are counted from the last marks where they are needed."""


@kernel
def quantity_of(w: World, tool: int, lots: int) -> float:
    """Return lots in base units: the float of the exact quantity."""
    return lots * w.tools[tool].lot_num / w.tools[tool].lot_den


@kernel
def price_of(w: World, tool: int, ticks: int) -> float:
    """Return ticks as a price: the float of the exact price."""
    return ticks * w.tools[tool].tick_num / w.tools[tool].tick_den


@kernel
def equity(w: World) -> float:
    """Return what everything is worth at the last marks."""
    total = w.run[0].pool
    for at in range(w.run[0].n_held):
        place = w.places[w.held[at]]
        total += place.size * (w.tools[place.tool].mark - place.entry)
    return total


@kernel
def pending(w: World, at: int) -> int:
    """Return by how many lots the entries of one place could make it larger; zero but for the first in the list."""
    p = w.orders[w.entries[at]].place
    longer = shorter = 0
    for other in range(w.run[0].n_entries):
        order = w.orders[w.entries[other]]
        if order.place != p:
            continue
        if other < at:
            return 0
        if order.side > 0:
            longer += order.lots - order.filled
        else:
            shorter += order.lots - order.filled
    lots = w.places[p].lots
    return max(abs(lots + longer), abs(lots - shorter)) - abs(lots)


@kernel
def pending_price(w: World, at: int) -> float:
    """Return the highest price at which the entries of one place could fill: the last, or one of their limits."""
    first = w.orders[w.entries[at]]
    price = max(w.tools[first.tool].mark, 0.0)
    for other in range(at, w.run[0].n_entries):
        order = w.orders[w.entries[other]]
        if order.place == first.place and order.kind == LIMIT:
            price = max(price, order.level)
    return price


@kernel
def exposure(w: World, kind: int, key: int, held: float) -> float:
    """Return the gross value of positions and pending entries: of all, of one asset, or on one venue.

    `held` stands for that of the positions; NaN has them counted.
    """
    total = held
    if held != held:
        total = 0.0
        for at in range(w.run[0].n_held):
            place = w.places[w.held[at]]
            tool = w.tools[place.tool]
            if kind == ALL or (tool.asset if kind == ASSET else tool.venue) == key:
                total += abs(place.size) * tool.mark
    waiting = 0.0
    for at in range(w.run[0].n_entries):
        t = w.orders[w.entries[at]].tool
        tool = w.tools[t]
        if kind == ALL or (tool.asset if kind == ASSET else tool.venue) == key:
            added = pending(w, at)
            if added > 0:
                waiting += quantity_of(w, t, added) * pending_price(w, at)
    return total + waiting


@kernel
def free_cash(w: World, venue: int) -> float:
    """Return what may be spent at a venue, after what pending entries will cost."""
    left = w.venues[venue].wallet - used_margin(w, venue)
    for at in range(w.run[0].n_entries):
        t = w.orders[w.entries[at]].tool
        tool = w.tools[t]
        if tool.venue == venue:
            added = pending(w, at)
            if added > 0:
                value = quantity_of(w, t, added) * pending_price(w, at) * (1 + tool.cost_rate)
                left -= value / leverage_of(w, w.orders[w.entries[at]].place)
    return left


@kernel
def used_margin(w: World, venue: int) -> float:
    """Return what the perpetual positions at a venue lock: their value when they were entered, over their leverage."""
    total = 0.0
    if w.run[0].n_margined == 0:
        return total
    for at in range(w.run[0].n_held):
        place = w.places[w.held[at]]
        tool = w.tools[place.tool]
        if tool.perpetual and tool.venue == venue:
            total += abs(place.size) * place.entry / leverage_of(w, w.held[at])
    return total


@kernel
def leverage_of(w: World, p: int) -> float:
    """Return with which leverage a place trades: its strategy's on perpetuals, none on spot."""
    place = w.places[p]
    return w.strategies[place.strategy].leverage if w.tools[place.tool].perpetual else 1.0


@kernel
def stop_distance(w: World, row: int) -> float:
    """Return how far the nearer of a row's stops is away; NaN without one."""
    fixed, trailing = w.stop[row], w.trailing[row]
    if fixed != fixed:
        return trailing
    return fixed if trailing != trailing or fixed < trailing else trailing


@kernel
def size(w: World, p: int, strength: float, row: int, price: float) -> int:
    """Return the lots of a position that follows a wish."""
    return lots_for(w, p, value_at(w, p, strength, row, price, equity(w)), price)


@kernel
def value_at(w: World, p: int, strength: float, row: int, price: float, worth: float) -> float:
    """Return what a position that follows a wish is worth, at an equity; a higher one never gives less."""
    place = w.places[p]
    config, tool = w.strategies[place.strategy], w.tools[place.tool]
    share = min(abs(strength), 1.0) * min(max(w.confidence[row], 0.0), 1.0)
    allotted = worth * config.allocation
    if not (share > 0 and 0.0 < price < math.inf and 0.0 < allotted < math.inf):
        return 0.0
    stake = 0.0
    if config.method == NOTIONAL:
        stake = config.amount
    elif config.method == QUANTITY:
        stake = config.quantity * price
    elif config.method == FRACTION:
        stake = config.fraction * allotted
    elif config.method == RISK:
        distance = stop_distance(w, row)
        if distance == distance:
            stake = config.risk * allotted * (price / distance)
    elif config.method == VOLATILITY:
        volatility = w.volatility[row]
        if volatility > 0:
            stake = config.risk / volatility * allotted
    elif config.method == KELLY:
        stake = kelly_share(w, place.strategy) * allotted
    leverage = leverage_of(w, p)
    payable = leverage / (1.0 + leverage * tool.cost_rate)
    return min(stake * share, config.max_fraction * leverage * allotted, payable * allotted)


@kernel
def lots_for(w: World, p: int, value: float, price: float) -> int:
    """Return how many lots a value buys; more value never buys fewer."""
    lots = value / price / w.tools[w.places[p].tool].lot * _LAST_BIT
    if lots >= _MOST_LOTS:
        w.run[0].status = BIG_NUMBER
    return math.floor(lots) if 0 < lots < _MOST_LOTS else 0


@kernel
def kelly_share(w: World, s: int) -> float:
    """Return Kelly's share of equity after the round trips that a strategy has closed."""
    config, ring = w.strategies[s], w.results[s]
    count = min(config.results, config.lookback)
    oldest = config.results % count if count else 0
    return sizing.kelly_of(ring, oldest, count, config.enough, config.risk)


@kernel
def exiting(w: World, p: int, at_market: bool) -> int:
    """Return the lots that open orders against a position have still to fill."""
    total, t, held = 0, w.places[p].tool, w.places[p].lots
    for at in range(w.tools[t].n_orders):
        order = w.orders[w.book[t, at]]
        if (
            order.known
            and order.place == p
            and order.side * held < 0
            and not (at_market and order.kind != MARKET)
        ):
            total += order.lots - order.filled
    return total


@kernel
def is_stale(w: World, p: int) -> bool:
    """Say whether the last price is too old to take risk on."""
    place = w.places[p]
    tool = w.tools[place.tool]
    age = w.run[0].now - tool.mark_ts if tool.mark == tool.mark else _YEAR_NS
    return not age <= w.run[0].stale_after * w.strategies[place.strategy].bar_ns


@kernel
def standing(w: World, p: int) -> int:
    """Return the refusal that an entry meets now whatever it is, or APPROVED."""
    run, place = w.run[0], w.places[p]
    if run.halted:
        return HALTED
    if run.now < run.lost_until:
        return REDUCING
    if run.now < w.strategies[place.strategy].rest_until:
        return STRATEGY_STOPPED
    return ENTRIES_PAUSED if run.now < w.tools[place.tool].rest_until else APPROVED


@kernel
def verdict(
    w: World, p: int, wish: tuple[int, int, int, int], reduce_only: bool, replaced: int, row: int
) -> int:
    """Return APPROVED or the code of the first rule that refuses `wish`: side, lots, kind, ticks.

    `replaced` is what remains of the order that it amends. An approved entry is remembered by the caller.
    """
    return verdict_at(w, p, wish, reduce_only, replaced, row, COUNTED)


@kernel
def verdict_at(
    w: World,
    p: int,
    wish: tuple[int, int, int, int],
    reduce_only: bool,
    replaced: int,
    row: int,
    means: Means,
) -> int:
    """Return what `verdict` does at these means; more equity and less exposure never refuse more."""
    side, lots, kind, ticks = wish
    place = w.places[p]
    t, held = place.tool, place.lots
    if lots <= 0:
        return ZERO_QUANTITY
    if kind == LIMIT and ticks <= 0:
        return MALFORMED
    exits = max(exiting(w, p, False) - replaced, 0) if held * side < 0 else 0
    tool = w.tools[t]
    reduces = (
        held * side < 0
        and lots <= abs(held)
        and (reduce_only or (not tool.perpetual and lots + exits <= abs(held)))
    )
    if reduce_only and (not reduces or (kind == MARKET and exiting(w, p, True) + lots > abs(held))):
        return NOT_REDUCING
    may_short = tool.perpetual and w.strategies[place.strategy].allow_short
    if not reduces and side < 0 and not may_short and lots > max(held - exits, 0):
        return SHORT_NOT_ALLOWED
    if lots < tool.min_lots:
        return MIN_QUANTITY
    own = tool.mark if kind == MARKET else price_of(w, t, ticks)
    is_exempt = reduces and tool.perpetual
    if own == own and not is_exempt and not quantity_of(w, t, lots) * own * _TOLERANCE >= tool.min_notional:
        return MIN_NOTIONAL
    if kind == LIMIT and tool.mark == tool.mark and not (reduces and is_stale(w, p)):
        beyond = (own / tool.mark - 1) * side
        if not beyond <= w.run[0].collar * _TOLERANCE:
            return PRICE_COLLAR
    if reduces:
        return APPROVED
    code = standing(w, p)
    if code != APPROVED:
        return code
    signed = lots * side
    left = max(abs(held) - exits, 0) * (1 if held > 0 else -1)
    added = max(abs(held + signed), abs(left + signed), abs(held)) - abs(held)
    code = entry_verdict(w, p, (side, lots, kind, ticks), added, row, means)
    return too_often(w, p, wish) if code == APPROVED else code


@kernel
def entry_verdict(
    w: World, p: int, wish: tuple[int, int, int, int], added: int, row: int, means: Means
) -> int:
    """Return what the rules for entries say of a wish that adds so many lots to the position."""
    side, lots, kind, ticks = wish
    run, place = w.run[0], w.places[p]
    t = place.tool
    tool = w.tools[t]
    own = tool.mark if kind == MARKET else price_of(w, t, ticks)
    if tool.mark != tool.mark:
        return NO_PRICE
    if is_stale(w, p):
        return STALE_DATA
    if place.doubted:
        return FEED_NOT_CERTIFIED
    distance = stop_distance(w, row)
    if run.require_stop and distance != distance:
        return MISSING_STOP
    if added:
        exit_price = own - (distance if distance == distance else 0.0) if side > 0 else own
        joined = abs(place.lots) if place.lots * side > 0 else 0
        if not (exit_price > 0 and quantity_of(w, t, lots + joined) * exit_price * _TOLERANCE
                >= tool.min_notional * run.exit_margin):  # fmt: skip
            return EXIT_NOT_FEASIBLE
    return worth_verdict(w, p, wish, added, means)


@kernel
def worth_verdict(w: World, p: int, wish: tuple[int, int, int, int], added: int, means: Means) -> int:
    """Return what the rules about the value of an entry say, and about what it comes to in all."""
    _, lots, kind, ticks = wish
    run, place = w.run[0], w.places[p]
    t = place.tool
    tool = w.tools[t]
    worth = means[0] if means[0] == means[0] else equity(w)
    price = tool.mark if kind == MARKET else max(tool.mark, price_of(w, t, ticks))
    if tool.perpetual and not 0 < leverage_of(w, p) <= min(run.max_leverage, tool.max_leverage):
        return MAX_LEVERAGE
    if (
        added
        and not quantity_of(w, t, abs(place.lots) + added) * price <= run.max_leverage * worth * _TOLERANCE
    ):
        return MAX_LEVERAGE
    if not quantity_of(w, t, lots) * price <= run.max_order_value * _TOLERANCE:
        return MAX_ORDER_VALUE
    if run.is_priced:
        code = cost_verdict(w, p, wish)
        if code != APPROVED:
            return code
    if not may_open(w, p):
        return MAX_POSITIONS
    value = quantity_of(w, t, added) * price
    return exposed_verdict(w, p, value, (worth, means[1])) if added else APPROVED


@kernel
def cost_verdict(w: World, p: int, wish: tuple[int, int, int, int]) -> int:
    """Return what the limits on slippage, and on slippage and fees together, say of an entry."""
    run, place, side = w.run[0], w.places[p], wish[0]
    t = place.tool
    tool, limit = w.tools[t], w.strategies[place.strategy].max_cost
    slippage = (expected_price(w, t, wish) / tool.mark - 1.0) * side
    if run.max_slippage < math.inf and not slippage <= run.max_slippage * _TOLERANCE:
        return MAX_SLIPPAGE
    fee = tool.worst_maker if is_to_rest(w, t, wish) else tool.worst_taker
    if limit < math.inf and not slippage + fee <= limit * _TOLERANCE:
        return MAX_COST
    return APPROVED


@kernel
def modelled_price(w: World, t: int, wish: tuple[int, int, int, int]) -> float:
    """Return at which price the slippage model lets an order take."""
    tool = w.tools[t]
    share = quantity_of(w, t, wish[1]) / tool.volume if tool.volume > 0.0 else 0.0
    return tool.mark * (1.0 + wish[0] * fills.slippage_rate(tool.spread, tool.fixed, tool.impact, share))


@kernel
def is_to_rest(w: World, t: int, wish: tuple[int, int, int, int]) -> bool:
    """Say whether an order is a limit that nothing on the market is good enough for, as the model has it."""
    return wish[2] == LIMIT and (modelled_price(w, t, wish) - price_of(w, t, wish[3])) * wish[0] > 0.0


@kernel
def expected_price(w: World, t: int, wish: tuple[int, int, int, int]) -> float:
    """Return at which mean price the slippage model expects an order to trade (`execution.cost`)."""
    quantity = quantity_of(w, t, wish[1])
    price = price_of(w, t, wish[3]) if is_to_rest(w, t, wish) else modelled_price(w, t, wish)
    return quantity * price / quantity


@kernel
def exposed_verdict(w: World, p: int, value: float, means: Means) -> int:
    """Return what the limits of exposure and the free cash say of so much more in a place."""
    run, tool = w.run[0], w.tools[w.places[p].tool]
    worth, held = means
    if not (worth > 0 and exposure(w, ALL, 0, held) + value <= run.max_exposure * worth * _TOLERANCE):
        return MAX_EXPOSURE
    if not exposure(w, ASSET, tool.asset, held) + value <= run.max_asset * worth * _TOLERANCE:
        return MAX_ASSET_EXPOSURE
    if not exposure(w, VENUE, tool.venue, held) + value <= run.max_venue * worth * _TOLERANCE:
        return MAX_VENUE_EXPOSURE
    if not value * (1.0 / leverage_of(w, p) + tool.cost_rate) <= free_cash(w, tool.venue) * _TOLERANCE:
        return INSUFFICIENT_FUNDS
    return APPROVED


@kernel
def may_open(w: World, p: int) -> bool:
    """Say whether one position more is allowed, when this would be one more."""
    count = w.run[0].n_held
    awaited = w.places[p].lots != 0
    for at in range(w.run[0].n_entries):
        if pending(w, at) > 0:
            other = w.orders[w.entries[at]].place
            awaited |= other == p
            count += w.places[other].lots == 0
    return awaited or count + 1 <= w.run[0].max_positions


@kernel
def too_often(w: World, p: int, wish: tuple[int, int, int, int]) -> int:
    """Return ORDER_RATE when a minute has seen as many entries as it may, DUPLICATE for one again, or APPROVED."""
    run = w.run[0]
    while run.sent_count and run.now - w.sent[run.sent_first] >= _MINUTE_NS:
        run.sent_first = (run.sent_first + 1) % len(w.sent)
        run.sent_count -= 1
    if run.sent_count + 1 > run.rate_limit:
        return ORDER_RATE
    side, lots, kind, ticks = wish
    for at in range(p * ASKED_OF_PLACE, min((p + 1) * ASKED_OF_PLACE, len(w.asked))):
        row = w.asked[at]
        is_equal = row.side == side and row.lots == lots and row.ticks == (ticks if kind == LIMIT else 0)
        if is_equal and run.now - row.ts < run.window:
            return DUPLICATE
    return APPROVED


@kernel
def count_entry(w: World) -> None:
    """Count an approved entry towards the rate."""
    run = w.run[0]
    w.sent[(run.sent_first + run.sent_count) % len(w.sent)] = run.now
    run.sent_count += 1


@kernel
def remember(w: World, p: int, wish: tuple[int, int, int, int]) -> None:
    """Keep what would make another entry of a place equal to this one, in a row whose time is over."""
    run = w.run[0]
    for at in range(p * ASKED_OF_PLACE, (p + 1) * ASKED_OF_PLACE):
        row = w.asked[at]
        if run.now - row.ts >= run.window:
            row.ts, row.side, row.lots = run.now, wish[0], wish[1]
            row.ticks = wish[3] if wish[2] == LIMIT else 0
            return
    run.status = TOO_SOON
