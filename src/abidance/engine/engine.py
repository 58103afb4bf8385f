"""`Engine.process(event) -> Outcome`: the one loop, the same in every mode.

Synchronous and deterministic: no I/O, no wall clock, no randomness. One step updates the state, lets strategies state
intents, lets risk answer, and turns approvals into commands. Callers hand in account events, timers and control ahead
of market data, so that a strategy always decides on a state that knows its own fills.
"""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal

import msgspec

from abidance.engine.runners import BarRunner, EventRunner, Runner
from abidance.engine.series import Series, Universe
from abidance.engine.state import State
from abidance.execution.exits import STOPS, Exits, exit_request
from abidance.model.account import Position
from abidance.model.command import Command
from abidance.model.errors import StrategyError
from abidance.model.event import (
    AccountEvent,
    BalanceChanged,
    ChangeRejected,
    Control,
    ControlAction,
    Event,
    FundingPaid,
    OrderAbandoned,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderUnknown,
    Timer,
)
from abidance.model.instrument import SECOND_NS
from abidance.model.intent import AmendRequest, Basket, CancelRequest, Intent, Target, TimerRequest
from abidance.model.market import Bar, BarSlice, BookSnapshot, FundingRate, MarketEvent, Quote, Trade
from abidance.model.money import to_decimal
from abidance.model.order import Fill, OrderRequest, OrderType, Purpose, Side
from abidance.model.outcome import Approved, Notice, Outcome, RefusalCode, Refused, Verdict
from abidance.risk.breaker import Breakers
from abidance.risk.gate import Gate
from abidance.risk.sizing import size
from abidance.risk.state import Standing, TradingState, strictest
from abidance.strategy.base import View
from abidance.strategy.mistakes import strategy_error

_Callback = Callable[..., Iterable[Intent] | None]
_Callbacks = dict[str, list[tuple[EventRunner, _Callback, View]]]


class Engine:
    """The decision core of one run.

    `order_id` makes the client order id of the n-th order. With `isolate`, a strategy that fails is stopped with a
    notice and the others go on; without it the error is raised.
    """

    def __init__(
        self, state: State, gate: Gate, breakers: Breakers, order_id: Callable[[int], str], *, isolate: bool
    ) -> None:
        self.state = state
        self.runners: list[Runner] = []
        self.exits = Exits()
        self.fills: list[Fill] = []
        self.equity = 0.0
        self._gate = gate
        self._breakers = breakers
        self._order_id = order_id
        self._isolate = isolate
        self.eventful = False
        self._sequence = 0
        self._check_at = 0
        self._stopped: set[str] = set(state.strategies)
        self._paused: set[str] = set()
        self._listeners: dict[type, _Callbacks] = {Trade: {}, Quote: {}}
        self._listeners_of_books: _Callbacks = {}
        self._intents: list[Intent] = []
        self._verdicts: list[Verdict] = []
        self._commands: list[Command] = []
        self._notices: list[Notice] = []
        self.handlers: dict[type, Callable[..., None]] = {
            BarSlice: self._on_slice,
            Trade: self._on_tick,
            Quote: self._on_tick,
            BookSnapshot: self._on_book,
            FundingRate: self._on_funding_rate,
            OrderAccepted: self._on_order_news,
            OrderUnknown: self._on_order_news,
            OrderAbandoned: self._on_order_news,
            OrderCancelled: self._on_order_news,
            OrderExpired: self._on_order_news,
            OrderAmended: self._on_order_news,
            ChangeRejected: self._on_order_news,
            OrderFilled: self._on_filled,
            OrderRejected: self._on_rejected,
            FundingPaid: self._on_cash,
            BalanceChanged: self._on_cash,
            Timer: self._on_timer,
            Control: self._on_control,
        }

    # --- composition

    def add_series(self, series: Series) -> None:
        """Add a stream of bars; its universe becomes the other instruments of the same timeframe."""
        self.state.series[series.instrument, series.timeframe] = series
        series.universe = Universe(self.state.series, series.timeframe, whole=series.ahead > 0)

    def add(self, runner: Runner) -> None:
        """Add a strategy. Series must be there before; signals over the tape are computed by `prepare`."""
        self.runners.append(runner)
        if isinstance(runner, BarRunner):
            runner.series.runners.append(runner)
            return
        for instrument in runner.instruments:
            if runner.hears("on_bar"):
                self.state.series[instrument, runner.config.timeframe].runners.append(runner)
            for name, callbacks in (
                ("on_trade", self._listeners[Trade]),
                ("on_quote", self._listeners[Quote]),
                ("on_book", self._listeners_of_books),
            ):
                if runner.hears(name):
                    listener = (runner, getattr(runner.strategy, name), runner.view)
                    callbacks.setdefault(instrument, []).append(listener)

    def prepare(self) -> None:
        """Evaluate all bar strategies over their tapes."""
        for runner in self.runners:
            if isinstance(runner, BarRunner):
                runner.prepare()

    # --- the step

    def process(self, event: Event) -> Outcome:
        """Take one event and return what it led to."""
        self.handlers[type(event)](event)
        return self.outcome(event)

    def outcome(self, event: Event) -> Outcome:
        """Return what has come of `event`, and forget it."""
        if not self.eventful:
            return Outcome(event)
        self.eventful = False
        outcome = Outcome(
            event, tuple(self._intents), tuple(self._verdicts), tuple(self._commands), tuple(self._notices)
        )
        for found in (self._intents, self._verdicts, self._commands, self._notices):
            found.clear()
        return outcome

    # --- market data

    def _on_slice(self, event: BarSlice) -> None:
        state = self.state
        state.now = now = event.ts
        known, boards, mark, on_bar = state.series, state.boards, state.portfolio.mark, self._breakers.on_bar
        for bar in event.bars:
            instrument = bar.instrument
            series = known[instrument, bar.timeframe]
            series.append(bar)
            if series.drives:
                board = boards[instrument]
                board.price = bar.close
                board.ts = now
                mark(instrument, bar.close)
                notice = on_bar(bar)
                if notice is not None:
                    self._tell(notice)
        self._watch(now)
        for bar in event.bars:
            for runner in known[bar.instrument, bar.timeframe].runners:
                if type(runner) is BarRunner:
                    if self.exits:
                        self._protect(runner.name, bar, runner)
                    self._run(runner, bar)
                elif type(runner) is EventRunner:
                    if self.exits:
                        self._protect(runner.name, bar, None)
                    self._call(runner, runner.strategy.on_bar, bar)

    def _watch(self, now: int) -> None:
        state = self.state
        self.equity = equity = state.portfolio.equity()
        notice = self._breakers.on_equity(now, equity)
        if notice is not None:
            self._tell(notice)
        due = state.orders.due(now)
        if due:
            self._commands.extend(due)
            self.eventful = True

    def _tell(self, notice: Notice) -> None:
        self._notices.append(notice)
        self.eventful = True

    def _run(self, runner: BarRunner, bar: Bar) -> None:
        if runner.name in self._stopped:
            return
        try:
            target = runner.on_bar(bar)
        except StrategyError as error:
            self._fail(runner.name, error)
            return
        if target is not None:
            self._pursue(target)

    def _protect(self, strategy: str, bar: Bar, runner: BarRunner | None) -> None:
        if self.exits.plan(strategy, bar.instrument) is not None:
            position = self.state.position(strategy, bar.instrument)
            trailing = runner.trailing() if runner is not None else None
            self._act(self.exits.on_bar(bar, position, trailing, self.state.instruments[bar.instrument]))

    def coast(self, event: MarketEvent, source: Iterator[MarketEvent], seen: dict[str, Trade | Quote]) -> MarketEvent:
        """Take ticks from `source`, starting with `event`, for as long as they lead to nothing.

        Return the event that ended it: an eventful tick, already taken (`eventful` is set), or an event of another
        kind, not taken. `seen` receives the newest tick of each instrument. When the source ends the last tick is
        returned, taken. The same as one call per tick, at a quarter of the cost.
        """
        state, boards, listeners, stopped = self.state, self.state.boards, self._listeners, self._stopped
        while True:
            table = listeners.get(type(event))
            if table is None:
                return event
            state.now = now = event.ts
            instrument = event.instrument  # type: ignore[union-attr]
            boards[instrument].tick = seen[instrument] = event  # type: ignore[assignment]
            if now >= self._check_at:
                self._check(now)
            for runner, callback, view in table.get(instrument, ()):
                if runner.name not in stopped:
                    try:
                        wished = callback(event, view)
                    except Exception as error:
                        self._fail(runner.name, strategy_error(runner.strategy, error, callback.__name__))
                    else:
                        if wished is not None:
                            self._act(wished)
            if self.eventful:
                return event
            try:
                event = next(source)
            except StopIteration:
                return event

    def _on_tick(self, event: Trade | Quote) -> None:
        self.coast(event, iter(()), {})

    def _on_book(self, event: BookSnapshot) -> None:
        if event.bids and event.asks:
            (bid, bid_size), (ask, ask_size) = event.bids[0], event.asks[0]
            self.state.boards[event.instrument].tick = Quote(event.ts, event.instrument, bid, bid_size, ask, ask_size)
        self.state.now = event.ts
        for runner, callback, _ in self._listeners_of_books.get(event.instrument, ()):
            self._call(runner, callback, event)

    def _on_funding_rate(self, event: FundingRate) -> None:
        self.state.now = event.ts

    def _check(self, now: int) -> None:
        """Watch equity and timeouts on ticks, once a second; an observer hears of it."""
        self._check_at = now + SECOND_NS
        self.state.settle()
        self._watch(now)
        self.eventful = True

    def _call(self, runner: EventRunner, callback: _Callback, *datum: object) -> None:
        if runner.name in self._stopped:
            return
        try:
            self._act(runner.call(callback, *datum))
        except StrategyError as error:
            self._fail(runner.name, error)

    def _fail(self, strategy: str, error: StrategyError) -> None:
        if not self._isolate:
            raise error
        self._stopped.add(strategy)
        self._cancel_entries(strategy)
        self._note("error", "strategy_failed", f"{strategy} was stopped: {error}", strategy)

    def _note(self, level: str, code: str, text: str, strategy: str = "") -> None:
        self._tell(Notice(self.state.now, level, code, text, strategy))

    # --- intents

    def _act(self, intents: Iterable[Intent]) -> None:
        for intent in intents:
            self.eventful = True
            if isinstance(intent, OrderRequest):
                self._request(intent)
            elif isinstance(intent, Target):
                self._pursue(intent)
            elif isinstance(intent, CancelRequest):
                command = self.state.orders.cancel(intent, self.state.now)
                if command is not None:
                    self._commands.append(command)
            elif isinstance(intent, AmendRequest):
                self._amend(intent)
            elif isinstance(intent, Basket):
                self._intents.append(intent)
                standing = strictest(*map(self._standing, intent.requests))
                self._verdicts.extend(verdicts := self._gate.check_all(intent.requests, self.state, standing))
                for verdict in verdicts:
                    if isinstance(verdict, Approved):
                        self._send(verdict)
            elif isinstance(intent, TimerRequest):
                self._intents.append(intent)
            else:
                raise StrategyError(f"A strategy returned {intent!r}, which is not an intent.")

    def _request(self, request: OrderRequest) -> bool:
        self._intents.append(request)
        verdict = self._gate.check(request, self.state, self._standing(request))
        self._verdicts.append(verdict)
        if isinstance(verdict, Refused):
            return False
        self._send(verdict)
        return True

    def _standing(self, request: OrderRequest) -> Standing:
        if request.strategy in self._stopped:
            reason = f"{request.strategy} is stopped."
            return Standing(TradingState.HALTED, RefusalCode.STRATEGY_STOPPED, reason)
        if request.strategy in self._paused:
            reason = f"Entries of {request.strategy} are paused."
            return Standing(TradingState.REDUCING, RefusalCode.ENTRIES_PAUSED, reason)
        return self._breakers.state(request.strategy, request.instrument, self.state.now)

    def _send(self, approved: Approved) -> None:
        order_id = self._order_id(self._sequence)
        self._sequence += 1
        self._commands.append(self.state.orders.create(approved, order_id, self.state.now))
        self.exits.attached(order_id, approved.request)

    def _amend(self, intent: AmendRequest) -> None:
        order = self.state.orders.get(intent.order_id)
        if order is None or order.state.is_closed:
            return
        now = msgspec.structs.replace(order.request, quantity=order.remaining)
        wish = msgspec.structs.replace(
            now,
            quantity=now.quantity if intent.quantity is None else intent.quantity - order.filled,
            price=now.price if intent.price is None else intent.price,
            trigger=now.trigger if intent.trigger is None else intent.trigger,
        )
        verdict = self._gate.check(wish, self.state, self._standing(wish), replaces=now)
        if isinstance(verdict, Refused):
            self._verdicts.append(verdict)
            return
        command = self.state.orders.amend(intent, self.state.now)
        if command is not None:
            self._commands.append(command)

    def _pursue(self, target: Target) -> None:
        """Turn a wished position into orders: leave what points the other way, then enter, grow or shrink."""
        self._intents.append(target)
        self.eventful = True
        state = self.state
        instrument = state.instruments[target.instrument]
        position = state.position(target.strategy, target.instrument)
        price = to_decimal(target.price)
        wished = (target.strength > 0) - (target.strength < 0)
        held = _sign(position, instrument.lot)
        self._cancel_entries(target.strategy, target.instrument)
        if held and held != wished:
            self._leave(position, Purpose.SIGNAL, price, target.tag)
        if not wished:
            return
        quantity = size(state.strategies[target.strategy].sizing, target, state)
        current = abs(position.quantity) if held == wished else Decimal(0)
        side = Side.BUY if wished > 0 else Side.SELL
        if current and quantity < current:
            reduction = _order(target, side.opposite, current - quantity, price, Purpose.REBALANCE)
            self._request(msgspec.structs.replace(reduction, reduce_only=True, protection=None))
        elif not current or quantity > current:
            self._enter(target, side, quantity - current, price, Purpose.REBALANCE if current else Purpose.ENTRY)

    def _enter(self, target: Target, side: Side, quantity: Decimal, price: Decimal, purpose: Purpose) -> None:
        config = self.state.strategies[target.strategy]
        request = _order(target, side, quantity, price, purpose)
        if config.order_type == "limit":
            request = msgspec.structs.replace(
                request, type=OrderType.LIMIT, price=price, expire_after=config.entry_timeout
            )
        self._request(request)

    def _leave(self, position: Position, purpose: Purpose, price: Decimal, tag: str = "") -> None:
        instrument = self.state.instruments[position.instrument]
        leaving = any(
            order.request.reduce_only and order.request.type is OrderType.MARKET
            for order in self.state.orders.open(strategy=position.strategy, instrument=position.instrument)
        )
        request = exit_request(position, purpose, price, instrument)
        if request.quantity and not leaving:
            self._request(msgspec.structs.replace(request, tag=tag))

    def _cancel_entries(self, strategy: str = "", instrument: str | None = None) -> None:
        for order in tuple(self.state.orders.open(strategy=strategy or None, instrument=instrument)):
            if not order.request.reduce_only:
                self._act((CancelRequest(order.id),))

    # --- news about our account

    def _on_order_news(self, event: AccountEvent) -> None:
        self.state.now = max(self.state.now, event.ts)
        self.state.orders.apply(event)

    def _on_filled(self, event: OrderFilled) -> None:
        state = self.state
        state.now = max(state.now, event.ts)
        order = state.orders.get(event.fill.order_id)
        if order is not None:
            fill = msgspec.structs.replace(
                event.fill, strategy=order.request.strategy, purpose=self.exits.reason(order)
            )
            event = OrderFilled(event.ts, fill)
        if state.orders.apply(event) is None and order is not None:
            return
        fill = event.fill
        self.fills.append(fill)
        trip = state.portfolio.apply(event, tag=order.request.tag if order is not None else "")
        position = state.position(fill.strategy, fill.instrument)
        instrument = state.instruments[fill.instrument]
        request = order.request if order is not None else None
        self._act(self.exits.on_fill(position, request, fill.ts, instrument))
        if not _sign(position, instrument.lot):
            self._cancel_exits(fill.strategy, fill.instrument)
        if trip is not None:
            notice = self._breakers.on_round_trip(trip)
            if notice is not None:
                self._tell(notice)
        for runner in self.runners:
            if type(runner) is EventRunner and runner.name == fill.strategy and runner.hears("on_fill"):
                self._call(runner, runner.strategy.on_fill, fill)

    def _cancel_exits(self, strategy: str, instrument: str) -> None:
        for order in tuple(self.state.orders.open(strategy=strategy, instrument=instrument)):
            if order.request.reduce_only:
                self._act((CancelRequest(order.id),))

    def _on_rejected(self, event: OrderRejected) -> None:
        self._on_order_news(event)
        order = self.state.orders.get(event.order_id)
        if order is None:
            return
        request = order.request
        self._note("warning", "order_rejected", f"{request.instrument}: {event.reason}", request.strategy)
        if request.purpose in STOPS:
            # A position whose stop the venue will not hold is left at once rather than kept unprotected.
            position = self.state.position(request.strategy, request.instrument)
            price = self.state.price(request.instrument)
            if position.quantity and price is not None:
                self._leave(position, Purpose.STOP_LOSS, to_decimal(price))

    def _on_cash(self, event: FundingPaid | BalanceChanged) -> None:
        self.state.now = max(self.state.now, event.ts)
        self.state.portfolio.apply(event)
        if isinstance(event, BalanceChanged):
            before, self.equity = self.equity, self.state.portfolio.equity()
            self._breakers.on_external(self.equity - before)

    # --- timers and control

    def _on_timer(self, event: Timer) -> None:
        self.state.now = max(self.state.now, event.ts)
        for runner in self.runners:
            if isinstance(runner, EventRunner) and runner.name == event.strategy:
                self._call(runner, runner.strategy.on_timer, event)

    def _on_control(self, event: Control) -> None:
        self.state.now = max(self.state.now, event.ts)
        names = [name for name in self.state.strategies if event.strategy in ("", name)]
        if not names:
            self._note("error", "unknown_strategy", f"No strategy {event.strategy!r} runs here.")
        for name in names:
            self._control(event, name)
        if event.action is ControlAction.KILL:
            self._tell(self._breakers.kill(self.state.now, event.actor))
        elif event.action is ControlAction.RELEASE:
            self._tell(self._breakers.release(self.state.now, event.actor))

    def _control(self, event: Control, name: str) -> None:
        action = event.action
        if action is ControlAction.START:
            self._stopped.discard(name)
            for runner in self.runners:
                if isinstance(runner, EventRunner) and runner.name == name:
                    self._call(runner, runner.strategy.on_start)
        elif action in (ControlAction.STOP, ControlAction.PAUSE_ENTRIES, ControlAction.KILL):
            if action is ControlAction.STOP:
                self._stopped.add(name)
            elif action is ControlAction.PAUSE_ENTRIES:
                self._paused.add(name)
            self._cancel_entries(name)
        elif action is ControlAction.RESUME_ENTRIES:
            self._paused.discard(name)
        elif action is ControlAction.SET_PARAMETERS:
            for runner in self.runners:
                if runner.name == name:
                    runner.set_parameters(event.values)
        elif action is ControlAction.SET_ALLOCATION:
            self.state.allocations[name] = float(event.values["allocation"])
        if action is ControlAction.FLATTEN or (action is ControlAction.KILL and event.values.get("flatten")):
            self._flatten(name)

    def _flatten(self, strategy: str) -> None:
        self._cancel_entries(strategy)
        for position in self.state.portfolio.open_positions():
            price = self.state.price(position.instrument)
            if position.strategy == strategy and price is not None:
                self._leave(position, Purpose.FLATTEN, to_decimal(price))


def _sign(position: Position, lot: Decimal) -> int:
    quantity = position.quantity
    return 0 if abs(quantity) < lot else (quantity > 0) - (quantity < 0)


def _order(target: Target, side: Side, quantity: Decimal, price: Decimal, purpose: Purpose) -> OrderRequest:
    return OrderRequest(
        strategy=target.strategy,
        instrument=target.instrument,
        side=side,
        quantity=quantity,
        purpose=purpose,
        tag=target.tag,
        confidence=target.confidence,
        decision_price=price,
        protection=target.protection,
    )
