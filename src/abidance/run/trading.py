"""Live trading: the venues' streams and accounts outside, the engine inside, and real orders.

The shell is that of paper trading on live data; orders leave through gateways instead of a simulated venue. What the
gateways tell enters the engine between two market events and is on record before it is handled. A restart repeats the
whole record, decisions included, sends nothing of it again, and lets the gateways find what became of open orders
before anything new is risked.
"""

import asyncio
import shutil
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import NamedTuple, get_args

from msgspec import structs

from abidance.engine.actions import is_held
from abidance.engine.controls import named_circuits
from abidance.kernel.log import logger
from abidance.kernel.ports import JournalStore, SimulatedVenue
from abidance.market.bars import Bars
from abidance.market.readings import is_mood
from abidance.model.errors import ConfigError, JournalError, VenueError
from abidance.model.event import (
    AccountEvent,
    BalanceChanged,
    Control,
    ControlAction,
    FundingPaid,
    OrderRejected,
    Timer,
    VenueStatus,
)
from abidance.model.market import FeedStatus, MarketEvent
from abidance.model.order import OrderType
from abidance.model.outcome import Decided, Outcome
from abidance.portfolio.ledger import external_ref, funding_ref
from abidance.risk.circuits import RUN, Sign
from abidance.run import checkpoint
from abidance.run.accepting import Acceptance
from abidance.run.bot import JOURNAL, Moment
from abidance.run.byhand import Entry, Settlement, exposed, holdings, unfinished
from abidance.run.checkpoint import State
from abidance.run.circuits import CircuitWatch
from abidance.run.config import RunConfig
from abidance.run.departures import BEGUN, Departures, place_of
from abidance.run.door import Answer, Wish
from abidance.run.durable import Apart, Durable
from abidance.run.fees import FeeWatch
from abidance.run.hearing import as_recorded, status_of
from abidance.run.killing import Extent, killed
from abidance.run.lease import Doubt
from abidance.run.lending import LoanDesk, lenders_of
from abidance.run.live import HISTORY, LivePaper
from abidance.run.means import means_of
from abidance.run.perpetuals import check_holders, check_purses, enforce, wanted_of
from abidance.run.relay import HURRY, Relay
from abidance.run.rules import Ask, RulesWatch, published, scarce
from abidance.run.setup import Core, Key, Material, engine_of, opening_of
from abidance.run.strangers import counted, open_among, sentence
from abidance.run.switch import LOOK_EVERY
from abidance.venues.account import AccountDialect, Credentials, Funds
from abidance.venues.accounts import accounts_of
from abidance.venues.net.feed import LiveFeed
from abidance.venues.net.line import World
from abidance.venues.net.transport import NotSentError, stop
from abidance.venues.trading.books import Books, Lack
from abidance.venues.trading.gateway import VenueGateway
from abidance.venues.trading.line import Way
from abidance.venues.trading.register import ANOTHER
from abidance.venues.trading.wire import Wire

LAST_WORDS = 5.0
"""Seconds for which a bot that ends for want of a record waits for its cancels to be confirmed."""
QUICK = 0.0005
"""Seconds for which the engine may work while commands are on their way out."""
LOG_AFTER = 0.005
"""Seconds after which the log is told of decisions."""
SLOW_DISK = 2.0
"""Seconds for which the disk may keep the journal waiting before nothing new is risked."""
DISK, LEASE = "disk", "lease"
_SHARED = frozenset({LEASE, ANOTHER})
"""Doubts for which the account may be another one's: what rests to enter is taken back."""
_OVERLAP = 86_400 * 1_000_000_000
_MARKET, _STEPS = get_args(MarketEvent), (*get_args(AccountEvent), Control)


class Access(NamedTuple):
    """How one venue's account is reached: what signs, and the addresses that stand in for the venue's own."""

    credentials: Credentials
    rest_url: str = ""
    stream_url: str = ""


def check_sync(config: RunConfig) -> None:
    """Raise ConfigError unless an order's record is synced before it leaves, and nothing else waits for the disk."""
    if config.journal_sync != "commands":
        raise ConfigError(
            f'No real order leaves with journal_sync = "{config.journal_sync}".',
            'Leave it out, or set it to "commands": each order is on the disk before it leaves.',
        )


class LiveTrading(LivePaper):
    """A bot that sends real orders; open it, `run` it in an event loop, close it.

    `watching` returns what else goes on for as long as the bot runs, such as the hourly look at its keys.
    `apart` makes what waits for the disk beside the event loop. `rules` ask a venue what it demands of orders. `lease`
    tells why the accounts may be another one's by now.
    """

    def __init__(
        self,
        material: Material,
        folder: Path,
        access: Mapping[str, Access],
        watching: Callable[["LiveTrading", World], Sequence[Coroutine[object, object, None]]] | None = None,
        apart: Callable[[], Executor] = Apart,
        rules: Ask | None = None,
        lease: Doubt = lambda: "",
    ) -> None:
        self.relay = Relay()
        self.gateways: list[VenueGateway] = []
        self._folder = folder
        self._access = access
        self._watching = watching
        self._lease = lease
        self._inbox: deque[AccountEvent] = deque()
        self._unlogged: deque[Outcome] = deque()
        self._circuits = CircuitWatch(material.config.risk.circuits, self._hear, self._room)
        self._told: dict[str, VenueStatus] = {}
        self._loans = LoanDesk(lambda: self._core.engine, self._hear_accounts, self._hear)
        most = published(material.instruments, material.config.feed.grades)
        self._scarce = scarce(material.config, most)
        known = lambda: self._core.engine.state  # noqa: E731 (it changes)
        self._fees = FeeWatch(lambda: self._core.engine.state.pricing.costs, self._tell_fees)
        self._rules = RulesWatch(rules, material.venues, known, self._hear, most) if rules else None
        self._unfinished: list[Entry] = []
        self._compared: list[VenueGateway] = []
        self._shared: list[VenueGateway] = []
        self._wake: Callable[[], None] = lambda: None
        self._sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
        self.dialects = _dialects(material, access)
        config = material.config
        check_sync(config)
        check_holders(places := config.places())
        self._syncing, self._storing = apart(), apart()
        self._stored: asyncio.Future[int] | None = None
        self._wanted = wanted_of(config.perpetuals, places, material.instruments)
        super().__init__(replace(material, is_real=True), folder)
        self._departures = self._noted()

    def __exit__(self, *told: object) -> None:
        self._departures.end(keeps=bool(self._core.engine.state.orders.open() or self._loans.in_question()))
        super().__exit__(*told)
        self._syncing.shutdown()
        self._storing.shutdown()
        if not self.journal.seq:  # what could not begin leaves nothing that binds a later start
            for name in (JOURNAL, HISTORY):
                (self._folder / name).unlink(missing_ok=True)

    def _assembled(
        self, order_id: Callable[[int], str], tape: Mapping[Key, Bars] | None
    ) -> Core[SimulatedVenue]:
        engine = engine_of(self.material, order_id, tape=tape, isolate=True)
        engine.state.fixed = {
            id: frozenset() if dialect.capability.amends else dialect.capability.native - {OrderType.MARKET}
            for dialect in self.dialects
            for id in dialect.instruments
        }
        engine.state.debts.lenders = lenders_of(self.dialects)
        return Core(engine, self.relay, ())

    def _record(self) -> JournalStore:
        took = partial(self._circuits.see, RUN, Sign.WRITTEN)
        self._sure = Durable(self.journal, self._syncing, self._failed, took)
        return self._sure

    def _noted(self) -> Departures:
        """Return where it is noted which orders may have left."""
        return Departures(place_of(self.journal), self.journal.path.with_name(BEGUN))

    def _room(self) -> int:
        """Return how many bytes are free where the record is."""
        return shutil.disk_usage(self._folder).free

    def _observe(self, outcome: Outcome) -> None:
        super()._observe(outcome)
        if self.relay.is_open and isinstance(outcome.event, FeedStatus):
            self._circuits.on_feed(outcome.event)

    def _put_away(self) -> State:
        return super()._put_away()._replace(venue=None)

    def _taken_up(self, kept: State) -> Core[SimulatedVenue]:
        self._switch.extent = kept.extent
        self.relay.know(kept.engine.state.orders.all())
        return Core(kept.engine, self.relay, ())

    async def _begin(self, world: World) -> int | None:
        """Open the accounts, repeat the record or begin one, and hand the gateways what is known of orders."""
        self._sleep = world.pulse.sleep
        wires = [await self._opened(dialect, world) for dialect in self.dialects]
        last = await self._repeat(wires)
        engine = self._core.engine
        since = engine.state.now or world.pulse.wall()
        begun = since - _OVERLAP if self.resumed else since
        may_have_left = self._departures.of_the_last(self.resumed)
        in_question = [*(each.id for each in engine.state.orders.open()), *self._loans.in_question()]
        self._departures.begin(self.journal.seq, filter(may_have_left, in_question))
        for dialect, wire in zip(self.dialects, wires, strict=True):
            way = self._way(dialect, wire, world)
            gateway = self._gateway(dialect, way)
            self._loans.add(gateway, way, begun, may_have_left)
            orders = [o for o in engine.state.orders.all() if o.request.instrument in dialect.instruments]
            fills = [f for f in engine.fills if f.instrument in dialect.instruments]
            changes = engine.state.orders.amend_of, engine.state.orders.is_called_off
            gateway.recover(orders, fills, begun, may_have_left, *changes)
            self.gateways.append(gateway)
            self._fees.add(dialect, wire.ask)
        self.relay.gateways = {id: each for each in self.gateways for id in each.dialect.instruments}
        self.relay.is_open = True
        self._sure.open()
        venues = [dialect.venue for dialect in self.dialects]
        self._circuits.begin(world.pulse, engine.state.feeds.circuits.values(), venues)
        if self._rules is not None:
            self._rules.begin(world.pulse.wall())
        for text in self._scarce:
            self._log.warning("stops_are_scarce", text=text)
        self._on_doubt(world.pulse.wall)
        for entry in self._unfinished:
            self._pump.step(entry)
        return last

    async def _opened(self, dialect: AccountDialect, world: World) -> Wire:
        access = self._access[dialect.venue]
        signs = partial(self._circuits.see, dialect.venue)
        transport, budgets, pulse = world.transport, world.budgets, world.pulse
        wire = Wire(dialect, access.credentials, transport, budgets, pulse, access.rest_url, signs)
        wire.leaps = True
        await wire.open()
        return wire

    async def _repeat(self, wires: Sequence[Wire]) -> int | None:
        """Repeat what is on record; without a record, begin one with what the accounts hold."""
        records = list(self.journal.inputs(lambda event: not isinstance(event, Decided)))
        if not self.resumed:
            now = self.material.start
            for dialect, wire in zip(self.dialects, wires, strict=True):
                await wire.prepare()
                wire.offset = dialect.read_clock(await wire.ask(dialect.clock())) - wire.now()
                await enforce(dialect, wire, self._wanted)
            accounts = zip(self.dialects, wires, strict=True)
            for opening in opening_of(
                now, await means_of(self.material.config, self.material.venues, accounts)
            ):
                self._pump.step(opening)
            return None
        last, events = self.engine.state.now or None, [record.event for record in records]
        self._unfinished = unfinished(events, self.material.instruments)
        for event in events:
            if isinstance(event, Control):
                self._switch.recall(event)
            if isinstance(event, _MARKET):
                self._pump.market(event)
                last = event.ts
            elif isinstance(event, Timer):
                self._pump.wake(event.ts)
            elif isinstance(event, _STEPS):
                self._pump.step(event)
        if self.journal.recorded:
            raise JournalError(
                f"The record of {self.journal.header.name} ends otherwise than it is repeated.",
                "Go on with the strategy files that wrote it; or close what is open at the venue and start anew with --fresh.",
            )
        return last

    def _way(self, dialect: AccountDialect, wire: Wire, world: World) -> Way:
        log = logger("gateway").bind(venue=dialect.venue)
        stream_url = self._access[dialect.venue].stream_url
        signs = partial(self._circuits.see, dialect.venue)
        return Way(
            wire, world.transport, world.pulse, world.draw, log, stream_url, self._sure, signs, self._departs,
            lambda: self._inbox,
        )  # fmt: skip

    def _gateway(self, dialect: AccountDialect, way: Way) -> VenueGateway:
        hand = Settlement(
            dialect.venue, dialect.instruments, lambda: self._core.engine.state, self._pump.step, way.pulse.steady
        )  # fmt: skip
        books = Books(
            lambda: self._owned(dialect),
            lambda: self._exposed(dialect),
            partial(self._settle, dialect, hand),
            hand.agreed,
            partial(self._loans.debts, dialect.venue),
            partial(self._loans.awaited, dialect.venue),
        )
        doubted = partial(self._on_doubt, way.pulse.wall)
        return VenueGateway(dialect, way, books, self._hear, self.ids.is_ours, doubted, self._wanted)

    def _departs(self, order_id: str) -> None:
        """Note that an order leaves; none does that risks something while the account may be another one's."""
        if why := self._lease():
            order = self._core.engine.state.orders.get(order_id)
            if order is None or not order.request.reduce_only:
                raise NotSentError(why, "Only exits leave meanwhile.")
        self._departures.note(order_id)

    def _owned(self, dialect: AccountDialect) -> Mapping[str, Decimal]:
        """Return what our books say is there of each asset; the venue may have more, which is not ours to trade."""
        return holdings(self._core.engine.state.portfolio, dialect.venue, dialect.instruments)

    def _settle(
        self, dialect: AccountDialect, hand: Settlement, funds: Mapping[str, Funds], proven: Collection[Lack]
    ) -> Sequence[Lack]:
        """Let strategies lose what somebody took of what they hold; return what may be lost and is not proven."""
        there = {asset: each.total for asset, each in funds.items()}
        there |= dict.fromkeys(self._loans.moving(dialect.venue), Decimal("Infinity"))  # compared afterwards
        with suppress(JournalError):
            self._hear_accounts()
        return hand.settle(there, self.journal.seq, proven)

    def _hear_accounts(self) -> None:
        """Let the engine take what accounts have told."""
        while self._inbox:
            self._pump.step(self._inbox.popleft())

    def _exposed(self, dialect: AccountDialect) -> Mapping[str, Decimal]:
        return exposed(self._core.engine.state.portfolio, dialect.instruments)

    def _hear(self, event: AccountEvent) -> None:
        ledger = self._core.engine.state.portfolio.ledger
        if isinstance(event, FundingPaid) and funding_ref(event) in ledger:
            return  # of an earlier process
        if isinstance(event, BalanceChanged) and external_ref(event) in ledger:
            return
        if self._rules is not None and isinstance(event, OrderRejected):
            self._rules.refused()
        self._inbox.append(as_recorded(event, self._core.engine.state.pricing.costs, self._fees.paid))
        self._wake()

    def _on_doubt(self, wall: Callable[[], int]) -> None:
        """Tell the engine, when it is news, why a venue may not be traded on now."""
        for gateway in self.gateways:
            if gateway not in self._compared and "start" not in gateway.doubts:
                self._compared.append(gateway)
                self._tell_strangers(gateway)
            self._take_care(gateway)
        for venue in dict.fromkeys(each.dialect.venue for each in self.gateways):
            if self._told.get(venue) != (now := status_of(venue, self.gateways)):
                self._told[venue] = now
                self._hear(structs.replace(now, ts=wall()))

    def _take_care(self, gateway: VenueGateway) -> None:
        """Take back what rests to enter, once, when an account may be another one's."""
        reasons = [text for cause, text in gateway.doubts.items() if cause in _SHARED]
        if not reasons:
            self._shared = [each for each in self._shared if each is not gateway]
        elif gateway not in self._shared:
            self._shared.append(gateway)
            self._log.error("account_not_ours_alone", venue=gateway.dialect.venue, text=" ".join(reasons))
            gateway.cancel_all(keeps_exits=True)

    def _tell_fees(self, text: str) -> None:
        self._log.warning("fees_above_configuration", text=text)

    def _tell_strangers(self, gateway: VenueGateway) -> None:
        """Tell people, once the account was compared, which orders stand there that are not on record."""
        if found := open_among(gateway.register.foreign.values()):
            venue = gateway.dialect.venue
            self._log.warning("orders_not_on_record", venue=venue, text=sentence(venue, found))

    def _moment(self, feed: LiveFeed) -> Moment:
        moment = super()._moment(feed)
        for gateway in self._compared:
            if count := sum(not each.state.is_closed for each in gateway.register.foreign.values()):
                moment = replace(moment, feeds=f"{moment.feeds}. {counted(gateway.dialect.venue, count)}")
        doubts = [f"{each.venue}: {' '.join(each.reasons)}" for each in self._told.values() if each.reasons]
        circuits = self._core.engine.state.feeds.circuits.values()
        shut = [each for each in circuits if not each.is_closed]
        doubts += [f"{each.venue or 'every venue'}: {each.part} {each.state}. {each.reason}" for each in shut]
        told = f"{moment.feeds}. Only exits at {' '.join(doubts)}"
        return replace(moment, feeds=told) if doubts else moment

    async def _ended(self, tasks: Sequence["asyncio.Future[None]"]) -> None:
        """End what goes on beside; nobody stays to watch entries that cannot be recorded any more."""
        self._log_all()
        if self.journal.has_failed:
            await self._take_back()
        try:
            await super()._ended(tasks)
        finally:
            if not await self._sure.rest(LAST_WORDS):
                self.journal.give_up()

    # --- the disk, which may be slow or hang

    def _failed(self) -> None:
        """Let the run find out at once that its record has failed."""
        self._wake()

    def _save(self) -> None:
        """Make a checkpoint; it is written beside, one at a time."""
        if self._stored is not None and not self._stored.done():
            return
        began, body, loop = time.perf_counter(), self._packed(), asyncio.get_running_loop()

        def store() -> int:
            self.journal.put_on_disk()
            return checkpoint.put(self.journal.path, body)

        def stored(done: "asyncio.Future[int]") -> None:
            error = None if done.cancelled() else done.exception()
            if error is not None:
                self._log.warning("checkpoint_failed", reason=str(error))
            elif not done.cancelled():
                self._kept(done.result(), began)

        self._stored = loop.run_in_executor(self._storing, store)
        self._stored.add_done_callback(stored)

    async def _leave(self) -> None:
        """Put the last state away; a disk that does not answer is not waited for."""
        await asyncio.gather(*(gateway.dead_man.release() for gateway in self.gateways))
        if self._stored is not None:
            await asyncio.wait((self._stored,), timeout=LAST_WORDS)
        if not self.journal.has_failed:
            self._save()
        if self._stored is not None:
            await asyncio.wait((self._stored,), timeout=LAST_WORDS)

    async def _take_back(self) -> None:
        """Take back what rests to enter (stops too when the kill switch says so), and wait for it a while."""
        keeps = killed(self._folder) is not Extent.ALL
        self._log.error(
            "unrecorded", text="What rests to enter is taken back: nothing can be recorded any more."
        )
        works = [gateway.cancel_all(keeps_exits=keeps) for gateway in self.gateways]
        patience = asyncio.ensure_future(self._sleep(LAST_WORDS))
        await asyncio.wait((asyncio.gather(*works), patience), return_when=asyncio.FIRST_COMPLETED)
        await stop(patience)

    # --- the turn

    def _beside(self, world: World, feed: LiveFeed) -> Sequence[Coroutine[object, object, None]]:
        self._wake, self.relay.inbox = feed.wake, feed.inbox
        watching = () if self._watching is None else self._watching(self, world)
        own = [self._watch_kill(world), self._watch_ground(world), *self._circuits.works(self.gateways)]
        own += [*self._loans.works(), *self._fees.works(world.pulse)]
        own += [] if self._rules is None else [self._rules.work(world.pulse)]
        return (*(gateway.run() for gateway in self.gateways), *own, *watching)

    def _write_down(self, outcome: Outcome) -> None:
        """Let what leaves go first: the log takes as long as a sync."""
        self._unlogged.append(outcome)
        if len(self._unlogged) == 1:
            asyncio.get_running_loop().call_later(LOG_AFTER, self._log_all)

    def _log_all(self) -> None:
        while self._unlogged:
            super()._write_down(self._unlogged.popleft())

    async def _watch_ground(self, world: World) -> None:
        """Risk nothing new while the disk does not take what is on record, or an account may be another one's."""
        while True:
            late, lost = self._sure.waited > SLOW_DISK, self._lease()
            for gateway in self.gateways:
                gateway.doubt(DISK, "the disk does not take the journal." if late else "")
                gateway.doubt(LEASE, lost)
            await world.pulse.sleep(SLOW_DISK / 4)

    def doubt(self, venue: str, cause: str, reason: str) -> None:
        """Take a reason against new risk at a venue, or (empty) take it back."""
        for gateway in self.gateways:
            if gateway.dialect.venue == venue:
                gateway.doubt(cause, reason)

    def _obey(self, wish: Wish) -> Answer:
        """Take an order from outside; one that accepts what the accounts hold is followed by the entries for it."""
        if wish.action is ControlAction.RESET_CIRCUITS:
            return self._reset(wish)
        if wish.action is not ControlAction.ADJUST:
            answer = super()._obey(wish)
            self._loans.hand_over()
            return answer
        acceptance = Acceptance(self.gateways, self._core.engine.state)
        if why := acceptance.objection(str(wish.values.get("seen", ""))):
            return Answer(error=why, remedy=f"Look again: abidance reconcile {self.material.config.name}")
        answer = super()._obey(wish)
        acceptance.book(answer.seq, self._pump.step, self._hear_accounts)
        return answer

    def _reset(self, wish: Wish) -> Answer:
        """Close the circuits that a person names, after that is on record."""
        answer = super()._obey(wish)
        named = named_circuits(wish.values)
        for moved in () if answer.error else self._circuits.reset(wish.actor, *named):
            self._pump.step(moved)
        return answer

    def _turn(self, feed: LiveFeed, watch: Callable[[Moment], None]) -> None:
        """Let the engine take what accounts and people say, then what the market does."""
        self.journal.check()
        self._hear_accounts()
        super()._turn(feed, watch)

    def _patience(self, now: float) -> float:
        return QUICK if now - self.relay.used_at < HURRY else super()._patience(now)

    async def _rest(self, feed: LiveFeed, pulse: object) -> None:
        if self._inbox:
            await asyncio.sleep(0)
            return
        await super()._rest(feed, pulse)  # type: ignore[arg-type]

    # --- the kill switch

    def _look_at_switch(self) -> None:
        """Leave the kill switch to its own watch: venues come first."""

    def unguarded(self) -> list[str]:
        """Say which exits nobody watches while this program does not run, because the venue does not have them."""
        watched = [each.request for one in self.gateways for each in one.register.open() if each.is_watched]
        return [
            f"{each.instrument}, {each.strategy}: {each.type.value} of {each.quantity} at {each.trigger or each.price}"
            for each in watched
        ]

    async def _watch_kill(self, world: World) -> None:
        """Obey the kill switch: gateways take back what stands, whether or not the engine's record can be written."""
        done: Extent | None = None
        is_open = partial(is_held, self.engine.state, self.engine.actions)
        while True:
            order, extent = self._switch.look(world.pulse.wall()), self._switch.extent
            if extent is not None and (extent is not done or order is not None):
                for gateway in self.gateways:
                    gateway.cancel_all(keeps_exits=extent is Extent.ENTRIES)
            for each in (
                order,
                self._switch.insist(world.pulse.wall(), world.pulse.steady(), is_open),
            ):
                if each is not None:
                    self._pump.step(each)
            done = extent
            await world.pulse.sleep(LOOK_EVERY)


def _dialects(material: Material, access: Mapping[str, Access]) -> list[AccountDialect]:
    """Return an account's side for each market of the run. Raises UsageError and ConfigError."""
    traded = (each for id, each in material.instruments.items() if not is_mood(id))
    found = accounts_of(traded, material.config.wallet_of)
    check_purses(found)
    for dialect in found:
        dialect.countdown = dialect.countdown if material.config.dead_man else None
        if dialect.venue not in access:
            raise ConfigError(
                f"There is no key for {dialect.venue}.", f"Add one: abidance keys add {dialect.venue}"
            )
    return found


__all__ = ["Access", "LiveTrading", "VenueError"]
