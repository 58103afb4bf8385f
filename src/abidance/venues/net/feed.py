"""The live feed: all streams of a run, of all its venues, as one sequence of market events with their certificates.

It decides which connection is followed, lets each trade through once, gathers closed bars to slices, asks history for
bars that did not come, and states a `FeedStatus` whenever the trust in a stream changes. Consumers take events one by
one with `next`; `arrived` waits for them.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from abidance.market.anomaly import AnomalyDetector
from abidance.market.bars import Bars
from abidance.market.build import TimeBarBuilder
from abidance.market.composite import Composite
from abidance.market.live.certificates import Certificates
from abidance.market.live.inbox import Inbox
from abidance.market.live.loans import Failover, Loans, Spares, can_stand_in
from abidance.market.live.sieve import Sieve
from abidance.market.live.slices import Companion, Hole, Series, Slices
from abidance.market.store.timerange import show
from abidance.model.errors import AbidanceError, UsageError
from abidance.model.instrument import SECOND_NS, Instrument
from abidance.model.market import (
    Bar,
    BarUpdate,
    BookSnapshot,
    DataKind,
    FeedState,
    FeedStatus,
    FundingRate,
    MarketEvent,
    MarkPrice,
    Quote,
    Trade,
)
from abidance.venues.dialect import Channel, Dialect
from abidance.venues.net.line import Data, World
from abidance.venues.net.mender import Mender, Tap
from abidance.venues.net.rest import Rest
from abidance.venues.net.stream import BookStream
from abidance.venues.net.streams import Streams
from abidance.venues.net.transport import stop

BEAT = 0.1
"""Seconds between two looks at what is due."""
GRACE = SECOND_NS
"""How long a bar built from trades waits for late ones, in ns."""
ROOM = 50_000
"""So many events may wait; beyond that nothing more is read, and the venues feel it."""
LEND = 5 * SECOND_NS
"""How long after its close a bar that should still come is lent by another venue, in ns: history was asked by then."""
ASK_AGAIN = 5.0
"""Seconds between two attempts to get a bar that did not come."""
GIVEN_UP = 30 * SECOND_NS
"""A bar that history does not have either so long after its close does not exist, in ns."""
_OURS = 0
_replace = msgspec.structs.replace

History = Callable[[str, str, int, int], Awaitable[Bars]]
"""`await history(instrument, timeframe, start, end)`: the closed bars that open from `start` up to `end`, ns UTC."""


@dataclass(frozen=True)
class Wanted:
    """What a run needs: `kinds` of each instrument besides bars, and the bars of `following`.

    `following` says where each series goes on: the open of the first bar that is not known yet. `stand_in` names the
    instruments that lend an instrument their data, `failover` how much of it. Instruments that only lend are in
    `kinds` too, not in `shown`. `beside` says where the series go on that `companion` makes.
    """

    instruments: Mapping[str, Instrument]
    kinds: Mapping[str, frozenset[DataKind]]
    following: Mapping[Series, int] = field(default_factory=dict)
    stand_in: Mapping[str, Sequence[str]] = field(default_factory=dict)
    levels: int = 10
    redundancy: int = 1
    anomalies: bool = True
    failover: Failover = "prices"
    beside: Mapping[Series, int] = field(default_factory=dict)
    companion: Companion | None = None

    @property
    def lenders(self) -> Mapping[str, Sequence[str]]:
        """Return the instruments that lend more than prices, by who borrows. Raises UsageError where they cannot."""
        if self.failover == "prices":
            return {}
        for borrower, names in self.stand_in.items():
            for name in names:
                if not can_stand_in(self.instruments[name], self.instruments[borrower]):
                    raise UsageError(
                        f"Bars of {name} cannot go on where those of {borrower} stop: they are of another market.",
                        "Name the same pair on another venue in `feed.stand_in`, or set `feed.failover` to prices.",
                    )
        return self.stand_in

    def needs(self) -> dict[str, tuple[set[DataKind], list[str]]]:
        """Return the kinds and the timeframes of bars that are needed of each instrument, lenders included."""
        needs: dict[str, tuple[set[DataKind], list[str]]] = {}
        for id in dict.fromkeys((*self.kinds, *(id for id, _ in self.following))):
            timeframes = [timeframe for each, timeframe in self.following if each == id]
            needs[id] = (set(self.kinds.get(id, ())), timeframes)
        for borrower, names in self.lenders.items():
            kinds, timeframes = needs[borrower]
            for name in names:  # what another venue's book holds cannot be had here
                lent, bars = needs.setdefault(name, (set(), []))
                lent |= kinds - {DataKind.BOOK}
                bars += [timeframe for timeframe in timeframes if timeframe not in bars]
        return needs

    @property
    def shown(self) -> frozenset[str]:
        """Return the instruments whose events are handed over."""
        lending = {id for lenders in self.stand_in.values() for id in lenders}
        own = {id for id, _ in (*self.following, *self.beside)} | set(self.stand_in)
        return frozenset((self.kinds.keys() - lending) | own)


class LiveFeed:
    """All live data of a run. `dialect_of` picks the dialect of an instrument, `rest_of` makes requests for it."""

    def __init__(
        self,
        wanted: Wanted,
        dialect_of: Callable[[Instrument], Dialect],
        rest_of: Callable[[Dialect], Rest],
        world: World,
        history: History | None = None,
        tap: Tap | None = None,
        last: int = 0,
    ) -> None:
        self.inbox = Inbox(last)
        lenders = wanted.lenders
        self.loans = Loans(lenders, self._tell, suffices=wanted.failover == "entries")
        self.certificates = Certificates(self._note)
        self.slices = Slices(wanted.following, wanted.beside, wanted.companion)
        self._spares = Spares(lenders, wanted.following)
        self._lent: dict[Series, set[int]] = {}
        self._with_bars: list[str] = []
        self._wanted = wanted
        self._world = world
        self._history = history
        self._tap = tap
        self._mender = Mender(tap, self._recent, self._sieve, world) if tap is not None else None
        self._rest_of = rest_of
        self._spoken: dict[str, Dialect] = {}
        self._shown = wanted.shown
        self._detectors = {id: AnomalyDetector(id) for id in wanted.shown if wanted.anomalies}
        self._since = world.pulse.wall()
        self._waiting = asyncio.Event()
        self._sieves: dict[str, Sieve] = {}
        self._bar_lines: dict[str, set[int]] = {}
        self._builders: dict[str, list[TimeBarBuilder]] = {}
        self._funded: dict[str, int] = {}
        self._asked: dict[Hole, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._lends: dict[str, list[Composite]] = {}
        for composite in (Composite(id, ids) for id, ids in wanted.stand_in.items() if id not in lenders):
            for lender in composite.sources:
                self._lends.setdefault(lender, []).append(composite)
        plan = self._plan(dialect_of)
        self.streams = [
            Streams(dialect, wanted.instruments, channels, rest_of(dialect), world, self, wanted.redundancy)
            for dialect, channels in plan
        ]
        self._channels = [channels for _, channels in plan]
        for id in dict.fromkeys(id for id, _ in wanted.beside):
            self.certificates.expect(self._since, (id, DataKind.BARS))

    def _plan(self, dialect_of: Callable[[Instrument], Dialect]) -> list[tuple[Dialect, list[Channel]]]:
        """Return each dialect with the channels that are wanted of it."""
        wanted, now = self._wanted, self._world.pulse.wall()
        found: dict[tuple[str, str], tuple[Dialect, list[Channel]]] = {}
        for id, (kinds, timeframes) in wanted.needs().items():
            instrument = wanted.instruments[id]
            market = (instrument.venue, instrument.kind.value)
            if market not in found:
                found[market] = (dialect_of(instrument), [])
            dialect, channels = found[market]
            self._spoken[id] = dialect
            if DataKind.MARK not in dialect.kinds:
                kinds.discard(
                    DataKind.MARK
                )  # a mark price is told to whoever asks; nothing is decided without it
            for timeframe in timeframes:
                if timeframe in dialect.timeframes and DataKind.BARS in dialect.kinds:
                    channels.append(Channel(id, DataKind.BARS, timeframe))
                else:
                    kinds.add(DataKind.TRADES)
                    builder = TimeBarBuilder(id, timeframe, since=now, grace=GRACE, fill=True)
                    self._builders.setdefault(id, []).append(builder)
            if timeframes:
                self._with_bars.append(id)
                self.certificates.expect(now, (id, DataKind.BARS))
            for kind in sorted(kinds - {DataKind.BARS}):
                if kind not in dialect.kinds:
                    raise UsageError(
                        f"{instrument.venue} does not stream the {kind} of {id}.", "Trade it elsewhere."
                    )
                depth = dialect.books.depth_for(wanted.levels) if kind is DataKind.BOOK else 0
                channels.append(Channel(id, kind, depth=depth))
                self.certificates.expect(now, (id, kind))
        return list(found.values())

    # --- for the consumer

    async def run(self) -> None:
        """Keep the feed alive until cancelled."""
        tasks = [asyncio.ensure_future(each.run()) for each in self.streams]
        tasks.append(asyncio.ensure_future(self._beats()))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            await stop(*tasks)
            await stop(*self._tasks, *(self._mender.tasks if self._mender is not None else ()))

    async def arrived(self) -> None:
        """Return once an event waits, or a `BEAT` has passed, or somebody called `wake`."""
        await self._waiting.wait()

    def wake(self) -> None:
        """Let `arrived` return."""
        self._waiting.set()

    def next(self) -> MarketEvent | None:
        """Take the next event, None when none waits."""
        event = self.inbox.next()
        if event is None:
            self._waiting.clear()
        return event

    def _put(self, event: MarketEvent, received: int) -> None:
        self.inbox.put(event, received)
        self._waiting.set()

    def _note(self, status: FeedStatus) -> None:
        if self._mender is not None and status.kind is DataKind.TRADES:
            self._mender.take(status)
        elif self._tap is not None:
            self._tap(status, status.ts)
        if status.state is not FeedState.CERTIFIED and status.kind is DataKind.QUOTES:
            for composite in self._lends.get(status.instrument, ()):
                composite.exclude(status.instrument)
        self.loans.take(status)

    def _tell(self, status: FeedStatus) -> None:
        if status.instrument in self._shown:
            self._put(status, status.ts)

    # --- what lines say (`net.line.Listener`)

    @property
    def has_room(self) -> bool:
        """Return False while so much waits that nothing more should be read."""
        return len(self.inbox) < ROOM

    def on_data(self, line: int, value: Data, received: int) -> None:
        """Take market data of a line."""
        kind = type(value)
        if kind is Quote:
            self._on_quote(line, value, received)  # type: ignore[arg-type]
        elif kind is Trade:
            self._on_trade(line, value, received)  # type: ignore[arg-type]
        elif kind is BarUpdate:
            if value.is_closed:  # type: ignore[union-attr]
                self._on_bar(value.bar, received)  # type: ignore[union-attr]
        elif kind is MarkPrice:
            if self.certificates.followed((value.instrument, DataKind.MARK)) == line:  # type: ignore[union-attr]
                self._on_mark(value, received)  # type: ignore[arg-type]
        elif value.ts > self._funded.get(value.instrument, 0):  # type: ignore[union-attr]
            self._funded[value.instrument] = value.ts  # type: ignore[union-attr]
            self._show(value, received)  # type: ignore[arg-type]

    def on_book(self, line: int, stream: BookStream, received: int) -> None:
        """Take note of a ladder that changed; it is written down when the engine is ready for it."""
        id = stream.channel.instrument
        if self.certificates.followed((id, DataKind.BOOK)) != line or id not in self._shown:
            return
        levels = self._wanted.levels
        if self._tap is not None:
            self._tap(stream.book.top(levels), received)

        def top() -> BookSnapshot | None:
            return stream.book.top(levels) if stream.book.is_whole else None

        self.inbox.put_book(id, top, received)
        self._waiting.set()

    def on_finding(self, line: int, channel: Channel, state: FeedState, reason: str) -> None:
        """Take what a line makes of one of its streams."""
        now = self._world.pulse.wall()
        if channel.kind is DataKind.BARS:
            lines = self._bar_lines.setdefault(channel.instrument, set())
            (lines.add if state is FeedState.CERTIFIED else lines.discard)(line)
            return
        key = (channel.instrument, channel.kind)
        was_followed = self.certificates.followed(key) is not None
        self.certificates.find(now, key, line, state, reason)
        if was_followed != (self.certificates.followed(key) is not None):
            self._part_tape(channel, now)

    def on_end(self, line: int, reason: str) -> None:
        """Take note that a line has ended."""
        now = self._world.pulse.wall()
        for lines in self._bar_lines.values():
            lines.discard(line)
        before = self.certificates.all()
        self.certificates.lose(now, line, reason)
        self._explain(line, reason)
        for (id, kind), state in self.certificates.all().items():
            if before[id, kind] is not state:
                self._part_tape(Channel(id, kind), now)

    def _explain(self, line: int, reason: str) -> None:
        """Say of the streams of a venue that nothing carries what the last connection to it ended with."""
        for streams, channels in zip(self.streams, self._channels, strict=True):
            if any(each.number == line for shard in streams.shards for each in shard.lines):
                for channel in channels:
                    self.certificates.explain((channel.instrument, channel.kind), reason)

    def _part_tape(self, channel: Channel, now: int) -> None:
        """Throw away bars in the making where the tape was lost or begins: trades may be missing from them."""
        if channel.kind is DataKind.TRADES:
            for builder in self._builders.get(channel.instrument, ()):
                builder.interrupt(now)

    def _on_quote(self, line: int, quote: Quote, received: int) -> None:
        if self.certificates.followed((quote.instrument, DataKind.QUOTES)) != line:
            return
        if not quote.ts:
            quote = _replace(quote, ts=received)
        self._show(quote, received)
        self._detect(quote, received)
        self.loans.compare(quote, received)
        self._lend(quote, DataKind.QUOTES, received)
        for composite in self._lends.get(quote.instrument, ()):
            composite.take(quote, received)
            if self.certificates.followed((composite.name, DataKind.QUOTES)) is None:
                lent = composite.quote(received)
                if lent is not None:
                    self._put(lent, received)

    def _on_mark(self, mark: MarkPrice, received: int) -> None:
        self._show(mark, received)
        # What another venue's positions pay is not what ours do.
        self._lend(_replace(mark, rate=math.nan, ts_funding=0), DataKind.MARK, received)

    def _lend(self, event: Trade | Quote | MarkPrice, kind: DataKind, received: int) -> None:
        """Hand an event over in the place of those that do not come; it is not kept as theirs."""
        lender = event.instrument
        for borrower in self.loans.borrowers(lender):
            if self.loans.server(borrower, kind) == lender:
                self._put(_replace(event, instrument=borrower), received)

    def _on_trade(self, line: int, trade: Trade, received: int) -> None:
        id = trade.instrument
        sieve = self._sieves.get(id) or self._sieve(id)
        if not sieve.is_new(trade, line) or 0 < trade.ts < self._since:
            return  # known, or from before our time: some venues greet with the last trades
        if not trade.ts:
            trade = _replace(trade, ts=received)
        for builder in self._builders.get(id, ()):
            for bar in builder.take(trade):
                self._on_bar(bar, received)
        if self._mender is not None:
            self._mender.heard(trade, received)
        if id in self._shown and not self.loans.server(id, DataKind.TRADES):
            self._put(trade, received)
        self._detect(trade, received)
        if self.loans.borrowers(id):
            self._lend(_replace(trade, id=f"{id} {trade.id}"), DataKind.TRADES, received)

    def _on_bar(self, bar: Bar, received: int) -> None:
        is_lender = self._spares.keep(bar)
        series = (bar.instrument, bar.timeframe)
        is_taken = self.slices.take(bar, received)
        lent = self._lent.get(series)
        if lent is not None:
            if is_taken:
                lent.discard(bar.ts)
            if bar.ts >= max(lent, default=0):  # they come again
                del self._lent[series]
                self._judge_bars(received, self.slices.missing(received))
        if (is_lender and self._lend_bars(received)) or is_taken:
            self._release(received)

    def _lend_bars(self, now: int) -> bool:
        """Put bars of lenders in the place of those that did not come; return whether there are any."""
        found = False
        for series in self._spares.series:
            key = (series[0], DataKind.BARS)
            if self.certificates.state(key) is FeedState.CERTIFIED:
                continue
            patience = LEND if self._is_fed(series[0]) else 0
            for bar in self._spares.bars(self.loans.lender(*key), series):
                if bar.ts_close + patience <= now and self.slices.lend(bar, now):
                    self._lent.setdefault(series, set()).add(bar.ts)
                    self.loans.withhold(now, key, held=False)
                    found = True
        return found

    def _sieve(self, id: str) -> Sieve:
        return self._sieves.setdefault(id, Sieve())

    def _recent(self, id: str) -> Awaitable[Sequence[Trade]] | None:
        dialect = self._spoken[id]
        if not dialect.tells_trades:
            return None
        return dialect.recent_trades(self._rest_of(dialect).fetch, id)

    def _show(self, event: Quote | MarkPrice | FundingRate, received: int) -> None:
        if self._tap is not None:
            self._tap(event, received)
        if event.instrument in self._shown:
            self._put(event, received)

    def _detect(self, event: Trade | Quote, received: int) -> None:
        detector = self._detectors.get(event.instrument)
        if detector is not None:
            for found in detector.take(event):
                self._put(found, received)

    # --- bars

    def _release(self, now: int) -> None:
        for due in self.slices.due(now):
            if self._tap is not None:
                own = tuple(bar for bar in due.bars if self._is_own((bar.instrument, bar.timeframe), bar.ts))
                if own:
                    self._tap(_replace(due, bars=own), now)
            self._put(due, now)

    def _is_own(self, series: Series, ts: int) -> bool:
        """Say whether a bar is the venue's: neither lent nor made here."""
        return ts not in self._lent.get(series, ()) and series not in self._wanted.beside

    async def _beats(self) -> None:
        pulse = self._world.pulse
        while True:
            self._beat(pulse.wall())
            self.wake()
            await pulse.sleep(BEAT)

    def _beat(self, now: int) -> None:
        for builders in self._builders.values():
            for builder in builders:
                for bar in builder.advance(now):
                    self._on_bar(bar, now)
        self._lend_bars(now)
        self._release(now)
        holes = self.slices.missing(now)
        self._judge_bars(now, holes)
        self._judge_companion(now)
        if self._history is not None:
            self._fill(holes, self._history)

    def _judge_bars(self, now: int, holes: Iterable[Hole]) -> None:
        lacking = {hole.series[0]: (hole.series[1], hole.start) for hole in holes}
        lacking |= {id: (timeframe, max(lent)) for (id, timeframe), lent in self._lent.items() if lent}
        lent = {id for id, _ in self._lent}
        for id in self._with_bars:
            key, hole = (id, DataKind.BARS), lacking.get(id)
            is_fed = self._is_fed(id)
            self.loans.withhold(now, key, held=is_fed and id not in lent)
            if hole is not None and is_fed:
                reason = f"Its {hole[0]} bar that opened at {show(hole[1])} has not come."
                self.certificates.find(now, key, _OURS, FeedState.GAP, reason)
            elif is_fed:
                self.certificates.find(now, key, _OURS, FeedState.CERTIFIED)
            elif self.certificates.state(key) is FeedState.CERTIFIED:
                self.certificates.find(now, key, _OURS, FeedState.STALE, "No connection brings them.")

    def _judge_companion(self, now: int) -> None:
        companion = self._wanted.companion
        if companion is None:
            return
        for id in dict.fromkeys(id for id, _ in self._wanted.beside):
            doubt = companion.doubt(id, now)
            state = FeedState.STALE if doubt else FeedState.CERTIFIED
            self.certificates.find(now, (id, DataKind.BARS), _OURS, state, doubt)

    def _is_fed(self, id: str) -> bool:
        """Say whether bars of an instrument should come: a connection carries them, or the trades they are built of."""
        tape = self.certificates.state((id, DataKind.TRADES)) if id in self._builders else None
        return bool(self._bar_lines.get(id)) or tape is FeedState.CERTIFIED

    def _fill(self, holes: Iterable[Hole], history: History) -> None:
        now = self._world.pulse.steady()
        self._asked = {hole: at for hole, at in self._asked.items() if now - at < ASK_AGAIN}
        for hole in holes:
            if not any(asked.series == hole.series for asked in self._asked):
                self._asked[hole] = now
                task = asyncio.ensure_future(self._ask(hole, history))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _ask(self, hole: Hole, history: History) -> None:
        try:
            bars = await history(*hole.series, hole.start, hole.end)
        except AbidanceError as error:
            self._world.log.warning("no_history", series=hole.series, reason=error.found)
            return
        except Exception:
            self._world.log.exception("history_failed", series=hole.series)
            return
        now = self._world.pulse.wall()
        rows = zip(bars.ts.tolist(), *(column.tolist() for column in bars.columns()), strict=True)
        for row in rows:
            if hole.start <= row[0] < hole.end:
                self.slices.take(Bar(*hole.series, *row), now)
        if not len(bars) and now - hole.end >= GIVEN_UP:
            self.slices.give_up(hole)
        self._release(now)
