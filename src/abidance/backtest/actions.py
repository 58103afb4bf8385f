"""Compiled: orders as the engine knows them, the exits that ride with a position, and what a new wish leads to.

The counterpart of `engine.actions`, `execution.exits` and `execution.orders`. It changes no cash and sees no market: it
fills the list of commands, which the venue (`desk`) takes.
"""

# The rows of record tables have no types that mypy could see.
# mypy: warn-return-any=False

import math

from abidance.backtest import gate
from abidance.backtest.jit import kernel
from abidance.backtest.tables import (
    AMEND,
    APPROVED,
    BIG_NUMBER,
    CANCEL,
    FINE_GRID,
    FOR_LIMIT,
    FOR_MARKET,
    FOR_TRIGGER,
    LIMIT,
    MARKET,
    NEVER,
    OFF_GRID,
    OPEN,
    PARTIAL,
    PURPOSES,
    STOP,
    SUBMIT,
    TOO_MANY_ORDERS,
    World,
)  # fmt: skip
from abidance.engine.actions import ATTEMPTS
from abidance.model.order import Purpose

ENTRY, SIGNAL, REBALANCE, TIME = map(
    PURPOSES.index, (Purpose.ENTRY, Purpose.SIGNAL, Purpose.REBALANCE, Purpose.TIME)
)
STOP_LOSS, TRAILING_STOP, BREAK_EVEN, TAKE_PROFIT = map(
    PURPOSES.index, (Purpose.STOP_LOSS, Purpose.TRAILING_STOP, Purpose.BREAK_EVEN, Purpose.TAKE_PROFIT)
)
(
    DAILY_LOSS, MAX_DRAWDOWN, EQUITY_UNKNOWN, LOSING_STREAK, DATA_ANOMALY, VOLATILITY_SPIKE, EXIT_FAILED,
    LIQUIDATED, FEED_DOUBTED,
) = range(9)  # fmt: skip
"""What is told to people."""
_NOISE = 0.5e-6
Wish = tuple[int, int, int, int]


@kernel
def command(w: World, kind: int, slot: int, lots: int, ticks: int) -> None:
    """Add a command to those that leave after this step."""
    run = w.run[0]
    if run.n_commands >= len(w.commands):
        run.status = TOO_MANY_ORDERS
        return
    row = w.commands[run.n_commands]
    row.kind, row.order, row.lots, row.ticks = kind, slot, lots, ticks
    run.n_commands += 1


@kernel
def refuse(w: World, p: int, wish: Wish, reduce_only: bool, code: int, why: tuple[int, int, float]) -> None:
    """Note a refusal; `why` is the purpose, the row and the price of the decision."""
    run = w.run[0]
    run.refused += 1
    if not run.keeps_logs:
        return
    if run.n_refusals_log >= len(w.refusal_log):
        run.status = TOO_MANY_ORDERS
        return
    row = w.refusal_log[run.n_refusals_log]
    # after funding within a bar the engine's clock is ahead of the venue's, whose news may be what led here
    row.ts, row.place, row.code, row.reduce_only = min(run.now, run.venue_now), p, code, reduce_only
    row.side, row.lots, row.kind, row.ticks = wish
    row.purpose, row.row, row.decision = why
    run.n_refusals_log += 1


@kernel
def note(w: World, ts: int, what: tuple[int, int, int], first: float, second: float) -> None:
    """Add a notice: its code, whom it is about, until when it holds, and two numbers for its text."""
    run = w.run[0]
    if not run.keeps_logs:
        return
    if run.n_notices_log >= len(w.notice_log):
        run.status = TOO_MANY_ORDERS
        return
    row = w.notice_log[run.n_notices_log]
    row.ts, row.first, row.second = ts, first, second
    row.code, row.subject, row.until = what
    run.n_notices_log += 1


@kernel
def request(w: World, p: int, wish: Wish, reduce_only: bool, why: tuple[int, int, float]) -> int:
    """Ask the gate and send what it approves; return the order, or -1."""
    code = gate.verdict(w, p, wish, reduce_only, 0, why[1])
    if code != APPROVED:
        refuse(w, p, wish, reduce_only, code, why)
        if reduce_only and wish[2] == MARKET and w.places[p].owed < 0:
            owe(w, p, why[0])
        return -1
    run, t = w.run[0], w.places[p].tool
    tool = w.tools[t]
    if run.n_free == 0 or tool.n_orders >= w.book.shape[1]:
        run.status = TOO_MANY_ORDERS
        return -1
    if not reduce_only:
        gate.count_entry(w)
        gate.remember(w, p, wish)
    run.n_free -= 1
    slot = w.free[run.n_free]
    order = w.orders[slot]
    order.side, order.lots, order.kind, order.ticks = wish
    order.purpose, order.row, order.decision = why
    order.known, order.working, order.place, order.tool = 1, 0, p, t
    order.stage = FOR_TRIGGER if order.kind == STOP else FOR_LIMIT if order.kind == LIMIT else FOR_MARKET
    order.venue_lots, order.venue_ticks, order.filled = order.lots, order.ticks, 0
    order.reduce_only, order.cancelling, order.amending = reduce_only, 0, 0
    order.seq, order.ts_intent, order.rested, order.tried = run.order_seq, run.now, 0, -1
    order.level = gate.price_of(w, t, order.ticks) if order.kind != MARKET else 0.0
    order.held = order.held_low = 0.0
    set_deadline(w, slot)
    run.order_seq += 1
    w.book[t, tool.n_orders] = slot
    tool.n_orders += 1
    if not reduce_only:
        w.entries[run.n_entries] = slot
        run.n_entries += 1
    log_order(w, slot)
    command(w, SUBMIT, slot, 0, 0)
    return slot


@kernel
def set_deadline(w: World, slot: int) -> None:
    """Note until when a limit entry may wait."""
    order, run = w.orders[slot], w.run[0]
    order.expiry, order.deadline, order.tries = NEVER, NEVER, 0
    timeout = w.strategies[w.places[order.place].strategy].timeout
    if timeout and order.kind == LIMIT and not order.reduce_only:
        order.deadline = run.now + timeout
        run.next_due = min(run.next_due, order.deadline)


@kernel
def log_order(w: World, slot: int) -> None:
    """Open the line of an order in the log."""
    run, order = w.run[0], w.orders[slot]
    order.log = -1
    if not run.keeps_logs:
        return
    if run.n_orders_log >= len(w.order_log):
        run.status = TOO_MANY_ORDERS
        return
    order.log = run.n_orders_log
    run.n_orders_log += 1
    row = w.order_log[order.log]
    row.place, row.side, row.kind, row.purpose, row.row = (
        order.place,
        order.side,
        order.kind,
        order.purpose,
        order.row,
    )
    row.reduce_only, row.ts_intent, row.decision = order.reduce_only, order.ts_intent, order.decision
    row.ts_first, row.expected = -1, math.nan
    limit = w.strategies[w.places[order.place].strategy].max_cost
    if not order.reduce_only and (run.max_slippage < math.inf or limit < math.inf):
        wish = (order.side, order.lots, order.kind, order.ticks)
        row.expected = gate.expected_price(w, order.tool, wish)
    note_order(w, slot, OPEN)


@kernel
def note_order(w: World, slot: int, state: int) -> None:
    """Bring an order's line in the log up to date."""
    order = w.orders[slot]
    if order.log < 0:
        return
    row = w.order_log[order.log]
    row.lots, row.ticks, row.filled = order.lots, order.ticks, order.filled
    row.state = PARTIAL if state == OPEN and order.filled else state
    row.ts_last = max(row.ts_last, w.run[0].now if state == OPEN and row.ts_last == 0 else w.run[0].venue_now)


@kernel
def forget(w: World, slot: int, state: int) -> None:
    """End an order as far as the engine is concerned."""
    order, run = w.orders[slot], w.run[0]
    note_order(w, slot, state)
    order.known = 0
    place = w.places[order.place]
    if place.stop_order == slot:
        place.stop_order = -1
    if place.goal_order == slot:
        place.goal_order = -1
    if not order.reduce_only:
        count = 0
        for at in range(run.n_entries):
            if w.entries[at] != slot:
                w.entries[count] = w.entries[at]
                count += 1
        run.n_entries = count
    release(w, slot)


@kernel
def release(w: World, slot: int) -> None:
    """Give the row of an order back once neither the engine nor the venue needs it."""
    order, run = w.orders[slot], w.run[0]
    if order.known or order.working:
        return
    t = order.tool
    count = 0
    for at in range(w.tools[t].n_orders):
        if w.book[t, at] != slot:
            w.book[t, count] = w.book[t, at]
            count += 1
    w.tools[t].n_orders = count
    w.free[run.n_free] = slot
    run.n_free += 1


@kernel
def cancel(w: World, slot: int) -> None:
    """Take an order back, unless that is under way."""
    order = w.orders[slot]
    if order.known and not order.cancelling:
        order.cancelling = 1
        command(w, CANCEL, slot, 0, 0)


@kernel
def cancel_all(w: World, p: int, exits: bool) -> None:
    """Take back a place's exits, or what waits there to open or grow a position."""
    t = w.places[p].tool
    for at in range(w.tools[t].n_orders):
        slot = w.book[t, at]
        if w.orders[slot].place == p and w.orders[slot].known and bool(w.orders[slot].reduce_only) == exits:
            cancel(w, slot)


@kernel
def cancel_entries(w: World, strategy: int) -> None:
    """Take back what a strategy has waiting anywhere to open or grow a position, oldest first."""
    for at in range(w.run[0].n_entries):
        slot = w.entries[at]
        if w.places[w.orders[slot].place].strategy == strategy:
            cancel(w, slot)


@kernel
def cancel_due(w: World, now: int) -> None:
    """Take back the entries whose time has run out, the first to run out first."""
    run = w.run[0]
    while run.next_due <= now:
        first, run.next_due = -1, NEVER
        for at in range(run.n_entries):
            order = w.orders[w.entries[at]]
            if not order.cancelling and order.deadline < run.next_due:
                first, run.next_due = w.entries[at], order.deadline
        if run.next_due <= now:
            cancel(w, first)


@kernel
def replace(
    w: World, p: int, wish: tuple[int, int], waited: tuple[int, int], why: tuple[int, int, float]
) -> None:
    """Send an entry that timed out again (`wish` is its side and lots) at the price of now, as often as it may be.

    `waited` is when it was to be taken back, and how often it was sent again already.
    """
    place, run = w.places[p], w.run[0]
    tool = w.tools[place.tool]
    if waited[1] >= w.strategies[place.strategy].retries or run.now < waited[0] or place.aim != wish[0]:
        return
    if tool.mark != tool.mark:
        return
    ticks = nearest_ticks(w, place.tool, tool.mark)
    slot = request(w, p, (wish[0], wish[1], LIMIT, ticks), False, why)
    if slot >= 0:
        w.orders[slot].tries = waited[1] + 1


@kernel
def nearest_ticks(w: World, t: int, price: float) -> int:
    """Return the whole number of ticks nearest to a price; a tie goes to the even one."""
    tool = w.tools[t]
    if price / tool.tick >= tool.most_ticks:
        w.run[0].status = BIG_NUMBER
        return 0
    ticks = math.floor(price / tool.tick)
    middle = (2 * ticks + 1) * tool.tick_num / (2 * tool.tick_den)
    return ticks + 1 if price > middle or (price == middle and ticks % 2) else ticks


@kernel
def ticks_at(w: World, t: int, price: float) -> int:
    """Return a price in ticks, or OFF_GRID."""
    ticks = nearest_ticks(w, t, price)
    return ticks if gate.price_of(w, t, ticks) == price else OFF_GRID


@kernel
def leave(w: World, p: int, purpose: int, price: float, row: int) -> None:
    """Close at market what of a position is not being closed already."""
    place = w.places[p]
    under_way = 0
    for at in range(w.tools[place.tool].n_orders):
        order = w.orders[w.book[place.tool, at]]
        if order.known and order.place == p and order.reduce_only and order.kind == MARKET:
            under_way += order.lots - order.filled
    lots = abs(place.lots)
    if lots > under_way:
        request(w, p, (-1 if place.lots > 0 else 1, lots - under_way, MARKET, 0), True, (purpose, row, price))


@kernel
def owe(w: World, p: int, purpose: int) -> None:
    """Remember an exit at market that came to nothing: the position is still to be left."""
    w.places[p].owed, w.places[p].owed_tries = purpose, 0
    w.owed[w.run[0].n_owed] = p
    w.run[0].n_owed += 1


@kernel
def leave_owed(w: World) -> None:
    """Try again to leave what is owed, as often as the engine does."""
    run, count = w.run[0], 0
    for at in range(run.n_owed):
        p = w.owed[at]
        place = w.places[p]
        held = (place.lots > 0) - (place.lots < 0)
        by_signal = place.owed == SIGNAL or place.owed == REBALANCE
        if held == 0 or (by_signal and place.aim == held):
            place.owed = -1
            continue
        if place.owed_tries == ATTEMPTS:
            place.owed = -1
            note(w, run.now, (EXIT_FAILED, p, 0), 0.0, 0.0)
            continue
        place.owed_tries += 1
        w.owed[count] = p
        count += 1
        leave(w, p, place.owed, w.tools[place.tool].mark, -1)
    run.n_owed = count


# --- what protects a position


@kernel
def tighten(w: World, p: int, stop: float, reason: int) -> None:
    """Move the stop to where it is closer to the market."""
    place = w.places[p]
    if not place.has_stop or (stop - place.stop) * place.sign > 0:
        place.has_stop, place.stop, place.reason = 1, stop, reason


@kernel
def measure(w: World, p: int) -> None:
    """Derive the stop from the entry, the best price and the distances."""
    place = w.places[p]
    if place.stop_distance == place.stop_distance:
        tighten(w, p, place.plan_entry - place.sign * place.stop_distance, STOP_LOSS)
    if place.even == place.even and (place.best - place.plan_entry) * place.sign >= place.even:
        tighten(w, p, place.plan_entry, BREAK_EVEN)
    if place.trailing == place.trailing:
        tighten(w, p, place.best - place.sign * place.trailing, TRAILING_STOP)


@kernel
def on_grid(w: World, t: int, price: float, sign: int) -> int:
    """Return ticks, rounded down for +1 and up for -1; a price that misses the grid by noise alone stays on it."""
    ratio = price / w.tools[t].tick
    ticks = math.floor(ratio)
    rest = ratio - ticks
    doubt = 4e-16 * abs(ratio)
    if abs(rest - _NOISE) <= doubt or abs(1.0 - rest - _NOISE) <= doubt:
        w.run[0].status = FINE_GRID
    if sign > 0:
        return ticks + 1 if 1.0 - rest <= _NOISE else ticks
    return ticks if rest <= _NOISE else ticks + 1


@kernel
def stand(w: World, p: int) -> None:
    """Bring the stop and the take-profit at the venue in line with the plan and the position."""
    place = w.places[p]
    if not place.planned:
        return
    if place.has_stop:
        ticks = on_grid(w, place.tool, place.stop, place.sign)
        if ticks > 0:
            slot = stand_at(w, p, place.stop_order, (STOP, STOP_LOSS, ticks))
            if slot >= 0:
                place.stop_order = slot
    if place.goal == place.goal:
        ticks = on_grid(w, place.tool, place.goal, -place.sign)
        if ticks > 0:
            slot = stand_at(w, p, place.goal_order, (LIMIT, TAKE_PROFIT, ticks))
            if slot >= 0:
                place.goal_order = slot


@kernel
def stand_at(w: World, p: int, slot: int, exit: tuple[int, int, int]) -> int:
    """Amend the order that stands, or send one; return it, or -1 when risk refused."""
    place = w.places[p]
    kind, purpose, ticks = exit
    lots = abs(place.lots)
    if slot < 0:
        price = gate.price_of(w, place.tool, ticks)
        return request(w, p, (-place.sign, lots, kind, ticks), True, (purpose, -1, price))
    order = w.orders[slot]
    whole = order.filled + lots
    if whole == order.lots and ticks == order.ticks:
        return slot
    wish = (order.side, lots, kind, ticks)
    code = gate.verdict(w, p, wish, True, order.lots - order.filled, -1)
    if code != APPROVED:
        refuse(w, p, wish, True, code, (purpose, -1, order.decision))
        if lots < order.lots - order.filled:
            cancel(w, slot)
    elif not order.cancelling and not order.amending:
        order.amending = 1
        command(w, AMEND, slot, whole, ticks)
    return slot


@kernel
def protect_fill(w: World, p: int, slot: int, ts: int) -> None:
    """Begin, grow or end the plan of a position after a fill of `slot` (-1: of no order of ours)."""
    place = w.places[p]
    sign = (place.lots > 0) - (place.lots < 0)
    if place.planned and sign != place.sign:
        place.planned = 0
        for exit in (place.stop_order, place.goal_order):
            if exit >= 0:
                cancel(w, exit)
        place.stop_order = place.goal_order = -1
    if sign == 0:
        return
    if slot >= 0 and not w.orders[slot].reduce_only and w.orders[slot].row >= 0:
        begin_plan(w, p, w.orders[slot].row, ts)
    stand(w, p)


@kernel
def begin_plan(w: World, p: int, row: int, ts: int) -> None:
    """Measure a plan from a row's distances, if it has any."""
    place = w.places[p]
    stop, goal, trailing, even = w.stop[row], w.goal[row], w.trailing[row], w.even[row]
    if stop != stop and goal != goal and trailing != trailing and even != even and not place.max_bars:
        return
    before, had = place.stop, place.planned and place.has_stop
    if not place.planned:
        place.planned, place.sign = 1, 1 if place.lots > 0 else -1
        place.ts_entry, place.best = ts, place.entry
        place.best_bars = place.leaving = 0
        place.stop_order = place.goal_order = -1
        place.goal = math.nan
        place.reason = STOP_LOSS
    place.has_stop = 0
    place.plan_entry = place.entry
    place.stop_distance, place.goal_distance, place.trailing, place.even = stop, goal, trailing, even
    if goal == goal:
        place.goal = place.plan_entry + place.sign * goal
    measure(w, p)
    if had and not place.has_stop:
        place.has_stop, place.stop = 1, before


@kernel
def protect_bar(w: World, p: int, b: int, row: int) -> None:
    """Follow a closed bar with the plan; leave when its time is over."""
    place = w.places[p]
    if follow_bar(w, p, (b, w.ts[b]), w.trailing[row]):
        stand(w, p)
    if place.max_bars and place.best_bars >= place.max_bars and not place.leaving:
        place.leaving = 1
        price = w.close[b] if is_sound(w, b) else 0.0
        request(w, p, (-place.sign, abs(place.lots), MARKET, 0), True, (TIME, -1, price))


@kernel
def is_sound(w: World, b: int) -> bool:
    """Say whether a bar's prices may be believed."""
    return 0.0 < w.low[b] <= w.close[b] <= w.high[b] < math.inf


@kernel
def follow_bar(w: World, p: int, bar: tuple[int, int], trailing: float) -> bool:
    """Bring a plan up to a closed bar: the best price, the trailing distance, the stop; return whether that moved.

    A bar is its row, and when it opened.
    """
    place, (b, opened) = w.places[p], bar
    seen = w.close[b]
    if place.ts_entry <= opened:
        seen = w.high[b] if place.sign > 0 else w.low[b]
    if is_sound(w, b) and (seen - place.best) * place.sign > 0:
        place.best = seen
    place.best_bars += 1
    if trailing == trailing and place.trailing == place.trailing:
        place.trailing = trailing
    had, before = place.has_stop, place.stop
    measure(w, p)
    return bool(place.has_stop) and (not had or place.stop != before)


# --- a new wish


@kernel
def pursue(w: World, p: int, strength: float, row: int, close: float) -> None:
    """Turn a wished position into orders: leave what points the other way, then enter, grow or shrink."""
    place = w.places[p]
    price = close if 0.0 < close < math.inf else w.tools[place.tool].mark
    wished = (strength > 0) - (strength < 0)
    held = (place.lots > 0) - (place.lots < 0)
    place.aim = wished
    cancel_all(w, p, False)
    if held and held != wished:
        leave(w, p, SIGNAL, price if price == price else 0.0, row)
    if not wished:
        return
    lots = gate.size(w, p, strength, row, close)
    if held == wished:
        resize(w, p, wished, lots, (row, price))
    else:
        enter(w, p, wished, lots, (ENTRY, row, price))


@kernel
def enter(w: World, p: int, side: int, lots: int, why: tuple[int, int, float]) -> None:
    """Ask for an entry, at market or at the price of the decision."""
    if w.strategies[w.places[p].strategy].by_limit:
        request(w, p, (side, lots, LIMIT, ticks_at(w, w.places[p].tool, why[2])), False, why)
    else:
        request(w, p, (side, lots, MARKET, 0), False, why)


@kernel
def resize(w: World, p: int, wished: int, lots: int, why: tuple[int, float]) -> None:
    """Bring a position on the wished side to `lots`; what leaves counts as gone, or is called back."""
    place = w.places[p]
    t, held = place.tool, abs(place.lots)
    left = held
    for at in range(w.tools[t].n_orders):
        order = w.orders[w.book[t, at]]
        if order.known and order.place == p and order.reduce_only and order.kind == MARKET:
            left -= order.lots - order.filled
    if lots < left:
        request(w, p, (-wished, left - lots, MARKET, 0), True, (REBALANCE, why[0], why[1]))
    elif lots > left:
        for at in range(w.tools[t].n_orders):
            slot = w.book[t, at]
            order = w.orders[slot]
            by_signal = order.purpose == SIGNAL or order.purpose == REBALANCE
            if order.known and order.place == p and order.reduce_only and order.kind == MARKET and by_signal:
                cancel(w, slot)
        if lots > held:
            enter(w, p, wished, lots - held, (REBALANCE, why[0], why[1]))


@kernel
def decide(w: World, p: int, row: int, close: float) -> None:
    """Act on a change of opinion."""
    if minds(w, p, row, close):
        target = w.target[row]
        strength = target if target >= 0 or w.strategies[w.places[p].strategy].allow_short else 0.0
        pursue(w, p, strength, row, close)


@kernel
def minds(w: World, p: int, row: int, close: float) -> bool:
    """Take an opinion and return whether it is one to act on, as `engine.runners` tells one."""
    place, target = w.places[p], w.target[row]
    wish = place.wish
    config = w.strategies[place.strategy]
    if target == wish or (target != 0.0 and not 0.0 < close < math.inf):
        return False
    known = wish == wish
    if (
        known
        and (target > 0) == (wish > 0)
        and (target < 0) == (wish < 0)
        and abs(target - wish) < config.threshold
    ):
        return False
    place.wish = target
    return bool(known or target != 0)
