"""Compiled: the venue. What a bar does to working orders, how fills are booked, and how the engine hears of it.

The counterpart of `venues.sim` and of the engine's answers to its news. Prices come from the very functions of
`venues.sim.fills`.
"""

# The rows of record tables have no types that mypy could see.
# mypy: warn-return-any=False

from abidance.backtest import actions, exact, gate, watch  # noqa: I001
from abidance.backtest.jit import kernel
from abidance.backtest.tables import (
    ACCEPTED, AMENDED, BIG_NUMBER, CANCEL, CANCELLED, ENDED, EXPIRED, FILLED, FOR_LIMIT, FOR_MARKET,
    FOR_TRIGGER, LIMIT, MARKET, NEVER, OPEN, PARTIAL, STOP, SUBMIT, TIMED_OUT, TOO_MANY_FILLS,
    TOO_MANY_ORDERS, UNCHANGED, UNSOUND_PRICE, VENUE_BALANCE, VENUE_MINIMUM, World,
)  # fmt: skip
from abidance.venues.sim import fills

_TOLERANCE = 1 + 1e-9
_LESS_THAN_A_UNIT = 5e-13
_MOST = 4e18
_TIER_NS = 30 * 86_400 * 1_000_000_000
_TIER_WIDTH = 6
Bar = tuple[int, int, int]
"""Row of the bar, when it opens, when it closes."""


@kernel
def worth_enough(w: World, slot: int, lots: int, price: float) -> bool:
    """Say whether the venue takes an order of that value; what the gate and the venue see unlike is not for us."""
    order = w.orders[slot]
    tool = w.tools[order.tool]
    value = gate.quantity_of(w, order.tool, lots) * price
    if abs(value - tool.min_notional) < tool.min_notional * 1e-8 and value != tool.min_notional:
        w.run[0].status = VENUE_MINIMUM
    return value >= tool.min_notional


@kernel
def submit(w: World, slot: int) -> int:
    """Take an order."""
    run, order = w.run[0], w.orders[slot]
    tool = w.tools[order.tool]
    price = order.decision if order.kind == MARKET else order.level
    if not price > 0.0:
        run.status = UNSOUND_PRICE
    elif not worth_enough(w, slot, order.lots, price):
        run.status = VENUE_MINIMUM
    begin = order.ts_intent if run.moment < 0 else run.moment
    order.arrival = begin + tool.latency
    if order.deadline < NEVER:
        order.expiry = begin + w.strategies[w.places[order.place].strategy].timeout
    order.reference = tool.desk_price
    order.working = 1
    reserve(w, slot)
    if not order.reduce_only and free_at(w, tool.venue)[0] < -_LESS_THAN_A_UNIT:
        run.status = VENUE_BALANCE
    return ACCEPTED


@kernel
def free_at(w: World, venue: int) -> exact.Pair:
    """Return what lies at a venue and is not held back."""
    row = w.venues[venue]
    return exact.minus((row.wallet, row.wallet_low), (row.reserved, row.reserved_low))


@kernel
def reserve(w: World, slot: int) -> None:
    """Hold back what an entry may need; a closed order holds nothing."""
    order = w.orders[slot]
    if order.reduce_only:
        return
    tool = w.tools[order.tool]
    amount = (0.0, 0.0)
    if order.working and order.kind == LIMIT:
        left = exact.whole((order.venue_lots - order.filled) * order.venue_ticks)
        amount = exact.times(left, (tool.unit, tool.unit_low))
    elif order.working:
        left = exact.whole((order.venue_lots - order.filled) * tool.lot_num)
        amount = exact.times(exact.over(left, (float(tool.lot_den), 0.0)), (order.decision, 0.0))
    venue = w.venues[tool.venue]
    change = exact.minus(amount, (order.held, order.held_low))
    venue.reserved, venue.reserved_low = exact.add((venue.reserved, venue.reserved_low), change)
    order.held, order.held_low = amount


@kernel
def amend(w: World, slot: int, lots: int, ticks: int) -> int:
    """Change an order, or leave it as it is."""
    order, run = w.orders[slot], w.run[0]
    tool = w.tools[order.tool]
    moved = ticks != order.venue_ticks
    if (
        lots < tool.min_lots
        or lots <= order.filled
        or (order.kind == STOP and moved and order.stage != FOR_TRIGGER)
    ):
        return UNCHANGED
    level = gate.price_of(w, order.tool, ticks)
    if not worth_enough(w, slot, lots, level):
        return UNCHANGED
    if moved:
        order.arrival = max(order.arrival, run.now if run.moment < 0 else run.moment)
        order.reference = tool.desk_price
        order.rested = 0
    order.venue_lots, order.venue_ticks, order.level = lots, ticks, level
    return AMENDED


@kernel
def close(w: World, slot: int) -> None:
    """Take an order off the desk and free what it held back; the engine is yet to hear of it."""
    w.orders[slot].working = 0
    reserve(w, slot)


@kernel
def execute(w: World, at: int) -> int:
    """Do one command and return the answer."""
    row, run = w.commands[at], w.run[0]
    run.venue_now = max(run.venue_now, run.now)
    if row.kind == SUBMIT:
        return submit(w, row.order)
    if not w.orders[row.order].working:
        return UNCHANGED
    if row.kind == CANCEL:
        close(w, row.order)
        return CANCELLED
    return amend(w, row.order, row.lots, row.ticks)


@kernel
def hear(w: World, kind: int, slot: int, lots: int, ticks: int) -> None:
    """Let the engine know what the venue answered."""
    run, order = w.run[0], w.orders[slot]
    run.now = max(run.now, run.venue_now)
    p = order.place
    if kind in (CANCELLED, EXPIRED):
        unasked = order.kind == STOP and not order.cancelling
        wish, waited = (order.side, order.lots - order.filled), (order.deadline, order.tries)
        why = (order.purpose, order.row, order.decision)
        # from here on the row may belong to a later order
        actions.forget(w, slot, ENDED if kind == CANCELLED else TIMED_OUT)
        if unasked and w.places[p].lots:
            actions.leave(w, p, actions.STOP_LOSS, w.tools[w.places[p].tool].mark, -1)
        elif waited[0] < NEVER and wish[1] > 0:
            actions.replace(w, p, wish, waited, why)
        return
    if kind == UNCHANGED:
        order.amending = order.cancelling = 0
        return
    if kind == AMENDED:
        order.lots, order.ticks, order.amending = lots, ticks, 0
    actions.note_order(w, slot, OPEN)
    actions.stand(w, p)


@kernel
def follow(w: World) -> None:
    """Let commands reach the venue and its answers the engine, each with all that comes of it before the next."""
    run = w.run[0]
    while run.n_commands or run.n_news:
        count = run.n_commands
        if run.n_news + count > len(w.news):
            run.status = TOO_MANY_ORDERS
            run.n_commands = run.n_news = 0
            return
        for at in range(count):
            news = w.news[run.n_news + count - 1 - at]
            news.kind = execute(w, at)
            news.order, news.lots, news.ticks = (
                w.commands[at].order,
                w.commands[at].lots,
                w.commands[at].ticks,
            )
        run.n_news += count
        run.n_commands = 0
        run.n_news -= 1
        news = w.news[run.n_news]
        hear(w, news.kind, news.order, news.lots, news.ticks)


# --- fills


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
        if exact.minus(traded, (w.tiers[t, at], w.tiers[t, at + 1]))[0] > -_LESS_THAN_A_UNIT:
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
    if exact.minus(cost, money)[0] <= _LESS_THAN_A_UNIT:
        return lots
    if fee_of(w, t, lots * ticks, maker)[0] < 0.0:
        # what a fill pays out cannot pay for the fill
        unit = exact.times(exact.whole(ticks), (w.tools[t].unit, w.tools[t].unit_low))
        lots = min(lots, int(money[0] / unit[0] * _TOLERANCE))
        while lots > 0 and exact.minus(exact.times(exact.whole(lots), unit), money)[0] > _LESS_THAN_A_UNIT:
            lots -= 1
        return lots
    lots = min(lots, int(money[0] / (cost[0] / lots) * _TOLERANCE))
    while lots > 0 and exact.minus(cost_of(w, t, lots, ticks, maker), money)[0] > _LESS_THAN_A_UNIT:
        lots -= 1
    return lots


@kernel
def trade(w: World, slot: int, lots: int, ticks: int, maker: int, ts: int) -> int:
    """Fill what position and money allow and return it; an order that they cut short is over."""
    run, order = w.run[0], w.orders[slot]
    run.moment, run.venue_now = ts, max(run.venue_now, ts)
    if float(lots) * float(ticks) > _MOST:
        run.status = BIG_NUMBER
        return 0
    p, cut, seq = order.place, False, order.seq
    use_tier(w, order.tool, ts)
    if order.reduce_only:
        held = w.places[p].lots
        position = min(abs(held), order.venue_lots - order.filled) if held * order.side < 0 else 0
        cut = position < lots
        lots = min(lots, position)
    elif order.side > 0:
        can = affordable(w, slot, lots, ticks, maker)
        cut = can < lots
        lots = min(lots, can)
    if lots:
        book(w, slot, lots, ticks, maker)
        order.filled += lots
        reserve(w, slot)
        if order.filled >= order.venue_lots:
            close(w, slot)
        tell_fill(w, slot, lots, ticks, maker, ts)
        follow(w)
    # the row may belong to a later order by now
    if cut and order.seq == seq and order.working and order.known:
        close(w, slot)
        hear(w, CANCELLED, slot, 0, 0)
        follow(w)
    return lots


@kernel
def book(w: World, slot: int, lots: int, ticks: int, maker: int) -> None:
    """Move cash, position and profit by a fill."""
    order, run = w.orders[slot], w.run[0]
    p, t = order.place, order.tool
    place, tool = w.places[p], w.tools[t]
    fee = fee_of(w, t, lots * ticks, maker)
    amount = exact.times(exact.whole(lots * ticks), (tool.unit, tool.unit_low))
    count_value(w, tool.venue, amount, run.moment)
    signed = amount if order.side > 0 else (-amount[0], -amount[1])
    venue = w.venues[tool.venue]
    wallet = exact.minus((venue.wallet, venue.wallet_low), signed)
    venue.wallet, venue.wallet_low = exact.minus(wallet, fee)
    result = (-fee[0], -fee[1])
    cost = (place.cost, place.cost_low)
    if place.lots * order.side < 0:
        released = cost
        if lots < abs(place.lots):
            released = exact.over(exact.times(cost, exact.whole(lots)), exact.whole(abs(place.lots)))
        result = exact.add(result, exact.minus((-signed[0], -signed[1]), released))
        cost = exact.minus(cost, released)
    else:
        cost = exact.add(cost, signed)
    was_flat = place.lots == 0
    place.lots += order.side * lots
    settle(w, p, result)
    if place.lots == 0:
        cost = (0.0, 0.0)
        place.size = place.entry = 0.0
        hold(w, p, False)
    else:
        size = exact.over(exact.whole(place.lots * tool.lot_num), (float(tool.lot_den), 0.0))
        place.size = size[0]
        place.entry = exact.over(cost, size)[0]
        if was_flat:
            hold(w, p, True)
    place.cost, place.cost_low = cost
    run.fill_seq += 1
    run.fees += fee[0]


@kernel
def settle(w: World, p: int, result: exact.Pair) -> None:
    """Credit what a fill realised, less its fee, to the run, the strategy and the round trip."""
    run, place = w.run[0], w.places[p]
    strategy = w.strategies[place.strategy]
    run.pool, run.pool_low = exact.add((run.pool, run.pool_low), result)
    strategy.settled, strategy.settled_low = exact.add((strategy.settled, strategy.settled_low), result)
    place.profit, place.profit_low = exact.add((place.profit, place.profit_low), result)


@kernel
def hold(w: World, p: int, is_new: bool) -> None:
    """Add a place to those that hold a position, or take it off."""
    run = w.run[0]
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


@kernel
def tell_fill(w: World, slot: int, lots: int, ticks: int, maker: int, ts: int) -> None:
    """Let the engine know of a fill: what it was for, what protects the position now, what is to be taken back."""
    run, order = w.run[0], w.orders[slot]
    run.now = max(run.now, run.venue_now)
    p, purpose, asked_for = order.place, order.purpose, order.purpose
    place = w.places[p]
    if place.planned and place.stop_order == slot:
        purpose = place.reason
    log_fill(w, slot, (lots, ticks, maker), purpose, ts)
    if order.log >= 0 and w.order_log[order.log].ts_first < 0:
        w.order_log[order.log].ts_first = ts
    if order.filled >= order.lots:
        mark_filled(w, slot)
    else:
        actions.note_order(w, slot, PARTIAL)
    actions.protect_fill(w, p, slot, ts)
    if place.lots == 0:
        actions.cancel_all(w, p, True)
    if asked_for >= actions.STOP_LOSS and asked_for <= actions.TIME:
        actions.cancel_all(w, p, False)
    if place.lots == 0:
        profit = place.profit
        place.profit = place.profit_low = 0.0
        run.closed_trips += 1
        watch.on_round_trip(w, place.strategy, profit, ts)
    actions.release(w, slot)


@kernel
def mark_filled(w: World, slot: int) -> None:
    """End a filled order for the engine; its row is given back when the step is over."""
    order = w.orders[slot]
    order.working = 1
    actions.forget(w, slot, FILLED)
    order.working = 0


@kernel
def log_fill(w: World, slot: int, what: tuple[int, int, int], purpose: int, ts: int) -> None:
    """Add a line to the log of fills."""
    run, order = w.run[0], w.orders[slot]
    if not run.keeps_logs:
        return
    if run.n_fills_log >= len(w.fill_log):
        run.status = TOO_MANY_ORDERS
        return
    row = w.fill_log[run.n_fills_log]
    row.lots, row.ticks, row.maker = what
    row.seq, row.place, row.side, row.purpose, row.ts = order.seq, order.place, order.side, purpose, ts
    row.tier = w.tools[order.tool].tier
    run.n_fills_log += 1


# --- one bar


@kernel
def at_open(w: World, t: int, bar: Bar, before: int) -> None:
    """Do what the open does to the orders that were there before the bar, in their order of arrival."""
    b, ts, _ = bar
    tool, price = w.tools[t], w.open[b]
    w.run[0].moment = ts
    tool.used = 0
    tool.desk_price = price
    count, present = tool.n_orders, w.run[0].order_seq
    for at in range(count):
        w.scan[at] = w.book[t, at]
    for at in range(count):
        slot = w.scan[at]
        order = w.orders[slot]
        # a row may belong to a later order by now
        if order.tool != t or not order.working or order.seq >= present:
            continue
        order.reference = price
        if order.seq >= before or order.arrival > ts:
            continue
        if order.expiry <= ts:
            expire(w, slot, ts)
        elif order.stage == FOR_MARKET:
            take(w, slot, bar, price, ts)
        elif order.stage == FOR_TRIGGER:
            if fills.is_touched(order.level, price, price, order.side):
                pull(w, slot, bar, price, ts)
        elif not order.rested:
            arrive(w, slot, bar, price, ts)
        elif fills.is_passed(order.level, price, price, tool.tick, order.side, tool.on_touch):
            make(w, slot, bar, ts)


@kernel
def inside(w: World, t: int, bar: Bar) -> None:
    """Do what happened within the bar: stops before limits, until nothing more happens."""
    w.run[0].moment = bar[2] - 1
    while w.run[0].status == 0 and (inside_stops(w, t, bar) or inside_limits(w, t, bar)):
        pass


@kernel
def at_close(w: World, t: int, bar: Bar) -> None:
    """Let go of the orders whose time ran out during the bar."""
    count = w.tools[t].n_orders
    for at in range(count):
        w.scan[at] = w.book[t, at]
    before = w.run[0].order_seq
    for at in range(count):
        order = w.orders[w.scan[at]]
        if order.tool == t and order.working and order.seq < before and order.expiry < bar[2]:
            expire(w, w.scan[at], bar[2] - 1)


@kernel
def expire(w: World, slot: int, ts: int) -> None:
    """End an order whose time has run out, and let the engine know."""
    run = w.run[0]
    run.moment, run.venue_now = ts, max(run.venue_now, ts)
    close(w, slot)
    hear(w, EXPIRED, slot, 0, 0)
    follow(w)


@kernel
def inside_stops(w: World, t: int, bar: Bar) -> bool:
    """Pull the oldest stop that the bar touches; return whether there was one."""
    b, opened, closed = bar
    low, high = min(w.low[b], w.open[b]), max(w.high[b], w.open[b])
    for at in range(w.tools[t].n_orders):
        slot = w.book[t, at]
        order = w.orders[slot]
        if (
            order.working and order.stage == FOR_TRIGGER and order.arrival < closed and order.tried != opened
            and fills.is_touched(order.level, low, high, order.side)
        ):  # fmt: skip
            pull(w, slot, bar, fills.stop_price(order.level, order.reference, order.side), closed - 1)
            return True
    return False


@kernel
def inside_limits(w: World, t: int, bar: Bar) -> bool:
    """Fill the oldest limit that the bar passes; return whether there was one."""
    b, opened, closed = bar
    low, high = min(w.low[b], w.open[b]), max(w.high[b], w.open[b])
    tool = w.tools[t]
    for at in range(tool.n_orders):
        slot = w.book[t, at]
        order = w.orders[slot]
        if not order.working or order.stage != FOR_LIMIT or order.tried == opened or order.arrival > opened:
            continue
        if not order.rested:
            arrive(w, slot, bar, order.reference, closed - 1)
            return True
        passed = fills.is_passed(order.level, low, high, tool.tick, order.side, tool.on_touch)
        if passed and order.expiry >= closed:
            make(w, slot, bar, closed - 1)
            return True
    return False


@kernel
def pull(w: World, slot: int, bar: Bar, price: float, ts: int) -> None:
    """Trigger a stop: it takes."""
    order = w.orders[slot]
    order.stage, order.rested = FOR_MARKET, 1
    take(w, slot, bar, price, ts)


@kernel
def arrive(w: World, slot: int, bar: Bar, price: float, ts: int) -> None:
    """Check a limit against the market once: it takes, or rests."""
    order = w.orders[slot]
    tool = w.tools[order.tool]
    order.rested = 1
    if fills.is_marketable(order.venue_ticks, price, tool.spread, tool.tick, order.side):
        take(w, slot, bar, price, ts)


@kernel
def room(w: World, slot: int, b: int) -> int:
    """Return the lots that the bar's volume leaves for an order."""
    order = w.orders[slot]
    tool = w.tools[order.tool]
    left = order.venue_lots - order.filled
    if tool.unlimited:
        return left
    return min(left, fills.room_lots(w.volume[b], tool.share, tool.lot, tool.used))


@kernel
def take(w: World, slot: int, bar: Bar, price: float, ts: int) -> None:
    """Fill what the bar's volume allows at a worsened price, never beyond a limit."""
    order = w.orders[slot]
    tool, b = w.tools[order.tool], bar[0]
    order.tried = bar[1]
    lots = room(w, slot, b)
    if not lots:
        return
    share = fills.volume_share(tool.used + lots, tool.lot, w.volume[b])
    rate = fills.slippage_rate(tool.spread, tool.fixed, tool.impact, share)
    ticks = fills.taker_ticks(price, rate, tool.tick, order.side)
    if order.stage == FOR_LIMIT:
        ticks = fills.within_limit(ticks, order.venue_ticks, order.side)
    tool.desk_price = price
    tool.used += trade(w, slot, lots, ticks, 0, ts)


@kernel
def make(w: World, slot: int, bar: Bar, ts: int) -> None:
    """Fill a resting limit at its price."""
    order = w.orders[slot]
    tool = w.tools[order.tool]
    order.tried = bar[1]
    lots = room(w, slot, bar[0])
    if lots:
        tool.desk_price = order.level
        tool.used += trade(w, slot, lots, order.venue_ticks, 1, ts)
