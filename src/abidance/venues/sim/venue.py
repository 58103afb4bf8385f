"""The simulated venue: takes commands, lets market data touch them, books what happened and says so.

It trusts nothing of the engine's: it keeps its own balances, positions, margins and filters in Decimal. It decides no
trade, reads no clock and draws no random number: equal inputs give equal outputs.
"""

import math
from collections.abc import Container, Iterable, Iterator, Mapping
from decimal import Decimal

import msgspec

from abidance.model.account import Balance, Position
from abidance.model.command import Amend, Cancel, Command, Submit
from abidance.model.errors import ConfigError, InvariantError
from abidance.model.event import (
    AccountEvent,
    ChangeRejected,
    FundingPaid,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
)
from abidance.model.instrument import SECOND_NS, Instrument
from abidance.model.market import (
    Anomaly,
    BarSlice,
    BookSnapshot,
    FeedStatus,
    FundingRate,
    MarketEvent,
    MarkPrice,
    Quote,
    Trade,
)
from abidance.model.money import received, to_decimal
from abidance.venues.sim.accounts import Accounts, FeeSchedule, Holding
from abidance.venues.sim.clearing import Clearing
from abidance.venues.sim.config import VenueConfig
from abidance.venues.sim.desk import Desk, Rules
from abidance.venues.sim.fills import HIGHEST_PRICE
from abidance.venues.sim.matching import BarMatch, Ending, Execution, Liquidation, Step, Tick
from abidance.venues.sim.orders import NEVER, Stage, WorkingOrder, filter_reason, first_stage
from abidance.venues.sim.prices import Prices, TickEvent, middle, sides

_NOTHING: Iterator[AccountEvent] = iter(())
_UNTOUCHED = (-math.inf, math.inf, NEVER)
_DRIVES: dict[type, str] = {Trade: "trade", Quote: "quote", BookSnapshot: "book"}


class SimVenue:
    """One or several venues, simulated.

    `config` is one configuration for all or one per venue name; `balances` is venue to asset to amount. `drive` says
    for each instrument what fills its orders: a timeframe such as `1m` (the shortest that the run feeds), `trade`,
    `quote` or `book`. `leverage` is per strategy, 1 where it says nothing.

    Raises ConfigError when an instrument has no drive or its venue no configuration.
    """

    def __init__(
        self,
        config: VenueConfig | Mapping[str, VenueConfig],
        instruments: Mapping[str, Instrument],
        balances: Mapping[str, Mapping[str, Decimal]],
        drive: Mapping[str, str],
        leverage: Mapping[str, Decimal] | None = None,
    ) -> None:
        self._accounts = Accounts(balances)
        self._prices = Prices()
        self._clearing = Clearing(self._accounts, leverage or {}, self._prices)
        self._desks = _open_desks(config, instruments, drive)
        self._active: dict[str, Desk] = {}
        self._orders: dict[str, Desk] = {}
        self._now = 0
        self._moment: int | None = None
        self._sequence = 0

    def balances(self) -> dict[tuple[str, str], Balance]:
        """Return every balance by (venue, asset)."""
        return self._accounts.balances()

    @property
    def is_idle(self) -> bool:
        """Return True while no order works and no position can be liquidated."""
        return not self._active

    @property
    def seen(self) -> dict[str, TickEvent]:
        """Return the newest tick of each instrument; whoever skips `advance` while idle writes them here."""
        return self._prices.ticks

    def reach(self, kind: type[TickEvent], instrument: str) -> tuple[float, float, int]:
        """Return between which prices (bounds excluded) ticks of a kind touch nothing, and from when on any may."""
        desk = self._active.get(instrument)
        if desk is None or desk.drive != _DRIVES[kind]:
            return _UNTOUCHED
        return desk.reach()

    def pass_over(self, ticks: Iterable[TickEvent]) -> None:
        """Take ticks, oldest first, that `reach` says touch nothing; the newest of each instrument and kind will do."""
        for tick in ticks:
            self._prices.ticks[tick.instrument] = tick
            self._now = max(self._now, tick.ts)
            desk = self._active.get(tick.instrument)
            if desk is not None and desk.drive == _DRIVES[type(tick)]:
                desk.price = middle(tick)

    def positions(self) -> dict[tuple[str, str], Position]:
        """Return every open position by (strategy, instrument)."""
        return self._accounts.positions()

    # --- commands ---------------------------------------------------------------------------------------

    def execute(self, commands: Iterable[Command]) -> tuple[AccountEvent, ...]:
        """Take commands and return the answers, one each.

        A submit works from its arrival (its moment plus the latency); cancels and amends act at once. Raises
        InvariantError for a submit whose id is working already.
        """
        return tuple(self._execute(command) for command in commands)

    def _execute(self, command: Command) -> AccountEvent:
        self._now = max(self._now, command.ts)
        if isinstance(command, Submit):
            return self._submit(command)
        desk = self._orders.get(command.order_id)
        if desk is None:
            return ChangeRejected(self._now, command.order_id, "no such working order")
        order = desk.orders[command.order_id]
        if isinstance(command, Cancel):
            self._close(desk, order)
            return OrderCancelled(self._now, order.id, "cancelled on request")
        return self._amend(desk, order, command)

    def _submit(self, command: Submit) -> AccountEvent:
        request, desk = command.request, self._desks.get(command.request.instrument)
        if command.order_id in self._orders:
            raise InvariantError(
                f"Order id {command.order_id} is working already.", "Give every order an id of its own."
            )
        if desk is None:
            return OrderRejected(self._now, command.order_id, f"unknown instrument {request.instrument}")
        begin = command.ts if self._moment is None else self._moment
        arrival = begin + desk.rules.latency_ns
        expiry = NEVER if request.expire_after is None else begin + request.expire_after * SECOND_NS
        side = request.side.sign
        order = WorkingOrder(
            command.order_id,
            request,
            desk.instrument,
            self._sequence,
            arrival,
            expiry,
            first_stage(request),
            side,
            0,
        )
        reason = filter_reason(request, desk.instrument) or self._clearing.refusal(desk, order, request)
        if reason:
            return OrderRejected(self._now, command.order_id, reason)
        self._sequence += 1
        order.adopt(request)
        order.reference = desk.price
        self._clearing.value(order)
        self._clearing.reserve(desk, order)
        desk.orders[order.id] = order
        self._orders[order.id] = desk
        self._refresh(desk)
        return OrderAccepted(self._now, order.id)

    def _amend(self, desk: Desk, order: WorkingOrder, command: Amend) -> AccountEvent:
        old = order.request
        request = msgspec.structs.replace(
            old,
            quantity=old.quantity if command.quantity is None else command.quantity,
            price=old.price if command.price is None else command.price,
            trigger=old.trigger if command.trigger is None else command.trigger,
        )
        reason = filter_reason(request, desk.instrument)
        if not reason and request.quantity <= order.filled * desk.instrument.lot:
            reason = f"quantity {request.quantity} is filled already"
        if not reason and request.trigger != old.trigger and order.stage is not Stage.TRIGGER:
            reason = "it was triggered already"
        reason = reason or self._clearing.refusal(desk, order, request)
        if reason:
            return ChangeRejected(self._now, order.id, reason)
        if request.price != old.price or request.trigger != old.trigger:
            order.arrival = max(order.arrival, command.ts if self._moment is None else self._moment)
            order.reference = desk.price
            order.rested = False
        order.adopt(request)
        self._clearing.value(order)
        self._clearing.reserve(desk, order)
        self._refresh(desk)
        return OrderAmended(self._now, order.id, request.quantity, request.price, request.trigger)

    # --- market data ------------------------------------------------------------------------------------

    def advance(self, event: MarketEvent) -> Iterator[AccountEvent]:
        """Yield, one by one, what `event` does to our orders and positions; exhaust it before the next event.

        Commands may be executed between two yields. Costs next to nothing while nothing works here.
        """
        if isinstance(event, MarkPrice | FeedStatus | Anomaly):
            return _NOTHING
        if not isinstance(event, BarSlice):
            return self._other(event)
        if self._active and (due := self._due(event, ())):
            return self._bars(event, due)
        self._prices.slice = event
        if event.ts > self._now:
            self._now = event.ts
        return _NOTHING

    def _due(self, event: BarSlice, known: Container[str]) -> list[tuple[Desk, BarMatch]]:
        """Return the bars that drive fills and touch something; a bar without a sound price touches nothing."""
        due = []
        for bar in event.bars:
            desk = self._active.get(bar.instrument)
            if (
                desk is None
                or bar.timeframe != desk.drive
                or bar.instrument in known
                or not desk.concerns(bar)
            ):
                continue
            if 0.0 < bar.low <= bar.high < HIGHEST_PRICE and 0.0 < bar.open < HIGHEST_PRICE:
                due.append((desk, BarMatch(desk, bar)))
        return due

    def _bars(self, event: BarSlice, due: list[tuple[Desk, BarMatch]]) -> Iterator[AccountEvent]:
        """Run all opens, then the insides until nothing more happens, then the expiries.

        An answer to a fill may put an order on an instrument that nothing concerned before: its bar joins late.
        """
        before = self._sequence
        # The longest timeframe stands last: its open is the earliest, so no other bar can know it too late.
        self._prices.opens = {bar.instrument: bar.open for bar in event.bars}
        try:
            for desk, match in due:
                yield from self._run(desk, match.at_open(before), match.ts_open)
            fills = -1
            while fills != self._clearing.fills:
                fills = self._clearing.fills
                late = self._due(event, {desk.instrument.id for desk, _ in due})
                for _, match in late:
                    match.join()
                due += late
                for desk, match in due:
                    yield from self._run(desk, match.inside(), event.ts - 1)
            for desk, match in due:
                yield from self._run(desk, match.at_close(), event.ts - 1)
        finally:
            self._moment, self._prices.opens, self._prices.slice = None, {}, event
            self._now = max(self._now, event.ts)

    def _other(self, event: Trade | Quote | BookSnapshot | FundingRate) -> Iterator[AccountEvent]:
        desk = self._active.get(event.instrument)
        if isinstance(event, FundingRate):
            return self._fund(desk, event) if desk is not None else _NOTHING
        self._prices.ticks[event.instrument] = event
        if desk is not None and desk.drive == _DRIVES[type(event)]:
            return self._tick(desk, event)
        if event.ts > self._now:
            self._now = event.ts
        return _NOTHING

    def _tick(self, desk: Desk, event: TickEvent) -> Iterator[AccountEvent]:
        desk.price = middle(event)
        tick = Tick(event.ts, desk, sides(event), event.size if isinstance(event, Trade) else None)
        try:
            yield from self._run(desk, tick.match(self._sequence), event.ts)
        finally:
            self._moment, self._now = None, max(self._now, event.ts)

    def _fund(self, desk: Desk, event: FundingRate) -> Iterator[AccountEvent]:
        """Move funding between the cash and the market; a rate or mark that is no number moves nothing."""
        self._now = max(self._now, event.ts)
        if not (math.isfinite(event.rate) and 0 < event.mark < HIGHEST_PRICE):
            return
        value = to_decimal(event.rate) * to_decimal(event.mark)
        for holding in tuple(desk.margined.values()):
            amount = received(-holding.quantity * value)
            if amount:
                self._accounts.book_funding(holding, amount)
                desk.changed()
                yield FundingPaid(self._now, event.instrument, holding.strategy, amount, desk.quote)

    def _run(self, desk: Desk, steps: Iterator[Step], ts: int) -> Iterator[AccountEvent]:
        """Book each step before the next one is looked for."""
        self._moment = ts
        for step in steps:
            self._moment = step.ts
            self._now = max(self._now, step.ts)
            if isinstance(step, Execution):
                yield from self._trade(desk, step)
            elif isinstance(step, Liquidation):
                yield from self._liquidate(desk, step.holding, step.ts)
            else:
                yield self._end(desk, step)

    # --- booking ----------------------------------------------------------------------------------------

    def _trade(self, desk: Desk, step: Execution) -> Iterator[AccountEvent]:
        """Fill what position and money allow; an order that they cut short is over."""
        order, price = step.order, desk.instrument.tick * step.ticks
        if (ruined := self._clearing.ruined(desk, order, price)) is not None:
            yield from self._liquidate(desk, ruined, step.ts)
            return
        lots, reason = self._clearing.feasible(desk, step, price)
        if lots and not (order.whole and lots < order.left):
            fill = self._clearing.fill(desk, step, lots, price)
            self._refresh(desk)
            if not order.left:
                self._close(desk, order)
            yield OrderFilled(self._now, fill)
        if reason and not order.closed:
            self._close(desk, order)
            yield OrderCancelled(self._now, order.id, reason)

    def _liquidate(self, desk: Desk, holding: Holding, ts: int) -> Iterator[AccountEvent]:
        """Close a position, then cancel the orders of its strategy that stood beside it."""
        orders = [order for order in desk.orders.values() if order.request.strategy == holding.strategy]
        fill = self._clearing.liquidate(desk, holding, ts)
        self._refresh(desk)
        yield OrderFilled(self._now, fill)
        for order in orders:
            if not order.closed:
                self._close(desk, order)
                yield OrderCancelled(self._now, order.id, "the position was liquidated")

    def _end(self, desk: Desk, step: Ending) -> AccountEvent:
        self._close(desk, step.order)
        if step.refused:
            return OrderRejected(self._now, step.order.id, step.reason)
        return OrderExpired(self._now, step.order.id, step.reason)

    def _close(self, desk: Desk, order: WorkingOrder) -> None:
        """Take an order off the desk and free what it held back."""
        order.closed = True
        self._clearing.reserve(desk, order)
        del desk.orders[order.id], self._orders[order.id]
        self._refresh(desk)

    def _refresh(self, desk: Desk) -> None:
        desk.changed()
        if desk.is_idle:
            self._active.pop(desk.instrument.id, None)
        else:
            self._active[desk.instrument.id] = desk


def _open_desks(
    config: VenueConfig | Mapping[str, VenueConfig],
    instruments: Mapping[str, Instrument],
    drive: Mapping[str, str],
) -> dict[str, Desk]:
    venues = {instrument.venue for instrument in instruments.values()}
    configs = dict.fromkeys(venues, config) if isinstance(config, VenueConfig) else config
    for missing in sorted(venues - configs.keys()):
        raise ConfigError(
            f"No configuration for the simulated venue {missing}.", "Give each venue its costs."
        )
    for missing in sorted(instruments.keys() - drive.keys()):
        raise ConfigError(
            f"Nothing drives the fills of {missing}.", "Name a timeframe, trade, quote or book."
        )
    rules = {venue: Rules.of(configs[venue]) for venue in venues}
    fees = {venue: FeeSchedule(configs[venue]) for venue in venues}
    return {
        key: Desk(each, drive[key], rules[each.venue], fees[each.venue], configs[each.venue].fee_asset)
        for key, each in instruments.items()
    }
