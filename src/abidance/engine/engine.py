"""`Engine.process(event) -> Outcome`: the one loop, the same in every mode.

Synchronous and deterministic: no I/O, no wall clock, no randomness. One step updates the state, lets strategies state
intents, lets risk answer, and turns approvals into commands. Callers hand in account events, timers and control ahead
of market data, so that a strategy always decides on a state that knows its own fills.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import chain
from math import inf
from typing import Any, get_args

from abidance.engine.actions import Actions
from abidance.engine.allocator import Allocator
from abidance.engine.board import Board
from abidance.engine.controls import Controls
from abidance.engine.lending import ACTIONS, Lending
from abidance.engine.news import News, OrderNews
from abidance.engine.runners import BarRunner, EventRunner, Runner
from abidance.engine.series import Series, Universe
from abidance.engine.state import State, bands, demand
from abidance.engine.vigil import NEVER, VIGIL, Vigil
from abidance.execution.algos import TIMER
from abidance.execution.orders import AnomalyCode
from abidance.kernel.ports import SimulatedVenue
from abidance.market.feed.stream import Lane, Passed, Watch
from abidance.model.errors import StrategyError
from abidance.model.event import (
    AccountAgreed,
    BalanceChanged,
    CircuitMoved,
    Control,
    DebtChanged,
    Event,
    FundingPaid,
    LoanTold,
    OrderFilled,
    RulesChanged,
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
from abidance.model.money import ZERO
from abidance.model.order import Fill
from abidance.model.outcome import Outcome
from abidance.risk.breaker import Breakers
from abidance.risk.feeds import LOST, delisted_text, loss_of
from abidance.risk.gate import Gate
from abidance.risk.state import Standing, TradingState, strictest
from abidance.strategy.base import View
from abidance.strategy.mistakes import FAILURES, strategy_error

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
        self.lending = Lending(state, self.actions, gate, order_id)
        self.news = News(state, self.actions, breakers, self.vigil, self._heed)
        self.fills = self.news.fills
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
            **dict.fromkeys(get_args(OrderNews), self.news.on_order),
            OrderFilled: self.news.on_filled,
            FundingPaid: self._on_cash,
            BalanceChanged: self._on_cash,
            AccountAgreed: self._on_agreed,
            DebtChanged: self.lending.on_debt,
            LoanTold: self.lending.on_told,
            VenueStatus: self.news.on_venue_status,
            CircuitMoved: self.news.on_circuit,
            RulesChanged: self._on_rules,
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

    def standing(self) -> Standing:
        """Return whether the run may take new risk: by its breakers, and by what is known of its accounts."""
        venues = dict.fromkeys(each.venue for each in self.state.instruments.values())
        return strictest(self.actions.standing(), self.state.feeds.standing(venues))

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
            self.actions.note("warning", LOST, loss_of(event))

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

    def _heed(self, fill: Fill) -> None:
        for runner in self._runners_of(fill.strategy):
            if isinstance(runner, EventRunner) and runner.hears("on_fill"):
                self._call(runner, runner.strategy.on_fill, fill)

    def _begin(self, runner: EventRunner) -> None:
        self._call(runner, runner.strategy.on_start)

    def _fail(self, strategy: str, error: StrategyError) -> None:
        if not self._isolate:
            raise error
        self.actions.stopped.add(strategy)
        self.actions.cancel_entries(strategy)
        self.actions.note("error", "strategy_failed", f"{strategy} was stopped: {error}", strategy)

    # --- money of the account

    def _on_cash(self, event: FundingPaid | BalanceChanged) -> None:
        state = self.state
        state.now = max(state.now, event.ts)
        if isinstance(event, BalanceChanged) and event.is_owners:
            state.portfolio.apply(event)
        elif isinstance(event, BalanceChanged):
            before = state.equity()
            if before:
                self._watch(
                    state.now
                )  # a loss that nobody has looked at yet is not to be thinned by new money
            state.portfolio.apply(event)
            self.equity = state.equity()
            self._breakers.on_external(self.equity - before)
        elif event.instrument in state.instruments:
            known = state.portfolio.unpriced.get(event.asset, ZERO)
            state.portfolio.apply(event)
            if (uncounted := state.portfolio.unpriced.get(event.asset, ZERO)) != known:
                self._tell_unpriced(event, uncounted)
        else:
            text = f"Funding of {event.instrument}, which this run does not hold, was passed over."
            self.actions.note("warning", AnomalyCode.ORPHAN.value, text)

    def _tell_unpriced(self, event: FundingPaid, uncounted: Decimal) -> None:
        """Tell of funding in an asset of which no price is known, each time: what it stands for is not known either."""
        asset, what = event.asset, "taken" if event.amount < 0 else "paid"
        text = (
            f"{abs(event.amount)} {asset} of funding of {event.instrument} were {what}, and nothing in this run says what"
            f" {asset} is worth: positions, equity and the limits on losses count it as nothing ({abs(uncounted)} {asset}"
            f" so far). Let the account settle in {self.state.instruments[event.instrument].quote}, or trade {asset} in"
            f" this run, so that it has a price."
        )
        self.actions.note("error", "funding_unpriced", text, event.strategy)

    # --- what venues demand

    def _on_rules(self, event: RulesChanged) -> None:
        """Ask for orders by the new rules from now on; what stands was taken by the old ones and stays."""
        self.state.now = max(self.state.now, event.ts)
        delisted, was = self.state.feeds.delisted, event.instrument in self.state.feeds.delisted
        if changed := demand(self.state, event):
            self.actions.note("warning", "rules_changed", f"{event.instrument}: {changed}.")
        since = delisted.get(event.instrument)
        if since is not None and not was:
            self.actions.note("error", "not_listed", delisted_text(event.instrument, since))
        elif since is None and was:
            self.actions.note("info", "listed_again", f"{event.instrument} is traded again.")

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

    def _on_agreed(self, event: AccountAgreed) -> None:
        self.state.now = max(self.state.now, event.ts)
        self.state.portfolio.owner.agreed(event)

    def _on_control(self, event: Control) -> None:
        self.state.now = max(self.state.now, event.ts)
        (self.lending if event.action in ACTIONS else self.controls).take(event)

    def _runners_of(self, name: str) -> list[Runner]:
        return [runner for runner in self.runners if runner.name == name]
