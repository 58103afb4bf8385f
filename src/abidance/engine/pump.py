"""Drive an engine and a simulated venue through events, in the one order that every mode keeps.

For each market event: record it, let due timers fire, let the venue say what the event did to our orders (each answer
is recorded and processed, and its commands reach the venue, before the next one), then let the engine decide on it.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator

from abidance.engine.engine import Engine
from abidance.engine.vigil import NEVER, VIGIL
from abidance.kernel.ports import JournalStore, SimulatedVenue
from abidance.market.feed.stream import TickStream
from abidance.model.event import AccountEvent, Control, Event, Timer
from abidance.model.intent import TimerRequest
from abidance.model.market import BarSlice, BookSnapshot, FundingRate, MarketEvent, Quote, Trade
from abidance.model.outcome import Outcome

Observer = Callable[[Outcome], None]
DueTimer = tuple[int, str, str]
"""When a timer is due (ns UTC), whose it is, and its name."""
_WORTH_IT, _MOST = 64, 1_024


class Pump:
    """One engine, one simulated venue, optionally a journal and an observer of all outcomes."""

    def __init__(
        self,
        engine: Engine,
        venue: SimulatedVenue,
        journal: JournalStore | None = None,
        observe: Observer | None = None,
        timers: Iterable[DueTimer] = (),
    ) -> None:
        self.engine = engine
        self.venue = venue
        self.answered: MarketEvent | None = None
        """The market event to which the venue answers just now, for as long as the engine has not taken it itself."""
        self._journal = journal
        self._observe = observe
        self._timers: list[DueTimer] = list(timers)

    @property
    def timers(self) -> tuple[DueTimer, ...]:
        """Return the timers that are not due yet, the next one first."""
        return tuple(self._timers)

    def run(self, events: Iterable[MarketEvent]) -> None:
        """Take market events until they end."""
        if self._journal is not None:
            for event in events:
                self.market(event)
            return
        if isinstance(events, TickStream):
            self._run_stream(events)
        else:
            self._through(iter(events))

    def _run_stream(self, stream: TickStream) -> None:
        """Take a stream to its end, and pass over what nobody notices: the same outcomes at a fraction of the cost."""
        size = 1
        while True:
            passed = stream.skip(self.engine.watch(stream.lanes, self.venue, self._due))
            if passed is not None:
                self.venue.pass_over(passed.newest)
                self.engine.pass_over(passed)
            # Where little can be passed over, looking costs more than taking.
            size = 1 if passed is not None and passed.count >= _WORTH_IT else min(2 * size, _MOST)
            batch = stream.take(size)
            if not batch:
                return
            self._through(iter(batch))

    def _through(self, source: Iterator[MarketEvent]) -> None:
        engine, venue, vigil = self.engine, self.venue, self.engine.vigil
        handlers, advance = engine.handlers, self._advance
        for event in source:
            kind = type(event)
            is_timed = self._timers or vigil.due != NEVER
            taken = (kind is Trade or kind is Quote) and not is_timed and venue.is_idle
            if taken:
                event = engine.coast(event, source, venue.seen)
                kind = type(event)
                taken = kind is Trade or kind is Quote
            if not taken:
                if is_timed:
                    self._fire(event.ts)
                advance(event)
                handlers[kind](event)
            # A tick that led to nothing is not worth an object: thousands pass between two that did.
            if engine.actions.eventful or kind is BarSlice or kind is FundingRate:
                self._conclude(event)

    def market(self, event: MarketEvent) -> None:
        """Take one market event."""
        self._fire(event.ts)
        if self._journal is not None:
            self._journal.append(event, deferred=True)
        self._advance(event)
        if self._journal is not None:
            self._journal.handled()
        self._step(event)

    def _advance(self, event: MarketEvent) -> None:
        for news in self.venue.advance(event):
            self.answered = event
            self.step(news)
        self.answered = None

    def wake(self, now: int) -> None:
        """Let timers fire that are due by `now` (ns UTC): in a quiet market nothing else would."""
        self._fire(now)

    def step(self, event: AccountEvent | Control | Timer) -> None:
        """Take an answer about our account, an order from outside, or a due timer."""
        if self._journal is not None:
            self._journal.append(event)
        self._step(event)

    def _step(self, event: Event) -> None:
        self.engine.handlers[type(event)](event)
        if self.engine.actions.eventful or not isinstance(event, Trade | Quote | BookSnapshot):
            self._conclude(event)

    def _conclude(self, event: Event) -> None:
        outcome = self.engine.actions.outcome(event)
        if self._journal is not None and (decided := outcome.decided(self.engine.state.now)) is not None:
            self._journal.append(decided)
        if self._journal is not None and outcome.commands:
            self._journal.sync()  # before anything else, so that a disk may work while we go on
        if self._observe is not None:
            self._observe(outcome)
        if outcome.intents or outcome.commands:
            self._follow(outcome)

    def _follow(self, outcome: Outcome) -> None:
        for intent in outcome.intents:
            if type(intent) is TimerRequest:
                heapq.heappush(self._timers, (intent.ts, intent.strategy, intent.name))
        if outcome.commands:
            for news in self.venue.execute(outcome.commands):
                self.step(news)

    @property
    def _due(self) -> int:
        """Return when the next timer is due."""
        return min(self._timers[0][0] if self._timers else NEVER, self.engine.vigil.due)

    def _fire(self, ts: int) -> None:
        while (due := self._due) <= ts:
            if self.engine.vigil.due == due:
                self.step(Timer(due, VIGIL))
            else:
                _, strategy, name = heapq.heappop(self._timers)
                self.step(Timer(due, name, strategy))
