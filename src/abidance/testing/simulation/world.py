"""One world of the simulation: a venue, a machine with a disk, and the bots that live on it one after the other.

The whole live program runs, from the strategy to the bytes of its requests and of its journal; only sockets, clocks,
chance and the disk are played, and one seed decides them. What goes wrong is `trouble`'s business, what must hold in
spite of it the checker's.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl

from abidance.engine.digest import OutcomeDigest
from abidance.journal import store
from abidance.kernel.log import logger
from abidance.market.bars import Bars
from abidance.market.reference import instrument
from abidance.model.errors import JournalError, VenueError
from abidance.model.instrument import SECOND_NS
from abidance.model.outcome import Outcome
from abidance.run.bot import JOURNAL, bars_of
from abidance.run.departures import BEGUN, Departures
from abidance.run.live import gather_begun
from abidance.run.setup import Material
from abidance.run.trading import Access, LiveTrading
from abidance.testing.exchange import Account, Crowd, LocalExchange, Market, Walk
from abidance.testing.exchange.core import BUY, SELL
from abidance.testing.exchange.crowd import generated_past
from abidance.testing.exchange.desk import News
from abidance.testing.exchange.house import Asked
from abidance.testing.exchange.memory import Network, Plug
from abidance.testing.simulation.checker import Best, Checker
from abidance.testing.simulation.clockwork import VirtualLoop, VirtualPulse
from abidance.testing.simulation.disk import Died, Disk
from abidance.testing.simulation.kinds import (
    CONTRACT,
    SPOT,
    Kind,
    coins_of,
    config_of,
    epoch_of,
    grade_of,
    taker_of,
    terms_of,
)
from abidance.venues.account import Credentials
from abidance.venues.dialect import Frame
from abidance.venues.net.budget import Budgets
from abidance.venues.net.line import World as Shared

PAST = 300
DEAREST_CHANGE = 9
"""What taking a young order back and placing another one costs at most of a venue's count of orders (Kraken's)."""
BEGIN = 60_000.0
FUNDS = Decimal(20_000)
SECRET, PHRASE = "YS1zZWNyZXQtaW4tYmFzZTY0", "a-phrase"
STRATEGIES = Path(__file__).with_name("strategies")
SLOW, RARELY = 3, 0.05
"""Which of four worlds have a slow disk, and how often a sync takes seconds there."""


def memory_of(folder: Path) -> Path:
    """Return the file that stands for memory which outlives the process and not the machine."""
    return folder.with_name("memory")


class SimulatedBot(LiveTrading):
    """The bot as it is, with nobody at its door, and an ear on every outcome; it repeats all of its record."""

    keeps = False
    disk: Disk | None = None

    def __init__(self, material: Material, folder: Path, access: dict[str, Access]) -> None:
        self.digest = OutcomeDigest()
        super().__init__(material, folder, access)
        logging.getLogger().setLevel(logging.ERROR)  # of what goes wrong on purpose too much is said

    def __exit__(self, *told: object) -> None:
        if self.disk is not None and self.disk.is_dead:  # who is killed puts nothing away
            self._departures.end(keeps=True)
            self._departures = Departures(None, self._folder / BEGUN)
        super().__exit__(*told)

    def _noted(self) -> Departures:
        return Departures(memory_of(self._folder), self._folder / BEGUN)

    def _room(self) -> int:
        return 0 if self.disk is not None and self.disk.full else 1 << 40

    def _listen(self, wake: Callable[[], object] | None = None) -> None:
        """Open no door: it is a socket and a thread."""

    def _observe(self, outcome: Outcome) -> None:
        self.digest.update(outcome)
        super()._observe(outcome)

    async def _repeat(self, wires: Any) -> int | None:
        last = await super()._repeat(wires)
        self.repeated = self.state()
        return last

    def state(self) -> str:
        """Return one hash over what came of all decisions, and over the decisions where all of them are repeated."""
        orders, decided = self.engine.state.orders.all(), "" if self.keeps else self.digest.hexdigest()
        held = (sorted(self.balances().items()), self.positions(), orders, self.engine.fills)
        return hashlib.sha256(f"{decided} {held}".encode()).hexdigest()

    def balances(self) -> dict[tuple[str, str], Decimal]:
        """Return what our books say is there, by venue and asset."""
        ledger = self.engine.state.portfolio.ledger
        return {
            (venue, asset): amount
            for venue in self.material.venues
            for asset, amount in ledger.balances(venue).items()
            if amount
        }

    def positions(self) -> dict[str, Decimal]:
        """Return what our books say is held, over all strategies."""
        found: dict[str, Decimal] = {}
        for each in self.engine.state.portfolio.open_positions():
            found[each.instrument] = found.get(each.instrument, Decimal(0)) + each.quantity
        return found


class CheckpointedBot(SimulatedBot):
    """One that goes on from its last checkpoint."""

    keeps = True


class Site:
    """One venue of a world: its exchange with its markets and our account there, and the way to it."""

    def __init__(self, seed: int, kind: Kind, ids: tuple[str, ...], walk: Walk, pulse: VirtualPulse) -> None:
        epoch, coin, instrument_id = epoch_of(kind), kind.coin, ids[0]
        self.tongue = kind.tongue(instrument_id)
        self.walk = walk
        self.markets = tuple(_market(seed, id, walk, epoch) for id in ids)
        self.venue = instrument(instrument_id).venue
        owner = Account(
            "a-key",
            SECRET,
            PHRASE,
            maker=taker_of(instrument_id),
            taker=taker_of(instrument_id),
            fee_asset=coin,
        )
        self.account = owner.open_margin() if kind.of_margin else owner
        self.exchange = LocalExchange(
            self.markets, start=epoch, clock=pulse, accounts=[owner],
            limited=True, grade=grade_of(seed, kind),
        )  # fmt: skip
        self.exchange.desk.transfer(self.account, "USDT", FUNDS, epoch)
        if coin:
            self.exchange.desk.transfer(self.account, coin, coins_of(seed), epoch)
        salt = "" if instrument_id in (SPOT, CONTRACT) else instrument_id
        self.network = Network(self.exchange, Random(f"network:{seed}{salt}"))

    def market(self, random: Random) -> Market:
        """Return one of its markets by chance."""
        return self.markets[0] if len(self.markets) == 1 else random.choice(self.markets)

    def quoted(self, frame: Frame) -> list[str]:
        """Return the instruments of which a frame tells the best prices."""
        if not self.tongue.tells_quotes(frame):
            return []
        rules = [each.instrument for each in self.markets]
        if len(rules) == 1:
            return [rules[0].id]
        text = frame if isinstance(frame, str) else frame.decode()
        return [each.id for each in rules if f"{each.base}{each.quote}" in text]


class Place:
    """The venues, the machine, and the lives on it. `hit` counts what went wrong, by name."""

    def __init__(self, seed: int, folder: Path, kind: Kind) -> None:
        self.seed = seed
        self.kind = kind
        self.random = Random(f"world:{seed}")
        self.loop = VirtualLoop(self._turned)
        self.pulse = VirtualPulse(self.loop, epoch_of(kind))
        self.folder = folder / "bot"
        self.folder.mkdir(parents=True)
        self.hits: dict[str, int] = {}
        walk = Walk(f"{seed}:{kind.instruments[0]}", BEGIN, 0.08)
        self.sites = tuple(Site(seed, kind, ids, walk, self.pulse) for ids in kind.venues)
        self.disk = Disk(self.folder / JOURNAL, Random(f"disk:{seed}"))
        self._disk_pace = Random(f"disk pace:{seed}")
        self.checker = Checker(terms_of(kind), kind.shares, is_worked=kind.is_worked)
        self.plug = self._plug()
        self.bot: SimulatedBot | None = None
        self.life: asyncio.Task[None] | None = None
        self.lives = 0
        self.wants_life = True
        self.crash_in = 0
        """Turns of the event loop until the process dies; 0 is never."""
        self.loses_power = False
        self.ended_as = ""
        self._said: tuple[int, str] = (0, "")
        self._config = config_of(seed, kind)
        self._wire()

    def _plug(self) -> Plug:
        return Plug({site.tongue.host: site.network for site in self.sites})

    def _wire(self) -> None:
        checker, disk = self.checker, self.disk
        checker.at(self.pulse.true, self._best, self._is_crowded)
        disk.began, disk.wrote = checker.began, checker.journal.wrote
        disk.cut, disk.kept = checker.was_cut, checker.journal.synced
        disk.hit, disk.died = self.hit, self._pulled
        if self.seed % 4 == SLOW:
            self.loop.disk_takes = self._slowly
        for site in self.sites:
            self._listen(site)

    def _listen(self, site: Site) -> None:
        desk, told = site.exchange.desk, site.exchange.desk.hear
        truth, checker = self.checker.venues[site.venue], self.checker

        def hear(news: News) -> None:
            truth.entry(desk.history[-1], news.order.market.instrument.id if news.order else "")
            if self.kind.coin and news.part is not None:
                self.hit("fee_in_coin" if news.part.fee_asset == self.kind.coin else "coin_used_up")
            told(news)

        def leaves(asked: Asked) -> None:
            text = asked.raw_query or asked.body.decode()
            named = json.loads(text) if text.startswith("{") else dict(parse_qsl(text))
            id = site.tongue.placed(asked, named)
            if id:
                checker.leaves(id, self.pulse.true())
            elif asked.path.endswith(site.tongue.money):
                checker.weighed.add(site.venue)

        def arrived(frame: Frame) -> None:
            checker.heard_at |= dict.fromkeys(site.quoted(frame), self.pulse.true())

        desk.hear = hear
        site.network.leaving, site.network.arrived = leaves, arrived

    def _best(self, id: str) -> Best:
        """Return at what an instrument can truly be sold and bought now."""
        market = next(each for site in self.sites for each in site.markets if each.instrument.id == id)
        bid, ask = (market.book.best(side) for side in (BUY, SELL))
        tick = market.instrument.tick
        return None if bid is None else bid * tick, None if ask is None else ask * tick

    def _is_crowded(self, id: str) -> bool:
        """Say whether a venue has no room now for taking an order back that is young and placing another one."""
        site = next(each for each in self.sites if each.venue == instrument(id).venue)
        quota, now = site.exchange.quota, site.exchange.now
        return quota is not None and quota.room(site.account.key, id, now) < DEAREST_CHANGE

    def site(self, random: Random) -> Site:
        """Return one of the venues by chance."""
        return self.sites[0] if len(self.sites) == 1 else random.choice(self.sites)

    @property
    def is_silent(self) -> bool:
        """Return True while a connection is open on which a fault lets nothing be said."""
        return any(site.exchange.is_silent for site in self.sites)

    def _slowly(self) -> float:
        """Return how long the disk takes for a sync: mostly some ms, now and then too long for any order to wait."""
        draw = self._disk_pace.random()
        if draw > RARELY:
            return draw / 50
        self.hit("slow_disk")
        return self._disk_pace.uniform(1.0, 9.0)

    def hit(self, what: str) -> None:
        """Count something that went wrong."""
        self.hits[what] = self.hits.get(what, 0) + 1

    # --- the course of time

    def _turned(self) -> None:
        """Let the process die between two steps of its tasks, if it is time."""
        if self.crash_in:
            self.crash_in -= 1
            if not self.crash_in and self.life is not None and not self.life.done():
                self.hit("crash")
                self._pulled()
                self.life.cancel()

    def _pulled(self) -> None:
        """Let nothing more come of the process."""
        if self.bot is not None and not self.disk.is_dead:
            at_rest = not self.disk.fails and not self.bot.journal.recorded
            self._said = (
                (self.bot.journal.seq, self.bot.state()) if at_rest and self.bot.relay.is_open else (0, "")
            )
        self.disk.is_dead = self.plug.is_pulled = True

    async def play(self, site: Site) -> None:
        """Let an exchange act when it is time."""
        exchange = site.exchange
        while True:
            due = exchange.next_ts
            await asyncio.sleep(max(0.0, (due - self.pulse.true()) / SECOND_NS))
            exchange.catch_up()

    async def keep_alive(self) -> None:
        """Start a process whenever there is none."""
        while True:
            if self.wants_life:
                self.lives += 1
                self.life = asyncio.ensure_future(self._live())
                await asyncio.wait((self.life,))
                self._buried()
                await asyncio.sleep(self.random.uniform(0.2, 3.0))
            else:
                await asyncio.sleep(0.1)

    def _buried(self) -> None:
        assert self.life is not None
        if self.loses_power:
            self.loses_power = False
            self.disk.power_cut()
            memory_of(self.folder).unlink(missing_ok=True)
            self.hit("power_cut")
        if self.life.cancelled():
            return
        error = self.life.exception()
        if error is None or isinstance(error, Died):
            return
        if (
            not isinstance(error, (VenueError, JournalError))
            or "ends otherwise" in str(error)
            or "disagree" in str(error)
        ):
            self.checker.fail("program", f"the program failed: {type(error).__name__}: {error}", error)
        self.ended_as = str(error)

    async def _live(self) -> None:
        self.disk.opened()
        self.checker.weighed.clear()
        self.plug = self._plug()
        config, now = self._config, self.pulse.wall()
        material = await gather_begun(config, self.history, STRATEGIES, self.folder, now)
        access = {
            site.venue: Access(
                Credentials("a-key", SECRET, PHRASE), f"http://{site.tongue.host}", f"ws://{site.tongue.host}"
            )
            for site in self.sites
        }
        draw = Random(f"{self.seed}:{self.lives}").random
        kind = CheckpointedBot if self.seed % 2 else SimulatedBot
        with kind(material, self.folder, access) as bot:
            self.bot, bot.disk = bot, self.disk
            try:
                shared = Shared(
                    self.plug, self.pulse, Budgets(self.pulse, config.feed.grades), draw, logger("simulation")
                )
                await bot.run(shared, lambda: not self.wants_life, self._watch, self.history)
                self._said = (bot.journal.seq, bot.state())
            finally:
                self.bot = None

    def _watch(self, _moment: object) -> None:
        bot = self.bot
        assert bot is not None
        if self._said[0] and bot.resumed == self._said[0] and bot.repeated != self._said[1]:
            self.checker.fail("replay", "what the journal repeats is not what the process had decided")
        self._said = (0, "")
        self.checker.books(bot.balances(), bot.positions())
        self.checker.worth(bot.engine.state.portfolio.equity())

    async def history(self, id: str, timeframe: str, start: int, end: int) -> Bars:
        """Return a venue's own closed bars, as long as it can be reached."""
        await asyncio.sleep(0.02)
        site, market = next(
            (each, market) for each in self.sites for market in each.markets if market.instrument.id == id
        )
        if not site.network.is_up:
            raise VenueError("No history: the network is down.", "It is asked again.")
        bars = [b for b in market.bars(timeframe, start, end) if b.ts_close <= site.exchange.now]
        return bars_of((id, timeframe), bars)


def _market(seed: int, id: str, walk: Walk, epoch: int) -> Market:
    rules = instrument(id)
    crowd = Crowd(walk, f"{seed}:{id}", 8.0, 120)
    return Market(rules, [crowd], generated_past(rules, BEGIN, epoch, PAST, seed), seed)


class Errors(logging.Handler):
    """Hears of exceptions that nobody expected: whoever catches them to live on says so in the log."""

    def __init__(self, checker: Checker) -> None:
        super().__init__(logging.ERROR)
        self._checker = checker

    def emit(self, record: logging.LogRecord) -> None:
        """Take such an exception for a failure of the program."""
        told = record.msg
        if isinstance(told, dict) and "exception" in told:
            self._checker.fail("program", f"{told['event']}: {told['exception']}")

    def __enter__(self) -> None:
        logging.getLogger().addHandler(self)

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)


def faulty(disk: Disk) -> Any:
    """Let journals be written to a disk that fails."""
    return patch.object(store, "os", disk)
