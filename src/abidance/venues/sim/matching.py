"""Which working orders a bar or a tick touches, in which order, at which price. Books nothing.

Each generator yields steps; between two of them the venue books the step and may accept new commands, so the state is
read afresh after every yield.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from abidance.model.market import Bar
from abidance.venues.sim import fills
from abidance.venues.sim.accounts import Holding
from abidance.venues.sim.desk import Desk
from abidance.venues.sim.orders import Stage, WorkingOrder


@dataclass(frozen=True, slots=True)
class Execution:
    """Up to `lots` of an order trade at `ticks`."""

    ts: int
    order: WorkingOrder
    lots: int
    ticks: int
    is_maker: bool


@dataclass(frozen=True, slots=True)
class Ending:
    """An order leaves: its time ran out, or it was refused on arrival."""

    ts: int
    order: WorkingOrder
    reason: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Liquidation:
    """A position's margin is used up."""

    ts: int
    holding: Holding


Step = Execution | Ending | Liquidation

NOT_IMMEDIATE = "not filled at once"
WOULD_TAKE = "post-only order would take"
EXPIRED = "time ran out"


def doomed(desk: Desk, low: float, high: float) -> Holding | None:
    """Return the first position whose liquidation price lies within reach, or None."""
    for holding in desk.margined.values():
        if fills.is_liquidated(holding.liquidation, low, high, holding.side):
            return holding
    return None


class BarMatch:
    """One instrument's orders against one bar: first its open, then what happened inside."""

    def __init__(self, desk: Desk, bar: Bar) -> None:
        self._desk = desk
        self._bar = bar
        self.ts_open = bar.ts
        self._close = bar.ts + desk.span
        self._low = min(bar.low, bar.open)
        self._high = max(bar.high, bar.open)
        self._used = 0

    def at_open(self, before: int) -> Iterator[Step]:
        """Yield what the open does to orders with a sequence below `before`, in their order of arrival.

        A gap past a liquidation price comes first: nothing could be done about it in time.
        """
        desk, price, ts = self._desk, self._bar.open, self._bar.ts
        desk.price = price
        while (holding := doomed(desk, price, price)) is not None:
            yield Liquidation(ts, holding)
        for order in tuple(desk.orders.values()):
            order.reference = price
            if order.closed or order.sequence >= before or order.arrival > ts:
                continue
            if order.expiry <= ts:
                yield Ending(ts, order, EXPIRED)
            elif order.stage is Stage.MARKET:
                yield from self._take(order, price, ts)
            elif order.stage is Stage.TRIGGER:
                if fills.is_touched(order.trigger, price, price, order.approach):
                    yield from self._pull(order, price, ts)
            elif not order.rested:
                yield from self._arrive(order, price, ts)
            elif self._passes(order, price, price):
                yield from self._make(order, ts)

    def join(self) -> None:
        """Take part after the open: the desk learns the open's price, no order trades at it."""
        self._desk.price = self._bar.open
        for order in self._desk.orders.values():
            order.reference = self._bar.open

    def inside(self) -> Iterator[Step]:
        """Yield what happened within the bar: liquidations and stops before all else, so that the worse comes first."""
        while (steps := self._next()) is not None:
            yield from steps

    def at_close(self) -> Iterator[Step]:
        """Yield the orders whose time ran out during the bar."""
        for order in tuple(self._desk.orders.values()):
            if order.expiry < self._close and not order.closed:
                yield Ending(self._close - 1, order, EXPIRED)

    def _next(self) -> Iterator[Step] | None:
        desk, ts = self._desk, self._close - 1
        holding = doomed(desk, self._low, self._high)
        if holding is not None and not self._is_rescued(holding):
            return iter((Liquidation(ts, holding),))
        for order in desk.orders.values():
            if order.is_stop and self._is_pulled(order):
                return self._pull_inside(order, ts)
        for order in desk.orders.values():
            if self._is_pulled(order):
                return self._pull_inside(order, ts)
            if order.stage is not Stage.LIMIT or order.tried == self.ts_open or order.arrival > self.ts_open:
                continue
            if not order.rested:
                return self._arrive(order, order.reference, ts)
            if order.expiry >= self._close and self._passes(order, self._low, self._high):
                return self._make(order, ts)
        return None

    def _is_pulled(self, order: WorkingOrder) -> bool:
        """Say whether a trigger is held against this bar: for a stop it is enough that it arrived before the close."""
        return (
            order.stage is Stage.TRIGGER
            and (order.arrival < self._close if order.is_stop else order.arrival <= self.ts_open)
            and order.tried != self.ts_open
            and fills.is_touched(order.trigger, self._low, self._high, order.approach)
        )

    def _is_rescued(self, holding: Holding) -> bool:
        """Say whether a stop of the same strategy stands before the liquidation price and is still to be pulled."""
        side = holding.side
        return any(
            order.is_stop
            and order.side == -side
            and order.request.strategy == holding.strategy
            and side * (order.trigger - holding.liquidation) > 0
            and self._is_pulled(order)
            for order in self._desk.orders.values()
        )

    def _passes(self, order: WorkingOrder, low: float, high: float) -> bool:
        desk = self._desk
        return fills.is_passed(order.price, low, high, desk.tick, order.side, desk.rules.on_touch)

    def _pull_inside(self, order: WorkingOrder, ts: int) -> Iterator[Step]:
        return self._pull(order, fills.trigger_price(order.trigger, order.reference, order.approach), ts)

    def _pull(self, order: WorkingOrder, price: float, ts: int) -> Iterator[Step]:
        """Trigger an order. A limit that cannot take at once then fills here only if the bar closed through it."""
        order.pull()
        order.tried = self.ts_open
        self._desk.changed()
        if order.stage is Stage.MARKET:
            yield from self._take(order, price, ts)
        elif order.side * (order.price - price) >= 0:
            yield from self._arrive(order, price, ts, crosses=True)
        elif order.immediate:
            yield Ending(ts, order, NOT_IMMEDIATE)
        elif self._passes(order, self._bar.close, self._bar.close):
            yield from self._make(order, self._close - 1)

    def _arrive(self, order: WorkingOrder, price: float, ts: int, crosses: bool = False) -> Iterator[Step]:
        """Check a limit against the market once: it takes, rests, or must not be."""
        desk = self._desk
        order.rested = True
        desk.changed()
        if crosses or fills.is_marketable(order.price_ticks, price, desk.rules.spread, desk.tick, order.side):
            if order.request.post_only:
                yield Ending(ts, order, WOULD_TAKE, refused=True)
            else:
                yield from self._take(order, price, ts)
        elif order.immediate:
            yield Ending(ts, order, NOT_IMMEDIATE)

    def _take(self, order: WorkingOrder, price: float, ts: int) -> Iterator[Step]:
        """Fill what the bar's volume allows at a worsened price, never beyond a limit."""
        desk, rules, volume = self._desk, self._desk.rules, self._bar.volume
        order.tried = self.ts_open
        lots = self._room(order)
        if lots:
            share = fills.volume_share(self._used + lots, desk.lot, volume)
            rate = fills.slippage_rate(rules.spread, rules.fixed, rules.impact, share)
            ticks = fills.taker_ticks(price, rate, desk.tick, order.side)
            if order.stage is Stage.LIMIT:
                ticks = fills.within_limit(ticks, order.price_ticks, order.side)
            yield from self._trade(Execution(ts, order, lots, ticks, is_maker=False), price)
        if order.immediate and not order.closed:
            yield Ending(ts, order, NOT_IMMEDIATE)

    def _make(self, order: WorkingOrder, ts: int) -> Iterator[Step]:
        """Fill a resting limit at its price."""
        order.tried = self.ts_open
        if lots := self._room(order):
            yield from self._trade(Execution(ts, order, lots, order.price_ticks, is_maker=True), order.price)

    def _trade(self, step: Execution, price: float) -> Iterator[Step]:
        filled = step.order.filled
        self._desk.price = price
        # Counted before the yield, so that an order sent in answer finds the volume taken.
        self._used += step.lots
        yield step
        self._used -= step.lots - (step.order.filled - filled)

    def _room(self, order: WorkingOrder) -> int:
        desk, rules = self._desk, self._desk.rules
        if rules.unlimited:
            return order.left
        room = fills.room_lots(self._bar.volume, rules.share, desk.lot, self._used)
        lots = min(order.left, room)
        return 0 if order.whole and lots < order.left else lots


Levels = Iterable[tuple[float, float]]


class Tick:
    """A print, a quote or a ladder seen as two sides with depth: what a taker may take, what a maker may be given.

    Levels are [price, lots], best first, and shrink as our orders take them. A print says nothing of the depth: a taker
    finds all it wants at its price, worsened by half the spread; a maker is given at most what was printed.
    """

    def __init__(
        self, ts: int, desk: Desk, sides: tuple[Levels, Levels], printed: float | None = None
    ) -> None:
        self.ts = ts
        self._desk = desk
        self._bids, self._asks = (self._in_lots(side, printed is not None) for side in sides)
        self._printed = None if printed is None else fills.whole_lots(printed, desk.lot)
        self.bid = self._bids[0][0] if self._bids else math.nan
        self.ask = self._asks[0][0] if self._asks else math.nan

    def match(self, before: int) -> Iterator[Step]:
        """Yield what this tick does to orders with a sequence below `before`, in their order of arrival."""
        desk, ts = self._desk, self.ts
        while (holding := doomed(desk, self.bid, self.ask)) is not None:
            yield Liquidation(ts, holding)
        for order in tuple(desk.orders.values()):
            if order.closed or order.sequence >= before or order.arrival > ts:
                continue
            if order.expiry <= ts:
                yield Ending(ts, order, EXPIRED)
                continue
            if order.stage is Stage.TRIGGER:
                price = self.ask if order.side > 0 else self.bid
                if not fills.is_touched(order.trigger, price, price, order.approach):
                    continue
                order.pull()
                order.rested = False
            if order.stage is Stage.MARKET:
                yield from self._take(order)
            elif order.rested:
                yield from self._make(order)
            else:
                yield from self._arrive(order)

    def _in_lots(self, side: Levels, endless: bool) -> list[tuple[float, int]]:
        """Return a side's levels in lots, without those that have no price or no size."""
        endless = endless or self._desk.rules.unlimited
        lot = self._desk.lot
        return [
            (price, fills.UNBOUNDED if endless else fills.whole_lots(size, lot))
            for price, size in side
            if 0.0 < price < fills.HIGHEST_PRICE and size >= 0.0
        ]

    def _arrive(self, order: WorkingOrder) -> Iterator[Step]:
        order.rested = True
        spread = self._desk.rules.spread if self._printed is not None else 0.0
        price = self.ask if order.side > 0 else self.bid
        if price > 0.0 and fills.is_marketable(order.price_ticks, price, spread, self._desk.tick, order.side):
            if order.request.post_only:
                yield Ending(self.ts, order, WOULD_TAKE, refused=True)
            else:
                yield from self._take(order)
        elif order.immediate:
            yield Ending(self.ts, order, NOT_IMMEDIATE)

    def _take(self, order: WorkingOrder) -> Iterator[Step]:
        """Walk the opposite side, level by level, as far as its depth and the order's limit allow."""
        levels = self._asks if order.side > 0 else self._bids
        plan = self._plan(order, levels)
        if order.whole and sum(lots for _, lots in plan) < order.left:
            plan = []
        for at, (ticks, lots) in enumerate(plan):
            if lots and not order.closed:
                levels[at] = (levels[at][0], levels[at][1] - lots)
                yield Execution(self.ts, order, min(lots, order.left), ticks, is_maker=False)
        if order.immediate and not order.closed:
            yield Ending(self.ts, order, NOT_IMMEDIATE)

    def _plan(self, order: WorkingOrder, levels: list[tuple[float, int]]) -> list[tuple[int, int]]:
        """Return what the order would take of each level, best first, as (price in ticks, lots)."""
        desk, rules, left = self._desk, self._desk.rules, order.left
        rate = rules.fixed + (0.5 * rules.spread if self._printed is not None else 0.0)
        is_limit = order.stage is Stage.LIMIT
        plan = []
        for price, depth in levels:
            best = fills.ticks_against(price, desk.tick, order.side)
            if left <= 0 or (is_limit and order.side * (order.price_ticks - best) < 0):
                break
            ticks = fills.taker_ticks(price, rate, desk.tick, order.side)
            lots = min(left, depth)
            left -= lots
            plan.append(
                (fills.within_limit(ticks, order.price_ticks, order.side) if is_limit else ticks, lots)
            )
        return plan

    def _make(self, order: WorkingOrder) -> Iterator[Step]:
        """Fill a resting limit that the other side went through, at most with what it brought."""
        desk, rules = self._desk, self._desk.rules
        levels = self._asks if order.side > 0 else self._bids
        bounded = self._printed is not None and not rules.unlimited
        left = min(order.left, self._printed) if bounded and self._printed is not None else order.left
        lots = 0
        for at, (price, depth) in enumerate(levels):
            if not left or not fills.is_passed(
                order.price, price, price, desk.tick, order.side, rules.on_touch
            ):
                break
            part = min(left, depth)
            levels[at] = (price, depth - part)
            lots, left = lots + part, left - part
        if bounded and self._printed is not None:
            self._printed -= lots
        if lots:
            yield Execution(self.ts, order, lots, order.price_ticks, is_maker=True)
