"""The kill switch and the lost journal, with a bot that has many real orders at a local exchange, over real sockets."""

import asyncio
import os
import signal
from decimal import Decimal
from pathlib import Path
from threading import Event, Thread

import pytest

from abidance.engine.config import StrategyConfig
from abidance.model.errors import JournalError
from abidance.model.event import ControlAction
from abidance.model.order import OrderState, Purpose
from abidance.risk.config import BreakersConfig, LimitsConfig, RiskConfig
from abidance.risk.state import TradingState
from abidance.run import durable, releasing, trading
from abidance.run.config import RunConfig
from abidance.run.door import Wish
from abidance.run.killing import SIGNALS, Extent, kill, killed, thrown_by_signals
from abidance.run.trading import LiveTrading
from abidance.testing.exchange import Fault, Wrong
from abidance.testing.exchange.desk import Placed, State
from abidance.venues.trading.gateway import VenueGateway
from tests.integration.test_live_trading import Market

D = Decimal
MANY = 199
"""Entries: with the stop of a position beside them as many orders as Binance lets an account have open in a pair."""

LADDER = '''
from decimal import Decimal

from abidance.model.intent import TimerRequest
from abidance.model.order import OrderRequest, OrderType, Protection, Side
from abidance.strategy.base import EventStrategy


class Ladder(EventStrategy):
    """Rests many small orders below the market, as fast as the venue takes them, and buys once with a stop."""

    timeframe = "1m"
    rungs, at_once, pause = {rungs}, {at_once}, 5_500_000_000

    def __init__(self):
        self.top, self.sent = None, 0

    def on_bar(self, bar, view):
        if self.top or not view.price(bar.instrument):
            return None
        self.instrument, self.top = bar.instrument, Decimal(round(bar.close * 0.8))
        stop = Protection({stop})
        entry = OrderRequest(self.name, bar.instrument, Side.BUY, Decimal("0.001"), protection=stop)
        return [entry, *self.rest(view)]

    def on_timer(self, timer, view):
        return self.rest(view)

    def rest(self, view):
        first, self.sent = self.sent, min(self.rungs, self.sent + self.at_once)
        for n in range(first, self.sent):
            price, small = self.top - n, Decimal("0.0002")
            yield OrderRequest(self.name, self.instrument, Side.BUY, small, OrderType.LIMIT, price=price)
        if self.sent < self.rungs:
            yield TimerRequest(self.name, "rest", view.now + self.pause)
'''


class Rungs(Market):
    """A local exchange and a bot that rests many orders."""

    rungs = MANY
    at_once = 39
    stop = "stop=bar.close * 0.5"

    def guarded(self, **more: object) -> RunConfig:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "ladder.py"
        text = LADDER.replace("{rungs}", str(self.rungs)).replace("{stop}", self.stop)
        text = text.replace("{at_once}", str(self.at_once))
        path.write_text(text, encoding="utf-8")
        ladder = StrategyConfig(strategy=f"{path}:Ladder", name="ladder", timeframe="1m")
        limits = LimitsConfig(
            duplicate_window=0, max_orders_per_minute=1_000, price_collar=1.0, max_positions=100
        )
        risk = RiskConfig(limits=limits, breakers=BreakersConfig(daily_loss=None, max_drawdown=None))
        return self.config(strategies=(ladder,), risk=risk, **more)

    def working(self) -> list[Placed]:
        return [each for each in self.exchange.desk.orders.values() if each.state.is_working]

    def entries(self) -> list[Placed]:
        return [each for each in self.working() if each.ticket.side > 0]


def unplug(bot: LiveTrading) -> None:
    """Let every write to the journal fail as on a full disk, from now on."""
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, bot.journal._fd)
    os.close(full)


@pytest.fixture
async def place(tmp_path: Path) -> Rungs:
    return Rungs(tmp_path / "bot")


async def test_a_kill_takes_the_entries_of_two_hundred_orders_back_and_leaves_the_stop(place: Rungs) -> None:
    before: list[int] = []

    async def person(_: LiveTrading) -> None:
        before.append(len(place.entries()))

    async with place:
        await place.live(130, after=4, person=person)

        assert before == [MANY]
        assert place.entries() == []
        assert [each.ticket.trigger is not None for each in place.working()] == [True]


@pytest.mark.parametrize("extent", [None, *Extent])
async def test_a_bot_whose_journal_is_dead_takes_entries_back_and_sends_nothing_more(
    place: Rungs, extent: Extent | None
) -> None:
    before: list[int] = []

    async def person(bot: LiveTrading) -> None:
        unplug(bot)
        before.append(len(place.entries()))
        if extent is not None:
            kill(place.folder, "tester", extent)
        await place.pass_time(6)

    async with place:
        with pytest.raises(JournalError, match="disk is full"):
            await place.live(130, person=person)
        left, placed = place.working(), len(place.exchange.desk.orders)

        assert before == [MANY]
        assert place.entries() == []
        assert placed == MANY + 2
        assert len(left) == (0 if extent is Extent.ALL else 1)
        assert all(each.ticket.trigger is not None for each in left)


async def test_a_bot_whose_journal_was_removed_finds_out_before_anything_leaves(place: Rungs) -> None:
    before: list[int] = []

    async def person(bot: LiveTrading) -> None:
        before.append(len(place.exchange.desk.orders))
        bot.journal.path.unlink()
        kill(place.folder, "tester", Extent.FLATTEN)
        await place.pass_time(6)

    async with place:
        with pytest.raises(JournalError, match="it has been removed"):
            await place.live(130, person=person)

        assert len(place.exchange.desk.orders) == before[0]
        assert place.entries() == []


class Few(Rungs):
    """One that rests few orders."""

    rungs = 8


async def test_while_the_disk_hangs_orders_are_taken_back_and_none_leaves(tmp_path: Path) -> None:
    place = Few(tmp_path / "bot")
    seen: list[tuple[int, int, bool]] = []

    def note(bot: LiveTrading) -> None:
        held = bool(bot.engine.state.portfolio.open_positions())
        seen.append((len(place.entries()), len(place.exchange.desk.orders), held))

    async def person(bot: LiveTrading) -> None:
        note(bot)
        place.disk.hangs = True
        kill(place.folder, "tester", Extent.FLATTEN)
        await place.pass_time(4)
        note(bot)
        place.disk.let_go()
        await place.pass_time(4)
        note(bot)

    async with place:
        await place.live(130, person=person)

    placed = place.rungs + 2
    assert seen == [(place.rungs, placed, True), (0, placed, True), (0, placed + 1, False)]


async def test_an_order_that_waited_too_long_for_the_disk_never_leaves_and_nothing_new_is_risked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "PATIENCE", 0.01)
    monkeypatch.setattr(trading, "SLOW_DISK", 0.02)
    place = Few(tmp_path / "bot")
    doubts: list[bool] = []

    async def person(bot: LiveTrading) -> None:
        place.disk.hangs = True
        bot.control(ControlAction.FLATTEN, "tester")
        for hangs in (True, False):
            async with asyncio.timeout(20):
                while (trading.DISK in bot.gateways[0].doubts) is not hangs:
                    await place.pass_time(0.5)
            doubts.append(hangs)
            place.disk.let_go()

    async with place:
        bot = await place.live(130, person=person)

    late = [each for each in bot.engine.state.orders.all() if "has not taken the journal" in each.reason]
    assert [each.state for each in late][:1] == [OrderState.REJECTED]
    assert not {each.id for each in late} & {o.ticket.client_id for o in place.exchange.desk.orders.values()}
    assert doubts == [True, False]


@pytest.mark.parametrize("extent", [None, *Extent])
async def test_a_bot_that_starts_again_with_room_on_the_disk_does_what_the_switch_says(
    place: Rungs, extent: Extent | None
) -> None:
    async def person(bot: LiveTrading) -> None:
        unplug(bot)
        if extent is not None:
            kill(place.folder, "tester", extent)
        await place.pass_time(6)

    async with place:
        with pytest.raises(JournalError, match="disk is full"):
            await place.live(130, person=person)

        again = await place.live(20)

        assert place.entries() == []
        assert len(again.engine.state.portfolio.open_positions()) == (0 if extent is Extent.FLATTEN else 1)
        assert len(place.working()) == (1 if extent in (None, Extent.ENTRIES) else 0)
        place.agrees(again)


def assert_left_after_five_seconds(place: Rungs, bot: LiveTrading) -> None:
    kinds = [fill.purpose.value for fill in bot.engine.fills]
    assert kinds == ["entry", "stop_loss"]
    assert not bot.engine.state.portfolio.open_positions()
    (span,) = bot.engine.vigil.past.values()
    assert 5e9 <= span.longest < 8e9
    place.agrees(bot)


async def test_a_stop_that_nobody_acknowledges_is_left_at_market_after_five_seconds(tmp_path: Path) -> None:
    place = Rungs(tmp_path / "bot")
    place.rungs = 0

    async with place:
        # The entry passes; the stop behind it never arrives, nor do the first questions about it.
        place.exchange.faults.add(Fault(Wrong.DEAF, "/api/v3/order", after=1, times=5))
        bot = await place.live(150)

        assert_left_after_five_seconds(place, bot)


@pytest.mark.parametrize("state", [State.EXPIRED, State.CANCELLED])
async def test_a_stop_that_the_venue_ends_is_set_anew_at_once_and_the_position_stays(
    tmp_path: Path, state: State
) -> None:
    place = Rungs(tmp_path / "bot")
    place.rungs = 0
    seen: list[tuple[int, int]] = []

    async def person(bot: LiveTrading) -> None:
        for _ in range(2):
            (stop,) = place.working()
            place.exchange.desk.cancel(stop, place.exchange.now, state)
            await place.pass_time(1.5)
            held = len(bot.engine.state.portfolio.open_positions())
            seen.append((len(place.working()), held))
            if held:
                await place.pass_time(60)

    async with place:
        bot = await place.live(130, person=person)
        stops = [each for each in place.exchange.desk.orders.values() if each.ticket.trigger is not None]

        assert seen == [(1, 1), (1, 1)]
        assert len({(each.ticket.trigger, each.ticket.lots) for each in stops}) == 1
        assert len(stops) == 3
        assert bot.engine.vigil.bare() == {}
        (span,) = bot.engine.vigil.past.values()
        assert span.longest < 2e9
        place.agrees(bot)


async def test_a_stop_that_the_venue_ends_and_does_not_take_again_is_left_at_market_after_five_seconds(
    tmp_path: Path,
) -> None:
    place = Rungs(tmp_path / "bot")
    place.rungs = 0

    async def person(_: LiveTrading) -> None:
        # The stop that is set anew never arrives, nor do the first questions about it.
        place.exchange.faults.add(Fault(Wrong.DEAF, "/api/v3/order", times=5))
        (stop,) = place.working()
        place.exchange.desk.cancel(stop, place.exchange.now, State.EXPIRED)
        await place.pass_time(20)

    async with place:
        bot = await place.live(130, person=person)

        assert_left_after_five_seconds(place, bot)


@pytest.mark.parametrize(("number", "extent"), SIGNALS.items())
async def test_a_signal_throws_the_switch(tmp_path: Path, number: signal.Signals, extent: Extent) -> None:
    folder, before = tmp_path / "bot", signal.getsignal(number)

    with thrown_by_signals(folder):
        os.kill(os.getpid(), number)
        await asyncio.sleep(0)

    assert killed(folder) is extent
    assert signal.getsignal(number) is before


async def test_a_bot_that_a_breaker_halted_is_released_at_its_door_though_no_switch_was_thrown(
    tmp_path: Path,
) -> None:
    place = Few(tmp_path / "bot")
    seen: list[tuple[TradingState, bool]] = []

    def standing(bot: LiveTrading) -> TradingState:
        return bot.engine._breakers.state("", "", bot.engine.state.now).state

    async def person(bot: LiveTrading) -> None:
        bot.control(ControlAction.SET_BREAKERS, "tester", max_drawdown=1e-7)
        async with asyncio.timeout(30):
            while standing(bot) is not TradingState.HALTED:
                await place.pass_time(1)
        bot.control(ControlAction.SET_BREAKERS, "tester", max_drawdown=0.9)
        for _ in range(2):
            before = standing(bot)
            asked = asyncio.ensure_future(asyncio.to_thread(releasing.release, place.folder, "tester"))
            while not asked.done():
                await place.pass_time(0.5)
            seen.append((before, asked.result().is_ended))
        seen.append((standing(bot), killed(place.folder) is None))

    async with place:
        await place.live(130, person=person)

    assert seen == [(TradingState.HALTED, True), (TradingState.ACTIVE, False), (TradingState.ACTIVE, True)]


async def test_a_switch_that_is_thrown_anew_behind_a_release_takes_orders_back_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bot has not looked at the switch between the release and the second kill."""
    place = Few(tmp_path / "bot")
    asked: list[bool] = []
    cancel_all = VenueGateway.cancel_all

    def noted(gateway: VenueGateway, *, keeps_exits: bool = False) -> asyncio.Future[None]:
        asked.append(keeps_exits)
        return cancel_all(gateway, keeps_exits=keeps_exits)

    async def person(bot: LiveTrading) -> None:
        kill(place.folder, "tester")
        await place.pass_time(1)
        bot._obey(Wish(ControlAction.RELEASE, "tester"))
        monkeypatch.setattr(VenueGateway, "cancel_all", noted)
        await place.pass_time(1)

    async with place:
        bot = await place.live(130, person=person)

    assert asked == [True]
    assert bot.engine._breakers.state("", "", bot.engine.state.now).state is TradingState.HALTED


class HangingSync:
    """A disk that answers no sync before it is let go."""

    def __init__(self) -> None:
        self.asked, self.answers = Event(), Event()

    def __call__(self, _fd: int) -> None:
        self.asked.set()
        assert self.answers.wait(60)


def test_the_switch_is_thrown_though_the_disk_answers_no_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = HangingSync()
    monkeypatch.setattr(os, "fsync", disk)
    thrower = Thread(target=kill, args=(tmp_path, "tester", Extent.ALL))

    thrower.start()
    assert disk.asked.wait(60)
    seen, waits = killed(tmp_path), thrower.is_alive()
    disk.answers.set()
    thrower.join(60)

    assert seen is Extent.ALL
    assert waits


def test_a_bot_that_gets_a_signal_does_not_wait_for_a_disk_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = HangingSync()
    monkeypatch.setattr(os, "fsync", disk)

    with thrown_by_signals(tmp_path):
        os.kill(os.getpid(), signal.SIGUSR2)
        has_answered = disk.answers.is_set()
    disk.answers.set()

    assert disk.asked.is_set()
    assert not has_answered
    assert killed(tmp_path) is Extent.ALL


@pytest.mark.parametrize(
    ("text", "extent"),
    [
        ("flatten", "flatten"),
        ("all\n", "all"),
        ("entries", "entries"),
        ("", "entries"),
        ("\x00 all", "entries"),
    ],
)
def test_a_file_that_somebody_wrote_by_hand_is_the_switch(tmp_path: Path, text: str, extent: str) -> None:
    (tmp_path / "KILL").write_text(text, encoding="utf-8")

    assert killed(tmp_path) is Extent(extent)


async def test_closing_everything_is_tried_again_before_the_next_bar_and_until_it_is_done(
    tmp_path: Path,
) -> None:
    place = Rungs(tmp_path / "bot")
    place.rungs, place.stop = 0, ""
    held: list[bool] = []

    async def person(bot: LiveTrading) -> None:
        place.exchange.faults.add(Fault(Wrong.LIMIT, "/api/v3/order", times=2))
        kill(place.folder, "tester", Extent.FLATTEN)
        for _ in range(2):
            await place.pass_time(15)
            held.append(bool(bot.engine.state.portfolio.open_positions()))

    async with place:
        bot = await place.live(130, person=person)  # a bar has just closed

    assert held == [True, False]
    closing = [each for each in bot.engine.state.orders.all() if each.request.purpose is Purpose.FLATTEN]
    assert [each.state for each in closing] == [OrderState.REJECTED, OrderState.REJECTED, OrderState.FILLED]
    place.agrees(bot)
