"""The state of a run, rebuilt from its journal alone: no strategy code runs and nothing is decided here.

Owns the order in which recorded events change prices, orders, holdings and breakers, which is the engine's order, with
the engine's own parts. What the engine decided is not worked out again but read from the record (`Decided`), so that a
replica can follow a bot from another process. Besides the state it keeps what explains it: each decision with what led
to it, each order's life, refusals, notices, the equity curve.
"""

from array import array
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from operator import attrgetter
from typing import NamedTuple

import msgspec
from pydantic import ValidationError

from abidance.engine.allocator import Allocator
from abidance.engine.state import State, demand
from abidance.engine.vigil import Bareness, Place, read_bare
from abidance.execution.orders import Orders
from abidance.journal.record import Record, RunHeader
from abidance.model.account import OWNER, Position, RoundTrip
from abidance.model.command import Amend, Cancel, Command, Submit
from abidance.model.errors import JournalError, UsageError
from abidance.model.event import (
    AccountAgreed,
    AccountEvent,
    BalanceChanged,
    CircuitMoved,
    Control,
    ControlAction,
    DebtChanged,
    FundingPaid,
    OrderFilled,
    RulesChanged,
    Timer,
    VenueStatus,
)
from abidance.model.instrument import SECOND_NS, Instrument, timeframe_ns
from abidance.model.intent import AmendRequest, CancelRequest, Target
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
from abidance.model.outcome import Approved, Decided, Notice, Recorded, Refused
from abidance.portfolio.ledger import Entry, Ledger, fill_ref
from abidance.portfolio.portfolio import Portfolio
from abidance.portfolio.shares import is_forced, shared_fill
from abidance.risk.breaker import Breakers
from abidance.risk.limiting import changed
from abidance.risk.state import Standing, strictest
from abidance.run.config import RunConfig
from abidance.run.curve import Curve, Point
from abidance.run.lives import Decision, Lives, Occasion, Step
from abidance.run.provenance import Provenance
from abidance.run.setup import cost_rate
from abidance.run.shelf import Groups, Rows, Shelf, Shelved
from abidance.run.trips import Trips

KEPT_BARS, KEPT_CHANGES = 5_000, 20_000
_MINUTE = 60 * SECOND_NS
_NEVER = 2**63 - 1


Told = (
    Order | Fill | Position | RoundTrip | Notice | Refused | Standing | Point | Bar | Control | FeedStatus
    | VenueStatus | CircuitMoved | RulesChanged | FundingPaid | BalanceChanged | DebtChanged
)  # fmt: skip


class Change(NamedTuple):
    """One thing that became different: `number` counts from 1 and is the same whenever the journal is read."""

    number: int
    ts: int
    what: Told


class Replica:
    """What a run's engine knows and what it has done, as far as records have been taken; hand it each record once.

    However long the run, memory holds the newest rows of each list; the rest lies on `shelf`, which `close` ends.
    """

    def __init__(self, header: RunHeader, shelf: Shelf | None = None) -> None:
        self._shelf = shelf = Shelf() if shelf is None else shelf
        self.header = header
        self.config = _config(header)
        strategies = {each.name: each for each in self.config.strategies}
        instruments = {each.id: each for each in header.instruments}
        self.fills: Rows[Fill] = shelf.rows(Fill, attrgetter("ts"))
        self.entries: Rows[Entry] = shelf.rows(Entry, attrgetter("ts"))
        self.sent: Rows[Order] = shelf.rows(Order, attrgetter("ts_intent"))
        self.trips = Trips(shelf)
        self.portfolio = Portfolio(
            instruments,
            self.config.currency,
            {name: each.leverage for name, each in strategies.items()},
            Ledger(Groups(self.entries, shelf.places(), lambda entry: entry.ref)),
            self.trips,
        )
        self._order_places, fill_places = shelf.places(), shelf.places()
        self.orders = Orders(Shelved(self.sent, self._order_places), Shelved(self.fills, fill_places))
        rates = {id: cost_rate(self.config.venue_of(each.venue)) for id, each in instruments.items()}
        self.state = State(instruments, strategies, self.portfolio, self.orders, rates)
        self.breakers = Breakers(self.config.risk.breakers)
        self.limits = self.config.risk.limits
        self.stopped = set(strategies)
        self.failures: dict[str, str] = {}
        """Why strategies were stopped that nobody has started again, by name."""
        self.paused: set[str] = set()
        self.parameters = {name: dict(each.parameters) for name, each in strategies.items()}
        self._earlier = dict(self.parameters)
        self.equity, self.seq = 0.0, 0
        self.line = Curve()
        self.curve = (self.line.ts, self.line.equity, self.line.exposure)
        self.external: list[tuple[int, float]] = []  # what came from outside, in currency: it is no profit
        self.bars: dict[tuple[str, str], deque[Bar]] = {}
        self.decisions: Rows[Decision] = shelf.rows(Decision)
        self.refusals: Rows[tuple[int, int, Refused]] = shelf.rows(tuple[int, int, Refused])
        self.refused: Counter[str] = Counter()
        self.closed: dict[tuple[str, str], array[int]] = {}
        self.notices: Rows[Notice] = shelf.rows(Notice)
        self.told: Counter[str] = Counter()
        self.bare: dict[Place, Bareness] = {}
        """How long positions stood without their whole stops, by strategy and instrument."""
        self.controls: list[tuple[int, Control]] = []
        self.changes: deque[Change] = deque(maxlen=KEPT_CHANGES)
        self.count = 0
        self.lives = Lives(shelf, self.decisions, self.fills, self._order_places, fill_places)
        self._seen: dict[str, BarSlice | Trade | Quote | BookSnapshot] = {}
        self._provenance = Provenance(self.orders, instruments)
        self._allocator: Allocator | None = None
        self._drive = _drive(self.config)
        self._venues = _venues(self.config, instruments)
        self._held: Recorded | None = None
        self._last: Recorded | None = None
        self._noted = False
        self._check_at = self._next_point = 0
        self._standing = self.standing()
        self._takers = self._takers_of_each()

    def _takers_of_each(self) -> dict[type, object]:
        """Return what takes each kind of event; the rest is news of orders."""
        return {
            BarSlice: self._on_slice,
            **dict.fromkeys((Trade, Quote, BookSnapshot), self._on_tick),
            MarkPrice: self._on_mark,
            **dict.fromkeys((FundingRate, Timer), self._on_moment),
            FeedStatus: self._on_feed,
            Anomaly: self._on_anomaly,
            OrderFilled: self._on_filled,
            **dict.fromkeys((BalanceChanged, FundingPaid, DebtChanged), self._on_cash),
            AccountAgreed: self._on_agreed,
            VenueStatus: self._on_venue,
            CircuitMoved: self._on_circuit,
            RulesChanged: self._on_rules,
            Control: self._on_control,
            Decided: self._on_decided,
        }

    def close(self) -> None:
        """Let go of what is not in memory."""
        self._shelf.close()

    # --- taking records

    def take(self, records: Iterable[Record]) -> None:
        """Take the next records, in the order in which their events were handled."""
        for record in records:
            self.seq = record.seq
            if record.deferred:
                self._flush()
                self._held = record.event
            elif record.event is not None:
                self._handle(record.event)
            else:
                self._flush()

    def _flush(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._handle(held)

    def _handle(self, event: Recorded) -> None:
        taker = self._takers.get(type(event), self._on_news)
        taker(event)  # type: ignore[operator]
        if type(event) is not Decided:
            self._last = event
        standing = self.standing()
        if standing != self._standing:
            self._standing = standing
            self._tell(standing)

    def _tell(self, what: Told, ts: int | None = None) -> None:
        self.count += 1
        self.changes.append(Change(self.count, self.state.now if ts is None else ts, what))

    # --- what is known

    def standing(self, strategy: str = "") -> Standing:
        """Return whether the run as a whole, or a strategy wherever it trades, may take new risk."""
        breakers = self.breakers.state(strategy, "", self.state.now)
        return strictest(breakers, self.state.feeds.standing(self._venues[strategy]))

    def resting(self) -> tuple[list[int], list[Order]]:
        """Return the orders that may still fill, oldest first, and where each stands among all that were sent."""
        found = {self._order_places.get(each.id): each for each in self.orders.open()}
        places = sorted(at for at in found if at is not None)
        return places, [found[at] for at in places]

    def purpose(self, order: Order) -> Purpose:
        """Return why an order stands: a stop that was moved is a trailing one, or one at break-even."""
        return self._provenance.reason(order)

    def since(self, number: int) -> list[Change] | None:
        """Return the changes after one, None when they are no longer known: then everything must be read anew."""
        if number > self.count:
            return None
        first = self.changes[0].number if self.changes else self.count + 1
        if number + 1 < first:
            return None
        wanted = self.count - number
        return [self.changes[at] for at in range(len(self.changes) - wanted, len(self.changes))]

    def points(self) -> Iterator[Point]:
        """Yield the equity curve, oldest first."""
        return iter(self.line)

    # --- market data, as the engine takes it

    def _on_slice(self, event: BarSlice) -> None:
        state = self.state
        if self._noted:
            self._noted = False
            state.settle()
        now = state.now = event.ts
        for bar in event.bars:
            self.bars.setdefault((bar.instrument, bar.timeframe), deque(maxlen=KEPT_BARS)).append(bar)
            if self._drives(bar):
                self._seen[bar.instrument] = BarSlice(now, (bar,))
                board = state.boards[bar.instrument]
                if 0.0 < bar.close < float("inf") and board.ts <= now:
                    board.price, board.ts = bar.close, now
                    self.portfolio.mark(bar.instrument, bar.close)
                self.breakers.on_bar(bar)
            self._tell(bar)
        self._watch(now)
        self._point(now)

    def _drives(self, bar: Bar) -> bool:
        """Say whether a bar gives its instrument's price: the shortest does; of what is only looked at, bars tell."""
        known = self._drive.get(bar.instrument)
        if known is None or timeframe_ns(bar.timeframe) < timeframe_ns(known):
            known = self._drive[bar.instrument] = bar.timeframe
        return known == bar.timeframe

    def _on_tick(self, event: Trade | Quote | BookSnapshot) -> None:
        state, now = self.state, event.ts
        state.boards[event.instrument].note(event)
        self._seen[event.instrument] = event
        self._noted = True
        state.now = now
        if now < self._check_at:
            return
        self._check_at = now + SECOND_NS
        due = _NEVER if self._allocator is None else self._allocator.due
        if state.is_exposed or now >= due:
            state.settle()
            self._watch(now)
        if now >= self._next_point:
            self._next_point = now + _MINUTE
            self._point(now)

    def _watch(self, now: int) -> None:
        self.equity = self.portfolio.equity()
        self.breakers.on_equity(now, self.equity)
        if self._allocator is not None and now >= self._allocator.due:
            self._allocator.on_moment(now, self.fills)

    def _point(self, ts: int) -> None:
        exposure = self.portfolio.exposure() / self.equity if self.equity > 0 else 0.0
        point = Point(ts, self.equity, exposure)
        self.line.put(point)
        self._tell(point)

    def _on_mark(self, event: MarkPrice) -> None:
        self.state.now = event.ts
        self.state.feeds.marks[event.instrument] = event

    def _on_moment(self, event: FundingRate | Timer) -> None:
        self.state.now = max(self.state.now, event.ts)

    def _on_feed(self, event: FeedStatus) -> None:
        self.state.now = max(self.state.now, event.ts)
        self.state.feeds.take(event)
        self._tell(event)

    def _on_anomaly(self, event: Anomaly) -> None:
        self.state.now = max(self.state.now, event.ts)
        lengths = [timeframe_ns(timeframe) for id, timeframe in self._keys() if id == event.instrument]
        self.breakers.on_anomaly(event, min(lengths, default=_MINUTE))

    def _keys(self) -> set[tuple[str, str]]:
        known = {(id, each.timeframe) for each in self.config.strategies for id in each.instruments}
        return known | set(self.bars)

    # --- our account

    def _on_news(self, event: AccountEvent) -> None:
        state = self.state
        state.now = max(state.now, event.ts)
        order_id = getattr(event, "order_id", "")
        order = self.orders.apply(event)
        self.orders.take_anomalies()
        self.lives.add(order_id, Step(self.seq, event.ts, event))
        if order is not None:
            self._tell(order)

    def _on_filled(self, event: OrderFilled) -> None:
        state, fill = self.state, event.fill
        state.now = max(state.now, event.ts)
        order = self.orders.get(fill.order_id)
        if order is None and (
            fill_ref(fill) in self.portfolio.ledger or fill.instrument not in state.instruments
        ):
            return
        if order is None and is_forced(fill, state.strategies):
            for part in shared_fill(fill, self.portfolio.positions_of(fill.instrument)):
                self._book(OrderFilled(event.ts, part), None)
        else:
            self._book(event, order)

    def _book(self, event: OrderFilled, order: Order | None) -> None:
        state, fill = self.state, event.fill
        if order is not None:
            purpose = self._provenance.reason(order)
            fill = msgspec.structs.replace(fill, strategy=order.request.strategy, purpose=purpose)
            event = OrderFilled(event.ts, fill)
        occasion = self._occasion(fill.strategy, fill.instrument)
        applied = self.orders.apply(event)
        self.orders.take_anomalies()
        if applied is None and order is not None:
            return
        if applied is None:  # not of our orders, which keep theirs themselves
            self.lives.put_orphan(fill)
        self.lives.filled(occasion)
        trip = self.portfolio.apply(event, tag=order.request.tag if order is not None else "")
        if fill.strategy == OWNER:
            self._tell(fill)
            return
        position = state.position(fill.strategy, fill.instrument)
        self._provenance.on_fill(order, fill, position)
        self.lives.add(fill.order_id, Step(self.seq, event.ts, event), [len(self.fills) - 1])
        for told in (applied, fill, position, trip):
            if told is not None:
                self._tell(told)
        if trip is not None:
            closed = self.closed.setdefault((trip.strategy, trip.instrument), array("q"))
            closed.append(len(self.portfolio.round_trips) - 1)
            self.breakers.on_round_trip(trip)

    def _occasion(self, strategy: str, instrument: str) -> Occasion:
        """Return what a fill comes upon now: simulated venues fill in the step of a market event, real ones between."""
        held = self._held
        seen: BarSlice | Trade | Quote | BookSnapshot | None = None
        if isinstance(held, BarSlice):
            bars = [bar for bar in held.bars if bar.instrument == instrument][:1]
            seen = BarSlice(held.ts, tuple(bars)) if bars else None
        elif isinstance(held, Trade | Quote | BookSnapshot) and held.instrument == instrument:
            seen = held
        elif self.header.mode == "live":
            seen = self._seen.get(instrument)
        return Occasion(seen, self._provenance.stand(self.state.position(strategy, instrument)))

    def _on_cash(self, event: FundingPaid | BalanceChanged | DebtChanged) -> None:
        state = self.state
        state.now = max(state.now, event.ts)
        if not isinstance(event, BalanceChanged) or event.is_owners:
            if not isinstance(event, FundingPaid) or event.instrument in state.instruments:
                self.portfolio.apply(event)
                self._tell(event)
            return
        if self._allocator is None and not self.decisions and self.config.allocation.method != "fixed":
            length = timeframe_ns(self.config.timeframe)
            self._allocator = Allocator(
                self.config.allocation, state.allocations, self.portfolio, event.ts, length
            )
        before = state.equity()
        if before:
            self._watch(state.now)
        self.portfolio.apply(event)
        self.equity = state.equity()
        amount = self.equity - before
        self.external.append((state.now, amount))
        self.line.on_external(before, amount)
        self.breakers.on_external(amount)
        self._tell(event)

    def _on_agreed(self, event: AccountAgreed) -> None:
        self.state.now = max(self.state.now, event.ts)
        self.portfolio.owner.agreed(event)

    def _on_venue(self, event: VenueStatus) -> None:
        self.state.now = max(self.state.now, event.ts)
        self.state.feeds.venues[event.venue] = event
        self._tell(event)

    def _on_rules(self, event: RulesChanged) -> None:
        self.state.now = max(self.state.now, event.ts)
        demand(self.state, event)

    def _on_circuit(self, event: CircuitMoved) -> None:
        self.state.now = max(self.state.now, event.ts)
        self.state.feeds.circuits[event.venue, event.part] = event
        self._tell(event)

    # --- people, and what was decided

    def _on_control(self, event: Control) -> None:
        state, action = self.state, event.action
        state.now = max(state.now, event.ts)
        self.controls.append((self.seq, event))
        for name in state.strategies:
            if event.strategy in ("", name):
                self._steer(event, name)
        if action is ControlAction.SET_LIMITS:
            with suppress(UsageError):  # refused: the notice says so
                self.limits = changed(self.limits, event.values)
        elif action is ControlAction.SET_BREAKERS:
            with suppress(UsageError):
                self.breakers.change(changed(self.breakers.config, event.values))
        elif action is ControlAction.KILL:
            self.breakers.kill(state.now, event.actor)
        elif action is ControlAction.RELEASE:
            self.breakers.release(state.now, event.actor)
        self._tell(event)

    def _steer(self, event: Control, name: str) -> None:
        action = event.action
        if action is ControlAction.START:
            self.stopped.discard(name)
            self.failures.pop(name, None)
        elif action is ControlAction.STOP:
            self.stopped.add(name)
        elif action is ControlAction.PAUSE_ENTRIES:
            self.paused.add(name)
        elif action is ControlAction.RESUME_ENTRIES:
            self.paused.discard(name)
        elif action is ControlAction.SET_PARAMETERS:
            self._earlier[name] = self.parameters[name]
            self.parameters[name] = {**self.parameters[name], **event.values}
        elif action is ControlAction.SET_ALLOCATION:
            share = asked_share(event)
            if share is not None:
                self.state.allocations[name] = share

    def _on_decided(self, event: Decided) -> None:
        at = len(self.decisions)
        self.decisions.append(Decision(self.seq, self._last, event))
        if event.verdicts:
            self.state.settle()  # risk has looked at the prices
        for intent in event.intents:
            if isinstance(intent, Target):
                routed = self.config.routing.routes.get(intent.instrument, ())
                self.lives.wished(at, intent.strategy, (intent.instrument, *routed))
        approvals = (verdict for verdict in event.verdicts if isinstance(verdict, Approved))
        for command in event.commands:
            self._follow(command, approvals, at)
        for verdict in event.verdicts:
            if isinstance(verdict, Refused):
                self.refusals.append((self.seq, event.ts, verdict))
                self.refused[verdict.code.value] += 1
                self._tell(verdict, event.ts)
        for notice in event.notices:
            self._on_notice(notice)

    def _follow(self, command: Command, approvals: Iterator[Approved], at: int) -> None:
        if isinstance(command, Submit):
            approved = next(approvals, None) or Approved(command.request)
            self.orders.create(approved, command.order_id, command.ts)
            place = (command.request.strategy, command.request.instrument)
            self.lives.begin(at, place, self._occasion(*place))
        elif isinstance(command, Cancel):
            self.orders.cancel(CancelRequest(command.order_id), command.ts)
        elif isinstance(command, Amend):
            wish = AmendRequest(command.order_id, command.quantity, command.price, command.trigger)
            self.orders.amend(wish, command.ts)
            self._provenance.on_amend(command)
        self.lives.add(command.order_id, Step(self.seq, command.ts, command))
        if isinstance(command, Submit):
            order = self.orders.get(command.order_id)
            assert order is not None
            self._provenance.on_submit(order)
            self._tell(order)

    def _on_notice(self, notice: Notice) -> None:
        self.notices.append(notice)
        self.told[notice.level] += 1
        self._tell(notice)
        if notice.code == "strategy_failed":
            self.stopped.add(notice.strategy)
            self.failures[notice.strategy] = notice.text
        elif notice.code == "parameters_refused" and isinstance(self._last, Control):
            self.parameters[notice.strategy] = self._earlier[notice.strategy]
        elif (found := read_bare(notice)) is not None:
            place, lasted = found
            self.bare.setdefault(place, Bareness()).add(lasted)


def asked_share(event: Control) -> float | None:
    """Return the share that an order to set one asks for, None for what is none: then the old one stays."""
    share = event.values.get("allocation")
    return float(share) if isinstance(share, int | float) and 0 < share <= 1 else None


def _config(header: RunHeader) -> RunConfig:
    try:
        return RunConfig.model_validate(header.config).resolved()
    except ValidationError as error:
        raise JournalError(
            f"The configuration of the run {header.name} was written by another version ({header.code_version}).",
            "Look at it with the version of the program that wrote it.",
        ) from error


def _venues(config: RunConfig, instruments: Mapping[str, Instrument]) -> dict[str, tuple[str, ...]]:
    """Return at which venues each strategy trades, and under no name all of them."""
    places = {"": tuple(instruments)} | {each.name: config.places_of(each) for each in config.strategies}
    return {name: tuple(dict.fromkeys(instruments[id].venue for id in ids)) for name, ids in places.items()}


def _drive(config: RunConfig) -> dict[str, str]:
    """Return the shortest timeframe of each instrument that strategies trade."""
    found: dict[str, str] = {}
    detail = config.detail_timeframe if config.detail_timeframe != "trades" else None
    for each in config.strategies:
        for id in each.instruments:
            lengths = [name for name in (found.get(id), each.timeframe, detail) if name]
            found[id] = min(lengths, key=timeframe_ns)
    return found


__all__ = ["Change", "Point", "Replica", "asked_share"]
