"""Compiled: the venue. What a bar does to working orders, how fills are booked, and how the engine hears of it.

The counterpart of `venues.sim` and of the engine's answers to its news. Prices come from the very functions of
`venues.sim.fills`.
"""

# The rows of record tables have no types that mypy could see.
# mypy: warn-return-any=False

from abidance.backtest import actions, books, exact, gate, margin, watch  # noqa: I001
from abidance.backtest.jit import kernel
from abidance.backtest.purse import (
    LESS_THAN_A_UNIT, affordable, fee_of, free_at, use_tier,
)  # fmt: skip
from abidance.backtest.tables import (
    ACCEPTED, AMENDED, BIG_NUMBER, CANCEL, CANCELLED, ENDED, EXPIRED, FILLED, FOR_LIMIT, FOR_MARKET,
    FOR_TRIGGER, LIMIT, MARKET, NEVER, OPEN, PARTIAL, PURPOSES, SPOT_SALE, STOP, SUBMIT, TIMED_OUT,
    TOO_MANY_ORDERS, UNCHANGED, UNSOUND_PRICE, VENUE_BALANCE, VENUE_MINIMUM, World,
)  # fmt: skip
from abidance.model.order import Purpose
from abidance.venues.sim import fills

LIQUIDATION = PURPOSES.index(Purpose.LIQUIDATION)
_MOST = 4e18
Bar = tuple[int, int, int]
"""Row of the bar, when it opens, when it closes."""


@kernel
def worth_enough(w: World, slot: int, lots: int, price: float) -> bool:
    """Say whether the venue takes an order of that value; what the gate and the venue see unlike is not for us."""
    order = w.orders[slot]
    tool = w.tools[order.tool]
    if tool.perpetual and order.reduce_only:
        return True
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
    if order.reduce_only:
        return ACCEPTED
    if order.side < 0 and not tool.perpetual:
        run.status = SPOT_SALE
    elif free_at(w, tool.venue)[0] < -(margin.NOTHING if tool.perpetual else LESS_THAN_A_UNIT):
        run.status = VENUE_BALANCE
    return ACCEPTED


@kernel
def reserve(w: World, slot: int) -> None:
    """Hold back what an entry may need; a closed order holds nothing."""
    order = w.orders[slot]
    if order.reduce_only:
        return
    tool = w.tools[order.tool]
    amount = (0.0, 0.0)
    if order.working and tool.perpetual:
        amount = margin.held_back(w, slot)
    elif order.working and order.kind == LIMIT:
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
def trade(w: World, slot: int, lots: int, ticks: int, maker: int, ts: int) -> int:
    """Fill what position and money allow and return it; an order that they cut short is over."""
    run, order = w.run[0], w.orders[slot]
    run.moment, run.venue_now = ts, max(run.venue_now, ts)
    if float(lots) * float(ticks) > _MOST:
        run.status = BIG_NUMBER
        return 0
    p, cut, seq, is_contract = order.place, False, order.seq, w.tools[order.tool].perpetual
    if is_contract and margin.is_ruined(w, slot, ticks):
        liquidate(w, p, ts)
        return 0
    use_tier(w, order.tool, ts)
    if order.reduce_only:
        held = w.places[p].lots
        position = min(abs(held), order.venue_lots - order.filled) if held * order.side < 0 else 0
        cut = position < lots
        lots = min(lots, position)
    else:
        can = lots
        if is_contract:
            can = margin.affordable(w, slot, lots, ticks, maker)
        elif order.side > 0:
            can = affordable(w, slot, lots, ticks, maker)
        cut = can < lots
        lots = min(lots, can)
    if lots:
        fee, units = fee_of(w, order.tool, lots * ticks, maker), -1
        if is_contract:
            fee, units = margin.fee_of(w, slot, lots, ticks, maker)
        books.book(w, p, (order.side, lots, ticks), fee)
        order.filled += lots
        reserve(w, slot)
        if order.filled >= order.venue_lots:
            close(w, slot)
        tell_fill(w, slot, (lots, ticks, maker, units), ts)
        follow(w)
    # the row may belong to a later order by now
    if cut and order.seq == seq and order.working and order.known:
        close(w, slot)
        hear(w, CANCELLED, slot, 0, 0)
        follow(w)
    return lots


@kernel
def tell_fill(w: World, slot: int, what: tuple[int, int, int, int], ts: int) -> None:
    """Let the engine know of a fill: what it was for, what protects the position now, what is to be taken back."""
    run, order = w.run[0], w.orders[slot]
    run.now = max(run.now, run.venue_now)
    p, purpose, asked_for = order.place, order.purpose, order.purpose
    place = w.places[p]
    if place.planned and place.stop_order == slot:
        purpose = place.reason
    log_fill(w, (order.seq, p, order.side), what, purpose, ts)
    if order.log >= 0 and w.order_log[order.log].ts_first < 0:
        w.order_log[order.log].ts_first = ts
    if order.filled >= order.lots:
        mark_filled(w, slot)
    else:
        actions.note_order(w, slot, PARTIAL)
    if purpose in (actions.ENTRY, actions.REBALANCE):
        w.strategies[place.strategy].sized = 1
    actions.protect_fill(w, p, slot, ts)
    if place.lots == 0:
        actions.cancel_all(w, p, True)
    if asked_for >= actions.STOP_LOSS and asked_for <= actions.TIME:
        actions.cancel_all(w, p, False)
    tell_trip(w, p, ts)
    actions.release(w, slot)


@kernel
def tell_trip(w: World, p: int, ts: int) -> None:
    """Let the engine know of the round trip that a fill ended, if it ended one."""
    place = w.places[p]
    if place.ended:
        place.ended = 0
        w.run[0].closed_trips += 1
        watch.on_round_trip(w, place.strategy, place.earned, ts)


@kernel
def liquidate(w: World, p: int, ts: int) -> None:
    """Close a position at the price that costs its margin, then take back the orders of its place."""
    run, place = w.run[0], w.places[p]
    run.moment, run.venue_now = ts, max(run.venue_now, ts)
    t, before, lots = place.tool, run.order_seq, abs(place.lots)
    side, ticks = -1 if place.lots > 0 else 1, margin.bankruptcy_ticks(w, p)
    books.book(w, p, (side, lots, ticks), (0.0, 0.0))
    run.now = max(run.now, run.venue_now)
    actions.note(w, run.now, (actions.LIQUIDATED, p, 0), float(ticks), 0.0)
    log_fill(w, (-1, p, side), (lots, ticks, 0, 0), LIQUIDATION, ts)
    actions.protect_fill(w, p, -1, ts)
    actions.cancel_all(w, p, True)
    tell_trip(w, p, ts)
    follow(w)
    at = 0
    while at < w.tools[t].n_orders and run.status == 0:
        slot = w.book[t, at]
        order = w.orders[slot]
        at += 1
        if order.place == p and order.working and order.known and order.seq < before:
            close(w, slot)
            hear(w, CANCELLED, slot, 0, 0)
            follow(w)
            at = 0


@kernel
def mark_filled(w: World, slot: int) -> None:
    """End a filled order for the engine; its row is given back when the step is over."""
    order = w.orders[slot]
    order.working = 1
    actions.forget(w, slot, FILLED)
    order.working = 0


@kernel
def log_fill(
    w: World, whose: tuple[int, int, int], what: tuple[int, int, int, int], purpose: int, ts: int
) -> None:
    """Add a line to the log of fills; `whose` is the order, the place and the side."""
    run = w.run[0]
    if not run.keeps_logs:
        return
    if run.n_fills_log >= len(w.fill_log):
        run.status = TOO_MANY_ORDERS
        return
    row = w.fill_log[run.n_fills_log]
    row.lots, row.ticks, row.maker, row.fee = what
    row.seq, row.place, row.side = whose
    row.purpose, row.ts, row.tier = purpose, ts, w.tools[w.places[row.place].tool].tier
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
    lost = margin.doomed(w, t, price, price)
    while lost >= 0 and w.run[0].status == 0:
        liquidate(w, lost, ts)
        lost = margin.doomed(w, t, price, price)
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
    while w.run[0].status == 0 and (
        inside_margins(w, t, bar) or inside_stops(w, t, bar) or inside_limits(w, t, bar)
    ):
        pass


@kernel
def inside_margins(w: World, t: int, bar: Bar) -> bool:
    """Liquidate the oldest position that the bar dooms, unless its own stop comes first; return whether it did."""
    b, _, closed = bar
    lost = margin.doomed(w, t, min(w.low[b], w.open[b]), max(w.high[b], w.open[b]))
    if lost < 0:
        return False
    place = w.places[lost]
    side = 1 if place.lots > 0 else -1
    for at in range(w.tools[t].n_orders):
        order = w.orders[w.book[t, at]]
        rescues = order.place == lost and order.side == -side and (order.level - place.liquidation) * side > 0
        if rescues and is_pulled(w, w.book[t, at], bar):
            return False
    liquidate(w, lost, closed - 1)
    return True


@kernel
def is_pulled(w: World, slot: int, bar: Bar) -> bool:
    """Say whether a stop is held against a bar: it is enough that it arrived before the close."""
    order, (b, opened, closed) = w.orders[slot], bar
    return bool(
        order.working and order.stage == FOR_TRIGGER and order.arrival < closed and order.tried != opened
        and fills.is_touched(order.level, min(w.low[b], w.open[b]), max(w.high[b], w.open[b]), order.side)
    )  # fmt: skip


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
    for at in range(w.tools[t].n_orders):
        slot = w.book[t, at]
        if is_pulled(w, slot, bar):
            order = w.orders[slot]
            pull(w, slot, bar, fills.trigger_price(order.level, order.reference, order.side), bar[2] - 1)
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
