"""What goes wrong in the simulation: each kind by its name, when a seed lets it happen, and how it ends again."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from random import Random

from abidance.run.killing import Extent, kill, release
from abidance.testing.exchange import Fault, Market, Wrong
from abidance.testing.exchange.core import BUY, Force
from abidance.testing.exchange.desk import Declined, State, Ticket, Why, live
from abidance.testing.simulation.kinds import ASK, CANCEL, PLACE, UNCOUNTED
from abidance.testing.simulation.kinds import Kind as WorldKind
from abidance.testing.simulation.owner import DEEDS, Owner
from abidance.testing.simulation.world import Place, Site
from abidance.venues.net.transport import Answer

_REQUESTS: Mapping[str, Wrong] = {
    "request_lost": Wrong.DEAF,
    "answer_lost": Wrong.LOST,
    "accepted_and_5xx": Wrong.FAIL,
    "refused_and_5xx": Wrong.ERROR,
    "page_for_answer": Wrong.PAGE,
    "query_lag": Wrong.LAG,
    "too_many_429": Wrong.LIMIT,
    "banned_418": Wrong.BAN,
}
_FRAMES: Mapping[str, Wrong] = {
    "frame_lost": Wrong.GAP,
    "frame_doubled": Wrong.DUPLICATE,
    "frame_reordered": Wrong.REORDER,
    "frame_truncated": Wrong.TRUNCATE,
    "stream_broken": Wrong.DISCONNECT,
    "stream_closed": Wrong.CLOSE,
    "stream_silent": Wrong.SILENCE,
}
CROWDED = 0.25
"""In which share of the worlds somebody else places orders on the account for a while."""
SOON = 3.0
"""Seconds within which orders trade because the price has jumped."""
RESTATED, NEVER = 5_000_000_000, 1 << 63
"""Within how many ns of a release stops stand again, and a time that does not come."""
_SPOT_ONLY, _PERPETUAL_ONLY = frozenset({"traded_by_hand", "sold_by_hand"}), frozenset({"liquidated"})
_COINS = frozenset({"fee_in_coin", "coin_used_up"})
_WRITES = {"torn_write": "torn", "death_after_write": "dies", "short_write": "short", "sync_error": "sync"}


class Trouble:
    """Everything that goes wrong in one world, drawn from its seed."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._random = Random(f"trouble:{place.seed}")
        self._own = Random(f"orders:{place.seed}")
        self._scripted: list[tuple[str, Fault]] = []
        self._by_hand = 0
        self._bare_until = 0
        for site in place.sites:
            self._listen(site)
        self._owner = Owner(place)
        kinds: dict[str, Callable[[], Awaitable[None]]] = {
            name: self._named(each) for name, each in _KINDS.items()
        }
        kinds |= {name: self._script(name, what, on_frames=False) for name, what in _REQUESTS.items()}
        kinds |= {name: self._script(name, what, on_frames=True) for name, what in _FRAMES.items()}
        kinds |= {name: self._write(how) for name, how in _WRITES.items()}
        self._kinds = {name: work for name, work in kinds.items() if name not in _impossible(place.kind)}

    def _listen(self, site: Site) -> None:
        """Count what a fault does, where it does it at some time after it began."""
        place = self._place

        def answered(answer: Answer) -> None:
            if site.account.permissions.is_revoked and site.tongue.unknown in answer.body:
                place.hit("key_revoked")
            if place.pulse.skew and site.tongue.late in answer.body:
                place.hit("clock_off")

        def declined(why: Why) -> None:
            if why is Why.HALTED:
                place.hit("market_halted")
            elif why is Why.NOTIONAL and any(map(_is_changed, site.markets)):
                place.hit("filters_changed")

        site.network.answered, site.exchange.desk.declined = answered, declined
        site.network.turned_away = lambda: place.hit("offline")
        if site.exchange.quota is not None:
            site.exchange.quota.turned_away = lambda: place.hit("orders_used_up")

    async def rage(self, seconds: float) -> None:
        """Let things go wrong for so long, then let nothing go wrong any more."""
        random, loop = self._random, self._place.loop
        names = sorted(self._kinds)
        chosen = [random.choice(names) for _ in range(random.randint(3, 9))]
        until = loop.time() + seconds
        running = [
            asyncio.ensure_future(self._later(random.uniform(2.0, seconds * 0.8), self._kinds[name]))
            for name in chosen
        ]
        if self._own.random() < CROWDED and self._place.kind.instruments[0] not in UNCOUNTED:
            delay = self._own.uniform(2.0, seconds * 0.8)
            running.append(asyncio.ensure_future(self._later(delay, self._used_up)))
        running += [asyncio.ensure_future(each) for each in self._owner.plans(seconds)]
        await asyncio.sleep(until - loop.time())
        for task in running:
            if task.done():
                task.result()
            task.cancel()
        self.calm()

    async def _used_up(self) -> None:
        await orders_used_up(self._place, self._own, self)

    async def _later(self, delay: float, work: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(delay)
        await work()

    def calm(self) -> None:
        """Let nothing go wrong any more."""
        place = self._place
        for name, fault in self._scripted:
            for _ in range(fault.hits):
                place.hit(name)
        self._scripted.clear()
        for site in place.sites:
            site.exchange.faults.clear()
            for market in site.markets:
                market.is_listed = True
                market.change_filters(min_notional=market.instrument.min_notional)
            site.network.is_up, site.network.delay = True, _at_once
            site.account.permissions.is_revoked = False
        place.pulse.skew = 0
        place.loop.disk_takes = lambda: 0.0
        place.disk.full, place.disk.fails = False, ""
        place.crash_in, place.loses_power, place.wants_life = 0, False, True
        self.release()

    @property
    def is_bare(self) -> bool:
        """Return True while somebody wants positions to be without their stops, or did until just now."""
        return self._place.pulse.true() < self._bare_until

    def kill(self, extent: Extent) -> None:
        """Throw the kill switch."""
        place = self._place
        if extent is not Extent.ENTRIES:
            self._bare_until = NEVER
        kill(place.folder, "somebody", extent)
        place.checker.killed_at = place.checker.killed_at or place.pulse.true()

    def release(self) -> None:
        """Take the kill switch back."""
        place = self._place
        release(place.folder)
        place.checker.killed_at = None
        if self._bare_until == NEVER:
            self._bare_until = place.pulse.true() + RESTATED

    # --- kinds that the exchange's own script plays

    def _script(self, name: str, what: Wrong, *, on_frames: bool) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            random = self._random
            site = self._place.site(random)
            where = (
                ("account" if random.random() < 0.6 else "")
                if on_frames
                else (site.tongue.order if random.random() < 0.7 else "")
            )
            seconds = random.choice((1.0, 3.0, 8.0)) if what is not Wrong.SILENCE else 30.0
            times = 1 if what in (Wrong.BAN, Wrong.SILENCE) else random.randint(1, 5)
            fault = Fault(what, where, random.randrange(3), times, seconds)
            self._scripted.append((name, site.exchange.faults.add(fault)))

        return work

    def _write(self, how: str) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            self._place.disk.fails = how

        return work

    def _named(self, kind: "Kind") -> Callable[[], Awaitable[None]]:
        return lambda: kind(self._place, self._random, self)

    def number(self) -> int:
        """Return how many things were done by hand before."""
        self._by_hand += 1
        return self._by_hand


Kind = Callable[[Place, Random, Trouble], Awaitable[None]]


def _at_once(_method: str, _path: str) -> tuple[float, float, int]:
    return 0.0, 0.0, 1


def _is_changed(market: Market) -> bool:
    return market.rules.min_notional > market.instrument.min_notional


async def _slow(place: Place, random: Random, there: bool, word: str) -> None:
    name = "slow_request" if there else "slow_answer"
    seconds = random.choice((0.5, 2.0, 6.0, 14.0))
    site = place.site(random)

    def delay(method: str, path: str) -> tuple[float, float, int]:
        found = site.tongue.word(method, path)
        if not found or (word and found != word):
            return 0.0, 0.0, 1
        place.hit(name)
        return (seconds, 0.0, 1) if there else (0.0, seconds, 1)

    site.network.delay = delay
    await asyncio.sleep(random.uniform(1.0, 8.0))
    site.network.delay = _at_once


async def slow_request(place: Place, random: Random, _: Trouble) -> None:
    """Requests take long to arrive, longer than anybody waits for some of them."""
    await _slow(place, random, True, random.choice((PLACE, CANCEL, ASK, "")))


async def slow_answer(place: Place, random: Random, _: Trouble) -> None:
    """Answers take long to come back."""
    await _slow(place, random, False, random.choice((PLACE, CANCEL, "")))


async def fill_before_answer(place: Place, random: Random, _: Trouble) -> None:
    """Answers to orders take longer than what the stream tells of them."""
    site = place.site(random)

    def delay(method: str, path: str) -> tuple[float, float, int]:
        if site.tongue.word(method, path) != PLACE:
            return 0.0, 0.0, 1
        place.hit("fill_before_answer")
        return 0.0, 0.8, 1

    site.network.delay = delay
    await asyncio.sleep(10)
    site.network.delay = _at_once


async def question_doubled(place: Place, random: Random, _: Trouble) -> None:
    """Something on the way sends what changes nothing, or takes back, twice."""
    site = place.site(random)

    def delay(method: str, path: str) -> tuple[float, float, int]:
        if site.tongue.word(method, path) not in (CANCEL, ASK):
            return 0.0, 0.0, 1
        place.hit("question_doubled")
        return 0.0, 0.0, 2

    site.network.delay = delay
    await asyncio.sleep(random.uniform(2.0, 8.0))
    site.network.delay = _at_once


async def taken_and_not_known(place: Place, random: Random, _: Trouble) -> None:
    """Orders are taken without an answer, and questions about them go to copies that lag."""
    site = place.site(random)
    faults = site.exchange.faults
    script = [
        faults.add(Fault(random.choice((Wrong.LOST, Wrong.FAIL)), site.tongue.order, 0, 2)),
        faults.add(Fault(Wrong.LAG, "", 0, 0, 10.0)),
        faults.add(Fault(Wrong.GAP, "account", 0, 0)),
    ]
    await asyncio.sleep(random.uniform(6.0, 12.0))
    for fault in script:
        if fault in faults.script:
            faults.script.remove(fault)
    if script[0].hits and script[1].hits:
        place.hit("taken_and_not_known")


async def cancel_meets_fill(place: Place, random: Random, _: Trouble) -> None:
    """While the wish to take an order back is on its way, somebody trades with it."""
    site = place.site(random)

    def delay(method: str, path: str) -> tuple[float, float, int]:
        if site.tongue.word(method, path) == CANCEL:
            now = site.exchange.now
            for order in list(site.exchange.desk.orders.values()):
                rest = order.resting
                if rest is not None and order.state.is_working and rest.price is not None:
                    book, before = order.market.book, order.filled
                    lots = book.available(-order.ticket.side, rest.price)
                    lots = lots if random.random() < 0.6 else max(1, lots - rest.left // 2)
                    book.submit(now, "taker", -order.ticket.side, lots, rest.price, Force.IOC)
                    if order.filled > before:
                        place.hit("cancel_meets_fill")
                    break
        return 0.0, 0.0, 1

    site.network.delay = delay
    await asyncio.sleep(15)
    site.network.delay = _at_once


async def cut(place: Place, _random: Random, _: Trouble) -> None:
    """Every connection breaks."""
    if sum(site.network.cut() for site in place.sites):
        place.hit("cut")


async def offline(place: Place, random: Random, _: Trouble) -> None:
    """Every connection breaks, and none can be made for a while."""
    sites = place.sites if len(place.sites) == 1 or random.random() < 0.5 else (place.site(random),)
    for site in sites:
        site.network.is_up = False
        site.network.cut()
    await asyncio.sleep(random.uniform(0.5, 12.0))
    for site in sites:
        site.network.is_up = True


async def maintenance(place: Place, random: Random, _: Trouble) -> None:
    """The venue answers everything with a page, and lets nobody in."""
    site = place.site(random)
    faults = site.exchange.faults
    script = [faults.add(Fault(Wrong.ERROR, "", 0, 0)), faults.add(Fault(Wrong.REFUSE, "", 0, 0))]
    site.network.cut()
    await asyncio.sleep(random.uniform(3.0, 12.0))
    for fault in script:
        if fault.hits:
            place.hit("maintenance")
        if fault in faults.script:
            faults.script.remove(fault)


async def key_revoked(place: Place, random: Random, _: Trouble) -> None:
    """The key is refused for a while."""
    site = place.site(random)
    site.account.permissions.is_revoked = True
    await asyncio.sleep(random.uniform(2.0, 12.0))
    site.account.permissions.is_revoked = False


async def clock_off(place: Place, random: Random, _: Trouble) -> None:
    """The machine's clock is wrong for a while."""
    place.pulse.skew = round(random.choice((-40, -4, -1.5, 0.7, 1.5, 4, 40)) * 1_000_000_000)
    await asyncio.sleep(random.uniform(5.0, 30.0))
    place.pulse.skew = 0


async def filters_changed(place: Place, random: Random, _: Trouble) -> None:
    """The venue asks for larger orders for a while."""
    site = place.site(random)
    market = site.market(random)
    least = market.instrument.min_notional
    market.change_filters(min_notional=least * 100)
    await asyncio.sleep(random.uniform(3.0, 12.0))
    market.change_filters(min_notional=least)


async def market_halted(place: Place, random: Random, _: Trouble) -> None:
    """The venue ends every order and takes no more for a while, as when an instrument is taken off its list."""
    site = place.site(random)
    site.exchange.catch_up()
    if any(live(site.exchange.desk.orders.values())):
        place.hit("market_halted")
    market = site.market(random)
    site.exchange.desk.delist(market, site.exchange.now)
    await asyncio.sleep(random.uniform(2.0, 8.0))
    market.is_listed = True


async def price_jump(place: Place, random: Random, _: Trouble) -> None:
    """The price is another at once: orders that stand may fill, stops may be touched."""
    site = place.sites[0]
    standing = [(order, order.filled) for order in live(list(site.exchange.desk.orders.values()))]
    site.walk.jump(random.choice((-0.01, -0.004, 0.004, 0.01)))
    await asyncio.sleep(SOON)
    for order, before in standing:
        if order.filled > before:
            place.hit("price_jump")


async def traded_by_hand(place: Place, random: Random, trouble: Trouble) -> None:
    """Somebody buys on the account by hand."""
    site = place.site(random)
    market = site.market(random)
    lots = int(Decimal(random.choice((20, 100, 300))) / 60_000 / market.instrument.lot)
    ticket = Ticket(f"by-hand-{trouble.number()}", BUY, max(1, lots), force=Force.IOC)
    site.exchange.catch_up()
    try:
        site.exchange.desk.place(site.account, market, ticket, site.exchange.now)
    except Declined:
        return
    place.hit("traded_by_hand")


async def taken_back_by_hand(place: Place, random: Random, _: Trouble) -> None:
    """Somebody takes back what stands at the venue, or the venue itself lets it expire."""
    site = place.site(random)
    site.exchange.catch_up()
    working = [o for o in site.exchange.desk.orders.values() if o.state in (State.WAITING, State.OPEN)]
    if working:
        place.hit("taken_back_by_hand")
        chosen = random.choice(working)
        expires = chosen.ticket.trigger is not None and place.seed % 2
        state = State.EXPIRED if expires else State.CANCELLED
        site.exchange.desk.cancel(chosen, site.exchange.now, state)


async def orders_used_up(place: Place, random: Random, _: Trouble) -> None:
    """Somebody else places orders on the account for a while, as many as the venue takes: it takes none of ours."""
    site, until = place.site(random), place.loop.time() + random.uniform(3.0, 15.0)
    quota = site.exchange.quota
    while quota is not None and place.loop.time() < until:
        site.exchange.catch_up()
        quota.use_up_orders(
            site.account.key, [each.instrument.id for each in site.markets], site.exchange.now
        )
        await asyncio.sleep(0.25)


async def liquidated(place: Place, _random: Random, _: Trouble) -> None:
    """The venue takes positions over of its own will."""
    for site in place.sites:
        site.exchange.catch_up()
        desk, account = site.exchange.desk, site.account
        held = [market for market, _ in desk.clearing.open_of(account)]
        if held and desk.take_over(account, held, site.exchange.now):
            place.hit("liquidated")


async def crash(place: Place, random: Random, _trouble: Trouble) -> None:
    """The process is killed between any two steps of its tasks, once or a few times."""
    for _ in range(random.randint(1, 3)):
        place.crash_in = random.randint(1, 300)
        await asyncio.sleep(random.uniform(0.0, 6.0))


async def power_cut(place: Place, random: Random, _: Trouble) -> None:
    """The process ends, and the disk forgets what was not synced."""
    place.loses_power, place.crash_in = True, random.randint(1, 200)


async def disk_full(place: Place, random: Random, _: Trouble) -> None:
    """The disk is full for a while."""
    place.disk.full = True
    await asyncio.sleep(random.uniform(0.5, 8.0))
    place.disk.full = False


async def stopped(place: Place, random: Random, _: Trouble) -> None:
    """Somebody stops the bot in order, and starts it again."""

    def ended(life: asyncio.Task[None]) -> None:
        if not life.cancelled() and life.exception() is None and not place.wants_life:
            place.hit("stopped")

    if place.life is not None and not place.life.done():
        place.life.add_done_callback(ended)
    place.wants_life = False
    await asyncio.sleep(random.uniform(0.2, 6.0))
    place.wants_life = True


async def killed(place: Place, random: Random, trouble: Trouble) -> None:
    """Somebody throws the kill switch, and takes it back later."""
    extent = random.choice((Extent.ENTRIES, Extent.ENTRIES, Extent.ALL, Extent.FLATTEN))
    place.hit(f"killed_{extent.value}")
    trouble.kill(extent)
    await asyncio.sleep(random.uniform(3.0, 15.0))
    trouble.release()


_KINDS: dict[str, Kind] = {
    each.__name__: each
    for each in (
        slow_request, slow_answer, fill_before_answer, question_doubled, taken_and_not_known, cancel_meets_fill, cut, offline, maintenance,
        key_revoked, clock_off, filters_changed, market_halted, price_jump, traded_by_hand, taken_back_by_hand, liquidated, crash,
        power_cut, disk_full, stopped, killed,
    )
}  # fmt: skip
FAULTS = frozenset(
    {
        *_KINDS,
        *_REQUESTS,
        *_FRAMES,
        *_WRITES,
        *DEEDS,
        "killed_entries",
        "killed_all",
        "killed_flatten",
        "slow_disk",
        "orders_used_up",
        *_COINS,
    }
    - {"killed"}
)
"""Everything that may go wrong; over many seeds each must have."""


def faults_of(kind: WorldKind) -> frozenset[str]:
    """Return what may go wrong in one kind of world."""
    return FAULTS - _impossible(kind)


def _impossible(kind: WorldKind) -> frozenset[str]:
    uncounted = {"orders_used_up"} if kind.instruments[0] in UNCOUNTED else set()
    return (
        (_SPOT_ONLY if kind.is_perpetual else _PERPETUAL_ONLY)
        | (frozenset() if kind.coin else _COINS)
        | uncounted
    )
