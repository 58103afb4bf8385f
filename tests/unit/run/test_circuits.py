"""The watch over circuits: gateways on local exchanges of each venue at which one thing after the other goes wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from abidance.journal.record import RunHeader
from abidance.journal.store import FileJournal
from abidance.model.event import CircuitMoved, CircuitState, Part
from abidance.model.instrument import SECOND_NS
from abidance.model.market import DataKind, FeedState, FeedStatus
from abidance.model.order import OrderType, Side
from abidance.risk.circuits import RUN, Sign
from abidance.risk.config import CircuitsConfig
from abidance.run.circuits import CircuitWatch, open_circuits
from abidance.testing.exchange import Fault, Wrong
from tests.unit.venues.net_world import HandPulse
from tests.unit.venues.trading_world import SCENES, World

OPEN, HALF_OPEN, CLOSED = CircuitState.OPEN, CircuitState.HALF_OPEN, CircuitState.CLOSED
ROOM = 10**12


class Watched:
    """A world whose gateway is watched."""

    def __init__(self, venue: str, **config: object) -> None:
        self.world = World(venue=venue)
        self.moves: list[CircuitMoved] = []
        self.room = ROOM
        self.config = CircuitsConfig.model_validate(config)
        self.watch = CircuitWatch(self.config, self.moves.append, lambda: self.room)
        self.world.signs = partial(self.watch.see, venue)
        self.venue = venue
        self._works: list[asyncio.Task[None]] = []

    async def begin(self) -> "Watched":
        self.watch.begin(self.world.pulse, list(self.moves), [self.venue])
        await self.world.start()
        self._works = [asyncio.ensure_future(each) for each in self.watch.works([self.world.gateway])]
        return self

    async def end(self) -> None:
        await self.world.stop()
        for work in self._works:
            work.cancel()
        for work in self._works:
            with suppress(asyncio.CancelledError):
                await work

    def state(self, part: Part) -> CircuitState:
        return next((each.state for each in reversed(self.moves) if each.part is part), CLOSED)

    async def until(self, part: Part, state: CircuitState, seconds: float) -> float:
        """Let time pass until a circuit is in a state, for so long at most, and return how long it took."""
        began = self.world.pulse.now
        while self.state(part) is not state and self.world.pulse.now - began < seconds:
            await self.world.advance(0.5)
        assert self.state(part) is state, self.moves
        return self.world.pulse.now - began

    def goes_wrong(self, what: Wrong, where: str = "", times: int = 0, seconds: float = 1.0) -> None:
        self.world.exchange.faults.add(Fault(what, where or self.world.scene.every, 0, times, seconds))

    def is_well(self) -> None:
        assert not self.world.exchange.faults.unhit()
        self.world.exchange.faults.clear()


@pytest.fixture
async def watched() -> AsyncIterator[Callable[..., Watched]]:
    made: list[Watched] = []

    def make(venue: str = "BINANCE", **config: object) -> Watched:
        made.append(Watched(venue, **config))
        return made[-1]

    yield make
    for each in made:
        await each.end()


@pytest.mark.parametrize("venue", SCENES)
@pytest.mark.parametrize("wrong", [Wrong.ERROR, Wrong.LOST, Wrong.PAGE])
async def test_a_venue_that_answers_nothing_sensible_opens_its_circuit_until_it_does(
    watched: Callable[..., Watched], venue: str, wrong: Wrong
) -> None:
    here = await watched(venue).begin()

    here.goes_wrong(wrong)
    await here.until(Part.REQUESTS, OPEN, 60)
    opened = here.moves[-1]
    await here.world.advance(opened.rest + 5)
    in_vain = [each for each in here.moves if each.state is OPEN]
    here.is_well()
    took = await here.until(Part.REQUESTS, CLOSED, 90)

    assert opened.reason.startswith("Requests failed 5 times in 60 s, the last: ")
    assert in_vain[-1].rest == 2 * opened.rest
    assert in_vain[-1].reason.startswith("Tried again in vain, the last: ")
    assert took <= in_vain[-1].rest + 10
    assert {each.part for each in here.moves} == {Part.REQUESTS}


@pytest.mark.parametrize("venue", SCENES)
async def test_a_stop_and_a_cancel_leave_while_the_circuit_is_open(
    watched: Callable[..., Watched], venue: str
) -> None:
    here = await watched(venue).begin()
    world = here.world
    entry, resting = world.submit(), world.rest()
    await world.advance(2)
    for _ in range(5):
        world.submit(quantity="9000")  # more than the account can pay
    await here.until(Part.ORDERS, OPEN, 5)

    stop = world.stop_loss(300)
    world.cancel(resting)
    await world.advance(2)

    assert "OrderFilled" in world.told(entry)
    assert world.told(stop)[:1] == ["OrderAccepted"]
    assert "OrderCancelled" in world.told(resting)


@pytest.mark.parametrize("venue", SCENES)
async def test_orders_that_are_refused_open_a_circuit_and_orders_that_are_taken_close_it(
    watched: Callable[..., Watched], venue: str
) -> None:
    here = await watched(venue).begin()

    for _ in range(5):
        here.world.submit(quantity="9000")
    await here.until(Part.ORDERS, OPEN, 5)
    await here.until(Part.ORDERS, HALF_OPEN, 20)
    await here.world.advance(20)
    untried = here.state(Part.ORDERS)
    for _ in range(2):
        here.world.submit()
        await here.world.advance(2)

    assert untried is HALF_OPEN
    assert here.state(Part.ORDERS) is CLOSED
    assert here.moves[0].reason.startswith("Orders were refused 5 times in 600 s, the last: BTC/USDT@")


async def test_a_resting_order_that_would_trade_at_once_is_no_sign_of_trouble(
    watched: Callable[..., Watched],
) -> None:
    here = await watched().begin()

    for _ in range(8):
        price = here.world.bid() + 500
        here.world.submit(Side.BUY, type=OrderType.LIMIT, price=price, post_only=True)
        await here.world.advance(1)

    rejected = [type(each).__name__ for each in here.world.events]
    assert rejected.count("OrderRejected") == 8
    assert here.moves == []


@pytest.mark.parametrize("venue", SCENES)
async def test_slow_answers_open_a_circuit_until_they_are_quick(
    watched: Callable[..., Watched], venue: str
) -> None:
    here = await watched(venue).begin()

    here.goes_wrong(Wrong.LATE, seconds=5)
    await here.until(Part.LATENCY, OPEN, 120)
    here.is_well()
    await here.until(Part.LATENCY, CLOSED, 40)

    assert here.moves[0].reason.startswith("Answers were slow 5 times in 60 s, the last: ")
    assert {each.part for each in here.moves} == {Part.LATENCY}


@pytest.mark.parametrize("venue", ["BINANCE", "BYBIT"])
async def test_a_ban_opens_the_circuit_at_once(watched: Callable[..., Watched], venue: str) -> None:
    here = await watched(venue).begin()

    here.goes_wrong(Wrong.BAN, times=1, seconds=20)
    await here.until(Part.REQUESTS, OPEN, 40)
    asked = here.world.exchange.faults.script[0].hits
    here.is_well()
    took = await here.until(Part.REQUESTS, CLOSED, 700)

    assert asked == 1
    assert took >= 20  # until it was over, nothing was asked
    assert [each.state for each in here.moves] == [OPEN, HALF_OPEN, CLOSED]


async def test_a_clock_that_is_off_opens_its_circuit_until_it_is_right(
    watched: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await watched().begin()
    pulse = here.world.pulse
    monkeypatch.setattr(pulse, "wall", lambda: HandPulse.wall(pulse) - 20 * SECOND_NS)
    monkeypatch.setattr(here.world.exchange._clock, "now", lambda: HandPulse.wall(pulse))

    await here.world.gateway.set_clock()
    opened = here.moves[-1]
    monkeypatch.undo()
    await here.until(Part.CLOCK, CLOSED, 40)

    assert (opened.part, opened.state) == (Part.CLOCK, OPEN)
    assert opened.reason == "The clock was off, the last: -20.0 s (`risk.circuits.clock`)."


async def test_a_private_stream_that_breaks_again_and_again_opens_a_circuit(
    watched: Callable[..., Watched],
) -> None:
    here = await watched().begin()

    for _ in range(3):
        await here.world.advance(20)
        await here.world.ears[-1].close()
    await here.until(Part.STREAM, OPEN, 2)
    await here.until(Part.STREAM, CLOSED, 40)

    assert here.moves[0].reason.startswith("The private stream was lost or silent 3 times in 300 s")


@pytest.mark.parametrize("venue", ["KUCOIN", "BYBIT"])
async def test_a_private_stream_that_is_up_and_says_nothing_is_found_out_and_begun_anew(
    watched: Callable[..., Watched], venue: str
) -> None:
    here = await watched(venue, stream=[1, 1, 300]).begin()
    before = len(here.world.ears)

    here.goes_wrong(Wrong.GAP, "account")
    order = here.world.submit()
    await here.until(Part.STREAM, OPEN, 60)
    here.is_well()
    await here.until(Part.STREAM, CLOSED, 40)

    assert here.world.told(order).count("OrderFilled") >= 1
    assert len(here.world.ears) > before
    assert "execution" in here.moves[0].reason


async def test_what_happens_at_one_venue_is_of_no_concern_to_another(watched: Callable[..., Watched]) -> None:
    sick, well = await watched("KRAKEN").begin(), await watched("BYBIT").begin()

    sick.goes_wrong(Wrong.ERROR)
    for _ in range(60):
        await sick.world.advance(1)
        await well.world.advance(1)

    assert sick.state(Part.REQUESTS) is not CLOSED
    assert well.moves == []
    assert well.world.gateway.doubts == {}


async def test_what_was_open_when_the_program_ended_is_tried_by_the_next_one(
    watched: Callable[..., Watched],
) -> None:
    here, next_one = watched(), watched()
    await here.begin()
    here.goes_wrong(Wrong.ERROR)
    await here.until(Part.REQUESTS, OPEN, 60)

    next_one.moves = here.moves[-1:]
    next_one.watch = CircuitWatch(next_one.config, next_one.moves.append, lambda: ROOM)
    next_one.world.signs = partial(next_one.watch.see, "BINANCE")
    await next_one.begin()
    first = next_one.moves[1]
    await next_one.until(Part.REQUESTS, CLOSED, 5)

    assert (first.state, first.reason) == (HALF_OPEN, "The program was started again.")


async def test_a_person_closes_a_circuit_and_it_opens_again_if_the_trouble_lasts(
    watched: Callable[..., Watched],
) -> None:
    here = await watched().begin()
    here.goes_wrong(Wrong.ERROR)
    await here.until(Part.REQUESTS, OPEN, 60)

    closed = here.watch.reset("somebody", "BINANCE", "requests")
    here.moves += closed
    again = await here.until(Part.REQUESTS, OPEN, 60)

    assert [each.reason for each in closed] == ["Reset by somebody."]
    assert again > 0


async def test_a_disk_without_room_stops_new_risk_everywhere_until_room_is_made(
    watched: Callable[..., Watched],
) -> None:
    here = await watched().begin()

    here.room = 1_000
    await here.until(Part.DISK, OPEN, 2)
    opened = here.moves[-1]
    here.room = ROOM
    await here.until(Part.DISK, CLOSED, 30)

    assert opened.venue == ""
    assert "risk.circuits.least_room" in opened.reason


def header() -> RunHeader:
    return RunHeader("r", "bot", "live", 0, "0", "c", {}, ())


async def test_slow_writes_open_a_circuit_of_the_whole_run(watched: Callable[..., Watched]) -> None:
    here = await watched().begin()

    for _ in range(3):
        here.watch.see(RUN, Sign.WRITTEN, 2.0)
    opened = here.moves[-1]
    await here.world.advance(16)
    here.watch.see(RUN, Sign.WRITTEN, 0.001)
    here.watch.see(RUN, Sign.WRITTEN, 0.001)

    assert (opened.venue, opened.part, opened.state) == ("", Part.JOURNAL, OPEN)
    assert here.state(Part.JOURNAL) is CLOSED


def stream(state: FeedState, instrument: str = "BTC/USDT@BINANCE") -> FeedStatus:
    return FeedStatus(1, instrument, DataKind.QUOTES, state, "It is late.")


async def test_market_data_that_comes_and_goes_opens_a_circuit_and_what_ends_together_counts_once(
    watched: Callable[..., Watched],
) -> None:
    here = await watched().begin()
    names = ("BTC/USDT@BINANCE", "ETH/USDT@BINANCE", "SOL/USDT@BINANCE")

    for name in names:
        here.watch.on_feed(stream(FeedState.STALE, name))  # at the start nothing is certified yet
    for _ in range(5):
        assert here.moves == []
        for name in names:
            here.watch.on_feed(stream(FeedState.CERTIFIED, name))
        for name in names:
            here.watch.on_feed(stream(FeedState.GAP, name))
    await here.world.advance(30)
    while_in_doubt = here.state(Part.DATA)
    for name in names:
        here.watch.on_feed(stream(FeedState.CERTIFIED, name))
    await here.until(Part.DATA, CLOSED, 5)

    assert here.moves[0].state is OPEN
    assert while_in_doubt is HALF_OPEN
    assert "BTC/USDT@BINANCE quotes: It is late" in here.moves[0].reason


def test_the_record_tells_which_circuits_are_open(tmp_path: Path) -> None:
    path = tmp_path / "j.abj"
    with FileJournal(path, header()) as journal:
        for venue, state in (("A", OPEN), ("B", OPEN), ("B", HALF_OPEN), ("A", HALF_OPEN), ("A", CLOSED)):
            journal.append(CircuitMoved(1, venue, Part.REQUESTS, state))

    assert [(each.venue, each.state) for each in open_circuits(path)] == [("B", HALF_OPEN)]
