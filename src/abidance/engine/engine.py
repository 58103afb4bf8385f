"""`Engine.process(event) -> Outcome`: the one loop, the same in every mode.

Synchronous and deterministic: no I/O, no wall clock, no randomness. One step updates the state, lets strategies state
intents, lets risk answer, and turns approvals into commands. Callers hand in account events, timers and control ahead
of market data, so that a strategy always decides on a state that knows its own fills.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from math import inf
from typing import Any

import msgspec

from abidance.engine.actions import Actions, sign_of
from abidance.engine.allocator import Allocator
from abidance.engine.board import Board
from abidance.engine.controls import Controls
from abidance.engine.runners import BarRunner, EventRunner, Runner
from abidance.engine.series import Series, Universe
from abidance.engine.state import State, bands
from abidance.engine.vigil import NEVER, VIGIL, Vigil
from abidance.execution.algos import TIMER
from abidance.execution.exits import STOPS
from abidance.execution.orders import AnomalyCode
from abidance.kernel.ports import SimulatedVenue
from abidance.market.feed.stream import Lane, Passed, Watch
from abidance.model.command import Cancel
from abidance.model.errors import StrategyError
from abidance.model.event import (
    BalanceChanged,
    ChangeRejected,
    Control,
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
    VenueStatus,
)
from abidance.model.instrument import SECOND_NS, timeframe_ns
from abidance.model.intent import Intent
from abidance.model.market import (
    Anomaly,
    Bar,
    BarSlice,
    BookSnapshot,
    FeedStatus,
    FundingRate,
    MarkPrice,
    Quote,
    Trade,
)
from abidance.model.order import Fill, Order, Purpose
from abidance.model.outcome import Outcome
from abidance.portfolio.ledger import fill_ref
from abidance.portfolio.shares import is_forced, shared_fill
from abidance.risk.breaker import Breakers
from abidance.risk.gate import Gate
from abidance.risk.state import TradingState
from abidance.strategy.base import View
from abidance.strategy.mistakes import FAILURES, strategy_error

# Duplicates and what was overtaken are harmless; these are not.
_TOLD = frozenset(AnomalyCode) - {AnomalyCode.DUPLICATE, AnomalyCode.STALE}
_FOR_GOOD = STOPS | {Purpose.TAKE_PROFIT, Purpose.TIME}
OrderNews = (
    OrderAccepted
    | OrderRejected
    | OrderUnknown
    | OrderAbandoned
    | OrderCancelled
    | OrderExpired
    | OrderAmended
    | ChangeRejected
)
_Callback = Callable[..., Iterable[Intent] | None]
_Callbacks = dict[str, list[tuple[EventRunner, _Callback, View]]]


class Engine:
    """The decision core of one run.

    `order_id` makes the client order id of the n-th order. Without an `allocator` the strategies keep their shares.
    With `isolate`, a strategy that fails is stopped with a notice and the others go on; without it the error is raised.
    """

    def __init__(
        self,
        state: State,
        gate: Gate,
        breakers: Breakers,
        order_id: Callable[[int], str],
        allocator: Allocator | None = None,
        *,
        isolate: bool,
    ) -> None:
        self.state = state
        self.actions = Actions(state, gate, breakers, order_id)
        self.exits = self.actions.exits
        self.runners: list[Runner] = []
        self.vigil = Vigil(state, self.actions)
        self.controls = Controls(state, self.actions, breakers, gate, self.runners, self._begin, self.vigil)
        self.fills: list[Fill] = []
        self.equity = 0.0
        self._breakers = breakers
        self._isolate = isolate
        self._allocator = allocator
        self._allocate_at = NEVER if allocator is None else allocator.due
        self._check_at = self._beat_at = 0
        self._noted = False
        self._followed: dict[tuple[str, str], list[Runner]] = {}
        self._listeners: dict[type, _Callbacks] = {Trade: {}, Quote: {}}
        self._listeners_of_books: _Callbacks = {}
        self.handlers: dict[type, Callable[..., None]] = {
            BarSlice: self._on_slice,
            Trade: self._on_tick,
            Quote: self._on_tick,
            BookSnapshot: self._on_book,
            FundingRate: self._on_funding_rate,
            MarkPrice: self._on_mark,
            FeedStatus: self._on_feed_status,
            Anomaly: self._on_anomaly,
            OrderAccepted: self._on_order_news,
            OrderUnknown: self._on_order_news,
            OrderAbandoned: self._on_order_news,
            OrderCancelled: self._on_order_news,
            OrderExpired: self._on_order_news,
            OrderAmended: self._on_order_news,
            ChangeRejected: self._on_order_news,
            OrderFilled: self._on_filled,
            OrderRejected: self._on_order_news,
            FundingPaid: self._on_cash,
            BalanceChanged: self._on_cash,
            VenueStatus: self._on_venue_status,
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
        for home in (runner.instrument,) if isinstance(runner, BarRunner) else runner.instruments:
            for id in self.actions.routes.members(home)[1:]:
                self._followed.setdefault((id, runner.config.timeframe), []).append(runner)
        self.state.feeds.references[runner.name] = tuple(runner.strategy.references)
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
        return self.actions.outcome(event)

    # --- market data

    def _on_slice(self, event: BarSlice) -> None:
        state = self.state
        now = self._begun(event.ts)
        known, boards, mark, on_bar = state.series, state.boards, state.portfolio.mark, self._breakers.on_bar
        for bar in event.bars:
            instrument = bar.instrument
            series = known[instrument, bar.timeframe]
            series.append(bar)
            if series.drives:
                close = bar.close
                # Live, a tick may be newer than the bar that has just closed.
                if 0.0 < close < inf and (board := boards[instrument]).ts <= now:
                    board.price = close
                    board.ts = now
                    mark(instrument, close)
                notice = on_bar(bar)
                if notice is not None:
                    self.actions.tell(notice)
        self._watch(now)
        if self.actions.owed or self._followed:
            self._look_after(event)
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

    def _begun(self, now: int) -> int:
        """Take over what ticks have said before a slice."""
        if self._noted:
            self._noted = False
            self.state.settle()
        self.state.now = now
        return now

    def _watch(self, now: int) -> None:
        state = self.state
        self.equity = equity = state.portfolio.equity()
        notice = self._breakers.on_equity(now, equity)
        if notice is not None:
            self.actions.tell(notice)
            if self._breakers.state("", "", now).state is not TradingState.ACTIVE:
                for name in state.strategies:
                    self.actions.cancel_entries(name)
        due = state.orders.due(now)
        if due:
            self.actions.send(due)
        if now >= self._allocate_at:
            self._allocate(now)

    def _allocate(self, now: int) -> None:
        if self._allocator is not None:
            notice = self._allocator.on_moment(now, self.fills)
            self._allocate_at = self._allocator.due
            if notice is not None:
                self.actions.tell(notice)

    def _run(self, runner: BarRunner, bar: Bar) -> None:
        if runner.name in self.actions.stopped:
            return
        try:
            target = runner.on_bar(bar)
        except StrategyError as error:
            self._fail(runner.name, error)
            return
        if target is not None:
            self.actions.pursue(target)

    def _protect(self, strategy: str, bar: Bar, runner: BarRunner | None) -> None:
        if self.exits.plan(strategy, bar.instrument) is None:
            return
        trailing = None
        if runner is not None and strategy not in self.actions.stopped:
            try:
                trailing = runner.trailing()
            except StrategyError as error:
                self._fail(strategy, error)
        position = self.state.position(strategy, bar.instrument)
        self.actions.act(self.exits.on_bar(bar, position, trailing, self.state.instruments[bar.instrument]))

    def _look_after(self, event: BarSlice) -> None:
        """Leave what is owed, and look after positions at venues to which entries were routed."""
        self.actions.leave_owed()
        for bar in event.bars:
            for runner in self._followed.get((bar.instrument, bar.timeframe), ()):
                self._protect(runner.name, bar, runner if isinstance(runner, BarRunner) else None)

    def coast(self, first: Any, source: Iterator[Any], seen: dict[str, Trade | Quote | BookSnapshot]) -> Any:
        """Take ticks from `source`, starting with `first`, for as long as they lead to nothing.

        Return the event that ended it: an eventful tick, already taken (`eventful` is set), or an event of another
        kind, not taken. `seen` receives the newest tick of each instrument. When the source ends the last tick is
        returned, taken. The same as one call per tick, at a quarter of the cost.
        """
        state, boards, actions = self.state, self.state.boards, self.actions
        self._noted = True
        kind: Any = None
        instrument = ""
        board, heard = Board(), list[tuple[EventRunner, _Callback, View]]()
        event, newest, check_at = first, first, self._check_at
        for event in chain((first,), source):
            if type(event) is not kind or event.instrument is not instrument:
                if instrument:
                    seen[instrument] = newest
                kind = type(event)
                table = self._listeners.get(kind)
                if table is None:
                    return event
                instrument = event.instrument
                board = boards[instrument]
                board.keep()
                heard = [each for each in table.get(instrument, ()) if each[0].name not in actions.stopped]
            state.now = now = event.ts
            board.tick = newest = event
            if now >= check_at:
                self._check(now)
                check_at = self._check_at
            for runner, callback, view in heard:
                try:
                    wished = callback(event, view)
                    if wished is not None:
                        wished = runner.checked(wished)
                except FAILURES as error:
                    self._fail(runner.name, strategy_error(runner.strategy, error, callback.__name__))
                else:
                    if wished is not None:
                        actions.act(wished)
            if actions.eventful:
                break
        seen[instrument] = newest
        return event

    # --- ticks that nobody notices

    def watch(self, lanes: Sequence[Lane], venue: SimulatedVenue, until: int) -> Watch:
        """Return what about ticks of `lanes`, before `until`, could be noticed here or at the venue."""
        reach = [
            (0.0, inf, 0) if self._hears(each) else venue.reach(each.kind, each.instrument) for each in lanes
        ]
        check_until, exposed = min(self._beat_at, self._allocate_at), self.state.is_exposed
        found: dict[str, tuple[float, float]] | None = {}
        if exposed:
            floor, peak, midnight = self._breakers.room
            due = self.state.orders.next_due
            check_until = min(check_until, midnight, NEVER if due is None else due)
            found = bands(self.state, floor, peak)
        if found is None:
            check_until = 0
        return Watch(until, reach, self._check_at, check_until, SECOND_NS, found or {}, exposed)

    def _hears(self, lane: Lane) -> bool:
        table = self._listeners.get(lane.kind, self._listeners_of_books)
        return any(runner.name not in self.actions.stopped for runner, _, _ in table.get(lane.instrument, ()))

    def pass_over(self, passed: Passed) -> None:
        """Take ticks that a `watch` let pass as if they had come one by one."""
        state = self.state
        if passed.checked_at >= 0:
            for tick in passed.seen:
                self._note(tick)
            state.now, self._check_at = passed.checked_at, passed.check_at
            if passed.seen:
                state.settle()
                self._watch(state.now)
        for tick in passed.since:
            self._note(tick)
        state.now = passed.newest[-1].ts

    def _note(self, event: Trade | Quote | BookSnapshot) -> None:
        self._noted = True
        self.state.boards[event.instrument].note(event)

    def _on_tick(self, event: Trade | Quote) -> None:
        self.coast(event, iter(()), {})

    def _on_book(self, event: BookSnapshot) -> None:
        self._note(event)
        self.state.now = event.ts
        if event.ts >= self._check_at:
            self._check(event.ts)
        for runner, callback, _ in self._listeners_of_books.get(event.instrument, ()):
            self._call(runner, callback, event)

    def _on_funding_rate(self, event: FundingRate) -> None:
        self.state.now = event.ts

    def _on_mark(self, event: MarkPrice) -> None:
        self.state.now = event.ts
        self.state.feeds.marks[event.instrument] = event

    def _on_feed_status(self, event: FeedStatus) -> None:
        state = self.state
        state.now = max(state.now, event.ts)
        if state.feeds.take(event) and event.instrument in state.instruments:
            how = "another venue's data is used" if event.suffices else "no new risk"
            text = (
                f"{event.instrument}: {how} while its stream of {event.kind} is {event.state}. {event.reason}"
            )
            self.actions.note("warning", "feed_not_certified", text.rstrip())

    def _on_anomaly(self, event: Anomaly) -> None:
        state = self.state
        state.now = max(state.now, event.ts)
        lengths = [timeframe_ns(timeframe) for id, timeframe in state.series if id == event.instrument]
        notice = self._breakers.on_anomaly(event, min(lengths, default=60 * SECOND_NS))
        if notice is not None:
            self.actions.tell(notice)

    def _check(self, now: int) -> None:
        """Watch equity and timeouts on ticks once a second while anything is at stake; observers hear once a minute."""
        self._check_at = now + SECOND_NS
        if self.state.is_exposed or now >= self._allocate_at:
            self.state.settle()
            self._watch(now)
        if now >= self._beat_at:
            self._beat_at = now + 60 * SECOND_NS
            self.actions.eventful = True

    def _call(self, runner: EventRunner, callback: _Callback, *datum: object) -> None:
        if runner.name in self.actions.stopped:
            return
        try:
            self.actions.act(runner.call(callback, *datum))
        except StrategyError as error:
            self._fail(runner.name, error)

    def _begin(self, runner: EventRunner) -> None:
        self._call(runner, runner.strategy.on_start)

    def _fail(self, strategy: str, error: StrategyError) -> None:
        if not self._isolate:
            raise error
        self.actions.stopped.add(strategy)
        self.actions.cancel_entries(strategy)
        self.actions.note("error", "strategy_failed", f"{strategy} was stopped: {error}", strategy)

    # --- news about our account

    def _on_order_news(self, event: OrderNews) -> None:
        state = self.state
        state.now = max(state.now, event.ts)
        was_asked = isinstance(state.orders.change_of(event.order_id), Cancel)
        order = state.orders.apply(event)
        self._tell_anomalies()
        if order is None:
            if type(event) is ChangeRejected:
                self.actions.forget(event.order_id)
            return
        request = order.request
        if type(event) is OrderRejected:
            text = f"{request.instrument}: {event.reason}"
            self.actions.note("warning", "order_rejected", text, request.strategy)
            self.actions.failed(request)
            self.actions.reroute(order)
        elif isinstance(event, OrderAccepted | OrderUnknown):
            self.actions.routes.heard(order, event)
        self._follow_up(order, was_asked=was_asked)
        self.vigil.note(request.strategy, request.instrument)

    def _follow_up(self, order: Order, *, was_asked: bool) -> None:
        """Do what follows from where an order stands now."""
        request, state = order.request, self.state
        if self.actions.succeed(order):
            return
        self.actions.on_part(order)
        if not order.state.is_closed:
            if self.exits.plan(request.strategy, request.instrument) is not None:
                position = state.position(request.strategy, request.instrument)
                self.actions.act(self.exits.standing(position, state.instruments[request.instrument]))
        elif request.purpose in STOPS and request.trigger is not None and self.exits.armed and not was_asked:
            self.vigil.lost(order)
        elif request.expire_after is not None and not request.reduce_only and order.remaining > 0:
            self.actions.replace(order)

    def _tell_anomalies(self) -> None:
        for anomaly in self.state.orders.take_anomalies():
            if anomaly.code in _TOLD:
                self.actions.note(
                    "warning", anomaly.code.value, f"{anomaly.text} (order {anomaly.order_id})."
                )

    def _on_filled(self, event: OrderFilled) -> None:
        state = self.state
        state.now = max(state.now, event.ts)
        order = state.orders.get(event.fill.order_id)
        if order is None and not self._is_ours(event.fill):
            return
        if order is None and is_forced(event.fill, state.strategies):
            for part in shared_fill(event.fill, state.portfolio.positions_of(event.fill.instrument)):
                self._book(OrderFilled(event.ts, part), None)
        else:
            self._book(event, order)

    def _book(self, event: OrderFilled, order: Order | None) -> None:
        """Take a fill into our books, and do what follows from it."""
        state = self.state
        stray = order is not None and self._is_taken_back(order)
        if order is not None:
            fill = msgspec.structs.replace(
                event.fill, strategy=order.request.strategy, purpose=self.exits.reason(order)
            )
            event = OrderFilled(event.ts, fill)
        applied = state.orders.apply(event)
        if order is None and event.fill.purpose is Purpose.LIQUIDATION:
            state.orders.take_anomalies()
            text = f"The venue itself closed a position in {event.fill.instrument} at {event.fill.price}."
            self.actions.note("error", "liquidated", text, event.fill.strategy)
        self._tell_anomalies()
        if applied is None and order is not None:
            return
        fill = event.fill
        self.fills.append(fill)
        trip = state.portfolio.apply(event, tag=order.request.tag if order is not None else "")
        position = state.position(fill.strategy, fill.instrument)
        instrument = state.instruments[fill.instrument]
        request = order.request if order is not None else None
        self.actions.act(self.exits.on_fill(position, request, fill.ts, instrument))
        if not sign_of(position, instrument.lot):
            self.actions.cancel_exits(fill.strategy, fill.instrument)
        elif stray and self.actions.aims.get((fill.strategy, fill.instrument), 2) not in (
            2,
            sign_of(position, instrument.lot),
        ):
            self.actions.leave(position, Purpose.SIGNAL, fill.price)
        if request is not None and request.purpose in _FOR_GOOD:
            self.actions.left_for_good(fill.strategy, fill.instrument)
        self.vigil.note(fill.strategy, fill.instrument)
        if trip is not None:
            notice = self._breakers.on_round_trip(trip)
            if notice is not None:
                self.actions.tell(notice)
                self.actions.cancel_entries(fill.strategy)
        self.actions.on_part(applied)
        for runner in self._runners_of(fill.strategy):
            if isinstance(runner, EventRunner) and runner.hears("on_fill"):
                self._call(runner, runner.strategy.on_fill, fill)

    def _is_ours(self, fill: Fill) -> bool:
        """Say whether a fill of no order of ours is to be booked: once, in an instrument of the run."""
        if fill_ref(fill) in self.state.portfolio.ledger:
            return False
        if fill.instrument in self.state.instruments:
            return True
        text = f"A fill of {fill.instrument}, which this run does not hold, was passed over."
        self.actions.note("warning", AnomalyCode.ORPHAN.value, text)
        return False

    def _is_taken_back(self, order: Order) -> bool:
        """Say whether we had asked for an entry to be cancelled, or knew it to be, before it filled."""
        change = self.state.orders.change_of(order.id)
        return not order.request.reduce_only and (order.state.is_closed or isinstance(change, Cancel))

    def _on_cash(self, event: FundingPaid | BalanceChanged) -> None:
        state = self.state
        state.now = max(state.now, event.ts)
        if isinstance(event, BalanceChanged):
            before = state.equity()
            if before:
                self._watch(
                    state.now
                )  # a loss that nobody has looked at yet is not to be thinned by new money
            state.portfolio.apply(event)
            self.equity = state.equity()
            self._breakers.on_external(self.equity - before)
        elif event.instrument in state.instruments:
            state.portfolio.apply(event)
        else:
            text = f"Funding of {event.instrument}, which this run does not hold, was passed over."
            self.actions.note("warning", AnomalyCode.ORPHAN.value, text)

    def _on_venue_status(self, event: VenueStatus) -> None:
        state = self.state
        state.now = max(state.now, event.ts)
        before = state.feeds.venues.get(event.venue)
        state.feeds.venues[event.venue] = event
        if event.reasons and event.reasons != (before.reasons if before else ()):
            self.actions.note(
                "warning", "venue_not_trusted", f"Only exits at {event.venue}: {' '.join(event.reasons)}"
            )
        elif event.is_trusted and before is not None and before.reasons:
            self.actions.note("info", "venue_trusted", f"{event.venue} may be traded on again.")

    # --- timers and control

    def _on_timer(self, event: Timer) -> None:
        self.state.now = max(self.state.now, event.ts)
        if event.name.startswith(TIMER):
            self.actions.act(self.actions.algos.on_timer(event.name))
            return
        if not event.strategy and event.name == VIGIL:
            self.vigil.look()
        for runner in self._runners_of(event.strategy):
            if isinstance(runner, EventRunner):
                self._call(runner, runner.strategy.on_timer, event)

    def _on_control(self, event: Control) -> None:
        self.state.now = max(self.state.now, event.ts)
        self.controls.take(event)

    def _runners_of(self, name: str) -> list[Runner]:
        return [runner for runner in self.runners if runner.name == name]
